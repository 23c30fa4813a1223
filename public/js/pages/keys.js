//! Keys: who may call, and how much?

import { key } from "../answers.js";
import { copyButton } from "../components/copy.js";
import { ask, turn } from "../components/dialog.js";
import { ahead, when } from "../components/figure.js";
import { boxes, choice, collect, field, flag, more } from "../components/form.js";
import { pager } from "../components/links.js";
import { empty, head } from "../components/notice.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { count, dollars } from "../format.js";
import { t, word } from "../i18n.js";
import { remember } from "../issued.js";
import { address } from "../router.js";
import { usage } from "./accounts.js";

export const title = "keys.title";

const DAY = 86_400;

/** The limits that the form offers, as the API names them; all of them have words. */
const LIMITS = [
  "max_in_flight", "requests_per_minute", "tokens_per_minute", "requests_per_day", "tokens_per_day",
  "cost_per_day_usd", "cost_per_week_usd", "cost_per_month_usd", "cost_total_usd",
];

export async function load(api, { query }, signal) {
  const answer = await api.get("/api/keys", { limit: 50, cursor: query.cursor }, signal);
  return { keys: answer.data.map(key), next: answer.next_cursor ?? null };
}

export function render({ keys, next }, page) {
  const issue = page.mayChange && h("button", { type: "button", class: "primary", onclick: () => openIssue(page) }, t("keys.issue"));
  if (keys.length === 0 && !page.route.query.cursor) return [head(t(title)), empty(t("keys.empty"), t("keys.empty.why"), issue)];
  return [
    head(t(title), issue),
    h("section", { class: "panel" }, table({ caption: t("keys.caption"), rows: keys, columns: columns(page) })),
    pager("keys", page.route.query, next),
  ];
}

/** What `?issue=1` asks for once the page stands. */
export function opened(page) {
  if (!page.route.query.issue || !page.mayChange) return;
  history.replaceState(null, "", "#/keys");
  openIssue(page);
}

function columns(page) {
  const shown = [
    { label: t("column.key"), cell: identity },
    { label: t("column.state"), cell: (row) => [state("keystate", row.state), row.expires ? h("span", { class: "sub" }, t(ahead(row.expires) ? "keys.expires" : "keys.expired"), " ", when(row.expires)) : null] },
    { label: t("column.limits"), kind: "wide", cell: limits },
    { label: t("column.today"), kind: "number", cell: (row) => [usage(row.today), spent(row)] },
    { label: t("column.used"), kind: "number", cell: (row) => when(row.lastUsed) },
  ];
  return page.mayChange ? [...shown, { label: t("column.actions"), kind: "actions", cell: (row) => revoke(row, page) }] : shown;
}

function identity(row) {
  const facts = [row.role && word("role", row.role), row.pool, row.providers.map((one) => word("provider", one)).join(", "), row.models.join(" "), row.passthrough && t("keys.passthrough")];
  return [
    h("span", { class: "name" }, row.name),
    row.prefix ? h("code", { class: "prefix" }, `${row.prefix}…`) : null,
    h("span", { class: "sub" }, facts.filter(Boolean).join(" · ")),
    row.note ? h("span", { class: "sub" }, row.note) : null,
  ];
}

// This month's sum stands below today's requests once the server gives it.
function spent({ today, month }) {
  const sums = [today.cost === null ? null : dollars(today.cost), month.cost === null ? null : t("keys.month", { cost: dollars(month.cost) })];
  return sums.some(Boolean) ? h("span", { class: "sub" }, sums.filter(Boolean).join(" · ")) : null;
}

function limits(row) {
  if (row.limits.length === 0) return h("span", { class: "dim" }, t("keys.unlimited"));
  const list = h("ul", { class: "limits" }, row.limits.map(([name, amount, used, rolling]) => {
    const shown = name.endsWith("_usd") ? dollars : count;
    return h("li", null, h("span", { class: "dim" }, `${rolling ? within(name, rolling) : word("limit", name)} `), used === null ? shown(amount) : `${shown(used)} / ${shown(amount)}`);
  }));
  return row.warning ? [list, h("span", { class: "sub" }, row.warning)] : list;
}

// `windows[0].tokens` in words.
function within(name, { hours, models }) {
  const what = name.endsWith("requests") ? "keys.within.requests" : name.endsWith("tokens") ? "keys.within.tokens" : "keys.within.usd";
  return [t(what, { hours }), ...(models ?? [])].join(" ");
}

function revoke(row, page) {
  if (row.state === "revoked") return null;
  const open = () => ask({
    title: t("keys.revoke.title"),
    content: h("p", null, h("strong", null, row.name), " · ", t("keys.revoke.text")),
    action: t("keys.revoke"),
    danger: true,
    submit: () => page.api.delete(`/api/keys/${encodeURIComponent(row.id)}`),
    done: (_, dialog) => page.settle(dialog, t("keys.revoke.done", { name: row.name })),
  });
  return h("button", { type: "button", class: "quiet", "aria-label": t("action.on", { action: t("keys.revoke"), name: row.name }), onclick: open }, t("keys.revoke"));
}

function limit(name) {
  const kind = name.endsWith("_usd") ? { step: "any", inputmode: "decimal" } : { min: "1" };
  return field(`limits.${name}`, word("limit", name), { kind: "number", ...kind });
}

function openIssue(page) {
  const content = h("div", { class: "fields" },
    field("name", t("field.name"), { required: true, maxlength: "100", autofocus: true, hint: t("keys.hint.name") }),
    choice("role", t("field.role"), ["member", "viewer", "admin"].map((role) => [role, `${word("role", role)} – ${t(`role.${role}.may`)}`]), { value: "member" }),
    choice("expires_in_seconds", t("field.expires"), [["", t("expires.never")], ...[7, 30, 90, 365].map((days) => [String(days * DAY), t("expires.days", { days })])], { "data-kind": "number" }),
    more(t("form.limits"),
      boxes("providers", t("field.providers"), [["anthropic", word("provider", "anthropic")], ["gemini", word("provider", "gemini")]], t("keys.hint.providers")),
      field("models", t("field.models"), { kind: "list", placeholder: "claude-haiku-* gemini-2.5-*", hint: t("field.models.hint") }),
      field("pool", t("field.pool"), { placeholder: "default", hint: t("keys.hint.pool") }),
      LIMITS.map(limit),
      field("time_zone", t("field.time_zone"), { placeholder: "Europe/Berlin", hint: t("keys.hint.time_zone") }),
      field("rotate_every_days", t("field.rotate_every_days"), { kind: "number", min: "1", hint: t("keys.hint.rotate_every_days") }),
      flag("allow_passthrough", t("field.passthrough"), t("keys.hint.passthrough")),
      field("note", t("field.note"))));
  ask({
    title: t("keys.issue.title"),
    content,
    action: t("keys.issue"),
    submit: (form) => page.api.post("/api/keys", collect(form)),
    done: (answer, dialog) => {
      remember(answer.id, answer.name, answer.key);
      page.settle(null, t("keys.issue.done", { name: answer.name }));
      turn(dialog, t("keys.secret.title"), secret(answer, dialog));
    },
  });
}

function secret(answer, dialog) {
  const shown = h("code", { class: "secret", id: "secret" }, answer.key);
  return h("div", null,
    h("p", null, t("keys.secret.text")),
    h("div", { class: "secret-line" }, shown, copyButton(answer.key, shown, t("keys.secret.name"))),
    h("div", { class: "actions end" },
      h("a", { class: "button", href: address("connect", { key: answer.id }), onclick: () => dialog.close() }, t("keys.secret.connect")),
      h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, t("keys.secret.done"))));
}
