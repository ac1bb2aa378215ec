import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { EDITOR_STRINGS } from "../src/editor/strings.js";
import { makeTranslator } from "../src/ui/strings.js";

const gaps = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort().join();

test("every language says everything, with the same gaps to fill", () => {
  for (const [language, table] of Object.entries(EDITOR_STRINGS))
    for (const [key, text] of Object.entries(EDITOR_STRINGS.en)) {
      assert.ok(table[key], `${language} lacks ${key}`);
      assert.equal(gaps(table[key]), gaps(text), `${language}: ${key}`);
    }
});

test("no text is asked for that is not there", () => {
  const folder = new URL("../src/editor/", import.meta.url);
  for (const file of readdirSync(folder).filter((name) => !name.startsWith("strings")))
    for (const [, key] of readFileSync(new URL(file, folder), "utf-8").matchAll(/\bt\("(\w+)"/g))
      assert.ok(EDITOR_STRINGS.en[key], `${file}: ${key}`);
});

test("a locale falls back to its language, then to English", () => {
  const tables = { en: { a: "one {n}", b: "two" }, zh: { a: "一 {n}" } };
  assert.equal(makeTranslator("zh-TW", tables)("a", { n: 3 }), "一 3");
  assert.equal(makeTranslator("zh", tables)("b"), "two");
  assert.equal(makeTranslator("fr", tables)("a", { n: 0 }), "one 0");
});
