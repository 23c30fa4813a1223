//! How a pool routes one provider's requests: the whole policy as one form.

import { ask } from "../components/dialog.js";
import { choice, collect, field, more } from "../components/form.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";

/** The orders that a pool can go by, as the API names them. */
export const STRATEGIES = ["weighted", "priority", "round_robin", "least_in_flight", "headroom", "earliest_reset"];

/** Asks for the policy of a pool and provider; what is left empty takes its default. */
export function openPolicy({ pool, provider, policy, usual, name }, page) {
  const number = (path, value, placeholder) => field(path, t(`field.${path.split(".").at(-1)}`), { kind: "number", min: "1", value, placeholder });
  const content = h("div", { class: "fields" },
    choice("strategy", t("field.strategy"), STRATEGIES.map((one) => [one, `${word("strategy", one)} – ${t(`strategy.${one}.why`)}`]), { value: policy.strategy, autofocus: true }),
    number("max_attempts", policy.max_attempts, usual.max_attempts),
    choice("affinity.enabled", t("policy.affinity"), [["true", t("affinity.true")], ["false", t("affinity.false")]], { value: String(policy.affinity.enabled), "data-kind": "truth", hint: t("policy.hint.affinity") }),
    more(t("policy.more"),
      number("affinity.ttl_seconds", policy.affinity.ttl_seconds, usual.affinity.ttl_seconds),
      number("affinity.max_in_flight", policy.affinity.max_in_flight, usual.affinity.max_in_flight),
      number("connect_timeout_ms", policy.connect_timeout_ms, usual.connect_timeout_ms),
      number("first_byte_timeout_ms", policy.first_byte_timeout_ms, usual.first_byte_timeout_ms),
      number("idle_timeout_ms", policy.idle_timeout_ms, usual.idle_timeout_ms),
      number("cooldown.rate_limited_seconds", policy.cooldown.rate_limited_seconds, usual.cooldown.rate_limited_seconds),
      number("cooldown.overloaded_seconds", policy.cooldown.overloaded_seconds, usual.cooldown.overloaded_seconds),
      number("cooldown.failure_threshold", policy.cooldown.failure_threshold, usual.cooldown.failure_threshold)));
  ask({
    title: t("policy.title", { name }),
    content,
    action: t("form.save"),
    submit: (form) => page.api.put(`/api/routing/${encodeURIComponent(pool)}/${provider}`, collect(form)),
    done: (_, dialog) => page.settle(dialog, t("policy.done", { name })),
  });
}
