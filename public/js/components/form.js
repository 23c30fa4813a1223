//! Form fields named as the API names them: `credential.api_key` becomes { credential: { api_key } }.

import { h } from "../dom.js";
import { t } from "../i18n.js";

/** A labelled input. `kind` says how its text becomes JSON: `text`, `number`, or `list` (commas or lines). */
export function field(name, label, { kind = "text", hint = null, ...attributes } = {}) {
  const input = h("input", {
    id: `field-${name}`, name, "data-kind": kind,
    ...(kind === "number" ? { type: "number", min: "0", step: "1", inputmode: "numeric" } : {}),
    ...described(name, hint), ...attributes,
  });
  return labelled(name, label, hint, attributes.required, input);
}

/** A labelled choice; `options` are [value, text]. */
export function choice(name, label, options, { hint = null, value = "", ...attributes } = {}) {
  const select = h("select", { id: `field-${name}`, name, "data-kind": "text", ...described(name, hint), ...attributes },
    options.map(([option, text]) => h("option", { value: option, selected: option === value }, text)));
  return labelled(name, label, hint, true, select);
}

/** A labelled text of lines such as `team=search`, which become an object. */
export function pairs(name, label, { value = {}, hint = null, ...attributes } = {}) {
  const text = Object.entries(value).map(([left, right]) => `${left}=${right}`).join("\n");
  const area = h("textarea", { id: `field-${name}`, name, rows: "2", spellcheck: "false", "data-kind": "pairs", ...described(name, hint), ...attributes }, text);
  return labelled(name, label, hint, false, area);
}

/** A group of boxes that together are one list. */
export function boxes(name, label, options, { hint = null, value = [] } = {}) {
  return h("fieldset", { class: "boxes" }, h("legend", null, label),
    options.map(([one, text]) => h("label", null,
      h("input", { type: "checkbox", name, value: one, checked: value.includes(one), "data-kind": "each" }), " ", text)),
    hint ? h("p", { class: "hint" }, hint) : null);
}

/** A box that says yes; unticked it says nothing. */
export function flag(name, label, hint, { checked = false, required = false } = {}) {
  return h("div", { class: "field" },
    h("label", null, h("input", { type: "checkbox", name, id: `field-${name}`, "data-kind": "flag", checked, required, ...described(name, hint) }), " ", label),
    hint ? h("p", { class: "hint", id: `hint-${name}` }, hint) : null);
}

/** Fields that most people never need. */
export function more(summary, ...fields) {
  return h("details", { class: "more" }, h("summary", null, summary), h("div", { class: "fields" }, fields));
}

/** What a form says, as the body of a call; what was left empty or is switched off is left out. */
export function collect(form) {
  const entries = [...form.elements]
    .filter((element) => element.name && element.dataset.kind && !element.matches(":disabled") && (element.type !== "checkbox" || element.checked))
    .map((element) => [element.name, element.dataset.kind, element.value.trim()]);
  return nest(entries);
}

/** The pure half of `collect`: [name, kind, text] to nested objects, `windows[0].hours` to a list of them. */
export function nest(entries) {
  const body = {};
  for (const [name, kind, text] of entries) {
    if (text === "") continue;
    const path = name.replace(/\[(\d+)\]/g, ".$1").split(".");
    const last = path.pop();
    const parent = path.reduce((object, part, index) => (object[part] ??= /^\d+$/.test(path[index + 1]) ? [] : {}), body);
    parent[last] = kind === "each" ? [...(parent[last] ?? []), text] : value(kind, text);
  }
  return body;
}

/** What a form now says otherwise than before, as the body of a PATCH: what was emptied is taken back. */
export function difference(before, after) {
  const changed = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[name]) === JSON.stringify(after[name])) continue;
    changed[name] = name === "limits" ? difference(before[name] ?? {}, after[name] ?? {}) : after[name] ?? nothing(name, before[name]);
  }
  return changed;
}

function nothing(name, before) {
  if (Array.isArray(before)) return [];
  if (typeof before === "boolean") return false;
  if (name === "note") return "";
  return typeof before === "object" ? {} : null;
}

function value(kind, text) {
  if (kind === "number") return Number(text);
  if (kind === "flag") return true;
  if (kind === "truth") return text === "true";
  if (kind === "moment") return new Date(text).toISOString();
  if (kind === "list") return text.split(/[\s,]+/).filter(Boolean);
  if (kind === "pairs") return Object.fromEntries(text.split(/\n+/).map((line) => split(line.trim())).filter(([left]) => left));
  return text;
}

function split(line) {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}

function labelled(name, label, hint, required, control) {
  return h("div", { class: "field" },
    h("label", { for: control.id }, label, required ? null : h("span", { class: "optional" }, ` ${t("form.optional")}`)),
    control,
    hint ? h("p", { class: "hint", id: `hint-${name}` }, hint) : null);
}

function described(name, hint) {
  return hint ? { "aria-describedby": `hint-${name}` } : {};
}
