//! A process without its database (D13), requests that end in every bad way (D7), and callers who hang up (D12).

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";

import { startPostgres } from "../../scripts/postgres.mjs";
import { Crowd } from "./support/crowd.mjs";
import { query } from "./support/database.mjs";
import { leases, settled } from "./support/evidence.mjs";
import { furnish, settings, startFake, startLocal } from "./support/gateway.mjs";
import { debugPrograms, eventually } from "./support/programs.mjs";
import { size } from "./support/size.mjs";
import { streamedMessage } from "./support/streams.mjs";

/** Within this a caller is told that the database is away. */
const TOLD_WITHIN = 5_000;

let programs;
before(async () => {
  programs = await debugPrograms();
});

test("D13: started without its database it says 503 within five seconds, never 401 or 429, and serves once that is back", async (t) => {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  const dir = await mkdtemp(join(tmpdir(), "llm-gateway-outage-"));
  // Each start has a socket of its own; a link keeps the address as it was.
  const socket = join(dir, "socket");
  const start = async () => {
    const postgres = await startPostgres({ dir, settings: { fsync: "off" } });
    const [, place] = postgres.url.match(/@([^/]+)/);
    await rm(socket, { force: true });
    await symlink(decodeURIComponent(place), socket);
    return { stop: postgres.stop, url: postgres.url.replace(place, encodeURIComponent(socket)) };
  };
  let postgres = await start();
  let gateway;
  t.after(async () => {
    await gateway?.stop();
    await postgres.stop();
    await rm(dir, { recursive: true });
  });
  const env = { ...(await settings()), DATABASE_URL: postgres.url };
  const earlier = await startLocal(programs, env);
  const key = await furnish(earlier, fake);
  await earlier.stop();
  await postgres.stop();

  gateway = await startLocal(programs, env);
  const ask = async () => {
    const response = await fetch(`${gateway.address}/v1/messages`, {
      method: "POST",
      headers: { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key },
      body: JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 100, messages: [{ role: "user", content: "hi" }] }),
      signal: AbortSignal.timeout(TOLD_WITHIN),
    });
    return { status: response.status, retryAfter: response.headers.get("retry-after"), body: await response.json() };
  };
  for (const answer of await Promise.all(Array.from({ length: 20 }, ask))) {
    assert.deepEqual([answer.status, answer.body.type, answer.body.error.type], [503, "error", "api_error"], JSON.stringify(answer));
    assert.ok(answer.retryAfter >= 1, `retry-after: ${answer.retryAfter}`);
  }
  const back = start().then((started) => { postgres = started; });
  const meanwhile = [];
  await eventually(() => `a 200; there were ${meanwhile}`, async () => meanwhile.push((await ask()).status) && meanwhile.at(-1) === 200, 60_000);
  await back;
  assert.deepEqual(meanwhile.filter((status) => status !== 200 && status !== 503), []);
});

