//! The dashboard in every dress, as the demo shows it: both themes, both languages, phone width, with axe-core on every page; and
//! under attack and in trouble: markup in every name (C7), no token in any address (C6), a revoked key, a database that goes and comes.

import assert from "node:assert/strict";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { stage } from "../../scripts/demo/stage.mjs";
import { startPostgres } from "../../scripts/postgres.mjs";
import { accessible, fits, signIn, stands, visit, withPage } from "./support/browser.mjs";
import { freshDatabase } from "./support/database.mjs";
import { ledger, settings, startFake, startLocal } from "./support/gateway.mjs";
import { debugPrograms } from "./support/programs.mjs";

let programs;
let demo;
before(async () => {
  programs = await debugPrograms();
  demo = await stage({ programs, databaseUrl: await freshDatabase(), days: 8, env: { PORT: "0" } });
});
after(() => demo?.stop());

function pages({ accounts, keys }, request) {
  const out = accounts.get("claude-team-3");
  return ["overview", "overview?span=7d&metric=first_token_p50&group=account", "accounts", `accounts/${out}`, "keys", `keys/${keys[2].id}`,
    "requests", `requests/${request}`, "routing?model=claude-opus-5-5", "connect", "settings", "settings/prices", "settings/audit"];
}

async function enter(page, { address, token }, { theme, language }) {
  await page.goto(address);
  await page.evaluate(([credential, how]) => {
    sessionStorage.setItem("session", JSON.stringify({ credential, role: "admin" }));
    for (const [name, value] of Object.entries(how)) localStorage.setItem(name, value);
  }, [token, { theme, language }]);
}

for (const [theme, language, width] of [["light", "en", 1280], ["dark", "zh", 360], ["dark", "en", 1280], ["light", "zh", 360]]) {
  test(`every page is accessible and fits: ${theme}, ${language}, ${width} pixels`, async () => {
    const [{ id }] = (await demo.api("GET", "/api/stats/requests?limit=1")).data;
    await withPage(async (page) => {
      await page.goto(demo.address);
      await page.locator("#demo:not([hidden])").waitFor();
      await enter(page, demo, { theme, language });
      await page.reload();
      for (const path of pages(demo, id)) {
        await visit(page, demo.address, path);
        assert.equal(await page.locator("#demo").isVisible(), true, path);
        await fits(page, path);
        await accessible(page, path);
        const text = await page.locator("body").innerText();
        assert.doesNotMatch(text, /\b(undefined|NaN|\[object)/, path);
        assert.equal(/\p{Script=Han}{2}/u.test(text.replaceAll("中文", "")), language === "zh", path);
      }
      for (const [path, open] of [["accounts?add=1"], ["keys?issue=1"], [`keys/${demo.keys[2].id}`, 1], ["routing", 0]]) {
        await visit(page, demo.address, path);
        if (open !== undefined) await page.getByRole("main").locator(path === "routing" ? ".panel-head button" : ".head-actions button").nth(open).click();
        await page.getByRole("dialog").waitFor();
        for (const summary of await page.getByRole("dialog").locator("summary").all()) await summary.click();
        await accessible(page, `${path}, asking`);
        await page.keyboard.press("Escape");
      }
    }, { viewport: { width, height: 800 }, colorScheme: theme === "dark" ? "light" : "dark", reducedMotion: "reduce" });
  });
}

test("the sign-in paints, and everything that the page loads comes from here", async () => {
  await withPage(async (page) => {
    const foreign = [];
    page.on("request", (request) => new URL(request.url()).origin !== demo.address && foreign.push(request.url()));
    await page.goto(demo.address);
    await page.locator("#credential").waitFor();
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null);
    assert.notEqual(paint, null);
    assert.deepEqual(foreign, []);
  });
});

