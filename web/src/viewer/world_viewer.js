/** The world viewer of a node: picture, tools, panel and line of text put together. */

import { make } from "../ui/controls.js";
import { openFullWindow } from "../ui/full_window.js";
import { makeTranslator } from "../ui/strings.js";
import { installTheme } from "../ui/theme.js";
import { CloudView } from "../view/cloud_view.js";
import { gridLines, roundLength } from "../view/drawing.js";
import { column, IDENTITY, poseToQuaternion, quaternionToPose, subtract, withPlace, add } from "../view/matrices.js";
import { makeActions } from "./actions.js";
import { Messages } from "./messages.js";
import { drawGate, paintOverlay } from "./overlay.js";
import { Panel } from "./panel.js";
import { makePointer } from "./pointer.js";
import { boxAround } from "./selecting.js";
import { Session } from "./session.js";
import { actionOf, makeHelp } from "./shortcuts.js";
import { VIEWER_STRINGS } from "./strings.js";
import { installViewerStyle } from "./style.js";
import { Toolbar } from "./toolbar.js";
import { VISIBLE } from "./view_state.js";
import { WorldPoints } from "./world_points.js";

const GATE_SHARE = 0.94;
const FIRST_TOOL = { name: "look", mode: "add", reach: VISIBLE, radius: 0.05 };

