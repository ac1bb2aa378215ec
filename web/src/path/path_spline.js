/**
 * Sampling a camera path: the numbers of worldstereo_core/geometry/path_spline.py, which is the authority and
 * says where the maths is from. tests/data/spline_golden.json holds both to the same values.
 *
 * @typedef {import("./path_model.js").CameraPath} CameraPath
 * @typedef {object} Sample
 * @property {number[]} c2w camera-to-world with roll and look-at
 * @property {number} fov_deg horizontal
 * @property {number} roll_deg the part of the rotation that the waypoints' roll makes
 */

import { axisTurn, distance, lookAt, mix, multiply, quaternionToPose, withPlace } from "../view/matrices.js";

const CHORDS_PER_SEGMENT = 128;
const TINY_ANGLE = 1e-9;

/** Of time 0..1 to progress 0..1. @type {Record<string, (time: number) => number>} */
export const EASING = {
  linear: (time) => time,
  smooth: (time) => time * time * (3 - 2 * time),
  "ease in": (time) => time * time,
  "ease out": (time) => time * (2 - time),
};

/**
 * A path at one moment.
 * @param {CameraPath} path
 * @param {number} progress share 0..1 of the clip's time, or with speed "constant" of the way
 * @returns {Sample}
 */
export const evaluatePath = (path, progress) => makeSampler(path)(progress);

/**
 * A function that evaluates the path; what all moments share is computed once.
 * @param {CameraPath} path
 * @returns {(progress: number) => Sample}
 */
export function makeSampler(path) {
  const curve = makeCurve(path);
  if (path.speed !== "constant") {
    const times = path.waypoints.map((waypoint) => waypoint.time);
    return (progress) => curve(positionAtTime(path, times, progress));
  }
  const way = measureWay(path, curve);
  return (progress) => curve(positionAtWay(path, way, progress));
}

/**
 * Where on the curve a moment lies: waypoint number and share of the part after it.
 * @param {CameraPath} path @param {number} progress
 */
export function positionAt(path, progress) {
  const times = path.waypoints.map((waypoint) => waypoint.time);
  if (path.speed !== "constant") return positionAtTime(path, times, progress);
  return positionAtWay(path, measureWay(path, makeCurve(path)), progress);
}

/** When each waypoint is passed, as progress 0..1. @param {CameraPath} path @returns {number[]} */
export function waypointProgress(path) {
  if (path.speed !== "constant") return path.waypoints.map((waypoint) => waypoint.time);
  const { lengths } = measureWay(path, makeCurve(path));
  const total = lengths[lengths.length - 1];
  const last = path.waypoints.length - 1;
  return path.waypoints.map((_, i) => (total > 0 ? lengths[i * CHORDS_PER_SEGMENT] / total : i / Math.max(last, 1)));
}

/** @param {CameraPath} path @returns {(position: number) => Sample} the path at positions 0..N-1 */
export function makeCurve(path) {
  const { waypoints } = path;
  const last = waypoints.length - 1;
  const places = placeCurve(path);
  const rotation = rotationCurve(path);
  const roll = numberCurve(path, waypoints.map((waypoint) => waypoint.roll_deg));
  const focal = numberCurve(path, waypoints.map((w) => Math.log(1 / (2 * Math.tan((w.fov_deg * Math.PI) / 360)))));
  return (position) => {
    const segment = last === 0 ? 0 : Math.min(Math.max(Math.floor(position), 0), last - 1);
    const share = last === 0 ? 0 : position - segment;
    const place = places(segment, share);
    const level = path.look_at
      ? lookAt(place, path.look_at)
      : quaternionToPose(rotation(segment, share), place);
    const roll_deg = roll(segment, share);
    const turned = multiply(level, axisTurn([0, 0, 1], (roll_deg * Math.PI) / 180));
    const fov = (2 * Math.atan(1 / (2 * Math.exp(focal(segment, share)))) * 180) / Math.PI;
    return { c2w: withPlace(turned, place), fov_deg: fov, roll_deg };
  };
}

/** Index of the last value that is not above `wanted`. @param {number[]} sorted @param {number} wanted */
function lastUpTo(sorted, wanted) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** @param {CameraPath} path @param {number[]} times @param {number} time */
function positionAtTime(path, times, time) {
  if (times.length === 1) return 0;
  const segment = Math.min(Math.max(lastUpTo(times, time), 0), times.length - 2);
  const share = (time - times[segment]) / (times[segment + 1] - times[segment]);
  const { easing } = path.waypoints[segment];
  return segment + (easing === "auto" ? evenShare(path, times, segment, share) : EASING[easing](share));
}

