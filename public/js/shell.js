//! What stands around every page: brand, places, language, theme, sign out, and the one line that speaks.

import { createApi } from "./api.js";
import { h, replace } from "./dom.js";
import { LANGUAGES, code, language, speak, t } from "./i18n.js";

/** What `setTheme` takes. */
export const THEMES = ["auto", "light", "dark"];

/** Draws the head of the page with its `places`; `at` is null when nobody is signed in. */
export function drawTop(at, onSignOut = null) {
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("shell.skip");
  drawDemo();
  replace(document.getElementById("top"), [
    h("a", { class: "brand", href: "#/", id: "brand" }, h("img", { src: "/favicon.svg", alt: "", width: "24", height: "24" }), h("span", null, "LLM Gateway")),
    at ? places(at) : null,
    h("div", { class: "controls", id: "controls" },
      at ? h("span", { class: "live", id: "live", hidden: true }) : null,
      select("language", t("shell.language"), LANGUAGES, code(), setLanguage),
      select("theme", t("shell.theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), theme(), setTheme),
      at ? h("button", { type: "button", class: "quiet", onclick: onSignOut }, t("shell.sign_out")) : null),
  ]);
}

function places({ places, current }) {
  return h("nav", { class: "places", id: "places", "aria-label": t("shell.places") }, places.map((place) =>
    h("a", { href: `#/${place}`, "aria-current": place === current ? "page" : null }, t(`${place}.title`))));
}

function select(id, label, options, chosen, onchange) {
  return h("select", { class: "bare", id: `choose-${id}`, "aria-label": label, onchange: (event) => onchange(event.target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/** Takes a language; every page hears of it. */
export function setLanguage(name) {
  store("language", name);
  speak(name);
  document.dispatchEvent(new Event("language"));
}

/** The theme in force: `auto`, `light` or `dark`. */
export function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

/** Takes a theme. It flips color-scheme and nothing else: every colour is a light-dark() pair. */
export function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  store("theme", name === "auto" ? null : name);
  for (const id of ["choose-theme", "field-theme"]) {
    const control = document.getElementById(id);
    if (control) control.value = name;
  }
  document.dispatchEvent(new Event("theme"));
}

/** What `store` kept, or null. */
export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Remembers a preference in this browser; null forgets it. */
export function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Storage is switched off: it holds until the page is reloaded.
  }
}

let silence = null;

/** Says one sentence, to eyes and to screen readers. */
export function announce(sentence) {
  const line = document.getElementById("status");
  line.textContent = sentence;
  clearTimeout(silence);
  silence = setTimeout(() => { line.textContent = ""; }, 6000);
}

/** Shows that fresh figures just came. A new node, so that its pulse starts anew. */
export function beat(text) {
  const live = document.getElementById("live");
  if (!live) return;
  live.hidden = text === null;
  live.replaceChildren(h("span", { class: "pulse" }), text ?? "");
}

/** The strip above the page that says what is wrong while older figures still stand; null takes it away. */
export function banner(text) {
  const strip = document.getElementById("banner");
  strip.hidden = text === null;
  strip.textContent = text ?? "";
}

let demo = false;

/** Asks once whether everything in here is made up; if so, every page says it. */
export async function markDemo() {
  try {
    demo = (await createApi(null).get("/api/health")).demo === true;
  } catch {
    // Whatever is wrong, the page that stands says so itself.
  }
  drawDemo();
}

function drawDemo() {
  const strip = document.getElementById("demo");
  strip.hidden = !demo;
  if (demo) strip.replaceChildren(h("strong", null, t("demo.mark")), ` ${t("demo.text")}`);
}
