/**
 * The 3D views as node widgets: when they are built and thrown away, what they are told and what they may change.
 * All that depends on the frontend's habits is here.
 */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

import { keyOf, locatorOf, nodeAt } from "./locator.js";

/** Widget type of an input -> the view of the 3D bundle, and the least size of the node's body in pixels. */
const WIDGETS = {
  WORLDSTEREO_PATH_EDITOR: { create: "createPathEditor", minWidth: 620, minHeight: 440 },
  WORLDSTEREO_WORLD_VIEWER: { create: "createWorldViewer", minWidth: 620, minHeight: 440 },
};
// Lost when the page is left: where each view stood, over undo and tabs, which build every node anew.
const states = new Map();
const MOST_STATES = 100;

/**
 * Hosts of removed nodes whose element is still on the page: Nodes 2.0 keeps a node's component over undo, when the
 * node itself is made anew, and goes on showing the element of the old one. @type {Set<WidgetHost>}
 */
const leftBehind = new Set();
const CLAIMS = [0, 50, 250, 1000]; // ms after a widget was made

/** Views alive now, for tests. */
const alive = new Set();
/** Hosts with a view. @type {Set<WidgetHost>} */
const built = new Set();

/**
 * Throw away views whose element left the page unseen: hidden first (another graph was shown), then removed with its
 * workflow, it never changes its size on the way out. What comes back is built anew.
 */
function sweep() {
  for (const host of built) if (!host.element.isConnected) host.dispose();
}

let bundle;
const BUNDLE_URL = new URL(`./worldstereo_3d.mjs?v=${BUNDLE_HASH}`, import.meta.url).href;
const loadBundle = () => (bundle ??= import(BUNDLE_URL));

/** @param {string} key */
function stateOf(key) {
  const state = states.get(key) ?? {};
  states.delete(key);
  states.set(key, state);
  if (states.size > MOST_STATES) states.delete(states.keys().next().value);
  return state;
}

/** Take a change into ComfyUI's undo now; it looks by itself only at the end of mouse and key presses. */
function captureUndo() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.();
}

class WidgetHost {
  /** @param {any} node @param {string} name @param {string} type */
  constructor(node, name, type) {
    this.node = node;
    this.name = name;
    this.type = type;
    this.text = "";
    /** @type {any} */
    this.output = undefined;
    /** @type {any} the view, once it was in sight */
    this.view = null;
    this.isBuilding = false;
    this.element = document.createElement("div");
    this.element.className = "worldstereo-3d";
    this.element.dataset.captureWheel = "true"; // Nodes 2.0 leaves the wheel to the focused element
    const { minWidth, minHeight } = WIDGETS[type];
    Object.assign(this.element.style, { width: "100%", height: "100%", minHeight: `${minHeight}px` });
    this.widget = node.addDOMWidget(name, type, this.element, {
      socketless: true,
      hideOnZoom: false,
      selectOn: [], // else a click reorders nodes, which undo takes for a change
      getMinHeight: () => minHeight,
      getValue: () => this.text,
      setValue: (value) => this.setText(value),
    });
    this.widget.worldstereoHost = this;
    this.size = { minWidth, minHeight };
    // Built when seen: copies on the clipboard never are, and nobody would throw their view away. Thrown away
    // when taken off the page: nodes inside a subgraph are not told that their workflow was closed.
    this.watching = new ResizeObserver(() => (this.element.isConnected ? this.build() : this.#takenOff()));
    this.watching.observe(this.element);
    this.#followNode();
    for (const delay of CLAIMS) setTimeout(() => this.#claimPlace(), delay);
  }

  #followNode() {
    const { node } = this;
    const onExecuted = node.onExecuted;
    node.onExecuted = (output) => {
      onExecuted?.call(node, output);
      this.setOutput(output);
    };
    const onRemoved = node.onRemoved;
    node.onRemoved = () => {
      onRemoved?.call(node);
      this.dispose();
      if (this.element.isConnected) leftBehind.add(this);
    };
    const onWidgetChanged = node.onWidgetChanged;
    node.onWidgetChanged = (...given) => {
      onWidgetChanged?.apply(node, given);
      this.view?.nodeChanged?.();
    };
  }

  #takenOff() {
    leftBehind.delete(this);
    this.dispose();
  }

  /** Stand where the element of the same node, as it was before undo, was left. */
  #claimPlace() {
    if (!this.node.graph || this.element.isConnected) return;
    for (const old of leftBehind) {
      if (old.node.id !== this.node.id || old.name !== this.name || old.type !== this.type) continue;
      leftBehind.delete(old);
      if (!old.element.isConnected) continue;
      old.element.replaceWith(this.element);
      this.build();
    }
  }

