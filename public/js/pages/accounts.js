//! Accounts: who can serve, and if not, why and until when?

import { account } from "../answers.js";
import { ask } from "../components/dialog.js";
import { ahead, number, when } from "../components/figure.js";
import { choice, collect, field, more } from "../components/form.js";
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
  if (accounts.length === 0) return [head(t(title)), empty(t("accounts.empty"), t("accounts.empty.why"), add)];
  return [head(t(title), add), h("section", { class: "panel" }, table({
    caption: t("accounts.caption"),
    rows: accounts,
    columns: columns(page),
  }))];
}

/** What `?add=1` asks for once the page stands. */
export function opened(page) {
  if (!page.route.query.add || !page.mayChange) return;
  history.replaceState(null, "", "#/accounts");
  openAdd(page);
}

function columns(page) {
  const shown = [
    { label: t("column.account"), cell: identity },
    { label: t("column.state"), kind: "wide", cell: health },
    { label: t("column.in_flight"), kind: "number", cell: slots },
    { label: t("column.today"), kind: "number", cell: (row) => [usage(row.today), h("span", { class: "sub" }, spent(row.today))] },
    { label: t("column.used"), kind: "number", cell: (row) => when(row.lastUsed) },
  ];
  return page.mayChange ? [...shown, { label: t("column.actions"), kind: "actions", cell: (row) => actions(row, page) }] : shown;
}

function identity(row) {
  const facts = [word("provider", row.provider), row.pool, row.hint && `…${row.hint}`, row.baseUrl, row.models.join(" ")];
  return [
    h("span", { class: "name" }, row.name),
    h("span", { class: "sub" }, facts.filter(Boolean).join(" · ")),
    row.note ? h("span", { class: "sub" }, row.note) : null,
  ];
}

function health(row) {
  return [
    state("state", row.state),
    ahead(row.until) ? h("span", { class: "dim" }, " ", t("accounts.back"), " ", when(row.until)) : null,
    row.families.filter(({ until }) => ahead(until)).map(({ family, until }) => h("span", { class: "sub" }, family, " ", t("accounts.back"), " ", when(until))),
    row.reason ? h("span", { class: "sub" }, row.reason) : null,
    row.lastError && row.lastError !== row.reason ? h("span", { class: "sub said" }, text(row.lastError)) : null,
  ];
}

// The last error may be a sentence or an object around one.
function text(error) {
  return typeof error === "string" ? error : error.message ?? DASH;
}

function slots(row) {
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

function actions(row, page) {
  const path = `/api/accounts/${encodeURIComponent(row.id)}`;
  const button = (name, run) => h("button", { type: "button", class: "quiet", "aria-label": t("action.on", { action: t(name), name: row.name }), onclick: run }, t(name));
  const post = (verb) => page.act(() => page.api.post(`${path}/${verb}`), (answer) => t(`accounts.${verb}.done`, { name: row.name, finding: finding(answer) }));
  return [
    button("accounts.check", () => post("check")),
    row.state === "cooling" || row.state === "exhausted" ? button("accounts.reset", () => post("reset")) : null,
    row.state === "paused" ? button("accounts.resume", () => post("resume")) : button("accounts.pause", () => post("pause")),
    button("accounts.remove", () => openRemove(row, path, page)),
  ];
}

// A check answers with what the provider said; the other acts need no more words.
function finding(answer) {
  return answer?.message ?? (answer?.ok === false ? t("accounts.unwell") : t("accounts.well"));
}

function openRemove(row, path, page) {
  ask({
    title: t("accounts.remove.title"),
    content: h("p", null, h("strong", null, row.name), " · ", t("accounts.remove.text")),
    action: t("accounts.remove"),
    danger: true,
    submit: () => page.api.delete(path),
    done: (_, dialog) => page.settle(dialog, t("accounts.remove.done", { name: row.name })),
  });
}

function openAdd(page) {
  const content = h("div", { class: "fields" },
    choice("provider", t("field.provider"), [["anthropic", word("provider", "anthropic")], ["gemini", word("provider", "gemini")]], { value: "anthropic", required: true }),
    field("name", t("field.name"), { required: true, maxlength: "100", autofocus: true, hint: t("accounts.hint.name") }),
    field("credential.api_key", t("field.api_key"), { required: true, class: "masked", autocomplete: "off", spellcheck: "false", hint: t("accounts.hint.api_key") }),
    more(t("form.more"),
      field("base_url", t("field.base_url"), { type: "url", placeholder: "https://", hint: t("accounts.hint.base_url") }),
      field("pool", t("field.pool"), { placeholder: "default", hint: t("accounts.hint.pool") }),
      field("priority", t("field.priority"), { kind: "number", placeholder: "0", hint: t("accounts.hint.priority") }),
      field("weight", t("field.weight"), { kind: "number", placeholder: "1", hint: t("accounts.hint.weight") }),
      field("max_in_flight", t("field.max_in_flight"), { kind: "number", min: "1" }),
      field("models", t("field.models"), { kind: "list", placeholder: "claude-*", hint: t("field.models.hint") }),
      field("note", t("field.note"))));
  ask({
    title: t("accounts.add.title"),
    content,
    action: t("accounts.add"),
    submit: (form) => page.api.post("/api/accounts", addition(form)),
    done: (answer, dialog) => page.settle(dialog, t("accounts.add.done", { name: answer.name })),
  });
}

function addition(form) {
  const body = collect(form);
  return { ...body, credential: { kind: "api_key", ...body.credential } };
}
