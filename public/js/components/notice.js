//! What a page shows when there is nothing to show: loading, empty, in trouble.

import { h } from "../dom.js";
import { t, word } from "../i18n.js";
import { kind } from "../trouble.js";

/** The head of a page, with its actions. */
export function head(title, ...actions) {
  return h("div", { class: "head" }, h("h1", { id: "title", tabindex: "-1" }, title), h("div", { class: "head-actions" }, actions));
}

/** Nothing here yet, and what to do about it. */
export function empty(title, text, ...actions) {
  return h("section", { class: "panel empty" }, h("h2", null, title), h("p", null, text), h("div", { class: "actions" }, actions));
}

/** Grey lines where rows will be. */
export function skeleton() {
  const lines = Array.from({ length: 6 }, () => h("span", { class: "bone" }));
  return h("div", { class: "panel skeleton", "aria-hidden": "true" }, lines);
}

/** An error: what it means for the reader, what the server said, and a way on. */
export function trouble(error, ...actions) {
  return h("section", { class: "panel empty trouble", role: "alert" },
    h("h2", null, word("trouble", kind(error))),
    h("p", null, word("remedy", kind(error))),
    said(error),
    actions.length ? h("div", { class: "actions" }, actions) : null);
}

/** The server's own words, always as text. */
export function said(error) {
  if (!error.message) return null;
  return h("p", { class: "said" }, h("span", { class: "dim" }, t("trouble.said"), " "), error.message,
    error.requestId ? h("span", { class: "dim" }, ` (${error.requestId})`) : null);
}
