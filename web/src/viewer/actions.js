/** What buttons and keys do. */

import { column, poseToQuaternion } from "../view/matrices.js";

const FLY = 0.06; // pivot distances per key press
const RADII = [0.004, 0.4];

/** @param {import("./world_viewer.js").WorldViewer} viewer */
export function makeActions(viewer) {
  const { session, t } = viewer;
  const orbit = () => viewer.view.orbit;
  const here = () => ({ position: column(orbit().c2w, 3), wxyz: poseToQuaternion(orbit().c2w), fov_deg: orbit().fovDeg });
  const guarded = (action) => (...given) => (session.isEditable ? action(...given) : undefined);
  const moved = () => {
    viewer.state.orbit = orbit().save();
    viewer.view.requestDraw();
  };

  const actions = {
    // Tools
    look: () => viewer.setTool({ name: "look" }),
    box: () => viewer.setTool({ name: "box" }),
    brush: () => viewer.setTool({ name: "brush" }),
    lasso: () => viewer.setTool({ name: "lasso" }),
    add: () => viewer.setTool({ mode: "add" }),
    subtract: () => viewer.setTool({ mode: "subtract" }),
    intersect: () => viewer.setTool({ mode: "intersect" }),
    smaller: () => viewer.setTool({ radius: Math.max(RADII[0], viewer.tool.radius / 1.25) }),
    larger: () => viewer.setTool({ radius: Math.min(RADII[1], viewer.tool.radius * 1.25) }),

    // Selection
    remove: guarded(() => session.removePart(session.active)),
    clear: guarded(() => session.apply({ selection: [] })),
    /** @param {string} mode */
    setMode: guarded((mode) => {
      if (session.activePart) session.editActive({ mode });
      session.commit();
    }),

    // Views
    useView: guarded(() => {
      session.apply({ camera: here() });
      viewer.flash();
      viewer.say(t("view_chosen"));
    }),
    forgetView: guarded(() => session.apply({ camera: null })),
    record: guarded(() => {
      session.apply({ recorded: [...session.state.recorded, here()] });
      viewer.flash();
      viewer.say(t("recorded", { number: session.state.recorded.length }));
    }),
    /** @param {number} index */
    forget: guarded((index) => session.apply({ recorded: session.state.recorded.toSpliced(index, 1) })),
    /** @param {import("./view_state.js").Place} place */
    goTo: (place) => viewer.standAt(place),
    /** @param {{ name: string, camera: import("../path/sampling.js").Camera } | undefined} view */
    goToView: (view) => {
      if (!view) return;
      const { camera } = view;
      const fov = (2 * Math.atan(camera.width / (2 * camera.fx)) * 180) / Math.PI;
      orbit().lookFrom(camera.c2w, viewer.unit(), fov);
      viewer.say(t("at_view", { name: view.name }));
      moved();
    },
    frameAll: () => {
      viewer.frameAll();
      moved();
    },
    home: () => {
      const view = session.world?.inputView;
      if (view) orbit().lookFrom(view.c2w, viewer.unit(), view.fov_deg);
      moved();
    },
    top: () => {
      orbit().lookAlong([0, -1, -0.02]);
      moved();
    },
    fly: (steps) => {
      orbit().fly(steps);
      moved();
    },
    flyForward: () => actions.fly([0, 0, FLY]),
    flyBack: () => actions.fly([0, 0, -FLY]),
    flyLeft: () => actions.fly([-FLY, 0, 0]),
    flyRight: () => actions.fly([FLY, 0, 0]),
    flyUp: () => actions.fly([0, -FLY, 0]),
    flyDown: () => actions.fly([0, FLY, 0]),

    // The viewer
    toggleCameras: () => session.setLook({ cameras: !session.look.cameras }),
    togglePanel: () => viewer.set("isPanelShown", !viewer.isPanelShown),
    fullWindow: () => viewer.setFull(!viewer.closeFull),
    help: () => viewer.toggleHelp(),
    runNode: () => viewer.host.runNode(),
    escape: () => viewer.escape(),
  };
  return actions;
}
