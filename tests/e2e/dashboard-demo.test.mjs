//! `npm run demo` as a newcomer meets it: one command, a living dashboard that says it is a demo, Ctrl-C, and nothing is left.

import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, test } from "node:test";

import { signIn, withPage } from "./support/browser.mjs";
import { cleanEnvironment, debugPrograms, eventually, Program } from "./support/programs.mjs";

/** PostgreSQL, five weeks of a past and a debug build take their time on a busy machine. */
const UP_WITHIN = 300_000;

let built;
before(async () => {
  built = dirname((await debugPrograms())("llm-gateway"));
});

function demo(env) {
  return new Program("npm", ["run", "demo", "--", "--built", built], { env: { ...cleanEnvironment("/nonexistent"), npm_config_cache: join(tmpdir(), "npm-cache"), ...env }, detached: true });
}

test("one command shows a living dashboard, marked as a demo, and Ctrl-C leaves nothing behind", async (t) => {
  const TMPDIR = await mkdtemp(join(tmpdir(), "llm-gateway-demo-test-"));
  t.after(() => rm(TMPDIR, { recursive: true, force: true }));
  const program = demo({ TMPDIR, PORT: "0" });
  t.after(() => program.end || process.kill(-program.child.pid, "SIGKILL"));
  const [, address, token] = await program.said(/Dashboard +(http:\S+?)\/\n\s+Admin token +(\S+)/, UP_WITHIN);
  for (const progress of [/> Starting PostgreSQL/, /> Starting the gateway/, /> Making up the last 35 days: 28 are done/, /Everything in it is made up, and nothing reaches a provider/]) assert.match(program.output, progress);

  await withPage(async (page) => {
    page.setDefaultTimeout(120_000);
    await signIn(page, address, token);
    await page.getByText("Demo. Accounts, keys and traffic are made up, and nothing reaches a provider.").waitFor();
    // The figures move by themselves: requests come in while the page only stands there.
    const newest = () => page.locator("main section").filter({ has: page.getByRole("heading", { name: "Last requests" }) }).locator("tbody tr").first().getAttribute("id");
    const first = await newest();
    await eventually("another request on the page", async () => (await newest()) !== first, 120_000);
    await page.getByText("requests/s").waitFor();
    await page.getByText("Saved by kept conversations").waitFor();
  });

  process.kill(-program.child.pid, "SIGINT");
  await program.exited;
  assert.match(program.output, /> Stopped, and all of it is gone\n$/);
  await assert.rejects(fetch(address));
  assert.deepEqual((await readdir(TMPDIR)).filter((name) => name.startsWith("llm-gateway")), []);
});

test("a taken port is told before anything is started", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  t.after(() => other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address();
  const program = demo({ PORT: String(port) });
  assert.equal((await program.exited).code, 1);
  assert.match(program.output, new RegExp(`Port ${port} is taken[^]*npm run demo`));
  assert.doesNotMatch(program.output, /> Starting|at file:/);
});
