//! The project's own programs as child processes: built, started, listened to, ended.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { root, runVisibly } from "../../../scripts/command.mjs";
import { targetDir } from "../../../scripts/local.mjs";

/** What every child may know of this machine: no credential of whoever runs the tests is among it. */
export function cleanEnvironment(home) {
  const kept = ["PATH", "LANG", "TMPDIR", "CARGO_TARGET_DIR"].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []));
  return { ...Object.fromEntries(kept), HOME: home };
}

/** Builds the programs as `cargo test` does, and says where they are; quick when nothing has changed. */
export async function debugPrograms() {
  await runVisibly("cargo", ["build", "--locked", "--workspace", "--bins", "--quiet"]);
  return (name) => join(targetDir(), "debug", name);
}

/** Waits for a condition that another process brings about; the answer is what the condition gave. */
export async function eventually(what, condition, within = 60_000) {
  for (const deadline = Date.now() + within; ; await sleep(20)) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`never came: ${typeof what === "function" ? what() : what}`);
  }
}

/** A child process whose output can be waited for. */
export class Program {
  #text = "";
  #listeners = new Set();

  constructor(command, args, { env, cwd = root, detached = false } = {}) {
    this.name = command;
    this.child = spawn(command, args, { env, cwd, detached, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk) => {
        this.#text += chunk;
        this.#notify();
      });
    }
    this.exited = new Promise((resolve) => {
      this.child.once("error", (error) => {
        this.#text += error.message;
        resolve({ code: 127, signal: null });
      });
      this.child.once("close", (code, signal) => resolve({ code, signal }));
    });
    this.exited.then((end) => {
      this.end = end;
      this.#notify();
    });
  }

  /** Everything that it wrote so far. */
  get output() {
    return this.#text;
  }

  /** Waits until its output matches; the answer is the match. */
  said(pattern, within = 120_000) {
    return new Promise((resolve, reject) => {
      const settle = (finish, value) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        finish(value);
      };
      const look = () => {
        const match = this.#text.match(pattern);
        if (match) settle(resolve, match);
        else if (this.end) settle(reject, new Error(`${this.name} ended (${JSON.stringify(this.end)}) before it said ${pattern}:\n${this.#text}`));
      };
      const timer = setTimeout(() => settle(reject, new Error(`${this.name} did not say ${pattern}:\n${this.#text}`)), within);
      this.#listeners.add(look);
      look();
    });
  }

  /** Asks it to end, and waits until it has; the answer is its exit code, or the signal that it died of. */
  async stop(signal = "SIGTERM", within = 60_000) {
    this.child.kill(signal);
    const overdue = setTimeout(() => this.child.kill("SIGKILL"), within);
    const { code, signal: killedBy } = await this.exited;
    clearTimeout(overdue);
    return code ?? killedBy;
  }

  #notify() {
    for (const look of [...this.#listeners]) look();
  }
}

/** Runs a command to its end: `{ code, stdout, stderr, ms }`. A slow one is killed, and its code is null. */
export function complete(command, args, { env, cwd, within = 120_000 } = {}) {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, cwd, stdio: ["ignore", "pipe", "pipe"] });
    const overdue = setTimeout(() => child.kill("SIGKILL"), within);
    const written = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"]) {
      child[stream].setEncoding("utf8").on("data", (chunk) => { written[stream] += chunk; });
    }
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(overdue);
      resolve({ code, ...written, ms: Math.round(performance.now() - began) });
    });
  });
}
