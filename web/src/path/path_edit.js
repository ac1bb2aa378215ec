/**
 * Changes of a camera path. Each gives a new path; none leaves one that the node would refuse.
 *
 * @typedef {import("./path_model.js").CameraPath} CameraPath
 * @typedef {import("./path_model.js").Waypoint} Waypoint
 */

import {
  add, axisTurn, column, distance, invert, lookAt, multiply, poseToQuaternion, quaternionToPose, scale, subtract, transform, turn,
} from "../view/matrices.js";
import { makeWaypoint, spreadTimes } from "./path_model.js";
import { evaluatePath, makeCurve, positionAt, waypointProgress } from "./path_spline.js";

/** Least share of the clip between two waypoints. */
const NEAREST_TIMES = 1e-3;

/** @param {CameraPath} path @param {Waypoint[]} waypoints @returns {CameraPath} with the ends at time 0 and 1 */
function withWaypoints(path, waypoints) {
  const [first, last] = [waypoints[0].time, waypoints[waypoints.length - 1].time];
  const span = last - first;
  const timed = waypoints.map((waypoint, i) => ({
    ...waypoint,
    time: i === 0 ? 0 : i === waypoints.length - 1 ? 1 : (waypoint.time - first) / span,
  }));
  const isClosed = path.closed && timed.length >= 3;
  return { ...path, waypoints: timed, closed: isClosed };
}

/**
 * One waypoint changed; on a closed path its first and last stay together.
 * @param {CameraPath} path @param {number} index @param {Partial<Waypoint>} change @returns {CameraPath}
 */
export function changeWaypoint(path, index, change) {
  const last = path.waypoints.length - 1;
  const { time, easing, ...shared } = change;
  const isSeam = path.closed && (index === 0 || index === last);
  const waypoints = path.waypoints.map((waypoint, i) =>
    i === index ? { ...waypoint, ...change } : isSeam && (i === 0 || i === last) ? { ...waypoint, ...shared } : waypoint,
  );
  return { ...path, waypoints };
}

/** The pose of a waypoint without its roll. @param {Waypoint} waypoint */
export const waypointPose = (waypoint) => quaternionToPose(waypoint.wxyz, waypoint.position);

/** How a waypoint really looks: roll and the path's target included. @param {CameraPath} path @param {number} index */
export function waypointSample(path, index) {
  return makeCurve(path)(index);
}

/**
 * A waypoint as the path passes a moment, without changing where it goes.
 * @param {CameraPath} path @param {number} progress @returns {Waypoint}
 */
function waypointAt(path, progress) {
  const { c2w, fov_deg, roll_deg } = evaluatePath(path, progress);
  const level = multiply(c2w, axisTurn([0, 0, 1], (-roll_deg * Math.PI) / 180));
  return makeWaypoint({ position: column(c2w, 3), wxyz: poseToQuaternion(level), fov_deg, roll_deg });
}

/**
 * A waypoint put into the path at a moment.
 * @param {CameraPath} path @param {number} progress
 * @returns {{ path: CameraPath, index: number }}
 */
export function insertWaypoint(path, progress) {
  const { waypoints } = path;
  if (waypoints.length === 1) return appendWaypoint(path, waypointAt(path, 0));
  const position = positionAt(path, progress);
  const segment = Math.min(Math.floor(position), waypoints.length - 2);
  const [before, after] = [waypoints[segment].time, waypoints[segment + 1].time];
  const wanted = path.speed === "constant" ? before + (position - segment) * (after - before) : progress;
  const waypoint = { ...waypointAt(path, progress), time: between(wanted, before, after), easing: waypoints[segment].easing };
  return { path: { ...path, waypoints: waypoints.toSpliced(segment + 1, 0, waypoint) }, index: segment + 1 };
}

/** A time inside a gap, not on its ends. */
function between(time, before, after) {
  const margin = Math.min(NEAREST_TIMES, (after - before) / 4);
  return Math.min(Math.max(time, before + margin), after - margin);
}

/**
 * A waypoint after the last; the way to it takes as long as the others do on average. A closed path gets it before
 * its last.
 * @param {CameraPath} path @param {Partial<Waypoint>} given @returns {{ path: CameraPath, index: number }}
 */
export function appendWaypoint(path, given) {
  const { waypoints } = path;
  if (path.closed) {
    const index = waypoints.length - 1;
    const time = (waypoints[index - 1].time + 1) / 2;
    return { path: { ...path, waypoints: waypoints.toSpliced(index, 0, makeWaypoint({ ...given, time })) }, index };
  }
  const parts = waypoints.length - 1;
  const shrink = parts / (parts + 1);
  const earlier = waypoints.map((waypoint) => ({ ...waypoint, time: waypoint.time * shrink }));
  return {
    path: { ...path, waypoints: [...earlier, makeWaypoint({ ...given, time: 1 })] },
    index: waypoints.length,
  };
}

/** A waypoint that carries the last move on. @param {CameraPath} path */
export function extendPath(path) {
  const { waypoints } = path;
  const last = waypoints[waypoints.length - 1];
  if (path.closed) return insertWaypoint(path, (waypoints[waypoints.length - 2].time + 1) / 2);
  const pose = waypointPose(last);
  if (waypoints.length === 1) {
    const ahead = add(last.position, scale(column(pose, 2), 0.3 * path.scale));
    return appendWaypoint(path, { ...last, position: ahead });
  }
  const before = waypointPose(waypoints[waypoints.length - 2]);
  const moved = multiply(pose, multiply(invert(before), pose));
  // A hold goes on as a hold, but one that shows.
  const isHold = distance(column(before, 3), column(pose, 3)) < 1e-6 * path.scale;
  const position = isHold ? add(last.position, scale(column(pose, 2), 0.3 * path.scale)) : column(moved, 3);
  return appendWaypoint(path, { ...last, position, wxyz: poseToQuaternion(moved), handle_in: null, handle_out: null });
}

