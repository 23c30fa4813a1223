//! A walk over everything that a deployment serves: each rule of its routes, each of its files, and what is not there.

import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const message = { model: "claude-sonnet-5-5", max_tokens: 100, messages: [{ role: "user", content: "[[say hi]]" }] };
const content = { contents: [{ role: "user", parts: [{ text: "[[say hi]]" }] }] };
const anthropic = { "anthropic-version": "2023-06-01" };

/** What is asked, by whom, and the status that it is answered with: `[method, path, who, status, body, headers]`. */
const CALLS = [
  ["POST", "/v1/messages", "caller", 200, message, anthropic],
  ["POST", "/v1/messages/count_tokens", "caller", 200, { ...message, max_tokens: undefined }, anthropic],
  ["GET", "/v1/models", "caller", 200, null, anthropic],
  ["GET", "/v1/organizations", "caller", 404, null, anthropic],
  ["POST", "/v1beta/models/gemini-2.5-pro:generateContent", "caller", 200, content],
  ["POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", "caller", 200, content],
  ["POST", "/v1internal:nothing", "caller", 404, {}],
  ["POST", "/upload/v1beta/nothing", "caller", 404, {}],
  ["HEAD", "/api/hello", "nobody", 200],
  ["GET", "/api/keys", "operator", 200],
  ["GET", "/api/keys/me", "caller", 200],
  ["GET", "/api/keys/key_nothing", "operator", 404],
  ["GET", "/api/accounts", "operator", 200],
  ["GET", "/api/accounts/acc_nothing", "operator", 404],
  ["GET", "/api/routing", "operator", 200],
  ["POST", "/api/routing/preview", "operator", 200, { model: "claude-sonnet-5-5", pool: "default" }],
  ["GET", "/api/stats/summary", "operator", 200],
  ["GET", "/api/stats/metrics", "operator", 200],
  ["GET", "/api/stats/nothing", "operator", 404],
  ["GET", "/api/health", "nobody", 200],
  ["GET", "/api/openapi.json", "nobody", 200],
  ["GET", "/api/accounts", "nobody", 401],
  // The platform also knows a function by its file.
  ["GET", "/api/keys.rs", "operator", 404],
];

/** Paths that neither a file nor a function is at: the platform itself says so. */
const NOTHING = ["/nothing", "/js/nothing.js", "/api/nothing", "/api", "/%2e%2e/package.json", "/.env"];

/** Walks a deployment of `output`, whose caller's key is `key`. */
export async function everywhere(gateway, key, output) {
  const { routes } = JSON.parse(readFileSync(join(output, "config.json"), "utf8"));
  const rules = routes.filter(({ dest, status }) => dest && !status);
  assert.ok(rules.length >= 9, "the routes are there");
  for (const { src } of rules) {
    assert.ok(CALLS.some(([, path]) => new RegExp(src).test(path.split("?")[0])), `nobody walks by ${src}`);
  }
  const tokens = { caller: key, operator: gateway.env.ADMIN_TOKEN };
  for (const [method, path, who, status, body, headers] of CALLS) {
    const answer = await fetch(gateway.address + path, {
      method,
      headers: { ...headers, ...(tokens[who] && { authorization: `Bearer ${tokens[who]}` }), ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert.equal(answer.status, status, `${method} ${path}: ${text}`);
    assert.match(answer.headers.get("x-request-id"), /^req_/, `${method} ${path} was not answered by the gateway`);
    assert.equal(answer.headers.get("content-security-policy"), null, path);
  }
  const files = readdirSync(join(output, "static"), { recursive: true }).filter((name) => statSync(join(output, "static", name)).isFile());
  assert.ok(files.includes("index.html") && files.length > 30, `${files}`);
  for (const name of files) {
    const answer = await fetch(`${gateway.address}/${name === "index.html" ? "" : name}`);
    assert.equal(answer.status, 200, name);
    assert.ok(Buffer.from(await answer.arrayBuffer()).equals(readFileSync(join(output, "static", name))), name);
    assert.match(answer.headers.get("content-security-policy"), /^default-src 'self';/, name);
  }
  for (const path of NOTHING) {
    const answer = await fetch(gateway.address + path);
    assert.deepEqual([answer.status, answer.headers.get("x-request-id")], [404, null], path);
  }
}
