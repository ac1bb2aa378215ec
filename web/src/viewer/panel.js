/** Settings beside the picture: how points look, clips, the parts of the selection, views. */

import { button, checkField, make, numberField, row, section, selectField } from "../ui/controls.js";
import { poseToAngles, poseToQuaternion, quaternionToPose, axisTurn, multiply } from "../view/matrices.js";
import { clipColour, MODE_COLOURS } from "./overlay.js";
import { EVERYTHING, MODES, VISIBLE } from "./view_state.js";

const COLOURS = ["colour", "confidence", "clip", "height"];

export class Panel {
  /** @param {import("./world_viewer.js").WorldViewer} viewer */
  constructor(viewer) {
    this.viewer = viewer;
    this.element = make("aside", "ws-panel");
    this.element.setAttribute("aria-label", viewer.t("settings"));
    this.element.append(this.#makePoints(), this.#makeSelection(), this.#makeViews());
  }

  #makePoints() {
    const { session, t } = this.viewer;
    this.colour = selectField(t("colour_by"), COLOURS.map((name) => [name, t(`by_${name}`)]), (value) => session.setLook({ colour: value }));
    const field = (label, key, options) =>
      numberField({
        label,
        onInput: (value) => session.previewLook({ [key]: value }),
        onCommit: () => session.setLook({ [key]: session.look[key] }),
        ...options,
      });
    this.pointSize = field(t("point_size"), "pointSize", { digits: 1, min: 0.5, max: 20, step: () => 0.2 });
    this.minConfidence = field(t("min_confidence"), "minConfidence", { digits: 2, min: 0, max: 1, step: () => 0.01 });
    this.legend = make("div", "ws-legend");
    this.clips = make("div", "ws-clips");
    this.showAll = button({ icon: "eye", label: t("show_all_clips"), text: t("show_all_clips"), className: "ws-filled", onClick: () => session.setLook({ hidden: [] }) });
    return section(
      t("points"),
      row(t("colour_by"), this.colour),
      this.legend,
      row(t("point_size"), this.pointSize.element),
      row(t("min_confidence"), this.minConfidence.element),
      this.clips,
      this.showAll,
    );
  }

  #makeSelection() {
    const { viewer } = this;
    const { session, t, actions } = viewer;
    this.reach = selectField(t("reach"), [[VISIBLE, t("reach_visible")], [EVERYTHING, t("reach_everything")]], (value) => viewer.setTool({ reach: value }));
    this.radius = numberField({
      label: t("brush_size"), digits: 1, min: 0.4, max: 40, step: () => 0.5,
      onInput: (value) => viewer.setTool({ radius: value / 100 }),
      onCommit: () => {},
    });
    this.parts = make("div", "ws-parts");
    this.parts.setAttribute("role", "list");
    const triple = (label, change, options = {}) => {
      const fields = ["X", "Y", "Z"].map((axis, i) =>
        numberField({
          label: t(label, { axis }), digits: 3, step: () => 0.01 * viewer.unit(),
          onInput: (value) => session.editActive(change(i, value)),
          onCommit: () => session.commit(),
          ...options,
        }),
      );
      const element = make("div", "ws-triple");
      element.append(...fields.map((field) => field.element));
      return { element, fields };
    };
    const centre = triple("centre_axis", (i, value) => ({ centre: session.activePart.centre.with(i, value) }));
    const size = triple("size_axis", (i, value) => ({ size: session.activePart.size.with(i, value) }), { min: 1e-6 });
    this.turn = numberField({
      label: t("box_turn"), digits: 1, min: -360, max: 360, step: () => 1,
      onInput: (value) => session.editActive({ wxyz: this.#turned(value) }),
      onCommit: () => session.commit(),
    });
    this.centre = centre.fields;
    this.size = size.fields;
    this.boxRows = [row(t("centre"), centre.element), row(t("size"), size.element), row(t("box_turn_short"), this.turn.element)];
    this.mode = selectField(t("mode"), MODES.map((mode) => [mode, t(`mode_${mode}_short`)]), (mode) => actions.setMode(mode));
    this.modeRow = row(t("mode"), this.mode);
    this.clear = button({ icon: "clear", label: t("clear"), text: t("clear"), className: "ws-filled", onClick: () => actions.clear() });
    const buttons = make("div", "ws-buttons");
    buttons.append(this.clear);
    this.facts = make("div", "ws-facts");
    this.facts.setAttribute("role", "status");
    return section(
      t("selection"),
      row(t("reach"), this.reach),
      row(t("brush_size_short"), this.radius.element),
      this.facts,
      this.parts,
      this.modeRow,
      ...this.boxRows,
      buttons,
    );
  }

  /** The active box's rotation with another turn about the vertical. @param {number} degrees */
  #turned(degrees) {
    const pose = quaternionToPose(this.viewer.session.activePart.wxyz ?? [1, 0, 0, 0]);
    const now = poseToAngles(pose)[0];
    return poseToQuaternion(multiply(axisTurn([0, 1, 0], ((degrees - now) * Math.PI) / 180), pose));
  }

