//! A gateway to test: the local server here, or any other host of the same code, furnished over its API.

import { randomBytes } from "node:crypto";

import { freshDatabase } from "./database.mjs";
import { cleanEnvironment, eventually, Program } from "./programs.mjs";

/** What a gateway is told from outside, with a database of its own. */
export async function settings() {
  return {
    DATABASE_URL: await freshDatabase(),
    ADMIN_TOKEN: randomBytes(32).toString("hex"),
    ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    ALLOW_INSECURE_UPSTREAMS: "1",
  };
}

/** Starts the fake upstream, which plays both providers' APIs. */
export async function startFake(programs) {
  const program = new Program(programs("fake-upstream"), ["--port", "0"], { env: cleanEnvironment("/nonexistent") });
  const [, address] = await program.said(/^fake-upstream listening on (\S+)$/m);
  return { address, stop: () => program.stop() };
}

/** Starts `llm-gateway serve`, afresh or on what an earlier one was told. */
export async function startLocal(programs, env) {
  env ??= await settings();
  const program = new Program(programs("llm-gateway"), ["serve"], { env: { ...cleanEnvironment("/nonexistent"), ...env, PORT: "0" } });
  const [, address] = await program.said(/^llm-gateway listening on (\S+)$/m);
  return { ...site(address, env), program, stop: () => program.stop() };
}

/** A gateway at an address, wherever it runs. */
export function site(address, env) {
  const api = async (method, path, body) => {
    const response = await fetch(address + path, {
      method,
      headers: { authorization: `Bearer ${env.ADMIN_TOKEN}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  };
  return { address, env, api };
}

/** Adds two accounts of each provider, all at the fake, and issues a key; the answer is that key's secret. */
export async function furnish(gateway, fake) {
  for (const provider of ["anthropic", "gemini"]) {
    for (const number of [1, 2]) {
      await gateway.api("POST", "/api/accounts", {
        provider,
        name: `${provider} ${number}`,
        credential: { kind: "api_key", api_key: `upstream-${provider}-${number}` },
        base_url: fake.address,
      });
    }
  }
  return issueKey(gateway);
}

/** Adds one account with a login of Google at the fake, and issues a key; the answer is that key's secret. */
export async function furnishWithLogin(gateway, fake) {
  await gateway.api("POST", "/api/accounts/import", {
    name: "a login",
    entitled: true,
    contents: { access_token: "ya29.login", token_type: "Bearer", scope: "https://www.googleapis.com/auth/cloud-platform" },
    base_url: fake.address,
  });
  return issueKey(gateway);
}

async function issueKey(gateway) {
  const { key } = await gateway.api("POST", "/api/keys", { name: "the team", role: "member" });
  return key;
}

/** Waits until the ledger holds `count` rows; the answer is those rows, newest first. */
export function ledger(gateway, count) {
  let rows = [];
  return eventually(() => `${count} ledger rows; there are ${JSON.stringify(rows)}`, async () => {
    rows = (await gateway.api("GET", "/api/stats/requests")).data;
    return rows.length >= count && rows;
  });
}
