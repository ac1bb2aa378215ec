import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { poseToQuaternion } from "../src/view/matrices.js";
import { pathFromContent } from "../src/path/path_model.js";
import { evaluatePath, makeSampler } from "../src/path/path_spline.js";

const golden = JSON.parse(readFileSync(new URL("../../tests/data/spline_golden.json", import.meta.url), "utf-8"));
// The file holds nine decimals.
const TOLERANCE = 2e-9;

const close = (got, expected, what) => {
  assert.equal(got.length, expected.length, what);
  got.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < TOLERANCE, `${what}: ${got} is not ${expected}`));
};

for (const entry of golden.cases)
  test(`golden path: ${entry.name}`, () => {
    const sampler = makeSampler(pathFromContent(entry.path));
    golden.progress.forEach((progress, i) => {
      const { c2w, fov_deg } = sampler(progress);
      const at = `${entry.name} at ${progress}`;
      close([c2w[3], c2w[7], c2w[11]], entry.position[i], `position of ${at}`);
      const wxyz = poseToQuaternion(c2w);
      // Half a turn has two quaternions.
      const sign = wxyz.reduce((sum, value, k) => sum + value * entry.wxyz[i][k], 0) < 0 ? -1 : 1;
      close(wxyz.map((value) => sign * value), entry.wxyz[i], `rotation of ${at}`);
      close([fov_deg], [entry.fov_deg[i]], `field of view of ${at}`);
    });
  });

test("a single waypoint stands still", () => {
  const path = pathFromContent({ version: 1, waypoints: [{ position: [1, 2, 3], fov_deg: 50 }] });
  for (const progress of [0, 0.3, 1]) {
    const { c2w, fov_deg } = evaluatePath(path, progress);
    close([c2w[3], c2w[7], c2w[11], fov_deg], [1, 2, 3, 50], "camera");
  }
});

test("waypoints in one place give no NaN, whatever joins them", () => {
  for (const interpolation of ["catmull_rom", "bezier", "linear"])
    for (const speed of ["by time", "constant"]) {
      const waypoints = [0, 0.5, 1].map((time) => ({ position: [1, 1, 1], time }));
      const path = pathFromContent({ version: 1, interpolation, speed, waypoints });
      assert.ok(evaluatePath(path, 0.7).c2w.every(Number.isFinite));
    }
});
