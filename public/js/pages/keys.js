//! Keys: who may call, and how much?

import { key } from "../answers.js";
import { openIssue, openRevoke } from "../acts/key.js";
import { openTry } from "../acts/try.js";
import { ahead, when } from "../components/figure.js";
import { filters, finds, input } from "../components/filter.js";
import { standing, warnings } from "../components/limits.js";
import { pager } from "../components/links.js";
import { empty, head } from "../components/notice.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { dollars } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";
import { usage } from "./accounts.js";

export const title = "keys.title";

const FIRST_LIMITS = 3;
const PAGE = 50;
/** So many can be overlooked at a glance; more want to be searched. */
const FEW = 12;
/** Whoever finds more looks for something more particular. */
const MOST_FOUND = 200;

export async function load(api, { query }, signal) {
  if (query.find) return { keys: (await api.all("/api/keys", signal)).map(key).filter(fits(query.find)).slice(0, MOST_FOUND), next: null };
  const answer = await api.get("/api/keys", { limit: PAGE, cursor: query.cursor }, signal);
  return { keys: answer.data.map(key), next: answer.next_cursor ?? null };
}

export function render({ keys, next }, page) {
  const issue = page.mayChange && h("button", { type: "button", class: "primary", onclick: () => openIssue(page) }, t("keys.issue"));
  const { query } = page.route;
  if (keys.length === 0 && query.find) return [head(t(title), issue), search(query), empty(t("keys.none"), t("keys.none.why"), h("a", { class: "button", href: "#/keys" }, t("filter.clear")))];
  if (keys.length === 0 && !query.cursor) return [head(t(title)), empty(t("keys.empty"), t("keys.empty.why"), issue)];
  return [
    head(t(title), issue),
    keys.length > FEW || query.find || query.cursor ? search(query) : null,
    h("section", { class: "panel" }, table({ caption: t("keys.caption"), rows: keys, columns: columns(page) })),
    pager("keys", query, next),
  ];
}

function search({ find }) {
  return filters(input("keys", { find }, "find", t("keys.find")));
}

// What tells a key from others.
function fits(find) {
  return (row) => finds(find, row.name, row.prefix, row.note, row.pool, ...Object.entries(row.labels).flat());
}

/** What `?issue=1` asks for once the page stands. */
export function opened(page) {
  if (!page.route.query.issue || !page.mayChange) return;
  page.forgetQuery();
  openIssue(page);
}

function columns(page) {
  const shown = [
    { label: t("column.key"), cell: identity },
    { label: t("column.state"), kind: "lifetime bare", cell: lifetime },
    { label: t("column.limits"), kind: "wide", cell: limits },
    { label: t("column.today"), kind: "number", cell: (row) => [usage(row.today), spent(row)] },
    { label: t("column.used"), kind: "number", cell: (row) => when(row.lastUsed) },
  ];
  return page.mayChange ? [...shown, { label: t("column.actions"), kind: "actions", cell: (row) => actions(row, page) }] : shown;
}

function identity(row) {
  const facts = [row.role && word("role", row.role), row.pool, row.providers.map((one) => word("provider", one)).join(", "), row.models.join(" "), row.passthrough && t("keys.passthrough")];
  return [
    h("a", { class: "name", href: `#/keys/${encodeURIComponent(row.id)}` }, row.name),
    row.prefix ? h("code", { class: "prefix" }, `${row.prefix}…`) : null,
    h("span", { class: "sub" }, facts.filter(Boolean).join(" · ")),
    chips(row.labels),
    row.note ? h("span", { class: "sub" }, row.note) : null,
  ];
}

/** The labels of a key. */
export function chips(labels) {
  const all = Object.entries(labels);
  return all.length ? h("span", { class: "chips" }, all.map(([name, value]) => h("span", { class: "chip" }, `${name}: ${value}`))) : null;
}

/** The state of a key, and until when it is so. */
export function lifetime(row) {
  return [
    state("keystate", row.state),
    row.expires ? h("span", { class: "sub" }, t(ahead(row.expires) ? "keys.expires" : "keys.expired"), " ", when(row.expires)) : null,
    row.state === "rotation_due" ? h("span", { class: "sub" }, t("keys.due"), " ", when(row.rotationDue)) : null,
    ahead(row.oldSecretEnds) ? h("span", { class: "sub" }, t("keys.old_secret"), " ", when(row.oldSecretEnds)) : null,
  ];
}

// This month's sum stands below today's requests.
function spent({ today, month }) {
  const sums = [today.cost === null ? null : dollars(today.cost), month.cost === null ? null : t("keys.month", { cost: dollars(month.cost) })];
  return sums.some(Boolean) ? h("span", { class: "sub" }, sums.filter(Boolean).join(" · ")) : null;
}

function limits(row) {
  if (row.limits.length === 0) return h("span", { class: "dim" }, t("keys.unlimited"));
  // The fullest first: those are what somebody will ask about.
  const fullest = row.limits.toSorted((left, right) => (right.used ?? 0) / right.value - (left.used ?? 0) / left.value);
  const rest = fullest.length - FIRST_LIMITS;
  return [
    standing(fullest.slice(0, FIRST_LIMITS), true),
    rest > 0 ? h("span", { class: "sub" }, t("keys.more_limits", { count: rest })) : null,
    row.warning ? warnings(row.limits) : null,
  ];
}

function actions(row, page) {
  if (row.state === "revoked") return null;
  const button = (name, run) => h("button", { type: "button", class: "quiet", "aria-label": t("action.on", { action: t(name), name: row.name }), onclick: run }, t(name));
  return [button("keys.try", () => openTry(row)), button("keys.revoke", () => openRevoke(row, page))];
}
