/**
 * What is drawn over the points: the path in its colours, cameras, the tool on the selected waypoint, warnings, and
 * the rulers in the corners.
 *
 * @typedef {import("./session.js").Session} Session
 * @typedef {import("../path/sampling.js").Camera} Camera
 */

import { add, column, distance, scale } from "../view/matrices.js";
import { coincidentWaypoints } from "../path/path_edit.js";
import {
  COLOURS, drawArrowhead, drawAxes, drawDot, drawFrustum, drawLabel, drawLines, roundLength, speedColour, strokeWithRim,
} from "../view/drawing.js";
import { project } from "../view/projection.js";
import { AXIS_PIXELS, handleEnds, moveAxes, ringPoints, turnAxes, unitsPerPixel } from "./gizmo.js";

const ARROW_EVERY = 84;
const MOST_FRUSTA = 60;

/** @param {Session} session @param {number} i number of a sample */
const speedOf = (session, i) => {
  const { speeds, meanSpeed } = session.shape;
  return meanSpeed > 0 ? speeds[i] / meanSpeed / 2 : 0;
};

/**
 * @param {CanvasRenderingContext2D} ctx @param {Camera} view @param {Session} session
 * @param {object} state
 * @param {number} state.near scene units
 * @param {boolean} state.isSpeedShown
 * @param {boolean} state.isLookedThrough the view stands where the camera does
 * @param {{ mode: string, axes: string }} state.tool
 * @param {any} state.hover what lies under the pointer
 * @param {{ progress: number, x: number, y: number } | null} state.insertion where a click would insert
 */
export function drawPath(ctx, view, session, state) {
  const { path } = session;
  if (!path) return;
  const size = frustumSize(session);
  ctx.save();
  // Looked through, the picture itself matters: only a trace of the way ahead.
  if (state.isLookedThrough) ctx.globalAlpha = 0.35;
  else drawInputView(ctx, view, session, size, state.near);
  const seen = session.shape.samples.map((sample) => project(view, column(sample.c2w, 3)));
  drawCurve(ctx, session, seen, state);
  drawFrameTicks(ctx, view, session, state);
  if (path.look_at) drawTarget(ctx, view, session, state);
  if (!state.isLookedThrough) {
    drawWaypoints(ctx, view, session, size, state);
    drawPlayhead(ctx, view, session, size, state);
    drawTool(ctx, view, session, state);
  }
  if (state.insertion) {
    drawDot(ctx, state.insertion.x, state.insertion.y, 6, "rgba(255,255,255,0.35)");
    drawLabel(ctx, "+", state.insertion.x, state.insertion.y, { size: 12 });
  }
  ctx.restore();
}

/** How large cameras are drawn, scene units. @param {Session} session */
export function frustumSize(session) {
  const { path } = session;
  return 0.13 * Math.min(path.scale, Math.max(session.shape.length, 0.4 * path.scale));
}

function drawInputView(ctx, view, session, size, near) {
  const input = session.run?.inputView;
  if (!input) return;
  const focal = input.width / (2 * Math.tan((input.fov_deg * Math.PI) / 360));
  const camera = { c2w: input.c2w, fx: focal, fy: focal, cx: input.width / 2, cy: input.height / 2, width: input.width, height: input.height };
  ctx.setLineDash([4, 3]);
  drawFrustum(ctx, view, camera, { depth: 1.2 * size, colour: COLOURS.input, width: 1.2, near });
  ctx.setLineDash([]);
}

function drawCurve(ctx, session, seen, { near, isSpeedShown }) {
  const good = (i) => seen[i].z > near;
  ctx.lineCap = ctx.lineJoin = "round";
  const trace = () => {
    for (let i = 1; i < seen.length; i++) {
      if (!good(i - 1) || !good(i)) continue;
      ctx.moveTo(seen[i - 1].x, seen[i - 1].y);
      ctx.lineTo(seen[i].x, seen[i].y);
    }
  };
  strokeWithRim(ctx, trace, COLOURS.path, 2.6);
  if (isSpeedShown)
    for (let i = 1; i < seen.length; i++) {
      if (!good(i - 1) || !good(i)) continue;
      ctx.beginPath();
      ctx.moveTo(seen[i - 1].x, seen[i - 1].y);
      ctx.lineTo(seen[i].x, seen[i].y);
      ctx.strokeStyle = speedColour(speedOf(session, i));
      ctx.lineWidth = 2.8;
      ctx.stroke();
    }
  // Arrows at equal steps of the picture.
  let way = ARROW_EVERY / 2;
  for (let i = 1; i < seen.length; i++) {
    if (!good(i - 1) || !good(i)) continue;
    const [dx, dy] = [seen[i].x - seen[i - 1].x, seen[i].y - seen[i - 1].y];
    way += Math.hypot(dx, dy);
    if (way < ARROW_EVERY) continue;
    way = 0;
    drawArrowhead(ctx, seen[i].x, seen[i].y, Math.atan2(dy, dx), 7, isSpeedShown ? speedColour(speedOf(session, i)) : COLOURS.path);
  }
}

