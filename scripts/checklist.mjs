//! `npm run checklist`: from an empty directory to answered requests, on every host, without a step by hand.
//!
//! It clones what is committed here, and in that clone, where nothing is installed or built, runs `npm run dev` up to its first
//! answered request, the container's root, and `vercel build` with its output function by function. `-- --tests` runs the clone's
//! `npm test` too, as CI does. It takes half an hour of processor time, most of it `vercel build`.

import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { main, Plain, root, runVisibly } from "./command.mjs";
import { installTestTools } from "./local.mjs";

await main(async () => {
  const wanted = process.argv.slice(2);
  const unknown = wanted.find((word) => word !== "--tests");
  if (unknown) throw new Plain(`${unknown} is not known; there is --tests.`);

  if (execFileSync("git", ["status", "--porcelain"], { cwd: root, encoding: "utf8" })) {
    console.log("> What is not committed is in no clone");
  }
  await installTestTools();
  const place = await mkdtemp(join(tmpdir(), "llm-gateway-checklist-"));
  const clone = join(place, "llm-gateway");
  try {
    await runVisibly("git", ["clone", "--quiet", "--no-hardlinks", root, clone]);
    const { CARGO_TARGET_DIR: _own, ...env } = process.env;
    await runVisibly(process.execPath, ["--test", "--test-reporter=spec", "tests/e2e/checklist.test.mjs"], {
      env: { ...env, CHECKLIST_CLONE: clone },
    });
    if (wanted.includes("--tests")) await runVisibly("npm", ["test"], { cwd: clone, env });
    console.log("\nFrom an empty directory to answered requests: everything went by itself.");
  } finally {
    await rm(place, { recursive: true, force: true });
  }
});
