/** Selections against the golden file that Python writes, and the viewer's text. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { boxAround, paintMask, Selector } from "../src/viewer/selecting.js";
import { emptyState, parseState, StateProblem, stringifyState } from "../src/viewer/view_state.js";

const golden = JSON.parse(readFileSync(new URL("../../tests/data/selection_golden.json", import.meta.url), "utf8"));
const cloud = { count: golden.xyz.length, xyz: new Float32Array(golden.xyz.flat()), clip: new Uint16Array(golden.clip) };
const VIEW = { position: [0, 0, 0], wxyz: [1, 0, 0, 0], fov_deg: 60, aspect: 2 };
const BOX = { kind: "box", mode: "add", centre: [0, 0, 0], size: [1, 1, 1], wxyz: [1, 0, 0, 0] };

for (const { name, parts, selected } of golden.cases)
  test(`${name}: the points that Python selects`, () => {
    const marks = new Selector(cloud).select(parts);
    assert.deepEqual([...marks.keys()].filter((i) => marks[i]), selected);
  });

test("a stroke is a bar with round ends, of the pixels whose centre it covers", () => {
  const { mask, width } = paintMask({ kind: "brush", view: VIEW, points: [[0.25, 0.5], [0.75, 0.5]], radius: 0.2 }, 10);
  assert.equal(width, 20);
  assert.equal(mask.reduce((a, b) => a + b), 52);
  assert.equal(mask[3 * 20 + 5], 1);
  assert.equal(mask[2 * 20 + 10], 0);
});

test("a dragged rectangle becomes a box around what is seen in it", () => {
  const around = boxAround(cloud, { ...VIEW, fov_deg: 80, aspect: 1.5 }, [0.45, 0.4], [0.65, 0.65], [1], 0.01);
  assert.ok(Math.abs(around.centre[0] - 0.3) < 0.3 && around.centre[2] > 2 && around.centre[2] < 3.2);
  assert.equal(boxAround(cloud, VIEW, [0, 0], [0.01, 0.01], undefined, 0.01), null);
});

test("a state comes back, and a new one is an empty text", () => {
  const camera = { position: [1, 2, 3], wxyz: [1, 0, 0, 0], fov_deg: 50 };
  const state = { camera, selection: [BOX], recorded: [camera], unknown: { later: 1 } };
  assert.deepEqual(parseState(stringifyState(state)), state);
  assert.equal(stringifyState(emptyState()), "");
  assert.deepEqual(parseState("  "), emptyState());
});

test("texts that the node would refuse are refused with part and field", () => {
  const refused = (content, reason, details) => {
    const text = typeof content === "string" ? content : JSON.stringify({ version: 1, ...content });
    assert.throws(() => parseState(text), (error) => {
      assert.ok(error instanceof StateProblem);
      assert.equal(error.reason, reason);
      for (const [key, value] of Object.entries(details)) assert.equal(error.details[key], value);
      return true;
    });
  };
  refused("{", "not_json", {});
  refused("[]", "not_a_state", {});
  refused('{"version": 2}', "other_version", { version: "2" });
  refused({ selection: 3 }, "bad_setting", { field: "selection" });
  refused({ selection: [BOX, { ...BOX, size: [1, 0, 1] }] }, "bad_part", { number: 2, field: "size" });
  refused({ selection: [{ ...BOX, wxyz: [0, 0, 0, 0] }] }, "bad_part", { field: "wxyz" });
  refused({ selection: [{ kind: "brush", view: VIEW, points: [], radius: 1 }] }, "bad_part", { field: "points" });
  refused({ selection: [{ kind: "outline", view: VIEW, points: [[0, 0], [1, 1]] }] }, "bad_part", { field: "points" });
  refused({ selection: [{ kind: "ball" }] }, "bad_part", { field: "kind" });
  refused({ camera: { position: [0, 0, null] } }, "bad_setting", { field: "camera" });
  refused({ recorded: [{ position: [0, 0, 0], fov_deg: 180 }] }, "bad_setting", { field: "recorded 1" });
});
