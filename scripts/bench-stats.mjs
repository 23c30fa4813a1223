//! `npm run bench:stats`: how long every question of the dashboard takes on a ledger of ten million rows over ninety days.
//!
//! The past is made up in the database (`bench/stats/ledger.sql`), then rolled up as instances do it. Every question goes
//! through a gateway over HTTP; then a million rows are exported. `-- --rows N` makes another size and only prints; `-- --database URL` asks a database that an earlier
//! run left with `-- --keep`. Needs some ten gigabytes and half an hour; DATABASE_URL names a server, else one is started.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import pg from "pg";

import { exportTable } from "./bench/stats/export.mjs";
import { document, exported, table } from "./bench/stats/table.mjs";
import { questions } from "./bench/stats/questions.mjs";
import { main, Plain, report, root } from "./command.mjs";
import { buildGateway } from "./local.mjs";
import { startPostgres } from "./postgres.mjs";

const USUAL = 10_000_000;
const USUAL_ROUNDS = 15;
const { values: options } = parseArgs({
  options: {
    rows: { type: "string" }, rounds: { type: "string" }, database: { type: "string" }, keep: { type: "boolean" }, binary: { type: "string" },
  },
});
const rows = Number(options.rows ?? USUAL);
const rounds = Number(options.rounds ?? USUAL_ROUNDS);

await main(async () => {
  if (!Number.isInteger(rows) || rows < 2_000) throw new Plain("--rows is a whole number, at least 2000");
  if (!Number.isInteger(rounds) || rounds < 1) throw new Plain("--rounds is a whole number, at least 1");
  const binary = options.binary ?? await buildGateway({ report });
  const home = options.database ? { url: options.database, leave: async () => {} } : await emptyDatabase();
  // Whatever happens, what was made up does not stay.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => home.leave().finally(() => process.exit(1)));
  try {
    if (!options.database) await makeUpPast(binary, home.url);
    const run = await ask(binary, home.url);
    console.log(`\n${table(run.measured)}\n\n${exported(run.export)}`);
    if (run.rows >= USUAL * 0.9) {
      await mkdir(join(root, "docs"), { recursive: true });
      await writeFile(join(root, "docs/benchmarks-stats.md"), document(run));
      report("Written to docs/benchmarks-stats.md");
    }
  } finally {
    await home.leave();
  }
});

/** A database with nothing in it: `{ url, leave }`. */
async function emptyDatabase() {
  const server = await startServer();
  const name = `bench_stats_${randomBytes(4).toString("hex")}`;
  await query(server.url, `create database ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  const leave = async () => {
    if (options.keep) report(`Kept: ${url.href}`);
    else await query(server.url, `drop database ${name} with (force)`);
    await server.stop();
  };
  return { url: url.href, leave };
}

/** Fills a database as the past would have. */
async function makeUpPast(binary, url) {
  report(`Making up ${rows.toLocaleString("en")} rows`);
  // Its first question makes the schema.
  await gateway(binary, url, async () => {});
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    client.on("notice", ({ message }) => report(message));
    await client.query(`set bench.rows = ${rows}; set client_min_messages = notice`);
    await client.query(await readFile(join(root, "scripts/bench/stats/ledger.sql"), "utf8"));
    report("Rolling them up");
    const began = performance.now();
    for (let hours = 1; (await client.query("select roll_up() as more")).rows[0].more; hours += 1) {
      if (hours % 240 === 0) report(`${hours / 24} days of 90 are rolled up`);
    }
    report(`Rolled up in ${Math.round((performance.now() - began) / 1_000)} s`);
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
}

async function startServer() {
  if (process.env.DATABASE_URL) return { url: process.env.DATABASE_URL, stop: async () => {} };
  const dir = await mkdtemp(join(tmpdir(), "llm-gateway-bench-stats-"));
  const postgres = await startPostgres({ dir, report });
  return { url: postgres.url, stop: async () => { await postgres.stop(); if (!options.keep) await rm(dir, { recursive: true }); } };
}

async function query(url, sql) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Every question, so many times in turn; the first time of each warms the caches and does not count. */
async function ask(binary, url) {
  const [size] = await query(url, `select count(*)::int as rows, pg_size_pretty(pg_database_size(current_database())) as disk,
    (select count(*)::int from rollups) as rollups, (select setting from pg_settings where name = 'shared_buffers') as buffers,
    (select split_part(version(), ' on ', 1)) as version from ledger`);
  return gateway(binary, url, async (get, child) => {
    const [request] = JSON.parse(await get("/api/stats/requests?limit=1")).data;
    const monthAgo = new Date(Date.now() - 30 * 86_400_000).toISOString();
    const [old] = JSON.parse(await get(`/api/stats/requests?limit=1&to=${monthAgo}`)).data;
    const all = questions({ now: Date.now(), request: request.id, session: old.session });
    const times = new Map(all.map(({ name }) => [name, []]));
    for (let round = 0; round <= rounds; round += 1) {
      report(round === 0 ? `Asking ${all.length} questions, the first time for nothing` : `Round ${round} of ${rounds}`);
      for (const { name, path } of all) {
        const began = performance.now();
        await get(path);
        if (round > 0) times.get(name).push(performance.now() - began);
      }
    }
    const measured = all.map(({ name, path, bound }) => ({ name, path, bound, times: times.get(name).sort((a, b) => a - b) }));
    report("Exporting");
    return { ...size, measured, rounds, export: await exportTable(get.open, child.pid) };
  });
}

/** Lends a gateway to `body`, as a function that gets a path. */
async function gateway(binary, url, body) {
  const token = randomBytes(32).toString("hex");
  const env = {
    PATH: process.env.PATH, DATABASE_URL: url, ADMIN_TOKEN: token, ENCRYPTION_KEY: randomBytes(32).toString("base64"), PORT: "0",
    // What is asked here must not go away while it is asked.
    LEDGER_RETENTION_DAYS: "0", LOG: "warn",
  };
  const child = spawn(binary, ["serve"], { cwd: root, env, stdio: ["ignore", "pipe", "inherit"] });
  try {
    const address = await listening(child);
    const open = (path, more = {}) => fetch(address + path, { headers: { authorization: `Bearer ${token}`, ...more } });
    const get = async (path) => {
      const answer = await open(path);
      const text = await answer.text();
      if (!answer.ok) throw new Plain(`${path}: ${answer.status} ${text}`);
      return text;
    };
    await get("/api/stats/summary");
    get.open = open;
    return await body(get, child);
  } finally {
    child.kill("SIGTERM");
  }
}

async function listening(child) {
  for await (const line of createInterface({ input: child.stdout })) {
    const said = line.match(/^llm-gateway listening on (\S+)$/);
    if (said) return said[1];
  }
  throw new Plain("the gateway did not start");
}
