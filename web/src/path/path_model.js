/**
 * Camera paths, version 1: parse, check, write. Python owns the schema (worldstereo_core/formats/camera_path.py);
 * this file says the same of it, so that the editor refuses what the node would refuse.
 *
 * @typedef {object} Waypoint
 * @property {number[]} position world coordinates, scene units
 * @property {number[]} wxyz rotation of camera-to-world, OpenCV axes
 * @property {number} fov_deg horizontal
 * @property {number} time share of the clip
 * @property {string} easing until the next waypoint
 * @property {number} roll_deg on top of the rotation, positive lowers the right side
 * @property {number[] | null} handle_in relative to the position
 * @property {number[] | null} handle_out relative to the position
 *
 * @typedef {object} CameraPath
 * @property {Waypoint[]} waypoints
 * @property {string} interpolation
 * @property {string} speed
 * @property {boolean} closed
 * @property {number[] | null} look_at
 * @property {number} width
 * @property {number} height
 * @property {number} scale scene units that count as one
 * @property {number} fps
 * @property {string} name
 * @property {Record<string, unknown>} [unknown] what a file held besides; kept
 */

export const VERSION = 1;
export const INTERPOLATIONS = ["catmull_rom", "bezier", "linear"];
export const SPEEDS = ["by time", "constant"];
export const EASINGS = ["auto", "linear", "smooth", "ease in", "ease out"];
export const MAX_WAYPOINTS = 10_000;
const UNIT_TOLERANCE = 1e-3;
const EXACT = new Set(["time", "scale", "fps"]);

const PATH_DEFAULTS = {
  interpolation: "catmull_rom",
  speed: "by time",
  closed: false,
  look_at: null,
  width: 768,
  height: 480,
  scale: 1,
  fps: 16,
  name: "path",
};
const WAYPOINT_DEFAULTS = {
  position: [0, 0, 0],
  wxyz: [1, 0, 0, 0],
  fov_deg: 60,
  time: 0,
  easing: "auto",
  roll_deg: 0,
  handle_in: null,
  handle_out: null,
};

/** A text that is no path of this version; `reason` names a message of the editor, `details` fill it. */
export class PathProblem extends Error {
  /** @param {string} reason @param {Record<string, string | number>} [details] */
  constructor(reason, details = {}) {
    super(`${reason} ${JSON.stringify(details)}`);
    this.reason = reason;
    this.details = details;
  }
}

/** @param {Partial<Waypoint>} given @returns {Waypoint} */
export const makeWaypoint = (given) => ({ ...WAYPOINT_DEFAULTS, ...given });

/** @param {Partial<CameraPath>} given @returns {CameraPath} */
export const makePath = (given) => ({ ...PATH_DEFAULTS, waypoints: [], ...given });

/**
 * @param {string} text
 * @returns {CameraPath}
 * @throws {PathProblem}
 */
export function parsePath(text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new PathProblem("not_json", { error: String(/** @type {Error} */ (error).message).slice(0, 120) });
  }
  return pathFromContent(content);
}

/**
 * A path from a JSON object, such as a run brings.
 * @param {any} content
 * @returns {CameraPath}
 */
export function pathFromContent(content) {
  if (content === null || typeof content !== "object" || Array.isArray(content))
    throw new PathProblem("not_a_path");
  if (content.version !== VERSION) throw new PathProblem("other_version", { version: shown(content.version) });
  if (!Array.isArray(content.waypoints) || content.waypoints.length === 0)
    throw new PathProblem("no_waypoints");
  const { version, waypoints, ...settings } = content;
  const path = { ...PATH_DEFAULTS, waypoints: waypoints.map(waypointFrom), unknown: {} };
  for (const [key, value] of Object.entries(settings))
    if (key in PATH_DEFAULTS) path[key] = value;
    else path.unknown[key] = value;
  if (waypoints.length > 1 && !waypoints.some((row) => "time" in row)) spreadTimes(path.waypoints);
  checkPath(path);
  return path;
}

/** @param {any} row @param {number} index @returns {Waypoint} */
function waypointFrom(row, index) {
  if (row === null || typeof row !== "object" || !("position" in row))
    throw new PathProblem("bad_waypoint", { number: index + 1, field: "position", value: shown(row) });
  const waypoint = { ...WAYPOINT_DEFAULTS, ...row };
  if (isNumbers(waypoint.wxyz, 4)) {
    const size = Math.hypot(...waypoint.wxyz);
    if (size > 1e-6 && size < 1e6 && Math.abs(size - 1) > UNIT_TOLERANCE)
      waypoint.wxyz = waypoint.wxyz.map((value) => value / size);
  }
  return waypoint;
}

/** @param {unknown} value */
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
/** @param {unknown} value @param {number} count */
const isNumbers = (value, count) => Array.isArray(value) && value.length === count && value.every(isNumber);
/** @param {unknown} value */
const shown = (value) => String(JSON.stringify(value) ?? value).slice(0, 60);

