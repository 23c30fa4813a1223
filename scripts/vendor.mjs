//! `npm run vendor`: copies what the dashboard uses of npm's packages into `public/vendor/`, where it is committed.

import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { main, Plain, root } from "./command.mjs";

/** Package by package: what it is called in `node_modules/`, and the files of it that are served. */
const PACKAGES = { uplot: ["dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE"] };

await main(async () => {
  for (const [name, files] of Object.entries(PACKAGES)) {
    const folder = join(root, "public/vendor", name);
    mkdirSync(folder, { recursive: true });
    for (const file of files) copy(join(root, "node_modules", name, file), join(folder, file.replace(/^dist\//, "")));
  }
});

function copy(from, to) {
  try {
    copyFileSync(from, to);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    throw new Plain(`${from} is missing: run npm ci first.`);
  }
  console.log(`> ${to}`);
}
