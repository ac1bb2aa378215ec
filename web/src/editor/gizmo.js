/**
 * What can be grabbed in the picture, and what dragging it does: waypoints, the axes and rings of the selected one,
 * its Bézier handles, and the point that the camera looks at.
 *
 * @typedef {import("../path/sampling.js").Camera} Camera
 * @typedef {{ kind: string, index: number, axis?: number, distance: number }} Hit
 */

import { add, axisTurn, column, cross, dot, intoCamera, multiply, normalize, poseToQuaternion, scale, subtract, UP } from "../view/matrices.js";
import { automaticHandles } from "../path/path_spline.js";
import { changeWaypoint, waypointPose } from "../path/path_edit.js";
import { project, rayThrough, unproject } from "../view/projection.js";

export const AXIS_PIXELS = 58;
export const RING_PIXELS = 50;
const GRAB_PIXELS = 9;
const RING_STEPS = 48;

/** Scene units per pixel at a point. @param {Camera} camera @param {number[]} point */
export const unitsPerPixel = (camera, point) => intoCamera(camera.c2w, point)[2] / camera.fx;

/**
 * Directions that the selected waypoint is moved along.
 * @param {import("./session.js").Session} session @param {string} axes "world" or "camera"
 */
export function moveAxes(session, axes) {
  if (axes === "world") return [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  const { c2w } = session.cameraOfWaypoint(session.selected);
  return [0, 1, 2].map((i) => column(c2w, i));
}

/** Axes that pan, tilt and roll turn about; null = the target decides. @param {import("./session.js").Session} session */
export function turnAxes(session) {
  const { c2w } = session.cameraOfWaypoint(session.selected);
  if (session.path.look_at) return [null, null, column(c2w, 2)];
  const pose = waypointPose(session.path.waypoints[session.selected]);
  // About world up and the camera's right, so that the horizon stays level. Positive: right, up, right side down.
  return [scale(UP, -1), column(pose, 0), column(c2w, 2)];
}

/** Points of a ring about an axis. @param {Camera} camera @param {number[]} center @param {number[]} axis */
export function ringPoints(camera, center, axis) {
  const radius = RING_PIXELS * unitsPerPixel(camera, center);
  const a = normalize(cross(axis, Math.abs(axis[1]) < 0.9 ? [0, 1, 0] : [1, 0, 0]));
  const b = cross(axis, a);
  return Array.from({ length: RING_STEPS + 1 }, (_, i) => {
    const angle = (2 * Math.PI * i) / RING_STEPS;
    return add(center, add(scale(a, radius * Math.cos(angle)), scale(b, radius * Math.sin(angle))));
  });
}

/** Ends of the selected waypoint's Bézier handles. @param {import("./session.js").Session} session */
export function handleEnds(session) {
  const { path, selected } = session;
  const waypoint = path.waypoints[selected];
  if (path.interpolation !== "bezier" || !waypoint || path.waypoints.length < 2) return [];
  const automatic = automaticHandles(path)[selected];
  const last = path.waypoints.length - 1;
  const ends = [];
  if (selected < last || path.closed) ends.push({ field: "handle_out", offset: waypoint.handle_out ?? automatic });
  if (selected > 0 || path.closed) ends.push({ field: "handle_in", offset: waypoint.handle_in ?? scale(automatic, -1) });
  return ends.map((end) => ({ ...end, point: add(waypoint.position, end.offset) }));
}

/**
 * What lies under a position.
 * @param {import("./session.js").Session} session @param {Camera} camera @param {number} near
 * @param {{ mode: string, axes: string }} tool
 * @param {number} x @param {number} y
 * @returns {Hit | null}
 */
export function hitTest(session, camera, near, tool, x, y) {
  const { path, selected } = session;
  if (!path) return null;
  /** @type {Hit | null} */
  let best = null;
  const offer = (hit, reach = GRAB_PIXELS) => {
    if (hit.distance <= reach && (!best || hit.distance < best.distance)) best = hit;
  };
  const off = (point) => {
    const seen = project(camera, point);
    return seen.z > near ? Math.hypot(seen.x - x, seen.y - y) : Infinity;
  };
  const chosen = path.waypoints[selected];
  const isFree = chosen && !session.isHeld(selected);
  handleEnds(session).forEach((end, i) => offer({ kind: "handle", index: i, distance: off(end.point) }));
  if (path.look_at) offer({ kind: "target", index: 0, distance: off(path.look_at) });
  if (best) return best;
  if (isFree && off(chosen.position) > 7) {
    const units = unitsPerPixel(camera, chosen.position);
    if (units > 0 && tool.mode === "move")
      moveAxes(session, tool.axes).forEach((axis, i) => {
        const from = project(camera, add(chosen.position, scale(axis, 14 * units)));
        const to = project(camera, add(chosen.position, scale(axis, AXIS_PIXELS * units)));
        if (Math.hypot(to.x - from.x, to.y - from.y) > 8)
          offer({ kind: "axis", index: selected, axis: i, distance: distanceToLine(x, y, from, to) }, 7);
      });
    if (units > 0 && tool.mode === "rotate")
      turnAxes(session).forEach((axis, i) => {
        if (axis) offer({ kind: "ring", index: selected, axis: i, distance: nearestOnRing(camera, chosen.position, axis, x, y).distance }, 7);
      });
  }
  if (best) return best;
  path.waypoints.forEach((waypoint, index) => {
    // Of waypoints in one place the selected is taken, so that a copy can be dragged off.
    offer({ kind: "waypoint", index, distance: off(waypoint.position) - (index === selected ? 0.5 : 0) }, GRAB_PIXELS + 2);
  });
  return best;
}

/** Where on the path's line a position lies. @returns {{ progress: number, x: number, y: number, distance: number } | null} */
export function hitPath(session, camera, near, x, y) {
  let best = null;
  const { samples } = session.shape;
  let before = null;
  for (const sample of samples) {
    const seen = { ...project(camera, column(sample.c2w, 3)), progress: sample.progress };
    if (before && before.z > near && seen.z > near) {
      const share = shareOnLine(x, y, before, seen);
      const at = { x: before.x + share * (seen.x - before.x), y: before.y + share * (seen.y - before.y) };
      const distance = Math.hypot(at.x - x, at.y - y);
      if (distance < 7 && (!best || distance < best.distance))
        best = { ...at, distance, progress: before.progress + share * (seen.progress - before.progress) };
    }
    before = seen;
  }
  return best;
}

function shareOnLine(x, y, a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const size = dx * dx + dy * dy;
  return size > 0 ? Math.max(0, Math.min(1, ((x - a.x) * dx + (y - a.y) * dy) / size)) : 0;
}

function distanceToLine(x, y, a, b) {
  const share = shareOnLine(x, y, a, b);
  return Math.hypot(a.x + share * (b.x - a.x) - x, a.y + share * (b.y - a.y) - y);
}

function nearestOnRing(camera, center, axis, x, y) {
  let best = { distance: Infinity, point: center };
  for (const point of ringPoints(camera, center, axis)) {
    const seen = project(camera, point);
    const distance = Math.hypot(seen.x - x, seen.y - y);
    if (distance < best.distance) best = { distance, point };
  }
  return best;
}

/**
 * The drag that a hit starts.
 * @param {import("./session.js").Session} session @param {Camera} camera @param {{ mode: string, axes: string }} tool
 * @param {Hit} hit @param {number} x @param {number} y
 * @returns {(x: number, y: number, event: PointerEvent) => void} moves what was grabbed
 */
export function startDrag(session, camera, tool, hit, x, y) {
  const path = session.path;
  if (hit.kind === "target") {
    const start = path.look_at;
    const place = dragInPlane(camera, start, x, y);
    return (toX, toY) => session.edit({ ...path, look_at: place(toX, toY) });
  }
  if (hit.kind === "handle") return dragHandle(session, camera, hit, x, y);
  const waypoint = path.waypoints[hit.index];
  const move = (position) => session.edit(changeWaypoint(path, hit.index, { position }));
  if (hit.kind === "waypoint") {
    const place = dragInPlane(camera, waypoint.position, x, y);
    return (toX, toY) => move(place(toX, toY));
  }
  if (hit.kind === "axis") {
    const axis = moveAxes(session, tool.axes)[hit.axis];
    const start = alongAxis(camera, waypoint.position, axis, x, y);
    return (toX, toY) => {
      const now = alongAxis(camera, waypoint.position, axis, toX, toY);
      if (Number.isFinite(now - start)) move(add(waypoint.position, scale(axis, now - start)));
    };
  }
  return dragRing(session, camera, hit, x, y);
}

/** Keeps a point under the pointer, at its depth. */
function dragInPlane(camera, start, x, y) {
  const seen = project(camera, start);
  const offset = subtract(start, unproject(camera, x, y, seen.z));
  return (toX, toY) => add(unproject(camera, toX, toY, seen.z), offset);
}

/** How far along an axis through a point the pointer is: where its ray passes nearest. */
function alongAxis(camera, origin, axis, x, y) {
  const ray = rayThrough(camera, x, y);
  const between = subtract(origin, column(camera.c2w, 3));
  const slant = dot(axis, ray);
  return (dot(ray, between) * slant - dot(axis, between)) / (1 - slant * slant);
}

function dragHandle(session, camera, hit, x, y) {
  const { path, selected } = session;
  const { field, point } = handleEnds(session)[hit.index];
  const { position } = path.waypoints[selected];
  const place = dragInPlane(camera, point, x, y);
  const other = field === "handle_in" ? "handle_out" : "handle_in";
  return (toX, toY, event) => {
    const offset = subtract(place(toX, toY), position);
    // Both stay in line unless Alt is held: a corner is rarely wanted.
    const change = event.altKey ? { [field]: offset } : { [field]: offset, [other]: scale(offset, -1) };
    session.edit(changeWaypoint(path, selected, change));
  };
}

function dragRing(session, camera, hit, x, y) {
  const { path } = session;
  const waypoint = path.waypoints[hit.index];
  const axis = turnAxes(session)[hit.axis];
  const { point } = nearestOnRing(camera, waypoint.position, axis, x, y);
  // Dragged along the ring's direction where it was grabbed: as far as the ring would turn there.
  const [from, to] = [point, add(point, scale(cross(axis, subtract(point, waypoint.position)), 0.02))].map((p) => project(camera, p));
  const [dx, dy] = [(to.x - from.x) / 0.02, (to.y - from.y) / 0.02];
  const size = Math.max(dx * dx + dy * dy, 100);
  const pose = waypointPose(waypoint);
  return (toX, toY, event) => {
    let angle = ((toX - x) * dx + (toY - y) * dy) / size;
    if (event.shiftKey) angle = (Math.round((angle * 180) / Math.PI / 5) * 5 * Math.PI) / 180;
    const change =
      hit.axis === 2
        ? { roll_deg: waypoint.roll_deg + (angle * 180) / Math.PI }
        : { wxyz: poseToQuaternion(multiply(axisTurn(axis, angle), pose)) };
    session.edit(changeWaypoint(path, hit.index, change));
  };
}
