//! The demo's callers: conversations that come, go on for a while, and end; sometimes one hangs up.

import { scripts } from "./upstream.mjs";

const MODELS = {
  anthropic: ["claude-sonnet-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"],
  gemini: ["gemini-3.8-flash", "gemini-3.8-flash", "gemini-2.5-pro", "gemini-3.5-flash-lite"],
};
/** A conversation's fixed part, long enough to be worth a cache. */
const SYSTEM = "You are an engineer of this team. Read before you write, and say what you do not know. ".repeat(600);
const TALKERS = 6;
const FAILURE_EVERY_MS = 25_000;

/** Calls until it is stopped: `{ counted, stop }`. */
export function startTraffic({ address, fake, keys, pace = 1 }) {
  const stopping = new AbortController();
  const { signal } = stopping;
  const callers = keys.filter(({ share }) => share > 0);
  const counted = { asked: 0 };
  const running = Array.from({ length: TALKERS }, () => talk({ address, callers, pace, signal, counted }));
  running.push(fail(fake, signal));
  return {
    /** How many requests were `asked` by now. */
    counted,
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
  };
}

/** Has the fake upstream answer as the cast says. */
export async function direct(fake, failing) {
  await fetch(`${fake}/_fake/script`, { method: "PUT", body: JSON.stringify(scripts(Date.now(), failing)) });
}

async function talk({ address, callers, pace, signal, counted }) {
  while (!signal.aborted) {
    const caller = drawn(callers);
    const provider = caller.providers.length === 1 || Math.random() < 0.72 ? caller.providers[0] : caller.providers[1];
    const model = allowed(caller, pick(MODELS[provider]), provider);
    const session = crypto.randomUUID();
    const turns = 1 + Math.floor(Math.random() * 8);
    for (let turn = 1; turn <= turns && !signal.aborted; turn += 1) {
      await ask({ address, caller, provider, model, session, turn, signal });
      counted.asked += 1;
      await pause((1_000 + 12_000 * Math.random()) / pace, signal);
    }
  }
}

function allowed(caller, model, provider) {
  if (!caller.models) return model;
  return provider === "anthropic" ? "claude-haiku-5-5" : "gemini-3.5-flash-lite";
}

async function ask({ address, caller, provider, model, session, turn, signal }) {
  const words = `[[words ${20 + Math.floor(120 * Math.random())}]] [[gap ${10 + Math.floor(40 * Math.random())}]]`;
  const hangsUp = Math.random() < 0.01;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(hangsUp ? 900 : 120_000)]);
  const { path, body } = provider === "anthropic" ? message(model, words, turn) : content(model, words, turn);
  const headers = { "content-type": "application/json", "x-session-id": session, authorization: `Bearer ${caller.secret}`, "user-agent": provider === "anthropic" ? "claude-cli/2.1.330 (external, cli)" : "GeminiCLI/0.61.0 (linux; x64)" };
  try {
    const answer = await fetch(address + path, { method: "POST", headers: provider === "anthropic" ? { ...headers, "anthropic-version": "2023-06-01" } : headers, body: JSON.stringify(body), signal: limit });
    await answer.arrayBuffer();
  } catch {
    // It hung up, or the demo ends.
  }
}

function message(model, words, turn) {
  const messages = Array.from({ length: 2 * turn - 1 }, (_, index) => ({ role: index % 2 ? "assistant" : "user", content: index === 2 * turn - 2 ? words : "And then? ".repeat(200) }));
  return { path: "/v1/messages", body: { model, max_tokens: 2_000, stream: true, system: [{ type: "text", text: SYSTEM, cache_control: { type: "ephemeral" } }], messages } };
}

function content(model, words, turn) {
  const contents = Array.from({ length: 2 * turn - 1 }, (_, index) => ({ role: index % 2 ? "model" : "user", parts: [{ text: index === 2 * turn - 2 ? words : "And then? ".repeat(200) }] }));
  return { path: `/v1beta/models/${model}:streamGenerateContent?alt=sse`, body: { systemInstruction: { parts: [{ text: SYSTEM }] }, contents } };
}

async function fail(fake, signal) {
  while (!signal.aborted) {
    await pause(FAILURE_EVERY_MS, signal);
    if (!signal.aborted) await direct(fake, new Set([pick(["claude-team-1", "claude-team-2", "gemini-main"])])).catch(() => {});
  }
}

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function drawn(callers) {
  let left = Math.random() * callers.reduce((sum, { share }) => sum + share, 0);
  return callers.find(({ share }) => (left -= share) < 0) ?? callers[0];
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    if (signal.aborted) done();
    else signal.addEventListener("abort", done);
  });
}
