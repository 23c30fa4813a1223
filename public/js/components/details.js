//! Everything that the ledger knows of one request, with its attempts.

import { h } from "../dom.js";
import { DASH, duration, exact } from "../format.js";
import { language, t, word } from "../i18n.js";
import { address } from "../router.js";
import { facts } from "./panel.js";
import { table } from "./table.js";

/** `accounts` and `keys` are names by id, for rows that bring none. */
export function details(row, accounts, keys) {
  const marks = [row.estimated && t("requests.estimated"), row.unpriced && t("requests.unpriced")].filter(Boolean);
  return [
    row.error ? h("p", { class: "said" }, row.error) : null,
    facts(about(row, accounts, keys)),
    row.attempts.length ? attempts(row, accounts) : null,
    marks.map((mark) => h("p", { class: "hint" }, mark)),
  ];
}

/** What somebody is called: the row's own word first, then what is known by its id. */
export function nameOf({ id, name }, names) {
  if (id === "passthrough") return t("requests.passthrough");
  return name ?? names.get(id) ?? id ?? DASH;
}

function about(row, accounts, keys) {
  const tokens = Object.entries(row.tokens).filter(([, amount]) => typeof amount === "number" && amount > 0);
  return [
    [t("detail.id"), h("code", null, row.id)],
    [t("detail.time"), h("time", { datetime: row.at }, row.at ?? DASH)],
    [t("detail.protocol"), [row.provider && word("provider", row.provider), row.operation, row.stream === true && t("requests.stream")].filter(Boolean).join(" · ") || DASH],
    [t("detail.model"), [row.model, row.servedModel !== row.model && row.servedModel].filter(Boolean).join(" → ") || DASH],
    [t("detail.client"), row.client ?? DASH],
    [t("detail.session"), row.session ? [h("a", { href: address("requests", { session: row.session }) }, row.session), row.affinity ? h("span", { class: "dim" }, ` ${word("affinity", row.affinity)}`) : null] : DASH],
    ...(row.crossed === null ? [] : [[t("detail.crossed"), t(`crossed.${row.crossed}`)]]),
    [t("detail.key"), nameOf(row.key, keys)],
    [t("detail.account"), nameOf(row.account, accounts)],
    [t("detail.first_token"), duration(row.firstToken)],
    [t("detail.duration"), duration(row.duration)],
    [t("detail.tokens"), tokens.map(([kind, amount]) => `${word("tokens", kind)} ${exact(amount, language())}`).join(" · ") || DASH],
    [t("detail.cost"), cost(row.cost)],
    [t("detail.upstream"), row.upstreamId && h("code", null, row.upstreamId)],
  ];
}

function attempts(row, accounts) {
  const numbered = row.attempts.map((one, index) => ({ ...one, id: `${row.id}-${index + 1}`, place: index + 1 }));
  return h("div", { class: "attempts" }, table({
    caption: t("detail.attempts"),
    rows: numbered,
    columns: [
      { label: t("detail.attempts"), cell: ({ place, account }) => `${place}. ${nameOf(account, accounts)}` },
      { label: t("column.outcome"), cell: ({ verdict, httpStatus }) => [verdict ? word("verdict", verdict) : DASH, httpStatus === null ? null : h("span", { class: "dim" }, ` ${httpStatus}`)] },
      { label: t("column.duration"), kind: "number", cell: (one) => duration(one.duration) },
      { label: t("column.tokens"), kind: "number", cell: used },
      { label: t("column.cost"), kind: "number", cell: (one) => [one.prompt || one.output ? cost(one.cost) : DASH, one.estimated ? " ≈" : null, one.unpriced ? " *" : null] },
    ],
  }));
}

// An attempt that used nothing, as most failed ones, says nothing of it.
function used({ prompt, output }) {
  return prompt || output ? `${exact(prompt ?? 0, language())} → ${exact(output ?? 0, language())}` : DASH;
}

function cost(value) {
  return value === null ? DASH : `$${value.toFixed(6)}`;
}
