// src/node_text.js
import { app as app2 } from "../../scripts/app.js";

// src/locator.js
import { app } from "../../scripts/app.js";
var rootGraph = () => app.rootGraph ?? app.graph?.rootGraph ?? app.graph;
function nodeAt(locator) {
  const root = rootGraph();
  const [id, subgraph] = String(locator).split(":").reverse();
  const graph = subgraph ? root?.subgraphs?.get(subgraph) : root;
  return graph?.getNodeById?.(id) ?? graph?.getNodeById?.(Number(id));
}
function locatorOf(node) {
  const isInside = node.graph && node.graph !== rootGraph();
  return isInside ? `${node.graph.id}:${node.id}` : String(node.id);
}
var keyOf = (node) => `${rootGraph()?.id ?? ""}/${locatorOf(node)}`;

// src/node_text.js
var PREFIX = "WorldStereo_";
var WIDGET = "worldstereo_text";
var LINE = 16;
var CHARACTER = 6.2;
var PADDING = 12;
var TALLEST = 130;
function textOf(output) {
  const text = (
    /** @type {{ text?: unknown }} */
    (output ?? {}).text
  );
  const parts = Array.isArray(text) ? text : [text];
  return parts.filter((part) => typeof part === "string").join("\n").trim();
}
function heightOf(text, width) {
  const perLine = Math.max(12, Math.floor((width - 40) / CHARACTER));
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / perLine)), 0);
  return Math.min(TALLEST, lines * LINE + PADDING);
}
function makeElement() {
  const element = document.createElement("div");
  element.className = "worldstereo-text";
  element.setAttribute("role", "status");
  Object.assign(element.style, {
    boxSizing: "border-box",
    overflow: "auto",
    padding: "5px 8px",
    font: `12px/${LINE}px sans-serif`,
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    color: "var(--input-text, #ddd)",
    background: "var(--comfy-input-bg, #222)",
    borderRadius: "6px",
    userSelect: "text"
  });
  return element;
}
function widgetOf(node) {
  const found = node.widgets?.find((widget2) => widget2.name === WIDGET);
  if (found) return found;
  const element = makeElement();
  const height = () => heightOf(element.textContent ?? "", node.size[0]);
  const widget = node.addDOMWidget(WIDGET, WIDGET, element, {
    serialize: false,
    socketless: true,
    // nothing to wire or to show on a subgraph
    hideInPanel: true,
    hideOnZoom: false,
    selectOn: [],
    getMinHeight: height,
    getMaxHeight: height,
    getValue: () => "",
    setValue: () => {
    }
  });
  widget.serialize = false;
  widget.element = element;
  return widget;
}
function showText(node, output) {
  const text = textOf(output);
  if (!text) return;
  const { element } = widgetOf(node);
  element.textContent = text;
  element.style.minHeight = `${heightOf(text, node.size[0])}px`;
  element.style.maxHeight = element.style.minHeight;
  const needed = node.computeSize()[1];
  if (node.size[1] < needed) node.setSize([node.size[0], needed]);
  node.setDirtyCanvas?.(true, true);
}
app2.registerExtension({
  name: "worldstereo.text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith(PREFIX)) return;
    const previous = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function(output) {
      previous?.apply(this, arguments);
      showText(this, output);
    };
  },
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs ?? {})) {
      const node = nodeAt(locator);
      if (node?.type?.startsWith?.(PREFIX)) showText(node, output);
    }
  }
});

// src/widget_host.js
import { app as app3 } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
var WIDGETS = {
  WORLDSTEREO_PATH_EDITOR: { create: "createPathEditor", minWidth: 620, minHeight: 440 },
  WORLDSTEREO_WORLD_VIEWER: { create: "createWorldViewer", minWidth: 620, minHeight: 440 }
};
var states = /* @__PURE__ */ new Map();
var MOST_STATES = 100;
var leftBehind = /* @__PURE__ */ new Set();
var CLAIMS = [0, 50, 250, 1e3];
var alive = /* @__PURE__ */ new Set();
var built = /* @__PURE__ */ new Set();
function sweep() {
  for (const host of built) if (!host.element.isConnected) host.dispose();
}
var bundle;
var BUNDLE_URL = new URL(`./worldstereo_3d.mjs?v=${"46691a781310"}`, import.meta.url).href;
var loadBundle = () => bundle ??= import(BUNDLE_URL);
function stateOf(key) {
  const state = states.get(key) ?? {};
  states.delete(key);
  states.set(key, state);
  if (states.size > MOST_STATES) states.delete(states.keys().next().value);
  return state;
}
function captureUndo() {
  const tracker = app3.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  if (tracker?.captureCanvasState) tracker.captureCanvasState();
  else tracker?.checkState?.();
}
var WidgetHost = class {
  /** @param {any} node @param {string} name @param {string} type */
  constructor(node, name, type) {
    this.node = node;
    this.name = name;
    this.type = type;
    this.text = "";
    this.output = void 0;
    this.view = null;
    this.isBuilding = false;
    this.element = document.createElement("div");
    this.element.className = "worldstereo-3d";
    this.element.dataset.captureWheel = "true";
    const { minWidth, minHeight } = WIDGETS[type];
    Object.assign(this.element.style, { width: "100%", height: "100%", minHeight: `${minHeight}px` });
    this.widget = node.addDOMWidget(name, type, this.element, {
      socketless: true,
      hideOnZoom: false,
      selectOn: [],
      // else a click reorders nodes, which undo takes for a change
      getMinHeight: () => minHeight,
      getValue: () => this.text,
      setValue: (value) => this.setText(value)
    });
    this.widget.worldstereoHost = this;
    this.size = { minWidth, minHeight };
    this.watching = new ResizeObserver(() => this.element.isConnected ? this.build() : this.#takenOff());
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
      this.output ??= app3.nodeOutputs?.[locatorOf(this.node)];
      this.view = module[WIDGETS[this.type].create](this.#offer());
      alive.add(this.view);
      built.add(this);
      sweep();
    } catch (error) {
      bundle = void 0;
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
      locale: String(app3.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en"),
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
        if (value === void 0) return node.properties?.[name];
        node.properties[name] = value;
        captureUndo();
        return value;
      },
      runNode: async () => {
        app3.canvas.selectItems?.([node]) ?? app3.canvas.selectNode?.(node);
        await app3.extensionManager.command.execute("Comfy.QueueSelectedOutputNodes");
      }
    };
  }
  /** The value of one of the node's widgets; undefined when it is wired or not there. @param {string} name */
  #inputValue(name) {
    const isWired = this.node.inputs?.some((input) => input.name === name && input.link != null);
    return isWired ? void 0 : this.node.widgets?.find((widget) => widget.name === name)?.value;
  }
  dispose() {
    if (!this.view) return;
    alive.delete(this.view);
    built.delete(this);
    this.view.dispose();
    this.view = null;
  }
};
var hostsOf = (node) => (node?.widgets ?? []).map((widget) => widget.worldstereoHost).filter(Boolean);
app3.registerExtension({
  name: "worldstereo.3d",
  getCustomWidgets: () => Object.fromEntries(
    Object.keys(WIDGETS).map((type) => [
      type,
      (node, name) => {
        const host = new WidgetHost(node, name, type);
        return { widget: host.widget, ...host.size };
      }
    ])
  ),
  afterConfigureGraph: sweep,
  // Called for a workflow that is opened again, and after undo: `onExecuted` is not.
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs ?? {}))
      for (const host of hostsOf(nodeAt(locator))) host.setOutput(output);
  }
});
window.worldstereo3d = { alive, hostsOf, bundle: BUNDLE_URL };
