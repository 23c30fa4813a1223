//! The same through `vercel dev -L`, the platform's own local runtime.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { furnish, ledger, settings, site, startFake } from "./support/gateway.mjs";
import * as journeys from "./support/journeys.mjs";
import { complete, debugPrograms } from "./support/programs.mjs";
import { copyProject, vercelDev } from "./support/vercel.mjs";

let fake;
let dev;
let gateway;
let key;
before(async () => {
  fake = await startFake(await debugPrograms());
  const env = await settings();
  dev = await vercelDev(copyProject(), env);
  gateway = site(dev.address, env);
  key = await furnish(gateway, fake);
});
after(async () => {
  await dev?.stop();
  await fake?.stop();
});

test("curl, with path and query untouched", async () => {
  const url = `${gateway.address}/v1beta/models/gemini-2.5-flash:generateContent?key=${key}`;
  const body = JSON.stringify({ contents: [{ role: "user", parts: [{ text: "[[say through curl]]" }] }] });
  const { code, stdout } = await complete("curl", ["-sS", "--fail-with-body", "-H", "content-type: application/json", "-d", body, url], { env: process.env });
  assert.equal(code, 0, stdout);
  assert.equal(JSON.parse(stdout).candidates[0].content.parts.map(({ text }) => text).join(""), "through curl");
});

for (const [name, walk] of Object.entries(journeys.all)) {
  test(`${name}, through vercel dev`, () => walk(gateway, key));
}

test("every request left its row, though each process lived for one request only", async () => {
  const rows = await ledger(gateway, 14);
  assert.equal(rows.length, 14);
  for (const row of rows) assert.equal(row.status, "completed", JSON.stringify(row));
});
