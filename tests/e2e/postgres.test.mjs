//! The embedded PostgreSQL: what it survives, and what it refuses in words.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { startPostgres } from "../../scripts/postgres.mjs";
import { query } from "./support/database.mjs";
import { cleanEnvironment, Program } from "./support/programs.mjs";

/** A directory and a way to start servers in it; both are gone after the test. */
async function place(t) {
  const dir = await mkdtemp(join(tmpdir(), "llm-gateway-pg-"));
  const servers = [];
  t.after(async () => {
    for (const server of servers) await server.stop();
    await rm(dir, { recursive: true });
  });
  const start = async () => {
    servers.push(await startPostgres({ dir }));
    return servers.at(-1);
  };
  return { dir, start };
}

/** Starts a server from a process of its own, which then dies without a word; the server is left behind. */
async function leaveBehind(dir) {
  const source = `
    import { startPostgres } from ${JSON.stringify(new URL("../../scripts/postgres.mjs", import.meta.url).href)};
    console.log((await startPostgres({ dir: ${JSON.stringify(dir)} })).url);
    setInterval(() => {}, 1000);`;
  const program = new Program(process.execPath, ["--input-type=module", "-e", source], { env: cleanEnvironment("/nonexistent") });
  const [url] = await program.said(/^postgresql:\S+$/m);
  return { url, program, pid: Number((await readFile(join(dir, "data/postmaster.pid"), "utf8")).split("\n")[0]) };
}

test("data outlives a restart, and a database is made on demand", async (t) => {
  const { start } = await place(t);
  const first = await start();
  await query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer");
  const other = await first.createDatabase("another one");
  assert.deepEqual(await query(other, "SELECT current_database() AS name"), [{ name: "another one" }]);
  await first.stop();
  await assert.rejects(query(first.url, "SELECT 1"));

  const second = await start();
  assert.deepEqual(await query(second.url, "SELECT answer FROM kept"), [{ answer: 42 }]);
});

test("it listens on a private socket and on no port", async (t) => {
  const { start } = await place(t);
  const postgres = await start();
  const [row] = await query(postgres.url, "SELECT current_setting('listen_addresses') AS listens, current_setting('fsync') AS fsync");
  assert.deepEqual(row, { listens: "", fsync: "on" });
});

test("a second start shares what a living process owns, and leaves it alone at its end", async (t) => {
  const { dir, start } = await place(t);
  const { url, program } = await leaveBehind(dir);
  const shared = await start();
  assert.equal(shared.url, url);
  await shared.stop();
  assert.deepEqual(await query(url, "SELECT 1 AS one"), [{ one: 1 }]);

  await program.stop("SIGKILL");
  const adopted = await start();
  assert.equal(adopted.url, url);
  await adopted.stop();
  await assert.rejects(query(url, "SELECT 1"));
});

test("it recovers from a crash, also where its process number has a new owner", async (t) => {
  const { dir, start } = await place(t);
  for (const reused of [false, true]) {
    const { program, pid } = await leaveBehind(dir);
    process.kill(pid, "SIGKILL");
    await program.stop("SIGKILL");
    const lock = join(dir, "data/postmaster.pid");
    if (reused) await writeFile(lock, (await readFile(lock, "utf8")).replace(/^\d+/, String(process.pid)));
    const postgres = await start();
    assert.deepEqual(await query(postgres.url, "SELECT 1 AS one"), [{ one: 1 }]);
    await postgres.stop();
  }
});

test("another major version's data is refused and not touched", async (t) => {
  const { dir, start } = await place(t);
  await (await start()).stop();
  await writeFile(join(dir, "data/PG_VERSION"), "17\n");
  const before = await readdir(join(dir, "data"));
  await assert.rejects(start(), /written by PostgreSQL 17; this project brings PostgreSQL 18\. Nothing was changed/);
  assert.deepEqual(await readdir(join(dir, "data")), before);
});

test("a directory with something else in it is refused and not touched", async (t) => {
  const { dir, start } = await place(t);
  await mkdir(join(dir, "data"));
  await writeFile(join(dir, "data/letter"), "dear");
  await assert.rejects(start(), /not a PostgreSQL data directory/);
  assert.equal(await readFile(join(dir, "data/letter"), "utf8"), "dear");
});
