/** The camera path editor of a node: picture, tools, panel and timeline put together. */

import { make } from "../ui/controls.js";
import { openFullWindow } from "../ui/full_window.js";
import { makeTranslator } from "../ui/strings.js";
import { installTheme } from "../ui/theme.js";
import { column } from "../view/matrices.js";
import { CloudView } from "../view/cloud_view.js";
import { makeActions } from "./actions.js";
import { Inset, renderedLook } from "./inset.js";
import { Messages } from "./messages.js";
import { drawGate, drawPath, drawRulers } from "./overlay.js";
import { Panel } from "./panel.js";
import { Points } from "./points.js";
import { makePointer } from "./pointer.js";
import { Session } from "./session.js";
import { actionOf, makeHelp } from "./shortcuts.js";
import { EDITOR_STRINGS } from "./strings.js";
import { gridLines, roundLength } from "../view/drawing.js";
import { Timeline } from "./timeline.js";
import { Toolbar } from "./toolbar.js";

const GATE_SHARE = 0.9;

export class PathEditor {
  /** @param {any} host of widget_host.js */
  constructor(host) {
    installTheme();
    this.host = host;
    this.state = host.state;
    this.t = makeTranslator(host.locale, EDITOR_STRINGS);
    this.session = new Session(host);
    this.tool = this.state.tool ?? { mode: "move", axes: "world" };
    /** @type {boolean} */
    this.isSpeedShown = this.state.isSpeedShown ?? true;
    /** @type {boolean} */
    this.isInsetShown = this.state.isInsetShown ?? true;
    /** @type {boolean} */
    this.isPanelShown = this.state.isPanelShown ?? true;
    this.isThrough = false;
    this.actions = makeActions(this);
    this.#build();
    this.messages = new Messages(this);
    this.points = new Points(this);
    this.#restoreView();
    this.session.watch((what) => this.#changed(what));
    host.element.append(this.root);
    if (host.output) this.setOutput(host.output);
    this.#changed("path");
    if (this.state.isFull) this.setFull(true);
    if (this.state.isThrough) this.setThrough(true);
  }

  #build() {
    const { t, session, actions } = this;
    this.root = make("div", "ws-view");
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "application");
    this.root.setAttribute("aria-label", t("editor"));
    this.toolbar = new Toolbar(t, actions);
    this.stage = make("div", "ws-stage");
    this.pointer = makePointer(this);
    this.view = new CloudView(this.stage, {
      onPaint: (ctx, camera) => this.#paint(ctx, camera),
      look: (grow) => this.#look(grow),
      gate: () => this.#gate(),
      onMove: () => this.#viewMoved(),
      pointer: this.pointer,
    });
    this.inset = new Inset(session, this.view, this.host.viewUrl, t);
    this.panel = new Panel(session, t, actions);
    this.timeline = new Timeline(session, t);
    this.statusBar = make("div", "ws-status");
    this.statusBar.setAttribute("role", "status");
    const body = make("div", "ws-body");
    body.append(this.stage, this.panel.element);
    this.root.append(this.toolbar.element, body, this.timeline.element, this.statusBar);
    this.#listen();
  }

  #listen() {
    const { root } = this;
    root.addEventListener("keydown", (event) => this.#pressKey(event));
    // ComfyUI's own keys (Delete removes nodes) must not see what is typed here; undo and run do.
    root.addEventListener("keyup", (event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
    });
    root.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      const pressed = /** @type {Element} */ (event.target);
      if (!pressed.closest("input, select, button, .ws-timeline")) root.focus({ preventScroll: true });
    });
    root.addEventListener("wheel", (event) => {
      if (event.ctrlKey) event.preventDefault(); // the page itself would be zoomed
      event.stopPropagation();
    });
    for (const kind of ["contextmenu", "dblclick"])
      root.addEventListener(kind, (event) => event.stopPropagation());
  }

  #pressKey(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey) return;
    event.stopPropagation();
    if (target.closest("input, select")) return;
    const isButtonKey = target.closest("button") && (event.key === " " || event.key === "Enter");
    const action = isButtonKey ? "" : actionOf(event);
    if (!action) return;
    event.preventDefault();
    this.actions[action]();
  }

  /** A value from outside: a workflow, undo. @param {string} text */
  setValue(text) {
    if (text === this.session.committed) return;
    this.session.load(text);
  }

  /** What a run brought. @param {any} output */
  setOutput(output) {
    try {
      this.session.takeOutput(output);
      this.runError = "";
    } catch (error) {
      this.runError = String(error);
    }
    this.points.take(output);
    if (!this.state.orbit) this.#restoreView();
    this.#changed("run");
  }

  /** Another widget of the node was changed. */
  nodeChanged() {
    this.session.derived = null;
    this.#changed("path");
  }

  #changed(what) {
    if (!this.messages) return;
    if (what === "path" || what === "run") this.view.orbit.unit = this.actions.unit();
    if (what !== "progress") {
      this.panel.update();
      this.messages.update();
      this.#updateToolbar();
    }
    if (this.isThrough) this.#followCamera();
    if (!this.session.path) this.timeline.stop();
    this.timeline.draw();
    this.view.requestDraw();
  }

  #updateToolbar() {
    this.toolbar.update({ ...this, isFull: !!this.closeFull, isPicking: !!this.picking });
    this.panel.element.hidden = !this.isPanelShown;
    this.inset.isShown = this.isInsetShown;
  }

  /** @param {string} name of a setting that is kept @param {boolean} value */
  set(name, value) {
    this[name] = this.state[name] = value;
    this.#updateToolbar();
    this.view.requestDraw();
  }

  /** @param {Partial<{ mode: string, axes: string }>} change */
  setTool(change) {
    this.tool = this.state.tool = { ...this.tool, ...change };
    this.#updateToolbar();
    this.view.requestDraw();
  }

  /** @param {string} text @param {string} [kind] "warning" */
  say(text, kind = "") {
    this.messages.say(text, kind);
  }

  /** Wait for a click on a point: "aim" or "look_at". @param {string} kind */
  startPick(kind) {
    this.picking = kind;
    this.stage.style.cursor = "crosshair";
    this.say(this.t("pick_hint"));
    this.#updateToolbar();
  }

  endPick() {
    this.picking = "";
    this.stage.style.cursor = "";
    this.messages.update();
    this.#updateToolbar();
  }

  escape() {
    if (this.help) this.toggleHelp();
    else if (this.picking) this.endPick();
    else if (this.isThrough) this.setThrough(false);
    else if (this.closeFull) this.setFull(false);
    else this.session.select(-1);
  }

  // Views

  /** Look through the camera at the moment shown, or stay where that was. @param {boolean} isThrough */
  setThrough(isThrough) {
    if (isThrough === this.isThrough) return;
    this.isThrough = this.state.isThrough = isThrough;
    if (isThrough) this.#followCamera();
    this.#updateToolbar();
    this.view.requestDraw();
  }

  #followCamera() {
    if (!this.session.path) return;
    const camera = this.session.cameraAt(this.session.progress);
    const fov = (2 * Math.atan(camera.width / (2 * camera.fx)) * 180) / Math.PI;
    this.view.orbit.lookFrom(camera.c2w, this.actions.unit(), fov);
  }

  #viewMoved() {
    // Moved by hand the view leaves the camera, from where the camera stood.
    if (this.isThrough) this.setThrough(false);
    this.state.orbit = this.view.orbit.save();
  }

  #gate() {
    const { width, height } = this.session.size();
    return { aspect: width / height, share: GATE_SHARE };
  }

  #restoreView() {
    if (this.state.orbit) this.view.orbit.restore(this.state.orbit);
    else this.frameAll();
  }

  /** Path and points from behind and above the start. */
  frameAll() {
    const { orbit } = this.view;
    this.setThrough(false);
    const places = this.session.path ? this.session.shape.samples.map((sample) => column(sample.c2w, 3)) : [[0, 0, 0]];
    const unit = this.actions.unit();
    const low = [0, 1, 2].map((i) => Math.min(...places.map((place) => place[i])));
    const high = [0, 1, 2].map((i) => Math.max(...places.map((place) => place[i])));
    const ahead = this.session.path ? column(this.session.cameraOfWaypoint(0).c2w, 2) : [0, 0, 1];
    const center = low.map((value, i) => (value + high[i]) / 2 + 0.35 * unit * ahead[i]);
    const radius = Math.max(Math.hypot(...high.map((value, i) => value - low[i])) / 2 + 0.45 * unit, 0.6 * unit);
    orbit.unit = unit;
    orbit.fovDeg = this.session.start().fov_deg;
    orbit.lookFrom([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], unit);
    const side = [ahead[2], 0, -ahead[0]];
    orbit.lookAlong([-ahead[0] + 0.75 * side[0], -0.75, -ahead[2] + 0.75 * side[2]]);
    orbit.frame(center, radius);
    // Up and to the left: the camera's picture lies in the other corner.
    const reach = orbit.distance * Math.tan((orbit.fovDeg * Math.PI) / 360);
    orbit.pan(-0.2 * reach, -0.1 * reach, orbit.distance);
    this.view.requestDraw();
  }

  #look(grow) {
    const { width, height } = this.view.gateBox();
    return this.isThrough ? renderedLook(width * grow, height * grow, 1.6 * grow) : { lines: this.#grid() };
  }

  #grid() {
    const unit = this.actions.unit();
    const bounds = this.view.cloud?.bounds;
    const floor = bounds ? bounds.high[1] : 0.5 * unit;
    const step = roundLength(0.5 * unit);
    const center = [this.view.orbit.pivot[0], floor, this.view.orbit.pivot[2]];
    return [{ points: gridLines(center, step, 12), rgba: [0.75, 0.82, 0.95, 0.2] }];
  }

  #paint(ctx, camera) {
    const near = 0.02 * this.view.orbit.unit;
    const { hover, insertion } = this.pointer.state;
    const box = this.view.gateBox();
    drawPath(ctx, camera, this.session, {
      near, hover, insertion, tool: this.tool, isSpeedShown: this.isSpeedShown, isLookedThrough: this.isThrough,
    });
    if (this.session.path) drawGate(ctx, box, camera.width, camera.height, this.isThrough);
    drawRulers(ctx, camera, this.view.orbit.distance, this.actions.lengthText);
    if (!this.isThrough) this.inset.paint(ctx);
    if (this.flashing) {
      ctx.fillStyle = "rgba(255, 255, 255, 0.35)";
      ctx.fillRect(box.x, box.y, box.width, box.height);
    }
  }

  /** A short light on the picture that was recorded. */
  flash() {
    this.flashing = true;
    this.view.requestDraw();
    setTimeout(() => {
      this.flashing = false;
      this.view.requestDraw();
    }, 120);
  }

  // Window and help

  /** @param {boolean} isFull */
  setFull(isFull) {
    if (isFull === !!this.closeFull) return;
    this.state.isFull = isFull;
    if (!isFull) return this.closeFull();
    this.closeFull = openFullWindow(this.root, {
      label: this.t("editor"),
      awayText: this.t("away"),
      onClose: () => {
        this.closeFull = null;
        this.state.isFull = this.isDisposed ? this.state.isFull : false;
        this.#updateToolbar();
        this.view.requestDraw();
      },
    });
    this.#updateToolbar();
  }

  toggleHelp() {
    if (this.help) {
      this.help.remove();
      this.help = null;
      this.root.focus({ preventScroll: true });
      return;
    }
    this.help = makeHelp(this.t, () => this.toggleHelp());
    this.root.querySelector(".ws-body").append(this.help);
    this.help.querySelector("button").focus({ preventScroll: true });
  }

  dispose() {
    this.isDisposed = true;
    this.closeFull?.();
    this.timeline.dispose();
    this.inset.dispose();
    this.messages.dispose();
    this.points.dispose();
    this.view.dispose();
    this.root.remove();
  }
}

/** @param {any} host of widget_host.js */
export const createPathEditor = (host) => new PathEditor(host);
