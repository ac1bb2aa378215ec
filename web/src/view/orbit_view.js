/**
 * A viewpoint that orbits, pans and dollies about a pivot ahead of it. Own pointer handling: Nodes 2.0 stops
 * pointer events before they reach the document, where the usual controls listen.
 *
 * @typedef {import("./matrices.js").Pose} Pose
 */

import { add, axisTurn, column, dot, lookAt, multiply, normalize, scale, subtract, transform, turn, UP, withPlace } from "./matrices.js";

const RADIANS_PER_PIXEL = 0.006;
const STEEPEST = Math.cos((2 * Math.PI) / 180);

export class OrbitView {
  constructor() {
    /** @type {Pose} camera-to-world */
    this.c2w = lookAt([0, 0, -3], [0, 0, 0]);
    /** Depth of the pivot, scene units. */
    this.distance = 3;
    /** Horizontal field of view across the gate, degrees. */
    this.fovDeg = 60;
    /** Scene units that count as one: bounds how near one may get. */
    this.unit = 1;
  }

  get pivot() {
    return transform(this.c2w, [0, 0, this.distance]);
  }

  /** @param {number} dx @param {number} dy pixels that the pointer moved */
  orbit(dx, dy) {
    const pivot = this.pivot;
    const around = multiply(axisTurn(UP, dx * RADIANS_PER_PIXEL), this.c2w);
    const tilted = multiply(axisTurn(normalize(column(around, 0)), -dy * RADIANS_PER_PIXEL), around);
    // Never over the poles: there left and right would swap.
    const isSteep = Math.abs(dot(column(tilted, 2), UP)) > STEEPEST;
    const isSteeper = Math.abs(dot(column(tilted, 2), UP)) > Math.abs(dot(column(around, 2), UP));
    const turned = isSteep && isSteeper ? around : tilted;
    this.c2w = withPlace(turned, subtract(pivot, scale(column(turned, 2), this.distance)));
  }

  /** Turn on the spot. @param {number} dx @param {number} dy pixels @param {number} focal pixels */
  look(dx, dy, focal) {
    const place = column(this.c2w, 3);
    const around = multiply(axisTurn(UP, -dx / focal), this.c2w);
    this.c2w = withPlace(multiply(axisTurn(normalize(column(around, 0)), dy / focal), around), place);
  }

  /** @param {number} dx @param {number} dy pixels @param {number} focal pixels */
  pan(dx, dy, focal) {
    const step = this.distance / focal;
    const shift = turn(this.c2w, [-dx * step, -dy * step, 0]);
    this.c2w = withPlace(this.c2w, add(column(this.c2w, 3), shift));
  }

  /** @param {number} factor of the distance to the pivot; very near, the pivot is pushed on */
  dolly(factor) {
    const wanted = this.distance * factor;
    const nearest = 0.05 * this.unit;
    const step = this.distance - wanted;
    this.distance = Math.min(Math.max(wanted, nearest), 1e4 * this.unit);
    this.c2w = withPlace(this.c2w, add(column(this.c2w, 3), scale(column(this.c2w, 2), step)));
  }

  /** Move forward, right and down, in pivot distances. @param {number[]} steps */
  fly(steps) {
    const shift = turn(this.c2w, steps.map((step) => step * Math.max(this.distance, 0.2 * this.unit)));
    this.c2w = withPlace(this.c2w, add(column(this.c2w, 3), shift));
  }

  /** Stand where a camera stands. @param {Pose} c2w @param {number} distance of the pivot @param {number} [fovDeg] */
  lookFrom(c2w, distance, fovDeg) {
    this.c2w = [...c2w];
    this.distance = Math.max(distance, 0.05 * this.unit);
    if (fovDeg !== undefined) this.fovDeg = fovDeg;
  }

  /** Keep the direction and step back until a ball fits. @param {number[]} center @param {number} radius */
  frame(center, radius) {
    const forward = column(this.c2w, 2);
    this.distance = Math.max((1.15 * radius) / Math.tan((Math.min(this.fovDeg, 90) * Math.PI) / 360), 0.05 * this.unit);
    this.c2w = withPlace(this.c2w, subtract(center, scale(forward, this.distance)));
  }

