//! `npm run demo`: a gateway with made-up accounts, keys and traffic, in a database of its own that goes when it ends; with `-- --built DIR`
//! by programs that are built already.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { main, report, root } from "./command.mjs";
import { buildPrograms, installPrograms, refuseTakenPort } from "./local.mjs";
import { startPostgres } from "./postgres.mjs";

const stopping = new AbortController();

await main(async () => {
  const { values: options } = parseArgs({ options: { built: { type: "string" } } });
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => stopping.abort());
  const { signal } = stopping;
  const undo = [];
  try {
    await refuseTakenPort("npm run demo");
    await installPrograms({ report, signal });
    // What speaks to PostgreSQL may only just have been installed.
    const [{ stage }, { startTraffic }] = await Promise.all([import("./demo/stage.mjs"), import("./demo/traffic.mjs")]);
    const programs = options.built ? (name) => join(resolve(root, options.built), name) : await buildPrograms(["llm-gateway", "fake-upstream"], { report, signal });
    report("Starting PostgreSQL");
    const dir = await mkdtemp(join(tmpdir(), "llm-gateway-demo-"));
    undo.push(() => rm(dir, { recursive: true, force: true }));
    const postgres = await startPostgres({ dir, settings: { fsync: "off", synchronous_commit: "off" } });
    undo.push(() => postgres.stop());
    const play = await stage({ programs, databaseUrl: postgres.url, report, signal });
    undo.push(() => play.stop());
    const traffic = startTraffic(play);
    undo.push(() => traffic.stop());
    welcome(play);
    undo.push(tell(traffic.counted));
    if (!signal.aborted) await new Promise((done) => signal.addEventListener("abort", done));
    report("Stopping");
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    for (const step of undo.reverse()) await step();
  }
  report("Stopped, and all of it is gone");
});

function welcome({ address, token }) {
  console.log(`
  The demo is up. Everything in it is made up, and nothing reaches a provider.

    Dashboard    ${address}/
    Admin token  ${token}

  Ctrl-C stops it and takes it away.
`);
}

/** In a terminal, one line says that there is traffic. The answer ends it. */
function tell(counted) {
  if (!process.stdout.isTTY) return () => {};
  const line = () => process.stdout.write(`\r  ${counted.asked} made-up requests so far `);
  const timer = setInterval(line, 1_000);
  return () => {
    clearInterval(timer);
    process.stdout.write("\n");
  };
}
