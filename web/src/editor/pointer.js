/** What the pointer does in the picture besides moving the view. */

import { column } from "../view/matrices.js";
import { hitPath, hitTest, startDrag } from "./gizmo.js";

const DOUBLE_CLICK = 350; // ms

/** @param {import("./path_editor.js").PathEditor} editor */
export function makePointer(editor) {
  const state = { hover: null, insertion: null };
  let lastClick = { time: 0, x: 0, y: 0 };
  const near = () => 0.02 * editor.view.orbit.unit;
  const hitAt = (x, y) => (editor.isThrough ? null : hitTest(editor.session, editor.view.camera(), near(), editor.tool, x, y));
  const lineAt = (x, y) =>
    editor.isThrough || !editor.session.path || editor.session.path.waypoints.length < 2
      ? null
      : hitPath(editor.session, editor.view.camera(), near(), x, y);

  return {
    state,

    onHover(x, y) {
      const isOverInset = editor.inset.contains(x, y) && !editor.isThrough;
      const hover = isOverInset || editor.picking ? null : hitAt(x, y);
      const insertion = hover || isOverInset || editor.picking ? null : lineAt(x, y);
      if (!editor.picking) editor.view.canvas.style.cursor = hover || isOverInset ? "pointer" : insertion ? "copy" : "grab";
      else editor.view.canvas.style.cursor = "crosshair";
      if (hover?.kind === state.hover?.kind && hover?.index === state.hover?.index && hover?.axis === state.hover?.axis && !insertion && !state.insertion) return;
      state.hover = hover;
      state.insertion = insertion;
      editor.view.requestDraw();
    },

    onPress(x, y) {
      const { session } = editor;
      if (editor.picking || !session.path || (editor.inset.contains(x, y) && !editor.isThrough)) return null;
      const hit = hitAt(x, y);
      if (!hit) return null;
      if (hit.kind === "waypoint") {
        session.select(hit.index);
        session.seek(session.shape.waypointAt[hit.index]);
        if (session.isHeld(hit.index))
          return { move: () => editor.say(editor.t("locked_hint"), "warning") };
      }
      const camera = editor.view.camera();
      const drag = startDrag(session, camera, editor.tool, hit, x, y);
      state.insertion = null;
      return {
        move: (toX, toY, event) => {
          drag(toX, toY, event);
          if (hit.kind !== "target" && session.path.waypoints[session.selected])
            session.seek(session.shape.waypointAt[session.selected]);
        },
        end: (_, isCancelled) => (isCancelled ? session.revert() : session.commit()),
      };
    },

    onClick(x, y, event) {
      const isDouble = event.timeStamp - lastClick.time < DOUBLE_CLICK && Math.hypot(x - lastClick.x, y - lastClick.y) < 6;
      lastClick = { time: event.timeStamp, x, y };
      if (editor.picking) {
        const point = editor.view.pick(x, y);
        if (!point) return editor.say(editor.t("no_point"), "warning");
        const kind = editor.picking;
        editor.endPick();
        return editor.actions.usePoint(kind, point);
      }
      if (editor.inset.contains(x, y) && !editor.isThrough) return editor.actions.lookThrough();
      if (hitAt(x, y)) return;
      const line = lineAt(x, y);
      if (line) {
        editor.session.seek(line.progress);
        state.insertion = null;
        return editor.actions.insert();
      }
      if (isDouble) focusOn(editor, x, y);
    },
  };
}

/** Orbit around the point under the pointer from now on. */
function focusOn(editor, x, y) {
  const point = editor.view.pick(x, y);
  if (!point) return;
  const { orbit } = editor.view;
  editor.setThrough(false);
  const pivot = orbit.pivot;
  const eye = column(orbit.c2w, 3).map((value, i) => value + point[i] - pivot[i]);
  orbit.c2w = orbit.c2w.map((value, i) => ([3, 7, 11].includes(i) ? eye[(i - 3) / 4] : value));
  editor.state.orbit = orbit.save();
  editor.view.requestDraw();
}