/** A dot per frame: close together where the camera is slow; those that a run warned of are larger. */
function drawFrameTicks(ctx, view, session, { near }) {
  const { frameCameras } = session.shape;
  const warnings = session.isChanged ? null : session.run?.warnings;
  frameCameras.forEach((camera, frame) => {
    const seen = project(view, column(camera.c2w, 3));
    if (seen.z < near) return;
    const kind = warnings && warningOf(warnings, frame);
    if (kind) {
      drawDot(ctx, seen.x, seen.y, 4.5, WARNING_COLOURS[kind]);
      return;
    }
    if (frameCameras.length > 160) return;
    ctx.beginPath();
    ctx.arc(seen.x, seen.y, 1.5, 0, 2 * Math.PI);
    ctx.fillStyle = "rgba(255, 255, 255, 0.85)";
    ctx.fill();
  });
}

export const WARNING_COLOURS = { collision: "#ff3b30", outside: "#d86bff", too_fast: "#ff9f1a", big_holes: "#b6bcc6" };

/** The gravest warning of a frame. @param {any} warnings @param {number} frame */
export const warningOf = (warnings, frame) => Object.keys(WARNING_COLOURS).find((kind) => warnings[kind].has(frame));

function drawTarget(ctx, view, session, { near, hover }) {
  const seen = project(view, session.path.look_at);
  if (seen.z < near) return;
  const { x, y } = seen;
  strokeWithRim(ctx, () => {
    ctx.arc(x, y, 7, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ctx.moveTo(x + 4 * dx, y + 4 * dy);
      ctx.lineTo(x + 11 * dx, y + 11 * dy);
    }
  }, hover?.kind === "target" ? "#ffffff" : COLOURS.target, 1.6);
}

function drawWaypoints(ctx, view, session, size, { near, hover }) {
  const { path, selected } = session;
  const shown = path.closed ? path.waypoints.length - 1 : path.waypoints.length;
  const every = Math.ceil(shown / MOST_FRUSTA);
  for (let i = 0; i < shown; i++) {
    if (i % every && i !== selected) continue;
    const colour = i === selected ? COLOURS.selected : COLOURS.waypoint;
    const fill = i === selected ? "rgba(255, 176, 46, 0.16)" : undefined;
    drawFrustum(ctx, view, session.cameraOfWaypoint(i), { depth: size, colour, width: i === selected ? 2 : 1.3, fill, near });
  }
  const stacked = new Map(coincidentWaypoints(path).map((i) => [i + 1, i]));
  for (let i = 0; i < shown; i++) {
    const { x, y, z } = project(view, path.waypoints[i].position);
    if (z < near) continue;
    const isHovered = hover?.kind === "waypoint" && hover.index === i;
    drawDot(ctx, x, y, i === selected || isHovered ? 6.5 : 5, i === selected ? COLOURS.selected : isHovered ? "#ffffff" : "#dfe6f0");
    if (every > 1 && i !== selected) continue;
    const up = y + 17 + (stacked.has(i) ? 17 : 0);
    drawLabel(ctx, String(i + 1), x, up, { colour: i === selected ? COLOURS.selected : undefined });
    if (session.isHeld(i)) drawLock(ctx, x + 13, up, i === selected ? COLOURS.selected : "#f4f7fb");
  }
}

function drawLock(ctx, x, y, colour) {
  strokeWithRim(ctx, () => {
    ctx.moveTo(x - 2.5, y - 1);
    ctx.arc(x, y - 2, 2.5, Math.PI, 0);
    ctx.lineTo(x + 2.5, y - 1);
  }, colour, 1.3);
  ctx.fillStyle = colour;
  ctx.fillRect(x - 4, y - 1, 8, 6);
}

function drawPlayhead(ctx, view, session, size, { near }) {
  const camera = session.cameraAt(session.progress);
  const chosen = session.path.waypoints[session.selected];
  if (chosen && distance(chosen.position, column(camera.c2w, 3)) < 0.01 * size) return;
  drawFrustum(ctx, view, camera, { depth: 1.15 * size, colour: "#59e3ff", width: 2, fill: "rgba(89, 227, 255, 0.14)", near });
}

