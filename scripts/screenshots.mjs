//! `npm run screenshots`: pictures of the demo's pages for the READMEs, in `docs/screenshots/`; with `-- --all DIR` every page, and with
//! `-- --built DIR` by programs that are built already.

import { mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { signIn, visit, withPage } from "../tests/e2e/support/browser.mjs";
import { main, root } from "./command.mjs";
import { stage } from "./demo/stage.mjs";
import { startTraffic } from "./demo/traffic.mjs";
import { buildPrograms } from "./local.mjs";
import { startPostgres } from "./postgres.mjs";

/** A minute of traffic, so that the last minute has something to say. */
const WARM_UP_MS = 60_000;
const DESKTOP = { width: 1080, height: 720 };
const SHORT = { ...DESKTOP, height: 540 };
const PHONE = { width: 390, height: 760 };

await main(async () => {
  const { values: options } = parseArgs({ options: { all: { type: "string" }, built: { type: "string" } } });
  const report = (line) => console.log(`> ${line}`);
  const programs = options.built ? (name) => join(resolve(root, options.built), name) : await buildPrograms(["llm-gateway", "fake-upstream"], { report });
  const undo = [];
  try {
    const dir = await mkdtemp(join(tmpdir(), "llm-gateway-screenshots-"));
    undo.push(() => rm(dir, { recursive: true, force: true }));
    const postgres = await startPostgres({ dir, settings: { fsync: "off" } });
    undo.push(() => postgres.stop());
    const play = await stage({ programs, databaseUrl: postgres.url, report, env: { PORT: "0" } });
    undo.push(() => play.stop());
    const traffic = startTraffic({ ...play, pace: 2 });
    undo.push(() => traffic.stop());
    report("Waiting for a minute of traffic");
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    if (options.all) await everything(play, options.all);
    else await chosen(play, join(root, "docs/screenshots"));
  } finally {
    for (const step of undo.reverse()) await step();
  }
});

/** The few that the READMEs show: those of a page are its upper part, as a screen has it. */
async function chosen(play, folder) {
  mkdirSync(folder, { recursive: true });
  const moved = await withFailover(play);
  const account = `accounts/${play.accounts.get("claude-team-3")}`;
  const pictures = [
    ["overview-light", "overview?span=7d", "light"],
    ["account", account, "light"],
    ["request", `requests/${moved}`, "light", SHORT],
    ["routing", "routing?model=claude-opus-5-5", "light", SHORT],
  ];
  const inEnglish = [["overview-dark", "overview?span=7d", "dark"], ["accounts", "accounts", "light"], ["key", `keys/${play.keys[0].id}`, "dark"], ["phone", "overview?span=24h", "light", PHONE]];
  for (const [language, ending, those] of [["en", "", [...pictures, ...inEnglish]], ["zh", "-zh", pictures]]) {
    for (const [name, path, theme, viewport = DESKTOP] of those) await shoot(play, [[path, join(folder, `${name}${ending}.png`)]], { theme, viewport, language });
  }
}

/** The id of a request that another account took over. */
async function withFailover({ api }) {
  const { data } = await api("GET", "/api/stats/requests?limit=500");
  return (data.find(({ attempts, status }) => attempts.length > 1 && status === "completed") ?? data[0]).id;
}

/** Every page in both themes, languages and widths, whole, to be looked at. */
async function everything(play, folder) {
  mkdirSync(folder, { recursive: true });
  const paths = ["overview", "accounts", `accounts/${play.accounts.get("claude-team-3")}`, "keys", `keys/${play.keys[0].id}`, "requests", `requests/${await withFailover(play)}`, "routing?model=claude-opus-5-5", "connect", "settings", "settings/prices", "settings/audit"];
  for (const [theme, language] of [["light", "en"], ["dark", "zh"], ["dark", "en"], ["light", "zh"]]) {
    for (const viewport of [DESKTOP, PHONE]) {
      await shoot(play, paths.map((path) => [path, join(folder, `${path.replace(/\W+/g, "-")}-${theme}-${language}-${viewport.width}.png`)]), { theme, viewport, language, fullPage: true });
    }
  }
}

async function shoot(play, views, { theme, viewport, language, fullPage = false }) {
  await withPage(async (page) => {
    await signIn(page, play.address, play.token);
    await page.evaluate((chosen) => localStorage.setItem("language", chosen), language);
    await page.reload();
    for (const [path, file] of views) {
      await visit(page, play.address, path);
      await page.screenshot({ path: file, fullPage, animations: "disabled" });
      console.log(`> ${file}`);
    }
  }, { viewport, colorScheme: theme });
}
