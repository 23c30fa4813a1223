//! Requests: what just happened?

import { account, key, request } from "../answers.js";
import { details, nameOf } from "../components/details.js";
import { at, money, number } from "../components/figure.js";
import { filters, input, select } from "../components/filter.js";
import { pager } from "../components/links.js";
import { empty, head } from "../components/notice.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH, duration } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";
import { announce } from "../shell.js";
import { SPANS, period } from "../spans.js";

export const title = "requests.title";

const FILTERS = ["span", "provider", "status", "key", "account", "model", "session", "mark"];
const STATUSES = ["completed", "refused", "failed", "cancelled", "lost"];
const MARKS = ["estimated", "unpriced"];

export async function load(api, { query }, signal, role) {
  const own = role === "member";
  const all = (path) => (own ? [] : api.all(path, signal));
  const [requests, accounts, keys] = await Promise.all([
    api.get("/api/stats/requests", { limit: 50, ...asked(query), cursor: query.cursor }, signal),
    all("/api/accounts"), all("/api/keys"),
  ]);
  return {
    own,
    requests: requests.data.map(request),
    next: requests.next_cursor ?? null,
    accounts: accounts.map(account),
    keys: keys.map(key),
  };
}

// The filters as the API names them; without a span the whole ledger is meant.
function asked(query) {
  const { span, ...rest } = only(query, FILTERS);
  return span in SPANS ? { ...rest, from: period(span).from } : rest;
}

export function render({ own, requests, next, accounts, keys }, page) {
  const { query } = page.route;
  const names = (rows) => new Map(rows.map(({ id, name }) => [id, name]));
  return [
    head(t(title),
      h("button", { type: "button", onclick: () => download(page) }, t("requests.export")),
      h("button", { type: "button", onclick: page.refresh }, t("requests.refresh"))),
    narrow(only(query, FILTERS), accounts, keys, own),
    requests.length === 0 ? nothing(query) : h("section", { class: "panel" }, table({
      caption: t("requests.caption"),
      rows: requests,
      columns: columnsOf(names(accounts), names(keys)),
      detail: { label: t("column.details"), name: (row) => t("requests.details", { id: row.id }), render: (row) => [details(row, names(accounts), names(keys)), h("p", null, h("a", { href: `#/requests/${encodeURIComponent(row.id)}` }, t("requests.page")))] },
    })),
    pager("requests", query, next),
  ];
}

// The file comes with the credential in a header; a link would have to have it in its address.
function download(page) {
  announce(t("requests.exporting"));
  return page.act(async () => {
    const file = await page.api.file("/api/stats/export.csv", asked(page.route.query));
    const link = h("a", { href: URL.createObjectURL(file), download: "requests.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }, () => t("requests.exported"));
}

/** The columns of a request; without `keys` (the overview's short list) there is no column for them. */
export function columnsOf(accounts, keys = null) {
  return [
    { label: t("column.time"), cell: (row) => h("a", { href: `#/requests/${encodeURIComponent(row.id)}` }, at(row.at)) },
    { label: t("column.outcome"), kind: "line beside", cell: outcome },
    { label: t("column.model"), kind: "clipped bare", cell: (row) => h("span", { title: row.model }, row.model ?? DASH) },
    keys && { label: t("column.key"), kind: "clipped bare", cell: (row) => clipped(nameOf(row.key, keys)) },
    { label: t("column.account"), kind: "clipped bare", cell: (row) => clipped(nameOf(row.account, accounts)) },
    { label: t("column.tokens"), kind: "number bare", cell: (row) => [number(row.prompt), h("span", { class: "dim" }, " → "), number(row.output), row.estimated ? h("abbr", { title: t("requests.estimated") }, " ≈") : null] },
    { label: t("column.cost"), kind: "number bare", cell: (row) => [money(row.cost), row.unpriced ? h("abbr", { title: t("requests.unpriced") }, " *") : null] },
    { label: t("column.duration"), kind: "number bare", cell: (row) => h("span", { title: t("requests.first_token", { time: duration(row.firstToken) }) }, duration(row.duration)) },
  ].filter(Boolean);
}

function outcome(row) {
  const unusual = row.httpStatus !== null && row.httpStatus !== 200;
  return [state("outcome", row.status), unusual ? h("span", { class: "dim" }, ` ${row.httpStatus}`) : null];
}

function clipped(text) {
  return h("span", { title: text }, text);
}

function narrow(query, accounts, keys, own) {
  const named = (rows) => rows.map((row) => [row.id, row.name]);
  const choice = (name, options) => select("requests", query, name, options);
  return filters(
    choice("span", Object.keys(SPANS).map((name) => [name, t(`span.${name}`)])),
    choice("provider", ["anthropic", "gemini"].map((value) => [value, word("provider", value)])),
    choice("status", STATUSES.map((value) => [value, word("outcome", value)])),
    own ? null : choice("key", named(keys)),
    own ? null : choice("account", [...named(accounts), ["passthrough", t("requests.passthrough")]]),
    input("requests", query, "model"),
    choice("mark", MARKS.map((value) => [value, word("mark", value)])),
    query.session ? h("span", { class: "chip" }, t("filter.session"), " ", query.session) : null,
    FILTERS.some((one) => query[one]) ? h("a", { href: "#/requests" }, t("filter.clear")) : null);
}

function nothing(query) {
  const filtered = Object.keys(query).length > 0;
  return filtered
    ? empty(t("requests.none"), t("requests.none.why"), h("a", { class: "button", href: "#/requests" }, t("filter.clear")))
    : empty(t("requests.empty"), t("requests.empty.why"), h("a", { class: "button primary", href: "#/connect" }, t("requests.connect")));
}

function only(query, names) {
  return Object.fromEntries(names.filter((one) => query[one]).map((one) => [one, query[one]]));
}