  #makeViews() {
    const { viewer } = this;
    const { t, actions, session } = viewer;
    this.goTo = make("select");
    this.goTo.setAttribute("aria-label", t("go_to"));
    this.goTo.addEventListener("change", () => {
      const chosen = session.world?.views[Number(this.goTo.value)];
      this.goTo.value = "";
      actions.goToView(chosen);
    });
    this.recorded = make("div", "ws-parts");
    this.recorded.setAttribute("role", "list");
    this.chosen = make("div", "ws-facts");
    this.forget = button({ icon: "close", label: t("forget_view"), text: t("forget_view_short"), className: "ws-filled", onClick: () => actions.forgetView() });
    this.units = make("div", "ws-facts");
    return section(t("views"), row(t("go_to"), this.goTo), this.recorded, this.chosen, this.forget, this.units);
  }

  update() {
    const { session, tool } = this.viewer;
    const { look, world, state, activePart } = session;
    this.colour.value = look.colour;
    this.pointSize.set(look.pointSize);
    this.minConfidence.set(look.minConfidence);
    this.#updateLegend(look);
    this.#updateClips(look, world);
    this.showAll.hidden = !look.hidden.length;
    this.reach.value = tool.reach;
    this.radius.set(tool.radius * 100);
    this.#updateParts(state.selection);
    const isBox = activePart?.kind === "box";
    this.modeRow.hidden = !activePart;
    if (activePart) this.mode.value = activePart.mode ?? "add";
    for (const line of this.boxRows) line.hidden = !isBox;
    if (isBox) {
      activePart.centre.forEach((value, i) => this.centre[i].set(value));
      activePart.size.forEach((value, i) => this.size[i].set(value));
      this.turn.set(poseToAngles(quaternionToPose(activePart.wxyz ?? [1, 0, 0, 0]))[0]);
    }
    this.clear.disabled = !state.selection.length;
    this.#updateViews(state, world);
    this.facts.textContent = this.viewer.selectionText();
    this.units.textContent = this.viewer.unitText();
    for (const element of [this.parts, this.recorded, this.clear]) element.toggleAttribute("inert", !session.isEditable);
  }

  #updateLegend({ colour }) {
    const { t, view } = this.viewer;
    const isRamp = colour === "confidence" || colour === "height";
    this.legend.hidden = !isRamp;
    if (!isRamp) return;
    const bounds = view.cloud?.bounds;
    const ends = colour === "confidence" ? ["0", "1"] : bounds ? [bounds.high[1], bounds.low[1]].map((y) => this.viewer.lengthText(-y)) : [t("low"), t("high")];
    this.legend.replaceChildren(make("span", "", ends[0]), make("i"), make("span", "", ends[1]));
  }

  #updateClips({ hidden, colour }, world) {
    const { session, t } = this.viewer;
    const clips = world?.clips ?? [];
    const key = JSON.stringify([clips, hidden, colour]);
    if (key === this.clipsKey) return;
    this.clipsKey = key;
    const rows = clips.map(({ clip, points }) => {
      const name = clip === 0 ? t("input_picture") : t("clip", { number: clip });
      const field = checkField(t("clip_points", { name, points: points.toLocaleString() }), (isShown) => {
        const now = session.look.hidden.filter((entry) => entry !== clip);
        session.setLook({ hidden: isShown ? now : [...now, clip].sort((a, b) => a - b) });
      });
      field.input.checked = !hidden.includes(clip);
      const swatch = make("i", "ws-swatch");
      swatch.style.background = clipColour(clip);
      field.input.after(swatch);
      return field.element;
    });
    this.clips.replaceChildren(...rows);
  }

  #updateParts(parts) {
    const { session, t } = this.viewer;
    const rows = parts.map((part, i) => {
      const name = t(`part_${part.kind}`, { number: i + 1 });
      const element = make("div", "ws-part");
      element.setAttribute("role", "listitem");
      element.dataset.active = String(i === session.active);
      const swatch = make("i", "ws-swatch");
      swatch.style.background = MODE_COLOURS[part.mode ?? "add"];
      const choose = button({ label: name, text: name, onClick: () => session.setActive(i === session.active ? -1 : i) });
      choose.prepend(swatch);
      choose.setAttribute("aria-pressed", String(i === session.active));
      choose.title = `${name}: ${t(`mode_${part.mode ?? "add"}`)}`;
      element.append(choose, button({ icon: "close", label: t("remove_named", { name }), onClick: () => session.removePart(i) }));
      return element;
    });
    this.parts.replaceChildren(...rows);
  }

  #updateViews({ recorded, camera }, world) {
    const { t, actions } = this.viewer;
    const views = world?.views ?? [];
    if (this.viewsKey !== views) {
      this.viewsKey = views;
      const option = (value, text) => Object.assign(make("option", "", text), { value });
      this.goTo.replaceChildren(option("", t("go_to_hint", { count: views.length })), ...views.map(({ name }, i) => option(String(i), name)));
    }
    this.goTo.disabled = !views.length;
    const rows = recorded.map((place, i) => {
      const name = t("recorded_view", { number: i + 1 });
      const element = make("div", "ws-part");
      element.setAttribute("role", "listitem");
      element.append(
        button({ label: t("go_to_named", { name }), text: name, onClick: () => actions.goTo(place) }),
        button({ icon: "close", label: t("remove_named", { name }), onClick: () => actions.forget(i) }),
      );
      return element;
    });
    this.recorded.replaceChildren(...rows);
    this.chosen.textContent = t(camera ? "chosen_own" : "chosen_input");
    this.forget.hidden = !camera;
  }
}

