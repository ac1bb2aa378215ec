/**
 * Pinhole projection as worldstereo_core/geometry/cameras.py defines it: OpenCV axes, half-pixel centres, so the
 * picture spans [0, width]; and the same camera as a WebGL matrix.
 *
 * @typedef {import("../path/sampling.js").Camera} Camera
 */

import { add, column, intoCamera, invert, normalize, scale, turn } from "./matrices.js";

/**
 * @param {Camera} camera
 * @param {number[]} point world coordinates
 * @returns {{ x: number, y: number, z: number }} pixels, and depth in scene units (behind the camera: z <= 0)
 */
export function project(camera, point) {
  const [x, y, z] = intoCamera(camera.c2w, point);
  return { x: camera.cx + (camera.fx * x) / z, y: camera.cy + (camera.fy * y) / z, z };
}

/** Direction of unit length through a pixel. @param {Camera} camera @param {number} x @param {number} y */
export const rayThrough = (camera, x, y) =>
  normalize(turn(camera.c2w, [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, 1]));

/** World point at a pixel and a depth along z. @param {Camera} camera @param {number} x @param {number} y @param {number} z */
export const unproject = (camera, x, y, z) =>
  add(
    column(camera.c2w, 3),
    scale(turn(camera.c2w, [(x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy, 1]), z),
  );

/**
 * A line as it shows in the picture, cut where it passes the camera.
 * @param {Camera} camera @param {number[]} a @param {number[]} b @param {number} near scene units
 * @returns {{ x: number, y: number, z: number }[] | null}
 */
export function projectLine(camera, a, b, near) {
  const [p, q] = [intoCamera(camera.c2w, a), intoCamera(camera.c2w, b)];
  if (p[2] < near && q[2] < near) return null;
  const cut = (from, to) => from.map((value, i) => value + ((near - from[2]) / (to[2] - from[2])) * (to[i] - value));
  return [p[2] < near ? cut(p, q) : p, q[2] < near ? cut(q, p) : q].map(([x, y, z]) => ({
    x: camera.cx + (camera.fx * x) / z,
    y: camera.cy + (camera.fy * y) / z,
    z,
  }));
}

/**
 * World to WebGL's clip space, column-major as WebGL takes it.
 * @param {Camera} camera @param {number} near @param {number} far scene units
 */
export function clipMatrix(camera, near, far) {
  const { fx, fy, cx, cy, width, height } = camera;
  const w2c = invert(camera.c2w);
  // Clip x and y are those of the picture, y upwards; z runs from -1 at near to 1 at far; w is the depth.
  const rows = [
    [(2 * fx) / width, 0, (2 * cx) / width - 1],
    [0, (-2 * fy) / height, 1 - (2 * cy) / height],
    [0, 0, (far + near) / (far - near)],
    [0, 0, 1],
  ];
  const offsets = [0, 0, (-2 * far * near) / (far - near), 0];
  const matrix = new Float32Array(16);
  for (let row = 0; row < 4; row++)
    for (let col = 0; col < 4; col++) {
      const [a, b, c] = rows[row];
      const value = a * w2c[col] + b * w2c[4 + col] + c * w2c[8 + col] + (col === 3 ? offsets[row] : 0);
      matrix[4 * col + row] = value;
    }
  return matrix;
}
