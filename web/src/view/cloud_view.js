/**
 * A 2D canvas that shows a cloud from a movable viewpoint, with room for drawing on top. Draws when asked, never by
 * itself; a view out of sight draws nothing.
 *
 * Positions are pixels of the element's layout, whatever the graph's zoom.
 * @typedef {import("../path/sampling.js").Camera} Camera
 * @typedef {import("./cloud_store.js").Cloud} Cloud
 */

import { attachOrbitControls, OrbitView } from "./orbit_view.js";
import { intoCamera } from "./matrices.js";
import { sharedRenderer } from "./point_renderer.js";
import { project, unproject } from "./projection.js";

const MOST_PIXELS = 2560;
const PICK_PIXELS = 7;
// While the view moves, fewer points are drawn where frames take longer than this, more where they take less.
const SLOW_FRAME = 70; // ms
const FAST_FRAME = 30;
const FEWEST_POINTS = 20_000;
const REST = 220; // ms without a move until all points are drawn

export class CloudView {
  /**
   * @param {HTMLElement} parent gets the canvas
   * @param {object} options
   * @param {(ctx: CanvasRenderingContext2D, camera: Camera) => void} options.onPaint draw on top, in layout pixels
   * @param {(grow: number) => Partial<import("./point_renderer.js").Picture>} [options.look] mode, sizes, hidden clips,
   *   lines; told how many canvas pixels a layout pixel has
   * @param {() => { aspect: number, share: number }} [options.gate] what the field of view is measured across
   * @param {(kind: string) => void} [options.onMove] the viewpoint was moved by the pointer
   * @param {object} [options.pointer] onPress, onHover, onClick, isFixed of `attachOrbitControls`
   */
  constructor(parent, options) {
    this.options = options;
    this.orbit = new OrbitView();
    /** @type {Cloud | null} */
    this.cloud = null;
    this.renderer = sharedRenderer();
    this.canvas = document.createElement("canvas");
    this.canvas.className = "ws-view-canvas";
    this.context = this.canvas.getContext("2d");
    parent.append(this.canvas);
    this.frame = 0;
    this.painted = 0;
    this.mostPoints = Infinity;
    this.movedAt = 0;
    this.resizing = new ResizeObserver(() => this.requestDraw());
    this.resizing.observe(this.canvas);
    this.unwatch = this.renderer.watch(() => this.requestDraw());
    attachOrbitControls(this.canvas, this.orbit, {
      ...options.pointer,
      focal: () => this.camera().fx,
      onChange: (kind) => {
        options.onMove?.(kind);
        this.#moved();
      },
    });
  }

