/** The points of the last run, with marks of their own on those that are selected. */

import { CloudProblem, sharedClouds } from "../view/cloud_store.js";
import { Selector } from "./selecting.js";

export class WorldPoints {
  /** @param {import("./world_viewer.js").WorldViewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    /** "none", "loading", "shown", "failed" */
    this.status = "none";
    /** @type {CloudProblem | null} */
    this.problem = null;
    this.url = "";
    /** @type {Selector | null} */
    this.selector = null;
    /** Of the shown points. */
    this.selected = 0;
    /** @type {import("./view_state.js").Part[] | null} parts to be marked before the next picture */
    this.due = null;
  }

  /** @param {any} output of a run */
  async take(output) {
    const file = output?.worldstereo_cloud?.[0];
    if (!file) return;
    const url = this.viewer.host.viewUrl(file);
    if (url === this.url && (this.status === "shown" || this.status === "loading")) return;
    this.url = url;
    // The old points stay until the new ones are there: a run after a small change does not blink.
    if (!this.viewer.view.cloud) this.#show("loading", null);
    try {
      const cloud = await sharedClouds.load(url);
      if (this.isDisposed || this.url !== url) return;
      this.problem = null;
      // Marks are this viewer's; the arrays are shared with every view of the file.
      this.#show("shown", { ...cloud, marks: new Uint8Array(cloud.count), marksVersion: 0 });
    } catch (error) {
      if (this.isDisposed || this.url !== url) return;
      if (!(error instanceof CloudProblem)) throw error;
      this.problem = error;
      this.#show("failed", null);
    }
  }

  #show(status, cloud) {
    this.#release();
    this.status = status;
    this.selector = cloud && new Selector(cloud);
    this.viewer.view.setCloud(cloud);
    this.mark(this.viewer.session.state.selection);
    this.viewer.pointsChanged();
  }

  /** Mark what parts mean, before the next picture. @param {import("./view_state.js").Part[]} parts */
  mark(parts) {
    this.due = parts;
    this.viewer.view.requestDraw();
  }

  /** Called before every picture. @returns {boolean} whether marks changed */
  settle() {
    const { cloud } = this.viewer.view;
    if (!this.due || !cloud || !this.selector) return false;
    cloud.marks = this.selector.select(this.due);
    cloud.marksVersion += 1;
    this.due = null;
    let count = 0;
    for (const mark of cloud.marks) if (mark) count += 1;
    this.selected = count;
    return true;
  }

  #release() {
    const { cloud, renderer } = this.viewer.view;
    if (cloud) renderer.release(cloud);
  }

  dispose() {
    this.isDisposed = true;
    this.#release();
  }
}
