//! `npm run dev` from what a clone holds: it comes up by itself, a person sets it up in the page, and a restart keeps everything.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { addAccount, issueKey, signIn, withPage } from "./support/browser.mjs";
import { site, startFake } from "./support/gateway.mjs";
import { claudeSaysHi } from "./support/journeys.mjs";
import { complete, debugPrograms, Program } from "./support/programs.mjs";
import { copyProject } from "./support/vercel.mjs";

/** The first start compiles everything. */
const UP_WITHIN = 900_000;

let fake;
let clone;
before(async () => {
  fake = await startFake(await debugPrograms());
  clone = copyProject();
});
after(() => fake?.stop());

/** What a person's shell has, without what an npm that runs these tests added, and without any setting of a gateway. */
function shell() {
  const foreign = /^(npm_(?!config_(registry|cache|cafile))|INIT_CWD$|DATABASE_URL|POSTGRES_URL|ADMIN_TOKEN|ENCRYPTION_KEY|TEST_|NODE_TEST)/;
  const inherited = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(inherited), ...clone.env, PORT: "0", ALLOW_INSECURE_UPSTREAMS: "1" };
}

async function dev() {
  const program = new Program("npm", ["run", "dev"], { cwd: clone.dir, env: shell(), detached: true });
  const [, address, token] = await program.said(/Dashboard +(http:\S+?)\/\n\s+Admin token +(\S+)/, UP_WITHIN);
  return { program, token, ...site(address, { ADMIN_TOKEN: token }) };
}

/** As a terminal's Ctrl-C does: npm, the script and all that it started hear the signal at once. */
async function end(program, signal) {
  process.kill(-program.child.pid, signal);
  await program.exited;
  assert.match(program.output, /> Stopped\n$/);
}

test("up from a clone, set up in the page, used by Claude Code, and all still there after a restart", async () => {
  let secret;
  const first = await dev();
  try {
    await withPage(async (page) => {
      await signIn(page, first.address, first.token);
      await addAccount(page, "our first account", "upstream-key", fake.address);
      secret = await issueKey(page, "maya-laptop");
    });
    await claudeSaysHi(first, secret);
  } finally {
    await end(first.program, "SIGINT");
  }
  await assert.rejects(fetch(first.address));

  const second = await dev();
  try {
    assert.equal(second.token, first.token);
    const accounts = await second.api("GET", "/api/accounts");
    assert.deepEqual(accounts.data.map(({ name }) => name), ["our first account"]);
    await claudeSaysHi(second, secret);
    assert.equal((await second.api("GET", "/api/stats/requests")).data.length, 2);
  } finally {
    await end(second.program, "SIGTERM");
  }
});

test("npm run db:push brings the schema up to date by hand, and ends", async () => {
  const { code, stdout, stderr } = await complete("npm", ["run", "db:push"], { cwd: clone.dir, env: shell() });
  assert.equal(code, 0, stdout + stderr);
});

test("what it keeps is for its owner's eyes only", () => {
  for (const [name, mode] of [["", 0o700], ["postgres", 0o700], ["admin-token", 0o600], ["encryption-key", 0o600]]) {
    assert.equal(statSync(join(clone.dir, ".data", name)).mode & 0o777, mode, name);
  }
});

test("a taken port is told at once and in words", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  t.after(() => other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address();
  const program = new Program("npm", ["run", "dev"], { cwd: clone.dir, env: { ...shell(), PORT: String(port) } });
  assert.equal((await program.exited).code, 1);
  assert.match(program.output, new RegExp(`Port ${port} is taken`));
  assert.doesNotMatch(program.output, /Building|at file:/);
});