  #moved() {
    const now = performance.now();
    const took = now - this.movedAt;
    const drawn = Math.min(this.mostPoints, this.cloud?.count ?? 0);
    // The time between two moves that were both drawn is what a frame costs.
    if (this.painted !== this.paintedBefore && took < 1000) {
      if (took > SLOW_FRAME) this.mostPoints = Math.max(FEWEST_POINTS, drawn / 2);
      else if (took < FAST_FRAME) this.mostPoints = drawn * 1.5;
    }
    this.movedAt = now;
    this.paintedBefore = this.painted;
    clearTimeout(this.resting);
    this.isMoving = true;
    this.resting = setTimeout(() => {
      this.isMoving = false;
      this.requestDraw();
    }, REST);
    this.requestDraw();
  }

  /** @param {Cloud | null} cloud */
  setCloud(cloud) {
    this.cloud = cloud;
    this.requestDraw();
  }

  /** The viewpoint as a camera of the element's size. @returns {Camera} */
  camera() {
    const width = Math.max(this.canvas.clientWidth, 1);
    const height = Math.max(this.canvas.clientHeight, 1);
    const box = this.gateBox(width, height);
    const focal = box.width / (2 * Math.tan((this.orbit.fovDeg * Math.PI) / 360));
    return { c2w: this.orbit.c2w, fx: focal, fy: focal, cx: width / 2, cy: height / 2, width, height };
  }

  /** The window of the element that a picture taken from here would show. */
  gateBox(width = this.canvas.clientWidth, height = this.canvas.clientHeight) {
    const { aspect, share } = this.options.gate?.() ?? { aspect: width / height, share: 1 };
    const gateWidth = Math.min(width, height * aspect) * share;
    const gateHeight = gateWidth / aspect;
    return { x: (width - gateWidth) / 2, y: (height - gateHeight) / 2, width: gateWidth, height: gateHeight };
  }

  requestDraw() {
    if (this.frame || this.isDisposed) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { canvas, context } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const box = canvas.getBoundingClientRect();
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (!canvas.isConnected || width < 2 || height < 2 || box.width < 2) return;
    // As many pixels as the screen shows, so that a zoomed graph is sharp.
    const grow = Math.min((box.width / width) * (window.devicePixelRatio || 1), MOST_PIXELS / Math.max(width, height), 4);
    const [pixelWidth, pixelHeight] = [Math.round(width * grow), Math.round(height * grow)];
    if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
      canvas.width = pixelWidth;
      canvas.height = pixelHeight;
    }
    const camera = this.camera();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, pixelWidth, pixelHeight);
    const look = { pointPixels: 1.6 * grow, pointWorld: 0.004 * this.orbit.unit, ...this.options.look?.(grow) };
    const share = this.isMoving && this.cloud ? Math.min(1, this.mostPoints / this.cloud.count) : 1;
    if (share < 1) {
      look.mostPoints = Math.round(share * this.cloud.count);
      look.pointPixels *= Math.min(2.5, 1 / Math.sqrt(share));
    }
    this.copyPicture(context, camera, { x: 0, y: 0, width: pixelWidth, height: pixelHeight }, look);
    context.setTransform(pixelWidth / width, 0, 0, pixelHeight / height, 0, 0);
    this.painted += 1;
    this.options.onPaint(context, camera);
  }

  /**
   * Draw the cloud as a camera sees it into a part of a 2D canvas.
   * @param {CanvasRenderingContext2D} context
   * @param {Camera} camera
   * @param {{ x: number, y: number, width: number, height: number }} box canvas pixels
   * @param {Partial<import("./point_renderer.js").Picture>} look
   * @returns {boolean} false when WebGL is away
   */
  copyPicture(context, camera, box, look) {
    const { x, y, width, height } = box;
    const drawn = this.renderer.draw({
      cloud: this.cloud,
      camera,
      pixelWidth: Math.round(width),
      pixelHeight: Math.round(height),
      near: 0.004 * this.orbit.unit,
      far: 4000 * this.orbit.unit,
      pointPixels: 2,
      ...look,
    });
    if (drawn) {
      const size = [Math.round(width), Math.round(height)];
      context.drawImage(drawn.canvas, drawn.x, drawn.y, size[0], size[1], x, y, width, height);
    }
    return drawn !== null;
  }

  /**
   * The nearest point of the cloud under a position.
   * @param {number} x @param {number} y
   * @returns {number[] | null} world coordinates
   */
  pick(x, y) {
    const index = this.pickIndex(x, y);
    return index < 0 ? null : Array.from(this.cloud.xyz.subarray(3 * index, 3 * index + 3));
  }

  /** Number of the nearest point under a position, -1 for none. @param {number} x @param {number} y */
  pickIndex(x, y) {
    if (!this.cloud) return -1;
    const camera = this.camera();
    const { xyz, count } = this.cloud;
    const near = 0.004 * this.orbit.unit;
    let [best, bestScore] = [-1, Infinity];
    for (let i = 0; i < count; i++) {
      const [px, py, z] = intoCamera(camera.c2w, [xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]]);
      if (z < near) continue;
      const off = Math.hypot(camera.cx + (camera.fx * px) / z - x, camera.cy + (camera.fy * py) / z - y);
      // A surface in front wins over one behind that happens to lie nearer the pointer.
      const score = z * (1 + 0.02 * off);
      if (off < PICK_PIXELS && score < bestScore) [best, bestScore] = [i, score];
    }
    return best;
  }

  /** Where a world point shows on the page. @param {number[]} point @returns {{ x: number, y: number }} client pixels */
  clientOf(point) {
    const { x, y } = project(this.camera(), point);
    const box = this.canvas.getBoundingClientRect();
    const grow = box.width / this.canvas.clientWidth;
    return { x: box.left + x * grow, y: box.top + y * grow };
  }

  /** World point under a position at the pivot's depth. @param {number} x @param {number} y */
  pointAtPivot(x, y) {
    return unproject(this.camera(), x, y, this.orbit.distance);
  }

  dispose() {
    this.isDisposed = true;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.resting);
    this.resizing.disconnect();
    this.unwatch();
    this.canvas.remove();
    this.cloud = null;
  }
}
