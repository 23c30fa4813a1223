//! Schemathesis, which asks an API whatever its document allows and forbids: installed once for each list of versions.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { root, runVisibly } from "../../../scripts/command.mjs";
import { targetDir } from "../../../scripts/local.mjs";
import { cleanEnvironment, complete } from "./programs.mjs";

const own = join(root, "tests/e2e/schemathesis");

/** Installs it where it is missing; the answer is the program's path. */
export async function installSchemathesis() {
  const versions = join(own, "requirements.txt");
  const name = createHash("sha256").update(await readFile(versions)).digest("hex").slice(0, 12);
  const home = join(targetDir(), `schemathesis-${name}`);
  const done = join(home, "installed");
  if (!existsSync(done)) {
    await rm(home, { recursive: true, force: true });
    await runVisibly("python3", ["-m", "venv", home]);
    await runVisibly(join(home, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement", versions]);
    await writeFile(done, "");
  }
  return join(home, "bin/schemathesis");
}

/** Asks everything that a gateway's document describes, as the holder of `token`: `{ code, stdout, stderr, ms }`. */
export async function askEverything(program, gateway, { token, upstream, examples, phases }) {
  const settings = ["--config-file", join(own, "schemathesis.toml"), "run", `${gateway.address}/api/openapi.json`];
  const bounds = ["--phases", phases, "--max-examples", String(examples), "--no-color", "--warnings", "off"];
  const home = await mkdtemp(join(tmpdir(), "schemathesis-"));
  const env = { ...cleanEnvironment(home), TOKEN: token, UPSTREAM: upstream, SCHEMATHESIS_HOOKS: join(own, "hooks.py"), PYTHONDONTWRITEBYTECODE: "1" };
  try {
    return await complete(program, [...settings, ...bounds], { env, cwd: home, within: 600_000 });
  } finally {
    await rm(home, { recursive: true });
  }
}
