//! The functions as production runs them: built by the Vercel CLI, each behind the runtime's own socket.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { query, withClient } from "./support/database.mjs";
import * as faults from "./support/faults.mjs";
import { FunctionInstance } from "./support/function.mjs";
import { furnish, startFake } from "./support/gateway.mjs";
import * as journeys from "./support/journeys.mjs";
import { startDeployment } from "./support/platform.mjs";
import { debugPrograms } from "./support/programs.mjs";
import { copyProject, vercelBuild } from "./support/vercel.mjs";

const NAMES = ["accounts", "keys", "proxy", "stats"];
/** Longer than any settlement takes that nothing stands in the way of. */
const LONG_ENOUGH_TO_SETTLE = 500;

let output;
let fake;
before(async () => {
  fake = await startFake(await debugPrograms());
  const built = await vercelBuild(copyProject());
  output = built.output;
  const sizes = NAMES.map((name) => `${name} ${(statSync(join(output, `functions/api/${name}.func/executable`)).size / 1e6).toFixed(2)} MB`);
  console.log(`vercel build: ${(built.ms / 1000).toFixed(1)} s, ${sizes.join(", ")}`);
});
after(() => fake?.stop());

async function deployment(t, variables) {
  const gateway = await startDeployment(output, variables);
  t.after(async () => assert.deepEqual(await gateway.stop(), [0, 0, 0, 0], "every instance drains and goes by itself"));
  return { gateway, key: await furnish(gateway, fake) };
}

/** One streamed request straight to the proxy's function: eight words, 100 ms apart. */
function streamedRequest(gateway, key, words = 8) {
  const body = { model: "claude-sonnet-5-5", max_tokens: 100, stream: true, messages: [{ role: "user", content: `[[words ${words}]] [[gap 100]]` }] };
  return gateway.functions.proxy.invoke({
    method: "POST",
    path: "/v1/messages",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
  });
}

const rows = (gateway) => query(gateway.env.DATABASE_URL, "SELECT status, output_tokens, estimated FROM ledger");

test("the end of an invocation comes only after its ledger row", async (t) => {
  const { gateway, key } = await deployment(t);
  const { response, ended } = streamedRequest(gateway, key);
  let over = false;
  ended.then(() => { over = true; });

  const reading = (await response)[Symbol.asyncIterator]();
  await reading.next();
  await withClient(gateway.env.DATABASE_URL, async (client) => {
    // Nobody can write to the ledger while this is held; reading it and claiming go on.
    await client.query("BEGIN; LOCK TABLE ledger IN SHARE MODE");
    while (!(await reading.next()).done);
    await sleep(LONG_ENOUGH_TO_SETTLE);
    assert.equal(over, false, "the invocation ended before its row could be written");
    await client.query("COMMIT");
  });
  assert.equal((await ended).error ?? null, null);
  // The instance stands still by now: what is not there yet would never come.
  assert.deepEqual(await rows(gateway), [{ status: "completed", output_tokens: "9", estimated: false }]);
});

