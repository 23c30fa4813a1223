//! Calls, what their failures are called, and what answers are read as.

import assert from "node:assert/strict";
import { test } from "node:test";

import { account, key, request, summary } from "../../public/js/answers.js";
import { ApiError, createApi } from "../../public/js/api.js";
import { difference, nest } from "../../public/js/components/form.js";
import { kind } from "../../public/js/trouble.js";

function answering(status, body, headers = {}) {
  const calls = [];
  const send = async (path, options) => {
    calls.push({ path, ...options });
    return new Response(status === 204 ? null : body, { status, headers });
  };
  return { api: createApi("secret", send), calls };
}

test("a call carries the key, and only the query that has values", async () => {
  const { api, calls } = answering(200, '{"data":[]}');
  assert.deepEqual(await api.get("/api/keys", { limit: 5, cursor: null, status: "" }), { data: [] });
  await api.post("/api/keys", { name: "x" });
  assert.equal(calls[0].path, "/api/keys?limit=5");
  assert.equal(calls[0].headers.authorization, "Bearer secret");
  assert.equal(calls[0].body, undefined);
  assert.equal(calls[1].body, '{"name":"x"}');
  assert.equal(calls[1].headers["content-type"], "application/json");
});

test("an empty answer is null", async () => {
  assert.equal(await answering(204, null).api.delete("/api/keys/key_1"), null);
});

test("a refusal becomes an ApiError with what the server said", async () => {
  const { api } = answering(422, '{"error":{"type":"invalid_request","message":"too small","param":"limits.max_in_flight"}}', { "x-request-id": "req_1" });
  await assert.rejects(api.post("/api/keys", {}), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual([error.status, error.type, error.message, error.param, error.requestId], [422, "invalid_request", "too small", "limits.max_in_flight", "req_1"]);
    return true;
  });
});

test("an answer that is not the API speaking is told apart", async () => {
  await assert.rejects(answering(200, "<!doctype html>").api.get("/"), { status: 200, type: "foreign" });
  await assert.rejects(answering(502, "<html>").api.get("/"), { status: 502 });
});

test("no answer is offline; a call given up rejects with its own reason", async () => {
  const api = createApi("secret", async () => { throw new TypeError("failed"); });
  await assert.rejects(api.get("/"), { status: 0, type: "offline" });
  const given = new AbortController();
  given.abort(new Error("left"));
  await assert.rejects(api.get("/", {}, given.signal), { message: "left" });
});

test("troubles have kinds", () => {
  const table = [
    [401, {}, "unauthenticated"], [403, {}, "permission_denied"], [404, {}, "not_found"], [429, {}, "rate_limited"],
    [503, { message: "the database is away" }, "database"],
    [503, { message: "ENCRYPTION_KEY is not set" }, "configuration"],
    [503, { message: "not configured", param: "ADMIN_TOKEN" }, "configuration"],
    [500, { message: "internal error" }, "internal"], [502, undefined, "internal"], [200, { type: "foreign" }, "internal"],
    [409, { message: "ADMIN_TOKEN is a bad name" }, "refused"], [0, { type: "offline" }, "offline"], [0, { type: "timeout" }, "timeout"],
  ];
  for (const [status, body, expected] of table) assert.equal(kind(new ApiError(status, body)), expected, `${status} ${body?.message}`);
  assert.equal(kind(new TypeError("x is undefined")), "page");
});

test("forms become bodies named as the API names them", () => {
  assert.deepEqual(nest([
    ["name", "text", "maya"], ["note", "text", ""], ["credential.api_key", "text", "sk-1"], ["priority", "number", "0"],
    ["models", "list", "claude-*, gemini-2.5-*\nx"], ["providers", "each", "anthropic"], ["providers", "each", "gemini"],
    ["limits.cost_per_day_usd", "number", "2.5"], ["limits.max_in_flight", "number", ""],
  ]), {
    name: "maya", credential: { api_key: "sk-1" }, priority: 0, models: ["claude-*", "gemini-2.5-*", "x"],
    providers: ["anthropic", "gemini"], limits: { cost_per_day_usd: 2.5 },
  });
  assert.deepEqual(nest([["limits.max_in_flight", "number", ""]]), {});
  assert.deepEqual(nest([["allow_passthrough", "flag", "on"]]), { allow_passthrough: true });
});

