/**
 * Lines, frusta and labels over a picture of the world, in layout pixels of a 2D canvas. Every line has a dark or
 * light rim, so that it shows against any cloud.
 *
 * @typedef {import("../path/sampling.js").Camera} Camera
 */

import { transform } from "./matrices.js";
import { project, projectLine } from "./projection.js";

export const COLOURS = {
  path: "#7cc4ff",
  waypoint: "#f4f7fb",
  selected: "#ffb02e",
  target: "#ff5fa2",
  handle: "#c69bff",
  input: "#5fe0a5",
  warning: "#ff5a4f",
  rim: "rgba(8, 10, 14, 0.72)",
  axes: ["#ff6464", "#7ddc5c", "#5b9dff"],
};

/** Slow to fast: blue, green, yellow, red. @param {number} t 0..1 */
export function speedColour(t) {
  const stops = [[84, 140, 255], [70, 214, 170], [255, 214, 74], [255, 84, 66]];
  const at = Math.max(0, Math.min(0.9999, t)) * 3;
  const [a, b] = [stops[Math.floor(at)], stops[Math.floor(at) + 1]];
  return `rgb(${a.map((value, i) => Math.round(value + (at % 1) * (b[i] - value))).join(",")})`;
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {() => void} trace makes the path
 * @param {string} colour @param {number} width
 */
export function strokeWithRim(ctx, trace, colour, width) {
  ctx.lineJoin = ctx.lineCap = "round";
  for (const [style, wide] of [[COLOURS.rim, width + 2.4], [colour, width]]) {
    ctx.beginPath();
    trace();
    ctx.strokeStyle = /** @type {string} */ (style);
    ctx.lineWidth = /** @type {number} */ (wide);
    ctx.stroke();
  }
}

/**
 * Straight lines between world points.
 * @param {CanvasRenderingContext2D} ctx @param {Camera} camera
 * @param {number[][][]} lines pairs of points @param {string} colour @param {number} width @param {number} near
 */
export function drawLines(ctx, camera, lines, colour, width, near) {
  const seen = lines.map(([a, b]) => projectLine(camera, a, b, near)).filter((line) => line !== null);
  const trace = () => {
    for (const [a, b] of seen) {
      ctx.moveTo(a.x, a.y);
      ctx.lineTo(b.x, b.y);
    }
  };
  strokeWithRim(ctx, trace, colour, width);
}

/**
 * Corners of a camera's picture at a depth: left top, right top, right bottom, left bottom.
 * @param {Camera} camera the camera to show @param {number} depth scene units
 */
export function frustumCorners(camera, depth) {
  const { width, height, fx, fy, cx, cy, c2w } = camera;
  return [[0, 0], [width, 0], [width, height], [0, height]].map(([x, y]) =>
    transform(c2w, [((x - cx) / fx) * depth, ((y - cy) / fy) * depth, depth]),
  );
}

/**
 * A camera as a pyramid with a mark at its upper edge.
 * @param {CanvasRenderingContext2D} ctx @param {Camera} view @param {Camera} shown
 * @param {{ depth: number, colour: string, width?: number, fill?: string, near: number }} look
 */
export function drawFrustum(ctx, view, shown, { depth, colour, width = 1.4, fill, near }) {
  const eye = transform(shown.c2w, [0, 0, 0]);
  const corners = frustumCorners(shown, depth);
  if (fill) {
    const flat = corners.map((corner) => project(view, corner));
    if (flat.every(({ z }) => z > near)) {
      ctx.beginPath();
      flat.forEach(({ x, y }, i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
      ctx.closePath();
      ctx.fillStyle = fill;
      ctx.fill();
    }
  }
  const [a, b] = corners;
  const between = (share, rise) => a.map((value, i) => value + share * (b[i] - value) + rise * (a[i] - corners[3][i]));
  const mark = [between(0.36, 0.06), between(0.5, 0.3), between(0.64, 0.06)];
  const lines = corners.flatMap((corner, i) => [[eye, corner], [corner, corners[(i + 1) % 4]]]);
  lines.push([mark[0], mark[1]], [mark[1], mark[2]]);
  drawLines(ctx, view, lines, colour, width, near);
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} radius @param {string} colour */
export function drawDot(ctx, x, y, radius, colour) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.lineWidth = 1.6;
  ctx.strokeStyle = COLOURS.rim;
  ctx.stroke();
}

/** An arrowhead at a place in the picture. @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} angle @param {number} size @param {string} colour */
export function drawArrowhead(ctx, x, y, angle, size, colour) {
  const corner = (turn, far) => [x + far * Math.cos(angle + turn), y + far * Math.sin(angle + turn)];
  const points = [corner(0, size), corner(2.45, size), corner(Math.PI, 0.35 * size), corner(-2.45, size)];
  ctx.beginPath();
  points.forEach(([px, py], i) => (i ? ctx.lineTo(px, py) : ctx.moveTo(px, py)));
  ctx.closePath();
  ctx.lineWidth = 2;
  ctx.strokeStyle = COLOURS.rim;
  ctx.stroke();
  ctx.fillStyle = colour;
  ctx.fill();
}

/** Text on a plate. @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} x @param {number} y @param {{ colour?: string, align?: CanvasTextAlign, size?: number }} [look] */
export function drawLabel(ctx, text, x, y, { colour = "#f4f7fb", align = "center", size = 11 } = {}) {
  ctx.font = `600 ${size}px system-ui, sans-serif`;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  const width = ctx.measureText(text).width + 8;
  const left = align === "center" ? x - width / 2 : align === "right" ? x - width + 4 : x - 4;
  ctx.beginPath();
  ctx.roundRect(left, y - size / 2 - 3, width, size + 6, 4);
  ctx.fillStyle = "rgba(12, 14, 18, 0.74)";
  ctx.fill();
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y + 0.5);
}

/**
 * Lines of a square grid on the floor, for the renderer.
 * @param {number[]} center @param {number} step scene units @param {number} count of squares each way
 */
export function gridLines(center, step, count) {
  const points = [];
  const [x0, z0] = [Math.round(center[0] / step) * step, Math.round(center[2] / step) * step];
  for (let i = -count; i <= count; i++) {
    const reach = count * step;
    points.push(x0 + i * step, center[1], z0 - reach, x0 + i * step, center[1], z0 + reach);
    points.push(x0 - reach, center[1], z0 + i * step, x0 + reach, center[1], z0 + i * step);
  }
  return new Float32Array(points);
}

/** The three axes' directions in a corner. @param {CanvasRenderingContext2D} ctx @param {Camera} camera @param {number} x @param {number} y @param {number} size */
export function drawAxes(ctx, camera, x, y, size) {
  const axes = ["X", "Y", "Z"].map((name, i) => {
    const [right, down, forward] = [camera.c2w[4 * i], camera.c2w[4 * i + 1], camera.c2w[4 * i + 2]];
    return { name, right, down, forward, colour: COLOURS.axes[i] };
  });
  for (const { name, right, down, colour } of axes.sort((a, b) => b.forward - a.forward)) {
    const [tipX, tipY] = [x + size * right, y + size * down];
    strokeWithRim(ctx, () => {
      ctx.moveTo(x, y);
      ctx.lineTo(tipX, tipY);
    }, colour, 2);
    ctx.font = "600 10px system-ui, sans-serif";
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    ctx.fillStyle = colour;
    ctx.fillText(name, x + (size + 8) * right, y + (size + 8) * down);
  }
}

/** The largest of 1, 2, 5 × 10^n that is not above a length. @param {number} wanted */
export function roundLength(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * (wanted >= 5 * power ? 5 : wanted >= 2 * power ? 2 : 1);
}
