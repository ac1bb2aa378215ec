/**
 * Which points a selection means, as worldstereo_core/memory/selected_points.py says it; both are held to
 * tests/data/selection_golden.json. Here it runs over the displayed points, to show what is selected while it is drawn.
 *
 * @typedef {import("./view_state.js").Part} Part
 * @typedef {import("./view_state.js").Place} Place
 * @typedef {import("../view/cloud_store.js").Cloud} Cloud
 */

import { invert, quaternionToPose } from "../view/matrices.js";
import { VISIBLE } from "./view_state.js";

export const PAINT_HEIGHT = 360;
const DEPTH_TOLERANCE = 0.05;
const COVER = 2;
const RADII = [0.008, 0.05];

/**
 * A view at the size that strokes are painted at.
 * @param {Place} view @param {number} [height] pixels
 */
export function paintCamera(view, height = PAINT_HEIGHT) {
  const width = Math.max(1, roundHalfEven(height * (view.aspect ?? 1)));
  const focal = width / (2 * Math.tan((view.fov_deg * Math.PI) / 360));
  return { w2c: invert(quaternionToPose(view.wxyz ?? [1, 0, 0, 0], view.position)), focal, width, height };
}

/** As Python rounds. @param {number} value */
function roundHalfEven(value) {
  const down = Math.floor(value);
  return value - down !== 0.5 ? Math.round(value) : down + (down % 2);
}

/**
 * The pixels whose centre a stroke or an outline covers.
 * @param {Part} part @param {number} [height]
 * @returns {{ mask: Uint8Array, width: number, height: number }}
 */
export function paintMask(part, height = PAINT_HEIGHT) {
  const width = Math.max(1, roundHalfEven(height * (part.view.aspect ?? 1)));
  const mask = new Uint8Array(width * height);
  const places = part.points.map(([x, y]) => [x * width, y * height]);
  if (part.kind === "brush") paintLine(mask, width, height, places, part.radius * height);
  else fillOutline(mask, width, height, places);
  return { mask, width, height };
}

function paintLine(mask, width, height, places, radius) {
  places.forEach(([x1, y1], i) => {
    const [x0, y0] = places[Math.max(i - 1, 0)];
    const [dx, dy] = [x1 - x0, y1 - y0];
    const squared = dx * dx + dy * dy;
    const [left, right] = [Math.max(0, Math.floor(Math.min(x0, x1) - radius)), Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius))];
    const [top, bottom] = [Math.max(0, Math.floor(Math.min(y0, y1) - radius)), Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius))];
    for (let row = top; row <= bottom; row++)
      for (let column = left; column <= right; column++) {
        const [x, y] = [column + 0.5 - x0, row + 0.5 - y0];
        const share = squared > 0 ? Math.min(1, Math.max(0, (x * dx + y * dy) / squared)) : 0;
        const near = (x - share * dx) ** 2 + (y - share * dy) ** 2;
        if (near <= radius * radius) mask[row * width + column] = 1;
      }
  });
}

function fillOutline(mask, width, height, places) {
  for (let row = 0; row < height; row++) {
    const y = row + 0.5;
    places.forEach(([x0, y0], i) => {
      const [x1, y1] = places[(i + 1) % places.length];
      if (y0 > y === y1 > y) return;
      const crossing = x0 + ((y - y0) * (x1 - x0)) / (y1 - y0);
      // Even-odd rule: every pixel left of the crossing changes sides.
      const end = Math.min(width, Math.ceil(crossing - 0.5));
      for (let column = 0; column < end; column++) mask[row * width + column] ^= 1;
    });
  }
}

/**
 * Pixel and depth of every point in a view, -1 outside the picture or of a clip that is not meant.
 * @param {Cloud} cloud @param {Place} view @param {number[] | undefined} clips
 */
