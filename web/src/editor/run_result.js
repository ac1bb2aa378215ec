/**
 * What a run told the editor: the path it took, its cameras, the input view and the check's warnings.
 *
 * @typedef {object} RunResult
 * @property {import("../path/path_model.js").CameraPath} path
 * @property {string} text the path as text, to see whether it was changed since
 * @property {import("../path/sampling.js").Camera[]} frames
 * @property {string} source "camera_path" = the value of the editor, "path" = wired, "draft" = neither
 * @property {string} easing of the whole clip
 * @property {{ c2w: number[], fov_deg: number, width: number, height: number } | null} inputView
 * @property {number} medianDepth scene units
 * @property {boolean | null} metric null: nobody knows
 * @property {number} width
 * @property {number} height
 * @property {number[]} drawn frames that `pictures` show
 * @property {object[]} pictures files
 * @property {{ collision: Set<number>, too_fast: Set<number>, outside: Set<number>, big_holes: Set<number>, holes: (number | null)[], lines: string[] }} warnings
 * @property {string[]} notes
 */

import { pathFromContent, stringifyPath } from "../path/path_model.js";
import { EASING } from "../path/path_spline.js";

const VERSION = 1;

/** @param {unknown} value @param {number} count */
const numbers = (value, count) =>
  Array.isArray(value) && value.length === count && value.every((entry) => Number.isFinite(entry));

/**
 * @param {any} output of the node, as the frontend hands it out
 * @returns {RunResult | null} null when it says nothing of a path, or says it in another version
 */
export function readRunResult(output) {
  const told = output?.worldstereo_path?.[0];
  if (!told || told.version !== VERSION) return null;
  const path = pathFromContent(told.path);
  const [width, height] = [told.width ?? path.width, told.height ?? path.height];
  const frames = (told.frames ?? [])
    .filter((frame) => numbers(frame?.c2w, 16) && numbers([frame.fx, frame.fy, frame.cx, frame.cy], 4))
    .map(({ c2w, fx, fy, cx, cy }) => ({ c2w, fx, fy, cx, cy, width, height }));
  const warnings = told.warnings ?? {};
  const view = told.input_view;
  const c2w = Array.isArray(view?.c2w) ? view.c2w.flat() : [];
  return {
    path,
    text: stringifyPath(path),
    frames,
    source: told.source ?? "",
    easing: told.easing in EASING ? told.easing : "linear",
    inputView: numbers(c2w, 16) ? { c2w, fov_deg: view.fov_deg, width: view.width, height: view.height } : null,
    medianDepth: told.median_depth > 0 ? told.median_depth : path.scale,
    metric: told.metric ?? null,
    width,
    height,
    drawn: told.drawn ?? frames.map((_, i) => i),
    pictures: output.worldstereo_frames ?? [],
    warnings: {
      collision: new Set(warnings.collision),
      too_fast: new Set(warnings.too_fast),
      outside: new Set(warnings.outside),
      big_holes: new Set(warnings.big_holes),
      holes: warnings.holes ?? [],
      lines: warnings.lines ?? [],
    },
    notes: told.notes ?? [],
  };
}
