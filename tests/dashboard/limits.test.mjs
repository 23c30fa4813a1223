//! What is said of limits: shares that hold until they are renewed, and the reasons of a preview in both languages.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { reports } from "../../public/js/answers.js";
import { read as reasonOf } from "../../public/js/components/reasons.js";
import { held, nearlyUsed } from "../../public/js/held.js";

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

test("the reasons of an account's state are those that the server gives", () => {
  const files = ["pool/health", "relay/attempt", "relay/flow", "relay/refresh", "upstream/oauth"];
  const code = files.map((file) => readFileSync(new URL(`../../lib/src/${file}.rs`, import.meta.url), "utf8")).join("\n");
  for (const [sentence, key, values] of [
    ["on probation, a request is testing it; before that: ", "testing", [""]],
    ["on probation, the next request tests it; before that: ", "untested", [""]],
    ["no answer in time", "late", []],
    ["the upstream broke off its answer", "broke_off", []],
    ["the upstream ended its answer early", "ended_early", []],
    ["the upstream fell silent", "silent", []],
    ["the stored credential cannot be opened with this gateway's keys", "sealed", []],
    ["log in again: the access token is refused", "access_refused", []],
    ["log in again: an earlier refresh was cut off", "refresh_cut", []],
    ["the token endpoint did not answer in time", "token_late", []],
    ["the token endpoint cannot be reached", "token_unreachable", []],
    ["the token endpoint gave no answer", "token_silent", []],
    ["the token endpoint's answer broke off", "token_broke_off", []],
  ]) {
    assert.ok(code.includes(sentence), `nobody says: ${sentence}`);
    assert.deepEqual(reasonOf(sentence), { key: `reason.${key}`, values });
  }
  assert.ok(code.includes("log in again: the refresh token is refused ({reason})"));
  assert.deepEqual(reasonOf("log in again: the refresh token is refused (invalid_grant)"), { key: "reason.refresh_refused", values: ["invalid_grant"] });
  assert.equal(reasonOf("529: Overloaded"), null);
});

test("a budget is worth a word once more than four fifths of it are used", () => {
  const limit = (name, used) => ({ limit: name, used, value: 10 });
  const limits = [
    limit("cost_per_day_usd", 8.1), limit("cost_per_week_usd", 8), limit("windows[0].tokens", 9), limit("requests_per_minute", 10),
    limit("max_in_flight", 10), limit("requests_per_day", null),
  ];
  assert.deepEqual(nearlyUsed(limits).map(({ limit: name }) => name), ["cost_per_day_usd", "windows[0].tokens"]);
});
