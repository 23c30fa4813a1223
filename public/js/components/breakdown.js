//! A table of what requests add up to, row by row: by account, key or model.

import { h } from "../dom.js";
import { count, duration, percent } from "../format.js";
import { t } from "../i18n.js";
import { money, number } from "./figure.js";
import { table } from "./table.js";

/** `name(row)` is what heads a row, `extra` are columns of the page's own after it. `brief` leaves out what a narrow panel has no room for. */
export function breakdown({ caption, head, rows, name, extra = [], brief = false }) {
  if (rows.length === 0) return h("p", { class: "none" }, t("breakdown.none"));
  return table({
    caption,
    rows,
    id: (row) => `${head}-${row.id}`,
    columns: [
      { label: t(head), cell: name },
      ...extra,
      { label: t("column.requests"), kind: "number", cell: (row) => [number(row.requests), row.errors ? h("span", { class: "sub errors" }, t("accounts.errors", { count: count(row.errors) })) : null] },
      !brief && { label: t("column.tokens_in"), kind: "number", cell: (row) => [number(row.prompt), row.cacheHitRatio === null ? null : h("span", { class: "sub" }, t("figure.cached", { share: percent(row.cacheHitRatio) }))] },
      brief ? { label: t("column.tokens"), kind: "number", cell: (row) => number(row.prompt === null ? row.output : row.prompt + (row.output ?? 0)) }
        : { label: t("column.tokens_out"), kind: "number minor", cell: (row) => number(row.output) },
      { label: t("column.cost"), kind: brief ? "number beside" : "number", cell: (row) => [money(row.cost), marks(row)] },
      !brief && { label: t("column.first_token"), kind: "number minor", cell: (row) => duration(row.firstToken) },
    ].filter(Boolean),
  });
}

// Rows whose figures are not the last word are counted, so that a sum does not look surer than it is.
function marks({ estimated, unpriced }) {
  const said = [estimated ? t("breakdown.estimated", { count: count(estimated) }) : null, unpriced ? t("breakdown.unpriced", { count: count(unpriced) }) : null];
  return said.some(Boolean) ? h("span", { class: "sub" }, said.filter(Boolean).join(", ")) : null;
}
