//! A part of a page under a heading of its own.

import { h } from "../dom.js";

/** `beside` stands at the other end of the heading: links or choices. */
export function panel(title, content, ...beside) {
  return h("section", { class: "panel", "aria-label": title },
    h("div", { class: "panel-head" }, h("h2", null, title), h("div", { class: "panel-beside" }, beside)),
    content);
}

/** Content that is not a table, with the panel's own padding. */
export function inset(...content) {
  return h("div", { class: "panel-body" }, content);
}

/** A choice in a heading that is a part of the address: `to(value)` is where it leads. */
export function pick(id, label, options, chosen, to) {
  return h("select", { class: "bare", id, "aria-label": label, onchange: (event) => { location.hash = to(event.target.value); } },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/** Names and values side by side; null values are left out. */
export function facts(entries) {
  return h("dl", { class: "facts" }, entries.filter(([, value]) => value !== null && value !== false && value !== "")
    .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}