  /** Look at the pivot from a direction. @param {number[]} direction from the pivot to the eye */
  lookAlong(direction) {
    const pivot = this.pivot;
    this.c2w = lookAt(add(pivot, scale(normalize(direction), this.distance)), pivot);
  }

  /** Turn upright again, about the view axis. */
  level() {
    this.c2w = lookAt(column(this.c2w, 3), this.pivot);
  }

  save() {
    return { c2w: [...this.c2w], distance: this.distance, fovDeg: this.fovDeg, unit: this.unit };
  }

  /** @param {{ c2w: Pose, distance: number, fovDeg: number, unit: number }} saved */
  restore(saved) {
    Object.assign(this, saved, { c2w: [...saved.c2w] });
  }
}

/**
 * @typedef {object} Drag what a press on something else than empty space starts
 * @property {(x: number, y: number, event: PointerEvent) => void} move
 * @property {(event: PointerEvent, cancelled: boolean) => void} [end]
 *
 * Pointer control of a view. Positions are the element's own pixels whatever the graph's zoom.
 * @param {HTMLElement} element
 * @param {OrbitView} orbit
 * @param {object} options
 * @param {() => number} options.focal pixels
 * @param {(kind: string) => void} options.onChange after a move: "orbit", "pan", "dolly", "look"
 * @param {(x: number, y: number, event: PointerEvent) => Drag | null | undefined} [options.onPress]
 * @param {(x: number, y: number, event: PointerEvent) => void} [options.onHover]
 * @param {(x: number, y: number, event: PointerEvent) => void} [options.onClick] press and release in one place
 * @param {() => boolean} [options.isFixed] the view does not move now
 */
export function attachOrbitControls(element, orbit, options) {
  const drags = new Map();
  const place = (event) => {
    const box = element.getBoundingClientRect();
    const grow = box.width > 0 ? element.clientWidth / box.width : 1;
    return [(event.clientX - box.left) * grow, (event.clientY - box.top) * grow];
  };
  const moveView = (kind, dx, dy) => {
    if (options.isFixed?.()) return;
    if (kind === "pan") orbit.pan(dx, dy, options.focal());
    else if (kind === "look") orbit.look(dx, dy, options.focal());
    else orbit.orbit(dx, dy);
    options.onChange(kind);
  };
  element.addEventListener("pointerdown", (event) => {
    if (drags.size) return;
    const [x, y] = place(event);
    const isPlain = event.button === 0 && !event.altKey;
    const drag = isPlain ? options.onPress?.(x, y, event) : null;
    const isPan = event.button === 1 || event.button === 2 || event.shiftKey;
    const kind = event.ctrlKey || event.metaKey ? "look" : isPan ? "pan" : "orbit";
    drags.set(event.pointerId, { drag, kind, x, y, startX: x, startY: y, moved: false });
    element.setPointerCapture(event.pointerId);
    event.stopPropagation();
  });
  element.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const held = drags.get(event.pointerId);
    if (!held) return options.onHover?.(x, y, event);
    event.stopPropagation();
    if (Math.hypot(x - held.startX, y - held.startY) > 3) held.moved = true;
    if (!held.moved) return;
    if (held.drag) held.drag.move(x, y, event);
    else moveView(held.kind, x - held.x, y - held.y);
    [held.x, held.y] = [x, y];
  });
  const end = (event) => {
    const held = drags.get(event.pointerId);
    if (!held) return;
    drags.delete(event.pointerId);
    event.stopPropagation();
    const isCancelled = event.type !== "pointerup";
    if (held.drag) held.drag.end?.(event, isCancelled || !held.moved);
    if (!held.moved && !isCancelled && event.button === 0) {
      const [x, y] = place(event);
      options.onClick?.(x, y, event);
    }
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("lostpointercapture", end);
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      event.stopPropagation();
      if (options.isFixed?.()) return;
      orbit.dolly(Math.exp(Math.max(-1, Math.min(1, event.deltaY * 0.0015))));
      options.onChange("dolly");
    },
    { passive: false },
  );
  for (const kind of ["contextmenu", "dblclick", "auxclick"])
    element.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
}
