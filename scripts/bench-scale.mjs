//! `npm run bench:scale`: what a request costs as the ledger, the keys and the accounts grow, how many processes one PostgreSQL serves, and
//! what it costs when the database is far away.
//!
//! Each size is a database of its own on one server in a temporary directory, which goes at the end; sizes are measured in turn, so
//! that whatever else the machine does meets all of them. `-- --quick` takes small sizes, prints, and leaves the document as it is;
//! `--rows N` is the largest ledger, `--ms N` how long each load lasts, `--binaries DIR` where the programs are that are built already.

import { execFileSync } from "node:child_process";
import { statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { watchOthers } from "./bench/machine.mjs";
import { farAway } from "./bench/scale/distance.mjs";
import { House } from "./bench/scale/house.mjs";
import { document, tables } from "./bench/scale/table.mjs";
import { play, Stage } from "./bench/stage.mjs";
import { script, steps } from "./bench/steps.mjs";
import { main, Plain, reportTimed as report, root } from "./command.mjs";

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, rows: { type: "string" }, ms: { type: "string" }, binaries: { type: "string" } },
});
const size = options.quick
  ? { rows: 20_000, keys: [100], accounts: [20], processes: [1, 2], distances: [0, 5], crowds: [16], rounds: 1, ms: 300 }
  : { rows: 10_000_000, keys: [100, 1_000, 10_000], accounts: [100, 1_000], processes: [1, 2, 4, 8], distances: [0, 1, 5, 30], crowds: [64, 256], rounds: 5, ms: 1_000 };
size.rows = Number(options.rows ?? size.rows);
size.ms = Number(options.ms ?? size.ms);
/** Statements are counted all the time here: it costs every size the same. A past is written without a log of it. */
const SERVER = {
  shared_preload_libraries: "pg_stat_statements", max_connections: 400, wal_level: "minimal", max_wal_senders: 0, max_wal_size: "4GB",
  maintenance_work_mem: "256MB",
};
const BYTES_A_ROW = 1_500;
const BASE = { rows: 1_000, keys: 10, accounts: 10 };

await main(async () => {
  if (!(size.rows >= 1_000) || !Number.isInteger(size.rows)) throw new Plain("--rows is a whole number, at least 1000");
  if (!(size.ms >= 50)) throw new Plain("--ms is a number of milliseconds, at least 50");
  const { bavail, bsize } = await statfs(tmpdir());
  if (bavail * bsize < size.rows * BYTES_A_ROW * 1.5) throw new Plain(`${tmpdir()} has too little room for ${size.rows} rows`);
  const stage = await Stage.open({ binaries: options.binaries, names: ["llm-gateway", "fake-upstream", "loadgen"] });
  try {
    const run = await bench(stage);
    console.log(`\n${tables(run)}`);
    if (options.quick || options.rows) return;
    await writeFile(join(root, "docs/benchmarks-scale.md"), document(run));
    report("Written to docs/benchmarks-scale.md");
  } finally {
    await stage.close();
  }
});

async function bench(stage) {
  report("Starting PostgreSQL and the fake upstream");
  const postgres = await stage.postgres(SERVER);
  const fake = (await stage.listen("fake-upstream", ["--quiet"])).address;
  const { alone, busy } = steps({ measure_ms: size.ms, crowd: 0 });
  await play(fake, script(alone));
  const others = watchOthers();
  const site = { stage, postgres, fake, alone, busy };
  const sizes = await measureSizes(site);
  const processes = await measureProcesses(site);
  const distances = await measureDistances(site);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  return { ...size, commit, others: others(), sizes, processes, distances };
}

async function build({ stage, postgres, fake }, name, of) {
  const house = await House.build(stage, { postgres, fake, name, size: of });
  // Statements are counted for the whole server, and can be seen from where this is.
  await house.ask("create extension pg_stat_statements");
  return house;
}

/** One thing grows at a time. */
async function measureSizes(site) {
  const all = [{ grows: "", ...BASE }];
  for (let rows = 100_000; rows < size.rows; rows *= 10) all.push({ grows: "rows", ...BASE, rows });
  all.push({ grows: "rows", ...BASE, rows: size.rows });
  all.push(...size.keys.map((keys) => ({ grows: "keys", ...BASE, keys })));
  all.push(...size.accounts.map((accounts) => ({ grows: "accounts", ...BASE, accounts })));
  for (const [number, point] of all.entries()) {
    point.house = await build(site, `size_${number}`, point);
    point.rounds = [];
    report(`Made ${point.rows.toLocaleString("en")} rows, ${point.keys} keys, ${point.accounts} accounts`);
  }
  for (let round = 0; round < size.rounds; round += 1) {
    for (const point of all) {
      const { house } = point;
      point.rounds.push({
        alone: await house.load(site.alone, { connections: 1 }),
        busy: await house.load(site.busy, { connections: 64 }),
      });
    }
    report(`Sizes: round ${round + 1} of ${size.rounds}`);
  }
  for (const point of all) await point.house.close();
  return all.map(({ house, ...point }) => point);
}

/** The same number of connections over more and more processes: all in one pool, and each in pools of its own. */
async function measureProcesses(site) {
  const most = Math.max(...size.processes);
  const all = [];
  for (const pools of [1, most]) {
    const house = await build(site, `processes_${pools}`, { ...BASE, rows: 0, keys: 64, accounts: 16, pools });
    while (house.gateways.length < most) await house.join();
    // One process cannot wait for another's pool.
    const counts = size.processes.filter((count) => pools === 1 || count > 1);
    for (const count of counts) all.push({ count, pools, house, rounds: [] });
  }
  for (let round = 0; round < size.rounds; round += 1) {
    for (const point of all) {
      const gateways = point.house.gateways.slice(0, point.count);
      point.rounds.push(await point.house.load(site.busy, { gateways, connections: 64, pooled: point.pools > 1 }));
    }
    report(`Processes: round ${round + 1} of ${size.rounds}`);
  }
  for (const house of new Set(all.map((point) => point.house))) await house.close();
  return all.map(({ house, ...point }) => point);
}

/** One process whose database is so many milliseconds away. */
async function measureDistances(site) {
  const all = [];
  for (const ms of size.distances) {
    const house = await build(site, `distance_${ms}`, { ...BASE, rows: 0, keys: 64, accounts: 16 });
    await house.close();
    const way = ms > 0 ? await farAway(site.postgres, ms) : null;
    await house.join(way?.through(house.url));
    for (const connections of [1, ...size.crowds]) {
      const point = { ms, connections, rounds: [] };
      for (let round = 0; round < size.rounds; round += 1) point.rounds.push(await house.load(site.busy, { connections }));
      all.push(point);
    }
    await house.close();
    await way?.stop();
    report(`Distance: ${ms} ms are done`);
  }
  return all;
}
