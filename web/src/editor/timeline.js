/** The clip's time below the picture: speed, waypoints to drag, frames with warnings, the moment shown, and play. */

import { button, make, setIcon } from "../ui/controls.js";
import { COLOURS, drawDot, speedColour } from "../view/drawing.js";
import { changeWaypoint, moveTime } from "../path/path_edit.js";
import { WARNING_COLOURS, warningOf } from "./overlay.js";

const EDGE = 10;
const GRAB = 8;

export class Timeline {
  /**
   * @param {import("./session.js").Session} session
   * @param {(key: string, values?: Record<string, unknown>) => string} t
   */
  constructor(session, t) {
    this.session = session;
    this.t = t;
    this.element = make("div", "ws-timeline-row");
    this.playButton = button({ icon: "play", label: t("play"), key: "Space", onClick: () => this.togglePlay() });
    this.track = make("div", "ws-timeline");
    this.track.tabIndex = 0;
    this.track.setAttribute("role", "slider");
    this.track.setAttribute("aria-label", t("timeline"));
    this.track.title = t("timeline_tip");
    this.canvas = make("canvas");
    this.track.append(this.canvas);
    this.number = make("span", "ws-frame-number");
    this.element.append(this.playButton, this.track, this.number);
    this.playing = 0;
    this.#listen();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.track);
  }

