/** What the editor says: the line below, and notes over the picture when something is missing or wrong. */

import { button, make } from "../ui/controls.js";
import { defaultPath } from "../path/path_presets.js";

const SHOWN_FOR = 4000; // ms

export class Messages {
  /** @param {import("./path_editor.js").PathEditor} editor */
  constructor(editor) {
    this.editor = editor;
    this.line = make("span", "ws-message");
    editor.statusBar.append(this.line);
    this.notice = null;
    this.shownNotice = "";
    this.unwatch = editor.view.renderer.watch(() => this.update());
    this.dismissed = "";
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
    this.editor.statusBar.dataset.kind = kind;
  }

  /** What holds until something changes. @returns {[string, string]} */
  #standing() {
    const { session, t, points, runError } = this.editor;
    if (session.problem) return [`${t(session.problem.reason, session.problem.details)} ${t("kept")}`, "error"];
    if (runError) return [t("run_unreadable", { error: runError }), "error"];
    if (!session.run) return [t("ready"), ""];
    if (session.isChanged) return [t("changed"), ""];
    const { warnings, notes } = session.run;
    const told = ["collision", "outside", "too_fast", "big_holes"]
      .filter((kind) => warnings[kind].size)
      .map((kind) => t("warned", { count: warnings[kind].size, what: t(`warned_${kind}`) }));
    const lines = [...told, ...(told.length ? [] : warnings.lines), ...notes];
    if (lines.length) return [lines.join(" · "), told.length ? "warning" : ""];
    const dropped = points.status === "shown" && this.editor.view.cloud?.dropped;
    if (dropped) return [t("cloud_dropped", { count: dropped }), "warning"];
    return session.run.inputView ? [t("clear"), ""] : [t("no_memory"), ""];
  }

  update() {
    if (!this.timer) this.#line(...this.#standing());
    const wanted = this.#wanted();
    const name = wanted ? JSON.stringify([wanted.kind, wanted.text]) : "";
    if (name === this.shownNotice) return;
    this.shownNotice = name;
    this.notice?.remove();
    this.notice = wanted ? this.#make(wanted) : null;
    if (this.notice) this.editor.stage.append(this.notice);
  }

  /** The most important note. */
  #wanted() {
    const { session, t, points, host, view, actions } = this.editor;
    const run = { icon: "run", label: t("run"), onClick: () => host.runNode() };
    if (session.problem) {
      const buttons = [
        { icon: "copy", label: t("copy_text"), onClick: () => this.#copy() },
        { icon: "presets", label: t("start_new"), onClick: () => session.replace(defaultPath(session.start())) },
      ];
      return { kind: "error", text: `${t(session.problem.reason, session.problem.details)}\n${t("kept")}`, buttons };
    }
    if (view.renderer.problem) return { kind: "error", text: t(view.renderer.problem), buttons: [] };
    if (points.problem) return { kind: "error", text: t(points.problem.reason, points.problem.details), buttons: [run] };
    if (points.status === "loading") return { kind: "hint", text: t("loading"), buttons: [] };
    const gap = session.startGap();
    if (session.isLocked && !session.isEmpty && gap !== null && gap > 0.01 * actions.unit()) {
      const text = t("start_differs", { distance: actions.lengthText(gap) });
      const buttons = [
        { icon: "home", label: t("move_first"), onClick: () => session.snapToInput(false) },
        { icon: "presets", label: t("move_all"), onClick: () => session.snapToInput(true) },
        { icon: "unlock", label: t("keep"), onClick: () => session.setLocked(false) },
      ];
      return { kind: "note", text, buttons };
    }
    if (points.status === "none") return { kind: "hint", text: t("no_cloud"), buttons: [run] };
    return null;
  }

  #make({ kind, text, buttons }) {
    const element = make("div", "ws-notice", text);
    element.dataset.kind = kind;
    element.setAttribute("role", kind === "error" ? "alert" : "note");
    if (!buttons.length) return element;
    const holder = make("div", "ws-buttons");
    holder.append(...buttons.map(({ icon, label, onClick }) => button({ icon: icon === "copy" ? "duplicate" : icon, label, text: label, onClick, className: "ws-filled" })));
    element.append(holder);
    return element;
  }

  async #copy() {
    await navigator.clipboard?.writeText(this.editor.session.committed);
    this.say(this.editor.t("copied"), "");
  }

  dispose() {
    clearTimeout(this.timer);
    this.unwatch();
  }
}
