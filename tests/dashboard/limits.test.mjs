//! What is said of limits: shares that hold until they are renewed, and the reasons of a preview in both languages.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { reports } from "../../public/js/answers.js";
import { read as reasonOf } from "../../public/js/components/reasons.js";
import { held } from "../../public/js/held.js";

const at = (minute) => new Date(Date.UTC(2026, 10, 25, 6, minute)).toISOString();
const TIMES = [0, 5, 10, 15, 20].map(at);

test("a share holds until the next one is said, or until its limit is renewed", () => {
  const never = [null, null, null, null, null];
  assert.deepEqual(held([null, 0.3, null, null, 0.5], never, TIMES), [null, 0.3, 0.3, 0.3, 0.5]);
  assert.deepEqual(held([0.9, null, null, null, 0.1], [at(10), null, null, null, null], TIMES), [0.9, 0.9, 0, 0, 0.1]);
  // A report later than the renewal that an earlier one spoke of has a renewal of its own.
  assert.deepEqual(held([0.9, null, 0.2, null, null], [at(8), null, at(18), null, null], TIMES), [0.9, 0.9, 0.2, 0.2, 0]);
  assert.deepEqual(held([1.02], [null], TIMES), [1.02]);
  assert.deepEqual(held([], [], []), []);
});

test("the history of limits is read as it is said; a gap stays a gap", () => {
  const answer = { step_seconds: 300, times: TIMES, series: [{ name: "5h", family: null, values: [0.3, null], resets_at: [at(9), null] }] };
  assert.deepEqual(reports(answer), { stepSeconds: 300, times: TIMES, series: [{ name: "5h", family: null, values: [0.3, null], resets: [at(9), null] }] });
  assert.deepEqual(reports({ step_seconds: 300 }), { stepSeconds: 300, times: [], series: [] });
});

test("reasons are recognized with their figures; one that is new stays as it is", () => {
  assert.deepEqual(reasonOf("it is cooling down until 2026-11-25T06:05:00Z"), { key: "reason.cooling", values: ["2026-11-25T06:05:00Z"] });
  assert.deepEqual(reasonOf("tier 2, 45 % left of its tightest limit"), { key: "reason.headroom", values: ["2", "45"] });
  assert.deepEqual(reasonOf("it is out of credit"), { key: "reason.credit", values: [] });
  assert.equal(reasonOf("it is on holiday"), null);
});

test("every reason that the server can give has words in both languages", () => {
  const source = readFileSync(new URL("../../lib/src/routes/routing.rs", import.meta.url), "utf8");
  const code = source.split("#[cfg(test)]")[0];
  const place = code.indexOf("fn figure(");
  const sentences = [...code.slice(place).matchAll(/"((?:it|its|another|weight|added|in turn|a limit|no limit|\{\} in flight|\{:\.0\} %)[^"]*)"/g)].map(([, text]) => text);
  assert.ok(sentences.length >= 15, sentences.join("\n"));
  for (const text of sentences) {
    const filled = text.replace(/\{(until|at):\.0\}/g, "2026-11-25T06:05:00Z").replace(/\{[^}]*\}/g, "7");
    assert.ok(reasonOf(filled) ?? reasonOf(`tier 1, ${filled}`), text);
  }
});
