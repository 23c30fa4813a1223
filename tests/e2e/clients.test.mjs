//! The real clients through the local server, with nothing but the documented environment variables set.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { furnish, furnishWithLogin, ledger, settings, startFake, startLocal } from "./support/gateway.mjs";
import * as journeys from "./support/journeys.mjs";
import { debugPrograms, eventually } from "./support/programs.mjs";
import { eventsOf, streamedMessage } from "./support/streams.mjs";
import * as things from "./support/things.mjs";

let programs;
let fake;
before(async () => {
  programs = await debugPrograms();
  fake = await startFake(programs);
});
after(() => fake?.stop());

/** Each journey has a gateway of its own, so that its ledger holds that journey's requests and no other. */
function journey(name, walk, { requests, provider, furnished = furnish }) {
  test(name, async (t) => {
    const gateway = await startLocal(programs);
    t.after(() => gateway.stop());
    await walk(gateway, await furnished(gateway, fake));
    const rows = await ledger(gateway, requests);
    assert.equal(rows.length, requests);
    for (const row of rows) {
      assert.equal(row.status, "completed", JSON.stringify(row));
      assert.equal(row.provider, provider);
      assert.equal(row.estimated, false);
      assert.ok(row.tokens.output > 0 && row.cost_usd > 0, JSON.stringify(row));
    }
  });
}

journey("Claude Code says hi", journeys.claudeSaysHi, { requests: 1, provider: "anthropic" });
journey("Claude Code uses a tool", journeys.claudeUsesATool, { requests: 2, provider: "anthropic" });
journey("Gemini CLI says hi", journeys.geminiSaysHi, { requests: 2, provider: "gemini" });
journey("Gemini CLI uses a tool", journeys.geminiUsesATool, { requests: 2, provider: "gemini" });
const byLogin = { provider: "gemini", furnished: furnishWithLogin };
journey("Gemini CLI says hi to an account with a login", journeys.geminiSaysHi, { requests: 2, ...byLogin });
journey("Gemini CLI uses a tool of an account with a login", journeys.geminiUsesATool, { requests: 2, ...byLogin });
journey("Google's SDK to an account with a login", journeys.googleSdk, { requests: 2, ...byLogin });
journey("Anthropic's SDK", journeys.anthropicSdk, { requests: 2, provider: "anthropic" });
journey("Google's SDK", journeys.googleSdk, { requests: 2, provider: "gemini" });

test("Gemini CLI with its own login says hi through Code Assist", async (t) => {
  const gateway = await startLocal(programs);
  t.after(() => gateway.stop());
  await journeys.geminiWithLoginSaysHi(gateway, await furnishWithLogin(gateway, fake));
  // Beside the two calls of a model it asks who it is, what is left and what is on trial: as often as it likes.
  const rows = await ledger(gateway, 5);
  const generated = rows.filter((row) => row.operation === "generate");
  assert.equal(generated.length, 2, JSON.stringify(rows));
  for (const row of rows) {
    assert.equal(row.status, "completed", JSON.stringify(row));
    assert.equal(row.cost_usd > 0, row.operation === "generate", JSON.stringify(row));
  }
});

/** A client that brings a login of its own: that goes up, no account serves, and the key never leaves. */
function ownLogin(name, walk, login, shown) {
  test(name, async (t) => {
    const own = await startFake(programs);
    t.after(() => own.stop());
    const gateway = await startLocal(programs, { ...await settings(), ANTHROPIC_UPSTREAM: own.address, GEMINI_UPSTREAM: own.address });
    t.after(() => gateway.stop());
    await furnish(gateway, fake);
    const { key } = await gateway.api("POST", "/api/keys", { name: "own", allow_passthrough: true });
    await walk(gateway, key, login);
    const seen = await (await fetch(`${own.address}/_fake/seen`)).json();
    assert.ok(seen.length > 0);
    for (const { headers } of seen) {
      assert.deepEqual(headers.find(([header]) => header === shown[0]), shown);
      assert.ok(!JSON.stringify(headers).includes("gw_"), JSON.stringify(headers));
    }
    for (const row of await ledger(gateway, seen.length)) {
      assert.equal(row.account, "passthrough");
      assert.equal(row.status, "completed", JSON.stringify(row));
      assert.ok(row.tokens.output > 0 && row.cost_usd > 0, JSON.stringify(row));
    }
  });
}

ownLogin("Claude Code with its own subscription", journeys.claudeWithItsOwnLogin,
  { CLAUDE_CODE_OAUTH_TOKEN: "sk-ant-oat01-own" }, ["authorization", "Bearer sk-ant-oat01-own"]);
ownLogin("Claude Code with its own key", journeys.claudeWithItsOwnLogin,
  { ANTHROPIC_API_KEY: "sk-ant-api03-own" }, ["x-api-key", "sk-ant-api03-own"]);
ownLogin("Gemini CLI with its own key", journeys.geminiWithItsOwnLogin,
  { GEMINI_API_KEY: "AIza-own" }, ["x-goog-api-key", "AIza-own"]);

for (const [name, walk] of [
  ["Anthropic's SDK and what lives on an account", things.anthropicThings],
  ["Google's SDK and what lives on an account", things.geminiThings],
]) {
  test(name, async (t) => {
    const gateway = await startLocal(programs);
    t.after(() => gateway.stop());
    const ours = await furnish(gateway, fake);
    const { key: theirs } = await gateway.api("POST", "/api/keys", { name: "another team", role: "member" });
    const batch = await walk(gateway, [ours, theirs]);
    const booked = async () => (await ledger(gateway, 10)).find((row) => row.id.includes(batch.replace("/", "_")));
    const row = await eventually(`the row of ${batch}`, booked);
    assert.ok(row.tokens.output > 0 && row.cost_usd > 0, JSON.stringify(row));
  });
}

test("a spent budget reaches the person at once, in words", async (t) => {
  const gateway = await startLocal(programs);
  t.after(() => gateway.stop());
  await furnish(gateway, fake);
  const { key } = await gateway.api("POST", "/api/keys", { name: "spender", limits: { cost_total_usd: 0.000001 } });
  await journeys.anthropicSays(gateway, key);
  await ledger(gateway, 1);
  await journeys.tellsOfTheSpentBudget(gateway, key);
  assert.equal((await ledger(gateway, 1)).length, 1, "nothing more was sent to anybody");
});

test("streams arrive as they are sent", async (t) => {
  const gateway = await startLocal(programs);
  t.after(() => gateway.stop());
  await journeys.streamsUnbuffered(gateway, await furnish(gateway, fake));
});

test("SIGTERM lets a stream end, and its row is there after a restart", async (t) => {
  const gateway = await startLocal(programs);
  t.after(() => gateway.stop());
  const stream = eventsOf(await streamedMessage(gateway, await furnish(gateway, fake), "[[words 8]] [[gap 100]]"));
  await stream.next();
  gateway.program.child.kill("SIGTERM");
  const rest = [];
  for await (const { text } of stream) rest.push(text);
  assert.match(rest.at(-1), /^event: message_stop/);
  assert.deepEqual(await gateway.program.exited, { code: 0, signal: null });

  const again = await startLocal(programs, gateway.env);
  t.after(() => again.stop());
  assert.equal((await ledger(again, 1))[0].status, "completed");
});
