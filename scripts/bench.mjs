//! `npm run bench`: what the gateway adds to a call, and how many it carries, beside a direct call and nginx in the same run.
//!
//! Everything shares this machine: the load generator, the fake upstream, the gateway and its PostgreSQL. So absolute
//! figures mean little elsewhere, and the ratios to nginx, taken in turn with the same load, mean most.
//! `-- --quick` takes one short round and leaves docs/benchmarks.md as it is.

import { execFileSync } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Books } from "./bench/books.mjs";
import { cpuMicros, pssMegabytes, sampled, watchOthers } from "./bench/machine.mjs";
import { Parts } from "./bench/parts.mjs";
import { steps } from "./bench/steps.mjs";
import { document, table } from "./bench/table.mjs";
import { main, Plain, root, runVisibly } from "./command.mjs";

const TARGETS = ["direct", "nginx", "gateway"];
const quick = process.argv.includes("--quick");
const rounds = quick ? 1 : 5;

await main(async () => {
  await runVisibly("cargo", ["build", "--locked", "--release", "--bin", "llm-gateway", "--bin", "fake-upstream", "--bin", "loadgen"]);
  const parts = new Parts(report);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => parts.stop().finally(() => process.exit(1)));
  try {
    const run = await bench(parts);
    console.log(`\n${table(run)}`);
    if (!quick) {
      await mkdir(join(root, "docs"), { recursive: true });
      await writeFile(join(root, "docs/benchmarks.md"), document(run));
      report("Written to docs/benchmarks.md");
    }
  } finally {
    await parts.stop();
  }
});

function report(line) {
  console.log(`> ${line}`);
}

/** Everything from the first start to the last check; the answer is what the table is made of. */
async function bench(parts) {
  await parts.start();
  const books = await Books.open(parts.databaseUrl);
  try {
    const others = watchOthers();
    const all = steps(quick);
    const startUp = await parts.timeStarts(quick ? 3 : 9, all[0]);
    await books.record(startUp.length, all[0].usage);
    const idle = memory(parts);
    const measured = [];
    for (const step of all) measured.push({ step, rounds: await measure(parts, books, step) });
    await books.check();
    return { commit: commit(), rounds, others: others(), startUp, idle, loaded: memory(parts), books: books.sent, measured };
  } finally {
    await books.close();
  }
}

/** The rounds of one step: every target in turn, another one first each time. */
async function measure(parts, books, step) {
  const results = [];
  for (let round = 0; round < (step.rounds ?? rounds); round += 1) {
    const order = TARGETS.map((_, index) => TARGETS[(index + round) % TARGETS.length]);
    const result = {};
    for (const target of order) result[target] = await once(parts, books, step, target);
    results.push(result);
    report(`${step.name}, round ${round + 1}: ${TARGETS.map((target) => `${target} ${brief(result[target])}`).join(", ")}`);
  }
  return results;
}

/** One target under one load: what the load generator saw, and what it cost. */
async function once(parts, books, step, target) {
  await parts.script(step);
  const processes = parts.processes(target);
  const before = cpuMicros(processes);
  const { result, most } = await sampled(() => parts.load(target, step), () => pssMegabytes(processes.own));
  if (target === "gateway") await books.record(result.sent, step.usage);
  const after = cpuMicros(processes);
  if (Object.keys(result.faults).length > 0) {
    throw new Plain(`${step.name}, ${target}: ${JSON.stringify(result.faults)} of ${result.sent} requests`);
  }
  const per = step.perEvent ? result.sent * step.answer.length : result.sent;
  return { ...result, cpu: (after.own - before.own) / per, databaseCpu: (after.database - before.database) / per, memory: most };
}

function brief({ per_second: perSecond, whole }) {
  return `${Math.round(perSecond)}/s p50 ${whole.p50} p99 ${whole.p99} µs`;
}

function memory(parts) {
  return Object.fromEntries(["nginx", "gateway"].map((target) => [target, pssMegabytes(parts.processes(target).own)]));
}

function commit() {
  const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  return git("rev-parse", "--short", "HEAD");
}
