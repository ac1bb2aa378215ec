/**
 * What a viewer holds: its state, which part is worked on, the last run. Changes go through `edit` and `commit`;
 * nothing is written before the user changes something, and a text that is not understood is never written.
 *
 * @typedef {import("./view_state.js").ViewState} ViewState
 * @typedef {import("./view_state.js").Part} Part
 */

import { emptyState, parseState, StateProblem, stringifyState } from "./view_state.js";
import { readWorld } from "./world_result.js";

const LOOK = "worldstereo_look";
const PLAIN_LOOK = { colour: "colour", hidden: [], pointSize: 1.6, minConfidence: 0, cameras: true };

export class Session {
  /** @param {any} host of widget_host.js */
  constructor(host) {
    this.host = host;
    /** @type {import("./world_result.js").World | null} */
    this.world = null;
    /** @type {ViewState} */
    this.state = emptyState();
    /** @type {StateProblem | null} */
    this.problem = null;
    /** Number of the part that is worked on, -1 for none. */
    this.active = host.state.active ?? -1;
    this.listeners = new Set();
    this.committed = "";
    this.load(host.value());
  }

  /** @param {(what: string) => void} listener told "state", "active", "look" or "run" */
  watch(listener) {
    this.listeners.add(listener);
  }

  tell(what) {
    for (const listener of [...this.listeners]) listener(what);
  }

  get isEditable() {
    return this.problem === null;
  }

  /** Take over a value that was set from outside: a workflow, undo, or nothing. @param {string} text */
  load(text) {
    this.committed = text;
    this.problem = null;
    try {
      this.state = parseState(text);
    } catch (error) {
      if (!(error instanceof StateProblem)) throw error;
      this.problem = error;
      this.state = emptyState();
    }
    this.#clampActive();
    this.tell("state");
  }

  #clampActive() {
    if (this.active >= this.state.selection.length) this.active = this.state.selection.length - 1;
  }

  /** @param {any} output */
  takeOutput(output) {
    const world = readWorld(output);
    if (!world) return;
    this.world = world;
    this.ranWith = this.committed;
    this.tell("run");
  }

  /** Is what is shown what the last run took? */
  get isChanged() {
    return this.world !== null && this.ranWith !== this.committed;
  }

  /** Change what is shown; `commit` makes it the value. @param {Partial<ViewState>} change */
  edit(change) {
    if (!this.isEditable) return;
    this.state = { ...this.state, ...change };
    this.#clampActive();
    this.tell("state");
  }

  /** Make what is shown the node's value, as one undo step. */
  commit() {
    if (!this.isEditable) return;
    const text = stringifyState(this.state);
    if (text === this.committed) return;
    this.committed = text;
    this.host.change(text);
    this.tell("state");
  }

  /** Throw away what was not committed. */
  revert() {
    this.load(this.committed);
  }

  /** @param {Partial<ViewState>} change */
  apply(change) {
    this.edit(change);
    this.commit();
  }

  /** Begin anew over a text that is not understood: only when the user says so. */
  startNew() {
    this.problem = null;
    this.state = emptyState();
    this.commit();
  }

  // Parts of the selection

  /** @returns {Part | undefined} */
  get activePart() {
    return this.state.selection[this.active];
  }

  /** @param {number} index */
  setActive(index) {
    this.active = this.host.state.active = index;
    this.tell("active");
  }

  /** @param {Part} part */
  addPart(part) {
    this.active = this.host.state.active = this.state.selection.length;
    this.apply({ selection: [...this.state.selection, part] });
  }

  /** Change the active part without committing. @param {Partial<Part>} change */
  editActive(change) {
    if (!this.activePart) return;
    this.edit({ selection: this.state.selection.with(this.active, { ...this.activePart, ...change }) });
  }

  /** @param {number} index */
  removePart(index) {
    if (!this.state.selection[index]) return;
    if (index < this.active) this.active -= 1;
    this.apply({ selection: this.state.selection.toSpliced(index, 1) });
  }

  // How the world looks: kept with the node and no part of its value

  /** @returns {typeof PLAIN_LOOK} */
  get look() {
    return { ...PLAIN_LOOK, ...this.preview, ...(this.preview ? {} : this.host.property(LOOK)) };
  }

  /** @param {Partial<typeof PLAIN_LOOK>} change */
  setLook(change) {
    this.host.property(LOOK, { ...this.look, ...change });
    this.preview = null;
    this.tell("look");
  }

  /** Show a look while it is being chosen. @param {Partial<typeof PLAIN_LOOK>} change */
  previewLook(change) {
    this.preview = { ...this.look, ...change };
    this.tell("look");
  }

  /** Numbers of the clips whose points are shown, if some are hidden: what is selected now means these alone. */
  get shownClips() {
    const { hidden } = this.look;
    if (!hidden.length || !this.world) return undefined;
    return this.world.clips.map(({ clip }) => clip).filter((clip) => !hidden.includes(clip));
  }
}