function projectCloud(cloud, view, clips) {
  const { w2c, focal, width, height } = paintCamera(view);
  const { xyz, count, clip } = cloud;
  const wanted = clips && new Set(clips);
  const pixel = new Int32Array(count);
  const depth = new Float32Array(count);
  let inView = 0;
  for (let i = 0; i < count; i++) {
    const [x, y, z] = [xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]];
    const far = w2c[8] * x + w2c[9] * y + w2c[10] * z + w2c[11];
    const column = Math.floor((focal * (w2c[0] * x + w2c[1] * y + w2c[2] * z + w2c[3])) / far + width / 2);
    const row = Math.floor((focal * (w2c[4] * x + w2c[5] * y + w2c[6] * z + w2c[7])) / far + height / 2);
    const isSeen = far > 0 && column >= 0 && column < width && row >= 0 && row < height;
    const isMeant = !wanted || wanted.has(clip ? clip[i] : 0);
    pixel[i] = isSeen && isMeant ? row * width + column : -1;
    depth[i] = far;
    if (pixel[i] >= 0) inView += 1;
  }
  return { pixel, depth, inView, width, height, w2c, focal };
}

/** Depth of the nearest disc over every pixel. */
function nearestSurface(cloud, seen) {
  const { pixel, depth, inView, width, height, w2c, focal } = seen;
  const half = Math.min(width, height) / 2;
  const pixels = Math.sqrt((COVER * width * height) / (Math.PI * Math.max(inView, 1)));
  const radius = Math.min(RADII[1], Math.max(RADII[0], pixels / half)) * half;
  const surface = new Float32Array(width * height).fill(Infinity);
  const { xyz } = cloud;
  for (let i = 0; i < depth.length; i++) {
    if (pixel[i] < 0) continue;
    const [x, y, z] = [xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]];
    const u = (focal * (w2c[0] * x + w2c[1] * y + w2c[2] * z + w2c[3])) / depth[i] + width / 2;
    const v = (focal * (w2c[4] * x + w2c[5] * y + w2c[6] * z + w2c[7])) / depth[i] + height / 2;
    const bottom = Math.min(height - 1, Math.floor(v + radius - 0.5));
    for (let row = Math.max(0, Math.ceil(v - radius - 0.5)); row <= bottom; row++) {
      const reach = Math.sqrt(Math.max(0, radius * radius - (row + 0.5 - v) ** 2));
      const right = Math.min(width - 1, Math.floor(u + reach - 0.5));
      for (let column = Math.max(0, Math.ceil(u - reach - 0.5)); column <= right; column++) {
        const at = row * width + column;
        if (depth[i] < surface[at]) surface[at] = depth[i];
      }
    }
  }
  return surface;
}

/** Finds selected points; remembers what each view sees of the cloud, so that a stroke is shown as it grows. */
export class Selector {
  /** @param {Cloud} cloud */
  constructor(cloud) {
    this.cloud = cloud;
    /** @type {{ key: string, seen: any, surface: Float32Array | null }[]} */
    this.views = [];
    /** @type {WeakMap<Part, Uint8Array>} */
    this.masks = new WeakMap();
  }

  /**
   * @param {Part[]} parts
   * @returns {Uint8Array} 255 for selected points, else 0
   */
  select(parts) {
    const marks = new Uint8Array(this.cloud.count);
    for (const group of groups(parts)) {
      const { mode = "add" } = group[0];
      const isIn = group[0].kind === "box" ? this.#inBox(group[0]) : this.#painted(group);
      for (let i = 0; i < marks.length; i++)
        if (mode === "add") marks[i] ||= isIn(i) ? 255 : 0;
        else if (marks[i] && isIn(i) !== (mode === "intersect")) marks[i] = 0;
    }
    return marks;
  }

