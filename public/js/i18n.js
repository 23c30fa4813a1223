//! The page's words in the reader's language.

import en from "./i18n/en.js";
import zh from "./i18n/zh.js";

const DICTIONARIES = { en, zh };

/** Language codes with the names their own readers know them by. */
export const LANGUAGES = [["en", "English"], ["zh", "中文"]];

let current = "en";

/** The language in force, as Intl and the `lang` attribute want it. */
export function language() {
  return current === "zh" ? "zh-Hans" : "en";
}

/** The code in force, one of `LANGUAGES`. */
export function code() {
  return current;
}

/** Takes a language; an unknown one is English. */
export function speak(wanted) {
  current = wanted in DICTIONARIES ? wanted : "en";
}

/** What was chosen before, else the first language of the browser that there are words for. */
export function choose(remembered, preferred = []) {
  if (remembered in DICTIONARIES) return remembered;
  return preferred.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag in DICTIONARIES) ?? "en";
}

/** A phrase, with `{name}` filled from `values`. */
export function t(key, values = {}) {
  const phrase = DICTIONARIES[current][key] ?? en[key] ?? key;
  return phrase.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The word for one of the API's values (`word("state", "ready")`), or the value itself when it is new to us. */
export function word(family, value) {
  return DICTIONARIES[current][`${family}.${value}`] ?? en[`${family}.${value}`] ?? String(value);
}
