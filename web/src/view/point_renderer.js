/**
 * Points and thin lines in WebGL 2: one context for the whole page, whose picture is copied into each view's own
 * 2D canvas. Browsers drop the oldest context beyond 16, and a graph may hold any number of views.
 *
 * @typedef {import("./cloud_store.js").Cloud} Cloud
 * @typedef {object} Picture what to draw
 * @property {Cloud | null} cloud
 * @property {import("../path/sampling.js").Camera} camera its width × height is what the picture spans
 * @property {number} pixelWidth of the picture
 * @property {number} pixelHeight
 * @property {number} near scene units
 * @property {number} far
 * @property {number} [mostPoints] draw the first so many: files hold points in random order
 * @property {number} pointPixels diameter at any depth
 * @property {number} [pointWorld] diameter in scene units, added
 * @property {"colour" | "confidence" | "clip" | "height"} [mode]
 * @property {Set<number>} [hiddenClips] numbers below 256
 * @property {number} [minConfidence]
 * @property {[number, number]} [heights] world y of the lowest and the highest colour
 * @property {number[]} [background] rgba 0..1, not premultiplied
 * @property {{ points: Float32Array, rgba: number[] }[]} [lines] pairs of world points
 */

import { clipMatrix } from "./projection.js";

// Clouds in graphics memory: 12 of 300,000 points take 54 MB. One that is drawn again is sent again.
const MOST_UPLOADED = 12;
const MODES = ["colour", "confidence", "clip", "height"];
const POINT_VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec3 a_position;
layout(location=1) in vec3 a_colour;
layout(location=2) in float a_confidence;
layout(location=3) in float a_clip;
layout(location=4) in float a_mark;
uniform mat4 u_clip_matrix;
uniform vec2 u_size;
uniform int u_mode;
uniform float u_min_confidence;
uniform vec2 u_heights;
uniform uint u_hidden[8];
out vec3 v_colour;
vec3 ramp(float t) {
  t = clamp(t, 0.0, 1.0);
  vec3 low = mix(vec3(0.27, 0.05, 0.36), vec3(0.17, 0.44, 0.56), t * 2.0);
  return t < 0.5 ? low : mix(vec3(0.17, 0.44, 0.56), vec3(0.99, 0.91, 0.15), t * 2.0 - 1.0);
}
vec3 wheel(float n) {
  vec3 hue = abs(fract(n * 0.61803 + vec3(0.58, 0.58 + 0.6667, 0.58 + 0.3333)) * 6.0 - 3.0) - 1.0;
  return mix(vec3(1.0), clamp(hue, 0.0, 1.0), 0.62) * 0.95;
}
void main() {
  int clip = int(a_clip + 0.5);
  bool hidden = clip < 256 && (u_hidden[clip >> 5] & (1u << uint(clip & 31))) != 0u;
  if (hidden || a_confidence < u_min_confidence) { gl_Position = vec4(0.0, 0.0, 2.0, 1.0); gl_PointSize = 0.0; return; }
  gl_Position = u_clip_matrix * vec4(a_position, 1.0);
  gl_PointSize = clamp(u_size.x + u_size.y / max(gl_Position.w, 1e-6), 1.0, 48.0);
  v_colour = u_mode == 1 ? ramp(a_confidence) : u_mode == 2 ? wheel(a_clip) * (0.55 + 0.6 * dot(a_colour, vec3(0.3, 0.6, 0.1))) :
    u_mode == 3 ? ramp((a_position.y - u_heights.x) / (u_heights.y - u_heights.x)) : a_colour;
  v_colour = mix(v_colour, vec3(1.0, 0.55, 0.1), 0.75 * a_mark);
}`;
const POINT_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 v_colour;
out vec4 colour;
void main() {
  vec2 d = gl_PointCoord - 0.5;
  if (dot(d, d) > 0.26) discard;
  colour = vec4(v_colour, 1.0);
}`;
const LINE_VERTEX = `#version 300 es
layout(location=0) in vec3 a_position;
uniform mat4 u_clip_matrix;
void main() { gl_Position = u_clip_matrix * vec4(a_position, 1.0); }`;
const LINE_FRAGMENT = `#version 300 es
precision mediump float;
uniform vec4 u_rgba;
out vec4 colour;
void main() { colour = vec4(u_rgba.rgb * u_rgba.a, u_rgba.a); }`;