/** Share of a segment such that the speed does not jump at waypoints. */
function evenShare(path, times, segment, share) {
  if (path.interpolation === "linear") return share;
  const last = times.length - 2;
  const width = (i) =>
    path.interpolation === "catmull_rom"
      ? Math.sqrt(distance(path.waypoints[i + 1].position, path.waypoints[i].position))
      : 1;
  const rate = (i) => {
    if (i < 0) i = path.closed ? last : 0;
    if (i > last) i = path.closed ? 0 : last;
    return width(i) / (times[i + 1] - times[i]);
  };
  const slope = (i) => {
    const [before, after] = [rate(i - 1), rate(i)];
    return (2 * before * after) / Math.max(before + after, 1e-300);
  };
  const u = share;
  const duration = times[segment + 1] - times[segment];
  const here = width(segment);
  if (!(here > 0)) return share;
  const knot =
    (u ** 3 - 2 * u ** 2 + u) * slope(segment) * duration +
    (3 * u ** 2 - 2 * u ** 3) * here +
    (u ** 3 - u ** 2) * slope(segment + 1) * duration;
  return knot / here;
}

function measureWay(path, curve) {
  const segments = path.waypoints.length - 1;
  const positions = [];
  for (let i = 0; i <= segments * CHORDS_PER_SEGMENT; i++) positions.push(i / CHORDS_PER_SEGMENT);
  return { positions, lengths: pathLengths(positions.map((at) => curve(at).c2w), path.scale) };
}

function positionAtWay(path, { positions, lengths }, way) {
  const segments = path.waypoints.length - 1;
  if (segments === 0) return 0;
  const total = lengths[lengths.length - 1];
  if (!(total > 0)) return way * segments;
  const wanted = way * total;
  const after = Math.min(Math.max(lastUpTo(lengths, wanted) + 1, 1), lengths.length - 1);
  const chord = lengths[after] - lengths[after - 1];
  const share = chord > 0 ? Math.min(Math.max((wanted - lengths[after - 1]) / chord, 0), 1) : 1;
  return positions[after - 1] + share * (positions[after] - positions[after - 1]);
}

/**
 * How far the camera has gone at each pose; one radian of turning counts as `scale` of travel.
 * @param {number[][]} poses @param {number} scale @returns {number[]} scene units, 0 first
 */
export function pathLengths(poses, scale) {
  let sum = 0;
  return poses.map((pose, i) => (i === 0 ? 0 : (sum += pathStep(poses[i - 1], pose, scale))));
}

/** @param {number[]} a @param {number[]} b @param {number} scale */
export function pathStep(a, b, scale) {
  const travel = distance([a[3], a[7], a[11]], [b[3], b[7], b[11]]);
  return Math.hypot(travel, scale * turnAngle(a, b));
}

/** Angle between the rotations of two poses, radians. @param {number[]} a @param {number[]} b */
export function turnAngle(a, b) {
  const entry = (i, j) => a[i] * b[j] + a[4 + i] * b[4 + j] + a[8 + i] * b[8 + j];
  const axis = Math.hypot(entry(2, 1) - entry(1, 2), entry(0, 2) - entry(2, 0), entry(1, 0) - entry(0, 1));
  return Math.atan2(axis, entry(0, 0) + entry(1, 1) + entry(2, 2) - 1);
}

/** @param {number} u @param {number} start @param {number} leaving @param {number} end @param {number} arriving */
const hermite = (u, start, leaving, end, arriving) =>
  (2 * u ** 3 - 3 * u ** 2 + 1) * start +
  (u ** 3 - 2 * u ** 2 + u) * leaving +
  (3 * u ** 2 - 2 * u ** 3) * end +
  (u ** 3 - u ** 2) * arriving;

/** One more value before and after: around the seam of a closed path, else mirrored at the end. */
function withNeighbours(values, closed) {
  const mirrored = (end, next) => end.map((value, i) => 2 * value - next[i]);
  const n = values.length;
  return closed
    ? [values[n - 2], ...values, values[1]]
    : [mirrored(values[0], values[1]), ...values, mirrored(values[n - 1], values[n - 2])];
}

function placeCurve(path) {
  const points = path.waypoints.map((waypoint) => waypoint.position);
  if (points.length === 1) return () => points[0];
  if (path.interpolation === "linear") return (segment, u) => mix(points[segment], points[segment + 1], u);
  const [leaving, arriving] = path.interpolation === "bezier" ? bezierTangents(path) : centripetalTangents(path);
  return (segment, u) =>
    [0, 1, 2].map((i) =>
      hermite(u, points[segment][i], leaving[segment][i], points[segment + 1][i], arriving[segment][i]),
    );
}

function centripetalTangents(path) {
  const points = withNeighbours(path.waypoints.map((waypoint) => waypoint.position), path.closed);
  const knots = points.slice(1).map((point, i) => Math.sqrt(distance(point, points[i])));
  const over = (values, size) => values.map((value) => (size > 0 ? value / size : 0));
  const difference = (i, j) => points[i].map((value, k) => value - points[j][k]);
  const slopes = knots.map((knot, i) => over(difference(i + 1, i), knot));
  const tangents = knots.slice(1).map((_, i) => {
    const across = over(difference(i + 2, i), knots[i] + knots[i + 1]);
    return across.map((value, k) => slopes[i][k] - value + slopes[i + 1][k]);
  });
  const widths = knots.slice(1, -1);
  const grown = (offset) => widths.map((width, i) => tangents[i + offset].map((value) => width * value));
  return [grown(0), grown(1)];
}

