/** The points of the last run: fetched, shown, or why not. */

import { CloudProblem, sharedClouds } from "../view/cloud_store.js";

export class Points {
  /** @param {import("./path_editor.js").PathEditor} editor */
  constructor(editor) {
    this.editor = editor;
    /** "none", "loading", "shown", "absent" (the run had no memory), "failed" */
    this.status = "none";
    /** @type {{ reason: string, details: object } | null} */
    this.problem = null;
    this.url = "";
  }

  /** @param {any} output of a run */
  async take(output) {
    const file = output?.worldstereo_cloud?.[0];
    if (!file) {
      if (output?.worldstereo_path) this.#show("absent", null);
      return;
    }
    const url = this.editor.host.viewUrl(file);
    if (url === this.url && (this.status === "shown" || this.status === "loading")) return;
    this.url = url;
    // The old points stay until the new ones are there: a run after a small change does not blink.
    if (!this.editor.view.cloud) this.#show("loading", null);
    try {
      const cloud = await sharedClouds.load(url);
      if (this.isDisposed || this.url !== url) return;
      this.problem = null;
      this.#show("shown", cloud);
    } catch (error) {
      if (this.isDisposed || this.url !== url) return;
      if (!(error instanceof CloudProblem)) throw error;
      this.problem = error;
      this.#show("failed", null);
    }
  }

  #show(status, cloud) {
    this.status = status;
    this.editor.view.setCloud(cloud);
    this.editor.messages.update();
  }

  dispose() {
    this.isDisposed = true;
  }
}
