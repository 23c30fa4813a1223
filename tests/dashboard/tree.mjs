//! Finds and reads what is served.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../public/", import.meta.url));

/** The paths under `public/` in `folder` that end in `ending`. */
export function files(folder = ".", ending = "") {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.length));
}

/** The text of one of them. */
export function read(path) {
  return readFileSync(join(ROOT, path), "utf8");
}
