//! Logins renewed by real processes (D9): fifty make one token call, and a crash at the worst moment is told.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { Crowd } from "./support/crowd.mjs";
import { query, withClient } from "./support/database.mjs";
import { seenBy } from "./support/evidence.mjs";
import { startFake } from "./support/gateway.mjs";
import { debugPrograms, eventually } from "./support/programs.mjs";

const TOKEN_PATH = "/oauth/token";
const PAIR = { access_token: "access-2", refresh_token: "refresh-2", expires_in: 28_800, token_type: "Bearer" };
const USED_UP = { error: "invalid_grant", error_description: "Refresh token not found or invalid" };

let programs;
before(async () => {
  programs = await debugPrograms();
});

/** Processes that renew logins at a fake of their own, which gives one new pair and then says that the token is used up. */
async function processes(t, count, before) {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  // Few connections each, as instances on the platform have.
  const crowd = await Crowd.start(programs, count, {
    ANTHROPIC_OAUTH_TOKEN_URL: fake.address + TOKEN_PATH, ANTHROPIC_OAUTH_CLIENT_ID: "an-application", VERCEL: "1",
  });
  t.after(() => crowd.stop());
  await crowd.furnish(fake, []);
  await fetch(`${fake.address}/_fake/script`, {
    method: "PUT",
    body: JSON.stringify([
      { path: TOKEN_PATH, times: 1, answer: { before, body: { json: PAIR } } },
      { path: TOKEN_PATH, answer: { status: 400, body: { json: USED_UP } } },
    ]),
  });
  return { crowd, fake };
}

/** An account with a login that ends so many seconds from now. */
function login(crowd, fake, endsIn) {
  return crowd.api("POST", "/api/accounts", {
    provider: "anthropic", name: "the login", base_url: fake.address, entitled: true,
    credential: {
      kind: "oauth", access_token: "access-1", refresh_token: "refresh-1",
      expires_at: new Date(Date.now() + endsIn * 1_000).toISOString(),
    },
  });
}

async function tokenCalls(fake) {
  const all = await (await fetch(`${fake.address}/_fake/seen`)).json();
  return all.filter((seen) => seen.path_and_query.startsWith(TOKEN_PATH));
}

test("D9: fifty processes renew the same ended login at once with one token call, and all are served", async (t) => {
  const { crowd, fake } = await processes(t, 50, null);
  await login(crowd, fake, -60);
  const results = await Promise.all(crowd.alive.map(() => crowd.ask("hi")));
  assert.deepEqual(results.filter((result) => !result.whole).map((it) => ({ ...it, gateway: null })), []);
  assert.equal(new Set(results.map((result) => result.gateway)).size, 50);
  assert.equal((await tokenCalls(fake)).length, 1);
  assert.deepEqual((await seenBy(fake)).map((seen) => seen.credential), Array(50).fill("access-2"));
});

test("D9: a process killed between the endpoint's answer and the store loses no account silently", async (t) => {
  const { crowd, fake } = await processes(t, 2, "held");
  const { id } = await login(crowd, fake, -60);
  const [doomed] = crowd.alive;
  const url = crowd.env.DATABASE_URL;
  await withClient(url, async (client) => {
    const call = crowd.ask("hi");
    await eventually("the endpoint is asked", async () => (await tokenCalls(fake)).length === 1);
    // The pair comes in, and cannot be stored; then the process is gone, and the server drops what it had asked for.
    await client.query("begin");
    await client.query("select from accounts for update");
    await fetch(`${fake.address}/_fake/release`, { method: "POST", body: JSON.stringify({ count: 1 }) });
    const waiting = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    const [{ pid }] = await eventually("the new pair waits to be stored", async () => {
      const rows = await query(url, waiting);
      return rows.length === 1 && rows;
    });
    await crowd.kill(doomed);
    await query(url, "select pg_terminate_backend($1)", [pid]);
    await eventually("its statement is gone", async () => (await query(url, waiting)).length === 0);
    await client.query("rollback");
    assert.equal((await call).whole, false);
  });
  assert.equal((await query(url, "select credential_version::int as version from accounts"))[0].version, 1, "the pair is lost");

  // The dead one's turn ends after 30 seconds; nobody needs to sit them out.
  await query(url, "update refreshes set until = now()");
  const answer = await crowd.ask("hi");
  assert.equal(answer.status, 503, answer.text);
  const account = await crowd.api("GET", `/api/accounts/${id}`);
  assert.equal(account.state, "needs_auth");
  assert.match(account.state_reason, /^log in again: an earlier refresh was cut off before its answer was stored/);
  assert.equal((await tokenCalls(fake)).length, 2);
});

test("D9: a login is renewed while its account cools down", async (t) => {
  const { crowd, fake } = await processes(t, 1, null);
  const { id } = await login(crowd, fake, 100);
  await query(crowd.env.DATABASE_URL, "update accounts set health = 'cooling', health_until = now() + interval '1 hour'");
  await crowd.api("POST", "/api/accounts", { provider: "anthropic", name: "another", base_url: fake.address, credential: { kind: "api_key", api_key: "another" } });
  assert.equal((await crowd.ask("hi")).whole, true);
  await eventually("the login is renewed", async () => (await tokenCalls(fake)).length === 1
    && (await query(crowd.env.DATABASE_URL, "select from accounts where id = $1 and credential_version = 2", [id])).length === 1);
  assert.deepEqual((await seenBy(fake)).map((seen) => seen.credential), ["another"]);
});
