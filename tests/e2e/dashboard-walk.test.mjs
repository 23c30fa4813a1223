//! The dashboard's small print: the keyboard alone, what a first visit weighs, motion, sessions that end, the shell around the pages, and
//! that there is no button which no test presses.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";

import { stage } from "../../scripts/demo/stage.mjs";
import { arrives, issueKey, signIn, stands, visit, withPage } from "./support/browser.mjs";
import { freshDatabase, query } from "./support/database.mjs";
import { startFake, startLocal } from "./support/gateway.mjs";
import { debugPrograms, eventually } from "./support/programs.mjs";

let programs;
let demo;
let databaseUrl;
before(async () => {
  programs = await debugPrograms();
  databaseUrl = await freshDatabase();
  demo = await stage({ programs, databaseUrl, days: 2, env: { PORT: "0" } });
});
after(() => demo?.stop());

/** Presses Tab until the control of that name has the focus, and sees that the focus can be seen. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press("Tab");
    const [said, seen] = await page.evaluate(() => {
      const at = document.activeElement;
      return [(at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent).trim(), getComputedStyle(at).outlineStyle !== "none"];
    });
    if (said !== name) continue;
    assert.ok(seen, `${name}: no focus to be seen`);
    return;
  }
  throw new Error(`Tab never came to ${name}`);
}

test("the keyboard alone: signed in, an account added, a key issued and copied, a request opened, signed out", async (t) => {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  const gateway = await startLocal(programs);
  t.after(() => gateway.stop());
  await withPage(async (page) => {
    const { keyboard } = page;
    await page.goto(gateway.address);
    await page.locator("#credential:focus").waitFor();
    await keyboard.type(gateway.env.ADMIN_TOKEN);
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await stands(page);

    await tabTo(page, "Skip to content");
    await keyboard.press("Enter");
    await tabTo(page, "Add an account");
    await keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).and(page.locator(":focus")).waitFor();
    await keyboard.type("by keyboard");
    await tabTo(page, "API key");
    await keyboard.type("upstream-key");
    await tabTo(page, "More options");
    await keyboard.press("Enter");
    await tabTo(page, "Base URL optional");
    await keyboard.type(fake.address);
    await keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });
    await page.getByRole("link", { name: "by keyboard" }).waitFor();

    await keyboard.press("Tab");
    await tabTo(page, "Keys");
    await keyboard.press("Enter");
    // The heading has the focus, as after a page load.
    await page.getByRole("heading", { name: "Keys", exact: true }).and(page.locator(":focus")).waitFor();
    await stands(page);
    await tabTo(page, "Issue key");
    await keyboard.press("Enter");
    await dialog.getByLabel("Name", { exact: true }).and(page.locator(":focus")).waitFor();
    await keyboard.type("typed");
    await keyboard.press("Enter");
    const secret = await dialog.getByText(/^gw_\w+$/).textContent();
    // What is shown once is not lost by a slip.
    for (let slip = 0; slip < 3; slip += 1) await keyboard.press("Escape");
    assert.equal(await dialog.getByText(secret).isVisible(), true);
    await tabTo(page, "I have copied it");
    await keyboard.press("Enter");
    await dialog.waitFor({ state: "detached" });

    const answer = await fetch(`${gateway.address}/v1/messages`, {
      method: "POST", headers: { "x-api-key": secret, "anthropic-version": "2023-06-01", "content-type": "application/json" },
      body: JSON.stringify({ model: "claude-haiku-5-5", max_tokens: 9, messages: [{ role: "user", content: "hi" }] }),
    });
    await answer.arrayBuffer();
    await eventually("the request in the ledger", async () => (await gateway.api("GET", "/api/stats/requests")).data.length === 1);
    await tabTo(page, "Requests");
    await keyboard.press("Enter");
    await page.getByRole("heading", { name: "Requests", exact: true }).and(page.locator(":focus")).waitFor();
    await stands(page);
    const [{ id }] = (await gateway.api("GET", "/api/stats/requests")).data;
    await tabTo(page, `Details of ${id}`);
    await keyboard.press("Enter");
    await page.getByText("1. by keyboard").waitFor();
    await keyboard.press("Tab");
    await tabTo(page, "Sign out");
    await keyboard.press("Enter");
    await page.locator("#credential:focus").waitFor();
  });
});

test("a first visit weighs under 150 kB compressed, and everything of it is asked for at once", async (t) => {
  await withPage(async (page) => {
    const weights = [];
    page.on("response", (response) => weights.push((async () => {
      const body = await response.body();
      const { responseBodySize } = await response.request().sizes();
      return [new URL(response.url()).pathname, response.headers()["content-encoding"] ? responseBodySize : gzipSync(body).length];
    })()));
    await signIn(page, demo.address, demo.token);
    await stands(page);
    const all = await Promise.all(weights.splice(0));
    const total = all.reduce((sum, [, weight]) => sum + weight, 0);
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    t.diagnostic(`${all.length} answers, ${total} bytes compressed, first paint after ${Math.round(paint)} ms`);
    assert.ok(total < 150_000, `${total} bytes: ${JSON.stringify(all)}`);
    // The browser asks for the icon once more than the page does.
    const files = all.map(([path]) => path).filter((path) => !path.startsWith("/api/") && path !== "/favicon.svg");
    assert.deepEqual(files.filter((path, place) => files.indexOf(path) !== place), [], "nothing is loaded twice");
  });
});

test("who wants no motion gets none, while a page loads and while it lives", async () => {
  for (const [reducedMotion, moves] of [["reduce", false], ["no-preference", true]]) {
    await withPage(async (page) => {
      await signIn(page, demo.address, demo.token);
      let answer;
      const held = new Promise((resolve) => { answer = resolve; });
      await page.route("**/api/keys*", async (route) => { await held; await route.continue(); });
      await page.getByRole("link", { name: "Keys", exact: true }).click();
      await page.locator(".skeleton").waitFor();
      assert.equal(await page.evaluate(() => document.querySelector(".skeleton").getAnimations({ subtree: true }).length > 0), moves);
      answer();
      await stands(page);
      await page.getByRole("link", { name: "Accounts", exact: true }).click();
      await page.locator(".pulse").waitFor();
      if (!moves) assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
    }, { reducedMotion });
  }
});

