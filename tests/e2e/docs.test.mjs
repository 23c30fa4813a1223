//! What the documents say is so: their commands run, the tests that they name are there, and so is what they link to.

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { root } from "../../scripts/command.mjs";
import { claudeProgram, geminiScript } from "./support/cli.mjs";
import { furnish, settings, startFake, startLocal } from "./support/gateway.mjs";
import { cleanEnvironment, complete, debugPrograms } from "./support/programs.mjs";

/** The documents whose commands are run; a translation holds the same ones. */
const DOCUMENTS = ["README.md", "VERCEL_SETUP.md", ...readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];
const TRANSLATIONS = { "README.md": "README.zh-CN.md", "VERCEL_SETUP.md": "VERCEL_SETUP.zh-CN.md" };

/** What is not run here, by how its block begins, and why. */
const ELSEWHERE = {
  "npm run dev": "dev.test.mjs runs the one from a fresh clone, and this runs within the other",
  "cargo build --release": "minutes of compiling; dev.test.mjs builds and runs it so",
  "cargo run --release -p gateway --example": "minutes of compiling; the simulation is among the Rust tests",
  "llm-gateway accounts add team-1": "wants files of its reader's; cli/tests/it/readme.rs has them and runs every line",
  "docker compose": "wants an engine; container.test.mjs runs what it would",
  "pg_dump": "npm's PostgreSQL brings no client programs",
  "psql": "npm's PostgreSQL brings no client programs; database::outage::a_settlement_that_never_lands_is_one_line_of_the_log runs the statement",
};

const text = (name) => readFileSync(join(root, name), "utf8");
const blocks = (name) => [...text(name).matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block);
const reason = (block) => Object.keys(ELSEWHERE).find((beginning) => block.startsWith(beginning));

let fake;
let gateway;
let key;
let programs;
let bin;
before(async () => {
  programs = await debugPrograms();
  fake = await startFake(programs);
  const env = { ...await settings(), ANTHROPIC_UPSTREAM: fake.address, GEMINI_UPSTREAM: fake.address };
  gateway = await startLocal(programs, env);
  key = await furnish(gateway, fake);
  bin = mkdtempSync(join(tmpdir(), "llm-gateway-docs-bin-"));
  program("llm-gateway", `exec '${programs("llm-gateway")}' "$@"`);
  program("claude", `exec '${claudeProgram()}' "$@"`);
  program("gemini", `exec '${process.execPath}' '${geminiScript}' "$@"`);
  // Whatever a document asks of the gateway has to succeed.
  program("curl", `exec /usr/bin/env -i PATH='${process.env.PATH}' curl --fail-with-body "$@"`);
});
after(async () => {
  await gateway?.stop();
  await fake?.stop();
  if (bin) rmSync(bin, { recursive: true });
});

function program(name, line) {
  writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`);
  chmodSync(join(bin, name), 0o755);
}

/** A home as a person has it who uses both clients already. */
function home() {
  const home = mkdtempSync(join(tmpdir(), "llm-gateway-docs-"));
  const files = {
    ".claude/.credentials.json": { claudeAiOauth: { accessToken: "sk-ant-oat01-docs", refreshToken: "sk-ant-ort01-docs", expiresAt: Date.now() + 3_600_000, scopes: ["user:inference"] } },
    ".gemini/settings.json": { security: { auth: { selectedType: "gemini-api-key" } }, privacy: { usageStatisticsEnabled: false }, general: { enableAutoUpdate: false } },
  };
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), JSON.stringify(content));
  }
  return home;
}

for (const document of DOCUMENTS) {
  for (const block of blocks(document).filter((block) => !reason(block))) {
    test(`${document}: ${block.split("\n")[0]}`, async (t) => {
      const folder = home();
      t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
      const script = block.replaceAll("https://your-gateway.example", gateway.address).replaceAll("gw_your_key", key);
      const { code, stdout, stderr } = await complete("bash", ["-euo", "pipefail", "-c", script], {
        cwd: folder,
        env: {
          ...cleanEnvironment(folder),
          PATH: `${bin}:${process.env.PATH}`,
          GATEWAY: gateway.address,
          ADMIN_TOKEN: gateway.env.ADMIN_TOKEN,
          DATABASE_URL: gateway.env.DATABASE_URL,
          ENCRYPTION_KEY: gateway.env.ENCRYPTION_KEY,
          CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
          GEMINI_CLI_TRUST_WORKSPACE: "true",
        },
      });
      assert.equal(code, 0, `${script}\n${stdout}${stderr}`);
    });
  }
}

test("what is not run here is told with its reason, and no reason is left over", () => {
  const told = new Set(DOCUMENTS.flatMap(blocks).map(reason));
  assert.deepEqual(Object.keys(ELSEWHERE).filter((beginning) => !told.has(beginning)), []);
  assert.ok(DOCUMENTS.flatMap(blocks).filter((block) => !reason(block)).length > 15);
});

test("translations hold the same commands and the same tables", () => {
  const commands = (name) => blocks(name).map((block) => block.replace(/ *#.*$/gm, ""));
  for (const [original, translation] of Object.entries(TRANSLATIONS)) {
    assert.deepEqual(commands(translation), commands(original));
    const shape = (name) => text(name).split("\n").filter((line) => /^(#|\|)/.test(line)).map((line) => line.match(/^#*/)[0] || line.split("|").length);
    assert.deepEqual(shape(translation), shape(original), translation);
  }
});

test("the tests that FEATURES.md names are there", () => {
  const named = text("docs/FEATURES.md").split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| what |"))
    .flatMap((line) => line.split(" | ").at(-1).match(/`(?:[^`])+`/g) ?? []).map((name) => name.slice(1, -1));
  assert.ok(named.length > 30, `${named.length}`);
  for (const name of named) {
    const [, file, title] = name.match(/^([\w-]+\.test\.mjs): (.*)$/) ?? [];
    const [path, wanted] = file ? [`tests/e2e/${file}`, title] : [`lib/tests/it/${name.split("::").slice(0, -1).join("/")}.rs`, `fn ${name.split("::").at(-1)}()`];
    assert.ok(existsSync(join(root, path)) && text(path).includes(wanted), name);
  }
});