export class WorldViewer {
  /** @param {any} host of widget_host.js */
  constructor(host) {
    installTheme();
    installViewerStyle();
    this.host = host;
    this.state = host.state;
    this.t = makeTranslator(host.locale, VIEWER_STRINGS);
    this.session = new Session(host);
    this.tool = this.state.tool ?? FIRST_TOOL;
    this.isPanelShown = this.state.isPanelShown ?? true;
    this.actions = makeActions(this);
    this.#build();
    this.points = new WorldPoints(this);
    this.messages = new Messages(this);
    this.session.watch((what) => this.#changed(what));
    host.element.append(this.root);
    if (this.state.orbit) this.view.orbit.restore(this.state.orbit);
    if (host.output) this.setOutput(host.output);
    this.#changed("state");
    if (this.state.isFull) this.setFull(true);
  }

  #build() {
    const { t, actions } = this;
    this.root = make("div", "ws-view ws-world");
    this.root.tabIndex = 0;
    this.root.setAttribute("role", "application");
    this.root.setAttribute("aria-label", t("viewer"));
    this.toolbar = new Toolbar(t, actions);
    this.stage = make("div", "ws-stage");
    this.pointer = makePointer(this);
    this.view = new CloudView(this.stage, {
      onPaint: (ctx, camera) => this.#paint(ctx, camera),
      look: () => this.#look(),
      gate: () => this.#gate(),
      onMove: () => (this.state.orbit = this.view.orbit.save()),
      pointer: this.pointer,
    });
    this.view.canvas.addEventListener("pointerleave", () => this.pointer.onLeave());
    this.panel = new Panel(this);
    this.statusBar = make("div", "ws-status");
    this.statusBar.setAttribute("role", "status");
    const body = make("div", "ws-body");
    body.append(this.stage, this.panel.element);
    this.root.append(this.toolbar.element, body, this.statusBar);
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
      if (!(/** @type {HTMLElement} */ (event.target).closest("input, select, button"))) root.focus({ preventScroll: true });
    });
    for (const kind of ["wheel", "contextmenu", "dblclick"])
      root.addEventListener(kind, (/** @type {any} */ event) => {
        if (event.ctrlKey && kind === "wheel") event.preventDefault();
        event.stopPropagation();
      });
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
    if (text !== this.session.committed) this.session.load(text);
  }

  /** What a run brought. @param {any} output */
  setOutput(output) {
    const isFirst = !this.session.world;
    try {
      this.session.takeOutput(output);
      this.runError = "";
    } catch (error) {
      this.runError = String(error);
    }
    this.points.take(output);
    if (isFirst && this.session.world && !this.state.orbit) this.frameAll();
    this.#changed("run");
  }

  nodeChanged() {}

  /** The points were replaced. */
  pointsChanged() {
    this.messages?.update();
    if (!this.state.orbit) this.frameAll();
  }

  #changed(what) {
    if (!this.messages) return;
    this.view.orbit.unit = this.unit();
    if (what === "state" || what === "run") this.points.mark(this.session.state.selection);
    this.panel.update();
    this.messages.update();
    this.toolbar.update(this);
    this.panel.element.hidden = !this.isPanelShown;
    this.view.requestDraw();
  }

  /** @param {string} name of a setting that is kept @param {boolean} value */
  set(name, value) {
    this[name] = this.state[name] = value;
    this.#changed(name);
  }

  /** @param {Partial<{ name: string, mode: string, reach: string, radius: number }>} change */
  setTool(change) {
    this.tool = this.state.tool = { ...this.tool, ...change };
    this.pointer.state.hover = null;
    this.pointer.updateCursor();
    this.#changed("tool");
  }

  /** @param {string} text @param {string} [kind] "warning" */
  say(text, kind = "") {
    this.messages.say(text, kind);
  }

  escape() {
    if (this.help) this.toggleHelp();
    else if (this.tool.name !== "look") this.setTool({ name: "look" });
    else if (this.closeFull) this.setFull(false);
    else this.session.setActive(-1);
  }

  // Selecting

  canSelect() {
    if (!this.session.isEditable || !this.session.world) return false;
    return true;
  }

  /** What the picture shows now, as a place that strokes refer to. */
  #strokeView() {
    const camera = this.view.camera();
    const fov = (2 * Math.atan(camera.width / (2 * camera.fx)) * 180) / Math.PI;
    const { c2w } = camera;
    return { position: column(c2w, 3), wxyz: poseToQuaternion(c2w), fov_deg: fov, aspect: camera.width / camera.height };
  }

  /** @param {number[][]} stroke pixels @returns {import("./view_state.js").Part | null} */
  #partOf(stroke) {
    const { clientWidth: width, clientHeight: height } = this.view.canvas;
    const { name, mode, reach, radius } = this.tool;
    const clips = this.session.shownClips;
    const view = this.#strokeView();
    const points = stroke.map(([x, y]) => [x / width, y / height]);
    const common = { mode, ...(clips ? { clips } : {}) };
    if (name === "brush") return { kind: "brush", ...common, reach, radius, view, points };
    if (name === "lasso") return points.length < 3 ? null : { kind: "outline", ...common, reach, view, points };
    const cloud = this.view.cloud;
    const box = cloud && points.length > 1 && boxAround(cloud, view, points[0], points[points.length - 1], clips, 0.02 * this.unit());
    return box ? { kind: "box", ...common, ...box } : null;
  }

  /** Mark what the stroke would select. */
  showStroke() {
    const { stroke } = this.pointer.state;
    const part = this.tool.name === "brush" && stroke.length ? this.#partOf(stroke) : null;
    const { selection } = this.session.state;
    this.points.mark(part ? [...selection, part] : selection);
    this.view.requestDraw();
  }

  /** @param {number[][]} stroke pixels */
  finishStroke(stroke) {
    const part = this.#partOf(stroke);
    if (part) this.session.addPart(part);
    else this.say(this.t("nothing_there"), "warning");
    // A box is adjusted next; strokes follow one another.
    if (part?.kind === "box") this.setTool({ name: "look" });
    this.view.requestDraw();
  }

  selectionText() {
    const { session, t, points } = this;
    const total = this.view.cloud?.count ?? 0;
    if (!session.state.selection.length) return t("nothing_selected");
    if (!session.isChanged && session.world)
      return t("selected_exactly", { count: session.world.selected.toLocaleString(), total: session.world.points.toLocaleString() });
    if (!total || !session.world) return t("run_to_count");
    const count = Math.round((points.selected / total) * session.world.points);
    return t("selected_about", { count: count.toLocaleString(), total: session.world.points.toLocaleString() });
  }

  // Views

  unit() {
    return this.session.world?.medianDepth ?? 1;
  }

  /** @param {number} length scene units */
  lengthText(length) {
    const digits = Math.abs(length) >= 100 ? 0 : Math.abs(length) >= 1 ? 2 : 3;
    return `${Number(length.toFixed(digits)) + 0} ${this.session.world?.metric ? "m" : this.t("units")}`;
  }

  unitText() {
    const { world } = this.session;
    if (!world) return "";
    return `${this.t("unit_median", { depth: Number(world.medianDepth.toPrecision(3)) })}\n${this.t(world.metric ? "unit_metric" : "unit_maybe")}`;
  }

  shownViews() {
    const { world, look } = this.session;
    return (world?.views ?? []).filter(({ clip }) => !look.hidden.includes(clip));
  }

  /** @param {import("./view_state.js").Place} place */
  standAt(place) {
    this.view.orbit.lookFrom(quaternionToPose(place.wxyz ?? [1, 0, 0, 0], place.position), this.unit(), place.fov_deg);
    this.state.orbit = this.view.orbit.save();
    this.view.requestDraw();
  }

  /** All points and cameras, from behind and above the input view. */
  frameAll() {
    const { orbit, cloud } = this.view;
    const { world } = this.session;
    const start = world?.inputView.c2w ?? [...IDENTITY];
    orbit.unit = this.unit();
    orbit.fovDeg = world?.inputView.fov_deg ?? 60;
    const bounds = cloud?.bounds;
    const ahead = column(start, 2);
    const middle = bounds?.center ?? add(column(start, 3), ahead.map((value) => value * this.unit()));
    // From behind the cameras, so that they are seen before what they look at.
    const eyes = (world?.views ?? []).map(({ camera }) => column(camera.c2w, 3));
    const places = [...eyes, column(start, 3), middle];
    const low = [0, 1, 2].map((i) => Math.min(...places.map((place) => place[i])));
    const high = [0, 1, 2].map((i) => Math.max(...places.map((place) => place[i])));
    const center = low.map((value, i) => (value + high[i]) / 2);
    const spread = Math.hypot(...high.map((value, i) => value - low[i])) / 2;
    orbit.lookFrom([...IDENTITY], this.unit());
    const side = [ahead[2], 0, -ahead[0]];
    orbit.lookAlong([-ahead[0] + 0.6 * side[0], -0.6, -ahead[2] + 0.6 * side[2]]);
    orbit.frame(center, Math.max(0.6 * (bounds?.radius ?? this.unit()), 1.1 * spread, 0.3 * this.unit()));
    this.view.requestDraw();
  }

  /** Orbit around the point under the pointer from now on. @param {number} x @param {number} y */
  focusOn(x, y) {
    const point = this.view.pick(x, y);
    if (!point) return;
    const { orbit } = this.view;
    orbit.c2w = withPlace(orbit.c2w, add(column(orbit.c2w, 3), subtract(point, orbit.pivot)));
    this.state.orbit = orbit.save();
    this.view.requestDraw();
  }

  #gate() {
    const { world } = this.session;
    if (world) return { aspect: world.width / world.height, share: GATE_SHARE };
    return { aspect: 1.6, share: GATE_SHARE };
  }

  /** @returns {Partial<import("../view/point_renderer.js").Picture>} */
  #look() {
    if (this.points.settle()) this.panel.facts.textContent = this.selectionText();
    const { look } = this.session;
    const grow = this.view.canvas.width / Math.max(this.view.canvas.clientWidth, 1);
    return {
      mode: /** @type {"colour"} */ (look.colour),
      hiddenClips: new Set(look.hidden),
      minConfidence: look.minConfidence > 0 ? look.minConfidence : -1,
      pointPixels: look.pointSize * grow,
      pointWorld: 0.0025 * look.pointSize * this.unit(),
      lines: this.#grid(),
    };
  }

  #grid() {
    const bounds = this.view.cloud?.bounds;
    const floor = bounds ? bounds.high[1] : 0.5 * this.unit();
    const { pivot } = this.view.orbit;
    const lines = gridLines([pivot[0], floor, pivot[2]], roundLength(0.5 * this.unit()), 12);
    return [{ points: lines, rgba: [0.75, 0.82, 0.95, 0.13] }];
  }

  #paint(ctx, camera) {
    const box = this.view.gateBox();
    if (this.session.world) drawGate(ctx, box, camera.width, camera.height);
    paintOverlay(ctx, camera, this);
    if (this.flashing) {
      ctx.fillStyle = "rgba(255, 255, 255, 0.35)";
      ctx.fillRect(box.x, box.y, box.width, box.height);
    }
  }

  /** A short light on the picture that was taken. */
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
      label: this.t("viewer"),
      awayText: this.t("away"),
      onClose: () => {
        this.closeFull = null;
        this.state.isFull = this.isDisposed ? this.state.isFull : false;
        this.toolbar.update(this);
        this.view.requestDraw();
      },
    });
    this.toolbar.update(this);
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
    this.messages.dispose();
    this.points.dispose();
    this.view.dispose();
    this.root.remove();
  }
}

/** @param {any} host */
export const createWorldViewer = (host) => new WorldViewer(host);
