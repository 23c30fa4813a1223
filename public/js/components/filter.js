//! What narrows a list down. Every choice is a part of the address.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { address } from "../router.js";

/** The filters of the view at `path`, each made by `select` or `input`. */
export function filters(...content) {
  return h("div", { class: "filters", role: "search", "aria-label": t("filter.name") }, content);
}

/** A choice among [value, text]; a choice that is in the address but not among them is shown by its value. */
export function select(path, query, name, options) {
  const chosen = query[name] ?? "";
  const known = chosen === "" || options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  return h("select", { id: `filter-${name}`, "aria-label": t(`filter.${name}`), onchange: (event) => change(path, query, name, event.target.value) },
    h("option", { value: "" }, t(`filter.${name}.any`)), known.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

/** A text to look for. */
export function input(path, query, name, placeholder = t(`filter.${name}.any`)) {
  return h("input", {
    id: `filter-${name}`, type: "search", "aria-label": t(`filter.${name}`), placeholder, value: query[name], spellcheck: "false",
    onchange: (event) => change(path, query, name, event.target.value.trim()),
  });
}

/** Whether all the words of `find` are somewhere in what `said` holds. */
export function finds(find, ...said) {
  const text = said.join(" ").toLowerCase();
  return find.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

// Another filter means another list, which begins at its first page.
function change(path, { cursor, ...query }, name, value) {
  location.hash = address(path, { ...query, [name]: value });
}