test("the end of an invocation comes only after its spans have left", async (t) => {
  let tell;
  const told = new Promise((resolve) => { tell = resolve; });
  const collector = http.createServer(async (request, response) => {
    const message = JSON.parse(Buffer.concat(await request.toArray()));
    tell({ message, letGo: () => response.end("{}") });
  });
  await new Promise((listening) => collector.listen(0, "127.0.0.1", listening));
  t.after(() => collector.close());
  const endpoint = `http://127.0.0.1:${collector.address().port}`;
  const { gateway, key } = await deployment(t, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  const { response, ended } = streamedRequest(gateway, key);
  let over = false;
  ended.then(() => { over = true; });
  await (await response).toArray();
  const { message, letGo } = await told;
  assert.equal(over, false, "the invocation ended before its spans were taken");
  const spans = message.resourceSpans[0].scopeSpans[0].spans;
  assert.deepEqual(spans.map(({ name, kind }) => [name, kind]), [["chat claude-sonnet-5-5", 2], ["chat claude-sonnet-5-5", 3]]);
  letGo();
  await ended;
});

test("a client that hangs up ends the invocation soon, with its row", async (t) => {
  const { gateway, key } = await deployment(t);
  const { response, ended } = streamedRequest(gateway, key, 200);
  const answer = await response;
  await answer[Symbol.asyncIterator]().next();
  answer.destroy();
  await ended;
  const [row, ...more] = await rows(gateway);
  assert.deepEqual([row.status, row.estimated, more.length], ["cancelled", true, 0]);
});

// Of the platform's thirteen seconds, four are for the answer and nine are for its end and its row.
const SHORT = { MAX_DURATION_SECONDS: "13" };

test("a stream that outlasts maxDuration ends as its protocol ends a failure, and its row is written", async (t) => {
  const { gateway, key } = await deployment(t, SHORT);
  const { response, ended } = streamedRequest(gateway, key, 200);
  const text = String(Buffer.concat(await (await response).toArray()));
  assert.match(text, /event: content_block_delta/);
  assert.match(text, /event: error\ndata: \{"type":"error",[^\n]*the time that this gateway's host gives a request is over[^\n]*\n\n$/);
  assert.equal((await ended).error ?? null, null);

  const gemini = gateway.functions.proxy.invoke({
    method: "POST",
    path: "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    headers: { "content-type": "application/json", "x-goog-api-key": key },
    body: JSON.stringify({ contents: [{ role: "user", parts: [{ text: "[[words 200]] [[gap 100]]" }] }] }),
  });
  await assert.rejects((await gemini.response).toArray(), /aborted/, "never a clean end");
  await gemini.ended;
  const states = (await rows(gateway)).map(({ status, estimated }) => [status, estimated]);
  assert.deepEqual(states, [["failed", true], ["failed", true]]);
});

test("an upstream that is silent until maxDuration is near costs the caller an answer, and the account nothing", async (t) => {
  const { gateway, key } = await deployment(t, SHORT);
  await faults.set(fake, [["upstream-anthropic-1", "hang"], ["upstream-anthropic-2", "hang"]]);
  t.after(() => faults.set(fake, []));
  const { response, ended } = streamedRequest(gateway, key);
  const answer = await response;
  assert.equal(answer.statusCode, 503);
  const told = JSON.parse(String(Buffer.concat(await answer.toArray())));
  assert.deepEqual([told.type, told.error.type], ["error", "api_error"]);
  await ended;
  assert.deepEqual((await rows(gateway)).map(({ status }) => status), ["failed"]);
  const accounts = (await gateway.api("GET", "/api/accounts")).data;
  assert.deepEqual(accounts.map(({ state, failures }) => [state, failures ?? 0]), accounts.map(() => ["ready", 0]));
});

test("the platform's ping is answered and is no invocation", async (t) => {
  const { gateway } = await deployment(t);
  for (const name of NAMES) {
    const instance = gateway.functions[name];
    assert.equal(await instance.ping(), "OK");
    assert.equal(instance.frames.filter((frame) => frame.type === "server-started").length, 1);
  }
});

test("SIGTERM lets a stream end before the instance goes", async (t) => {
  const { gateway, key } = await deployment(t);
  const { response, ended } = streamedRequest(gateway, key);
  const answer = await response;
  const reading = answer[Symbol.asyncIterator]();
  let text = String((await reading.next()).value);
  gateway.functions.proxy.program.child.kill("SIGTERM");
  for (let part = await reading.next(); !part.done; part = await reading.next()) text += part.value;
  assert.match(text, /event: message_stop/);
  await ended;
  assert.equal((await rows(gateway)).length, 1);
  assert.equal(await gateway.functions.proxy.stop(), 0);
});

test("without its settings a function says what to set, and lives", async (t) => {
  for (const name of NAMES) {
    const instance = await FunctionInstance.start(join(output, `functions/api/${name}.func/executable`), {});
    t.after(() => instance.stop());
    for (let round = 0; round < 2; round++) {
      const { response, ended } = instance.invoke({ path: name === "proxy" ? "/v1/models" : `/api/${name}` });
      const answer = await response;
      assert.equal(answer.statusCode, 503, name);
      assert.match(String(Buffer.concat(await answer.toArray())), /DATABASE_URL/);
      await ended;
    }
  }
});

test("the dashboard's files carry their security headers, the functions' answers do not", async (t) => {
  const { gateway } = await deployment(t);
  const page = await fetch(`${gateway.address}/`);
  assert.equal(page.status, 200);
  assert.match(page.headers.get("content-security-policy"), /^default-src 'self';/);
  const health = await fetch(`${gateway.address}/api/health`);
  assert.equal(health.status, 200);
  assert.equal(health.headers.get("content-security-policy"), null);
});

for (const [name, walk] of Object.entries(journeys.all)) {
  test(`${name}, through the functions`, async (t) => {
    const { gateway, key } = await deployment(t);
    await walk(gateway, key);
    for (const instance of Object.values(gateway.functions)) {
      assert.doesNotMatch(instance.program.output, /panicked/);
    }
  });
}
