/**
 * Shows on WorldStereo nodes what they said about their last run: reports, sizes, warnings (`ui.text`).
 *
 * The text stands in a widget of its own that is never saved: it comes with the run's outputs, which the
 * frontend hands out again when a workflow is opened anew from a tab or from the queue.
 */
import { app } from "../../scripts/app.js";

import { nodeAt } from "./locator.js";

const PREFIX = "WorldStereo_";
const WIDGET = "worldstereo_text";
const LINE = 16;
const CHARACTER = 6.2; // mean width at 12 px
const PADDING = 12;
const TALLEST = 130; // longer texts scroll

/**
 * @param {unknown} output what a node returned for the frontend
 * @returns {string} its lines, or "" when it said nothing
 */
export function textOf(output) {
  const text = /** @type {{ text?: unknown }} */ (output ?? {}).text;
  const parts = Array.isArray(text) ? text : [text];
  return parts.filter((part) => typeof part === "string").join("\n").trim();
}

/**
 * @param {string} text
 * @param {number} width of the node, pixels
 * @returns {number} height of the widget, pixels
 */
export function heightOf(text, width) {
  const perLine = Math.max(12, Math.floor((width - 40) / CHARACTER));
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / perLine)), 0);
  return Math.min(TALLEST, lines * LINE + PADDING);
}

/** @returns {HTMLElement} */
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
    userSelect: "text",
  });
  return element;
}

/**
 * The node's text widget, made when it is first needed.
 * @param {any} node
 */
function widgetOf(node) {
  const found = node.widgets?.find((widget) => widget.name === WIDGET);
  if (found) return found;
  const element = makeElement();
  const height = () => heightOf(element.textContent ?? "", node.size[0]);
  // A type of its own: Nodes 2.0 draws types that it knows, such as "text", by itself.
  const widget = node.addDOMWidget(WIDGET, WIDGET, element, {
    serialize: false,
    socketless: true, // nothing to wire or to show on a subgraph
    hideInPanel: true,
    hideOnZoom: false,
    selectOn: [],
    getMinHeight: height,
    getMaxHeight: height,
    getValue: () => "",
    setValue: () => {},
  });
  // options.serialize keeps it out of prompts, this one out of saved workflows.
  widget.serialize = false;
  widget.element = element;
  return widget;
}

/**
 * @param {any} node
 * @param {unknown} output
 */
export function showText(node, output) {
  const text = textOf(output);
  if (!text) return;
  const { element } = widgetOf(node);
  element.textContent = text;
  // Nodes 2.0 takes heights from the page.
  element.style.minHeight = `${heightOf(text, node.size[0])}px`;
  element.style.maxHeight = element.style.minHeight;
  const needed = node.computeSize()[1];
  if (node.size[1] < needed) node.setSize([node.size[0], needed]);
  node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
  name: "worldstereo.text",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (!nodeData.name.startsWith(PREFIX)) return;
    const previous = nodeType.prototype.onExecuted;
    nodeType.prototype.onExecuted = function (output) {
      previous?.apply(this, arguments);
      showText(this, output);
    };
  },
  onNodeOutputsUpdated(outputs) {
    for (const [locator, output] of Object.entries(outputs ?? {})) {
      const node = nodeAt(locator);
      if (node?.type?.startsWith?.(PREFIX)) showText(node, output);
    }
  },
});
