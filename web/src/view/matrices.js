/**
 * Small linear algebra in OpenCV axes: x right, y down, z forward; the world likewise.
 *
 * Vectors are arrays of 3, quaternions wxyz arrays of 4, poses row-major arrays of 16 (camera-to-world).
 *
 * @typedef {number[]} Vector three numbers
 * @typedef {number[]} Quaternion wxyz, unit length
 * @typedef {number[]} Pose sixteen numbers, row-major, rigid
 */

export const UP = [0, -1, 0];

/** @param {Vector} a @param {Vector} b */
export const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
/** @param {Vector} a @param {Vector} b */
export const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
/** @param {Vector} a @param {number} factor */
export const scale = (a, factor) => [a[0] * factor, a[1] * factor, a[2] * factor];
/** @param {Vector} a @param {Vector} b */
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
/** @param {Vector} a @param {Vector} b */
export const cross = (a, b) => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];
/** @param {Vector} a */
export const length = (a) => Math.hypot(a[0], a[1], a[2]);
/** @param {Vector} a @param {Vector} b */
export const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
/** @param {Vector} a @param {Vector} b @param {number} share */
export const mix = (a, b, share) => a.map((value, i) => value + share * (b[i] - value));

/** The vector at unit length; `fallback` when it has none. @param {Vector} a @param {Vector} [fallback] */
export function normalize(a, fallback = [0, 0, 1]) {
  const size = length(a);
  return size > 1e-12 ? scale(a, 1 / size) : fallback;
}

export const IDENTITY = Object.freeze([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);

/** Column `i` of a pose: 0 right, 1 down, 2 forward, 3 place. @param {Pose} pose @param {number} i */
export const column = (pose, i) => [pose[i], pose[4 + i], pose[8 + i]];

/** @param {Vector} right @param {Vector} down @param {Vector} forward @param {Vector} place @returns {Pose} */
export const poseOf = (right, down, forward, place) => [
  right[0], down[0], forward[0], place[0],
  right[1], down[1], forward[1], place[1],
  right[2], down[2], forward[2], place[2],
  0, 0, 0, 1,
];

/** @param {Pose} pose @param {Vector} place @returns {Pose} */
export const withPlace = (pose, place) => poseOf(column(pose, 0), column(pose, 1), column(pose, 2), place);

/** Rotate a direction. @param {Pose} pose @param {Vector} v */
export const turn = (pose, v) => [
  pose[0] * v[0] + pose[1] * v[1] + pose[2] * v[2],
  pose[4] * v[0] + pose[5] * v[1] + pose[6] * v[2],
  pose[8] * v[0] + pose[9] * v[1] + pose[10] * v[2],
];

/** Move a point. @param {Pose} pose @param {Vector} v */
export const transform = (pose, v) => add(turn(pose, v), column(pose, 3));

/** Into the axes of the pose: the inverse of `transform`. @param {Pose} pose @param {Vector} point */
export function intoCamera(pose, point) {
  const d = subtract(point, column(pose, 3));
  return [dot(column(pose, 0), d), dot(column(pose, 1), d), dot(column(pose, 2), d)];
}

/** @param {Pose} a @param {Pose} b @returns {Pose} */
export function multiply(a, b) {
  const product = new Array(16).fill(0);
  for (let row = 0; row < 4; row++)
    for (let col = 0; col < 4; col++)
      for (let k = 0; k < 4; k++) product[4 * row + col] += a[4 * row + k] * b[4 * k + col];
  return product;
}

/** Inverse of a rigid pose. @param {Pose} pose @returns {Pose} */
export function invert(pose) {
  const place = column(pose, 3);
  const rows = [column(pose, 0), column(pose, 1), column(pose, 2)];
  return [...rows.flatMap((row) => [...row, -dot(row, place)]), 0, 0, 0, 1];
}

/** Right-handed turn about an axis of unit length. @param {Vector} axis @param {number} angle radians */
export function axisTurn(axis, angle) {
  const [x, y, z] = axis;
  const c = Math.cos(angle);
  const s = Math.sin(angle);
  const t = 1 - c;
  return [
    t * x * x + c, t * x * y - s * z, t * x * z + s * y, 0,
    t * x * y + s * z, t * y * y + c, t * y * z - s * x, 0,
    t * x * z - s * y, t * y * z + s * x, t * z * z + c, 0,
    0, 0, 0, 1,
  ];
}

/** @param {Quaternion} q wxyz @param {Vector} [place] @returns {Pose} */
export function quaternionToPose(q, place = [0, 0, 0]) {
  const [w, x, y, z] = q;
  return [
    1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), place[0],
    2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), place[1],
    2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), place[2],
    0, 0, 0, 1,
  ];
}

/** Quaternion of a pose's rotation, w >= 0. @param {Pose} m @returns {Quaternion} */
export function poseToQuaternion(m) {
  // The largest of the four squares is divided by, so that nothing is lost to rounding.
  const squares = [
    1 + m[0] + m[5] + m[10],
    1 + m[0] - m[5] - m[10],
    1 - m[0] + m[5] - m[10],
    1 - m[0] - m[5] + m[10],
  ];
  const best = squares.indexOf(Math.max(...squares));
  const r = Math.sqrt(squares[best]);
  const rows = [
    [r, (m[9] - m[6]) / r, (m[2] - m[8]) / r, (m[4] - m[1]) / r],
    [(m[9] - m[6]) / r, r, (m[1] + m[4]) / r, (m[2] + m[8]) / r],
    [(m[2] - m[8]) / r, (m[1] + m[4]) / r, r, (m[6] + m[9]) / r],
    [(m[4] - m[1]) / r, (m[2] + m[8]) / r, (m[6] + m[9]) / r, r],
  ];
  const sign = rows[best][0] < 0 ? -0.5 : 0.5;
  const q = rows[best].map((value) => value * sign);
  const size = Math.hypot(...q);
  return q.map((value) => value / size);
}

/**
 * An upright camera that looks at a point; straight up or down keeps x in the picture's right.
 * @param {Vector} eye @param {Vector} target @returns {Pose} camera-to-world
 */
export function lookAt(eye, target) {
  const forward = normalize(subtract(target, eye));
  let right = cross(forward, UP);
  if (length(right) < 1e-6) right = cross(forward, [0, 0, 1]);
  right = normalize(right, [1, 0, 0]);
  return poseOf(right, cross(forward, right), forward, eye);
}

/**
 * Turns of a camera as an operator says them: pan to the right, then tilt up, then roll (right side down).
 * @param {Pose} pose @returns {number[]} degrees
 */
export function poseToAngles(pose) {
  const forward = column(pose, 2);
  const pan = Math.atan2(forward[0], forward[2]);
  const tilt = Math.asin(Math.max(-1, Math.min(1, -forward[1])));
  const level = anglesToPose([(pan * 180) / Math.PI, (tilt * 180) / Math.PI, 0]);
  const right = intoCamera(level, column(pose, 0));
  const degrees = 180 / Math.PI;
  return [pan * degrees, tilt * degrees, Math.atan2(right[1], right[0]) * degrees];
}

/** @param {number[]} angles pan, tilt, roll in degrees @param {Vector} [place] @returns {Pose} */
export function anglesToPose(angles, place = [0, 0, 0]) {
  const [pan, tilt, roll] = angles.map((value) => (value * Math.PI) / 180);
  const rotation = multiply(
    multiply(axisTurn([0, 1, 0], pan), axisTurn([1, 0, 0], tilt)),
    axisTurn([0, 0, 1], roll),
  );
  return withPlace(rotation, place);
}