test("D7: bad answers, timeouts, bad requests and a killed process leave no lease for longer than sixty seconds", async (t) => {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  const crowd = await Crowd.start(programs, 2);
  t.after(() => crowd.stop());
  await crowd.furnish(fake, [{ name: "one", max_in_flight: 3 }]);
  await crowd.api("PUT", "/api/routing/default/anthropic", {
    first_byte_timeout_ms: 300, idle_timeout_ms: 300, cooldown: { failure_threshold: 1_000 },
  });
  const bad = [
    { body: { text: { content_type: "application/json", text: "{\"type\":\"mess" } } },
    { body: { text: { content_type: "text/html", text: "<html>502" } }, status: 502 },
    { body: { text: { content_type: "text/event-stream", text: "event: message_start\ndata: {not json\n\n" } } },
    { body: { lifelike: { cut_after_events: 3 } }, end: "close" },
    { body: { lifelike: { cut_after_events: 3 } }, end: "hang" },
    { before: "hang" },
    { before: "reset" },
  ];
  for (const answer of bad) {
    await fetch(`${fake.address}/_fake/script`, { method: "PUT", body: JSON.stringify([{ answer }]) });
    // As many as the account's cap: what leaks would keep the next ones out.
    for (const result of await Promise.all([1, 2, 3].map(() => crowd.ask("hi")))) assert.notEqual(result.status, 429, JSON.stringify(answer));
    await settled(crowd);
  }
  await fetch(`${fake.address}/_fake/script`, { method: "PUT", body: "[]" });
  const nonsense = await fetch(`${crowd.alive[0].address}/v1/messages`, { method: "POST", headers: { "x-api-key": crowd.key }, body: "{" });
  assert.equal(nonsense.status, 400);
  const rows = await query(crowd.env.DATABASE_URL, "select id from ledger");
  assert.equal(rows.length, bad.length * 3, "one row each");
  assert.equal((await crowd.ask("hi")).whole, true);

  // A process that dies takes its requests along: their leases are in nobody's way, and end by themselves.
  const doomed = crowd.alive[0];
  const streams = [1, 2, 3].map(() => streamedMessage(doomed, crowd.key, "[[words 500]] [[gap 100]]").then((response) => response.text()).catch(() => "broken off"));
  await eventually("three leases", async () => (await leases(crowd)) === 3);
  await crowd.kill(doomed);
  assert.deepEqual(await Promise.all(streams), Array(3).fill("broken off"));
  const longest = await query(crowd.env.DATABASE_URL, "select extract(epoch from max(expires_at) - now())::float8 as seconds from leases");
  assert.ok(longest[0].seconds < 60, `${longest[0].seconds} s`);
  // That they do end is what chaos.test.mjs waits for; here time is moved instead.
  await query(crowd.env.DATABASE_URL, "update leases set expires_at = now() - interval '1 second'");
  assert.equal((await crowd.ask("hi")).whole, true, "the cap is free again");
  await crowd.join();
  await eventually("the dead are recorded", async () => (await crowd.ask("hi")) && (await leases(crowd)) === 0);
  const lost = await query(crowd.env.DATABASE_URL, "select estimated from ledger where status = 'lost'");
  assert.deepEqual(lost, Array(3).fill({ estimated: true }));
});

test("D12: thousands of callers hang up: the account stays ready, nothing is left, and memory does not grow", { skip: process.platform !== "linux" && "reads /proc" }, async (t) => {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  const gateway = await startLocal(programs, { ...(await settings()), LOG: "error" });
  t.after(() => gateway.stop());
  const key = await furnish(gateway, fake);
  const memory = async () => Number((await readFile(`/proc/${gateway.program.child.pid}/status`, "utf8")).match(/^VmRSS:\s+(\d+) kB$/m)[1]) / 1_024;
  const round = async (count) => {
    let left = count;
    const caller = async () => {
      while (left-- > 0) await hangUp(gateway.address, key);
    };
    await Promise.all(Array.from({ length: 32 }, caller));
    await settled({ env: gateway.env });
  };
  await round(1_000);
  const before = await memory();
  await round(size.hangUps);
  const after = await memory();
  // What leaks by kilobytes a call would be many megabytes by now; an allocator's moods are less.
  assert.ok(after < before + 8, `from ${before} to ${after} MB`);
  const rows = await query(gateway.env.DATABASE_URL, "select status, count(*)::int as count from ledger group by status");
  assert.deepEqual(rows, [{ status: "cancelled", count: 1_000 + size.hangUps }]);
  const { data } = await gateway.api("GET", "/api/accounts");
  assert.deepEqual(data.map((account) => account.state), Array(4).fill("ready"));
  t.diagnostic(`from ${before.toFixed(1)} to ${after.toFixed(1)} MB`);
});

/** Asks for a stream that lasts, and leaves with its first byte. */
function hangUp(address, key) {
  const body = JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 100, stream: true, messages: [{ role: "user", content: "[[words 100]] [[gap 1000]]" }] });
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": key };
  return new Promise((resolve, reject) => {
    const request = http.request(`${address}/v1/messages`, { method: "POST", headers, agent: false }, (response) => {
      response.once("data", () => request.destroy()).once("close", resolve);
    });
    request.once("error", (error) => (error.code === "ECONNRESET" ? resolve() : reject(error))).end(body);
  });
}
