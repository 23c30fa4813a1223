//! A word of health with a shape of its own, so that nothing hangs on colour alone.

import { h } from "../dom.js";
import { word } from "../i18n.js";

/** `family` names the words (`state`, `keystate`, `outcome`); the shape comes from the value, in parts.css. */
export function state(family, value) {
  if (value === null) return h("span", { class: "dim" }, "–");
  return h("span", { class: "state", "data-value": value }, word(family, value));
}
