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

/** A group of boxes that together are one list. */
export function boxes(name, label, options, hint = null) {
  return h("fieldset", { class: "boxes" }, h("legend", null, label),
    options.map(([value, text]) => h("label", null,
      h("input", { type: "checkbox", name, value, "data-kind": "each" }), " ", text)),
    hint ? h("p", { class: "hint" }, hint) : null);
}

/** A box that says yes; unticked it says nothing. */
export function flag(name, label, hint) {
  return h("div", { class: "field" },
    h("label", null, h("input", { type: "checkbox", name, id: `field-${name}`, "data-kind": "flag", ...described(name, hint) }), " ", label),
    h("p", { class: "hint", id: `hint-${name}` }, hint));
}

/** Fields that most people never need. */
export function more(summary, ...fields) {
  return h("details", { class: "more" }, h("summary", null, summary), h("div", { class: "fields" }, fields));
}

/** What a form says, as the body of a call; what was left empty is left out. */
export function collect(form) {
  const entries = [...form.elements]
    .filter((element) => element.name && element.dataset.kind && (element.type !== "checkbox" || element.checked))
    .map((element) => [element.name, element.dataset.kind, element.value.trim()]);
  return nest(entries);
}

/** The pure half of `collect`: [name, kind, text] to nested objects. */
export function nest(entries) {
  const body = {};
  for (const [name, kind, text] of entries) {
    if (text === "") continue;
    const path = name.split(".");
    const last = path.pop();
    const parent = path.reduce((object, part) => (object[part] ??= {}), body);
    parent[last] = kind === "each" ? [...(parent[last] ?? []), text] : value(kind, text);
  }
  return body;
}

function value(kind, text) {
  if (kind === "number") return Number(text);
  if (kind === "flag") return true;
  if (kind === "list") return text.split(/[\s,]+/).filter(Boolean);
  return text;
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