test("a key that expires while its holder looks ends the session in words", async () => {
  const key = await demo.api("POST", "/api/keys", { name: "for a day", role: "viewer", expires_in_seconds: 86_400 });
  await withPage(async (page) => {
    page.setDefaultTimeout(60_000);
    await signIn(page, demo.address, key.key);
    await query(databaseUrl, "update api_keys set expires_at = now() - interval '1 second' where id = $1", [key.id]);
    await page.getByText("The session has ended: the token or key is no longer accepted.").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await signIn(page, demo.address, demo.token);
  });
});

test("figures come back when somebody looks again", async () => {
  await withPage(async (page) => {
    page.setDefaultTimeout(60_000);
    await signIn(page, demo.address, demo.token);
    await stands(page);
    const show = (hidden) => page.evaluate((now) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => now });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await show(true);
    const live = page.waitForRequest("**/api/stats/live");
    await show(false);
    await live;
  });
});

test("the shell: language, theme and brand in the head, and a page that is not there", async () => {
  await withPage(async (page) => {
    await signIn(page, demo.address, demo.token);
    const head = page.getByRole("banner");
    await head.getByLabel("Theme").selectOption("dark");
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "dark");
    await head.getByLabel("Theme").selectOption("auto");
    await head.getByLabel("Language").selectOption("zh");
    await page.getByRole("heading", { name: "总览" }).waitFor();
    await head.getByLabel("语言").selectOption("en");
    await visit(page, demo.address, "settings");
    await head.getByRole("link", { name: "LLM Gateway" }).click();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.goto(`${demo.address}/#/accounts/acc_of_nobody`);
    await page.getByRole("alert").filter({ hasText: "It may have been removed meanwhile" }).waitFor();
    await page.goto(`${demo.address}/#/requests/req_of_nobody`);
    await page.getByRole("alert").filter({ hasText: "Not found." }).waitFor();
  }, { colorScheme: "light" });
});

