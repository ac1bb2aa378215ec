/**
 * Point clouds for display: the binary file that a run leaves in the temp folder (WSPC, version 1).
 *
 * Little endian: b"WSPC", uint32 version, uint32 count, uint32 flags; float32 xyz per point, uint8 rgb per point,
 * then with flag 1 float32 confidence and with flag 2 uint16 clip number per point.
 *
 * @typedef {object} Cloud
 * @property {number} count
 * @property {Float32Array} xyz world coordinates, OpenCV axes
 * @property {Uint8Array} rgb
 * @property {Float32Array | null} confidence 0..1
 * @property {Uint16Array | null} clip
 * @property {Uint8Array | null} marks 255 = drawn as marked; change `marksVersion` with it
 * @property {number} marksVersion
 * @property {number} dropped points with non-finite coordinates that were left out
 * @property {{ low: number[], high: number[], center: number[], radius: number }} bounds of all but the outermost points
 */

export const HEADER_BYTES = 16;
const MAGIC = 0x43505357; // "WSPC" read as a little-endian number
const VERSION = 1;
const KEPT = 4;
const HAS_CONFIDENCE = 1;
const HAS_CLIP = 2;

/** A file that is no cloud of this version; `reason` names a message, `details` fill it. */
export class CloudProblem extends Error {
  /** @param {string} reason @param {Record<string, string | number>} [details] */
  constructor(reason, details = {}) {
    super(`${reason} ${JSON.stringify(details)}`);
    this.reason = reason;
    this.details = details;
  }
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Cloud}
 * @throws {CloudProblem}
 */
export function parseCloud(buffer) {
  if (buffer.byteLength < HEADER_BYTES) throw new CloudProblem("cloud_truncated", { got: buffer.byteLength, expected: HEADER_BYTES });
  const header = new DataView(buffer);
  if (header.getUint32(0, true) !== MAGIC) throw new CloudProblem("cloud_other_file");
  const version = header.getUint32(4, true);
  if (version !== VERSION) throw new CloudProblem("cloud_other_version", { version });
  const count = header.getUint32(8, true);
  const flags = header.getUint32(12, true);
  const perPoint = 15 + (flags & HAS_CONFIDENCE ? 4 : 0) + (flags & HAS_CLIP ? 2 : 0);
  const expected = HEADER_BYTES + count * perPoint;
  if (buffer.byteLength !== expected) throw new CloudProblem("cloud_truncated", { got: buffer.byteLength, expected });
  let offset = HEADER_BYTES;
  const xyz = new Float32Array(buffer, offset, 3 * count);
  offset += 12 * count;
  const rgb = new Uint8Array(buffer, offset, 3 * count);
  offset += 3 * count;
  // Sliced: typed arrays must begin at a multiple of their item's size.
  const confidence = flags & HAS_CONFIDENCE ? new Float32Array(buffer.slice(offset, (offset += 4 * count))) : null;
  const clip = flags & HAS_CLIP ? new Uint16Array(buffer.slice(offset, offset + 2 * count)) : null;
  return withoutBadPoints({ count, xyz, rgb, confidence, clip, marks: null, marksVersion: 0 });
}

function withoutBadPoints(cloud) {
  const kept = [];
  let isWhole = true;
  for (let i = 0; i < cloud.count; i++) {
    const isGood = Number.isFinite(cloud.xyz[3 * i] + cloud.xyz[3 * i + 1] + cloud.xyz[3 * i + 2]);
    if (isGood && !isWhole) kept.push(i);
    else if (!isGood && isWhole) {
      isWhole = false;
      for (let k = 0; k < i; k++) kept.push(k);
    }
  }
  if (isWhole) return { ...cloud, dropped: 0, bounds: boundsOf(cloud.xyz) };
  const take = (array, size) => {
    const taken = new array.constructor(kept.length * size);
    kept.forEach((from, to) => {
      for (let k = 0; k < size; k++) taken[size * to + k] = array[size * from + k];
    });
    return taken;
  };
  const xyz = take(cloud.xyz, 3);
  return {
    ...cloud,
    count: kept.length,
    xyz,
    rgb: take(cloud.rgb, 3),
    confidence: cloud.confidence && take(cloud.confidence, 1),
    clip: cloud.clip && take(cloud.clip, 1),
    dropped: cloud.count - kept.length,
    bounds: boundsOf(xyz),
  };
}

/** Box, middle and radius of the cloud without its outermost points: skies lie far off. @param {Float32Array} xyz */
export function boundsOf(xyz) {
  const count = xyz.length / 3;
  if (count === 0) return { low: [-1, -1, -1], high: [1, 1, 1], center: [0, 0, 0], radius: 1 };
  const step = Math.max(1, Math.floor(count / 5000));
  const sorted = [0, 1, 2].map((axis) => {
    const values = [];
    for (let i = 0; i < count; i += step) values.push(xyz[3 * i + axis]);
    return values.sort((a, b) => a - b);
  });
  const at = (share) => sorted.map((values) => values[Math.round(share * (values.length - 1))]);
  const [low, high] = [at(0.02), at(0.98)];
  const center = low.map((value, i) => (value + high[i]) / 2);
  const radius = Math.max(Math.hypot(...high.map((value, i) => value - low[i])) / 2, 1e-3);
  return { low, high, center, radius };
}

/** Fetches clouds and keeps the last few: undo builds every editor anew. */
export class CloudStore {
  constructor(fetchFile = (url) => fetch(url)) {
    this.fetchFile = fetchFile;
    /** @type {Map<string, Promise<Cloud>>} */
    this.clouds = new Map();
  }

  /**
   * @param {string} url
   * @returns {Promise<Cloud>} rejects with a CloudProblem
   */
  load(url) {
    const found = this.clouds.get(url) ?? this.#fetch(url);
    this.clouds.delete(url);
    this.clouds.set(url, found);
    while (this.clouds.size > KEPT) this.clouds.delete(/** @type {string} */ (this.clouds.keys().next().value));
    return found;
  }

  #fetch(url) {
    const loading = this.#read(url);
    // A missing file may be there after the next run.
    loading.catch(() => this.clouds.delete(url));
    return loading;
  }

  async #read(url) {
    let answer;
    try {
      answer = await this.fetchFile(url);
    } catch (error) {
      throw new CloudProblem("cloud_unreachable", { error: String(error) });
    }
    if (!answer.ok) throw new CloudProblem("cloud_missing", { status: answer.status });
    return parseCloud(await answer.arrayBuffer());
  }
}

export const sharedClouds = new CloudStore();
