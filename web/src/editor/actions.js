/** What buttons and keys do. */

import { column, poseToQuaternion } from "../view/matrices.js";
import {
  aimWaypoint, appendWaypoint, changeWaypoint, duplicateWaypoint, extendPath, insertWaypoint, removeWaypoint, rescalePath, reversePath,
} from "../path/path_edit.js";
import { buildPreset } from "../path/path_presets.js";

const SAME_SCALE = 0.05;
const FLY = 0.06; // pivot distances per key press

/** @param {import("./path_editor.js").PathEditor} editor */
export function makeActions(editor) {
  const { session, t } = editor;
  const orbit = () => editor.view.orbit;

  /** Edits that give { path, index }. */
  const put = ({ path, index }) => {
    session.apply(path, index);
    session.seek(session.shape.waypointAt[index]);
  };
  const viewWaypoint = () => ({
    position: column(orbit().c2w, 3),
    wxyz: poseToQuaternion(orbit().c2w),
    fov_deg: orbit().fovDeg,
    roll_deg: 0,
  });
  const selectNext = (step) => {
    const count = session.path.waypoints.length;
    const index = (session.selected + step + count) % count;
    session.select(index);
    session.seek(session.shape.waypointAt[index]);
  };
  const guarded = (action) => (...given) => (session.path ? action(...given) : undefined);

  const actions = {
    // Waypoints
    add: guarded(() => put(extendPath(session.path))),
    insert: guarded(() => put(insertWaypoint(session.path, session.progress > 0 && session.progress < 1 ? session.progress : 0.5))),
    record: guarded(() => {
      put(appendWaypoint(session.path, viewWaypoint()));
      editor.flash();
      editor.say(t("recorded", { number: session.selected + 1 }));
    }),
    capture: guarded(() => {
      if (!session.path.waypoints[session.selected]) return;
      if (session.isHeld(session.selected)) return editor.say(t("locked_hint"), "warning");
      session.apply(changeWaypoint(session.path, session.selected, viewWaypoint()));
      session.seek(session.shape.waypointAt[session.selected]);
      editor.flash();
    }),
    duplicate: guarded(() => session.path.waypoints[session.selected] && put(duplicateWaypoint(session.path, session.selected))),
    remove: guarded(() => {
      if (!session.path.waypoints[session.selected]) return;
      if (session.path.waypoints.length === 1) return editor.say(t("last_one"), "warning");
      const changed = removeWaypoint(session.path, session.selected);
      session.apply(changed, Math.min(session.selected, changed.waypoints.length - 1));
    }),
    previous: guarded(() => selectNext(-1)),
    next: guarded(() => selectNext(1)),

    // Tools
    move: () => editor.setTool({ mode: "move" }),
    rotate: () => editor.setTool({ mode: "rotate" }),
    toggleAxes: () => editor.setTool({ axes: editor.tool.axes === "world" ? "camera" : "world" }),
    startPick: guarded((kind) => editor.startPick(kind)),
    aim: guarded(() => {
      if (session.isHeld(session.selected)) return editor.say(t("locked_hint"), "warning");
      if (session.path.waypoints[session.selected]) editor.startPick("aim");
    }),
    /** @param {string} kind @param {number[]} point */
    usePoint: guarded((kind, point) => {
      if (kind === "aim") session.apply(aimWaypoint(session.path, session.selected, point));
      else session.apply({ ...session.path, look_at: point });
    }),
    startLookAt: guarded(() => {
      // Straight ahead of the first waypoint, as far as the scene is; dragged or picked from there.
      const first = session.cameraOfWaypoint(0).c2w;
      const ahead = column(first, 2).map((value, i) => column(first, 3)[i] + value * session.path.scale);
      session.apply({ ...session.path, look_at: ahead });
    }),

    // Views
    lookThrough: guarded(() => editor.setThrough(!editor.isThrough)),
    frameAll: () => editor.frameAll(),
    home: () => {
      const { c2w, fov_deg } = session.start();
      editor.setThrough(false);
      orbit().lookFrom(c2w, actions.unit(), fov_deg);
      editor.view.requestDraw();
    },
    top: () => {
      editor.setThrough(false);
      orbit().lookAlong([0, -1, -0.02]);
      editor.view.requestDraw();
    },
    fly: (steps) => {
      editor.setThrough(false);
      orbit().fly(steps);
      editor.view.requestDraw();
    },
    flyForward: () => actions.fly([0, 0, FLY]),
    flyBack: () => actions.fly([0, 0, -FLY]),
    flyLeft: () => actions.fly([-FLY, 0, 0]),
    flyRight: () => actions.fly([FLY, 0, 0]),
    flyUp: () => actions.fly([0, -FLY, 0]),
    flyDown: () => actions.fly([0, FLY, 0]),

    // Time
    play: guarded(() => editor.timeline.togglePlay()),
    frameBack: guarded(() => editor.timeline.stepFrames(-1)),
    frameOn: guarded(() => editor.timeline.stepFrames(1)),
    first: guarded(() => session.seek(0)),
    last: guarded(() => session.seek(1)),

    // The path as a whole
    openPresets: () => editor.toolbar.openPresets(editor.root),
    usePreset: (name) => {
      const path = buildPreset(name, session.start());
      const fps = session.path?.fps ?? path.fps;
      session.replace({ ...path, fps });
      session.seek(0);
      editor.frameAll();
    },
    reverse: guarded(() => session.apply(reversePath(session.path))),
    canRescale: () => !!(session.path && session.run && Math.abs(session.run.medianDepth / session.path.scale - 1) > SAME_SCALE),
    rescale: guarded(() => session.apply(rescalePath(session.path, session.run.medianDepth))),
    canSnap: () => (session.startGap() ?? 0) > 1e-4 * (session.path?.scale ?? 1),
    snapPath: guarded(() => session.snapToInput(true)),

    // The editor
    toggleColours: () => editor.set("isSpeedShown", !editor.isSpeedShown),
    toggleInset: () => editor.set("isInsetShown", !editor.isInsetShown),
    togglePanel: () => editor.set("isPanelShown", !editor.isPanelShown),
    fullWindow: () => editor.setFull(!editor.closeFull),
    help: () => editor.toggleHelp(),
    runNode: () => editor.host.runNode(),
    escape: () => editor.escape(),

    // Units
    unit: () => session.run?.medianDepth ?? session.path?.scale ?? 1,
    lengthText: (length) => {
      const digits = length >= 100 ? 0 : length >= 1 ? 2 : 3;
      return `${Number(length.toFixed(digits))} ${session.run?.metric ? "m" : t("units")}`;
    },
    unitText: () => {
      const median = t("unit_median", { depth: Number(actions.unit().toPrecision(3)) });
      const { run } = session;
      if (!run?.inputView) return median;
      return `${median}\n${t(run.metric ? "unit_metric" : "unit_maybe")}`;
    },
  };
  return actions;
}