  /** @param {Part} box */
  #inBox({ centre, size, wxyz = [1, 0, 0, 0], clips }) {
    const { xyz, clip } = this.cloud;
    const m = invert(quaternionToPose(wxyz, centre));
    const half = size.map((side) => side / 2);
    const wanted = clips && new Set(clips);
    return (i) => {
      const [x, y, z] = [xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]];
      return (
        Math.abs(m[0] * x + m[1] * y + m[2] * z + m[3]) <= half[0] &&
        Math.abs(m[4] * x + m[5] * y + m[6] * z + m[7]) <= half[1] &&
        Math.abs(m[8] * x + m[9] * y + m[10] * z + m[11]) <= half[2] &&
        (!wanted || wanted.has(clip ? clip[i] : 0))
      );
    };
  }

  /** @param {Part[]} strokes of one view, reach and mode */
  #painted(strokes) {
    const [first] = strokes;
    const mask = this.#maskOf(strokes);
    const view = this.#view(first);
    const { pixel, depth } = view.seen;
    if ((first.reach ?? VISIBLE) !== VISIBLE) return (i) => pixel[i] >= 0 && mask[pixel[i]] === 1;
    view.surface ??= nearestSurface(this.cloud, view.seen);
    const { surface } = view;
    return (i) => pixel[i] >= 0 && mask[pixel[i]] === 1 && depth[i] <= surface[pixel[i]] * (1 + DEPTH_TOLERANCE);
  }

  /** What any of the strokes covers; each is painted once. @param {Part[]} strokes */
  #maskOf(strokes) {
    let all = null;
    for (const stroke of strokes) {
      let mask = this.masks.get(stroke);
      if (!mask) this.masks.set(stroke, (mask = paintMask(stroke).mask));
      if (strokes.length === 1) return mask;
      all ??= new Uint8Array(mask.length);
      for (let i = 0; i < mask.length; i++) all[i] |= mask[i];
    }
    return all;
  }

  /** @param {Part} stroke */
  #view({ view, clips }) {
    const key = JSON.stringify([view, clips]);
    let found = this.views.find((entry) => entry.key === key);
    if (!found) {
      found = { key, seen: projectCloud(this.cloud, view, clips), surface: null };
      this.views.push(found);
      if (this.views.length > 4) this.views.shift();
    }
    return found;
  }
}

/** Strokes that follow one another with the same view, reach, mode and clips count as one. @param {Part[]} parts */
function groups(parts) {
  const found = [];
  let last = "";
  for (const part of parts) {
    const key = part.kind === "box" ? "" : JSON.stringify([part.view, part.reach ?? VISIBLE, part.mode ?? "add", part.clips]);
    if (key && key === last) found[found.length - 1].push(part);
    else found.push([part]);
    last = key;
  }
  return found;
}

/**
 * A box around what can be seen in a rectangle of a view, upright, turned as the view is about the vertical.
 * @param {Cloud} cloud @param {Place} view @param {number[]} from @param {number[]} to corners, shares of the picture
 * @param {number[] | undefined} clips
 * @param {number} least side of the box, scene units
 * @returns {{ centre: number[], size: number[], wxyz: number[] } | null} null where nothing is seen
 */
export function boxAround(cloud, view, from, to, clips, least) {
  const low = [0, 1].map((i) => Math.min(from[i], to[i]));
  const high = [0, 1].map((i) => Math.max(from[i], to[i]));
  const corners = [low, [high[0], low[1]], high, [low[0], high[1]]];
  const marks = new Selector(cloud).select([{ kind: "outline", mode: "add", view, clips, points: corners, reach: VISIBLE }]);
  const { w2c } = paintCamera(view);
  const turn = Math.atan2(w2c[8], w2c[10]); // heading of the view about the vertical
  const wxyz = [Math.cos(turn / 2), 0, Math.sin(turn / 2), 0];
  const axes = invert(quaternionToPose(wxyz));
  const values = [[], [], []];
  const stride = Math.max(1, Math.floor(marks.length / 100_000));
  for (let i = 0; i < marks.length; i += stride) {
    if (!marks[i]) continue;
    const [x, y, z] = [cloud.xyz[3 * i], cloud.xyz[3 * i + 1], cloud.xyz[3 * i + 2]];
    for (let k = 0; k < 3; k++) values[k].push(axes[4 * k] * x + axes[4 * k + 1] * y + axes[4 * k + 2] * z);
  }
  if (!values[0].length) return null;
  // Without the outermost points: a floater must not stretch the box.
  const ends = values.map((list) => {
    list.sort((a, b) => a - b);
    return [list[Math.floor(0.01 * (list.length - 1))], list[Math.ceil(0.99 * (list.length - 1))]];
  });
  const size = ends.map(([a, b]) => Math.max(1.06 * (b - a), least));
  const middle = ends.map(([a, b]) => (a + b) / 2);
  const pose = quaternionToPose(wxyz);
  const centre = [0, 1, 2].map((row) => pose[4 * row] * middle[0] + pose[4 * row + 1] * middle[1] + pose[4 * row + 2] * middle[2]);
  return { centre, size, wxyz };
}
