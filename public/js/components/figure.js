//! Figures in the small: compact text with the exact value in the title, and times that say how long ago.

import { h } from "../dom.js";
import { DASH, ago, clock, count, dollars, exact, moment } from "../format.js";
import { language } from "../i18n.js";

/** A count such as `1.28M`. */
export function number(value) {
  return h("span", { title: value === null ? null : exact(value, language()) }, count(value));
}

/** A sum of money; the title has all six decimals. */
export function money(value) {
  return h("span", { title: value === null ? null : `$${value.toFixed(6)}` }, dollars(value));
}

/** How long ago, or how far ahead. */
export function when(time) {
  return time ? stamp(time, ago(time, Date.now(), language())) : DASH;
}

/** The clock time. */
export function at(time) {
  return time ? stamp(time, clock(time, Date.now(), language())) : DASH;
}

/** Whether a time is still to come. */
export function ahead(time) {
  return Date.parse(time) > Date.now();
}

function stamp(time, text) {
  return h("time", { datetime: time, title: moment(time, language()) }, text);
}