test("connect: every client and place, filled with the key that this tab issued, and copied", async () => {
  await withPage(async (page) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await signIn(page, demo.address, demo.token);
    await page.getByRole("link", { name: "Keys", exact: true }).first().click();
    await page.getByRole("main").getByRole("button", { name: "Issue key" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("connects");
    await dialog.getByRole("button", { name: "Issue key" }).click();
    const secret = await dialog.getByText(/^gw_\w+$/).textContent();
    await dialog.getByRole("button", { name: "Copy: API key" }).click();
    await dialog.getByText("Copied", { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), secret);
    await dialog.getByRole("link", { name: "Connect a client" }).click();
    await page.getByRole("heading", { name: "Connect" }).waitFor();
    const main = page.getByRole("main");
    for (const [client, places] of [["Claude Code", ["macOS, Linux", "Windows PowerShell"]], ["Gemini CLI", ["macOS, Linux", "Windows PowerShell"]], ["Anthropic SDK", ["TypeScript", "Python"]], ["Google Gen AI SDK", ["TypeScript", "Python"]], ["curl", ["Anthropic API", "Gemini API"]]]) {
      await main.getByRole("link", { name: client, exact: true }).click();
      for (const place of places) {
        await main.getByRole("link", { name: place, exact: true }).click();
        await main.getByRole("link", { name: place, exact: true }).and(page.locator("[aria-current]")).waitFor();
        await main.getByText(secret).first().waitFor();
        await main.getByText(demo.address).first().waitFor();
      }
    }
    const code = main.locator("figure.snippet").last();
    await code.getByRole("button", { name: /^Copy/ }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await code.locator("code").textContent());
    await main.getByLabel("Key in the lines below").selectOption("");
    await code.getByText("gw_your_key").waitFor();
  });
});

test("lists act too: checked, paused and resumed, tried and revoked, refreshed, sorted, looked at over another time", async () => {
  await withPage(async (page) => {
    await signIn(page, demo.address, demo.token);
    const said = (text) => page.getByRole("status").filter({ hasText: text }).first().waitFor();
    const main = page.getByRole("main");
    await visit(page, demo.address, "accounts");
    await main.getByRole("button", { name: "Check: gemini-backup" }).click();
    await said("Checked gemini-backup:");
    await main.getByRole("button", { name: "Pause: gemini-backup" }).click();
    await said("gemini-backup is paused.");
    await main.getByRole("button", { name: "Resume: gemini-backup" }).click();
    await said("gemini-backup is back.");
    await main.getByRole("button", { name: "Reset: claude-contractor" }).click();
    await said("The cooldown of claude-contractor is cleared.");

    await issueKey(page, "short");
    await main.getByRole("button", { name: "Try it: short" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Try it" }).click();
    await dialog.getByText("It works.").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await main.getByRole("button", { name: "Revoke: short" }).click();
    await dialog.getByRole("button", { name: "Revoke" }).click();
    await said("short is revoked.");

    await visit(page, demo.address, "requests");
    const again = page.waitForRequest("**/api/stats/requests?*");
    await main.getByRole("button", { name: "Refresh" }).click();
    await again;
    for (const [label, value, part] of [["Provider", "gemini", /provider=gemini/], ["Outcome", "completed", /status=completed/], ["Account", demo.accounts.get("gemini-main"), /account=acc_/], ["Marks", "unpriced", /mark=unpriced/]]) {
      await main.getByLabel(label, { exact: true }).selectOption(value);
      await arrives(page, part);
    }
    await main.getByRole("link", { name: "Clear filters" }).first().click();
    await arrives(page, /#\/requests$/);

    await visit(page, demo.address, "overview");
    await main.getByLabel("Order").selectOption("requests");
    await arrives(page, /sort=requests/);
    await visit(page, demo.address, `keys/${demo.keys[0].id}`);
    await main.getByLabel("Figure", { exact: true }).selectOption("tokens");
    await arrives(page, /metric=tokens/);
    await visit(page, demo.address, `accounts/${demo.accounts.get("claude-team-1")}`);
    for (const span of ["1 hour", "7 days", "30 days", "90 days", "24 hours"]) {
      await main.getByRole("link", { name: span, exact: true }).click();
      await main.getByRole("link", { name: span, exact: true }).and(page.locator("[aria-current]")).waitFor();
      await stands(page);
    }
  });
});

/** Every button that the pages and their dialogs have; the tests of the dashboard press each of them. */
const PRESSED = [
  "Add a window", "Add account", "Cancel", "Change", "Check", "Copy", "Details", "Export CSV", "Issue key", "Pause", "Refresh", "Remove", "Reset", "Resume",
  "Revoke", "Rotate", "Save", "Set a price", "Show the order", "Sign out", "Take back", "Try it",
];

test("no page has a button that no test presses", async () => {
  // One that is out, whatever the tests before did to it.
  await demo.api("POST", `/api/accounts/${demo.accounts.get("claude-contractor")}/check`);
  await withPage(async (page) => {
    await signIn(page, demo.address, demo.token);
    const [{ id }] = (await demo.api("GET", "/api/stats/requests?limit=1")).data;
    const seen = new Set();
    const note = async () => {
      for (const button of await page.getByRole("button").all()) {
        const name = await button.getAttribute("aria-label") ?? await button.textContent();
        seen.add(name.split(/[:：]/)[0].replace(/^Details of.*/, "Details").trim());
      }
    };
    for (const path of ["overview", "accounts", `accounts/${demo.accounts.get("claude-contractor")}`, "keys", `keys/${demo.keys[2].id}`, "requests", `requests/${id}`, "routing", "connect", "settings", "settings/prices", "settings/audit"]) {
      await visit(page, demo.address, path);
      await note();
      const openers = page.getByRole("main").getByRole("button", { name: /^(Add account|Issue key|Set a price|Try it|Change|Rotate|Remove|Revoke|Take back)/ });
      const names = new Set(await openers.evaluateAll((all) => all.map((one) => (one.getAttribute("aria-label") ?? one.textContent).split(":")[0])));
      for (const name of names) {
        await openers.filter({ hasText: name }).first().click();
        await page.getByRole("dialog").waitFor();
        for (const summary of await page.getByRole("dialog").locator("summary").all()) await summary.click();
        await note();
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({ state: "detached" });
      }
    }
    assert.deepEqual([...seen].sort(), PRESSED);
  });
});
