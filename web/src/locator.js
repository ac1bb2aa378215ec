/** Which node a run's output belongs to: "7", or "<id of the subgraph>:7". */

import { app } from "../../scripts/app.js";

const rootGraph = () => app.rootGraph ?? app.graph?.rootGraph ?? app.graph;

/** @param {string} locator @returns {any} the node, if it is there */
export function nodeAt(locator) {
  const root = rootGraph();
  const [id, subgraph] = String(locator).split(":").reverse();
  const graph = subgraph ? root?.subgraphs?.get(subgraph) : root;
  return graph?.getNodeById?.(id) ?? graph?.getNodeById?.(Number(id));
}

/** @param {any} node @returns {string} */
export function locatorOf(node) {
  const isInside = node.graph && node.graph !== rootGraph();
  return isInside ? `${node.graph.id}:${node.id}` : String(node.id);
}

/** A name for the node that other workflows do not share. @param {any} node @returns {string} */
export const keyOf = (node) => `${rootGraph()?.id ?? ""}/${locatorOf(node)}`;
