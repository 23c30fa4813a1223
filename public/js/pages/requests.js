//! Requests: what just happened?

import { account, key, request } from "../answers.js";
import { at, money, number } from "../components/figure.js";
import { pager } from "../components/links.js";
import { empty, head } from "../components/notice.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH, duration, exact } from "../format.js";
import { language, t, word } from "../i18n.js";
import { address } from "../router.js";

export const title = "requests.title";

const FILTERS = ["provider", "status", "key", "account"];
const STATUSES = ["completed", "refused", "failed", "cancelled", "lost"];

export async function load(api, { query }, signal) {
  const [requests, accounts, keys] = await Promise.all([
    api.get("/api/stats/requests", { limit: 50, ...only(query, [...FILTERS, "cursor"]) }, signal),
    api.get("/api/accounts", { limit: 500 }, signal),
    api.get("/api/keys", { limit: 500 }, signal),
  ]);
  return {
    requests: requests.data.map(request),
    next: requests.next_cursor ?? null,
    accounts: accounts.data.map(account),
    keys: keys.data.map(key),
  };
}

export function render({ requests, next, accounts, keys }, page) {
  const { query } = page.route;
  const names = (rows) => new Map(rows.map(({ id, name }) => [id, name]));
  const columns = columnsOf(names(accounts), names(keys));
  return [
    head(t(title), h("button", { type: "button", onclick: page.refresh }, t("requests.refresh"))),
    filters(query, accounts, keys),
    requests.length === 0 ? nothing(query) : h("section", { class: "panel" }, table({
      caption: t("requests.caption"),
      rows: requests,
      columns,
      detail: { label: t("column.details"), name: (row) => t("requests.details", { id: row.id }), render: (row) => details(row, names(accounts), names(keys)) },
    })),
    pager("requests", query, next),
  ];
}

/** The columns of a request; without `keys` (the overview's short list) there is no column for them. */
export function columnsOf(accounts, keys = null) {
  return [
    { label: t("column.time"), cell: (row) => at(row.at) },
    { label: t("column.outcome"), kind: "line beside", cell: outcome },
    { label: t("column.model"), kind: "clipped", cell: (row) => h("span", { title: row.model }, row.model ?? DASH) },
    keys && { label: t("column.key"), kind: "clipped", cell: (row) => clipped(name(row.key, keys)) },
    { label: t("column.account"), kind: "clipped", cell: (row) => clipped(name(row.account, accounts)) },
    { label: t("column.tokens"), kind: "number", cell: (row) => [number(row.prompt), h("span", { class: "dim" }, " → "), number(row.output), row.estimated ? h("abbr", { title: t("requests.estimated") }, " ≈") : null] },
    { label: t("column.cost"), kind: "number", cell: (row) => [money(row.cost), row.unpriced ? h("abbr", { title: t("requests.unpriced") }, " *") : null] },
    { label: t("column.duration"), kind: "number", cell: (row) => h("span", { title: t("requests.first_token", { time: duration(row.firstToken) }) }, duration(row.duration)) },
  ].filter(Boolean);
}

function outcome(row) {
  const unusual = row.httpStatus !== null && row.httpStatus !== 200;
  return [state("outcome", row.status), unusual ? h("span", { class: "dim" }, ` ${row.httpStatus}`) : null];
}

function name({ id, name }, names) {
  if (id === "passthrough") return t("requests.passthrough");
  return name ?? names.get(id) ?? id ?? DASH;
}

function clipped(text) {
  return h("span", { title: text }, text);
}

function filters(query, accounts, keys) {
  const named = (rows) => rows.map((row) => [row.id, row.name]);
  const select = (name, options) => h("select", {
    id: `filter-${name}`, "aria-label": t(`filter.${name}`),
    onchange: (event) => { location.hash = address("requests", { ...only(query, FILTERS), [name]: event.target.value }); },
  }, h("option", { value: "" }, t(`filter.${name}.any`)), options.map(([value, text]) => h("option", { value, selected: query[name] === value }, text)));
  return h("div", { class: "filters", role: "search", "aria-label": t("filter.name") },
    select("provider", ["anthropic", "gemini"].map((value) => [value, word("provider", value)])),
    select("status", STATUSES.map((value) => [value, word("outcome", value)])),
    select("key", named(keys)),
    select("account", [...named(accounts), ["passthrough", t("requests.passthrough")]]),
    FILTERS.some((one) => query[one]) ? h("a", { href: "#/requests" }, t("filter.clear")) : null);
}

function nothing(query) {
  const filtered = Object.keys(query).length > 0;
  return filtered
    ? empty(t("requests.none"), t("requests.none.why"), h("a", { class: "button", href: "#/requests" }, t("filter.clear")))
    : empty(t("requests.empty"), t("requests.empty.why"), h("a", { class: "button primary", href: "#/connect" }, t("requests.connect")));
}

function details(row, accounts, keys) {
  const tokens = Object.entries(row.tokens).filter(([, amount]) => typeof amount === "number" && amount > 0);
  const facts = [
    ["id", h("code", null, row.id)],
    ["time", h("time", { datetime: row.at }, row.at ?? DASH)],
    ["protocol", [row.provider && word("provider", row.provider), row.operation, row.stream === true && t("requests.stream")].filter(Boolean).join(" · ") || DASH],
    ["model", [row.model, row.servedModel !== row.model && row.servedModel].filter(Boolean).join(" → ") || DASH],
    ["client", row.client ?? DASH],
    ["session", row.session ?? DASH],
    ["key", name(row.key, keys)],
    ["account", name(row.account, accounts)],
    ["first_token", duration(row.firstToken)],
    ["duration", duration(row.duration)],
    ["tokens", tokens.map(([kind, amount]) => `${word("tokens", kind)} ${exact(amount, language())}`).join(" · ") || DASH],
    ["cost", row.cost === null ? DASH : `$${row.cost.toFixed(6)}`],
    ["attempts", attempts(row, accounts)],
  ];
  const marks = [row.estimated && t("requests.estimated"), row.unpriced && t("requests.unpriced")].filter(Boolean);
  return [
    row.error ? h("p", { class: "said" }, row.error) : null,
    h("dl", { class: "facts" }, facts.map(([label, value]) => h("div", null, h("dt", null, t(`detail.${label}`)), h("dd", null, value)))),
    marks.map((mark) => h("p", { class: "hint" }, mark)),
  ];
}

function attempts(row, accounts) {
  if (row.attempts.length === 0) return DASH;
  return h("ol", { class: "attempts" }, row.attempts.map((one) => h("li", null,
    [name(one.account, accounts), one.verdict && word("verdict", one.verdict), one.httpStatus, duration(one.duration), ...spent(one)].filter(Boolean).join(" · "))));
}

// An attempt that used nothing, as most failed ones, says nothing of it.
function spent({ prompt, output, cost }) {
  if (!prompt && !output) return [];
  return [t("requests.spent", { prompt: exact(prompt ?? 0, language()), output: exact(output ?? 0, language()) }), cost === null ? null : `$${cost.toFixed(6)}`];
}

function only(query, names) {
  return Object.fromEntries(names.filter((one) => query[one]).map((one) => [one, query[one]]));
}
