/**
 * The trajectory of a path: one camera per frame, in pixels, as Sample Camera Path makes it.
 *
 * @typedef {{ c2w: number[], fx: number, fy: number, cx: number, cy: number, width: number, height: number }} Camera
 *   camera-to-world row-major, OpenCV axes; intrinsics in pixels of width × height, columns span [0, width]
 */

import { EASING, makeSampler } from "./path_spline.js";

/** As Python rounds: halves to the even number. @param {number} value */
function roundHalfEven(value) {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}

/**
 * The largest central window of a picture with another one's proportions.
 * @param {number} width @param {number} height @param {number} wantedWidth @param {number} wantedHeight
 */
export function centralWindow(width, height, wantedWidth, wantedHeight) {
  const grow = Math.max(wantedHeight / height, wantedWidth / width);
  const windowWidth = Math.min(width, roundHalfEven(wantedWidth / grow));
  const windowHeight = Math.min(height, roundHalfEven(wantedHeight / grow));
  return {
    width: windowWidth,
    height: windowHeight,
    left: Math.floor((width - windowWidth) / 2),
    top: Math.floor((height - windowHeight) / 2),
  };
}

/**
 * The camera of one moment, for pictures of a given size.
 * @param {import("./path_model.js").CameraPath} path
 * @param {import("./path_spline.js").Sample} sample
 * @param {number} [width] pixels, the path's by default
 * @param {number} [height]
 * @returns {Camera}
 */
export function cameraOf(path, sample, width = path.width, height = path.height) {
  const focal = path.width / (2 * Math.tan((sample.fov_deg * Math.PI) / 360));
  const window = centralWindow(path.width, path.height, width, height);
  const [growX, growY] = [width / window.width, height / window.height];
  return {
    c2w: sample.c2w,
    fx: focal * growX,
    fy: focal * growY,
    cx: (path.width / 2 - window.left) * growX,
    cy: (path.height / 2 - window.top) * growY,
    width,
    height,
  };
}

/**
 * Cameras of all frames; the first is the first waypoint, the last the last one.
 * @param {import("./path_model.js").CameraPath} path
 * @param {number} frames
 * @param {object} [options]
 * @param {string} [options.easing] of the whole clip, on top of the waypoints' own
 * @param {number} [options.width] pixels
 * @param {number} [options.height]
 * @returns {Camera[]}
 */
export function samplePath(path, frames, { easing = "linear", width, height } = {}) {
  const sampler = makeSampler(path);
  return Array.from({ length: frames }, (_, frame) =>
    cameraOf(path, sampler(EASING[easing](frames === 1 ? 0 : frame / (frames - 1))), width, height),
  );
}
