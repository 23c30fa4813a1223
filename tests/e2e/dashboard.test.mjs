//! The dashboard as an operator uses it: every page and every action, in a real browser against a real gateway and database.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { addAccount, arrives, issueKey, signIn, stands, visit, withPage } from "./support/browser.mjs";
import { ledger, startFake, startLocal } from "./support/gateway.mjs";
import { debugPrograms } from "./support/programs.mjs";

let fake;
let gateway;
before(async () => {
  const programs = await debugPrograms();
  fake = await startFake(programs);
  gateway = await startLocal(programs);
});
after(async () => {
  await gateway?.stop();
  await fake?.stop();
});

const button = (page, name) => page.getByRole("main").getByRole("button", { name, exact: true });
const said = (page, text) => page.getByRole("status").filter({ hasText: text }).first().waitFor();

async function account(name) {
  return (await gateway.api("GET", "/api/accounts")).data.find((one) => one.name === name);
}

async function key(name) {
  return (await gateway.api("GET", "/api/keys")).data.find((one) => one.name === name);
}

/** Opens a dialog, has it filled in, and waits until it is gone. */
async function inDialog(page, open, confirm, fill = async () => {}) {
  await open.click();
  const dialog = page.getByRole("dialog");
  await fill(dialog);
  await dialog.getByRole("button", { name: confirm, exact: true }).click();
  await dialog.waitFor({ state: "detached" });
}

async function atFake(dialog) {
  await dialog.getByText("More options").click();
  await dialog.getByLabel("Base URL").fill(fake.address);
}

