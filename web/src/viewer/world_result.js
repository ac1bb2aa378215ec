/**
 * What a run told the viewer of the world: cameras of the bank's pictures, clips, the view given out.
 *
 * @typedef {object} World
 * @property {{ name: string, clip: number, camera: import("../path/sampling.js").Camera }[]} views
 * @property {{ clip: number, points: number, views: number }[]} clips
 * @property {{ c2w: number[], fov_deg: number, width: number, height: number }} inputView
 * @property {{ c2w: number[], fov_deg: number, width: number, height: number }} chosenView
 * @property {number} medianDepth scene units
 * @property {boolean | null} metric null: nobody knows
 * @property {number} width of the input picture, pixels
 * @property {number} height
 * @property {number} points of the whole memory
 * @property {number} selected of them
 * @property {string[]} notes
 */

const VERSION = 1;

/** @param {unknown} value @param {number} count */
const numbers = (value, count) => Array.isArray(value) && value.length === count && value.every((entry) => Number.isFinite(entry));

/** @param {any} view */
function readView(view) {
  const c2w = Array.isArray(view?.c2w) ? view.c2w.flat() : [];
  if (!numbers(c2w, 16)) throw new Error("a view without a camera");
  return { c2w, fov_deg: view.fov_deg, width: view.width, height: view.height };
}

/**
 * @param {any} output of the node, as the frontend hands it out
 * @returns {World | null} null when it says nothing of a world, or says it in another version
 */
export function readWorld(output) {
  const told = output?.worldstereo_world?.[0];
  if (!told || told.version !== VERSION) return null;
  const views = (told.views ?? [])
    .filter((view) => numbers(view?.c2w, 16) && numbers([view.fx, view.fy, view.cx, view.cy], 4))
    .map(({ name, clip, c2w, fx, fy, cx, cy, width, height }) => ({
      name: String(name), clip, camera: { c2w, fx, fy, cx, cy, width, height },
    }));
  return {
    views,
    clips: told.clips ?? [],
    inputView: readView(told.input_view),
    chosenView: readView(told.chosen_view),
    medianDepth: told.median_depth > 0 ? told.median_depth : 1,
    metric: told.metric ?? null,
    width: told.width,
    height: told.height,
    points: told.points ?? 0,
    selected: told.selected ?? 0,
    notes: told.notes ?? [],
  };
}
