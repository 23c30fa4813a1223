//! The real Claude Code and Gemini CLI from npm, each in a home of its own with nothing but the documented settings.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { root } from "../../../scripts/command.mjs";
import { cleanEnvironment, complete } from "./programs.mjs";

const modules = join(root, "node_modules");

/** What `gemini` is: a script for node. */
export const geminiScript = join(modules, "@google/gemini-cli/bundle/gemini.js");

/** The native program: npm's newer versions run no script that would link it to its usual place. */
export function claudeProgram() {
  const candidates = [`claude-code-${process.platform}-${process.arch}/claude`, "claude-code/bin/claude.exe"];
  const found = candidates.map((name) => join(modules, "@anthropic-ai", name)).find(existsSync);
  if (!found) throw new Error("Claude Code is not installed; run npm ci");
  return found;
}

/** Where the key goes, as a person sets it: in place of a login, or beside one of its own in `login`. */
const claudeKey = (key, login) => (login ? { ...login, ANTHROPIC_CUSTOM_HEADERS: `x-gateway-key: ${key}` } : { ANTHROPIC_AUTH_TOKEN: key });
const geminiKey = (key, login) => (login ? { ...login, GEMINI_CLI_CUSTOM_HEADERS: `x-gateway-key: ${key}` } : { GEMINI_API_KEY: key });

/** `claude -p`, as a person types it. */
export function claude(gateway, key, prompt, args = [], login = null) {
  return atHome(async (home) =>
    complete(claudeProgram(), ["-p", prompt, ...args], {
      cwd: join(home, "work"),
      env: {
        ...cleanEnvironment(home),
        ANTHROPIC_BASE_URL: gateway.address,
        ...claudeKey(key, login),
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      },
    }));
}

/** `gemini -p`, with the settings file that it needs beside a base URL. */
export function gemini(gateway, key, prompt, args = [], login = null) {
  return geminiProgram("gemini-api-key", { GOOGLE_GEMINI_BASE_URL: gateway.address, ...geminiKey(key, login) }, prompt, args);
}

/** `gemini -p` after a "Login with Google", with the gateway in Code Assist's place and its key in the token's. */
export function geminiWithLogin(gateway, key, prompt, args = []) {
  return geminiProgram("oauth-personal", {
    CODE_ASSIST_ENDPOINT: gateway.address,
    GOOGLE_GENAI_USE_GCA: "true",
    GOOGLE_CLOUD_ACCESS_TOKEN: key,
    // It would show its token to Google's user directory too: from here it gets nowhere.
    HTTPS_PROXY: "http://127.0.0.1:9",
    NO_PROXY: "127.0.0.1",
  }, prompt, args);
}

function geminiProgram(selectedType, env, prompt, args) {
  return atHome(async (home) => {
    await mkdir(join(home, ".gemini"));
    await writeFile(join(home, ".gemini/settings.json"), JSON.stringify({
      security: { auth: { selectedType } },
      privacy: { usageStatisticsEnabled: false },
      general: { enableAutoUpdate: false, enableAutoUpdateNotification: false },
    }));
    return complete(process.execPath, [geminiScript, "-p", prompt, ...args], {
      cwd: join(home, "work"),
      env: { ...cleanEnvironment(home), ...env, GEMINI_CLI_TRUST_WORKSPACE: "true" },
    });
  });
}

async function atHome(body) {
  const home = await mkdtemp(join(tmpdir(), "llm-gateway-home-"));
  try {
    await mkdir(join(home, "work"));
    return await body(home);
  } finally {
    await rm(home, { recursive: true, force: true, maxRetries: 5 });
  }
}
