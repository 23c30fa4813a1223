//! The lines that point each client at this gateway. Pure; `key` is what stands where the key goes.

/** What stands for a key that is not known here. */
export const PLACEHOLDER = "gw_your_key";

/** Clients in the order of the page, each with where it runs or what it is written in. */
export const CLIENTS = {
  "claude-code": ["unix", "powershell"],
  "gemini-cli": ["unix", "powershell"],
  "anthropic-sdk": ["typescript", "python"],
  "google-sdk": ["typescript", "python"],
  curl: ["anthropic", "gemini"],
};

/** The file that Gemini CLI needs beside its variables: without it, it refuses to start on a base URL. */
export const GEMINI_SETTINGS = '{"security":{"auth":{"selectedType":"gemini-api-key"}}}';

const CLAUDE = "claude-haiku-5-5";
const GEMINI = "gemini-2.5-flash";

/** The steps for a client: `{ label, text }`, where `label` is a key of the dictionary. */
export function steps(client, on, url, key) {
  return RECIPES[client][on](url, key);
}

const RECIPES = {
  "claude-code": {
    unix: (url, key) => claudeCode(exported, url, key),
    powershell: (url, key) => claudeCode(assigned, url, key),
  },
  "gemini-cli": {
    unix: (url, key) => geminiCli(exported, "~/.gemini/settings.json", url, key),
    powershell: (url, key) => geminiCli(assigned, "$HOME\\.gemini\\settings.json", url, key),
  },
  "anthropic-sdk": { typescript: anthropicTypescript, python: anthropicPython },
  "google-sdk": { typescript: googleTypescript, python: googlePython },
  curl: { anthropic: curlAnthropic, gemini: curlGemini },
};

function claudeCode(line, url, key) {
  return [
    { label: "connect.step.environment", text: [line("ANTHROPIC_BASE_URL", url), line("ANTHROPIC_AUTH_TOKEN", key)].join("\n") },
    { label: "connect.step.try", text: 'claude -p "say hi"' },
    { label: "connect.step.hints", text: line("CLAUDE_CODE_GATEWAY_HINT_HEADERS", "1"), note: "connect.note.hints" },
    { label: "connect.step.own_login", text: [line("ANTHROPIC_BASE_URL", url), line("ANTHROPIC_CUSTOM_HEADERS", `x-gateway-key: ${key}`)].join("\n"), note: "connect.note.own_login.claude" },
  ];
}

function geminiCli(line, file, url, key) {
  return [
    { label: "connect.step.settings", values: { file }, text: GEMINI_SETTINGS, note: "connect.note.settings" },
    { label: "connect.step.environment", text: [line("GOOGLE_GEMINI_BASE_URL", url), line("GEMINI_API_KEY", key)].join("\n") },
    { label: "connect.step.try", text: 'gemini --skip-trust -p "say hi"', note: "connect.note.trust" },
    { label: "connect.step.own_login", text: [line("GOOGLE_GEMINI_BASE_URL", url), line("GEMINI_CLI_CUSTOM_HEADERS", `x-gateway-key: ${key}`)].join("\n"), note: "connect.note.own_login.gemini" },
  ];
}

function exported(name, value) {
  return `export ${name}="${value}"`;
}

function assigned(name, value) {
  return `$env:${name} = "${value}"`;
}

function anthropicTypescript(url, key) {
  return sdk("npm install @anthropic-ai/sdk", `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: "${url}",
  apiKey: "${key}",
});

const message = await client.messages.create({
  model: "${CLAUDE}",
  max_tokens: 256,
  messages: [{ role: "user", content: "Say hi" }],
});
console.log(message.content);`);
}

function anthropicPython(url, key) {
  return sdk("pip install anthropic", `from anthropic import Anthropic

client = Anthropic(
    base_url="${url}",
    api_key="${key}",
)

message = client.messages.create(
    model="${CLAUDE}",
    max_tokens=256,
    messages=[{"role": "user", "content": "Say hi"}],
)
print(message.content)`);
}

function googleTypescript(url, key) {
  return sdk("npm install @google/genai", `import { GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({
  apiKey: "${key}",
  httpOptions: { baseUrl: "${url}" },
});

const answer = await client.models.generateContent({
  model: "${GEMINI}",
  contents: "Say hi",
});
console.log(answer.text);`);
}

function googlePython(url, key) {
  return sdk("pip install google-genai", `from google import genai
from google.genai import types

client = genai.Client(
    api_key="${key}",
    http_options=types.HttpOptions(base_url="${url}"),
)

answer = client.models.generate_content(
    model="${GEMINI}",
    contents="Say hi",
)
print(answer.text)`);
}

function sdk(install, program) {
  return [{ label: "connect.step.install", text: install }, { label: "connect.step.program", text: program }];
}

function curlAnthropic(url, key) {
  return [{
    label: "connect.step.call",
    text: `curl ${url}/v1/messages \\
  -H "authorization: Bearer ${key}" \\
  -H "anthropic-version: 2023-06-01" \\
  -H "content-type: application/json" \\
  -d '{"model":"${CLAUDE}","max_tokens":256,"messages":[{"role":"user","content":"Say hi"}]}'`,
  }];
}

function curlGemini(url, key) {
  return [{
    label: "connect.step.call",
    text: `curl ${url}/v1beta/models/${GEMINI}:generateContent \\
  -H "x-goog-api-key: ${key}" \\
  -H "content-type: application/json" \\
  -d '{"contents":[{"role":"user","parts":[{"text":"Say hi"}]}]}'`,
  }];
}
