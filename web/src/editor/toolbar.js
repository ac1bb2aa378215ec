/** The row of buttons above the picture. */

import { button, make, openMenu, setIcon, setPressed } from "../ui/controls.js";
import { PRESET_NAMES } from "../path/path_presets.js";

export class Toolbar {
  /**
   * @param {(key: string, values?: Record<string, unknown>) => string} t
   * @param {any} actions of the editor
   */
  constructor(t, actions) {
    this.t = t;
    this.actions = actions;
    this.element = make("div", "ws-bar");
    this.element.setAttribute("role", "toolbar");
    this.element.setAttribute("aria-label", t("editor"));
    const tool = (name, icon, key, options = {}) =>
      button({ icon, label: t(name), key, onClick: () => actions[options.action ?? name](), ...options });
    const line = () => make("span", "ws-line");
    this.record = tool("record", "record", "C", { text: t("record_short"), className: "ws-record ws-filled" });
    this.add = tool("add", "add", "N");
    this.insert = tool("insert", "insert", "I");
    this.duplicate = tool("duplicate", "duplicate", "K");
    this.remove = tool("remove", "remove", "Delete");
    this.move = tool("move", "move", "G", { isToggle: true });
    this.rotate = tool("rotate", "rotate", "R", { isToggle: true });
    this.axes = tool("axes_world", "box", "X", { action: "toggleAxes", isToggle: true, className: "ws-optional" });
    this.through = tool("look_through", "eye", "L", { action: "lookThrough", isToggle: true });
    this.presets = tool("presets", "presets", undefined, { action: "openPresets" });
    this.presets.setAttribute("aria-haspopup", "menu");
    this.colours = tool("speed_colours", "speed", undefined, { action: "toggleColours", isToggle: true, className: "ws-optional" });
    this.inset = tool("eye", "picture", undefined, { action: "toggleInset", isToggle: true });
    this.panel = tool("settings", "panel", undefined, { action: "togglePanel", isToggle: true });
    this.full = tool("full_window", "grow", "Enter", { action: "fullWindow" });
    this.element.append(
      this.record, this.presets, line(), this.add, this.insert, this.duplicate, this.remove, line(),
      this.move, this.rotate, this.axes, line(), this.through,
      tool("frame_all", "frame", "F", { action: "frameAll" }),
      tool("home", "home", "H", { className: "ws-optional" }),
      tool("top", "top", "O", { className: "ws-optional" }),
      make("span", "ws-gap"),
      tool("run", "run", undefined, { action: "runNode" }), line(),
      this.colours, this.inset, this.panel, tool("help", "help", "?"), this.full,
    );
  }

  /** @param {HTMLElement} container */
  openPresets(container) {
    const { t, actions } = this;
    const isTwoWorlds = actions.canRescale();
    openMenu(this.presets, container, [
      t("presets_replace"),
      ...PRESET_NAMES.map((name) => ({ label: t(`preset_${name}`), icon: "presets", onClick: () => actions.usePreset(name) })),
      t("path"),
      { label: t("reverse"), icon: "rotate", onClick: () => actions.reverse() },
      ...(actions.canSnap() ? [{ label: t("snap_path"), icon: "home", onClick: () => actions.snapPath() }] : []),
      ...(isTwoWorlds ? [{ label: t("rescale"), icon: "grow", onClick: () => actions.rescale() }] : []),
    ]);
  }

  /** @param {any} state */
  update({ session, tool, isThrough, isSpeedShown, isInsetShown, isPanelShown, isFull, isPicking }) {
    const { path, selected } = session;
    for (const element of [this.record, this.add, this.insert, this.through]) element.disabled = !path;
    this.duplicate.disabled = !path?.waypoints[selected];
    this.remove.disabled = !path?.waypoints[selected] || path.waypoints.length < 2;
    setPressed(this.move, tool.mode === "move" && !isPicking);
    setPressed(this.rotate, tool.mode === "rotate" && !isPicking);
    setPressed(this.axes, tool.axes === "camera");
    this.axes.title = `${this.t(`axes_${tool.axes}`)} (X)`;
    setPressed(this.through, isThrough);
    setPressed(this.colours, isSpeedShown);
    setPressed(this.inset, isInsetShown);
    setPressed(this.panel, isPanelShown);
    setIcon(this.full, isFull ? "shrink" : "grow", this.t(isFull ? "leave_full_window" : "full_window"));
  }
}