/**
 * Say what the node would refuse.
 * @param {CameraPath} path
 * @throws {PathProblem}
 */
export function checkPath(path) {
  const fail = (field, value) => {
    throw new PathProblem("bad_setting", { field, value: shown(value) });
  };
  if (!INTERPOLATIONS.includes(path.interpolation)) fail("interpolation", path.interpolation);
  if (!SPEEDS.includes(path.speed)) fail("speed", path.speed);
  if (typeof path.closed !== "boolean") fail("closed", path.closed);
  if (typeof path.name !== "string") fail("name", path.name);
  if (path.look_at !== null && !isNumbers(path.look_at, 3)) fail("look_at", path.look_at);
  for (const field of ["scale", "fps"]) if (!(isNumber(path[field]) && path[field] > 0)) fail(field, path[field]);
  for (const field of ["width", "height"])
    if (!(Number.isInteger(path[field]) && path[field] >= 1 && path[field] <= 1e6)) fail(field, path[field]);
  if (path.waypoints.length > MAX_WAYPOINTS) fail("waypoints", path.waypoints.length);
  path.waypoints.forEach(checkWaypoint);
  checkTimes(path.waypoints);
  if (path.closed) {
    const [first, last] = [path.waypoints[0], path.waypoints[path.waypoints.length - 1]];
    const gap = Math.hypot(...first.position.map((value, i) => value - last.position[i]));
    if (path.waypoints.length < 3 || gap > 1e-4 * path.scale) throw new PathProblem("not_closed");
  }
}

/** @param {Waypoint} waypoint @param {number} index */
function checkWaypoint(waypoint, index) {
  const fail = (field) => {
    throw new PathProblem("bad_waypoint", { number: index + 1, field, value: shown(waypoint[field]) });
  };
  if (!isNumbers(waypoint.position, 3)) fail("position");
  if (!isNumbers(waypoint.wxyz, 4) || Math.abs(Math.hypot(...waypoint.wxyz) - 1) > UNIT_TOLERANCE) fail("wxyz");
  if (!isNumber(waypoint.fov_deg) || waypoint.fov_deg <= 0 || waypoint.fov_deg >= 180) fail("fov_deg");
  if (!isNumber(waypoint.roll_deg)) fail("roll_deg");
  if (!isNumber(waypoint.time)) fail("time");
  if (!EASINGS.includes(waypoint.easing)) fail("easing");
  for (const field of ["handle_in", "handle_out"])
    if (waypoint[field] !== null && !isNumbers(waypoint[field], 3)) fail(field);
}

/** @param {Waypoint[]} waypoints */
function checkTimes(waypoints) {
  waypoints.forEach(({ time }, index) => {
    const isWrong =
      index === 0 ? time !== 0 : time <= waypoints[index - 1].time || (index === waypoints.length - 1 && time !== 1);
    if (isWrong) throw new PathProblem("bad_times", { number: index + 1, time });
  });
}

/**
 * Times in proportion to the distance between waypoints; one that only turns takes the mean of the others.
 * @param {Waypoint[]} waypoints changed in place
 */
export function spreadTimes(waypoints) {
  const steps = waypoints
    .slice(1)
    .map(({ position }, i) => Math.hypot(...position.map((value, k) => value - waypoints[i].position[k])));
  const moves = steps.filter((step) => step > 0);
  const mean = moves.length ? moves.reduce((a, b) => a + b) / moves.length : 1;
  const widths = steps.map((step) => (step > 0 ? step : mean));
  const total = widths.reduce((a, b) => a + b, 0);
  let sum = 0;
  waypoints.forEach((waypoint, i) => {
    if (i > 0) sum += widths[i - 1];
    waypoint.time = i === 0 ? 0 : i === waypoints.length - 1 ? 1 : sum / total;
  });
}

/** @param {string} key @param {any} value */
function rounded(key, value) {
  if (Array.isArray(value)) return value.map((entry) => rounded(key, entry));
  // Undo compares texts, so numbers are cut where nobody sees them; + 0 takes the sign off a zero.
  return typeof value === "number" && !EXACT.has(key) ? Math.round(value * 1e6) / 1e6 + 0 : value;
}

/**
 * The path as text, one waypoint per line.
 * @param {CameraPath} path
 * @returns {string}
 */
export function stringifyPath(path) {
  checkPath(path);
  const head = { version: VERSION };
  for (const key of Object.keys(PATH_DEFAULTS)) head[key] = rounded(key, path[key]);
  Object.assign(head, path.unknown);
  const rows = path.waypoints.map((waypoint) => {
    const kept = Object.entries(waypoint).filter(([, value]) => value !== null);
    return JSON.stringify(Object.fromEntries(kept.map(([key, value]) => [key, rounded(key, value)])));
  });
  return `${JSON.stringify(head).slice(0, -1)},"waypoints":[\n ${rows.join(",\n ")}\n]}`;
}
