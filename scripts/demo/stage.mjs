//! The demo's stage: a database, the fake upstream and a gateway that says it is a demo, furnished and with a past.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

import { Plain, root } from "../command.mjs";
import { furnish } from "./cast.mjs";
import { writePast } from "./past.mjs";
import { direct } from "./traffic.mjs";

/** Sets it up: `{ address, fake, token, keys, stop }`. `programs(name)` is a binary's path; `days` is how long the past is. */
export async function stage({ programs, databaseUrl, report = () => {}, days = 35, env = {}, signal }) {
  const started = [];
  const stop = async () => {
    for (const program of started.reverse()) await program.stop();
  };
  try {
    report("Starting the fake upstream");
    const fake = await start(programs("fake-upstream"), ["--port", "0", "--quiet"], {}, started);
    report("Starting the gateway");
    const token = env.ADMIN_TOKEN ?? randomBytes(32).toString("hex");
    const gateway = await start(programs("llm-gateway"), ["serve"], {
      ENCRYPTION_KEY: randomBytes(32).toString("base64"), ADMIN_TOKEN: token, ...env, DATABASE_URL: databaseUrl, ALLOW_INSECURE_UPSTREAMS: "1", DEMO: "1",
    }, started);
    const api = client(gateway.address, token);
    report("Adding accounts and keys");
    await direct(fake.address, new Set());
    const { accounts, keys } = await furnish(api, fake.address);
    await writePast(databaseUrl, { days, keys, accounts, signal, step: (done) => report(`Making up the last ${days} days${done ? `: ${done} are done` : ""}`) });
    // Those that are out for good are found to be so.
    for (const name of ["claude-contractor", "claude-team-3"]) await api("POST", `/api/accounts/${accounts.get(name)}/check`);
    return { address: gateway.address, fake: fake.address, token, accounts, keys, api, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function client(address, token) {
  return async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) };
    const answer = await fetch(address + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Plain(`${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  };
}

/** Starts a program and waits until it says where it listens. */
async function start(binary, args, env, started) {
  const { PATH, HOME, PORT, HOST } = process.env;
  const child = spawn(binary, args, { cwd: root, env: { PATH, HOME, PORT, HOST, LOG: "error", ...env }, stdio: ["ignore", "pipe", "inherit"], detached: true });
  const failed = new Promise((_, reject) => child.once("error", (error) => reject(new Plain(`${binary} cannot be started: ${error.message}`))));
  const ended = Promise.race([new Promise((resolve) => child.once("close", resolve)), failed.catch(() => {})]);
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  started.push({ stop });
  const address = await Promise.race([listening(child.stdout), failed]);
  if (!address) throw new Plain(`${binary} did not start.`);
  return { address, stop };
}

async function listening(output) {
  let address = null;
  for await (const line of createInterface({ input: output })) {
    address = line.match(/ listening on (\S+)$/)?.[1] ?? null;
    if (address) break;
  }
  // Whatever it says later is of no interest, but must not fill the pipe.
  output.resume();
  return address;
}
