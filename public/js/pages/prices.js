//! Prices: which models have a price of one's own in place of the built-in one?

import { openPrice, openUnset } from "../acts/price.js";
import { empty, head } from "../components/notice.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH, dollars } from "../format.js";
import { t, word } from "../i18n.js";
import { parts } from "./settings.js";

export const title = "prices.title";

const RATES = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"];

export async function load(api, _route, signal) {
  return { prices: (await api.get("/api/stats/prices", {}, signal)).data };
}

export function render({ prices }, page) {
  const add = page.mayChange && h("button", { type: "button", class: "primary", onclick: () => openPrice({}, page) }, t("prices.add"));
  if (prices.length === 0) return [head(t(title), parts("settings/prices", page)), empty(t("prices.empty"), t("prices.empty.why"), add)];
  return [
    head(t(title), parts("settings/prices", page), add),
    h("section", { class: "panel" }, table({ caption: t("prices.caption"), rows: prices, id: (row) => `price-${row.provider}-${row.model}`, columns: columns(page) })),
    h("p", { class: "hint" }, t("prices.unit")),
  ];
}

function columns(page) {
  const shown = [
    { label: t("column.model"), cell: (row) => [h("span", { class: "name" }, row.model), h("span", { class: "sub" }, word("provider", row.provider))] },
    ...RATES.map((rate) => ({ label: t(`tokens.${rate}`), kind: "number", cell: (row) => money(row[rate]) })),
  ];
  const button = (name, row, run) => h("button", { type: "button", class: "quiet", "aria-label": t("action.on", { action: t(name), name: row.model }), onclick: () => run(row, page) }, t(name));
  return page.mayChange ? [...shown, { label: t("column.actions"), kind: "actions", cell: (row) => [button("prices.edit", row, openPrice), button("prices.unset", row, openUnset)] }] : shown;
}

// A rate may have been given as a number or as a decimal's text.
function money(rate) {
  return rate === undefined || rate === null ? DASH : dollars(Number(rate));
}
