/**
 * What an editor holds: the path, what is selected, the moment shown, and the last run. Changes go through `edit` and
 * `commit`; nothing is written before the user changes something, and a text that is not understood is never written.
 *
 * @typedef {import("../path/path_model.js").CameraPath} CameraPath
 * @typedef {import("../path/sampling.js").Camera} Camera
 */

import { IDENTITY } from "../view/matrices.js";
import { defaultPath } from "../path/path_presets.js";
import { changeWaypoint, startAt, waypointPose } from "../path/path_edit.js";
import { parsePath, PathProblem, stringifyPath } from "../path/path_model.js";
import { EASING, makeSampler, pathLengths, pathStep, waypointProgress } from "../path/path_spline.js";
import { cameraOf } from "../path/sampling.js";
import { readRunResult } from "./run_result.js";

const DEFAULT_FRAMES = 21;
const DRAWN = "drawn path";
const LOCK = "worldstereo_lock_first";
const SAMPLES_PER_PART = 28;
const MOST_SAMPLES = 3000;

export class Session {
  /** @param {any} host */
  constructor(host) {
    this.host = host;
    /** @type {import("./run_result.js").RunResult | null} */
    this.run = null;
    /** @type {CameraPath | null} null when the text is not understood */
    this.path = null;
    /** @type {PathProblem | null} */
    this.problem = null;
    this.isEmpty = true;
    this.selected = host.state.selected ?? 0;
    /** Moment shown, 0..1 of the path. */
    this.progress = host.state.progress ?? 0;
    this.listeners = new Set();
    this.committed = "";
    this.load(host.value());
  }

  /** @param {(what: string) => void} listener told "path", "selection", "progress" or "run" */
  watch(listener) {
    this.listeners.add(listener);
  }

