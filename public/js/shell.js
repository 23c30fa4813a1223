//! What stands around every page: brand, places, language, theme, sign out, and the one line that speaks.

import { h, replace } from "./dom.js";
import { LANGUAGES, code, language, t } from "./i18n.js";

const PLACES = ["overview", "accounts", "keys", "requests", "connect"];
const THEMES = ["auto", "light", "dark"];

/** Draws the head of the page. `current` is the open place, null when nobody is signed in. */
export function drawTop(current, { onLanguage, onSignOut }) {
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("shell.skip");
  replace(document.getElementById("top"), [
    h("a", { class: "brand", href: "#/overview", id: "brand" }, h("img", { src: "/favicon.svg", alt: "", width: "24", height: "24" }), h("span", null, "LLM Gateway")),
    current ? places(current) : null,
    h("div", { class: "controls", id: "controls" },
      current ? h("span", { class: "live", id: "live", hidden: true }) : null,
      select("language", t("shell.language"), LANGUAGES, code(), onLanguage),
      select("theme", t("shell.theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), theme(), setTheme),
      current ? h("button", { type: "button", class: "quiet", onclick: onSignOut }, t("shell.sign_out")) : null),
  ]);
}

function places(current) {
  return h("nav", { class: "places", id: "places", "aria-label": t("shell.places") }, PLACES.map((place) =>
    h("a", { href: `#/${place}`, "aria-current": place === current ? "page" : null }, t(`${place}.title`))));
}

function select(id, label, options, chosen, onchange) {
  return h("select", { class: "bare", id: `choose-${id}`, "aria-label": label, onchange: (event) => onchange(event.target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

// Flips color-scheme and nothing else: every colour is a light-dark() pair.
function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  store("theme", name === "auto" ? null : name);
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
