//! The first visit to a gateway that lacks its settings: the page comes up, and says what to set before anybody types.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";

import { withPage } from "./support/browser.mjs";
import { cleanEnvironment, debugPrograms, Program } from "./support/programs.mjs";

const COMPLETE = {
  DATABASE_URL: "postgresql://gateway@127.0.0.1:1/gateway",
  ADMIN_TOKEN: randomBytes(32).toString("hex"),
  ENCRYPTION_KEY: randomBytes(32).toString("base64"),
};

for (const missing of [["DATABASE_URL"], ["ADMIN_TOKEN"], ["ENCRYPTION_KEY"], Object.keys(COMPLETE)]) {
  test(`without ${missing.join(", ")} the first page says so`, async (t) => {
    const settings = Object.fromEntries(Object.entries(COMPLETE).filter(([name]) => !missing.includes(name)));
    const programs = await debugPrograms();
    const program = new Program(programs("llm-gateway"), ["serve"], { env: { ...cleanEnvironment("/nonexistent"), ...settings, PORT: "0" } });
    t.after(() => program.stop());
    const [, address] = await program.said(/^llm-gateway listening on (\S+)$/m);
    await withPage(async (page) => {
      await page.goto(address);
      const alert = page.getByRole("alert").filter({ hasText: "A setting is missing." });
      await alert.waitFor();
      const words = await alert.textContent();
      for (const name of missing) assert.ok(words.includes(name), words);
      for (const value of Object.values(settings)) assert.ok(!words.includes(value));
    });
  });
}
