/** What the pointer does in the picture besides moving the view: handles of a box, strokes, cameras to stand at. */

import { column } from "../view/matrices.js";
import { project } from "../view/projection.js";
import { dragBox, hitBox } from "./box_gizmo.js";
import { MAX_STROKE_POINTS } from "./view_state.js";

const DOUBLE_CLICK = 350; // ms
const STROKE_STEP = 2; // pixels
const CAMERA_PIXELS = 9;

/** @param {import("./world_viewer.js").WorldViewer} viewer */
export function makePointer(viewer) {
  /** @type {{ hover: any, camera: number, stroke: number[][], at: number[] | null }} */
  const state = { hover: null, camera: -1, stroke: [], at: null };
  let lastClick = { time: 0, x: 0, y: 0 };
  const near = () => 0.02 * viewer.view.orbit.unit;

  const hitActive = (x, y) => {
    const part = viewer.session.activePart;
    return part?.kind === "box" && viewer.session.isEditable ? hitBox(part, viewer.view.camera(), near(), x, y) : null;
  };
  const hitCamera = (x, y) => {
    const { world, look } = viewer.session;
    if (!world || !look.cameras || viewer.tool.name !== "look") return -1;
    const camera = viewer.view.camera();
    let [best, bestOff] = [-1, CAMERA_PIXELS];
    world.views.filter(({ clip }) => !look.hidden.includes(clip)).forEach((view, i) => {
      const seen = project(camera, column(view.camera.c2w, 3));
      const off = seen.z > near() ? Math.hypot(seen.x - x, seen.y - y) : Infinity;
      if (off < bestOff) [best, bestOff] = [i, off];
    });
    return best;
  };
  const updateCursor = () => {
    const isOver = state.hover || state.camera >= 0;
    viewer.view.canvas.style.cursor = isOver ? "pointer" : { look: "grab", brush: "none" }[viewer.tool.name] ?? "crosshair";
  };

  const dragHandle = (hit, x, y) => {
    const move = dragBox(viewer.session.activePart, hit, viewer.view.camera(), x, y, 0.002 * viewer.unit());
    return {
      move: (toX, toY) => viewer.session.editActive(move(toX, toY)),
      end: (_, isCancelled) => (isCancelled ? viewer.session.revert() : viewer.session.commit()),
    };
  };

  const drawStroke = (x, y) => {
    state.stroke = [[x, y]];
    viewer.showStroke();
    return {
      move: (toX, toY) => {
        const [lastX, lastY] = state.stroke[state.stroke.length - 1];
        state.at = [toX, toY];
        if (viewer.tool.name === "box") state.stroke = [state.stroke[0], [toX, toY]];
        else if (Math.hypot(toX - lastX, toY - lastY) >= STROKE_STEP && state.stroke.length < MAX_STROKE_POINTS) state.stroke.push([toX, toY]);
        viewer.showStroke();
      },
      end: (event, isCancelled) => {
        const { stroke } = state;
        state.stroke = [];
        // A dab of the brush is a press that does not move.
        const isDab = viewer.tool.name === "brush" && event.type === "pointerup";
        if (!isCancelled || isDab) viewer.finishStroke(stroke);
        else viewer.showStroke();
      },
    };
  };

  return {
    state,

    onHover(x, y) {
      state.at = [x, y];
      const hover = hitActive(x, y);
      const camera = hover ? -1 : hitCamera(x, y);
      const isSame = hover?.kind === state.hover?.kind && hover?.axis === state.hover?.axis && hover?.side === state.hover?.side;
      if (isSame && camera === state.camera && viewer.tool.name !== "brush") return;
      state.hover = hover;
      state.camera = camera;
      updateCursor();
      viewer.view.requestDraw();
    },

    onLeave() {
      state.at = null;
      viewer.view.requestDraw();
    },

    updateCursor,

    onPress(x, y, event) {
      // Shift pans with every tool, as without one.
      if (event.shiftKey || event.ctrlKey || event.metaKey) return null;
      const hit = hitActive(x, y);
      if (hit) return dragHandle(hit, x, y);
      if (viewer.tool.name === "look" || !viewer.canSelect()) return null;
      return drawStroke(x, y);
    },

    onClick(x, y, event) {
      const isDouble = event.timeStamp - lastClick.time < DOUBLE_CLICK && Math.hypot(x - lastClick.x, y - lastClick.y) < 6;
      lastClick = { time: event.timeStamp, x, y };
      if (viewer.tool.name !== "look") return;
      const camera = hitCamera(x, y);
      if (camera >= 0) return viewer.actions.goToView(viewer.shownViews()[camera]);
      if (isDouble) viewer.focusOn(x, y);
    },
  };
}
