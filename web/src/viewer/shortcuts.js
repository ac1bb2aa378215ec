/** Keys of the viewer, and the sheet that tells them. */

import { button, make } from "../ui/controls.js";

/** @type {Record<string, string>} */
const KEYS = {
  v: "look", b: "box", p: "brush", l: "lasso", 1: "add", 2: "subtract", 3: "intersect", "[": "smaller", "]": "larger",
  delete: "remove", backspace: "remove", u: "useView", c: "record", f: "frameAll", h: "home", o: "top", k: "toggleCameras",
  enter: "fullWindow", escape: "escape", "?": "help",
  w: "flyForward", s: "flyBack", a: "flyLeft", d: "flyRight", q: "flyDown", e: "flyUp",
};

/** The action that a key press asks for, or "" for a key of somebody else. @param {KeyboardEvent} event */
export const actionOf = (event) => (event.ctrlKey || event.metaKey ? "" : KEYS[event.key.toLowerCase()] ?? "");

const SHEET = [
  [["drag"], "key_orbit"],
  [["alt_drag"], "key_orbit_tool"],
  [["right_drag"], "key_pan"],
  [["wheel"], "key_zoom"],
  [["ctrl_drag"], "key_look"],
  [["W A S D", "Q E"], "key_fly"],
  [["double_click"], "key_focus"],
  [["click_camera"], "key_camera"],
  [["V", "B", "P", "L"], "key_tools"],
  [["1", "2", "3"], "key_modes"],
  [["[", "]"], "key_radius"],
  [["Delete"], "key_delete"],
  [["C", "U"], "key_views"],
  [["F", "H", "O"], "key_places"],
  [["K"], "key_cameras"],
  [["Enter"], "key_full"],
  [["Ctrl+Z", "Ctrl+Y"], "key_undo"],
  [["Esc"], "key_escape"],
];

/** @param {(key: string) => string} t @param {() => void} onClose */
export function makeHelp(t, onClose) {
  const element = make("div", "ws-help");
  element.setAttribute("role", "dialog");
  element.setAttribute("aria-label", t("help"));
  const list = make("dl");
  for (const [keys, meaning] of SHEET) {
    const term = make("dt");
    /** @type {string[]} */ (keys).forEach((key, i) => {
      if (i) term.append(" ");
      term.append(make("kbd", "", t(key)));
    });
    list.append(term, make("dd", "", t(/** @type {string} */ (meaning))));
  }
  element.append(button({ icon: "close", label: t("close"), onClick: onClose }), make("h3", "", t("help")), list);
  return element;
}
