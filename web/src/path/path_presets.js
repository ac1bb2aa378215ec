/**
 * Paths to start from. Directions are the camera's at the start, as in worldstereo_core/geometry/trajectory.py:
 * "orbit right" moves it to its right around a pivot straight ahead.
 *
 * @typedef {import("./path_model.js").CameraPath} CameraPath
 * @typedef {{ c2w: number[], fov_deg: number, width: number, height: number, scale: number }} Start
 */

import { add, axisTurn, column, IDENTITY, lookAt, multiply, poseToQuaternion, scale, turn, withPlace } from "../view/matrices.js";
import { makePath, makeWaypoint } from "./path_model.js";

const ORBIT = (30 * Math.PI) / 180;
const FAR = 0.5; // pivot depths

/** @param {number} x @param {number} y @param {number} z */
const shift = (x, y, z) => withPlace([...IDENTITY], [x, y, z]);
/** @param {number[]} axis @param {number} angle */
const around = (axis, angle) => multiply(shift(0, 0, 1), multiply(axisTurn(axis, angle), shift(0, 0, -1)));
/** Moved by x, y, z and looking at the pivot. */
const towardsPivot = (x, y, z) => {
  const eye = [x, y, z];
  return lookAt(eye, [0, 0, 1]);
};
const travel = (x, y, z) => (t) => shift(t * x, t * y, t * z);
const still = () => [...IDENTITY];

/**
 * Pose in the start camera's axes at t = 0..1, distances in pivot depths; how many waypoints; how it eases.
 * @type {Record<string, { move: (t: number) => number[], count: number, easing?: string, zoom?: number, closed?: boolean, looksAtPivot?: boolean }>}
 */
const PRESETS = {
  static: { move: still, count: 1 },
  dolly_in: { move: travel(0, 0, FAR), count: 2, easing: "smooth" },
  dolly_out: { move: travel(0, 0, -FAR), count: 2, easing: "smooth" },
  truck_left: { move: travel(-FAR, 0, 0), count: 2, easing: "smooth" },
  truck_right: { move: travel(FAR, 0, 0), count: 2, easing: "smooth" },
  crane_up: { move: (t) => towardsPivot(0, -0.6 * t, 0.15 * t), count: 3 },
  crane_down: { move: (t) => towardsPivot(0, 0.4 * t, 0.15 * t), count: 3 },
  pan_left: { move: (t) => axisTurn([0, 1, 0], -ORBIT * t), count: 2, easing: "smooth" },
  pan_right: { move: (t) => axisTurn([0, 1, 0], ORBIT * t), count: 2, easing: "smooth" },
  orbit_left: { move: (t) => around([0, 1, 0], ORBIT * t), count: 5 },
  orbit_right: { move: (t) => around([0, 1, 0], -ORBIT * t), count: 5 },
  orbit_around: { move: (t) => around([0, 1, 0], -2 * Math.PI * t), count: 9, closed: true, looksAtPivot: true },
  spiral: {
    move: (t) => towardsPivot(0.35 * t * Math.cos(2 * Math.PI * t), -0.35 * t * Math.sin(2 * Math.PI * t), 0),
    count: 9,
  },
  fly_through: { move: (t) => shift(0.18 * Math.sin(Math.PI * t), -0.12 * Math.sin(Math.PI * t), 0.8 * t), count: 4 },
  dolly_zoom: { move: travel(0, 0, FAR), count: 5, zoom: FAR },
};
export const PRESET_NAMES = Object.keys(PRESETS);

/**
 * @param {string} name one of PRESET_NAMES
 * @param {Start} start
 * @returns {CameraPath}
 */
export function buildPreset(name, start) {
  const { move, count, easing = "auto", zoom, closed = false, looksAtPivot } = PRESETS[name];
  const waypoints = Array.from({ length: count }, (_, i) => {
    const time = count === 1 ? 0 : i / (count - 1);
    const pose = move(time);
    const grown = withPlace(pose, scale(column(pose, 3), start.scale));
    const c2w = multiply(start.c2w, grown);
    // The pivot keeps its size in the picture: focal length in proportion to its distance.
    const half = Math.tan((start.fov_deg * Math.PI) / 360) / (zoom === undefined ? 1 : 1 - zoom * time);
    const fov_deg = (2 * Math.atan(half) * 180) / Math.PI;
    return makeWaypoint({ position: column(c2w, 3), wxyz: poseToQuaternion(c2w), fov_deg, time, easing });
  });
  if (closed) waypoints[count - 1] = { ...waypoints[0], time: 1 };
  const pivot = add(column(start.c2w, 3), turn(start.c2w, [0, 0, start.scale]));
  return makePath({
    waypoints,
    closed,
    look_at: looksAtPivot ? pivot : null,
    width: start.width,
    height: start.height,
    scale: start.scale,
    name: name.replaceAll("_", " "),
  });
}

/** What an empty editor stands for: Python's `first_draft`. @param {Start} start @returns {CameraPath} */
export const defaultPath = (start) => buildPreset("orbit_right", start);
