//! The benchmarks hold together: each is run whole, for moments and on debug programs, with every event and every ledger row checked.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";

import { judge } from "../../scripts/bench/guard.mjs";
import { root } from "../../scripts/command.mjs";
import { targetDir } from "../../scripts/local.mjs";
import { complete, debugPrograms } from "./support/programs.mjs";

before(debugPrograms);

async function run(script, args) {
  const command = [script, "--quick", "--ms", "100", "--binaries", join(targetDir(), "debug"), ...args];
  const { code, stdout, stderr } = await complete(process.execPath, command, { cwd: root, env: process.env, within: 800_000 });
  assert.equal(code, 0, stdout + stderr);
  return stdout;
}

test("a quick benchmark compares the gateway and the function with nginx, and accounts for every request", async () => {
  const said = await run("scripts/bench.mjs", []);
  assert.match(said, /All [\d,]+ requests are in the ledger, each once/);
  assert.match(said, /## Goals: \d+ of \d+ met/);
  for (const [heading, row] of [
    ["Goals", "requests/s at 64 connections, of nginx's"],
    ["Beside a direct call and nginx", "50 streams/s of 100 events, 5 ms apart: gap between events, p50 µs"],
    ["As a function", "exec to the first byte of a refusal, nobody asked, ms"],
    ["How many requests one statement carries", "200 requests/s"],
    ["Pieces", "rank 1,000 accounts, weighted"],
  ]) {
    const section = said.split(/^## /m).find((text) => text.startsWith(heading));
    const [, ...cells] = section.split("\n").find((line) => line.startsWith(`| ${row} |`)).split(" | ");
    assert.ok(cells.some((cell) => /\d/.test(cell)) && !cells.some((cell) => /NaN|undefined|Infinity/.test(cell)), cells.join(" | "));
  }
});

test("a quick benchmark of scale grows rows, keys, accounts, processes and distance", async () => {
  const said = await run("scripts/bench-scale.mjs", ["--rows", "5000"]);
  assert.doesNotMatch(said, /NaN|undefined|Infinity/);
  for (const row of [/^\| 5,000 \| 10 \| 10 \| [\d.]+ /m, /^\| 1,000 \| 100 \| 10 \| [\d.]+ /m, /^\| 1,000 \| 10 \| 20 \| [\d.]+ /m, /^\| 2 \| 1 \| [\d,]+ /m, /^\| 2 \| 2 \| [\d,]+ /m, /^\| 5 \| 16 \| [\d,]+ /m]) {
    assert.match(said, row);
  }
});

test("a count that moved by more than a tenth is an alarm in either direction, and so is one that came or went", () => {
  const recorded = { rustc: "1.95.0", arch: "x86_64-unknown-linux-gnu", counts: { a: 1_000, b: 1_000, c: 1_000, gone: 5 } };
  const counts = { a: 1_101, b: 899, c: 1_099, fresh: 7 };
  const alarms = (now) => judge(recorded, { ...recorded, ...now }).alarms.map((alarm) => alarm.match(/^"(\w+)"/)[1]);
  assert.deepEqual(alarms({ counts }), ["a", "b", "gone", "fresh"]);
  assert.deepEqual(alarms({ counts: recorded.counts }), []);
  // Another compiler may move a count further, but not as far as it likes; another processor's are another matter.
  assert.deepEqual(alarms({ rustc: "1.96.0", counts: { ...recorded.counts, a: 1_290, b: 710 } }), []);
  assert.deepEqual(alarms({ rustc: "1.96.0", counts: { ...recorded.counts, a: 1_310, b: 690 } }), ["a", "b"]);
  assert.deepEqual(alarms({ arch: "aarch64-unknown-linux-gnu", counts: { ...recorded.counts, a: 5_000 } }), []);
  assert.match(judge(recorded, { ...recorded, arch: "aarch64-unknown-linux-gnu" }).note, /x86_64.*aarch64/);
});