/** The handles that a waypoint without its own has. @param {CameraPath} path @returns {number[][]} handle_out of each */
export function automaticHandles(path) {
  const around = withNeighbours(path.waypoints.map((waypoint) => waypoint.position), path.closed);
  return path.waypoints.map((_, i) => around[i + 2].map((value, k) => (value - around[i][k]) / 6));
}

function bezierTangents(path) {
  const automatic = automaticHandles(path);
  const out = path.waypoints.map((waypoint, i) => waypoint.handle_out ?? automatic[i]);
  const into = path.waypoints.map((waypoint, i) => waypoint.handle_in ?? automatic[i].map((value) => -value));
  return [
    out.slice(0, -1).map((handle) => handle.map((value) => 3 * value)),
    into.slice(1).map((handle) => handle.map((value) => -3 * value)),
  ];
}

function numberCurve(path, values) {
  if (values.length === 1) return () => values[0];
  if (path.interpolation === "linear")
    return (segment, u) => values[segment] + u * (values[segment + 1] - values[segment]);
  const around = withNeighbours(values.map((value) => [value]), path.closed).map(([value]) => value);
  const tangents = values.map((_, i) => (around[i + 2] - around[i]) / 2);
  return (segment, u) => hermite(u, values[segment], tangents[segment], values[segment + 1], tangents[segment + 1]);
}

function rotationCurve(path) {
  const quaternions = alignedSigns(path.waypoints.map((waypoint) => unit(waypoint.wxyz)));
  if (quaternions.length === 1) return () => quaternions[0];
  const direct = (segment, u) => slerp(quaternions[segment], quaternions[segment + 1], u);
  if (path.interpolation === "linear") return direct;
  const inner = squadPoints(quaternions, path.closed);
  return (segment, u) =>
    slerp(direct(segment, u), slerp(inner[segment], inner[segment + 1], u), 2 * u * (1 - u));
}

function squadPoints(quaternions, closed) {
  const n = quaternions.length;
  return quaternions.map((q, i) => {
    if (!closed && (i === 0 || i === n - 1)) return q;
    const before = quaternions[i === 0 ? n - 2 : i - 1];
    const after = quaternions[i === n - 1 ? 1 : i + 1];
    const inverse = [q[0], -q[1], -q[2], -q[3]];
    const [a, b] = [after, before].map((other) => logarithm(towardsOne(product(inverse, other))));
    return product(q, exponential(a.map((value, k) => -(value + b[k]) / 4)));
  });
}

/** Signs such that each quaternion lies on the same side as the one before. @param {number[][]} quaternions */
function alignedSigns(quaternions) {
  let sign = 1;
  return quaternions.map((q, i) => {
    if (i > 0 && q.reduce((sum, value, k) => sum + value * quaternions[i - 1][k], 0) < 0) sign = -sign;
    return q.map((value) => sign * value);
  });
}

const unit = (q) => {
  const size = Math.hypot(...q);
  return q.map((value) => value / size);
};

/** Along the arc between the two as given, not the shorter one: squad needs it. */
function slerp(start, end, fraction) {
  const gap = Math.hypot(...end.map((value, i) => value - start[i]));
  const sum = Math.hypot(...end.map((value, i) => value + start[i]));
  const angle = 2 * Math.atan2(gap, sum);
  const isLine = angle < 1e-6;
  const a = isLine ? 1 - fraction : Math.sin((1 - fraction) * angle) / Math.sin(angle);
  const b = isLine ? fraction : Math.sin(fraction * angle) / Math.sin(angle);
  return unit(start.map((value, i) => a * value + b * end[i]));
}

/** Hamilton product of wxyz quaternions. @param {number[]} a @param {number[]} b */
const product = (a, b) => [
  a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
  a[0] * b[1] + b[0] * a[1] + a[2] * b[3] - a[3] * b[2],
  a[0] * b[2] + b[0] * a[2] + a[3] * b[1] - a[1] * b[3],
  a[0] * b[3] + b[0] * a[3] + a[1] * b[2] - a[2] * b[1],
];

const towardsOne = (q) => (q[0] < 0 ? q.map((value) => -value) : q);

/** Axis times half the angle. @param {number[]} q */
function logarithm(q) {
  const size = Math.hypot(q[1], q[2], q[3]);
  const factor = size > TINY_ANGLE ? Math.atan2(size, q[0]) / size : 1;
  return [q[1] * factor, q[2] * factor, q[3] * factor];
}

function exponential(vector) {
  const angle = Math.hypot(...vector);
  const factor = angle > TINY_ANGLE ? Math.sin(angle) / angle : 1;
  return [Math.cos(angle), ...vector.map((value) => value * factor)];
}
