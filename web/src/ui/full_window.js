/** A view lent to the whole window; its place in the node keeps a note meanwhile. */

import { make } from "./controls.js";

/**
 * @param {HTMLElement} view
 * @param {object} options
 * @param {string} options.label name of the dialog
 * @param {string} options.awayText shown in the node meanwhile
 * @param {() => void} options.onClose the view is back in its place
 * @returns {() => void} gives the view back
 */
export function openFullWindow(view, { label, awayText, onClose }) {
  const home = view.parentElement;
  const away = make("div", "ws-away", awayText);
  const overlay = make("div", "ws-full-window");
  overlay.setAttribute("role", "dialog"); // not aria-modal: ComfyUI would stop undoing while it is open
  overlay.setAttribute("aria-label", label);
  view.replaceWith(away);
  overlay.append(view);
  document.body.append(overlay);
  // The graph must not see what is done here; undo and run keep their keys.
  for (const kind of ["pointerdown", "mousedown", "wheel", "contextmenu", "dragover", "drop", "paste", "copy", "cut"])
    overlay.addEventListener(kind, (event) => event.stopPropagation());
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    overlay.remove();
    if (away.isConnected) away.replaceWith(view);
    else home?.append(view);
    onClose();
  };
  overlay.addEventListener("pointerdown", (event) => {
    if (event.target === overlay) close();
  });
  view.focus();
  return close;
}