test("C6, C7: markup in every name, note, model and message stays text, and no address has a token", async (t) => {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  const gateway = await startLocal(programs);
  t.after(() => gateway.stop());
  const evil = (name) => `<img src=x onerror="window.pwned=1">${name}`;
  const account = await gateway.api("POST", "/api/accounts", { provider: "anthropic", name: evil("account"), note: evil("note"), pool: evil("pool"), credential: { kind: "api_key", api_key: "evil-key" }, base_url: fake.address });
  const key = await gateway.api("POST", "/api/keys", { name: evil("key"), note: evil("keynote"), pool: evil("pool"), labels: { [evil("label")]: evil("value") } });
  const ask = (model) => fetch(`${gateway.address}/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": key.key, "anthropic-version": "2023-06-01", "content-type": "application/json", "user-agent": evil("agent"), "x-session-id": evil("session") },
    body: JSON.stringify({ model, max_tokens: 100, messages: [{ role: "user", content: "hi" }] }),
  }).then((answer) => answer.arrayBuffer());
  await ask(evil("model"));
  const json = { type: "error", error: { type: "authentication_error", message: evil("upstream") } };
  await fetch(`${fake.address}/_fake/script`, { method: "POST", body: JSON.stringify({ credential: "evil-key", answer: { status: 401, body: { json } } }) });
  await ask(evil("model"));
  const [row] = await ledger(gateway, 2);

  await withPage(async (page) => {
    const addresses = [];
    page.on("request", (request) => addresses.push(request.url()));
    page.on("framenavigated", (frame) => addresses.push(frame.url()));
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    const seen = new Set();
    for (const path of ["overview", "overview?group=model", "overview?group=key", "accounts", `accounts/${account.id}`, "keys", `keys/${key.id}`, "requests", `requests/${row.id}`, `routing?model=${encodeURIComponent(evil("model"))}&pool=${encodeURIComponent(evil("pool"))}`, "connect", "settings/audit"]) {
      await visit(page, gateway.address, path);
      for (const more of await page.getByRole("button", { name: /^Details of/ }).all()) await more.click();
      assert.equal(await page.locator("img[src='x']").count(), 0, path);
      const text = await page.locator("body").innerText();
      for (const name of ["account", "note", "pool", "keynote", "key", "label", "value", "agent", "model", "upstream"]) if (text.includes(evil(name))) seen.add(name);
    }
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.deepEqual([...seen].sort(), ["account", "agent", "key", "keynote", "label", "model", "note", "pool", "upstream", "value"]);
    for (const address of addresses) for (const secret of [gateway.env.ADMIN_TOKEN, key.key]) assert.ok(!address.includes(secret), address);
    assert.deepEqual(await page.evaluate(() => [document.cookie, JSON.stringify(localStorage)]), ["", "{}"]);
  });
});

test("a key that is revoked while its holder looks ends the session in words", async () => {
  const key = await demo.api("POST", "/api/keys", { name: "short-lived", role: "viewer" });
  await withPage(async (page) => {
    await signIn(page, demo.address, key.key);
    await demo.api("DELETE", `/api/keys/${key.id}`);
    // The next look at live figures finds it out.
    await page.getByText("The session has ended: the token or key is no longer accepted.").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });
});

test("when the database goes away the figures stay and the page says so; when it is back, all is live again", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "llm-gateway-looks-"));
  const socket = join(dir, "socket");
  // Each start has a socket of its own; a link keeps the address as it was.
  const start = async () => {
    const postgres = await startPostgres({ dir, settings: { fsync: "off" } });
    const [, place] = postgres.url.match(/@([^/]+)/);
    await rm(socket, { force: true });
    await symlink(decodeURIComponent(place), socket);
    return { stop: postgres.stop, url: postgres.url.replace(place, encodeURIComponent(socket)) };
  };
  let postgres = await start();
  const gateway = await startLocal(programs, { ...(await settings()), DATABASE_URL: postgres.url });
  t.after(async () => {
    await gateway.stop();
    await postgres.stop();
    await rm(dir, { recursive: true });
  });
  await withPage(async (page) => {
    page.setDefaultTimeout(60_000);
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await stands(page);
    await postgres.stop();
    await page.locator("#banner:not([hidden])").filter({ hasText: "The database is away." }).waitFor();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("link", { name: "Keys", exact: true }).click();
    await page.getByRole("alert").filter({ hasText: "It recovers by itself" }).waitFor();
    postgres = await start();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("No keys yet").waitFor();
  });
});
