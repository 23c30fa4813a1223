//! A price of one's own for a model: set, change, take back.

import { ask } from "../components/dialog.js";
import { choice, collect, field, more } from "../components/form.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";

const USUAL = ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h"];
const LONG = ["long_above", "long_input", "long_output", "long_cache_read", "long_cache_write_5m", "long_cache_write_1h"];

/** Asks for a price; that of `row` is changed, where there is one. Columns that the form does not have stay as they are. */
export function openPrice(row, page) {
  const known = Boolean(row.model);
  const rate = (name) => field(name, t(`price.${name}`), { kind: "number", step: "any", inputmode: "decimal", value: row[name] });
  const content = h("div", { class: "fields" },
    choice("provider", t("field.provider"), ["anthropic", "gemini"].map((name) => [name, word("provider", name)]), { value: row.provider ?? "anthropic", disabled: known, "data-kind": null }),
    field("model", t("field.model"), { required: true, value: row.model, disabled: known, autofocus: !known, spellcheck: "false", "data-kind": null }),
    h("p", { class: "hint" }, t("prices.unit")),
    h("div", { class: "fields grid" }, USUAL.map(rate)),
    more(t("prices.long"), LONG.map(rate)));
  ask({
    title: known ? t("prices.edit.title") : t("prices.add.title"),
    content,
    action: t("form.save"),
    submit: (form) => {
      const { provider, model, ...kept } = row;
      const rest = Object.fromEntries(Object.entries(kept).filter(([name]) => !USUAL.includes(name) && !LONG.includes(name)));
      return page.api.put(path(form.elements.provider.value, form.elements.model.value.trim()), { kind: "chat", status: "current", ...rest, ...collect(form) });
    },
    done: (answer, dialog) => page.settle(dialog, t("prices.done", { model: answer.model })),
  });
}

/** Asks whether the built-in price shall count again. */
export function openUnset(row, page) {
  ask({
    title: t("prices.unset.title"),
    content: h("p", null, h("strong", null, row.model), " · ", t("prices.unset.text")),
    action: t("prices.unset"),
    danger: true,
    submit: () => page.api.delete(path(row.provider, row.model)),
    done: (_, dialog) => page.settle(dialog, t("prices.unset.done", { model: row.model })),
  });
}

function path(provider, model) {
  return `/api/stats/prices/${provider}/${encodeURIComponent(model)}`;
}
