//! A real browser for the dashboard, as a person uses it: everything is found by its label or role.

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** Lends `body` a page; an error in the page's own script fails it. */
export async function withPage(body) {
  const browser = await chromium.launch({ executablePath: installedBrowser(), args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ locale: "en-US" });
    const faults = [];
    page.on("pageerror", (error) => faults.push(error));
    await body(page);
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