async function ask(secret, model = "claude-sonnet-5-5") {
  const answer = await fetch(`${gateway.address}/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": secret, "anthropic-version": "2023-06-01", "content-type": "application/json", "x-session-id": "a-conversation" },
    body: JSON.stringify({ model, max_tokens: 100, messages: [{ role: "user", content: "say hi" }] }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

test("a new gateway says what to do next, and a wrong token what is wrong", async () => {
  await withPage(async (page) => {
    await page.goto(gateway.address);
    await page.getByLabel("Admin token or API key").fill("x".repeat(40));
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("This gateway does not know that token or key.").waitFor();
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    for (const [name, dialog] of [["Add an account", "Add an account"], ["Issue a key", "Issue a key"]]) {
      await page.getByRole("main").getByRole("link", { name }).click();
      await page.getByRole("dialog", { name: dialog }).getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("link", { name: "Overview", exact: true }).click();
      await stands(page);
    }
    await page.getByRole("main").getByRole("link", { name: "Connect a client" }).click();
    await page.getByRole("heading", { name: "Connect" }).waitFor();
    for (const path of ["accounts", "keys", "requests", "settings/prices"]) {
      await visit(page, gateway.address, path);
      await page.locator(".empty h2").waitFor();
    }
  });
});

test("accounts: added by key, by tokens and by a login file; checked, paused, resumed, changed, removed", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await addAccount(page, "by key", "upstream-key", fake.address);

    const add = button(page, "Add account");
    await add.click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("How it signs in").selectOption("oauth");
    await dialog.getByLabel("Name", { exact: true }).fill("by tokens");
    await dialog.getByLabel("Access token").fill("sk-ant-oat01-tokens");
    await atFake(dialog);
    await dialog.getByRole("button", { name: "Add account" }).click();
    // The server's refusal stands at its field.
    await dialog.getByText("it is your statement that the provider's terms allow").waitFor();
    await dialog.getByLabel("The provider's terms allow this login to be used this way").check();
    await dialog.getByRole("button", { name: "Add account" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal((await account("by tokens")).credential.kind, "oauth");

    const contents = JSON.stringify({ claudeAiOauth: { accessToken: "sk-ant-oat01-file", refreshToken: "sk-ant-ort01-file", expiresAt: Date.now() + 3_600_000 } });
    await inDialog(page, add, "Add account", async (open) => {
      await open.getByLabel("How it signs in").selectOption("file");
      await open.getByLabel("Choose a login file").setInputFiles({ name: ".credentials.json", mimeType: "application/json", buffer: Buffer.from(contents) });
      await open.getByText(".credentials.json", { exact: true }).waitFor();
      await open.getByLabel("Name", { exact: true }).fill("by file");
      await atFake(open);
      await open.getByLabel("The provider's terms allow").check();
    });
    assert.equal((await account("by file")).credential.kind, "oauth");

    // Dropped anywhere on the list, the same dialog opens with it.
    const dropped = await page.evaluateHandle((text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], "oauth_creds.json", { type: "application/json" }));
      return data;
    }, JSON.stringify({ access_token: "ya29.dropped", token_type: "Bearer" }));
    await page.locator("main .panel").first().dispatchEvent("drop", { dataTransfer: dropped });
    await dialog.getByText("oauth_creds.json", { exact: true }).waitFor();
    await dialog.getByLabel("Name", { exact: true }).fill("by drop");
    await atFake(dialog);
    await dialog.getByLabel("The provider's terms allow").check();
    await dialog.getByRole("button", { name: "Add account" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal((await account("by drop")).provider, "gemini");

    await page.getByRole("link", { name: "by key" }).click();
    await page.getByRole("heading", { name: "by key" }).waitFor();
    await button(page, "Check").click();
    await said(page, "Checked by key:");
    await button(page, "Pause").click();
    await said(page, "by key is paused.");
    assert.equal((await account("by key")).state, "paused");
    await button(page, "Resume").click();
    await said(page, "by key is back.");
    await inDialog(page, button(page, "Change"), "Save", async (open) => {
      await open.getByLabel("Name", { exact: true }).fill("renamed");
      await open.getByLabel("Priority").fill("3");
      await open.getByLabel("Model names to change").fill("claude-a=claude-b");
      await open.getByLabel("Paid overage").selectOption("false");
      await open.getByLabel("Note").fill("a note");
    });
    const changed = await account("renamed");
    assert.deepEqual([changed.priority, changed.model_map, changed.use_paid_overage, changed.note], [3, { "claude-a": "claude-b" }, false, "a note"]);
    await inDialog(page, button(page, "Change"), "Save", async (open) => {
      await open.getByLabel("Model names to change").fill("");
      await open.getByLabel("Note").fill("");
      await open.getByLabel("Credential", { exact: true }).selectOption("api_key");
      await open.getByLabel("API key", { exact: true }).fill("another-key-1234");
    });
    const emptied = await account("renamed");
    assert.deepEqual([emptied.model_map, emptied.note, emptied.credential.hint.slice(-4)], [{}, "", "1234"]);

    await visit(page, gateway.address, `accounts/${(await account("by drop")).id}`);
    await inDialog(page, button(page, "Remove"), "Remove");
    await page.getByRole("heading", { name: "Accounts" }).waitFor();
    assert.equal(await account("by drop"), undefined);
  });
});

test("an account that is out says why and until when, and a reset brings it back", async () => {
  const { id } = await gateway.api("POST", "/api/accounts", { provider: "anthropic", name: "busy", pool: "slow", credential: { kind: "api_key", api_key: "busy-key" }, base_url: fake.address });
  const { key } = await gateway.api("POST", "/api/keys", { name: "slow", pool: "slow" });
  const answering = async (status, type, message, headers = []) => {
    const answer = { status, headers, body: { json: { type: "error", error: { type, message } } } };
    await fetch(`${fake.address}/_fake/script`, { method: "POST", body: JSON.stringify({ credential: "busy-key", times: 1, answer }) });
    assert.notEqual(await ask(key), 200);
  };
  await answering(429, "rate_limit_error", "Slow down, please.", [["retry-after", "900"]]);
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, `accounts/${id}`);
    await page.getByText(/sonnet-5 back in 1[45]m/).waitFor();
    await button(page, "Reset").click();
    await said(page, "The cooldown of busy is cleared.");
    await button(page, "Reset").waitFor({ state: "detached" });

    await answering(401, "authentication_error", "This key was withdrawn.");
    await page.getByText("Needs sign-in").waitFor();
    await page.getByText("This key was withdrawn.").first().waitFor();
    await page.getByText("failures in a row: ").waitFor();
    await button(page, "Reset").click();
    await page.getByText("Ready").waitFor();
    assert.equal((await account("busy")).state, "ready");
  });
});

test("keys: issued with every limit, tried, changed, rotated, revoked", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, "keys");
    await button(page, "Issue key").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("maya");
    await dialog.getByText("Scope and rotation").click();
    await dialog.getByLabel("Anthropic").check();
    await dialog.getByLabel("Labels").fill("team=search\nfloor=2");
    await dialog.getByLabel("Networks").fill("127.0.0.0/8, ::1/128");
    await dialog.getByLabel("New secret every (days)").fill("30");
    await dialog.getByLabel("Holder may rotate it").check();
    await dialog.getByText("Limits", { exact: true }).click();
    await dialog.getByLabel("USD a day").fill("2.5");
    await dialog.getByLabel("Requests a minute").fill("100");
    await dialog.getByLabel("Time zone").fill("Europe/Berlin");
    for (const hours of ["5", "24"]) {
      await dialog.getByRole("button", { name: "Add a window" }).click();
      const row = dialog.locator(".window-row").last();
      await row.getByLabel("Hours").fill(hours);
      await row.getByLabel("Requests").fill("50");
    }
    await dialog.locator(".window-row").first().getByRole("button", { name: "Remove" }).click();
    await dialog.getByRole("button", { name: "Issue key" }).click();
    const secret = await dialog.getByText(/^gw_\w+$/).textContent();
    await dialog.getByRole("button", { name: "I have copied it" }).click();
    const made = await key("maya");
    assert.deepEqual([made.providers, made.labels, made.allowed_cidrs, made.rotate_every_days, made.auto_rotate, made.time_zone],
      [["anthropic"], { team: "search", floor: "2" }, ["127.0.0.0/8", "::1/128"], 30, true, "Europe/Berlin"]);
    assert.deepEqual([made.limits.cost_per_day_usd, made.limits.requests_per_minute, made.limits.windows], [2.5, 100, [{ hours: 24, requests: 50 }]]);

    assert.equal(await ask(secret), 200);
    await ledger(gateway, 2);
    await page.getByRole("link", { name: "maya" }).click();
    await page.getByRole("heading", { name: "maya", exact: true }).waitFor();
    await page.getByRole("meter", { name: "Requests in 24 h" }).waitFor();
    await page.getByText(/49 left/).waitFor();

    await button(page, "Try it").click();
    assert.equal(await dialog.getByLabel("Secret").inputValue(), secret);
    await dialog.getByRole("button", { name: "Try it" }).click();
    await dialog.getByText("It works.").waitFor();
    await dialog.getByText("claude-opus-5-5").waitFor();
    await dialog.getByLabel("Secret").fill(`${secret.slice(0, -1)}!`);
    await dialog.getByRole("button", { name: "Try it" }).click();
    await dialog.getByText("Not signed in.").waitFor();
    await dialog.getByRole("button", { name: "Cancel" }).click();

    await inDialog(page, button(page, "Change"), "Save", async (open) => {
      await open.getByText("Limits", { exact: true }).click();
      await open.getByLabel("Requests a minute").fill("");
      await open.getByLabel("USD a month").fill("40");
      await open.locator(".window-row").first().getByRole("button", { name: "Remove" }).click();
    });
    const changed = (await key("maya")).limits;
    assert.deepEqual([changed.requests_per_minute ?? null, changed.cost_per_month_usd, changed.windows ?? []], [null, 40, []]);

    await button(page, "Rotate").click();
    await dialog.getByLabel("The old secret works").selectOption("0");
    await dialog.getByRole("button", { name: "Rotate" }).click();
    const fresh = await dialog.getByText(/^gw_\w+$/).textContent();
    await dialog.getByRole("button", { name: "I have copied it" }).click();
    assert.notEqual(fresh, secret);
    assert.equal(await ask(secret), 401);
    assert.equal(await ask(fresh), 200);

    await inDialog(page, button(page, "Revoke"), "Revoke");
    await said(page, "maya is revoked.");
    assert.equal(await ask(fresh), 401);
  });
});

test("requests: filtered in the address, opened, paged to one, and exported with the credential in a header", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    const secret = await issueKey(page, "asker");
    for (let n = 0; n < 3; n += 1) await ask(secret, "claude-haiku-5-5");
    const rows = await ledger(gateway, 6);
    await visit(page, gateway.address, "requests");
    const main = page.getByRole("main");
    await main.getByLabel("Key", { exact: true }).selectOption({ label: "asker" });
    await arrives(page, /key=key_/);
    await main.getByLabel("Model", { exact: true }).fill("claude-haiku*");
    await main.getByLabel("Model", { exact: true }).press("Enter");
    await arrives(page, /model=claude-haiku/);
    await main.getByLabel("Time", { exact: true }).selectOption("1h");
    await arrives(page, /span=1h/);
    assert.equal(await main.locator("tbody > tr:not(.detail)").count(), 3);

    await main.getByRole("button", { name: /^Details of/ }).first().click();
    await main.getByText(/^1\. (renamed|by tokens|by file)/).first().waitFor();
    await main.getByRole("link", { name: /^[0-9a-f]{32}$/ }).first().click();
    await arrives(page, /session=[0-9a-f]{32}/);
    await visit(page, gateway.address, `requests/${rows[0].id}`);
    await main.getByText(rows[0].id).waitFor();

    await visit(page, gateway.address, "requests?model=claude-haiku*");
    const download = page.waitForEvent("download");
    await button(page, "Export CSV").click();
    const csv = await readFile(await (await download).path(), "utf8");
    assert.match(csv, /^id,started_at,/);
    assert.equal(csv.trim().split("\n").length, 4);
    await said(page, "The export is complete.");

    await visit(page, gateway.address, "requests?status=lost");
    await page.getByRole("heading", { name: "No request fits" }).waitFor();
  });
});

test("overview: figures, a chart by choice, tables, and what affinity is worth, all in the address", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    const main = page.getByRole("main");
    await main.getByRole("figure", { name: "Requests" }).waitFor();
    await main.locator(".u-wrap canvas").first().waitFor();
    await main.getByLabel("Figure", { exact: true }).selectOption("cost");
    await arrives(page, /metric=cost/);
    await main.getByRole("figure", { name: "Cost" }).waitFor();
    for (const group of ["label:team", "account", "status", "none"]) {
      await main.getByLabel("Told apart by").selectOption(group);
      await arrives(page, new RegExp(`group=${encodeURIComponent(group)}`));
      await main.getByRole("figure", { name: "Cost" }).waitFor();
    }
    for (const metric of ["success_rate", "first_token_p50", "cache_hit_ratio"]) {
      await main.getByLabel("Figure", { exact: true }).selectOption(metric);
      await arrives(page, new RegExp(`metric=${metric}`));
    }
    await main.getByRole("link", { name: "7 days" }).click();
    await arrives(page, /span=7d/);
    for (const name of ["What affinity and failover are worth", "Accounts", "Keys", "Models", "Last requests"]) await main.getByRole("heading", { name, exact: true }).waitFor();
    await main.getByText("Saved by kept conversations").waitFor();
  });
});

test("routing: the order with its reasons, and a policy by a plain form", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, "routing");
    await page.getByLabel("Model", { exact: true }).fill("claude-opus-5-5");
    await button(page, "Show the order").click();
    await arrives(page, /model=claude-opus-5-5/);
    await page.getByText("tier 3, weight 1").waitFor();
    await inDialog(page, page.getByRole("button", { name: "Change: default · Anthropic" }), "Save", async (open) => {
      await open.getByLabel("Order", { exact: true }).selectOption("headroom");
      await open.getByLabel("Accounts a request may try").fill("5");
      await open.getByText("Times and cooldowns").click();
      await open.getByLabel("Remember a conversation (s)").fill("900");
    });
    const [policy] = (await gateway.api("GET", "/api/routing")).data;
    assert.deepEqual([policy.strategy, policy.max_attempts, policy.affinity.ttl_seconds, policy.affinity.enabled], ["headroom", 5, 900, true]);
    await page.getByText("no limit reported yet").or(page.getByText("left of its tightest limit")).first().waitFor();
  });
});

test("settings: prices set and taken back, every change in the audit log, language and theme kept", async () => {
  await withPage(async (page) => {
    await signIn(page, gateway.address, gateway.env.ADMIN_TOKEN);
    await visit(page, gateway.address, "settings/prices");
    await inDialog(page, button(page, "Set a price"), "Save", async (open) => {
      await open.getByLabel("Model", { exact: true }).fill("my-model");
      await open.getByLabel(/^Input/).first().fill("1.5");
      await open.getByLabel(/^Output/).first().fill("6");
    });
    assert.equal(Number((await gateway.api("GET", "/api/stats/prices")).data[0].output), 6);
    await inDialog(page, page.getByRole("button", { name: "Change: my-model" }), "Save", (open) => open.getByLabel(/^Output/).first().fill("7"));
    assert.equal(Number((await gateway.api("GET", "/api/stats/prices")).data[0].output), 7);
    await inDialog(page, page.getByRole("button", { name: "Take back: my-model" }), "Take back");
    assert.deepEqual((await gateway.api("GET", "/api/stats/prices")).data, []);

    await page.getByRole("link", { name: "Audit log" }).click();
    await page.getByText("Price taken back").waitFor();
    await page.getByLabel("About").selectOption("key");
    await arrives(page, /about=key/);
    await page.getByText("Key revoked").waitFor();
    assert.equal(await page.getByText("Price taken back").count(), 0);

    await visit(page, gateway.address, "settings");
    await page.getByRole("main").getByLabel("Theme").selectOption("dark");
    await page.getByRole("main").getByLabel("Language").selectOption("zh");
    await page.getByRole("heading", { name: "设置" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "设置" }).waitFor();
    assert.deepEqual(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dataset.theme]), ["zh-Hans", "dark"]);
  });
});

test("a viewer sees everything and is offered no change; a member sees its own key and nothing else", async () => {
  const [viewer, member] = await Promise.all(["viewer", "member"].map((role) => gateway.api("POST", "/api/keys", { name: `the ${role}`, role })));
  assert.equal(await ask(member.key), 200);
  await withPage(async (page) => {
    await signIn(page, gateway.address, viewer.key);
    for (const path of ["accounts", "keys", "routing", "settings/prices", `keys/${member.id}`]) {
      await visit(page, gateway.address, path);
      const offered = await page.getByRole("main").getByRole("button").allTextContents();
      assert.deepEqual(offered.filter((name) => !["Show the order", "Try it"].includes(name)), [], path);
    }
  });
  await withPage(async (page) => {
    await page.goto(gateway.address);
    await page.getByLabel("Admin token or API key").fill(member.key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "the member" }).waitFor();
    assert.deepEqual(await page.getByRole("navigation", { name: "Pages" }).getByRole("link").allTextContents(), ["My key", "Requests", "Connect", "Settings"]);
    for (const path of ["requests", "connect", "settings", "accounts"]) await visit(page, gateway.address, path);
    await page.getByRole("heading", { name: "the member" }).waitFor();
    await visit(page, gateway.address, "requests");
    assert.equal(await page.locator("main tbody > tr:not(.detail)").count(), 1);
  });
});
