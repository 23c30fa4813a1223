//! Both languages say everything, and nothing is said that no page says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { choose, speak, t, word } from "../../public/js/i18n.js";
import en from "../../public/js/i18n/en.js";
import zh from "../../public/js/i18n/zh.js";
import { files, read } from "./tree.mjs";

const sources = files("js", ".js").filter((file) => !file.includes("/i18n/")).map(read).join("\n");

// Families whose values come from the API or from a list in the code: `word("state", value)` or t(`theme.${name}`).
const families = new Set([...sources.matchAll(/\bword\("([\w.]+)"/g), ...sources.matchAll(/\bt\(`(\w+)\.\$\{/g), ...sources.matchAll(/\bstate\("(\w+)"/g)].map(([, family]) => family));
const literals = new Set([...sources.matchAll(/"([a-z]\w*(?:\.\w+)+)"/g)].map(([, key]) => key));

test("the two dictionaries have the same keys in the same order", () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
});

test("a phrase takes the same values in both", () => {
  const values = (phrase) => phrase.match(/\{\w+\}/g)?.sort() ?? [];
  for (const key of Object.keys(en)) assert.deepEqual(values(zh[key]), values(en[key]), key);
});

test("no phrase is empty, and the Chinese ones that should be Chinese are", () => {
  for (const key of Object.keys(en)) {
    assert.ok(en[key].trim() && zh[key].trim(), key);
    const name = /^(client|provider|on|shell\.page|(column|detail)\.tokens|action\.on)/.test(key);
    assert.ok(name || /\p{Script=Han}/u.test(zh[key]), `${key} is not translated`);
  }
});

test("every key that the code names exists", () => {
  const named = [...sources.matchAll(/\bt\("([^"]+)"/g), ...sources.matchAll(/(?:label|note): "(connect\.[^"]+)"/g), ...sources.matchAll(/title = "([^"]+)"/g)].map(([, key]) => key);
  assert.ok(named.length > 150);
  for (const key of named) assert.ok(key in en, key);
});

// Keys put together from parts, as in t(`accounts.${verb}.done`).
const COMPOSED = /^(accounts\.(check|pause|resume|reset)\.done|filter\.\w+(\.any)?|role\.\w+\.may|\w+\.title)$/;

test("every key that exists is used", () => {
  for (const key of Object.keys(en)) {
    const said = literals.has(key) || COMPOSED.test(key) || [...families].some((family) => key.startsWith(`${family}.`));
    assert.ok(said, `${key} is never said`);
  }
});

test("the values that the contract names have words", () => {
  const values = {
    state: ["ready", "cooling", "exhausted", "needs_auth", "paused"],
    keystate: ["active", "rotation_due", "expired", "revoked"],
    role: ["admin", "member", "viewer"],
    provider: ["anthropic", "gemini"],
    outcome: ["completed", "refused", "failed", "cancelled", "lost"],
    verdict: ["delivered", "unsuited", "rate_limited", "overloaded", "exhausted", "needs_auth", "unreachable", "token_refused", "abandoned", "lost"],
    tokens: ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "thinking", "tool_use"],
    limit: ["requests_per_minute", "tokens_per_minute", "max_in_flight", "requests_per_day", "tokens_per_day", "cost_per_day_usd", "cost_per_week_usd", "cost_per_month_usd", "cost_total_usd"],
  };
  for (const [family, names] of Object.entries(values)) for (const name of names) assert.ok(`${family}.${name}` in en, `${family}.${name}`);
});

test("a language is chosen by what was remembered, then by the browser, then English", () => {
  assert.equal(choose("zh", ["en-GB"]), "zh");
  assert.equal(choose("xx", ["fr", "zh-TW", "en"]), "zh");
  assert.equal(choose(null, ["fr-FR", "de"]), "en");
  assert.equal(choose(null), "en");
});

test("phrases are filled, unknown values come through as they are", () => {
  speak("en");
  assert.equal(t("keys.issue.done", { name: "$& <b>" }), "$& <b> was issued.");
  assert.equal(word("state", "ready"), "Ready");
  assert.equal(word("state", "something_new"), "something_new");
  speak("zh");
  assert.equal(word("state", "ready"), "就绪");
  speak("nonsense");
  assert.equal(word("state", "ready"), "Ready");
});
