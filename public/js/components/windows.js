//! Rows of rolling windows in a key's form: how much within how many hours, and of which models.

import { h } from "../dom.js";
import { t } from "../i18n.js";

const MOST = 8;

/** The rows are named `name[0].hours` and so on, as the server names them in a refusal. */
export function windows(name, given) {
  let next = 0;
  const rows = h("div", { class: "window-rows" });
  const add = h("button", { type: "button", class: "small", onclick: () => append({}).querySelector("input").focus() }, t("windows.add"));

  function append(value) {
    const place = `${name}[${next++}]`;
    const input = (field, attributes) => {
      const id = `field-${place}.${field}`;
      return h("div", { class: "field" }, h("label", { for: id }, t(`windows.${field}`)),
        h("input", { id, name: `${place}.${field}`, value: value[field], "data-kind": "number", type: "number", min: "1", step: "1", ...attributes }));
    };
    const row = h("div", { class: "window-row" },
      input("hours", { required: true, max: "744" }),
      input("requests", {}), input("tokens", {}), input("cost_usd", { min: "0", step: "any" }),
      input("models", { type: "text", min: null, step: null, "data-kind": "list", value: value.models?.join(" "), placeholder: "claude-opus-*" }),
      h("button", { type: "button", class: "small", onclick: () => { row.remove(); full(); add.focus(); } }, t("windows.remove")));
    rows.append(row);
    full();
    return row;
  }
  function full() {
    add.disabled = rows.children.length >= MOST;
  }
  given.forEach(append);
  return h("fieldset", { class: "boxes windows" }, h("legend", null, t("windows.name")), h("p", { class: "hint" }, t("windows.hint")), rows, add);
}
