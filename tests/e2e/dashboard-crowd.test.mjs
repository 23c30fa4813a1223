//! The dashboard with much in it: 200 accounts, 1,000 keys, names as long as they may be, figures as large as they come.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { accessible, arrives, fits, signIn, visit, withPage } from "./support/browser.mjs";
import { query } from "./support/database.mjs";
import { startLocal } from "./support/gateway.mjs";
import { debugPrograms } from "./support/programs.mjs";

const LONG = "a-name-that-somebody-made-as-long-as-the-gateway-allows-and-without-any-space-to-break-it-at-0123456";
const ACCOUNTS = 200;
const KEYS = 1_000;
/** Ids of requests, newest first; as the gateway's own, they begin with the time, in base 32. */
const REQUESTS = Array.from({ length: 120 }, (_, n) => `req_${(Date.now() - (n + 1) * 10_000).toString(32).padStart(10, "0").replace(/[i-v]/g, (letter) => "jkmnpqrstvwxyz"["ijklmnopqrstuv".indexOf(letter)])}${String(n).padStart(16, "0")}`);

let gateway;
before(async () => {
  gateway = await startLocal(await debugPrograms());
  const account = await gateway.api("POST", "/api/accounts", { provider: "anthropic", name: LONG.slice(0, 100), note: `${LONG} ${LONG}`, credential: { kind: "api_key", api_key: "one-of-many" } });
  const key = await gateway.api("POST", "/api/keys", { name: LONG.slice(0, 100), labels: { team: LONG.slice(0, 60) }, limits: { cost_total_usd: 9_000_000, tokens_per_day: 1_000_000_000_000 } });
  await multiply("accounts", account.id, ACCOUNTS - 1, { name: "'account-' || n", note: "''", health: "case when n % 20 = 0 then 'exhausted' else health end", pool: "case when n % 2 = 0 then 'default' else 'second' end" });
  await multiply("api_keys", key.id, KEYS - 1, { name: "'key-' || n", hash: "decode(md5(n::text) || md5(n::text), 'hex')", labels: "jsonb_build_object('team', 'team-' || n % 40)", created_at: "now() - n * interval '1 second'" });
  await query(gateway.env.DATABASE_URL, "select ledger_partition(now() - interval '1 hour'), ledger_partition(now())");
  await query(gateway.env.DATABASE_URL, `insert into ledger (id, started_at, key_id, account_id, pool, provider, operation, model, served_model, stream, session, client, affinity, status, http_status, attempts,
      input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, thinking_tokens, tool_use_tokens, searches, cost_micros, first_token_ms, duration_ms)
    select id, now() - n * interval '10 seconds', $1, $2, 'default', 'anthropic', 'generate', $3, $3, true, md5(n::text), $3, 'kept', 'completed', 200, '[]',
      900000000000, 900000000000, 0, 0, 900000000000, 0, 0, 0, 123456789012, 99999999, 99999999 from unnest($4::text[]) with ordinality as made (id, n)`, [key.id, account.id, LONG, REQUESTS]);
});
after(() => gateway?.stop());

/** Copies a row with other values in some columns, `n` being the copy's number. */
async function multiply(table, id, times, changed) {
  const columns = (await query(gateway.env.DATABASE_URL, "select column_name as name from information_schema.columns where table_name = $1 and table_schema = current_schema() and is_generated = 'NEVER'", [table])).map(({ name }) => name);
  const value = (name) => (name === "id" ? `'${id.slice(0, 4)}' || lpad(n::text, 26, '0')` : changed[name] ?? `one.${name}`);
  await query(gateway.env.DATABASE_URL, `insert into ${table} (${columns.join(", ")}) select ${columns.map(value).join(", ")} from ${table} one, generate_series(1, ${times}) n where one.id = '${id}'`);
  await query(gateway.env.DATABASE_URL, "update settings set revision = revision + 1");
}

