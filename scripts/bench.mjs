//! `npm run bench`: what the gateway adds to a call, and how many it carries, beside a direct call and nginx in the same run.
//!
//! Everything shares this machine: the load generator, the fake upstream, the gateway and its PostgreSQL. So absolute
//! figures mean little elsewhere, and the ratios to nginx, taken in turn with the same load, mean most.
//! `-- --quick` takes one short round and leaves the documents as they are; `--ms N` makes its steps N milliseconds long, and
//! `--binaries DIR` takes programs that are built already.

import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { measureBatches } from "./bench/batches.mjs";
import { Books } from "./bench/books.mjs";
import { cpuMicros, pssMegabytes, sampled, watchOthers } from "./bench/machine.mjs";
import { Parts, PROGRAMS } from "./bench/parts.mjs";
import { writeScaling } from "./bench/scaling.mjs";
import { Stage } from "./bench/stage.mjs";
import { batchLoads, steps } from "./bench/steps.mjs";
import { document, tables } from "./bench/table.mjs";
import { main, Plain, reportTimed as report, root } from "./command.mjs";

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, ms: { type: "string" }, binaries: { type: "string" } },
});
const size = options.quick
  ? { rounds: 1, measure_ms: Number(options.ms ?? 1_000), starts: 2, crowd: 200, crowdRounds: 1, rest: 0 }
  : { rounds: 5, measure_ms: 2_000, starts: 9, crowd: 2_000, crowdRounds: 3, rest: 15_000 };

await main(async () => {
  if (options.ms && !options.quick) throw new Plain("--ms goes with --quick");
  if (!(size.measure_ms >= 50)) throw new Plain("--ms is a number of milliseconds, at least 50");
  const stage = await Stage.open({ binaries: options.binaries, names: PROGRAMS });
  try {
    const run = await bench(stage);
    console.log(`\n${tables(run)}`);
    report(`All ${run.books.toLocaleString("en")} requests are in the ledger, each once`);
    if (options.quick) return;
    await writeFile(join(root, "docs/benchmarks.md"), document(run));
    await writeScaling(run);
    report("Written to docs/benchmarks.md, and the figures in docs/SCALING.md");
  } finally {
    await stage.close();
  }
});

/** Everything from the first start to the last check; the answer is what the tables are made of. */
async function bench(stage) {
  const parts = new Parts(stage, { strict: !options.quick });
  report("Starting PostgreSQL, the fake upstream, nginx, the gateway and the function");
  await parts.start();
  const books = await Books.open(parts.databaseUrl);
  try {
    const others = watchOthers();
    const all = steps(size);
    const pieces = await parts.pieces();
    const batches = await measureBatches(parts, books, batchLoads(size), report);
    const startUp = await parts.timeStarts(size.starts, all.alone);
    await books.record(startUp.length, all.alone.usage);
    const coldStarts = await parts.timeColdStarts(2 * size.starts, all.alone);
    await books.record(coldStarts.answered.length, all.alone.usage);
    report("Starts are timed");
    const idle = memory(parts);
    const measured = {};
    for (const [name, step] of Object.entries(all)) {
      measured[name] = { step, rounds: await measure(parts, books, step) };
      report(`Step ${Object.keys(measured).length} of ${Object.keys(all).length} is done`);
    }
    await books.check();
    // What a load has taken is given back to the system over some seconds.
    await sleep(size.rest);
    const loaded = memory(parts);
    return {
      ...size, commit: commit(), others: others(), startUp, coldStarts, sizes: await parts.sizes(), pieces, batches, idle, loaded, measured, books: books.sent,
    };
  } finally {
    await books.close();
  }
}

/** The rounds of one step: every target in turn, another one first each time. */
async function measure(parts, books, step) {
  const { targets } = step;
  const results = [];
  for (let round = 0; round < (step.rounds ?? size.rounds); round += 1) {
    const order = targets.map((_, index) => targets[(index + round) % targets.length]);
    const result = {};
    for (const target of order) result[target] = await once(parts, books, step, target);
    results.push(result);
    report(`${step.name}, round ${round + 1}: ${targets.map((target) => `${target} ${brief(result[target])}`).join(", ")}`);
  }
  return results;
}

/** One target under one load: what the load generator saw, and what it cost. */
async function once(parts, books, step, target) {
  await parts.script(step);
  const processes = parts.processes(target);
  const before = cpuMicros(processes);
  const { result, most } = await sampled(() => parts.load(target, step), () => pssMegabytes(processes.own));
  if (processes.database.length > 0) await books.record(result.sent, step.usage);
  const after = cpuMicros(processes);
  const per = step.perEvent ? result.sent * step.answer.length : result.sent;
  return { ...result, cpu: (after.own - before.own) / per, databaseCpu: (after.database - before.database) / per, memory: most };
}

function brief({ per_second: perSecond, whole }) {
  return `${Math.round(perSecond)}/s p50 ${whole.p50} p99 ${whole.p99} µs`;
}

function memory(parts) {
  return Object.fromEntries(["nginx", "gateway", "function"].map((target) => [target, pssMegabytes(parts.processes(target).own)]));
}

function commit() {
  return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
}
