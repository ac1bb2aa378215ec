/**
 * What the world viewer keeps, version 1: the view it gives out, the selection, recorded views. Python owns the schema
 * (worldstereo_core/formats/view_state.py and geometry/selection.py); this file refuses what the node would refuse.
 *
 * @typedef {object} Place a camera without pixels
 * @property {number[]} position world coordinates, scene units
 * @property {number[]} wxyz rotation of camera-to-world, OpenCV axes
 * @property {number} fov_deg horizontal
 * @property {number} [aspect] width over height, where a stroke was drawn
 *
 * @typedef {object} Part
 * @property {"box" | "brush" | "outline"} kind
 * @property {string} mode what it does to the parts before it
 * @property {number[]} [clips] numbers of the clips that it means; all if it is missing
 * @property {number[]} [centre] of a box, scene units
 * @property {number[]} [size]
 * @property {number[]} [wxyz] from the box's axes to the world's
 * @property {Place} [view] where a stroke was drawn
 * @property {number[][]} [points] shares of the view's width and height
 * @property {number} [radius] of a brush, share of the view's height
 * @property {string} [reach]
 *
 * @typedef {object} ViewState
 * @property {Place | null} camera
 * @property {Part[]} selection
 * @property {Place[]} recorded
 * @property {Record<string, unknown>} unknown what the text held besides; kept
 */

export const VERSION = 1;
export const MODES = ["add", "subtract", "intersect"];
export const VISIBLE = "visible surface";
export const EVERYTHING = "everything behind";
export const MAX_PARTS = 1000;
export const MAX_STROKE_POINTS = 5000;
const UNIT_TOLERANCE = 1e-3;

/** A text that is no state of this version; `reason` names a message, `details` fill it. */
export class StateProblem extends Error {
  /** @param {string} reason @param {Record<string, string | number>} [details] */
  constructor(reason, details = {}) {
    super(`${reason} ${JSON.stringify(details)}`);
    this.reason = reason;
    this.details = details;
  }
}

/** @returns {ViewState} */
export const emptyState = () => ({ camera: null, selection: [], recorded: [], unknown: {} });

/** @param {unknown} value */
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
/** @param {unknown} value @param {number} count */
const isNumbers = (value, count) => Array.isArray(value) && value.length === count && value.every(isNumber);
/** @param {unknown} value */
const isTurn = (value) => isNumbers(value, 4) && Math.abs(Math.hypot(.../** @type {number[]} */ (value)) - 1) <= UNIT_TOLERANCE;
/** @param {unknown} value */
const shown = (value) => String(JSON.stringify(value) ?? value).slice(0, 60);

/**
 * @param {string} text
 * @returns {ViewState}
 * @throws {StateProblem}
 */
export function parseState(text) {
  if (text.trim() === "") return emptyState();
  let content;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new StateProblem("not_json", { error: String(/** @type {Error} */ (error).message).slice(0, 120) });
  }
  if (content === null || typeof content !== "object" || Array.isArray(content)) throw new StateProblem("not_a_state");
  if (content.version !== VERSION) throw new StateProblem("other_version", { version: shown(content.version) });
  const { version, camera = null, selection = [], recorded = [], ...unknown } = content;
  const state = { camera, selection: selection ?? [], recorded: recorded ?? [], unknown };
  checkState(state);
  return state;
}

/** @param {ViewState} state @throws {StateProblem} */
export function checkState({ camera, selection, recorded }) {
  const fail = (field, value) => {
    throw new StateProblem("bad_setting", { field, value: shown(value) });
  };
  if (!Array.isArray(selection) || selection.length > MAX_PARTS) fail("selection", selection);
  if (!Array.isArray(recorded)) fail("recorded", recorded);
  if (camera !== null && !isPlace(camera)) fail("camera", camera);
  recorded.forEach((place, i) => isPlace(place) || fail(`recorded ${i + 1}`, place));
  selection.forEach((part, i) => {
    const field = badField(part);
    if (field) throw new StateProblem("bad_part", { number: i + 1, field, value: shown(part?.[field]) });
  });
}

/** @param {any} place */
function isPlace(place) {
  if (place === null || typeof place !== "object") return false;
  const { position, wxyz = [1, 0, 0, 0], fov_deg = 60 } = place;
  return isNumbers(position, 3) && isTurn(wxyz) && isNumber(fov_deg) && fov_deg > 0 && fov_deg < 180;
}

/** The first field of a part that cannot be used, or "". @param {any} part */
function badField(part) {
  if (part === null || typeof part !== "object") return "kind";
  if (!MODES.includes(part.mode ?? "add")) return "mode";
  if (part.clips != null && !(Array.isArray(part.clips) && part.clips.every((clip) => Number.isInteger(clip) && clip >= 0))) return "clips";
  if (part.kind === "box") {
    if (!isNumbers(part.centre, 3)) return "centre";
    if (!isNumbers(part.size, 3) || !part.size.every((side) => side > 0)) return "size";
    return isTurn(part.wxyz ?? [1, 0, 0, 0]) ? "" : "wxyz";
  }
  if (part.kind !== "brush" && part.kind !== "outline") return "kind";
  if (!isPlace(part.view) || !(part.view.aspect >= 0.01 && part.view.aspect <= 100)) return "view";
  const least = part.kind === "brush" ? 1 : 3;
  const { points } = part;
  if (!Array.isArray(points) || points.length < least || points.length > MAX_STROKE_POINTS) return "points";
  if (!points.every((point) => isNumbers(point, 2))) return "points";
  if (part.kind === "brush" && !(isNumber(part.radius) && part.radius > 0 && part.radius <= 10)) return "radius";
  return [VISIBLE, EVERYTHING].includes(part.reach ?? VISIBLE) ? "" : "reach";
}

/** @param {any} value */
function rounded(value) {
  if (Array.isArray(value)) return value.map(rounded);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, rounded(entry)]));
  // Undo compares texts, so numbers are cut where nobody sees them; + 0 takes the sign off a zero.
  return typeof value === "number" ? Math.round(value * 1e6) / 1e6 + 0 : value;
}

/**
 * The state as text, one part per line; a new viewer's state is an empty text.
 * @param {ViewState} state
 */
export function stringifyState(state) {
  checkState(state);
  const { camera, selection, recorded, unknown } = state;
  if (!camera && !selection.length && !recorded.length && !Object.keys(unknown).length) return "";
  const lines = (entries) => (entries.length ? `[\n ${entries.map((entry) => JSON.stringify(rounded(entry))).join(",\n ")}\n]` : "[]");
  const head = JSON.stringify({ version: VERSION, ...unknown, ...(camera ? { camera: rounded(camera) } : {}) });
  return `${head.slice(0, -1)},"selection":${lines(selection)},"recorded":${lines(recorded)}}`;
}
