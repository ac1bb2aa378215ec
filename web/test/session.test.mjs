import assert from "node:assert/strict";
import { test } from "node:test";

import { Session } from "../src/editor/session.js";
import { changeWaypoint } from "../src/path/path_edit.js";
import { stringifyPath } from "../src/path/path_model.js";
import { buildPreset } from "../src/path/path_presets.js";
import { IDENTITY } from "../src/view/matrices.js";

function open(value = "", inputs = {}) {
  const written = [];
  const properties = {};
  const host = {
    state: {},
    value: () => value,
    change: (text) => written.push(text),
    nodeInput: (name) => inputs[name],
    property: (name, given) => (given === undefined ? properties[name] : (properties[name] = given)),
  };
  return { session: new Session(host), written, host };
}
const START = { c2w: [...IDENTITY], fov_deg: 50, width: 96, height: 64, scale: 3 };
const DOLLY = buildPreset("dolly_in", START);
const output = (path, more = {}) => ({
  worldstereo_path: [{
    version: 1,
    path: JSON.parse(stringifyPath(path)),
    source: "draft",
    easing: "linear",
    frames: Array.from({ length: 5 }, () => ({ c2w: [...IDENTITY], fx: 9, fy: 9, cx: 48, cy: 32 })),
    input_view: { c2w: [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], fov_deg: 50, width: 96, height: 64 },
    median_depth: 3,
    width: 96,
    height: 64,
    warnings: { collision: [2], too_fast: [], outside: [], big_holes: [4], holes: [0, 0, 0.1, 0.2, 0.5], lines: [] },
    ...more,
  }],
});

test("nothing is written before something is changed", () => {
  const { session, written } = open();
  session.takeOutput(output(DOLLY));
  session.select(1);
  session.seek(0.4);
  session.commit();
  session.edit(changeWaypoint(session.path, 1, { fov_deg: 33 }));
  session.revert();
  session.commit();
  assert.deepEqual(written, []);
  assert.equal(session.path.waypoints[1].fov_deg, 50);
});

test("the first change writes the whole path once, under a name of its own", () => {
  const { session, written } = open();
  session.takeOutput(output(DOLLY));
  session.apply(changeWaypoint(session.path, 1, { fov_deg: 33 }));
  session.commit();
  assert.equal(written.length, 1);
  const path = JSON.parse(written[0]);
  assert.equal(path.name, "drawn path");
  assert.equal(path.scale, 3);
  assert.deepEqual(path.waypoints.map(({ fov_deg }) => fov_deg), [50, 33]);
});

test("a text that is not understood is never written over, except when the user starts anew", () => {
  const future = JSON.stringify({ version: 2, waypoints: [], more: 1 });
  const { session, written } = open(future);
  assert.equal(session.problem.reason, "other_version");
  session.edit(DOLLY);
  session.commit();
  session.takeOutput(output(DOLLY));
  assert.deepEqual(written, []);
  assert.equal(session.committed, future);
  session.replace(DOLLY);
  assert.equal(written.length, 1);
  assert.equal(JSON.parse(written[0]).name, "dolly in");
});

test("an empty value stands for the draft of the run, not for what was drawn in an earlier one", () => {
  const { session } = open();
  session.takeOutput(output(DOLLY, { source: "camera_path" }));
  assert.equal(session.path.waypoints.length, 5, "the orbit from the input view");
  assert.equal(session.path.waypoints[0].position[0], 1);
  session.takeOutput(output(DOLLY));
  assert.equal(session.path.waypoints.length, 2);
});

test("warnings are of the path that was run: changed in any way, they are not shown", () => {
  const { session } = open(stringifyPath(DOLLY), { frames: 5, easing: "linear" });
  session.takeOutput(output(DOLLY));
  assert.equal(session.isChanged, false);
  assert.ok(session.run.warnings.collision.has(2));
  session.edit(changeWaypoint(session.path, 1, { fov_deg: 33 }));
  assert.equal(session.isChanged, true);
  for (const inputs of [{ frames: 9, easing: "linear" }, { frames: 5, easing: "smooth" }]) {
    const { session: other } = open(stringifyPath(DOLLY), inputs);
    other.takeOutput(output(DOLLY));
    assert.equal(other.isChanged, true);
  }
});

test("outputs of another version or without a path are left alone; damaged frames are left out", () => {
  const { session } = open();
  session.takeOutput({ text: ["said"] });
  session.takeOutput({ worldstereo_path: [{ version: 7, path: {} }] });
  assert.equal(session.run, null);
  session.takeOutput(output(DOLLY, { frames: [{ c2w: [NaN] }, { c2w: [...IDENTITY], fx: 1, fy: 1, cx: 1, cy: 1 }], input_view: null }));
  assert.equal(session.run.frames.length, 1);
  assert.equal(session.run.inputView, null);
});

test("the first waypoint is locked until it is unlocked, and can be put to the input view", () => {
  const { session, written } = open(stringifyPath(DOLLY));
  assert.equal(session.isHeld(0), true);
  assert.equal(session.isHeld(1), false);
  assert.equal(session.startGap(), null);
  session.takeOutput(output(DOLLY));
  assert.ok(Math.abs(session.startGap() - 1) < 1e-9);
  session.snapToInput(false);
  assert.deepEqual(JSON.parse(written[0]).waypoints.map(({ position }) => position), [[1, 0, 0], [0, 0, 1.5]]);
  session.snapToInput(true);
  session.setLocked(false);
  assert.equal(session.isHeld(0), false);
});

test("frames and moments turn into one another, whatever the clip's easing", () => {
  for (const easing of ["linear", "smooth", "ease in", "ease out"]) {
    const { session } = open("", { frames: 21, easing });
    for (const frame of [0, 1, 7, 20]) assert.ok(Math.abs(session.frameOf(session.progressOfFrame(frame)) - frame) < 1e-6, easing);
  }
});

test("a path of one waypoint and one of waypoints in one place have finite figures", () => {
  for (const path of [buildPreset("static", START), { ...DOLLY, waypoints: DOLLY.waypoints.map((w) => ({ ...w, position: [0, 0, 0] })) }]) {
    const { shape } = open(stringifyPath(path)).session;
    assert.ok([shape.length, shape.meanSpeed, ...shape.speeds].every(Number.isFinite));
  }
});
