/**
 * The camera's eye: the picture at the moment shown, with the very K of its frame, drawn live or as the run rendered it.
 */

import { drawLabel } from "../view/drawing.js";

const RADIUS = 0.008; // of a point, in units of half the picture's shorter side: the renderer's

/**
 * Points and holes as the renderer draws them by default.
 * @param {number} width of the picture @param {number} height pixels @param {number} least diameter, pixels
 */
export const renderedLook = (width, height, least) => ({
  pointPixels: Math.max(least, RADIUS * Math.min(width, height)),
  pointWorld: 0,
  background: [0.5, 0.5, 0.5, 1],
});

export class Inset {
  /**
   * @param {import("./session.js").Session} session
   * @param {import("../view/cloud_view.js").CloudView} view
   * @param {(file: object) => string} viewUrl
   * @param {(key: string, values?: Record<string, unknown>) => string} t
   */
  constructor(session, view, viewUrl, t) {
    this.session = session;
    this.view = view;
    this.viewUrl = viewUrl;
    this.t = t;
    this.isShown = true;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
    this.kept = document.createElement("canvas");
    this.keptContext = this.kept.getContext("2d");
    this.keptKey = "";
    /** @type {import("../view/cloud_store.js").Cloud | null} */
    this.keptCloud = null;
  }

  /** Where it lies in the view. */
  box() {
    const { width, height } = this.session.size();
    const [outerWidth, outerHeight] = [this.view.canvas.clientWidth, this.view.canvas.clientHeight];
    const wide = Math.min(Math.max(0.3 * outerWidth, 120), 380);
    const fit = Math.min(wide, (0.42 * outerHeight * width) / height);
    const size = { width: fit, height: (fit * height) / width };
    return { x: outerWidth - size.width - 10, y: outerHeight - size.height - 10, ...size };
  }

  /** @param {number} x @param {number} y */
  contains(x, y) {
    if (!this.isShown || !this.session.path) return false;
    const box = this.box();
    return x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height;
  }

  /** @param {CanvasRenderingContext2D} ctx */
  paint(ctx) {
    if (!this.isShown || !this.session.path) return;
    const box = this.box();
    const rendered = this.#rendered();
    ctx.fillStyle = "rgb(128, 128, 128)";
    ctx.fillRect(box.x, box.y, box.width, box.height);
    if (rendered) ctx.drawImage(rendered, box.x, box.y, box.width, box.height);
    else this.#paintLive(ctx, box);
    ctx.strokeStyle = "rgba(8, 10, 14, 0.8)";
    ctx.lineWidth = 4;
    ctx.strokeRect(box.x, box.y, box.width, box.height);
    ctx.strokeStyle = "#59e3ff";
    ctx.lineWidth = 1.5;
    ctx.strokeRect(box.x, box.y, box.width, box.height);
    this.#label(ctx, box, rendered !== null);
  }

  /** Turning the view does not change what the camera sees: the picture is kept until something else does. */
  #paintLive(ctx, box) {
    const camera = this.session.cameraAt(this.session.progress);
    const grow = ctx.getTransform().a;
    const [width, height] = [Math.round(box.width * grow), Math.round(box.height * grow)];
    const { cloud, renderer } = this.view;
    const key = [width, height, renderer.problem, ...Object.values(camera)].join();
    if (key !== this.keptKey || cloud !== this.keptCloud) {
      this.kept.width = width;
      this.kept.height = height;
      const look = renderedLook(width, height, 1.5 * grow);
      const isDrawn = this.view.copyPicture(this.keptContext, camera, { x: 0, y: 0, width, height }, look);
      this.keptKey = isDrawn ? key : "";
      this.keptCloud = cloud;
    }
    ctx.drawImage(this.kept, box.x, box.y, box.width, box.height);
  }

  #label(ctx, box, isRendered) {
    const { session } = this;
    const camera = session.cameraAt(session.progress);
    const fov = (2 * Math.atan(camera.width / (2 * camera.fx)) * 180) / Math.PI;
    const seconds = session.frameOf(session.progress) / session.path.fps;
    const kind = this.t(isRendered ? "rendered" : "live");
    drawLabel(ctx, `${kind} · ${seconds.toFixed(2)} s · ${fov.toFixed(1)}°`, box.x + 8, box.y + 12, { align: "left", size: 10 });
  }

  /** The run's own picture of this frame, once it is loaded; null where there is none or the path was changed. */
  #rendered() {
    const { run } = this.session;
    if (!run?.pictures.length || this.session.isChanged) return null;
    const frame = this.session.frameOf(this.session.progress);
    if (Math.abs(frame - Math.round(frame)) > 1e-3) return null;
    const file = run.pictures[run.drawn.indexOf(Math.round(frame))];
    if (!file) return null;
    const url = this.viewUrl(file);
    let image = this.images.get(url);
    if (!image) {
      image = new Image();
      image.onload = () => this.view.requestDraw();
      image.src = url;
      this.images.set(url, image);
    }
    return image.complete && image.naturalWidth > 0 ? image : null;
  }

  dispose() {
    this.images.clear();
    this.keptCloud = null;
  }
}