function drawTool(ctx, view, session, { near, tool, hover }) {
  const { path, selected } = session;
  const waypoint = path.waypoints[selected];
  if (!waypoint) return;
  const center = project(view, waypoint.position);
  if (center.z < near) return;
  for (const [i, end] of handleEnds(session).entries()) {
    drawLines(ctx, view, [[waypoint.position, end.point]], COLOURS.handle, 1.3, near);
    const seen = project(view, end.point);
    if (seen.z > near) drawDot(ctx, seen.x, seen.y, hover?.kind === "handle" && hover.index === i ? 6 : 4.5, COLOURS.handle);
  }
  if (session.isHeld(selected)) return;
  const units = unitsPerPixel(view, waypoint.position);
  if (tool.mode === "move")
    moveAxes(session, tool.axes).forEach((axis, i) => {
      const isHovered = hover?.kind === "axis" && hover.axis === i;
      const from = project(view, add(waypoint.position, scale(axis, 14 * units)));
      const to = project(view, add(waypoint.position, scale(axis, AXIS_PIXELS * units)));
      if (from.z < near || to.z < near || Math.hypot(to.x - from.x, to.y - from.y) < 8) return;
      const colour = isHovered ? "#ffffff" : COLOURS.axes[i];
      strokeWithRim(ctx, () => {
        ctx.moveTo(from.x, from.y);
        ctx.lineTo(to.x, to.y);
      }, colour, isHovered ? 3.4 : 2.6);
      drawArrowhead(ctx, to.x, to.y, Math.atan2(to.y - from.y, to.x - from.x), 9, colour);
    });
  else
    turnAxes(session).forEach((axis, i) => {
      if (!axis) return;
      const isHovered = hover?.kind === "ring" && hover.axis === i;
      const points = ringPoints(view, waypoint.position, axis);
      const colour = isHovered ? "#ffffff" : [COLOURS.axes[1], COLOURS.axes[0], COLOURS.axes[2]][i];
      drawLines(ctx, view, points.slice(1).map((point, k) => [points[k], point]), colour, isHovered ? 3.2 : 2.2, near);
    });
}

/**
 * The window that a picture taken from here shows; what lies outside is dimmed when looked through.
 * @param {CanvasRenderingContext2D} ctx @param {{ x: number, y: number, width: number, height: number }} box
 * @param {number} width of the view @param {number} height @param {boolean} isDimmed
 */
export function drawGate(ctx, box, width, height, isDimmed) {
  if (isDimmed) {
    ctx.fillStyle = "rgba(8, 9, 12, 0.62)";
    ctx.beginPath();
    ctx.rect(0, 0, width, height);
    ctx.rect(box.x, box.y, box.width, box.height);
    ctx.fill("evenodd");
  }
  ctx.strokeStyle = isDimmed ? "rgba(89, 227, 255, 0.9)" : "rgba(255, 255, 255, 0.28)";
  ctx.lineWidth = 1;
  if (isDimmed) return ctx.strokeRect(box.x, box.y, box.width, box.height);
  // Only corners: a frame would always be in the way.
  const reach = 14;
  ctx.beginPath();
  for (const [x, dx] of [[box.x, 1], [box.x + box.width, -1]])
    for (const [y, dy] of [[box.y, 1], [box.y + box.height, -1]]) {
      ctx.moveTo(x + dx * reach, y);
      ctx.lineTo(x, y);
      ctx.lineTo(x, y + dy * reach);
    }
  ctx.stroke();
}

/**
 * Axes and a ruler at the pivot's depth.
 * @param {CanvasRenderingContext2D} ctx @param {Camera} view @param {number} distance of the pivot
 * @param {(length: number) => string} textOf a length in scene units
 */
export function drawRulers(ctx, view, distance, textOf) {
  drawAxes(ctx, view, 30, view.height - 32, 18);
  const units = distance / view.fx;
  const length = roundLength(90 * units);
  const pixels = length / units;
  const [x, y] = [84, view.height - 16];
  strokeWithRim(ctx, () => {
    ctx.moveTo(x, y - 4);
    ctx.lineTo(x, y);
    ctx.lineTo(x + pixels, y);
    ctx.lineTo(x + pixels, y - 4);
  }, "rgba(255,255,255,0.85)", 1.4);
  drawLabel(ctx, textOf(length), x + pixels / 2, y - 13);
}
