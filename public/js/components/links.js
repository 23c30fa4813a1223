//! Choices that are places: each is a link, so that every view has an address.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { address } from "../router.js";

/** A row of links of which one is current; `options` are [value, text]. */
export function tabs(label, options, current, to) {
  return h("nav", { class: "tabs", "aria-label": label }, options.map(([value, text]) =>
    h("a", { href: to(value), "aria-current": value === current ? "true" : null, id: `tab-${value}` }, text)));
}

/** Newest and older, as far as there is either. */
export function pager(path, query, next) {
  const { cursor, ...rest } = query;
  if (!cursor && !next) return null;
  return h("nav", { class: "pager", "aria-label": t("pager.name") },
    cursor ? h("a", { href: address(path, rest) }, t("pager.newest")) : null,
    next ? h("a", { href: address(path, { ...rest, cursor: next }), rel: "next" }, t("pager.older")) : null);
}
