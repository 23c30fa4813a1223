//! Trying a key: one cheap call with it, and what came back.

import { createApi } from "../api.js";
import { ask } from "../components/dialog.js";
import { choice, field } from "../components/form.js";
import { facts } from "../components/panel.js";
import { h, replace } from "../dom.js";
import { duration } from "../format.js";
import { t, word } from "../i18n.js";
import { issued } from "../issued.js";

/** The list of models costs nothing, and takes the same way as every other call. Both APIs have it; a header tells which is meant. */
const PATHS = { anthropic: "/v1/models", gemini: "/v1beta/models" };
const HEADERS = { anthropic: { "anthropic-version": "2023-06-01" }, gemini: {} };
const SHOWN = 5;

/** Asks for the secret, which only its holder has, or takes it where this tab issued it. */
export function openTry(row) {
  const known = issued().find(({ id }) => id === row.id)?.secret ?? "";
  const outcome = h("div", { class: "outcome", role: "status" });
  const allowed = row.providers.length ? row.providers : Object.keys(PATHS);
  ask({
    title: t("keys.try.title"),
    content: h("div", { class: "fields" },
      h("p", null, t("keys.try.text")),
      field("secret", t("keys.try.secret"), { required: true, class: "masked", autocomplete: "off", spellcheck: "false", value: known, placeholder: `${row.prefix}…`, hint: known ? t("keys.try.known") : t("keys.try.unknown") }),
      choice("api", t("keys.try.api"), allowed.map((name) => [name, `${word("provider", name)} · GET ${PATHS[name]}`]), { value: allowed[0] }),
      outcome),
    action: t("keys.try"),
    submit: async (form) => {
      replace(outcome, []);
      const began = performance.now();
      const api = form.elements.api.value;
      const answer = await createApi(form.elements.secret.value.trim(), undefined, HEADERS[api]).get(PATHS[api]);
      return { answer, took: performance.now() - began };
    },
    done: ({ answer, took }) => replace(outcome, works(answer, took)),
  });
}

function works(answer, took) {
  const models = (answer.data ?? answer.models ?? []).map((model) => model.id ?? model.name ?? "").filter(Boolean);
  return [
    h("p", null, h("span", { class: "state", "data-value": "ready" }, t("keys.try.works"))),
    facts([
      [t("keys.try.took"), duration(took)],
      [t("keys.try.models", { count: models.length }), [models.slice(0, SHOWN).join(", "), models.length > SHOWN ? " …" : ""]],
    ]),
  ];
}