for (const width of [1280, 360]) {
  test(`every list fits and is accessible: ${width} pixels`, async () => {
    await withPage(async (page) => {
      page.setDefaultTimeout(60_000);
      await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
      const [account] = (await gateway.api("GET", "/api/accounts?limit=500")).data.filter(({ name }) => name.startsWith("a-name"));
      const [request] = (await gateway.api("GET", "/api/stats/requests?limit=1")).data;
      for (const path of ["overview", "overview?group=account", "accounts", `accounts/${account.id}`, "keys", `keys/${request.key}`, "requests", `requests/${request.id}`, "routing?model=claude-opus-5-5"]) {
        await visit(page, gateway.address, path);
        await fits(page, path);
        assert.doesNotMatch(await page.locator("body").innerText(), /\b(undefined|NaN|Infinity|\[object)/, path);
      }
      await visit(page, gateway.address, "overview");
      await accessible(page, "overview");
    }, { viewport: { width, height: 800 }, reducedMotion: "reduce" });
  });
}

test("the overview shows who served and who is out, and leads to the rest", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    const panel = page.getByRole("region", { name: "Accounts", exact: true });
    await panel.getByRole("link", { name: /^See all 20/ }).waitFor();
    const rows = await panel.locator("tbody tr").count();
    assert.ok(rows <= 16, `${rows} rows`);
    assert.equal(await panel.getByText("Exhausted").count() > 0, true);
  });
});

test("accounts are counted by state and found by state, pool and name, all in the address", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, "accounts");
    const main = page.getByRole("main");
    const rows = main.locator("tbody tr");
    assert.equal(await rows.count(), ACCOUNTS);
    await main.getByRole("navigation", { name: "Accounts by state" }).getByRole("link", { name: "Exhausted 9" }).click();
    await arrives(page, /state=exhausted/);
    assert.equal(await rows.count(), 9);
    await main.getByLabel("Pool").selectOption("second");
    await main.getByRole("heading", { name: "No account fits" }).waitFor();
    await main.getByRole("link", { name: "Clear filters" }).click();
    await arrives(page, /#\/accounts$/);
    await main.getByLabel("Find").fill("ACCOUNT-17");
    await main.getByLabel("Find").press("Enter");
    await arrives(page, /find=ACCOUNT-17/);
    assert.deepEqual((await rows.getByRole("rowheader").getByRole("link").allTextContents()).sort(), ["account-17", ...Array.from({ length: 10 }, (_, n) => `account-17${n}`)].sort());
  });
});

test("keys are read page by page, and found among all of them", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, "keys");
    const main = page.getByRole("main");
    const rows = main.locator("tbody tr");
    assert.equal(await rows.count(), 50);
    const first = await rows.first().getAttribute("id");
    await main.getByRole("link", { name: "Older" }).click();
    await arrives(page, /cursor=/);
    assert.notEqual(await rows.first().getAttribute("id"), first);
    await main.getByRole("link", { name: "Newest" }).click();
    await page.locator(`[id="${first}"]`).waitFor();
    await main.getByLabel("Find").fill("team-7 key-847");
    await main.getByLabel("Find").press("Enter");
    await arrives(page, /find=/);
    assert.deepEqual(await rows.getByRole("rowheader").getByRole("link").allTextContents(), ["key-847"]);
    await main.getByLabel("Find").fill("nobody");
    await main.getByLabel("Find").press("Enter");
    await main.getByRole("heading", { name: "No key fits" }).waitFor();
  });
});

test("a ledger is read page by page", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, "requests");
    const rows = page.locator("main tbody > tr:not(.detail)");
    const seen = new Set();
    for (let at = 1; ; at += 1) {
      for (const id of await rows.evaluateAll((all) => all.map((row) => row.id))) seen.add(id);
      const older = page.getByRole("link", { name: "Older" });
      if (await older.count() === 0) break;
      await older.click();
      await page.waitForFunction((known) => !document.querySelector("main[aria-busy]") && document.querySelector("main tbody tr")?.id !== known, await rows.first().getAttribute("id"));
      assert.ok(at < 5);
    }
    assert.equal(seen.size, 120);
    await page.getByRole("link", { name: "Newest" }).click();
    await page.locator(`[id="${REQUESTS[0]}"]`).waitFor();
  });
});
