//! A database for each test that wants one, all in one server: the one `npm test` started, else one of this file's own.

import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import pg from "pg";

import { startPostgres } from "../../../scripts/postgres.mjs";

let server = null;
let ours = null;
// Here and not where it is started: that would be the end of whichever test came first.
after(() => ours?.());

/** Makes an empty database; the answer is its URL. */
export async function freshDatabase() {
  server ??= process.env.TEST_DATABASE_URL ? Promise.resolve(process.env.TEST_DATABASE_URL) : startOwn();
  const url = new URL(await server);
  const name = `e2e_${randomBytes(6).toString("hex")}`;
  await withClient(url.href, (client) => client.query(`CREATE DATABASE ${name}`));
  url.pathname = `/${name}`;
  return url.href;
}

/** A TCP port for a database that may listen on a socket, which is not in the staged root. */
export async function reachable(t, url) {
  const at = new URL(url);
  const host = decodeURIComponent(at.hostname);
  const target = host.startsWith("/") ? { path: join(host, ".s.PGSQL.5432") } : { host, port: at.port || 5432 };
  const server = net.createServer((client) => {
    const upstream = net.connect(target).on("error", () => client.destroy());
    client.on("error", () => upstream.destroy()).pipe(upstream).pipe(client);
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  t.after(() => server.close());
  return Object.assign(new URL(url), { host: `127.0.0.1:${server.address().port}` }).href;
}

/** Asks one question of a database. */
export async function query(url, sql, values = []) {
  return withClient(url, async (client) => (await client.query(sql, values)).rows);
}

/** Lends a connection to `body`. */
export async function withClient(url, body) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

async function startOwn() {
  const dir = await mkdtemp(join(tmpdir(), "llm-gateway-e2e-"));
  const postgres = await startPostgres({ dir, settings: { fsync: "off", max_connections: 200 } });
  ours = async () => {
    await postgres.stop();
    await rm(dir, { recursive: true });
  };
  return postgres.url;
}
