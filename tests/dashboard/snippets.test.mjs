//! The lines that people copy.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import en from "../../public/js/i18n/en.js";
import { CLIENTS, GEMINI_SETTINGS, PLACEHOLDER, steps } from "../../public/js/snippets.js";

const URL = "https://gateway.example.com";
const KEY = "gw_Ab3dE9x";

const texts = (client, on) => steps(client, on, URL, KEY).map(({ text }) => text);

test("every client has its lines everywhere it is offered, with address and key in them", () => {
  for (const [client, places] of Object.entries(CLIENTS)) {
    assert.ok(`client.${client}` in en);
    for (const on of places) {
      assert.ok(`on.${on}` in en);
      const all = texts(client, on).join("\n");
      assert.ok(all.includes(URL) && all.includes(KEY), `${client} on ${on}`);
      assert.ok(!all.includes(PLACEHOLDER));
    }
  }
});

test("Claude Code takes two variables", () => {
  assert.equal(texts("claude-code", "unix")[0], `export ANTHROPIC_BASE_URL="${URL}"\nexport ANTHROPIC_AUTH_TOKEN="${KEY}"`);
  assert.equal(texts("claude-code", "powershell")[0], `$env:ANTHROPIC_BASE_URL = "${URL}"\n$env:ANTHROPIC_AUTH_TOKEN = "${KEY}"`);
  assert.equal(texts("claude-code", "unix")[2], 'export CLAUDE_CODE_GATEWAY_HINT_HEADERS="1"');
});

test("with a login of one's own the key stands in a header of its own", () => {
  assert.equal(texts("claude-code", "unix")[3], `export ANTHROPIC_BASE_URL="${URL}"\nexport ANTHROPIC_CUSTOM_HEADERS="x-gateway-key: ${KEY}"`);
  assert.equal(texts("gemini-cli", "powershell")[3], `$env:GOOGLE_GEMINI_BASE_URL = "${URL}"\n$env:GEMINI_CLI_CUSTOM_HEADERS = "x-gateway-key: ${KEY}"`);
});

test("Gemini CLI takes its settings file first, then two variables", () => {
  const [file, variables] = texts("gemini-cli", "unix");
  assert.equal(file, '{"security":{"auth":{"selectedType":"gemini-api-key"}}}');
  assert.deepEqual(JSON.parse(GEMINI_SETTINGS), { security: { auth: { selectedType: "gemini-api-key" } } });
  assert.equal(variables, `export GOOGLE_GEMINI_BASE_URL="${URL}"\nexport GEMINI_API_KEY="${KEY}"`);
  assert.equal(texts("gemini-cli", "powershell")[1], `$env:GOOGLE_GEMINI_BASE_URL = "${URL}"\n$env:GEMINI_API_KEY = "${KEY}"`);
});

test("a shell reads the exports as they are meant", () => {
  const [variables] = texts("claude-code", "unix");
  const out = execFileSync("sh", ["-c", `${variables}\nprintf '%s %s' "$ANTHROPIC_BASE_URL" "$ANTHROPIC_AUTH_TOKEN"`], { encoding: "utf8" });
  assert.equal(out, `${URL} ${KEY}`);
});

test("curl gets a whole command whose body is JSON", () => {
  for (const on of CLIENTS.curl) {
    const [command] = texts("curl", on);
    const words = execFileSync("sh", ["-c", `curl() { for word; do printf '%s\\n' "$word"; done; }\n${command}`], { encoding: "utf8" }).trim().split("\n");
    assert.ok(words[0].startsWith(`${URL}/v1`));
    assert.doesNotThrow(() => JSON.parse(words[words.indexOf("-d") + 1]));
    assert.ok(words.some((word) => word.endsWith(KEY)), "the key is in a header");
  }
});
