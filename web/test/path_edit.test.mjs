import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  aimWaypoint, appendWaypoint, changeWaypoint, coincidentWaypoints, duplicateWaypoint, evenTimes, extendPath, insertWaypoint,
  moveTime, removeWaypoint, rescalePath, reversePath, setClosed, startAt, waypointPose,
} from "../src/path/path_edit.js";
import { checkPath, pathFromContent } from "../src/path/path_model.js";
import { buildPreset, defaultPath, PRESET_NAMES } from "../src/path/path_presets.js";
import { evaluatePath } from "../src/path/path_spline.js";
import { column, distance, IDENTITY } from "../src/view/matrices.js";

const read = (name) => JSON.parse(readFileSync(new URL(`../../tests/data/${name}`, import.meta.url), "utf-8"));
const cases = read("spline_golden.json").cases.map(({ name, path }) => [name, pathFromContent(path)]);
const named = (name) => cases.find(([key]) => key === name)[1];
const START = { c2w: [...IDENTITY], fov_deg: 60, width: 768, height: 480, scale: 2 };
const times = (path) => path.waypoints.map(({ time }) => Math.round(time * 1e6) / 1e6);

test("every change of every path leaves one that the node takes", () => {
  for (const [name, path] of cases) {
    const last = path.waypoints.length - 1;
    const results = [
      extendPath(path).path,
      insertWaypoint(path, 0.37).path,
      removeWaypoint(path, 0),
      removeWaypoint(path, last),
      setClosed(path, true),
      setClosed(path, false),
      reversePath(path),
      evenTimes(path),
      rescalePath(path, 3),
      startAt(path, waypointPose(path.waypoints[last])),
      ...path.waypoints.flatMap((_, i) => [
        duplicateWaypoint(path, i).path,
        changeWaypoint(path, i, { position: [5, 5, 5] }),
        moveTime(path, i, 0.99),
        moveTime(path, i, -3),
        aimWaypoint(path, i, [0, 0, 9]),
      ]),
    ];
    results.forEach((result, i) => assert.doesNotThrow(() => checkPath(result), `${name}, change ${i}`));
  }
});

test("an inserted waypoint lies on the path and keeps its camera there", () => {
  for (const [name, path] of cases.filter(([, { waypoints }]) => waypoints.length > 1)) {
    const before = evaluatePath(path, 0.37);
    const { path: changed, index } = insertWaypoint(path, 0.37);
    const { position, fov_deg } = changed.waypoints[index];
    assert.ok(distance(position, column(before.c2w, 3)) < 1e-9, name);
    assert.ok(Math.abs(fov_deg - before.fov_deg) < 1e-9, name);
    assert.equal(changed.waypoints.length, path.waypoints.length + 1);
  }
});

test("a waypoint at the end takes as long as the others do, a copy waits half way", () => {
  const path = named("catmull_rom"); // times 0, 0.2, 0.65, 1
  assert.deepEqual(times(appendWaypoint(path, { position: [9, 9, 9] }).path), [0, 0.15, 0.4875, 0.75, 1]);
  assert.deepEqual(times(duplicateWaypoint(path, 1).path), [0, 0.2, 0.425, 0.65, 1]);
  assert.deepEqual(coincidentWaypoints(duplicateWaypoint(path, 1).path), [1]);
  assert.deepEqual(coincidentWaypoints(path), []);
});

test("without its ends a path still runs from 0 to 1", () => {
  const path = named("catmull_rom");
  assert.deepEqual(times(removeWaypoint(path, 0)), [0, 0.5625, 1]);
  assert.deepEqual(times(removeWaypoint(path, 3)), [0, 0.307692, 1]);
  const single = named("one_waypoint");
  assert.equal(removeWaypoint(single, 0), single);
});

test("the seam of a closed path stays together", () => {
  const path = named("closed");
  const last = path.waypoints.length - 1;
  for (const index of [0, last]) {
    const moved = changeWaypoint(path, index, { position: [7, 7, 7], fov_deg: 33 });
    assert.deepEqual(moved.waypoints[0].position, moved.waypoints[last].position);
    assert.equal(moved.waypoints[0].fov_deg, moved.waypoints[last].fov_deg);
    assert.deepEqual(times(moved), times(path));
  }
  const opened = setClosed(path, false);
  assert.equal(opened.waypoints.length, last);
  assert.equal(setClosed(setClosed(named("catmull_rom"), true), false).waypoints.length, 4);
});

test("the way back is the way there, and twice back is the path", () => {
  for (const name of ["catmull_rom", "bezier_handles", "easings", "linear"]) {
    const path = named(name);
    assert.deepEqual(times(reversePath(reversePath(path))), times(path));
    if (name === "easings") continue; // each part's easing is turned round, "auto" of the last has no part
    const there = evaluatePath({ ...path, speed: "constant" }, 0.3).c2w;
    const back = evaluatePath({ ...reversePath(path), speed: "constant" }, 0.7).c2w;
    assert.ok(distance(column(there, 3), column(back, 3)) < 2e-3, name);
  }
});

test("a carried on path goes as far again, in the same direction", () => {
  const { path } = extendPath(buildPreset("dolly_in", START));
  path.waypoints[2].position.forEach((value, i) => assert.ok(Math.abs(value - [0, 0, 2][i]) < 1e-12));
});

test("every preset is a path, begins at the start camera and moves as its name says", () => {
  for (const name of PRESET_NAMES) {
    const path = buildPreset(name, START);
    assert.doesNotThrow(() => checkPath(path), name);
    assert.deepEqual(path.waypoints[0].position.map((value) => Math.abs(value) < 1e-12), [true, true, true], name);
  }
  const end = (name) => evaluatePath(buildPreset(name, START), 1).c2w;
  assert.ok(end("truck_right")[3] > 0.9 && end("truck_left")[3] < -0.9);
  assert.ok(end("crane_up")[7] < -0.9);
  assert.ok(end("dolly_in")[11] > 0.9);
  assert.ok(end("orbit_right")[3] > 0.9 && end("orbit_right")[2] < -0.4, "to its right, looking back to the left");
  assert.ok(end("pan_right")[2] > 0.4);
});

test("a dolly zoom keeps the pivot's size", () => {
  for (const { position, fov_deg } of buildPreset("dolly_zoom", START).waypoints) {
    const size = 1 / ((2 - position[2]) * Math.tan((fov_deg * Math.PI) / 360));
    assert.ok(Math.abs(size - 1 / (2 * Math.tan(Math.PI / 6))) < 1e-9);
  }
});

test("an empty editor stands for the path that Python starts from", () => {
  const { start, path } = read("editor_golden.json").draft;
  const expected = pathFromContent(path);
  const made = defaultPath({ ...start, width: path.width, height: path.height });
  assert.deepEqual(times(made), times(expected));
  made.waypoints.forEach((waypoint, i) => {
    assert.ok(distance(waypoint.position, expected.waypoints[i].position) < 5e-5);
    waypoint.wxyz.forEach((value, k) => assert.ok(Math.abs(value - expected.waypoints[i].wxyz[k]) < 5e-5));
    assert.ok(Math.abs(waypoint.fov_deg - expected.waypoints[i].fov_deg) < 1e-3);
  });
  for (const key of ["interpolation", "speed", "closed", "look_at", "scale", "width", "height"]) assert.deepEqual(made[key], expected[key]);
});