/** The same place once more, half way to the next waypoint: the camera waits there. @param {CameraPath} path @param {number} index */
export function duplicateWaypoint(path, index) {
  const { waypoints } = path;
  const copy = { ...waypoints[index] };
  if (index === waypoints.length - 1) return appendWaypoint(path, copy);
  const time = (waypoints[index].time + waypoints[index + 1].time) / 2;
  return { path: { ...path, waypoints: waypoints.toSpliced(index + 1, 0, { ...copy, time }) }, index: index + 1 };
}

/** @param {CameraPath} path @param {number} index @returns {CameraPath} unchanged when it is the only one */
export function removeWaypoint(path, index) {
  if (path.waypoints.length === 1) return path;
  const last = path.waypoints.length - 1;
  const opened = path.closed && (index === 0 || index === last) ? { ...path, closed: false } : path;
  return withWaypoints(opened, opened.waypoints.toSpliced(index, 1));
}

/** @param {CameraPath} path @param {number} index of a waypoint between the ends @param {number} time */
export function moveTime(path, index, time) {
  const { waypoints } = path;
  if (index <= 0 || index >= waypoints.length - 1) return path;
  return changeWaypoint(path, index, { time: between(time, waypoints[index - 1].time, waypoints[index + 1].time) });
}

/** Times by distance. @param {CameraPath} path @returns {CameraPath} */
export function evenTimes(path) {
  const waypoints = path.waypoints.map((waypoint) => ({ ...waypoint }));
  if (waypoints.length > 1) spreadTimes(waypoints);
  return { ...path, waypoints };
}

/** A way back to the start, or none. @param {CameraPath} path @param {boolean} isClosed */
export function setClosed(path, isClosed) {
  if (isClosed === path.closed) return path;
  if (!isClosed) return withWaypoints({ ...path, closed: false }, path.waypoints.slice(0, -1));
  if (path.waypoints.length < 2) return path;
  const back = appendWaypoint(path, { ...path.waypoints[0], easing: "auto" }).path;
  return { ...back, closed: true };
}

/** The way back: the same places in the other order. @param {CameraPath} path */
export function reversePath(path) {
  const swapped = { "ease in": "ease out", "ease out": "ease in" };
  const last = path.waypoints.length - 1;
  const waypoints = path.waypoints.map((_, i) => {
    const { time, handle_in, handle_out, ...rest } = path.waypoints[last - i];
    const easing = last - i - 1 >= 0 ? path.waypoints[last - i - 1].easing : "auto";
    return { ...rest, time: last === 0 ? 0 : 1 - time, easing: swapped[easing] ?? easing, handle_in: handle_out, handle_out: handle_in };
  });
  return { ...path, waypoints };
}

/** The whole path moved rigidly. @param {CameraPath} path @param {number[]} pose */
export function movePath(path, pose) {
  const waypoints = path.waypoints.map((waypoint) => {
    const moved = multiply(pose, waypointPose(waypoint));
    return {
      ...waypoint,
      position: column(moved, 3),
      wxyz: poseToQuaternion(moved),
      handle_in: waypoint.handle_in && turn(pose, waypoint.handle_in),
      handle_out: waypoint.handle_out && turn(pose, waypoint.handle_out),
    };
  });
  return { ...path, waypoints, look_at: path.look_at && transform(pose, path.look_at) };
}

/** The whole path moved so that it begins at a camera. @param {CameraPath} path @param {number[]} c2w */
export const startAt = (path, c2w) => movePath(path, multiply(c2w, invert(waypointPose(path.waypoints[0]))));

/** The path in a world where `size` scene units count as one, grown about its start. @param {CameraPath} path @param {number} size */
export function rescalePath(path, size) {
  const factor = size / path.scale;
  const first = path.waypoints[0].position;
  const place = (point) => add(first, scale(subtract(point, first), factor));
  const waypoints = path.waypoints.map((waypoint) => ({
    ...waypoint,
    position: place(waypoint.position),
    handle_in: waypoint.handle_in && scale(waypoint.handle_in, factor),
    handle_out: waypoint.handle_out && scale(waypoint.handle_out, factor),
  }));
  return { ...path, waypoints, look_at: path.look_at && place(path.look_at), scale: size };
}

/** A waypoint turned towards a point, upright. @param {CameraPath} path @param {number} index @param {number[]} target */
export function aimWaypoint(path, index, target) {
  const { position } = path.waypoints[index];
  if (distance(position, target) < 1e-6 * path.scale) return path;
  return changeWaypoint(path, index, { wxyz: poseToQuaternion(lookAt(position, target)) });
}

/** Pairs of neighbours that stand in one place. @param {CameraPath} path @returns {number[]} index of the first of each */
export function coincidentWaypoints(path) {
  const found = [];
  for (let i = 0; i + 1 < path.waypoints.length; i++)
    if (distance(path.waypoints[i].position, path.waypoints[i + 1].position) < 1e-5 * path.scale) found.push(i);
  return found;
}

/** When waypoint `index` is passed, as progress. @param {CameraPath} path @param {number} index */
export const progressOf = (path, index) => waypointProgress(path)[index] ?? 0;
