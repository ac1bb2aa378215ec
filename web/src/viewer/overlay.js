/** What is drawn over the points: cameras of the bank, boxes, strokes, recorded views, rulers. */

import { column, quaternionToPose } from "../view/matrices.js";
import { COLOURS, drawAxes, drawDot, drawFrustum, drawLabel, drawLines, roundLength, strokeWithRim } from "../view/drawing.js";
import { project } from "../view/projection.js";
import { drawBox } from "./box_gizmo.js";

const MOST_FRUSTA = 400;
export const MODE_COLOURS = { add: "#ffb02e", subtract: "#ff5a6e", intersect: "#8fd0ff" };

/** Colour of a clip, as the points have it. @param {number} clip */
export function clipColour(clip) {
  const fract = (value) => value - Math.floor(value);
  const channels = [0.58, 0.58 + 0.6667, 0.58 + 0.3333].map((shift) => {
    const hue = Math.min(1, Math.max(0, Math.abs(fract(clip * 0.61803 + shift) * 6 - 3) - 1));
    return Math.round(255 * 0.95 * (1 + 0.62 * (hue - 1)));
  });
  return `rgb(${channels.join(",")})`;
}

/** @param {import("./view_state.js").Place} place @param {number} width @param {number} height pixels */
export function placeCamera(place, width, height) {
  const focal = width / (2 * Math.tan((place.fov_deg * Math.PI) / 360));
  const c2w = quaternionToPose(place.wxyz ?? [1, 0, 0, 0], place.position);
  return { c2w, fx: focal, fy: focal, cx: width / 2, cy: height / 2, width, height };
}

/** @param {import("./world_viewer.js").WorldViewer} viewer */
export function paintOverlay(ctx, camera, viewer) {
  const { session, pointer } = viewer;
  const { world, state, look } = session;
  const near = 0.02 * viewer.view.orbit.unit;
  const size = 0.09 * viewer.unit();
  if (world && look.cameras) drawBank(ctx, camera, viewer, size, near);
  drawRecorded(ctx, camera, viewer, size, near);
  if (state.camera && world)
    drawFrustum(ctx, camera, placeCamera(state.camera, world.width, world.height), {
      depth: 1.3 * size, colour: COLOURS.target, width: 1.8, fill: "rgba(255,95,162,0.14)", near,
    });
  state.selection.forEach((part, i) => {
    if (part.kind !== "box") return;
    drawBox(ctx, camera, part, {
      colour: MODE_COLOURS[part.mode ?? "add"], near, isActive: i === session.active, hover: pointer.state.hover,
    });
  });
  drawTool(ctx, viewer);
  drawRulers(ctx, camera, viewer);
}

function drawBank(ctx, camera, viewer, size, near) {
  const { world, look } = viewer.session;
  const shown = world.views.filter(({ clip }) => !look.hidden.includes(clip));
  const step = Math.ceil(shown.length / MOST_FRUSTA);
  ctx.save();
  shown.forEach(({ camera: seen, clip }, i) => {
    const isHovered = viewer.pointer.state.camera === i;
    if (i % step && !isHovered) return;
    // One of many must not hide the rest: pictures of clips are drawn small.
    const depth = size * (clip === 0 ? 1.4 : shown.length > 12 ? 0.6 : 1);
    const colour = clip === 0 ? COLOURS.input : clipColour(clip);
    drawFrustum(ctx, camera, seen, { depth, colour, width: isHovered ? 2.6 : 1.2, near, fill: isHovered ? "rgba(255,255,255,0.2)" : undefined });
  });
  const hovered = shown[viewer.pointer.state.camera];
  if (hovered) {
    const at = project(camera, column(hovered.camera.c2w, 3));
    if (at.z > near) drawLabel(ctx, hovered.name, at.x, at.y - 16);
  }
  ctx.restore();
}

function drawRecorded(ctx, camera, viewer, size, near) {
  const { state, world } = viewer.session;
  if (!state.recorded.length || !world) return;
  const places = state.recorded.map((place) => place.position);
  drawLines(ctx, camera, places.slice(1).map((place, i) => [places[i], place]), COLOURS.path, 1.6, near);
  state.recorded.forEach((place, i) => {
    drawFrustum(ctx, camera, placeCamera(place, world.width, world.height), { depth: size, colour: COLOURS.path, width: 1.4, near });
    const at = project(camera, place.position);
    if (at.z < near) return;
    drawDot(ctx, at.x, at.y, 3.5, COLOURS.waypoint);
    drawLabel(ctx, String(i + 1), at.x, at.y - 13);
  });
}

/** The stroke, outline or rectangle that is being drawn, and the brush under the pointer. */
function drawTool(ctx, viewer) {
  const { stroke, at } = viewer.pointer.state;
  const colour = MODE_COLOURS[viewer.tool.mode];
  const height = viewer.view.canvas.clientHeight;
  const radius = viewer.tool.radius * height;
  if (viewer.tool.name === "brush" && at) {
    strokeWithRim(ctx, () => ctx.arc(at[0], at[1], radius, 0, 2 * Math.PI), colour, 1.4);
  }
  if (!stroke?.length) return;
  if (viewer.tool.name === "box") {
    const [from, to] = [stroke[0], stroke[stroke.length - 1]];
    ctx.fillStyle = "rgba(255,176,46,0.12)";
    ctx.fillRect(from[0], from[1], to[0] - from[0], to[1] - from[1]);
    ctx.setLineDash([5, 4]);
    strokeWithRim(ctx, () => ctx.rect(from[0], from[1], to[0] - from[0], to[1] - from[1]), colour, 1.4);
    ctx.setLineDash([]);
    return;
  }
  const trace = () => stroke.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  if (viewer.tool.name === "lasso") {
    ctx.beginPath();
    trace();
    ctx.fillStyle = "rgba(255,176,46,0.12)";
    ctx.fill("evenodd");
    strokeWithRim(ctx, trace, colour, 1.6);
    return;
  }
  ctx.save();
  ctx.globalAlpha = 0.22;
  ctx.lineJoin = ctx.lineCap = "round";
  ctx.beginPath();
  trace();
  if (stroke.length === 1) ctx.lineTo(stroke[0][0] + 0.01, stroke[0][1]);
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2 * radius;
  ctx.stroke();
  ctx.restore();
}

function drawRulers(ctx, camera, viewer) {
  drawAxes(ctx, camera, 34, camera.height - 36, 20);
  const perUnit = camera.fx / viewer.view.orbit.distance;
  const length = roundLength(110 / perUnit);
  const [right, y] = [camera.width - 14, camera.height - 14];
  const left = right - length * perUnit;
  strokeWithRim(ctx, () => {
    ctx.moveTo(left, y - 5);
    ctx.lineTo(left, y);
    ctx.lineTo(right, y);
    ctx.lineTo(right, y - 5);
  }, "#e8edf5", 1.4);
  drawLabel(ctx, viewer.lengthText(length), (left + right) / 2, y - 13);
}

/** The window that the view given out shows. @param {{ x: number, y: number, width: number, height: number }} box */
export function drawGate(ctx, box, width, height) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(0, 0, width, height);
  ctx.rect(box.x, box.y, box.width, box.height);
  ctx.fillStyle = "rgba(0,0,0,0.16)";
  ctx.fill("evenodd");
  ctx.strokeStyle = "rgba(255,255,255,0.28)";
  ctx.lineWidth = 1;
  ctx.strokeRect(box.x + 0.5, box.y + 0.5, box.width - 1, box.height - 1);
  ctx.restore();
}
