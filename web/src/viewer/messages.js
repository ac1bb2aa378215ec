/** What the viewer says: the line below, and notes over the picture when something is missing or wrong. */

import { button, make } from "../ui/controls.js";

const SHOWN_FOR = 4000; // ms

export class Messages {
  /** @param {import("./world_viewer.js").WorldViewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.line = make("span", "ws-message");
    viewer.statusBar.append(this.line);
    /** @type {HTMLElement | null} */
    this.notice = null;
    this.shownNotice = "";
    this.unwatch = viewer.view.renderer.watch(() => this.update());
  }

  /** Something that just happened, for a few seconds. @param {string} text @param {string} kind */
  say(text, kind) {
    clearTimeout(this.timer);
    this.#line(text, kind);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.#line(...this.#standing());
    }, SHOWN_FOR);
  }

  #line(text, kind) {
    this.line.textContent = text;
    this.line.title = text;
    this.viewer.statusBar.dataset.kind = kind;
  }

  /** What holds until something changes. @returns {[string, string]} */
  #standing() {
    const { session, t, runError, view, tool } = this.viewer;
    if (session.problem) return [`${t(session.problem.reason, session.problem.details)} ${t("kept")}`, "error"];
    if (runError) return [t("run_unreadable", { error: runError }), "error"];
    if (view.cloud?.dropped) return [t("cloud_dropped", { count: view.cloud.dropped }), "warning"];
    if (tool.name !== "look") return [t(`hint_${tool.name}`), ""];
    if (session.isChanged) return [t("changed"), ""];
    if (session.world?.notes.length) return [session.world.notes.join(" · "), ""];
    return [t("ready"), ""];
  }

  update() {
    if (!this.timer) this.#line(...this.#standing());
    const wanted = this.#wanted();
    const name = wanted ? JSON.stringify([wanted.kind, wanted.text]) : "";
    if (name === this.shownNotice) return;
    this.shownNotice = name;
    this.notice?.remove();
    this.notice = wanted ? this.#make(wanted) : null;
    if (this.notice) this.viewer.stage.append(this.notice);
  }

  /** The most important note. */
  #wanted() {
    const { session, t, points, host, view } = this.viewer;
    const run = { icon: "run", label: t("run"), onClick: () => host.runNode() };
    if (session.problem) {
      const buttons = [
        { icon: "duplicate", label: t("copy_text"), onClick: () => this.#copy() },
        { icon: "clear", label: t("start_new"), onClick: () => session.startNew() },
      ];
      return { kind: "error", text: `${t(session.problem.reason, session.problem.details)}\n${t("kept")}`, buttons };
    }
    if (view.renderer.problem) return { kind: "error", text: t(view.renderer.problem), buttons: [] };
    if (points.problem) return { kind: "error", text: t(points.problem.reason, points.problem.details), buttons: [run] };
    if (points.status === "loading") return { kind: "hint", text: t("loading"), buttons: [] };
    if (points.status === "none") return { kind: "hint", text: t("no_cloud"), buttons: [run] };
    return null;
  }

  #make({ kind, text, buttons }) {
    const element = make("div", "ws-notice", text);
    element.dataset.kind = kind;
    element.setAttribute("role", kind === "error" ? "alert" : "note");
    if (!buttons.length) return element;
    const holder = make("div", "ws-buttons");
    holder.append(...buttons.map(({ icon, label, onClick }) => button({ icon, label, text: label, onClick, className: "ws-filled" })));
    element.append(holder);
    return element;
  }

  async #copy() {
    await navigator.clipboard?.writeText(this.viewer.session.committed);
    this.say(this.viewer.t("copied"), "");
  }

  dispose() {
    clearTimeout(this.timer);
    this.unwatch();
  }
}
