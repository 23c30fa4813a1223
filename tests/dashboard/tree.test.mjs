//! What is served keeps the house rules: no markup from strings, nothing inline, nothing from elsewhere, nothing heavy.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { files, read } from "./tree.mjs";

const ALL = files();
const ALL_SCRIPTS = ALL.filter((file) => file.endsWith(".js"));
/** Ours; what npm's packages bring is only counted and compared. */
const SCRIPTS = ALL_SCRIPTS.filter((file) => !file.startsWith("vendor/"));

function never(paths, pattern, why) {
  for (const path of paths) {
    const found = read(path).match(pattern);
    assert.equal(found, null, `${path}: ${found?.[0]} (${why})`);
  }
}

const MARKUP = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\(|new Function|srcdoc/;

test("text never becomes markup", () => {
  never(SCRIPTS, MARKUP, "use h()");
});

test("nothing is inline", () => {
  const pages = ALL.filter((file) => /\.(html|svg)$/.test(file));
  never(pages, /\son\w+\s*=|\sstyle\s*=|<style|<script(?![^>]*\ssrc=)|javascript:/i, "the content policy refuses it");
  never(SCRIPTS, /setAttribute\(\s*['"]style|javascript:/, "the content policy refuses it");
  never(SCRIPTS, /['"`]\s*<[a-z]/i, "markup in a string");
});

test("nothing comes from elsewhere", () => {
  const namespace = "http://www.w3.org/2000/svg";
  for (const path of ALL.filter((file) => !file.startsWith("vendor/"))) {
    const text = read(path).replaceAll(namespace, "");
    assert.doesNotMatch(text, /(?:src|href|url\(|from|import)\s*[=(]?\s*["']?(?:https?:)?\/\//, path);
  }
});

test("what is vendored is what npm's lock file names, unchanged, and makes no markup from strings either", () => {
  const vendored = ALL.filter((file) => file.startsWith("vendor/"));
  assert.deepEqual(vendored.sort(), ["vendor/uplot/LICENSE", "vendor/uplot/uPlot.iife.min.js", "vendor/uplot/uPlot.min.css"]);
  for (const file of vendored) {
    const name = file.split("/").at(-1);
    const source = new URL(`../../node_modules/uplot/${name === "LICENSE" ? name : `dist/${name}`}`, import.meta.url);
    assert.equal(read(file), readFileSync(source, "utf8"), `${file}: npm run vendor`);
  }
  never(vendored.filter((file) => file.endsWith(".js")), MARKUP, "it would be refused here");
});

test("one place calls the server", () => {
  assert.deepEqual(SCRIPTS.filter((path) => /\bfetch\(|XMLHttpRequest|EventSource|WebSocket|sendBeacon/.test(read(path))), ["js/api.js"]);
});

test("only theme and language are remembered beyond the tab, only the session within it", () => {
  assert.deepEqual(SCRIPTS.filter((path) => /localStorage/.test(read(path).replace(/^\s*\/\/.*$/gm, ""))).sort(), ["js/early.js", "js/shell.js"]);
  const names = SCRIPTS.flatMap((path) => [...read(path).matchAll(/\bstore\("(\w+)"/g)].map(([, name]) => name));
  assert.deepEqual([...new Set(names)].sort(), ["language", "theme"]);
  assert.deepEqual(SCRIPTS.filter((path) => /sessionStorage/.test(read(path))), ["js/session.js"]);
  never(SCRIPTS, /document\.cookie/, "no cookies");
});

test("every import leads to a file, and every script is reached from the page", () => {
  const reached = new Set(["js/early.js", "vendor/uplot/uPlot.iife.min.js"]);
  const follow = (path) => {
    if (reached.has(path)) return;
    assert.ok(ALL_SCRIPTS.includes(path), `${path} does not exist`);
    reached.add(path);
    for (const [, to] of read(path).matchAll(/^import .*?['"](\.[^'"]+)['"]/gm)) follow(new URL(to, `file:///${path}`).pathname.slice(1));
  };
  follow("js/app.js");
  assert.deepEqual(ALL_SCRIPTS.filter((path) => !reached.has(path)), []);

  // The page names them all, so that they come at once and not one import after the other.
  const named = [...read("index.html").matchAll(/(?:modulepreload" href|script src)="\/([^"]+)"/g)].map(([, path]) => path);
  assert.deepEqual(named.sort(), ALL_SCRIPTS.toSorted());
});

test("every style sheet is named in the page, so that the first paint waits for two rounds and no third", () => {
  const imported = [...read("css/app.css").matchAll(/@import url\("\/([^"]+)"\)/g)].map(([, path]) => path);
  const named = [...read("index.html").matchAll(/rel="(?:preload|stylesheet)" href="\/([^"]+)"/g)].map(([, path]) => path);
  assert.deepEqual(named.sort(), ["css/app.css", ...imported].sort());
  assert.deepEqual(named, ALL.filter((file) => file.endsWith(".css")).sort());
});

test("raw colours live in tokens.css alone, and every custom property that is used is defined", () => {
  const sheets = ALL.filter((file) => file.endsWith(".css") && !file.startsWith("vendor/"));
  never(sheets.filter((file) => file !== "css/tokens.css"), /oklch\(|#[0-9a-f]{3,8}\b(?!-)|rgba?\(|hsla?\(/i, "use a token");
  const text = sheets.map(read).join("\n");
  const defined = new Set([...text.matchAll(/(--[\w-]+)\s*:/g)].map(([, name]) => name));
  for (const [, name] of text.matchAll(/var\((--[\w-]+)\)/g)) assert.ok(defined.has(name), name);
});

test("every file opens by saying what it is for, and stays short", () => {
  for (const path of SCRIPTS) {
    assert.match(read(path), /^\/\/! \S/, path);
    if (!path.includes("/i18n/")) assert.ok(read(path).split("\n").length <= 250, `${path} is too long`);
  }
});

test("the whole dashboard weighs under 150 kB", () => {
  const weight = ALL.reduce((sum, path) => sum + gzipSync(read(path)).length, 0);
  assert.ok(weight < 150_000, `${weight} bytes`);
});
