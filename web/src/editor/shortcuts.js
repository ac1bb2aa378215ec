/** Keys of the editor, and the sheet that tells them. */

import { button, make } from "../ui/controls.js";

/**
 * What a key press asks for: the name of an action, or "" for a key of somebody else.
 * @param {KeyboardEvent} event
 */
export function actionOf(event) {
  if (event.ctrlKey || event.metaKey) return "";
  if (event.key === "C" || (event.shiftKey && event.key.toLowerCase() === "c")) return "capture";
  /** @type {Record<string, string>} */
  const keys = {
    g: "move", r: "rotate", x: "toggleAxes", c: "record", n: "add", i: "insert", k: "duplicate",
    delete: "remove", backspace: "remove", "[": "previous", "]": "next", l: "lookThrough", " ": "play",
    arrowleft: "frameBack", arrowright: "frameOn", home: "first", end: "last", f: "frameAll", h: "home", o: "top",
    t: "aim", enter: "fullWindow", escape: "escape", "?": "help",
    w: "flyForward", s: "flyBack", a: "flyLeft", d: "flyRight", q: "flyDown", e: "flyUp",
  };
  return keys[event.key.toLowerCase()] ?? "";
}

/** Keys and mouse, as the sheet shows them. */
const SHEET = [
  [["drag"], "key_orbit"],
  [["right_drag"], "key_pan"],
  [["wheel"], "key_zoom"],
  [["ctrl_drag"], "key_look"],
  [["W A S D", "Q E"], "key_fly"],
  [["click_waypoint"], "key_select"],
  [["click_line"], "key_line"],
  [["double_click"], "key_focus"],
  [["G", "R"], "key_modes"],
  [["X"], "key_axes"],
  [["C", "Shift+C"], "key_record"],
  [["N", "I", "K"], "key_add"],
  [["Delete"], "key_delete"],
  [["[", "]"], "key_next"],
  [["L"], "key_through"],
  [["Space", "←", "→"], "key_play"],
  [["F", "H", "O"], "key_views"],
  [["T"], "key_aim"],
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
  const close = button({ icon: "close", label: t("close"), onClick: onClose });
  element.append(close, make("h3", "", t("help")), list);
  return element;
}
