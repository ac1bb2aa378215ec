import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { pathFromContent } from "../src/path/path_model.js";
import { centralWindow, samplePath } from "../src/path/sampling.js";
import { anglesToPose, column, intoCamera, invert, lookAt, multiply, poseToAngles, poseToQuaternion, quaternionToPose, transform } from "../src/view/matrices.js";
import { OrbitView } from "../src/view/orbit_view.js";
import { clipMatrix, project, projectLine, rayThrough, unproject } from "../src/view/projection.js";

const golden = JSON.parse(readFileSync(new URL("../../tests/data/editor_golden.json", import.meta.url), "utf-8"));
const near = (a, b, tolerance, what) => assert.ok(Math.abs(a - b) <= tolerance, `${what}: ${a} is not ${b}`);
const camera = { c2w: lookAt([1, -2, -3], [0.5, 0, 2]), fx: 700, fy: 680, cx: 400, cy: 230, width: 768, height: 480 };

test("cameras of all frames are Python's, cut and eased too", () => {
  for (const { path, easing, width, height, frames } of golden.sampled) {
    const made = samplePath(pathFromContent(path), frames.length, { easing, width, height });
    frames.forEach((frame, i) => {
      // Python keeps trajectories in float32.
      frame.c2w.forEach((value, k) => near(made[i].c2w[k], value, 2e-6, `c2w[${k}] of frame ${i}`));
      for (const key of ["fx", "fy", "cx", "cy"]) near(made[i][key], frame[key], 1e-3, `${key} of frame ${i}`);
    });
  }
});

test("marked points lie where the renderer draws them, within a pixel", () => {
  const { path, easing, width, height, frames } = golden.sampled[2];
  const cameras = samplePath(pathFromContent(path), frames.length, { easing, width, height });
  let [worst, moved] = [0, 0];
  golden.marks.xy.forEach((marks, frame) =>
    marks.forEach(([x, y], mark) => {
      const seen = project(cameras[frame], golden.marks.points[mark]);
      worst = Math.max(worst, Math.hypot(seen.x - x, seen.y - y));
      moved = Math.max(moved, Math.hypot(golden.marks.xy[0][mark][0] - x, golden.marks.xy[0][mark][1] - y));
    }),
  );
  assert.ok(worst < 1, `${worst} pixels`);
  assert.ok(moved > 5, "the camera moves: one that stands still would fail");
});

test("the picture is cut as Python cuts it: halves round to the even number", () => {
  assert.deepEqual(centralWindow(768, 480, 768, 480), { width: 768, height: 480, left: 0, top: 0 });
  assert.deepEqual(centralWindow(100, 60, 50, 50), { width: 60, height: 60, left: 20, top: 0 });
  assert.deepEqual(centralWindow(5, 5, 2, 4), { width: 2, height: 5, left: 1, top: 0 });
});

test("pixel centres are half: the middle of a picture is at half its size", () => {
  const plain = { ...camera, c2w: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], cx: 384, cy: 240 };
  assert.deepEqual(project(plain, [0, 0, 5]), { x: 384, y: 240, z: 5 });
  assert.ok(project(plain, [0, 1, 5]).y > 240, "y points down");
});

test("WebGL draws points where `project` says", () => {
  const matrix = clipMatrix(camera, 0.01, 100);
  for (const point of [[0, 0, 2], [1, 1, 4], [-2, 0.3, 9]]) {
    const clip = [0, 1, 2, 3].map((row) => [0, 1, 2, 3].reduce((sum, col) => sum + matrix[4 * col + row] * [...point, 1][col], 0));
    const seen = project(camera, point);
    near(((clip[0] / clip[3] + 1) / 2) * camera.width, seen.x, 1e-2, "x");
    near(((1 - clip[1] / clip[3]) / 2) * camera.height, seen.y, 1e-2, "y");
    assert.ok(Math.abs(clip[2] / clip[3]) < 1);
  }
});

test("unproject undoes project; a ray passes through its pixel", () => {
  const point = [0.3, -0.4, 4];
  const { x, y, z } = project(camera, point);
  unproject(camera, x, y, z).forEach((value, i) => near(value, point[i], 1e-9, "point"));
  const ahead = column(camera.c2w, 3).map((value, i) => value + 7 * rayThrough(camera, x, y)[i]);
  near(project(camera, ahead).x, x, 1e-9, "x");
});

test("lines are cut at the camera", () => {
  const behind = transform(camera.c2w, [0, 0, -1]);
  const ahead = transform(camera.c2w, [0, 0, 3]);
  assert.equal(projectLine(camera, behind, behind, 0.1), null);
  const [a] = projectLine(camera, behind, ahead, 0.1);
  near(a.z, 0.1, 1e-9, "cut");
});

test("poses, quaternions and an operator's angles turn into one another", () => {
  for (const angles of [[0, 0, 0], [170, 30, -20], [-95, -60, 179], [12, 89, 5]]) {
    poseToAngles(anglesToPose(angles)).forEach((value, i) => near(value, angles[i], 1e-6, "angle"));
    const pose = anglesToPose(angles, [1, 2, 3]);
    quaternionToPose(poseToQuaternion(pose), [1, 2, 3]).forEach((value, i) => near(value, pose[i], 1e-12, "pose"));
    multiply(pose, invert(pose)).forEach((value, i) => near(value, i % 5 ? 0 : 1, 1e-12, "identity"));
  }
  assert.ok(column(anglesToPose([90, 0, 0]), 2)[0] > 0.99, "pan right looks along +x");
  assert.ok(column(anglesToPose([0, 90, 0]), 2)[1] < -0.99, "tilt up looks along -y");
  assert.ok(column(anglesToPose([0, 0, 30]), 0)[1] > 0.4, "roll right lowers the right side");
});

test("orbiting keeps the pivot and the horizon, panning the direction; never over the poles", () => {
  const orbit = new OrbitView();
  const pivot = orbit.pivot;
  for (let i = 0; i < 200; i++) orbit.orbit(3, 7);
  orbit.pivot.forEach((value, i) => near(value, pivot[i], 1e-6, "pivot"));
  near(column(orbit.c2w, 0)[1], 0, 1e-6, "horizon");
  assert.ok(column(orbit.c2w, 1)[1] > 0, "still upright");
  const forward = column(orbit.c2w, 2);
  orbit.pan(40, -20, 500);
  assert.deepEqual(column(orbit.c2w, 2), forward);
  for (let i = 0; i < 400; i++) orbit.dolly(0.9);
  assert.ok(orbit.distance >= 0.05 && orbit.c2w.every(Number.isFinite));
});

test("a framed ball fills the view but fits", () => {
  const orbit = new OrbitView();
  orbit.frame([3, 1, -2], 2);
  const [x, y, z] = intoCamera(orbit.c2w, [3, 1, -2]);
  near(Math.hypot(x, y), 0, 1e-9, "centre");
  assert.ok(Math.atan(2 / z) < (orbit.fovDeg * Math.PI) / 360);
});