  #tell(what) {
    for (const listener of [...this.listeners]) listener(what);
  }

  /** Take over a value that was set from outside: a workflow, undo, or nothing. @param {string} text */
  load(text) {
    this.committed = text;
    this.isEmpty = text.trim() === "";
    this.problem = null;
    if (this.isEmpty) {
      this.#show(this.#emptyPath());
      return;
    }
    try {
      this.#show(parsePath(text));
    } catch (error) {
      if (!(error instanceof PathProblem)) throw error;
      this.problem = error;
      this.#show(null);
    }
  }

  #show(path) {
    this.path = path;
    this.derived = null;
    const last = path ? path.waypoints.length - 1 : 0;
    this.selected = Math.max(-1, Math.min(this.selected, last));
    this.#tell("path");
  }

  /** What an empty value stands for: the path of the last run of it, else the one Python would make. */
  #emptyPath() {
    if (this.run && this.run.source !== "camera_path") return this.run.path;
    return defaultPath(this.start());
  }

  /** Where presets begin: the input view if a run told it, else the first waypoint. */
  start() {
    const view = this.run?.inputView;
    const size = this.size();
    const scale = this.run?.medianDepth ?? this.path?.scale ?? 1;
    if (view) return { c2w: view.c2w, fov_deg: view.fov_deg, width: view.width, height: view.height, scale };
    const first = this.path?.waypoints[0];
    if (!first) return { c2w: [...IDENTITY], fov_deg: 60, ...size, scale };
    return { c2w: waypointPose(first), fov_deg: first.fov_deg, ...size, scale };
  }

  /** @param {any} output */
  takeOutput(output) {
    const result = readRunResult(output);
    if (!result) return;
    this.run = result;
    if (this.isEmpty) this.#show(this.#emptyPath());
    this.derived = null;
    this.#tell("run");
  }

  get isEditable() {
    return this.path !== null;
  }

  /** Change what is shown; `commit` makes it the value. @param {CameraPath} path @param {number} [selected] */
  edit(path, selected = this.selected) {
    if (!this.path) return;
    this.path = path;
    this.derived = null;
    this.selected = selected;
    this.#tell("path");
  }

  /** Make what is shown the node's value, as one undo step. */
  commit() {
    if (!this.path) return;
    const text = stringifyPath(this.path);
    if (text === this.committed) return;
    if (this.isEmpty && this.run && text === this.run.text) return;
    // What is drawn by hand no longer is the move that it began as.
    if (this.isEmpty && !this.isReplaced) this.path = { ...this.path, name: DRAWN };
    this.derived = null;
    this.committed = stringifyPath(this.path);
    this.isEmpty = false;
    this.host.change(this.committed);
    this.#tell("path");
  }

  /** Throw away what was not committed. */
  revert() {
    this.load(this.committed);
  }

  /** @param {CameraPath} path @param {number} [selected] */
  apply(path, selected) {
    this.edit(path, selected);
    this.commit();
  }

  /** Another path, instead of a text that is not understood too: only when the user says so. @param {CameraPath} path */
  replace(path) {
    this.problem = null;
    this.path = path;
    this.isReplaced = true;
    this.apply(path, 0);
    this.isReplaced = false;
  }

  /** @param {number} index */
  select(index) {
    this.selected = index;
    this.host.state.selected = index;
    this.#tell("selection");
  }

  /** @param {number} progress */
  seek(progress) {
    this.progress = Math.max(0, Math.min(1, progress));
    this.host.state.progress = this.progress;
    this.#tell("progress");
  }

  // The first waypoint

  get isLocked() {
    return this.host.property(LOCK) ?? true;
  }

  /** @param {boolean} isLocked */
  setLocked(isLocked) {
    this.host.property(LOCK, isLocked);
    this.#tell("selection");
  }

  /** May this waypoint be moved and turned? @param {number} index */
  isHeld(index) {
    const isSeam = this.path?.closed && index === this.path.waypoints.length - 1;
    return this.isLocked && (index === 0 || isSeam);
  }

  /** How far the first waypoint is from the input view, scene units; null when that is not known. */
  startGap() {
    const view = this.run?.inputView;
    if (!view || !this.path) return null;
    return pathStep(waypointPose(this.path.waypoints[0]), view.c2w, this.path.scale);
  }

  /** The path moved, or its first waypoint alone, so that it begins at the input view. @param {boolean} isWhole */
  snapToInput(isWhole) {
    const view = this.run?.inputView;
    if (!view || !this.path) return;
    const moved = startAt(this.path, view.c2w);
    if (isWhole) return this.apply(moved);
    const { position, wxyz } = moved.waypoints[0];
    this.apply(changeWaypoint(this.path, 0, { position, wxyz, fov_deg: view.fov_deg, roll_deg: 0 }));
  }

  // Numbers that follow from the path

  get frames() {
    const given = this.host.nodeInput("frames");
    return Number.isInteger(given) && given > 0 ? given : this.run?.frames.length || DEFAULT_FRAMES;
  }

  /** Easing of the whole clip. */
  get easing() {
    const given = this.host.nodeInput("easing");
    return EASING[given] ? given : (this.run?.easing ?? "linear");
  }

  /** Size of the clip, pixels. */
  size() {
    const own = (name) => {
      const given = this.host.nodeInput(name);
      return Number.isInteger(given) && given > 0 ? given : undefined;
    };
    return {
      width: own("width") ?? this.path?.width ?? this.run?.width ?? 768,
      height: own("height") ?? this.path?.height ?? this.run?.height ?? 480,
    };
  }

  /** Was the path changed since the run whose warnings are known? */
  get isChanged() {
    if (!this.run || !this.path) return true;
    return this.#derive().text !== this.run.text || this.frames !== this.run.frames.length || this.easing !== this.run.easing;
  }

  /** Length, speed and samples, computed when they are first asked for after a change. */
  #derive() {
    if (this.derived) return this.derived;
    const path = /** @type {CameraPath} */ (this.path);
    const sampler = makeSampler(path);
    const at = waypointProgress(path);
    const perPart = Math.max(2, Math.min(SAMPLES_PER_PART, Math.floor(MOST_SAMPLES / path.waypoints.length)));
    const moments = path.waypoints.length === 1 ? [0] : at.slice(0, -1).flatMap((start, i) =>
      Array.from({ length: perPart }, (_, k) => start + (k / perPart) * (at[i + 1] - start)),
    );
    if (path.waypoints.length > 1) moments.push(1);
    const samples = moments.map((moment) => ({ progress: moment, ...sampler(moment) }));
    const lengths = pathLengths(samples.map((sample) => sample.c2w), path.scale);
    const travel = pathLengths(samples.map((sample) => sample.c2w), 0);
    const frames = this.frames;
    const times = moments.map((moment) => this.frameOf(moment) / Math.max(frames - 1, 1));
    const speeds = samples.map((_, i) => {
      const [a, b] = [Math.max(i - 1, 0), Math.min(i + 1, samples.length - 1)];
      return times[b] > times[a] ? (lengths[b] - lengths[a]) / (times[b] - times[a]) : 0;
    });
    const frameCameras = Array.from({ length: frames }, (_, frame) => this.#camera(path, sampler(this.progressOfFrame(frame))));
    this.derived = {
      text: stringifyPath(path), sampler, samples, speeds, waypointAt: at, frameCameras, key: this.#key(),
      length: travel[travel.length - 1], meanSpeed: lengths[lengths.length - 1],
    };
    return this.derived;
  }

  #key() {
    const { width, height } = this.size();
    return `${this.frames} ${this.easing} ${width} ${height}`;
  }

  get shape() {
    if (this.derived && this.derived.key !== this.#key()) this.derived = null;
    return this.#derive();
  }

  #camera(path, sample) {
    const { width, height } = this.size();
    return cameraOf(path, sample, width, height);
  }

  /** The camera of a moment at the clip's size. @param {number} progress @returns {Camera} */
  cameraAt(progress) {
    return this.#camera(this.path, this.shape.sampler(progress));
  }

  /** @param {number} index @returns {Camera} */
  cameraOfWaypoint(index) {
    return this.cameraAt(this.shape.waypointAt[index]);
  }

  /** @param {number} frame */
  progressOfFrame(frame) {
    return EASING[this.easing](this.frames === 1 ? 0 : frame / (this.frames - 1));
  }

  /** The frame nearest to a moment; with fractions. @param {number} progress */
  frameOf(progress) {
    let [low, high] = [0, 1];
    // Easings grow; halving finds the time of a progress for all of them.
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2;
      if (EASING[this.easing](middle) < progress) low = middle;
      else high = middle;
    }
    return high * (this.frames - 1);
  }
}
