//! What a person of the team does through a gateway, whichever way it is hosted.

import assert from "node:assert/strict";

import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";

import { claude, gemini, geminiWithLogin } from "./cli.mjs";
import { eventsOf, gapsOf, streamedContent, streamedMessage } from "./streams.mjs";

/** What the fake says when a prompt asks for nothing in particular. */
const GREETING = "Hello! This is the fake upstream, and it has read your message.";
const CLAUDE_MODEL = "claude-sonnet-5-5";
const GEMINI_MODEL = "gemini-2.5-flash";

/** `claude -p "say hi"`. */
export async function claudeSaysHi(gateway, key) {
  const { code, stdout, stderr } = await claude(gateway, key, "say hi");
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stdout.trim(), GREETING);
}

/** Claude Code with a login of its own, a subscription's or a key. */
export async function claudeWithItsOwnLogin(gateway, key, login) {
  const { code, stdout, stderr } = await claude(gateway, key, "say hi", [], login);
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stdout.trim(), GREETING);
}

/** Gemini CLI with a key of its own. */
export async function geminiWithItsOwnLogin(gateway, key, login) {
  const { code, stdout, stderr } = await gemini(gateway, key, "say hi", ["-m", GEMINI_MODEL], login);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, new RegExp(GREETING));
}

/** Claude Code runs a command because the model asked for it, and the model hears what came of it. */
export async function claudeUsesATool(gateway, key) {
  const prompt = '[[tool Bash {"command":"echo from the tool | tr a-z A-Z","description":"Say where this comes from"}]]';
  const { code, stdout, stderr } = await claude(gateway, key, prompt, ["--allowedTools", "Bash"]);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /The tool answered: .*FROM THE TOOL/s);
}

/** `gemini -p "say hi"`, which asks a small model first which model to ask. */
export async function geminiSaysHi(gateway, key) {
  const { code, stdout, stderr } = await gemini(gateway, key, "say hi");
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, new RegExp(GREETING));
}

/** Gemini CLI runs a command because the model asked for it. */
export async function geminiUsesATool(gateway, key) {
  const prompt = '[[tool run_shell_command {"command":"echo from the tool | tr a-z A-Z","description":"Say where this comes from"}]]';
  const { code, stdout, stderr } = await gemini(gateway, key, prompt, ["-m", GEMINI_MODEL, "--approval-mode", "yolo"]);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /The tool answered: .*FROM THE TOOL/s);
}

/** `gemini -p "say hi"` as a client of Code Assist, which first asks who it is there and what it may still use. */
export async function geminiWithLoginSaysHi(gateway, key) {
  const { code, stdout, stderr } = await geminiWithLogin(gateway, key, "say hi");
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, new RegExp(GREETING));
}

/** Anthropic's SDK, plain and as a stream. */
export async function anthropicSdk(gateway, key) {
  const client = new Anthropic({ baseURL: gateway.address, apiKey: key, maxRetries: 0 });
  const ask = { model: CLAUDE_MODEL, max_tokens: 100, messages: [{ role: "user", content: "say hi" }] };
  const message = await client.messages.create(ask);
  assert.equal(message.content.at(-1).text, GREETING);
  assert.ok(message.usage.output_tokens > 0);

  const stream = client.messages.stream(ask);
  assert.equal(await stream.finalText(), GREETING);
  assert.deepEqual((await stream.finalMessage()).usage.output_tokens, message.usage.output_tokens);
}

/** One message by Anthropic's SDK. */
export async function anthropicSays(gateway, key) {
  const client = new Anthropic({ baseURL: gateway.address, apiKey: key, maxRetries: 0 });
  return client.messages.create({ model: CLAUDE_MODEL, max_tokens: 100, messages: [{ role: "user", content: "say hi" }] });
}

/** Both command lines give up by themselves, without trying again for minutes, and say why. */
export async function tellsOfTheSpentBudget(gateway, key) {
  const [first, second] = await Promise.all([
    claude(gateway, key, "say hi"),
    gemini(gateway, key, "say hi", ["-m", GEMINI_MODEL]),
  ]);
  for (const { code, stdout, stderr } of [first, second]) {
    assert.equal(code, 1, stdout + stderr);
    assert.match(stdout + stderr, /reached its limit of \$0\.000001 in total \(cost_total_usd\)/);
  }
}

/** Google's SDK, plain and as a stream. */
export async function googleSdk(gateway, key) {
  const client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: gateway.address } });
  const ask = { model: GEMINI_MODEL, contents: "say hi" };
  assert.equal((await client.models.generateContent(ask)).text, GREETING);

  let text = "";
  for await (const chunk of await client.models.generateContentStream(ask)) text += chunk.text ?? "";
  assert.equal(text, GREETING);
}

/** Both providers' streams, by hand: what comes with gaps from the upstream comes with the same gaps from the gateway. */
export async function streamsUnbuffered(gateway, key) {
  await Promise.all([streamedMessage, streamedContent].map(async (ask) => {
    const response = await ask(gateway, key, "[[words 5]] [[gap 300]]");
    assert.equal(response.status, 200, ask.name);
    const events = [];
    for await (const event of eventsOf(response)) events.push(event);
    // A busy machine delivers late, never early: what is read apart was not held back to be sent together.
    const gaps = gapsOf(events).map(Math.round);
    const apart = gaps.filter((gap) => gap > 150);
    assert.ok(events.length >= 5 && apart.length >= gaps.length - 1, `${ask.name}: gaps of ${gaps} ms`);
  }));
}

/** All of them, by what they are called. */
export const all = {
  "Claude Code says hi": claudeSaysHi,
  "Claude Code uses a tool": claudeUsesATool,
  "Gemini CLI says hi": geminiSaysHi,
  "Gemini CLI uses a tool": geminiUsesATool,
  "Anthropic's SDK": anthropicSdk,
  "Google's SDK": googleSdk,
  "streams arrive as they are sent": streamsUnbuffered,
};