  #listen() {
    const { track } = this;
    let held = null;
    const timeAt = (event) => {
      const box = track.getBoundingClientRect();
      const x = ((event.clientX - box.left) * track.clientWidth) / box.width;
      return (x - EDGE) / (track.clientWidth - 2 * EDGE);
    };
    track.addEventListener("pointerdown", (event) => {
      if (!this.session.path || event.button !== 0) return;
      event.stopPropagation();
      this.stop();
      const time = timeAt(event);
      const index = this.#waypointNear(time);
      held = { index, path: this.session.path, isMoved: false };
      track.setPointerCapture(event.pointerId);
      if (index >= 0) this.session.select(index);
      else this.session.seek(this.#progressAt(time));
      if (index >= 0) this.session.seek(this.session.shape.waypointAt[index]);
    });
    track.addEventListener("pointermove", (event) => {
      if (!held) return;
      event.stopPropagation();
      const time = timeAt(event);
      const canMove = held.index > 0 && held.index < held.path.waypoints.length - 1 && held.path.speed !== "constant";
      if (held.index < 0) this.session.seek(this.#progressAt(time));
      else if (canMove) {
        held.isMoved = true;
        const moved = moveTime(held.path, held.index, this.#progressAt(time));
        this.session.edit(moved);
        this.session.seek(moved.waypoints[held.index].time);
      }
    });
    const end = (event) => {
      if (!held) return;
      event.stopPropagation();
      if (held.isMoved && event.type === "pointerup") this.session.commit();
      else if (held.isMoved) this.session.revert();
      held = null;
    };
    for (const kind of ["pointerup", "pointercancel"]) track.addEventListener(kind, end);
    for (const kind of ["dblclick", "contextmenu"]) track.addEventListener(kind, (event) => event.stopPropagation());
    track.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[event.key];
      if (step) this.stepFrames(event.shiftKey ? 10 * step : step);
      else if (event.key === "Home") this.session.seek(0);
      else if (event.key === "End") this.session.seek(1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  // The track shows time; a clip's easing bends it against the path's progress.
  #progressAt(time) {
    const { session } = this;
    const frame = Math.max(0, Math.min(1, time)) * (session.frames - 1);
    return session.progressOfFrame(frame);
  }

  #timeOf(progress) {
    return this.session.frames > 1 ? this.session.frameOf(progress) / (this.session.frames - 1) : 0;
  }

  #waypointNear(time) {
    const width = this.track.clientWidth - 2 * EDGE;
    const gaps = this.session.shape.waypointAt.map((at) => Math.abs(this.#timeOf(at) - time) * width);
    const best = gaps.indexOf(Math.min(...gaps));
    return gaps[best] <= GRAB ? best : -1;
  }

  /** @param {number} step */
  stepFrames(step) {
    const { session } = this;
    if (!session.path) return;
    const frame = Math.round(session.frameOf(session.progress)) + step;
    session.seek(session.progressOfFrame(Math.max(0, Math.min(session.frames - 1, frame))));
  }

  togglePlay() {
    if (this.playing) return this.stop();
    const { session } = this;
    if (!session.path) return;
    const seconds = Math.max((session.frames - 1) / session.path.fps, 0.1);
    const from = session.progress >= 0.999 ? 0 : this.#timeOf(session.progress);
    const started = performance.now() - from * seconds * 1000;
    setIcon(this.playButton, "pause", this.t("pause"));
    const step = (now) => {
      // A node that scrolled away or was removed plays no further.
      if (!this.track.isConnected || !session.path) return this.stop();
      const share = (now - started) / 1000 / seconds;
      session.seek(this.#progressAt(Math.min(share, 1)));
      if (share >= 1) return this.stop();
      this.playing = requestAnimationFrame(step);
    };
    this.playing = requestAnimationFrame(step);
  }

  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    setIcon(this.playButton, "play", this.t("play"));
  }

  draw() {
    const { canvas, session } = this;
    const [width, height] = [this.track.clientWidth, this.track.clientHeight];
    const box = this.track.getBoundingClientRect();
    if (width < 2 * EDGE || box.width < 2) return;
    const grow = Math.min((box.width / width) * (window.devicePixelRatio || 1), 4);
    canvas.width = Math.round(width * grow);
    canvas.height = Math.round(height * grow);
    const ctx = canvas.getContext("2d");
    ctx.scale(canvas.width / width, canvas.height / height);
    if (!session.path) {
      this.number.textContent = "";
      return;
    }
    const x = (time) => EDGE + time * (width - 2 * EDGE);
    this.#drawSpeed(ctx, x);
    this.#drawFrames(ctx, x);
    const at = session.shape.waypointAt;
    at.forEach((progress, i) => drawDiamond(ctx, x(this.#timeOf(progress)), 27, i === session.selected ? 7 : 5.5, i === session.selected ? COLOURS.selected : "#dfe6f0"));
    const head = x(this.#timeOf(session.progress));
    ctx.strokeStyle = "#59e3ff";
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(head, 2);
    ctx.lineTo(head, height - 2);
    ctx.stroke();
    drawDot(ctx, head, 5, 4, "#59e3ff");
    this.#say();
  }

  #drawSpeed(ctx, x) {
    const { samples, speeds, meanSpeed } = this.session.shape;
    ctx.beginPath();
    ctx.roundRect(x(0) - 4, 17, x(1) - x(0) + 8, 20, 5);
    ctx.fillStyle = "rgba(127, 140, 160, 0.28)";
    ctx.fill();
    for (let i = 1; i < samples.length; i++) {
      const [a, b] = [x(this.#timeOf(samples[i - 1].progress)), x(this.#timeOf(samples[i].progress))];
      ctx.fillStyle = speedColour(meanSpeed > 0 ? speeds[i] / meanSpeed / 2 : 0);
      ctx.fillRect(a, 33, b - a + 0.5, 3.5);
    }
  }

  /** Ticks per frame above; a warned frame's tick has its warning's colour, holes hang as bars. */
  #drawFrames(ctx, x) {
    const { session } = this;
    const { frames } = session;
    const warnings = session.isChanged ? null : session.run.warnings;
    const room = (x(1) - x(0)) / Math.max(frames - 1, 1);
    for (let frame = 0; frame < frames; frame++) {
      const at = x(frames > 1 ? frame / (frames - 1) : 0);
      const kind = warnings && warningOf(warnings, frame);
      const holes = warnings?.holes[frame];
      if (holes) {
        ctx.fillStyle = "rgba(160, 168, 182, 0.4)";
        ctx.fillRect(at - Math.max(room / 2, 1), 37 - 20 * holes, Math.max(room, 2), 20 * holes);
      }
      if (room < 3 && !kind && frame % 10) continue;
      ctx.fillStyle = kind ? WARNING_COLOURS[kind] : "rgba(160, 168, 182, 0.75)";
      ctx.fillRect(at - (kind ? 1.5 : 0.5), kind ? 6 : 11, kind ? 3 : 1, kind ? 9 : 4);
    }
  }

  #say() {
    const { session } = this;
    const frame = session.frameOf(session.progress);
    const text = this.t("frame_of", { frame: Math.round(frame), last: session.frames - 1 });
    this.number.textContent = text;
    this.track.setAttribute("aria-valuemin", "0");
    this.track.setAttribute("aria-valuemax", String(session.frames - 1));
    this.track.setAttribute("aria-valuenow", String(Math.round(frame)));
    this.track.setAttribute("aria-valuetext", text);
  }

  dispose() {
    this.stop();
    this.resizing.disconnect();
  }
}

function drawDiamond(ctx, x, y, size, colour) {
  ctx.beginPath();
  ctx.moveTo(x, y - size);
  ctx.lineTo(x + size, y);
  ctx.lineTo(x, y + size);
  ctx.lineTo(x - size, y);
  ctx.closePath();
  ctx.fillStyle = colour;
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = COLOURS.rim;
  ctx.stroke();
}

/** Set when a waypoint is passed, from a field. @param {import("./session.js").Session} session @param {number} index @param {number} time */
export function setTime(session, index, time) {
  const moved = moveTime(session.path, index, time);
  session.edit(moved === session.path ? changeWaypoint(session.path, index, {}) : moved);
}
