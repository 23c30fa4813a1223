//! Accounts: who can serve, and if not, why and until when?

import { account } from "../answers.js";
import { buttons, openAdd } from "../acts/account.js";
import { ahead, number, when } from "../components/figure.js";
import { filters, finds, input, select } from "../components/filter.js";
import { reported } from "../components/limits.js";
import { empty, head } from "../components/notice.js";
import { reason } from "../components/reasons.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH, count, dollars } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";

export const title = "accounts.title";
export const every = 4_000;

const STATES = ["ready", "cooling", "exhausted", "needs_auth", "paused"];
/** So many can be overlooked at a glance; more want to be searched. */
const FEW = 12;

export async function load(api, _route, signal) {
  return { accounts: (await api.all("/api/accounts", signal)).map(account) };
}

export function render({ accounts }, page) {
  const { query } = page.route;
  const add = page.mayChange && h("button", { type: "button", class: "primary", onclick: () => openAdd(page) }, t("accounts.add"));
  if (accounts.length === 0) return [head(t(title)), droppable(page, empty(t("accounts.empty"), t("accounts.empty.why"), add))];
  const shown = accounts.filter(fits(query));
  return [
    head(t(title), add),
    accounts.length > 1 ? tally(accounts, query) : null,
    accounts.length > FEW ? narrow(accounts, query) : null,
    droppable(page, shown.length === 0
      ? empty(t("accounts.none"), t("accounts.none.why"), h("a", { class: "button", href: "#/accounts" }, t("filter.clear")))
      : h("section", { class: "panel" }, table({ caption: t("accounts.caption"), rows: shown, columns: columns(page) }))),
  ];
}

function fits({ state: health, provider, pool, find }) {
  return (row) => (!health || row.state === health) && (!provider || row.provider === provider) && (!pool || row.pool === pool)
    && (!find || finds(find, row.name, row.note));
}

// How many are well, and how many are what else; each leads to those.
function tally(accounts, query) {
  const link = (health, text) => h("a", { href: address("accounts", { ...query, state: health }), "aria-current": (query.state ?? null) === health ? "true" : null }, text);
  const counts = STATES.map((one) => [one, accounts.filter((row) => row.state === one).length]).filter(([one, many]) => many || query.state === one);
  return h("nav", { class: "tabs tally", "aria-label": t("accounts.tally") },
    link(null, [t("accounts.all"), h("b", null, count(accounts.length))]), counts.map(([one, many]) => link(one, [state("state", one), h("b", null, count(many))])));
}

function narrow(accounts, query) {
  const pools = [...new Set(accounts.map(({ pool }) => pool))].sort();
  return filters(
    input("accounts", query, "find"),
    select("accounts", query, "provider", ["anthropic", "gemini"].map((value) => [value, word("provider", value)])),
    pools.length > 1 ? select("accounts", query, "pool", pools.map((name) => [name, name])) : null);
}

/** What `?add=1` asks for once the page stands. */
export function opened(page) {
  if (!page.route.query.add || !page.mayChange) return;
  page.forgetQuery();
  openAdd(page);
}

// A login file may be dropped anywhere on the list.
function droppable(page, section) {
  if (!page.mayChange) return section;
  section.addEventListener("dragover", (event) => event.preventDefault());
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) openAdd(page, event.dataTransfer.files[0]);
  });
  return section;
}

function columns(page) {
  const shown = [
    { label: t("column.account"), cell: identity },
    { label: t("column.state"), kind: "wide bare", cell: health },
    { label: t("column.limits"), kind: "meters-cell", cell: (row) => (row.reported.length ? reported(row.reported, true) : h("span", { class: "dim" }, DASH)) },
    { label: t("column.in_flight"), kind: "number", cell: slots },
    { label: t("column.today"), kind: "number", cell: (row) => [usage(row.today), h("span", { class: "sub" }, spent(row.today))] },
  ];
  return page.mayChange ? [...shown, { label: t("column.actions"), kind: "actions", cell: (row) => buttons(row, page) }] : shown;
}

function identity(row) {
  const facts = [word("provider", row.provider), row.pool, word("credential", row.credential), row.models.join(" ")];
  return [
    h("a", { class: "name", href: `#/accounts/${encodeURIComponent(row.id)}` }, row.name),
    h("span", { class: "sub" }, facts.filter(Boolean).join(" · ")),
    row.note ? h("span", { class: "sub" }, row.note) : null,
  ];
}

/** The state of an account, with why it is so and until when. */
export function health(row) {
  return [
    state("state", row.state),
    ahead(row.until) ? h("span", { class: "dim" }, " ", t("accounts.back"), " ", when(row.until)) : null,
    row.families.filter(({ until }) => ahead(until)).map(({ family, until }) => h("span", { class: "sub" }, family, " ", t("accounts.back"), " ", when(until))),
    row.reason ? reason(row.reason) : null,
    recovery(row),
    row.lastError && row.lastError !== row.reason ? h("span", { class: "sub said" }, t("accounts.last_error"), " ", text(row.lastError)) : null,
  ];
}

// How often it failed by now, and from when on one request tries whether it is back.
function recovery({ state: now, failures, testFrom, until }) {
  if (now === "ready" || now === "paused") return null;
  const said = [failures ? t("accounts.failures", { count: count(failures) }) : null, ahead(testFrom) && testFrom !== until ? [t("accounts.tested"), " ", when(testFrom)] : null].filter(Boolean);
  return said.length ? h("span", { class: "sub" }, said.map((one, index) => [index ? " · " : null, one])) : null;
}

// The last error may be a sentence or an object around one.
function text(error) {
  return typeof error === "string" ? error : error.message ?? DASH;
}

/** Requests under way, of how many. */
export function slots(row) {
  const full = row.maxInFlight;
  return full ? [number(row.inFlight), h("span", { class: "dim" }, ` / ${count(full)}`)] : number(row.inFlight);
}

/** Requests of today, with errors below them when there are any. */
export function usage(today) {
  return [number(today.requests), today.errors ? h("span", { class: "sub errors" }, t("accounts.errors", { count: count(today.errors) })) : null];
}

function spent(today) {
  return today.tokens === null && today.cost === null ? null
    : t("accounts.spent", { tokens: count(today.tokens), cost: dollars(today.cost) });
}
