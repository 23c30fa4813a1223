//! What the local commands share: the environment, the secrets kept under `.data/`, the build and the database.

import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

import { Plain, root, runVisibly } from "./command.mjs";
import { installed, startPostgres } from "./postgres.mjs";

/** Where what must outlive a run is kept: the database and the generated secrets. */
export const dataDir = join(root, ".data");

/**
 * Optimised, without the minutes that whole-program optimisation takes. The tests build the functions with the same
 * settings, so that each dependency is compiled once for both.
 */
export const quickRelease = {
  CARGO_PROFILE_RELEASE_LTO: "off",
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
  GATEWAY_COMMIT: commit(),
};

/** Takes what `.env` says and the environment does not. */
export function loadEnvFile() {
  if (!process.loadEnvFile) throw new Plain(`Node.js 20.12 or newer is needed; this is ${process.version}.`);
  const file = join(root, ".env");
  if (existsSync(file)) process.loadEnvFile(file);
}

/** The variables that the gateway needs and the operator did not set: made once, then always the same. */
export function secrets() {
  return {
    ADMIN_TOKEN: process.env.ADMIN_TOKEN || keptSecret("admin-token", () => randomBytes(32).toString("hex")),
    ENCRYPTION_KEY: process.env.ENCRYPTION_KEY || keptSecret("encryption-key", () => randomBytes(32).toString("base64")),
  };
}

function keptSecret(name, make) {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = join(dataDir, name);
  try {
    writeFileSync(file, `${make()}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  return readFileSync(file, "utf8").trim();
}

/** A port that is taken is told before the minutes of a build, not after. `again` is the command that would start this one. */
export async function refuseTakenPort(again) {
  const [host, port] = [process.env.HOST || "127.0.0.1", Number(process.env.PORT || 13010)];
  const probe = createServer();
  await new Promise((resolve, reject) => {
    probe.once("error", reject).listen(port, host, resolve);
  }).catch((error) => {
    if (error.code !== "EADDRINUSE") throw new Plain(`Cannot listen on ${host}:${port}: ${error.message}`);
    throw new Plain(
      `Port ${port} is taken: another program listens on ${host}:${port}, perhaps an earlier npm run dev or demo.\n` +
      `Stop it, or choose another port: PORT=13011 ${again}`);
  });
  await new Promise((resolve) => probe.close(resolve));
}

/** Installs PostgreSQL and what speaks to it, where they are missing. */
export async function installPrograms({ report, signal }) {
  if (installed() && existsSync(join(root, "node_modules/pg"))) return;
  report("Installing PostgreSQL (npm ci)");
  await runVisibly("npm", ["ci", "--omit=dev"], { signal });
}

/** The operator's database, or our own: `{ url, stop }`. */
export async function database({ report, signal }) {
  const given = process.env.DATABASE_URL || process.env.POSTGRES_URL;
  if (given) return { url: given, stop: async () => {} };
  await installPrograms({ report, signal });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  report("Starting PostgreSQL");
  return startPostgres({ dir: join(dataDir, "postgres"), report });
}

/** Installs what only the tests need, where it is missing. */
export async function installTestTools() {
  if (!existsSync(join(root, "node_modules/vercel"))) await runVisibly("npm", ["ci"]);
}

/** Builds programs of this project; the answer is where each of them is, by its name. */
export async function buildPrograms(names, { report, signal }) {
  report("Building the gateway (a few minutes the first time)");
  const env = { ...process.env, ...quickRelease };
  await runVisibly("cargo", ["build", "--locked", "--release", ...names.flatMap((name) => ["--bin", name])], { signal, env });
  return (name) => join(targetDir(), "release", name);
}

/** Builds the gateway; the answer is the program's path. */
export async function buildGateway(how) {
  return (await buildPrograms(["llm-gateway"], how))("llm-gateway");
}

/** What `llm-gateway --version` names; empty where this is no clone, or there is no git. */
function commit() {
  if (process.env.GATEWAY_COMMIT) return process.env.GATEWAY_COMMIT;
  const asked = spawnSync("git", ["rev-parse", "--short=12", "HEAD"], { cwd: root, encoding: "utf8" });
  return asked.status === 0 ? asked.stdout.trim() : "";
}

/** Where cargo puts what it builds. */
export function targetDir() {
  const metadata = execFileSync("cargo", ["metadata", "--no-deps", "--format-version", "1"], { cwd: root, maxBuffer: 1 << 26 });
  return JSON.parse(metadata).target_directory;
}