test("links within the project lead somewhere", () => {
  const anchor = (heading) => heading.toLowerCase().replace(/[^\w\s-]/g, "").replace(/\s/g, "-");
  for (const document of [...DOCUMENTS, ...Object.values(TRANSLATIONS), "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]) {
    for (const [, link] of text(document).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path, fragment] = link.split("#");
      const target = join(dirname(document), path);
      assert.ok(existsSync(join(root, target)), `${document}: ${link}`);
      if (fragment) assert.ok(text(target).match(/^#+ .*$/gm).some((line) => anchor(line.replace(/^#+ /, "")) === fragment), `${document}: ${link}`);
    }
  }
});

test("OPERATIONS.md knows every line that the log warns with", () => {
  const known = text("docs/OPERATIONS.md");
  const sources = readdirSync(join(root, "lib/src"), { recursive: true }).filter((name) => name.endsWith(".rs"));
  const said = sources.flatMap((name) => [...text(join("lib/src", name)).matchAll(/tracing::(?:warn|error)!\((?:[^;]*?)"([a-z][^"]{8,})"\s*,?\s*\)/g)].map(([, line]) => line));
  assert.ok(said.length > 12, said.join("\n"));
  for (const line of said) assert.ok(known.includes(line.split(";")[0]), line);
});

test("the Deploy button asks for what is needed, offers what is read, and leads back here", () => {
  const links = {};
  for (const name of ["README.md", "README.zh-CN.md"]) {
    const [, address] = text(name).match(/\[!\[Deploy with Vercel\]\(https:\/\/vercel\.com\/button\)\]\(([^)]+)\)/);
    const { origin, pathname, searchParams } = new URL(address);
    assert.equal(origin + pathname, "https://vercel.com/new/clone");
    links[name] = Object.fromEntries(searchParams);
  }
  for (const [name, asked] of Object.entries(links)) {
    assert.equal(asked["repository-url"], "https://github.com/OWNER/llm-gateway");
    assert.match(text(name), /`OWNER`/, "whose name it is is said");
    assert.deepEqual(asked.env.split(","), ["ADMIN_TOKEN", "ENCRYPTION_KEY"]);
    for (const variable of asked.env.split(",")) {
      assert.match(text(".env.example"), new RegExp(`^#${variable}=`, "m"));
      assert.ok(asked.envDescription.includes(variable));
    }
    const [, guide] = asked.envLink.match(/^https:\/\/github\.com\/OWNER\/llm-gateway\/blob\/main\/(.*)$/);
    assert.equal(guide, name.replace("README", "VERCEL_SETUP"));
    const offered = JSON.parse(asked.products).map(({ type, integrationSlug, productSlug, protocol }) => [type, integrationSlug, productSlug, protocol]);
    assert.deepEqual(offered, [["integration", "neon", "neon", "storage"], ["integration", "upstash", "upstash-kv", "storage"]]);
    assert.equal(asked["skippable-integrations"], "1", "Redis is no condition");
  }
});

test("vercel.json stays within the free plan", () => {
  const { functions, crons, regions = [], framework } = JSON.parse(text("vercel.json"));
  assert.equal(framework, null);
  assert.ok(Object.keys(functions).length <= 12 && regions.length <= 1 && !crons);
  for (const [file, { maxDuration, ...more }] of Object.entries(functions)) {
    assert.ok(existsSync(join(root, file)), file);
    assert.ok(maxDuration >= 10 && maxDuration <= 300, `${file}: a template with more is refused`);
    assert.deepEqual(more, {}, `${file}: memory and the like cannot be set`);
  }
});
