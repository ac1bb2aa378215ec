/**
 * The active box: its edges, and what can be grabbed of it. Faces move along their axis with the other side held,
 * the middle moves in the view's plane, the ring's knob turns it about the vertical.
 *
 * @typedef {import("../path/sampling.js").Camera} Camera
 * @typedef {import("./view_state.js").Part} Part
 * @typedef {{ kind: "face" | "middle" | "turn", axis: number, side: number, point: number[] }} Handle
 */

import { add, column, dot, intoCamera, multiply, axisTurn, poseToQuaternion, quaternionToPose, scale, subtract, transform } from "../view/matrices.js";
import { drawDot, drawLines } from "../view/drawing.js";
import { project, rayThrough, unproject } from "../view/projection.js";

const GRAB_PIXELS = 10;
const KNOB = 1.35; // half sizes from the middle

/** @param {Part} box */
const poseOfBox = (box) => quaternionToPose(box.wxyz ?? [1, 0, 0, 0], box.centre);

/** The twelve edges. @param {Part} box @returns {number[][][]} */
export function boxEdges(box) {
  const pose = poseOfBox(box);
  const corner = (bits) => transform(pose, box.size.map((side, i) => (bits & (1 << i) ? 0.5 : -0.5) * side));
  const edges = [];
  for (let bits = 0; bits < 8; bits++)
    for (let axis = 0; axis < 3; axis++) if (!(bits & (1 << axis))) edges.push([corner(bits), corner(bits | (1 << axis))]);
  return edges;
}

/** @param {Part} box @returns {Handle[]} */
export function boxHandles(box) {
  const pose = poseOfBox(box);
  const handles = [];
  for (let axis = 0; axis < 3; axis++)
    for (const side of [-1, 1]) {
      const offset = [0, 0, 0].with(axis, (side * box.size[axis]) / 2);
      handles.push({ kind: "face", axis, side, point: transform(pose, offset) });
    }
  handles.push({ kind: "turn", axis: 1, side: 1, point: transform(pose, [(KNOB * box.size[0]) / 2, 0, 0]) });
  handles.push({ kind: "middle", axis: 0, side: 0, point: [...box.centre] });
  return /** @type {Handle[]} */ (handles);
}

/** What lies under a position. @param {Part} box @param {Camera} camera @param {number} near @param {number} x @param {number} y */
export function hitBox(box, camera, near, x, y) {
  let best = null;
  for (const handle of boxHandles(box)) {
    const seen = project(camera, handle.point);
    const distance = seen.z > near ? Math.hypot(seen.x - x, seen.y - y) : Infinity;
    if (distance <= GRAB_PIXELS && (!best || distance < best.distance)) best = { ...handle, distance };
  }
  return best;
}

/**
 * The drag that a handle starts.
 * @param {Part} box @param {Handle} handle @param {Camera} camera @param {number} x @param {number} y
 * @param {number} least side, scene units
 * @returns {(x: number, y: number) => Partial<Part>}
 */
export function dragBox(box, handle, camera, x, y, least) {
  if (handle.kind === "middle") {
    const depth = intoCamera(camera.c2w, box.centre)[2];
    const offset = subtract(box.centre, unproject(camera, x, y, depth));
    return (toX, toY) => ({ centre: add(unproject(camera, toX, toY, depth), offset) });
  }
  const pose = poseOfBox(box);
  if (handle.kind === "turn") {
    const start = angleAt(box, camera, x, y);
    return (toX, toY) => {
      const angle = angleAt(box, camera, toX, toY);
      if (start === null || angle === null) return {};
      // About the world's vertical, y: from x towards z is a negative turn.
      return { wxyz: poseToQuaternion(multiply(axisTurn([0, 1, 0], start - angle), pose)) };
    };
  }
  const axis = column(pose, handle.axis);
  const start = alongAxis(camera, handle.point, axis, x, y);
  return (toX, toY) => {
    const moved = alongAxis(camera, handle.point, axis, toX, toY) - start;
    if (!Number.isFinite(moved)) return {};
    const side = Math.max(least, box.size[handle.axis] + handle.side * moved);
    const shift = ((side - box.size[handle.axis]) / 2) * handle.side;
    return { size: box.size.with(handle.axis, side), centre: add(box.centre, scale(axis, shift)) };
  };
}

/** Direction of the pointer from the middle, in the horizontal plane through it. */
function angleAt(box, camera, x, y) {
  const ray = rayThrough(camera, x, y);
  const eye = column(camera.c2w, 3);
  if (Math.abs(ray[1]) < 1e-3) return null;
  const far = (box.centre[1] - eye[1]) / ray[1];
  if (far <= 0) return null;
  const at = subtract(add(eye, scale(ray, far)), box.centre);
  return Math.atan2(at[2], at[0]);
}

/** How far along an axis the pointer is: where its ray passes nearest. */
function alongAxis(camera, origin, axis, x, y) {
  const ray = rayThrough(camera, x, y);
  const between = subtract(origin, column(camera.c2w, 3));
  const slant = dot(axis, ray);
  return (dot(ray, between) * slant - dot(axis, between)) / (1 - slant * slant);
}

/**
 * @param {CanvasRenderingContext2D} ctx @param {Camera} camera @param {Part} box
 * @param {{ colour: string, near: number, isActive: boolean, hover: Handle | null }} look
 */
export function drawBox(ctx, camera, box, { colour, near, isActive, hover }) {
  ctx.save();
  if (!isActive) ctx.globalAlpha = 0.55;
  drawLines(ctx, camera, boxEdges(box), colour, isActive ? 1.8 : 1.1, near);
  ctx.restore();
  if (!isActive) return;
  const [knob] = boxHandles(box).filter(({ kind }) => kind === "turn");
  drawLines(ctx, camera, [[box.centre, knob.point]], colour, 1, near);
  for (const handle of boxHandles(box)) {
    const seen = project(camera, handle.point);
    if (seen.z < near) continue;
    const isHovered = hover?.kind === handle.kind && hover.axis === handle.axis && hover.side === handle.side;
    const fill = isHovered ? "#ffffff" : handle.kind === "turn" ? "#8fd0ff" : handle.kind === "middle" ? "#f4f7fb" : colour;
    drawDot(ctx, seen.x, seen.y, isHovered ? 6.5 : handle.kind === "face" ? 4.5 : 5, fill);
  }
}
