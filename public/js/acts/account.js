//! What can be done to an account: add, change, check, pause, resume, reset, remove.

import { ask } from "../components/dialog.js";
import { choice, collect, difference, field, flag, more, pairs } from "../components/form.js";
import { dropZone } from "../components/drop.js";
import { ahead } from "../components/figure.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";

const PROVIDERS = ["anthropic", "gemini"];
const WAYS = ["api_key", "oauth", "file"];

/** The buttons of one account; `more` has them as large ones with changing among them, for the account's own page. */
export function buttons(row, page, { large = false, gone = null } = {}) {
  const path = pathOf(row);
  const button = (name, run) => h("button", { type: "button", class: large ? null : "quiet", "aria-label": large ? null : t("action.on", { action: t(name), name: row.name }), onclick: run }, t(name));
  const post = (verb) => page.act(() => page.api.post(`${path}/${verb}`), (answer) => t(`accounts.${verb}.done`, { name: row.name, finding: finding(answer) }));
  return [
    button("accounts.check", () => post("check")),
    (row.state !== "paused" && row.state !== "ready") || row.families.some(({ until }) => ahead(until)) ? button("accounts.reset", () => post("reset")) : null,
    row.state === "paused" ? button("accounts.resume", () => post("resume")) : button("accounts.pause", () => post("pause")),
    // What cannot be taken back is not one slip away in a list.
    large ? button("accounts.edit", () => openEdit(row, page)) : null,
    large ? button("accounts.remove", () => openRemove(row, page, gone)) : null,
  ];
}

// A check answers with what the provider said; the other acts need no more words.
function finding(answer) {
  return answer?.message ?? (answer?.ok === false ? t("accounts.unwell") : t("accounts.well"));
}

function pathOf(row) {
  return `/api/accounts/${encodeURIComponent(row.id)}`;
}

function openRemove(row, page, gone) {
  ask({
    title: t("accounts.remove.title"),
    content: h("p", null, h("strong", null, row.name), " · ", t("accounts.remove.text")),
    action: t("accounts.remove"),
    danger: true,
    submit: () => page.api.delete(pathOf(row)),
    done: (_, dialog) => {
      page.settle(dialog, t("accounts.remove.done", { name: row.name }));
      if (gone) location.hash = gone;
    },
  });
}

/** Asks for a new account: by its API key, by a login's tokens, or by a login file. */
export function openAdd(page, file = null) {
  const ways = credentials(file);
  const content = h("div", { class: "fields" },
    choice("way", t("accounts.way"), WAYS.map((way) => [way, t(`way.${way}`)]), { value: file ? "file" : "api_key", "data-kind": null, onchange: (event) => ways.show(event.target.value) }),
    ways.provider,
    field("name", t("field.name"), { required: true, maxlength: "100", autofocus: true, hint: t("accounts.hint.name") }),
    ways.node,
    options({}));
  ask({
    title: t("accounts.add.title"),
    content,
    action: t("accounts.add"),
    submit: (form) => {
      const body = collect(form);
      return form.elements.way.value === "file" ? page.api.post("/api/accounts/import", body) : page.api.post("/api/accounts", kinded(body, form));
    },
    done: (answer, dialog) => page.settle(dialog, t("accounts.add.done", { name: answer.name })),
  });
}

function kinded(body, form) {
  return body.credential ? { ...body, credential: { kind: form.elements.way.value, ...body.credential } } : body;
}

/** Asks what to change. A new credential is given whole, or not at all. */
export function openEdit(row, page) {
  const ways = credentials(null, false);
  const way = choice("way", t("accounts.new_credential"), [["", t("accounts.same_credential")], ["api_key", t("way.api_key")], ["oauth", t("way.oauth")]],
    { "data-kind": null, onchange: (event) => ways.show(event.target.value) });
  const content = h("div", { class: "fields" },
    field("name", t("field.name"), { required: true, maxlength: "100", value: row.name, autofocus: true }), way, ways.node, options(row, true));
  let before = null;
  const dialog = ask({
    title: t("accounts.edit.title"),
    content,
    action: t("form.save"),
    submit: (form) => page.api.patch(pathOf(row), kinded(difference(before, collect(form)), form)),
    done: (answer, dialog) => page.settle(dialog, t("accounts.edit.done", { name: answer.name })),
  });
  before = collect(dialog.querySelector("form"));
}

/** The fields of each kind of credential, of which one kind is shown; those that are not shown say nothing. */
function credentials(file, adding = true) {
  const provider = h("fieldset", { class: "bare-set" }, choice("provider", t("field.provider"), PROVIDERS.map((name) => [name, word("provider", name)]), { value: "anthropic", required: true }));
  const masked = { class: "masked", autocomplete: "off", spellcheck: "false" };
  // What a login needs said, however it is given.
  const entitled = h("fieldset", { class: "bare-set" }, flag("entitled", t("accounts.entitled"), t("accounts.hint.entitled")));
  const sets = {
    api_key: h("fieldset", { class: "bare-set" },
      field("credential.api_key", t("field.api_key"), { required: true, ...masked, hint: t("accounts.hint.api_key") })),
    oauth: h("fieldset", { class: "bare-set" },
      field("credential.access_token", t("field.access_token"), { required: true, ...masked, hint: t("accounts.hint.api_key") }),
      field("credential.refresh_token", t("field.refresh_token"), { ...masked, hint: t("accounts.hint.refresh_token") }),
      field("credential.project", t("field.project"), { hint: t("accounts.hint.project") })),
    file: adding ? h("fieldset", { class: "bare-set" }, dropZone("contents", t("accounts.file"), t("accounts.hint.file"), file)) : null,
  };
  const show = (way) => {
    for (const [name, set] of Object.entries(sets)) {
      if (!set) continue;
      set.hidden = name !== way;
      set.disabled = name !== way;
    }
    provider.hidden = provider.disabled = way === "file";
    entitled.hidden = entitled.disabled = way !== "file" && way !== "oauth";
  };
  show(file ? "file" : adding ? "api_key" : "");
  return { provider, node: [Object.values(sets), entitled], show };
}

function options(row, open = false) {
  const number = (name, value, rest = {}) => field(name, t(`field.${name}`), { kind: "number", value, ...rest });
  const set = more(t("form.more"),
    field("base_url", t("field.base_url"), { type: "url", placeholder: "https://", value: row.baseUrl, hint: t("accounts.hint.base_url") }),
    field("pool", t("field.pool"), { placeholder: "default", value: row.pool, hint: t("accounts.hint.pool") }),
    number("priority", row.priority, { placeholder: "0", hint: t("accounts.hint.priority") }),
    number("weight", row.weight, { placeholder: "1", min: "1", hint: t("accounts.hint.weight") }),
    number("max_in_flight", row.maxInFlight, { min: "1" }),
    number("requests_per_minute", row.requestsPerMinute, { min: "1" }),
    number("tokens_per_minute", row.tokensPerMinute, { min: "1" }),
    field("models", t("field.models"), { kind: "list", placeholder: "claude-*", value: row.models?.join(" "), hint: t("field.models.hint") }),
    pairs("model_map", t("field.model_map"), { value: row.modelMap, placeholder: "claude-sonnet=claude-haiku", hint: t("accounts.hint.model_map") }),
    choice("use_paid_overage", t("field.use_paid_overage"), [["true", t("overage.true")], ["false", t("overage.false")]], { value: String(row.overage ?? true), "data-kind": "truth", hint: t("accounts.hint.use_paid_overage") }),
    field("note", t("field.note"), { value: row.note }));
  set.open = open;
  return set;
}
