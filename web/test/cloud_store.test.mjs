import assert from "node:assert/strict";
import { test } from "node:test";

import { boundsOf, CloudProblem, CloudStore, parseCloud } from "../src/view/cloud_store.js";

/** A file as worldstereo_core/formats/display_cloud.py writes it. */
function file({ points = [[1, 2, 3], [4, 5, 6], [7, 8, 9]], flags = 0, version = 1, magic = "WSPC", count = points.length } = {}) {
  const bytes = 16 + points.length * (15 + (flags & 1 ? 4 : 0) + (flags & 2 ? 2 : 0));
  const view = new DataView(new ArrayBuffer(bytes));
  [...magic].forEach((letter, i) => view.setUint8(i, letter.charCodeAt(0)));
  view.setUint32(4, version, true);
  view.setUint32(8, count, true);
  view.setUint32(12, flags, true);
  let at = 16;
  for (const point of points) for (const value of point) view.setFloat32((at += 4) - 4, value, true);
  points.forEach((_, i) => [10, 20, 30].forEach((value) => view.setUint8(at++, value + i)));
  if (flags & 1) points.forEach((_, i) => view.setFloat32((at += 4) - 4, i / 4, true));
  if (flags & 2) points.forEach((_, i) => view.setUint16((at += 2) - 2, 300 + i, true));
  return view.buffer;
}
const reasonOf = (buffer) => {
  try {
    parseCloud(buffer);
  } catch (error) {
    assert.ok(error instanceof CloudProblem, String(error));
    return error.reason;
  }
  return "read";
};

test("places, colours, confidence and clips are read", () => {
  const cloud = parseCloud(file({ flags: 3 }));
  assert.equal(cloud.count, 3);
  assert.deepEqual([...cloud.xyz], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual([...cloud.rgb], [10, 20, 30, 11, 21, 31, 12, 22, 32]);
  assert.deepEqual([...cloud.confidence], [0, 0.25, 0.5]);
  assert.deepEqual([...cloud.clip], [300, 301, 302]);
  const plain = parseCloud(file());
  assert.equal(plain.confidence, null);
  assert.equal(plain.clip, null);
});

test("files that are damaged or of another kind say so", () => {
  assert.equal(reasonOf(new ArrayBuffer(0)), "cloud_truncated");
  assert.equal(reasonOf(file().slice(0, 15)), "cloud_truncated");
  assert.equal(reasonOf(file().slice(0, 60)), "cloud_truncated");
  assert.equal(reasonOf(file({ count: 4 })), "cloud_truncated");
  assert.equal(reasonOf(file({ count: 2 })), "cloud_truncated");
  assert.equal(reasonOf(file({ magic: "PNG!" })), "cloud_other_file");
  assert.equal(reasonOf(file({ version: 2 })), "cloud_other_version");
  assert.equal(reasonOf(file({ points: [] })), "read");
});

test("points without a place are left out and counted", () => {
  const cloud = parseCloud(file({ points: [[1, 2, 3], [NaN, 0, 0], [4, 5, 6], [0, Infinity, 0]], flags: 3 }));
  assert.equal(cloud.dropped, 2);
  assert.deepEqual([...cloud.xyz], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...cloud.clip], [300, 302]);
  assert.ok(cloud.bounds.center.every(Number.isFinite));
});

test("bounds leave the sky out", () => {
  const points = Array.from({ length: 300 }, (_, i) => [i % 10, (i % 7) / 7, i % 5]).concat([[1e6, 1e6, 1e6]]);
  const { high, radius } = boundsOf(new Float32Array(points.flat()));
  assert.ok(high[0] <= 9 && radius < 10);
});

test("a cloud is fetched once, the oldest are let go, and a failure is tried again", async () => {
  const asked = [];
  let isThere = true;
  const store = new CloudStore(async (url) => {
    asked.push(url);
    return { ok: isThere, status: 404, arrayBuffer: async () => file() };
  });
  assert.equal(await store.load("a"), await store.load("a"));
  for (const url of ["b", "c", "d", "e", "a"]) await store.load(url);
  assert.deepEqual(asked, ["a", "b", "c", "d", "e", "a"]);
  isThere = false;
  await assert.rejects(store.load("gone"), (error) => error.reason === "cloud_missing" && error.details.status === 404);
  isThere = true;
  assert.equal((await store.load("gone")).count, 3);
  const offline = new CloudStore(async () => {
    throw new TypeError("no network");
  });
  await assert.rejects(offline.load("x"), (error) => error.reason === "cloud_unreachable");
});
