//! What can be done to a key: issue, change, rotate, revoke, try.

import { copyButton } from "../components/copy.js";
import { ask, turn } from "../components/dialog.js";
import { boxes, choice, collect, difference, field, flag, more, pairs } from "../components/form.js";
import { windows } from "../components/windows.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";
import { remember } from "../issued.js";
import { address } from "../router.js";

const HOUR = 3_600;
const DAY = 86_400;
const ROLES = ["member", "viewer", "admin"];
const PROVIDERS = ["anthropic", "gemini"];

/** The limits that the form offers, as the API names them; all of them have words. */
const LIMITS = [
  "max_in_flight", "requests_per_minute", "tokens_per_minute", "requests_per_day", "tokens_per_day",
  "cost_per_day_usd", "cost_per_week_usd", "cost_per_month_usd", "cost_total_usd",
];

function pathOf(row) {
  return `/api/keys/${encodeURIComponent(row.id)}`;
}

/** Asks for a new key, and shows its secret this once. */
export function openIssue(page) {
  const content = h("div", { class: "fields" },
    field("name", t("field.name"), { required: true, maxlength: "100", autofocus: true, hint: t("keys.hint.name") }),
    roleChoice("member"),
    choice("expires_in_seconds", t("field.expires"), [["", t("expires.never")], ...[7, 30, 90, 365].map((days) => [String(days * DAY), t("expires.days", { days })])], { "data-kind": "number" }),
    rights({}), limits({}, []));
  ask({
    title: t("keys.issue.title"),
    content,
    action: t("keys.issue"),
    submit: (form) => page.api.post("/api/keys", read(form)),
    done: (answer, dialog) => showSecret(answer, dialog, page, t("keys.issue.done", { name: answer.name })),
  });
}

/** Asks what to change. */
export function openEdit(row, page) {
  const content = h("div", { class: "fields" },
    field("name", t("field.name"), { required: true, maxlength: "100", value: row.name, autofocus: true }),
    roleChoice(row.role),
    field("expires_at", t("field.expires_at"), { type: "datetime-local", kind: "moment", value: local(row.expires) }),
    rights(row), limits(row.given, row.given.windows ?? [], row));
  let before = null;
  const dialog = ask({
    title: t("keys.edit.title"),
    content,
    action: t("form.save"),
    submit: (form) => page.api.patch(pathOf(row), difference(before, read(form))),
    done: (answer, open) => page.settle(open, t("keys.edit.done", { name: answer.name })),
  });
  before = read(dialog.querySelector("form"));
}

/** Asks for how long the old secret may still be used, and shows the new one this once. */
export function openRotate(row, page) {
  const graces = [[0, "now"], [HOUR, "hour"], [DAY, "day"], [7 * DAY, "week"]];
  ask({
    title: t("keys.rotate.title"),
    content: h("div", { class: "fields" },
      h("p", null, h("strong", null, row.name), " · ", t("keys.rotate.text")),
      choice("grace_seconds", t("keys.grace"), graces.map(([seconds, name]) => [String(seconds), t(`grace.${name}`)]), { value: String(HOUR), "data-kind": "number" })),
    action: t("keys.rotate"),
    submit: (form) => page.api.post(`${pathOf(row)}/rotate`, collect(form)),
    done: (answer, dialog) => showSecret(answer, dialog, page, t("keys.rotate.done", { name: answer.name })),
  });
}

/** Asks whether to end it for good. */
export function openRevoke(row, page) {
  ask({
    title: t("keys.revoke.title"),
    content: h("p", null, h("strong", null, row.name), " · ", t("keys.revoke.text")),
    action: t("keys.revoke"),
    danger: true,
    submit: () => page.api.delete(pathOf(row)),
    done: (_, dialog) => page.settle(dialog, t("keys.revoke.done", { name: row.name })),
  });
}

function showSecret(answer, dialog, page, sentence) {
  remember(answer.id, answer.name, answer.key);
  page.settle(null, sentence);
  const shown = h("code", { class: "secret", id: "secret" }, answer.key);
  turn(dialog, t("keys.secret.title"), h("div", null,
    h("p", null, t("keys.secret.text")),
    h("div", { class: "secret-line" }, shown, copyButton(answer.key, shown, t("keys.secret.name"))),
    h("div", { class: "actions end" },
      h("a", { class: "button", href: address("connect", { key: answer.id }), onclick: () => dialog.close() }, t("keys.secret.connect")),
      h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, t("keys.secret.done")))));
}

function roleChoice(value) {
  return choice("role", t("field.role"), ROLES.map((role) => [role, `${word("role", role)} – ${t(`role.${role}.may`)}`]), { value });
}

function rights(row) {
  return more(t("form.scope"),
    boxes("providers", t("field.providers"), PROVIDERS.map((name) => [name, word("provider", name)]), { hint: t("keys.hint.providers"), value: row.providers }),
    field("models", t("field.models"), { kind: "list", placeholder: "claude-*", value: row.models?.join(" "), hint: t("field.models.hint") }),
    field("pool", t("field.pool"), { placeholder: "default", value: row.pool, hint: t("keys.hint.pool") }),
    field("allowed_cidrs", t("field.networks"), { kind: "list", placeholder: "10.0.0.0/8", value: row.networks?.join(" "), hint: t("keys.hint.networks") }),
    flag("allow_passthrough", t("field.passthrough"), t("keys.hint.passthrough"), { checked: row.passthrough }),
    pairs("labels", t("field.labels"), { value: row.labels, placeholder: "team=search", hint: t("keys.hint.labels") }),
    field("rotate_every_days", t("field.rotate_every_days"), { kind: "number", min: "1", value: row.rotateDays, hint: t("keys.hint.rotate_every_days") }),
    flag("auto_rotate", t("field.auto_rotate"), t("keys.hint.auto_rotate"), { checked: row.rotatesItself }),
    field("note", t("field.note"), { value: row.note }));
}

function limits(given, rolling, row = {}) {
  const limit = (name) => field(`limits.${name}`, word("limit", name), { kind: "number", value: given[name], ...(name.endsWith("_usd") ? { step: "any", inputmode: "decimal" } : { min: "1" }) });
  return more(t("form.limits"), LIMITS.map(limit), windows("limits.windows", rolling),
    field("time_zone", t("field.time_zone"), { placeholder: "UTC", value: row.zone, hint: t("keys.hint.time_zone") }));
}

// A row of windows that was taken out leaves a hole.
function read(form) {
  const body = collect(form);
  if (body.limits?.windows) body.limits.windows = body.limits.windows.filter(Boolean);
  return body;
}

function local(time) {
  if (!time) return null;
  const at = new Date(time);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
