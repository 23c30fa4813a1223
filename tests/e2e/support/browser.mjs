//! A real browser for the dashboard, as a person uses it: everything is found by its label or role.

import assert from "node:assert/strict";
import { accessSync, constants, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Pages that axe-core has worked on: it tries styles of its own, which the content policy refuses. */
const audited = new WeakSet();

/**
 * Lends `body` a page; an error in the page's own script fails it, and so does anything that the content policy refuses.
 * `options` are Playwright's for a page: `viewport`, `colorScheme` …
 */
export async function withPage(body, options = {}) {
  const browser = await chromium.launch({ executablePath: installedBrowser(), args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ locale: "en-US", ...options });
    page.setDefaultTimeout(60_000);
    const faults = [];
    page.on("pageerror", (error) => faults.push(error));
    page.on("console", (message) => !audited.has(page) && /Content.Security.Policy/i.test(message.text()) && faults.push(message.text()));
    try {
      await body(page);
    } catch (error) {
      // What stood there says more than what was waited for.
      const text = await page.locator("body").innerText().catch(String);
      throw new Error(`${error.message}\nThe page at ${page.url()} said:\n${text.slice(0, 3_000)}`, { cause: error });
    }
    if (faults.length > 0) throw new AggregateError(faults, `the page failed: ${faults.map(String).join("; ")}`);
  } finally {
    await browser.close();
  }
}

function installedBrowser() {
  for (const directory of process.env.PATH.split(delimiter)) {
    for (const path of NAMES.map((name) => join(directory, name))) {
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // The next one, then.
      }
    }
  }
  throw new Error(`none of ${NAMES.join(", ")} is installed`);
}

/** Signs in with the operator's token. */
export async function signIn(page, address, token) {
  await page.goto(address);
  await page.getByLabel("Admin token or API key").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

/** Adds an Anthropic account at `upstream` in the page. */
export async function addAccount(page, name, apiKey, upstream) {
  await page.getByRole("link", { name: "Accounts", exact: true }).first().click();
  await page.getByRole("main").getByRole("button", { name: "Add account" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill(name);
  await dialog.getByLabel("API key", { exact: true }).fill(apiKey);
  await dialog.getByText("More options").click();
  await dialog.getByLabel("Base URL").fill(upstream);
  await dialog.getByRole("button", { name: "Add account" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("main").getByText(name, { exact: true }).waitFor();
}

/** Issues a key in the page; the answer is the secret that it shows this once. */
export async function issueKey(page, name) {
  await page.getByRole("link", { name: "Keys", exact: true }).first().click();
  await page.getByRole("main").getByRole("button", { name: "Issue key" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill(name);
  await dialog.getByRole("button", { name: "Issue key" }).click();
  const secret = await dialog.getByText(/^gw_\w+$/).textContent();
  await dialog.getByRole("button", { name: "I have copied it" }).click();
  await dialog.waitFor({ state: "detached" });
  return secret;
}

/** Goes to a view of the dashboard and waits until it stands; a view that could not be shown is a failure. */
export async function visit(page, address, path) {
  await page.goto(`${address}/#/${path}`);
  await stands(page);
  assert.equal(await page.locator(".trouble").count(), 0, path);
}

/** Waits until the view of the page's address has loaded; the one before it may stand a moment longer than its address. */
export async function stands(page) {
  await page.waitForFunction(() => document.querySelector("main").dataset.address === location.hash
    && document.querySelector("#title") && !document.querySelector("main[aria-busy], .skeleton"));
}

/** Waits until the page's address fits `pattern`, and its view has loaded. */
export async function arrives(page, pattern) {
  await page.waitForURL(pattern);
  await stands(page);
}

/** No rule of axe-core is broken on the page as it stands. */
export async function accessible(page, name) {
  audited.add(page);
  // Evaluated, not loaded: the content policy is left as it is. What moves has come to rest.
  await page.evaluate(`${axe}; Promise.allSettled(document.getAnimations().filter((one) => one.effect.getTiming().iterations === 1).map((one) => one.finished))`);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) => [target.join(" "), failureSummary])]), [], name);
}

/** Nothing is wider than the screen. */
export async function fits(page, name) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(over <= 0, `${name} is ${over} pixels too wide`);
}
