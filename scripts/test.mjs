//! `npm test`: every check and every test, one section each, and one line of totals at the end.

import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { main, root } from "./command.mjs";
import { installTestTools } from "./local.mjs";
import { startPostgres } from "./postgres.mjs";

// One file after the other: they share one checkout, and what measures time should have the machine to itself.
const NODE_TEST = ["--test", "--test-reporter=spec", "--test-concurrency=1", "--test-timeout=900000"];
const total = { passed: 0, failed: 0 };

await main(async () => {
  await installTestTools();
  await section("formatting", "cargo", ["fmt", "--all", "--check"]);
  await section("lints", "cargo", ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
  await section("dependencies", "cargo", ["deny", "check", "bans", "licenses", "sources"]);

  await withPostgres(async (url) => {
    const env = { ...process.env, TEST_DATABASE_URL: url };
    await section("Rust tests", "cargo", ["test", "--workspace", "--locked", "--no-fail-fast"], { env, count: cargoCounts });
    for (const part of ["dashboard", "e2e"]) {
      const files = await testFiles(part);
      // Without files node would look for tests by itself; a part that is not there has to fail.
      if (files.length === 0) fail(`${part} tests`, `tests/${part} holds none`);
      else await section(`${part} tests`, process.execPath, [...NODE_TEST, ...files], { env, count: nodeCounts });
    }
  });

  await section("instruction counts", process.execPath, ["scripts/counts.mjs"]);

  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  if (total.failed > 0) process.exitCode = 1;
});

/** Gives `body` a PostgreSQL that is quick because nothing in it has to last, and takes it away again. */
async function withPostgres(body) {
  const dir = await mkdtemp(join(tmpdir(), "llm-gateway-test-"));
  const settings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: 400 };
  const postgres = await startPostgres({ dir, settings });
  const takeAway = async () => {
    await postgres.stop();
    await rm(dir, { recursive: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => takeAway().finally(() => process.exit(1)));
  try {
    await body(postgres.url);
  } finally {
    await takeAway();
  }
}

/** Runs one command under a heading. Without `count` it is one check; with it, what it printed says how many tests. */
async function section(name, command, args, { env = process.env, count } = {}) {
  console.log(`\n=== ${name} ===`);
  const began = Date.now();
  const { code, output } = await runAndListen(command, args, env);
  const { passed, failed } = count ? count(output) : { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1 };
  // A runner that broke before its tests, or that had none, has not passed.
  const broken = failed === 0 && (code !== 0 || passed === 0) ? 1 : 0;
  if (broken) fail(name, code === 0 ? "nothing was run" : `ended with code ${code}`);
  total.passed += passed;
  total.failed += failed;
  console.log(`--- ${name}: ${failed + broken === 0 ? "ok" : "FAILED"} in ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

function fail(name, why) {
  console.log(`${name}: ${why}`);
  total.failed += 1;
}

function runAndListen(command, args, env) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, env, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    });
    child.once("error", (error) => {
      console.error(error.message);
      resolve({ code: 127, output });
    });
    child.once("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** The files of one part, by name: how a directory is searched differs between versions of Node.js. */
async function testFiles(part) {
  const names = await readdir(join(root, "tests", part), { recursive: true }).catch(() => []);
  return names.filter((name) => /\.test\.m?js$/.test(name)).sort().map((name) => join("tests", part, name));
}

function cargoCounts(output) {
  return sum(output, /^test result: \w+\. (?<passed>\d+) passed; (?<failed>\d+) failed/gm);
}

function nodeCounts(output) {
  const { passed } = sum(output, /^\W*pass (?<passed>\d+)$/gm);
  const { failed } = sum(output, /^\W*(?:fail|cancelled) (?<failed>\d+)$/gm);
  return { passed, failed };
}

function sum(output, pattern) {
  const counts = { passed: 0, failed: 0 };
  for (const { groups } of output.matchAll(pattern)) {
    for (const [name, value] of Object.entries(groups)) counts[name] += Number(value);
  }
  return counts;
}
