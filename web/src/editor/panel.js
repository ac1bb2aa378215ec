/** Numbers and choices beside the picture: the selected waypoint, and the path as a whole. */

import { button, checkField, make, numberField, row, section, selectField } from "../ui/controls.js";
import { anglesToPose, poseToAngles, poseToQuaternion } from "../view/matrices.js";
import { EASINGS, INTERPOLATIONS, SPEEDS } from "../path/path_model.js";
import { changeWaypoint, coincidentWaypoints, evenTimes, setClosed, waypointPose } from "../path/path_edit.js";
import { setTime } from "./timeline.js";

/** @param {string} value as a key of the strings */
const key = (value) => value.replaceAll(" ", "_");

export class Panel {
  /**
   * @param {import("./session.js").Session} session
   * @param {(key: string, values?: Record<string, unknown>) => string} t
   * @param {any} actions of the editor
   */
  constructor(session, t, actions) {
    this.session = session;
    this.t = t;
    this.actions = actions;
    this.element = make("aside", "ws-panel");
    this.element.setAttribute("aria-label", t("settings"));
    this.element.append(this.#makeWaypoint(), this.#makePath());
    this.update();
  }

  #field(label, digits, change, options = {}) {
    const { session } = this;
    return numberField({
      label,
      digits,
      onInput: (value) => session.path && session.edit(change(value)),
      onCommit: () => session.commit(),
      ...options,
    });
  }

