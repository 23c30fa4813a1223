//! Accounts: who can serve, and if not, why and until when?

import { account } from "../answers.js";
import { buttons, openAdd } from "../acts/account.js";
import { ahead, number, when } from "../components/figure.js";
import { reported } from "../components/limits.js";
import { empty, head } from "../components/notice.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH, count, dollars } from "../format.js";
import { t, word } from "../i18n.js";

export const title = "accounts.title";
export const every = 4_000;

export async function load(api, _route, signal) {
  const answer = await api.get("/api/accounts", { limit: 500 }, signal);
  return { accounts: answer.data.map(account) };
}

export function render({ accounts }, page) {
  const add = page.mayChange && h("button", { type: "button", class: "primary", onclick: () => openAdd(page) }, t("accounts.add"));
  if (accounts.length === 0) return [head(t(title)), droppable(page, empty(t("accounts.empty"), t("accounts.empty.why"), add))];
  return [head(t(title), add), droppable(page, h("section", { class: "panel" }, table({
    caption: t("accounts.caption"),
    rows: accounts,
    columns: columns(page),
  })))];
}

/** What `?add=1` asks for once the page stands. */
export function opened(page) {
  if (!page.route.query.add || !page.mayChange) return;
  history.replaceState(null, "", "#/accounts");
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
    { label: t("column.state"), kind: "wide", cell: health },
    { label: t("column.limits"), cell: (row) => (row.reported.length ? reported(row.reported, true) : h("span", { class: "dim" }, DASH)) },
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
    row.reason ? h("span", { class: "sub" }, row.reason) : null,
    row.lastError && row.lastError !== row.reason ? h("span", { class: "sub said" }, t("accounts.last_error"), " ", text(row.lastError)) : null,
  ];
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

/** Requests of today, with errors beside them when there are any. */
export function usage(today) {
  return [number(today.requests), today.errors ? h("span", { class: "errors" }, ` ${t("accounts.errors", { count: count(today.errors) })}`) : null];
}

function spent(today) {
  return today.tokens === null && today.cost === null ? null
    : t("accounts.spent", { tokens: count(today.tokens), cost: dollars(today.cost) });
}