export class PointRenderer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = 16;
    this.listeners = new Set();
    /** Why nothing can be drawn, or "": "webgl_missing", "webgl_lost". */
    this.problem = "";
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // else it is never given back
      this.problem = "webgl_lost";
      this.#tell();
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.#setUp();
      this.#tell();
    });
    this.gl = this.canvas.getContext("webgl2", { alpha: true, antialias: true, premultipliedAlpha: true });
    this.#setUp();
  }

  #setUp() {
    /** @type {Map<Cloud, { array: WebGLVertexArrayObject, marks: WebGLBuffer, version: number, buffers: WebGLBuffer[] }>} */
    this.uploaded = new Map();
    this.problem = this.gl ? "" : "webgl_missing";
    const gl = this.gl;
    if (!gl || gl.isContextLost()) return;
    this.points = makeProgram(gl, POINT_VERTEX, POINT_FRAGMENT);
    this.lines = makeProgram(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.lineBuffer = gl.createBuffer();
    this.lineArray = gl.createVertexArray();
    gl.bindVertexArray(this.lineArray);
    attribute(gl, 0, this.lineBuffer, 3, gl.FLOAT, false);
    // For clouds without the attribute: trusted, first clip, not marked.
    [1, 0, 0].forEach((value, i) => gl.vertexAttrib1f(2 + i, value));
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** Call `listener` when drawing becomes possible or impossible. @param {() => void} listener */
  watch(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  #tell() {
    for (const listener of [...this.listeners]) listener();
  }

  /**
   * Draw, and give the canvas whose lower left corner holds the picture until the next call.
   * @param {Picture} picture
   * @returns {{ canvas: HTMLCanvasElement, x: number, y: number } | null} upper left corner; null when WebGL is away
   */
  draw(picture) {
    const gl = this.gl;
    if (!gl || gl.isContextLost()) {
      this.problem ||= "webgl_lost";
      return null;
    }
    const { pixelWidth, pixelHeight } = picture;
    // Grown only: a new size throws the drawing buffer away.
    if (this.canvas.width < pixelWidth) this.canvas.width = pixelWidth;
    if (this.canvas.height < pixelHeight) this.canvas.height = pixelHeight;
    gl.viewport(0, 0, pixelWidth, pixelHeight);
    gl.scissor(0, 0, pixelWidth, pixelHeight);
    gl.enable(gl.SCISSOR_TEST);
    const [red, green, blue, alpha] = picture.background ?? [0, 0, 0, 0];
    gl.clearColor(red * alpha, green * alpha, blue * alpha, alpha);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const matrix = clipMatrix(picture.camera, picture.near, picture.far);
    if (picture.cloud?.count) this.#drawCloud(gl, picture, matrix);
    if (picture.lines?.length) this.#drawLines(gl, picture.lines, matrix);
    return { canvas: this.canvas, x: 0, y: this.canvas.height - pixelHeight };
  }

  #drawCloud(gl, picture, matrix) {
    const { cloud, camera } = picture;
    const program = this.points;
    gl.useProgram(program.program);
    gl.bindVertexArray(this.#upload(gl, cloud).array);
    gl.uniformMatrix4fv(program.at("u_clip_matrix"), false, matrix);
    const grow = picture.pixelWidth / camera.width;
    gl.uniform2f(program.at("u_size"), picture.pointPixels, (picture.pointWorld ?? 0) * camera.fx * grow);
    gl.uniform1i(program.at("u_mode"), MODES.indexOf(picture.mode ?? "colour"));
    gl.uniform1f(program.at("u_min_confidence"), picture.minConfidence ?? -1);
    const [low, high] = picture.heights ?? [cloud.bounds.high[1], cloud.bounds.low[1]];
    gl.uniform2f(program.at("u_heights"), low, low === high ? low + 1 : high);
    const hidden = new Uint32Array(8);
    for (const clip of picture.hiddenClips ?? []) if (clip < 256) hidden[clip >> 5] |= 1 << (clip & 31);
    gl.uniform1uiv(program.at("u_hidden"), hidden);
    gl.disable(gl.BLEND);
    gl.drawArrays(gl.POINTS, 0, Math.min(cloud.count, picture.mostPoints ?? Infinity));
  }

  #drawLines(gl, lines, matrix) {
    gl.useProgram(this.lines.program);
    gl.uniformMatrix4fv(this.lines.at("u_clip_matrix"), false, matrix);
    gl.bindVertexArray(this.lineArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.lineBuffer);
    gl.enable(gl.BLEND);
    for (const { points, rgba } of lines) {
      gl.bufferData(gl.ARRAY_BUFFER, points, gl.STREAM_DRAW);
      gl.uniform4fv(this.lines.at("u_rgba"), rgba);
      gl.drawArrays(gl.LINES, 0, points.length / 3);
    }
  }

  #upload(gl, cloud) {
    let found = this.uploaded.get(cloud);
    if (!found) {
      const array = gl.createVertexArray();
      gl.bindVertexArray(array);
      const buffers = [cloud.xyz, cloud.rgb].map((data) => makeBuffer(gl, data));
      attribute(gl, 0, buffers[0], 3, gl.FLOAT, false);
      attribute(gl, 1, buffers[1], 3, gl.UNSIGNED_BYTE, true);
      const optional = [[2, cloud.confidence, gl.FLOAT], [3, cloud.clip, gl.UNSIGNED_SHORT]];
      for (const [location, data, type] of optional)
        if (data) attribute(gl, location, buffers[buffers.push(makeBuffer(gl, data)) - 1], 1, type, false);
      found = { array, buffers, marks: null, version: -1 };
      this.uploaded.set(cloud, found);
      if (this.uploaded.size > MOST_UPLOADED) this.release(this.uploaded.keys().next().value);
    }
    if (cloud.marks && found.version !== cloud.marksVersion) {
      gl.bindVertexArray(found.array);
      if (!found.marks) found.buffers.push((found.marks = gl.createBuffer()));
      gl.bindBuffer(gl.ARRAY_BUFFER, found.marks);
      gl.bufferData(gl.ARRAY_BUFFER, cloud.marks, gl.DYNAMIC_DRAW);
      attribute(gl, 4, found.marks, 1, gl.UNSIGNED_BYTE, true);
      found.version = cloud.marksVersion;
    }
    return found;
  }

  /** Give the graphics memory of a cloud back; drawn again, it is sent again. @param {Cloud} cloud */
  release(cloud) {
    const found = this.uploaded.get(cloud);
    if (!found || !this.gl) return;
    this.uploaded.delete(cloud);
    for (const buffer of found.buffers) this.gl.deleteBuffer(buffer);
    this.gl.deleteVertexArray(found.array);
  }
}

/** @param {WebGL2RenderingContext} gl @param {string} vertex @param {string} fragment */
function makeProgram(gl, vertex, fragment) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(/** @type {number} */ (type));
    gl.shaderSource(shader, /** @type {string} */ (source));
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
    throw new Error(`WebGL program: ${gl.getProgramInfoLog(program)}`);
  const places = new Map();
  const at = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(program, name));
    return places.get(name);
  };
  return { program, at };
}

function makeBuffer(gl, data) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  return buffer;
}

function attribute(gl, location, buffer, size, type, isNormalized) {
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.enableVertexAttribArray(location);
  gl.vertexAttribPointer(location, size, type, isNormalized, 0, 0);
}

/** @type {PointRenderer | null} */
let shared = null;

/** The page's one renderer, made when it is first needed. */
export const sharedRenderer = () => (shared ??= new PointRenderer());
