//! Where a benchmark takes place: a temporary directory, and the programs that run in it; all of it goes when it is over.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Plain, root, runVisibly } from "../command.mjs";
import { targetDir } from "../local.mjs";
import { startPostgres } from "../postgres.mjs";
import { childrenNamed } from "./machine.mjs";

const READY_WITHIN = 120_000;

export class Stage {
  #binaries;
  #undo = [];

  /** `binaries`: where the programs are that need not be built. */
  static async open({ binaries, names }) {
    const stage = new Stage();
    if (!binaries) await runVisibly("cargo", ["build", "--locked", "--release", ...names.flatMap((name) => ["--bin", name])]);
    stage.#binaries = binaries ?? join(targetDir(), "release");
    stage.dir = await mkdtemp(join(tmpdir(), "llm-gateway-bench-"));
    stage.undo(() => rm(stage.dir, { recursive: true, force: true }));
    for (const signal of ["SIGINT", "SIGTERM"]) {
      process.once(signal, () => {
        console.error("> Cleaning up");
        stage.close().finally(() => process.exit(1));
      });
    }
    return stage;
  }

  /** What is to be done at the end; the last comes first. */
  undo(step) {
    this.#undo.push(step);
  }

  /** Ends everything that was started. */
  async close() {
    while (this.#undo.length > 0) await this.#undo.pop()();
  }

  program(name) {
    return join(this.#binaries, name);
  }

  /** A server of our own: `{ url, createDatabase, pids }`. */
  async postgres(settings = {}) {
    const postgres = await startPostgres({ dir: join(this.dir, "postgres"), settings });
    this.undo(() => postgres.stop());
    return { ...postgres, pids: childrenNamed("postgres") };
  }

  /** Starts one of our programs that says where it listens; the answer is the child, with its `address`. */
  async listen(name, args = [], env = {}, stdin = "ignore") {
    const child = this.run(name, this.program(name), args, env, stdin);
    child.address = await listening(name, child);
    return child;
  }

  /** A child whose log goes to a file, as a service's does; `end()` ends it and waits until it has. */
  run(name, command, args, env = {}, stdin = "ignore") {
    const log = openSync(join(this.dir, `${name}.log`), "a");
    const child = spawn(command, args, { cwd: root, env: { PATH: process.env.PATH, ...env }, stdio: [stdin, "pipe", log] });
    closeSync(log);
    child.once("error", () => {});
    const ended = new Promise((resolve) => { child.once("close", resolve); });
    child.end = async () => {
      // Who is spoken to ends with the conversation.
      if (child.stdin) child.stdin.end();
      else child.kill("SIGTERM");
      const overdue = setTimeout(() => child.kill("SIGKILL"), READY_WITHIN);
      await ended;
      clearTimeout(overdue);
    };
    this.undo(child.end);
    return child;
  }

  /** Runs one of our programs to its end; the answer is what it printed, read as JSON. */
  complete(name, args, { input = "", env } = {}) {
    return new Promise((resolve, reject) => {
      const log = openSync(join(this.dir, `${name}.log`), "a");
      const child = spawn(this.program(name), args, { env, stdio: ["pipe", "pipe", log] });
      closeSync(log);
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (chunk) => { output += chunk; });
      // It says itself why it wants no more.
      child.stdin.once("error", () => {});
      child.once("error", reject);
      child.once("close", (code) => {
        if (code === 0) resolve(JSON.parse(output));
        else reject(new Plain(`${name} failed (${code}); it said last:\n${this.#lastWords(name)}`));
      });
      child.stdin.end(input);
    });
  }

  #lastWords(name) {
    return readFileSync(join(this.dir, `${name}.log`), "utf8").trimEnd().split("\n").slice(-5).join("\n");
  }
}

/** What a gateway is told, but for its database's address. */
export function settings() {
  return {
    ADMIN_TOKEN: randomBytes(32).toString("hex"), ENCRYPTION_KEY: randomBytes(32).toString("base64"), ALLOW_INSECURE_UPSTREAMS: "1", PORT: "0",
  };
}

/** The address that a program prints when it is ready. */
function listening(name, child) {
  return new Promise((resolve, reject) => {
    let text = "";
    const overdue = setTimeout(() => reject(new Plain(`${name} did not get ready`)), READY_WITHIN);
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      const address = text.match(/listening on (\S+)\n/)?.[1];
      if (!address) return;
      clearTimeout(overdue);
      resolve(address);
    });
    child.once("close", () => {
      clearTimeout(overdue);
      reject(new Plain(`${name} ended before it was ready`));
    });
  });
}

/** Asks an address for something, in JSON. */
export async function post(url, body, headers = {}) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Plain(`${new URL(url).pathname}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

/** Tells the fake upstream what to answer from now on. */
export async function play(fake, script) {
  await post(`${fake}/_fake/clear`);
  await post(`${fake}/_fake/script`, script);
}

/** A load for the load generator: requests as a step says, for one of these keys each, to an address. */
export function plan(address, { load, body, answer, warm_up_ms }, keys, more = []) {
  const headers = [
    ["x-api-key", "{key}"], ["anthropic-version", "2023-06-01"], ["content-type", "application/json"], ["user-agent", "bench/1"],
    ["x-session-id", "{connection}"], ...more,
  ];
  return JSON.stringify({ address: new URL(address).host, path: "/v1/messages", headers, keys, body, load, warm_up_ms, expect: answer });
}