test("windows become lists, lines become pairs, and a change says only what changed", () => {
  assert.deepEqual(nest([["limits.windows[0].hours", "number", "5"], ["limits.windows[0].requests", "number", "9"], ["limits.windows[1].hours", "number", "1"]]),
    { limits: { windows: [{ hours: 5, requests: 9 }, { hours: 1 }] } });
  assert.deepEqual(nest([["labels", "pairs", "team=search\n a = b=c \n"], ["use_paid_overage", "truth", "false"]]), { labels: { team: "search", a: "b=c" }, use_paid_overage: false });
  const before = { name: "a", note: "old", pool: "x", models: ["m"], auto_rotate: true, labels: { team: "x" }, limits: { tokens_per_day: 5, max_in_flight: 2, windows: [{ hours: 5 }] }, max_in_flight: 3 };
  const after = { name: "b", pool: "x", limits: { max_in_flight: 4 } };
  assert.deepEqual(difference(before, after), {
    name: "b", note: "", models: [], auto_rotate: false, labels: {}, max_in_flight: null,
    limits: { tokens_per_day: null, max_in_flight: 4, windows: [] },
  });
  assert.deepEqual(difference(before, structuredClone(before)), {});
});

test("what an answer lacks is null, never zero", () => {
  const bare = account({ id: "acc_1", name: "a", provider: "gemini" });
  assert.deepEqual([bare.state, bare.inFlight, bare.today.requests, bare.today.tokens, bare.today.cost], [null, null, null, null, null]);
  assert.equal(key({ id: "key_1", name: "k" }).month.cost, null);
  assert.equal(request({ id: "req_1" }).cost, null);
  assert.equal(summary({}).prompt, null);
  assert.equal(summary({}).previous, null);
});

test("tokens of the prompt are summed by kind, thinking is not counted twice", () => {
  const tokens = { input: 10, cache_read: 100, cache_write_5m: 5, output: 40, thinking: 30 };
  assert.equal(summary({ tokens }).prompt, 115);
  assert.equal(account({ usage_today: { tokens } }).today.tokens, 155);
  assert.equal(account({ usage_today: { tokens: 7 } }).today.tokens, 7);
});

test("an attempt brings its own tokens and cost, where they are known", () => {
  const attempts = [{ verdict: "overloaded", tokens: { input: 3, cache_read: 20, output: 1 }, cost_usd: 0.5 }, { verdict: "delivered" }];
  const shown = request({ id: "req_1", attempts }).attempts.map(({ prompt, output, cost }) => [prompt, output, cost]);
  assert.deepEqual(shown, [[23, 1, 0.5], [null, null, null]]);
});

test("limits say what is used of them where the answer does", () => {
  const bare = { requests_per_minute: 60, tokens_per_day: null, windows: [{ hours: 5 }] };
  assert.deepEqual(key({ limits: bare }).limits, [{ limit: "requests_per_minute", value: 60, used: null, resets: null, hours: null, models: [] }]);
  const standing = [
    { limit: "cost_per_day_usd", value: 5, used: 1.5, left: 3.5, resets_at: null },
    { limit: "windows[0].requests", value: 9, used: 2, left: 7, resets_at: null, hours: 5, models: ["claude-opus-*"] },
  ];
  assert.deepEqual(key({ limits: bare, standing }).limits, [
    { limit: "cost_per_day_usd", value: 5, used: 1.5, resets: null, hours: null, models: [] },
    { limit: "windows[0].requests", value: 9, used: 2, resets: null, hours: 5, models: ["claude-opus-*"] },
  ]);
});
