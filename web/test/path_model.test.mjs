import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { makePath, makeWaypoint, parsePath, PathProblem, stringifyPath } from "../src/path/path_model.js";

const golden = JSON.parse(readFileSync(new URL("../../tests/data/spline_golden.json", import.meta.url), "utf-8"));
const waypoints = [
  { position: [0, 0, 0], time: 0 },
  { position: [0, 0, 1], time: 0.4 },
  { position: [1, 0, 1], time: 1 },
];
const text = (change = {}) => JSON.stringify({ version: 1, waypoints, ...change });
const refused = (given, reason) =>
  assert.throws(() => parsePath(given), (error) => error instanceof PathProblem && error.reason === reason, given.slice(0, 80));

test("what Python wrote is read and written again without a change", () => {
  for (const { path } of golden.cases) {
    const written = JSON.parse(stringifyPath(parsePath(JSON.stringify(path))));
    assert.deepEqual(written, path);
  }
});

test("a path needs only a version and positions", () => {
  const path = parsePath('{"version": 1, "waypoints": [{"position": [0, 0, 0]}, {"position": [0, 0, 3]}, {"position": [0, 0, 4]}]}');
  assert.equal(path.waypoints[0].fov_deg, 60);
  assert.equal(path.interpolation, "catmull_rom");
  // Without times they follow the distances, as in Python.
  assert.deepEqual(path.waypoints.map(({ time }) => time), [0, 0.75, 1]);
});

test("numbers are cut to six decimals and zeros have no sign; times, scale and fps stay exact", () => {
  const time = 1 / 3;
  const path = makePath({ waypoints: [makeWaypoint({ position: [-1e-9, 1 / 3, 2] }), makeWaypoint({ time }), makeWaypoint({ time: 1 })], scale: 1 / 7 });
  const written = JSON.parse(stringifyPath(path));
  assert.deepEqual(written.waypoints[0].position, [0, 0.333333, 2]);
  assert.ok(!stringifyPath(path).includes("-0"));
  assert.equal(written.waypoints[1].time, time);
  assert.equal(written.scale, 1 / 7);
});

test("fields that this version does not know are kept", () => {
  const path = parsePath(text({ author: "A", waypoints: [{ position: [0, 0, 0], note: "B" }] }));
  const written = JSON.parse(stringifyPath(path));
  assert.equal(written.author, "A");
  assert.equal(written.waypoints[0].note, "B");
});

test("a quaternion of another length is divided by it", () => {
  const path = parsePath(text({ waypoints: [{ position: [0, 0, 0], wxyz: [2, 0, 0, 0] }] }));
  assert.deepEqual(path.waypoints[0].wxyz, [1, 0, 0, 0]);
});

test("texts that are no path are refused with their reason", () => {
  refused("{", "not_json");
  refused("[]", "not_a_path");
  refused("null", "not_a_path");
  refused(text({ version: 2 }), "other_version");
  refused(text({ version: "1" }), "other_version");
  refused(text({ waypoints: [] }), "no_waypoints");
  refused(text({ waypoints: [{}] }), "bad_waypoint");
  refused(text({ waypoints: [{ position: [0, 0] }] }), "bad_waypoint");
  refused(text({ waypoints: [{ position: [0, 0, null] }] }), "bad_waypoint");
  refused('{"version": 1, "waypoints": [{"position": [0, NaN, 0]}]}', "not_json");
  refused('{"version": 1, "waypoints": [{"position": [0, 1e999, 0]}]}', "bad_waypoint");
  refused(text({ waypoints: [{ position: [0, 0, 0], wxyz: [0, 0, 0, 0] }] }), "bad_waypoint");
  refused(text({ waypoints: [{ position: [0, 0, 0], fov_deg: 180 }] }), "bad_waypoint");
  refused(text({ waypoints: [{ position: [0, 0, 0], easing: "bouncy" }] }), "bad_waypoint");
  refused(text({ waypoints: [{ position: [0, 0, 0], handle_in: [1] }] }), "bad_waypoint");
  refused(text({ waypoints: [waypoints[0], { ...waypoints[1], time: 0 }, waypoints[2]] }), "bad_times");
  refused(text({ waypoints: [waypoints[0], { ...waypoints[1], time: 0.9 }] }), "bad_times");
  refused(text({ interpolation: "magic" }), "bad_setting");
  refused(text({ scale: 0 }), "bad_setting");
  refused(text({ width: 1.5 }), "bad_setting");
  refused(text({ closed: true }), "not_closed");
});
