//! The pinned Vercel CLI without an account, on a copy of the project such as a clone would be.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

import { root } from "../../../scripts/command.mjs";
import { quickRelease, targetDir } from "../../../scripts/local.mjs";
import { cleanEnvironment, complete, Program } from "./programs.mjs";

const cli = join(root, "node_modules/vercel/dist/vc.js");

/**
 * Copies what git knows or would add: what a clone would hold once this is committed. The place is always the same and
 * times are kept, so that cargo, whose target directory is the project's own, builds only what changed.
 */
export function copyProject() {
  const target = targetDir();
  const copy = join(target, "e2e-checkout");
  rmSync(copy, { recursive: true, force: true });
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" });
  for (const file of listed.split("\0").filter((name) => name && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file), { preserveTimestamps: true });
  }
  return { dir: copy, env: { CARGO_TARGET_DIR: target } };
}

/**
 * `vercel build`, as the platform's own machines run it; the answer has its output's directory and its time. Without `profile` it
 * takes the minutes that it takes there.
 */
export async function vercelBuild(copy, profile = quickRelease) {
  mkdirSync(join(copy.dir, ".vercel"), { recursive: true });
  writeFileSync(join(copy.dir, ".vercel/project.json"), JSON.stringify({ projectId: "prj_test", orgId: "team_test", settings: { framework: null } }));
  const result = await complete(process.execPath, [cli, "build", "--yes", "--standalone"], {
    cwd: copy.dir,
    env: { ...vercelEnvironment(copy), ...profile, VERCEL_BUILD_IMAGE: "1" },
    within: 3_600_000,
  });
  if (result.code !== 0) throw new Error(`vercel build failed (${result.code}):\n${result.stdout}${result.stderr}`);
  return { output: join(copy.dir, ".vercel/output"), ms: result.ms };
}

/** `vercel dev -L`, which reads its variables from the copy's `.env`. */
export async function vercelDev(copy, variables) {
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(copy.dir, ".env"), lines.join(""), { mode: 0o600 });
  const program = new Program(process.execPath, [cli, "dev", "-L", "--listen", "127.0.0.1:0", "--non-interactive"], {
    cwd: copy.dir,
    env: vercelEnvironment(copy),
  });
  const [, address] = await program.said(/Available at (http:\/\/\S+)/, 60_000);
  return { address, program, stop: () => program.stop() };
}

/** No account and no telemetry, but the machine's Rust. */
function vercelEnvironment(copy) {
  return {
    ...cleanEnvironment(join(copy.dir, ".vercel/home")),
    ...copy.env,
    CARGO_HOME: process.env.CARGO_HOME ?? join(homedir(), ".cargo"),
    RUSTUP_HOME: process.env.RUSTUP_HOME ?? join(homedir(), ".rustup"),
    VERCEL_TELEMETRY_DISABLED: "1",
    NO_UPDATE_NOTIFIER: "1",
    CI: "1",
  };
}
