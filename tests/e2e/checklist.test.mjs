//! From a clone to answered requests, as each host runs it and without a step by hand.
//!
//! `npm run checklist` gives a clone of its own, in which nothing is built yet; without one it is a copy that shares what is built.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as container from "./support/container.mjs";
import { freshDatabase, reachable } from "./support/database.mjs";
import { everywhere } from "./support/everywhere.mjs";
import { furnish, ledger, site, startFake } from "./support/gateway.mjs";
import { startDeployment } from "./support/platform.mjs";
import { cleanEnvironment, complete, debugPrograms, Program } from "./support/programs.mjs";
import { copyProject, vercelBuild } from "./support/vercel.mjs";

/** Everything is compiled meanwhile, in a clone that is fresh. */
const PATIENCE = 3_600_000;

const fresh = process.env.CHECKLIST_CLONE;
const clone = fresh ? { dir: fresh, env: { CARGO_TARGET_DIR: join(fresh, "target") } } : copyProject();

let fake;
before(async () => {
  fake = await startFake(await debugPrograms());
});
after(() => fake?.stop());

async function firstAnswer(gateway, key) {
  const answer = await fetch(`${gateway.address}/v1/messages`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "anthropic-version": "2023-06-01", "content-type": "application/json" },
    body: JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 100, messages: [{ role: "user", content: "[[say well met]]" }] }),
  });
  const told = await answer.json();
  assert.deepEqual([answer.status, told.content?.[0].text], [200, "well met"], JSON.stringify(told));
  assert.equal((await ledger(gateway, 1))[0].status, "completed");
}

test("npm run dev: from the clone to its first answered request, and down again", { timeout: PATIENCE }, async () => {
  const foreign = /^(npm_(?!config_(registry|cache|cafile))|INIT_CWD$|DATABASE_URL|POSTGRES_URL|ADMIN_TOKEN|ENCRYPTION_KEY|TEST_|NODE_TEST|CHECKLIST)/;
  const shell = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  const env = { ...shell, ...clone.env, PORT: "0", ALLOW_INSECURE_UPSTREAMS: "1" };
  const program = new Program("npm", ["run", "dev"], { cwd: clone.dir, env, detached: true });
  try {
    const [, address, token] = await program.said(/Dashboard +(http:\S+?)\/\n\s+Admin token +(\S+)/, PATIENCE);
    const gateway = site(address, { ADMIN_TOKEN: token });
    await firstAnswer(gateway, await furnish(gateway, fake));
  } finally {
    // As Ctrl-C does: all that it started hears it at once.
    if (!program.end) process.kill(-program.child.pid, "SIGINT");
    await program.exited;
  }
  assert.match(program.output, /> Stopped\n$/);
});

test("the container: its root is laid out, serves, is well, and drains", { timeout: PATIENCE }, async (t) => {
  const staged = mkdtempSync(join(tmpdir(), "llm-gateway-root-"));
  t.after(() => rmSync(staged, { recursive: true }));
  // The program that `npm run dev` has built from the clone.
  await container.stage(join(clone.env.CARGO_TARGET_DIR, "release/llm-gateway"), staged, clone.dir);
  const env = {
    ...container.variables,
    PORT: "0",
    DATABASE_URL: await reachable(t, await freshDatabase()),
    ADMIN_TOKEN: randomBytes(32).toString("hex"),
    ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    ALLOW_INSECURE_UPSTREAMS: "1",
  };
  const program = new Program(...container.contained(staged, container.command, env));
  t.after(() => program.stop("SIGKILL"));
  const [, port] = await program.said(/^llm-gateway listening on http:\/\/0\.0\.0\.0:(\d+)$/m);
  const gateway = site(`http://127.0.0.1:${port}`, env);
  await firstAnswer(gateway, await furnish(gateway, fake));
  const well = await complete(...container.contained(staged, container.healthcheck, { ...env, PORT: port }));
  assert.deepEqual([well.code, well.stderr], [0, ""]);
  program.child.kill(container.last("STOPSIGNAL"));
  assert.deepEqual(await program.exited, { code: 0, signal: null });
});

test("vercel build: every route, every file and every 404 of its output, function by function", { timeout: PATIENCE }, async () => {
  // A clone of its own is built as the platform builds it, with the minutes of optimisation that takes.
  const { output, ms } = await (fresh ? vercelBuild(clone, {}) : vercelBuild(clone));
  console.log(`vercel build: ${(ms / 1000).toFixed(1)} s`);
  const gateway = await startDeployment(output);
  try {
    const key = await furnish(gateway, fake);
    await firstAnswer(gateway, key);
    await everywhere(gateway, key, output);
  } finally {
    assert.deepEqual(await gateway.stop(), [0, 0, 0, 0]);
  }
});

if (fresh) {
  test("the clone is still as it was cloned", async () => {
    const { code, stdout } = await complete("git", ["status", "--porcelain"], { cwd: clone.dir, env: cleanEnvironment(tmpdir()) });
    assert.deepEqual([code, stdout], [0, ""], "what is made beside the code is ignored by git");
  });
}