  /** @param {unknown} value text of the path, or whatever a workflow holds */
  setText(value) {
    const text = typeof value === "string" ? value : value == null ? "" : JSON.stringify(value);
    if (text === this.text) return;
    this.text = text;
    this.view?.setValue(text);
  }

  setOutput(output) {
    if (!output) return;
    this.output = output;
    this.view?.setOutput(output);
  }

  async build() {
    const box = this.element.getBoundingClientRect();
    if (this.view || this.isBuilding || !this.element.isConnected || box.width === 0 || !this.node.graph) return;
    this.isBuilding = true;
    try {
      const module = await loadBundle();
      if (!this.node.graph || this.view) return;
      this.output ??= app.nodeOutputs?.[locatorOf(this.node)];
      this.view = module[WIDGETS[this.type].create](this.#offer());
      alive.add(this.view);
      built.add(this);
      sweep();
    } catch (error) {
      bundle = undefined;
      this.element.textContent = `WorldStereo: the 3D view could not be loaded: ${error}`;
      console.error(error);
    } finally {
      this.isBuilding = false;
    }
  }

  #offer() {
    const { node } = this;
    return {
      element: this.element,
      value: () => this.text,
      output: this.output,
      state: stateOf(keyOf(node)),
      locale: String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en"),
      change: (text) => {
        this.text = text;
        this.widget.callback?.(text);
        node.graph?.setDirtyCanvas?.(true, true);
        captureUndo();
      },
      viewUrl: (file) => api.apiURL(`/view?${new URLSearchParams(file)}`),
      nodeInput: (name) => this.#inputValue(name),
      isWired: (name) => node.inputs?.some((input) => input.name === name && input.link != null) ?? false,
      property: (name, value) => {
        if (value === undefined) return node.properties?.[name];
        node.properties[name] = value;
        captureUndo();
        return value;
      },
      runNode: async () => {
        app.canvas.selectItems?.([node]) ?? app.canvas.selectNode?.(node);
        await app.extensionManager.command.execute("Comfy.QueueSelectedOutputNodes");
      },
    };
  }

  /** The value of one of the node's widgets; undefined when it is wired or not there. @param {string} name */
  #inputValue(name) {
    const isWired = this.node.inputs?.some((input) => input.name === name && input.link != null);
    return isWired ? undefined : this.node.widgets?.find((widget) => widget.name === name)?.value;
  }

  dispose() {
    if (!this.view) return;
    alive.delete(this.view);
    built.delete(this);
    this.view.dispose();
    this.view = null;
  }
}

const hostsOf = (node) => (node?.widgets ?? []).map((widget) => widget.worldstereoHost).filter(Boolean);

app.registerExtension({
  name: "worldstereo.3d",
  getCustomWidgets: () =>
    Object.fromEntries(
      Object.keys(WIDGETS).map((type) => [
        type,
        (node, name) => {
          const host = new WidgetHost(node, name, type);
          return { widget: host.widget, ...host.size };
        },
      ]),
    ),
  afterConfigureGraph: sweep,
  // Called for a workflow that is opened again, and after undo: `onExecuted` is not.
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs ?? {}))
      for (const host of hostsOf(nodeAt(locator))) host.setOutput(output);
  },
});

/** For tests: views that are alive, the host of a node's widget, and where the views come from. */
window.worldstereo3d = { alive, hostsOf, bundle: BUNDLE_URL };
