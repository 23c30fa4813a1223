//! Routing: how does each pool choose, and whom would a request go to now?

import { account, key } from "../answers.js";
import { STRATEGIES, openPolicy } from "../acts/policy.js";
import { head } from "../components/notice.js";
import { facts, inset, panel } from "../components/panel.js";
import { reason as said } from "../components/reasons.js";
import { h } from "../dom.js";
import { duration } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";

export const title = "routing.title";

const PROVIDERS = ["anthropic", "gemini"];

export async function load(api, { query }, signal) {
  const [routing, accounts, keys] = await Promise.all([
    api.get("/api/routing", {}, signal),
    api.all("/api/accounts", signal),
    api.all("/api/keys", signal),
  ]);
  const found = accounts.map(account);
  const pools = [...new Set(["default", ...found.map(({ pool }) => pool), ...keys.map((one) => key(one).pool), ...routing.data.map(({ pool }) => pool)])].filter(Boolean);
  const asked = { model: query.model, pool: query.pool || "default", provider: query.provider || undefined };
  return { routing, accounts: found, pools, asked, preview: query.model ? await preview(api, asked) : null };
}

// What is wrong with the question belongs beside it, and is no failure of the page.
async function preview(api, asked) {
  try {
    return await api.post("/api/routing/preview", asked);
  } catch (error) {
    if (error.status !== 400 && error.status !== 422) throw error;
    return { refusal: error.message };
  }
}

export function render({ routing, accounts, pools, asked, preview }, page) {
  return [
    head(t(title)),
    panel(t("preview.title"), inset(h("p", { class: "hint" }, t("preview.why")), question(asked, pools), preview ? answer(preview) : null)),
    pools.flatMap((pool) => PROVIDERS.map((provider) => policyPanel(pool, provider, routing, accounts, page))),
  ];
}

function question(asked, pools) {
  const model = h("input", { id: "preview-model", name: "model", value: asked.model, required: true, placeholder: "claude-sonnet-5-5", spellcheck: "false" });
  const select = (name, options, chosen) => h("select", { id: `preview-${name}`, name }, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
  const label = (control, text) => h("div", { class: "field" }, h("label", { for: control.id }, text), control);
  const pool = select("pool", pools.map((name) => [name, name]), asked.pool);
  const provider = select("provider", [["", t("preview.by_name")], ...PROVIDERS.map((name) => [name, word("provider", name)])], asked.provider ?? "");
  return h("form", {
    class: "row-form", id: "preview",
    onsubmit: (event) => {
      event.preventDefault();
      const to = address("routing", { model: model.value.trim(), pool: pool.value, provider: provider.value });
      // The same question again means: how is it now?
      if (to === location.hash) dispatchEvent(new HashChangeEvent("hashchange"));
      else location.hash = to;
    },
  }, label(model, t("field.model")), label(pool, t("field.pool")), label(provider, t("field.provider")), h("button", { class: "primary" }, t("preview.ask")));
}

function answer(preview) {
  if (preview.refusal) return h("p", { class: "said errors", role: "alert" }, preview.refusal);
  const row = ({ id, name, reason }) => h("li", null, h("a", { class: "name", href: `#/accounts/${encodeURIComponent(id)}` }, name), said(reason));
  return h("div", { class: "pair preview", role: "status" },
    h("div", null, h("h3", null, t("preview.order", { strategy: word("strategy", preview.strategy) })),
      preview.order.length ? h("ol", { class: "order" }, preview.order.map(row)) : h("p", { class: "errors" }, t("preview.nobody"))),
    h("div", null, h("h3", null, t("preview.excluded")),
      preview.excluded.length ? h("ul", { class: "order" }, preview.excluded.map(row)) : h("p", { class: "dim" }, t("preview.none_excluded"))));
}

function policyPanel(pool, provider, { data, default: usual }, accounts, page) {
  const served = accounts.filter((one) => one.pool === pool && one.provider === provider).length;
  const own = data.find((one) => one.pool === pool && one.provider === provider);
  if (served === 0 && !own) return null;
  const policy = own ?? usual;
  const name = `${pool} · ${word("provider", provider)}`;
  const edit = page.mayChange && h("button", { type: "button", class: "small", "aria-label": t("action.on", { action: t("policy.edit"), name }), onclick: () => openPolicy({ pool, provider, policy, usual, name }, page) }, t("policy.edit"));
  const seconds = (value) => duration(value * 1000);
  return panel(name, inset(
    h("p", null, h("strong", null, word("strategy", policy.strategy)), h("span", { class: "dim" }, ` – ${t(`strategy.${STRATEGIES.includes(policy.strategy) ? policy.strategy : "weighted"}.why`)}`)),
    facts([
      [t("policy.accounts"), String(served)],
      [t("field.max_attempts"), String(policy.max_attempts)],
      [t("policy.affinity"), policy.affinity.enabled ? t("policy.affinity.on", { time: seconds(policy.affinity.ttl_seconds), most: policy.affinity.max_in_flight }) : t("policy.affinity.off")],
      [t("policy.patience"), [policy.connect_timeout_ms, policy.first_byte_timeout_ms, policy.idle_timeout_ms].map(duration).join(" · ")],
      [t("policy.cooldown"), t("policy.cooldown.words", { limited: seconds(policy.cooldown.rate_limited_seconds), failed: seconds(policy.cooldown.overloaded_seconds), threshold: policy.cooldown.failure_threshold })],
    ])), own ? null : h("span", { class: "dim" }, t("policy.default")), edit);
}