  /** Change the selected waypoint. @param {(waypoint: any, value: number) => object} change */
  #ofWaypoint(change) {
    const { session } = this;
    return (value) => changeWaypoint(session.path, session.selected, change(session.path.waypoints[session.selected], value));
  }

  #makeWaypoint() {
    const { session, t } = this;
    const unit = () => 0.01 * (session.path?.scale ?? 1);
    this.positions = ["X", "Y", "Z"].map((axis, i) =>
      this.#field(t("position_axis", { axis }), 3, this.#ofWaypoint((waypoint, value) => ({ position: waypoint.position.with(i, value) })), { step: unit }),
    );
    this.angles = ["pan", "tilt"].map((name, i) =>
      this.#field(t(name), 2, this.#ofWaypoint((waypoint, value) => {
        const angles = poseToAngles(waypointPose(waypoint)).with(i, value);
        return { wxyz: poseToQuaternion(anglesToPose(angles, waypoint.position)) };
      }), i === 1 ? { min: -89.9, max: 89.9 } : {}),
    );
    this.roll = this.#field(t("roll"), 2, this.#ofWaypoint((_, value) => ({ roll_deg: value })));
    this.fov = this.#field(t("fov"), 2, this.#ofWaypoint((_, value) => ({ fov_deg: value })), { min: 1, max: 170 });
    this.time = numberField({
      label: t("time"),
      digits: 4,
      min: 0,
      max: 1,
      step: () => 1 / Math.max(session.frames - 1, 1),
      onInput: (value) => session.path && setTime(session, session.selected, value),
      onCommit: () => session.commit(),
    });
    this.easing = selectField(t("easing"), EASINGS.map((name) => [name, t(`easing_${key(name)}`)]), (value) =>
      session.apply(changeWaypoint(session.path, session.selected, { easing: value })),
    );
    const triple = (fields) => {
      const element = make("div", "ws-triple");
      element.append(...fields.map((field) => field.element));
      return element;
    };
    this.lens = make("span", "ws-unit");
    this.lock = checkField(t("lock_first"), (isLocked) => session.setLocked(isLocked));
    this.aim = button({ icon: "target", label: t("aim"), text: t("aim_short"), key: "T", className: "ws-filled", onClick: () => this.actions.startPick("aim") });
    this.capture = button({ icon: "capture", label: t("capture"), text: t("capture_short"), key: "Shift+C", className: "ws-filled", onClick: () => this.actions.capture() });
    const buttons = make("div", "ws-buttons");
    buttons.append(this.aim, this.capture);
    const fovRow = row(t("fov_short"), this.fov.element);
    fovRow.lastElementChild.append(this.lens);
    this.timeRow = row(t("time"), this.time.element);
    this.frame = make("span", "ws-unit");
    this.timeRow.lastElementChild.append(this.frame);
    const made = section(
      "",
      row(t("position"), triple(this.positions)),
      row(t("pan_tilt"), triple([...this.angles, this.roll])),
      fovRow,
      this.timeRow,
      row(t("easing"), this.easing),
      this.lock.element,
      buttons,
    );
    this.title = made.querySelector("legend");
    return made;
  }

  #makePath() {
    const { session, t } = this;
    const change = (given) => session.apply({ ...session.path, ...given });
    this.interpolation = selectField(t("interpolation"), INTERPOLATIONS.map((name) => [name, t(`interpolation_${name}`)]), (value) => change({ interpolation: value }));
    this.speed = selectField(t("speed"), SPEEDS.map((name) => [name, t(`speed_${key(name)}`)]), (value) => change({ speed: value }));
    this.closed = checkField(t("closed"), (isClosed) => session.apply(setClosed(session.path, isClosed)));
    this.lookAt = checkField(t("look_at"), (isOn) => (isOn ? this.actions.startLookAt() : change({ look_at: null })));
    this.target = ["X", "Y", "Z"].map((axis, i) =>
      this.#field(t("target_axis", { axis }), 3, (value) => ({ ...session.path, look_at: session.path.look_at.with(i, value) }), { step: () => 0.01 * session.path.scale }),
    );
    const triple = make("div", "ws-triple");
    triple.append(...this.target.map((field) => field.element));
    this.targetRow = row(t("target"), triple);
    this.pickTarget = button({ icon: "target", label: t("pick_target"), text: t("pick_target_short"), className: "ws-filled", onClick: () => this.actions.startPick("look_at") });
    this.targetButtons = make("div", "ws-buttons");
    this.targetButtons.append(this.pickTarget);
    this.fps = this.#field(t("fps"), 3, (value) => ({ ...session.path, fps: value }), { min: 0.1, max: 1000 });
    this.even = button({ icon: "speed", label: t("even_times"), text: t("even_times_short"), className: "ws-filled", onClick: () => session.apply(evenTimes(session.path)) });
    const buttons = make("div", "ws-buttons");
    buttons.append(this.even);
    this.facts = make("div", "ws-facts");
    return section(
      t("path"),
      row(t("interpolation"), this.interpolation),
      row(t("speed"), this.speed),
      row(t("fps"), this.fps.element),
      this.closed.element,
      this.lookAt.element,
      this.targetRow,
      this.targetButtons,
      buttons,
      this.facts,
    );
  }

  update() {
    const { session, t } = this;
    const { path } = session;
    this.element.toggleAttribute("inert", !path);
    if (!path) return;
    const index = session.selected;
    const waypoint = path.waypoints[index];
    this.title.textContent = waypoint ? t("waypoint_of", { number: index + 1, count: path.waypoints.length }) : t("no_waypoint");
    const isHeld = !waypoint || session.isHeld(index);
    const fields = [...this.positions, ...this.angles, this.roll, this.fov, this.time];
    for (const field of fields) field.setDisabled(isHeld && field !== this.time);
    this.aim.disabled = this.capture.disabled = isHeld;
    this.easing.disabled = !waypoint || path.speed === "constant" || index === path.waypoints.length - 1;
    this.lock.input.checked = session.isLocked;
    this.#updatePath(path);
    if (!waypoint) return;
    waypoint.position.forEach((value, i) => this.positions[i].set(value));
    const looked = path.look_at ? session.cameraOfWaypoint(index).c2w : waypointPose(waypoint);
    poseToAngles(looked).slice(0, 2).forEach((value, i) => {
      this.angles[i].set(value);
      this.angles[i].setDisabled(isHeld || path.look_at !== null);
    });
    this.roll.set(waypoint.roll_deg);
    this.fov.set(waypoint.fov_deg);
    // As photographers say it: the focal length on a picture 36 mm wide.
    this.lens.textContent = `${(18 / Math.tan((waypoint.fov_deg * Math.PI) / 360)).toFixed(0)} mm`;
    this.time.set(waypoint.time);
    this.time.setDisabled(index === 0 || index === path.waypoints.length - 1 || path.speed === "constant");
    this.frame.textContent = `f ${session.frameOf(session.shape.waypointAt[index]).toFixed(1)}`;
    this.easing.value = waypoint.easing;
  }

  #updatePath(path) {
    const { session, t } = this;
    this.interpolation.value = path.interpolation;
    this.speed.value = path.speed;
    this.closed.input.checked = path.closed;
    this.closed.input.disabled = path.waypoints.length < 2;
    this.lookAt.input.checked = path.look_at !== null;
    this.targetRow.hidden = this.targetButtons.hidden = path.look_at === null;
    path.look_at?.forEach((value, i) => this.target[i].set(value));
    this.fps.set(path.fps);
    this.even.disabled = path.waypoints.length < 3 || path.speed === "constant";
    const { length } = session.shape;
    const lines = [
      t("fact_length", { length: this.actions.lengthText(length), depths: (length / this.actions.unit()).toFixed(2) }),
      t("fact_time", { frames: session.frames, fps: path.fps, seconds: ((session.frames - 1) / path.fps).toFixed(2) }),
      this.actions.unitText(),
    ];
    const stacked = coincidentWaypoints(path);
    if (stacked.length) lines.push(t("stacked", { a: stacked[0] + 1, b: stacked[0] + 2 }));
    this.facts.textContent = lines.join("\n");
  }
}

