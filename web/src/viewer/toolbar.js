/** The row of buttons above the picture. */

import { button, make, setIcon, setPressed } from "../ui/controls.js";

const TOOLS = [["look", "hand", "V"], ["box", "box", "B"], ["brush", "brush", "P"], ["lasso", "lasso", "L"]];
const MODES = [["add", "add", "1"], ["subtract", "subtract", "2"], ["intersect", "intersect", "3"]];

export class Toolbar {
  /**
   * @param {(key: string, values?: Record<string, unknown>) => string} t
   * @param {any} actions of the viewer
   */
  constructor(t, actions) {
    this.t = t;
    this.element = make("div", "ws-bar");
    this.element.setAttribute("role", "toolbar");
    this.element.setAttribute("aria-label", t("viewer"));
    const tool = (name, icon, key, options = {}) =>
      button({ icon, label: t(options.label ?? name), key, onClick: () => actions[name](), ...options, ...(options.label ? { label: t(options.label) } : {}) });
    const line = () => make("span", "ws-line");
    this.tools = Object.fromEntries(TOOLS.map(([name, icon, key]) => [name, tool(name, icon, key, { isToggle: true, label: `tool_${name}` })]));
    this.modes = Object.fromEntries(MODES.map(([name, icon, key]) => [name, tool(name, icon, key, { isToggle: true, label: `mode_${name}` })]));
    this.remove = tool("remove", "remove", "Delete", { label: "remove_part" });
    this.use = tool("useView", "capture", "U", { text: t("use_view_short"), label: "use_view", className: "ws-filled" });
    this.record = tool("record", "record", "C", { text: t("record_short"), label: "record", className: "ws-record ws-filled" });
    this.cameras = tool("toggleCameras", "eye", "K", { isToggle: true, label: "cameras_shown" });
    this.panel = tool("togglePanel", "panel", undefined, { isToggle: true, label: "settings" });
    this.full = tool("fullWindow", "grow", "Enter", { label: "full_window" });
    this.element.append(
      ...Object.values(this.tools), line(), ...Object.values(this.modes), this.remove, line(),
      tool("frameAll", "frame", "F", { label: "frame_all" }),
      tool("home", "home", "H", { label: "home" }),
      tool("top", "top", "O", { label: "top", className: "ws-optional" }), line(),
      this.record, this.use,
      make("span", "ws-gap"),
      tool("runNode", "run", undefined, { label: "run" }), line(),
      this.cameras, this.panel, tool("help", "help", "?", { label: "help" }), this.full,
    );
  }

  /** @param {import("./world_viewer.js").WorldViewer} viewer */
  update({ session, tool, isPanelShown, closeFull }) {
    const { isEditable } = session;
    for (const [name, element] of Object.entries(this.tools)) {
      setPressed(element, tool.name === name);
      element.disabled = !isEditable && name !== "look";
    }
    for (const [name, element] of Object.entries(this.modes)) {
      setPressed(element, tool.mode === name && tool.name !== "look");
      element.disabled = !isEditable || tool.name === "look";
    }
    this.remove.disabled = !session.activePart;
    this.record.disabled = this.use.disabled = !isEditable;
    setPressed(this.cameras, session.look.cameras);
    setPressed(this.panel, isPanelShown);
    setIcon(this.full, closeFull ? "shrink" : "grow", this.t(closeFull ? "leave_full_window" : "full_window"));
  }
}
