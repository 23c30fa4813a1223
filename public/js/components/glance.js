//! The overview's first look: the five figures, what happens now, what affinity is worth, and what to do first.

import { h } from "../dom.js";
import { DASH, change, count, dollars, duration, exact, percent } from "../format.js";
import { language, t } from "../i18n.js";
import { panel } from "./panel.js";

/** The five figures, each with how it differs from the period before. */
export function figures(now) {
  const before = now.previous ?? {};
  const marks = [now.estimated ? t("breakdown.estimated", { count: count(now.estimated) }) : null, now.unpriced ? t("breakdown.unpriced", { count: count(now.unpriced) }) : null].filter(Boolean);
  return h("dl", { class: "panel figures", "aria-label": t("overview.figures") },
    figure(t("figure.requests"), count(now.requests), exact(now.requests, language()),
      t("figure.answered", { share: percent(now.successRate) }), change(now.requests, before.requests)),
    figure(t("figure.prompt"), count(now.prompt), exact(now.prompt, language()),
      t("figure.cached", { share: percent(now.cacheHitRatio) }), change(now.prompt, before.prompt)),
    figure(t("figure.output"), count(now.output), exact(now.output, language()),
      t("figure.in_flight", { count: count(now.inFlight) }), change(now.output, before.output)),
    figure(t("figure.cost"), dollars(now.cost), now.cost === null ? DASH : `$${now.cost.toFixed(6)}`,
      marks.length ? marks.join(", ") : t("figure.each", { cost: dollars(now.requests ? now.cost / now.requests : null) }), change(now.cost, before.cost)),
    figure(t("figure.first_token"), duration(now.firstToken), null,
      t("figure.slowest", { time: duration(now.firstTokenSlow) }), change(now.firstToken, before.firstToken)));
}

/** One figure: its name, its value, a note below, and how it differs from before. */
export function figure(name, value, title, note, difference = null) {
  return h("div", { class: "figure" },
    h("dt", null, name),
    h("dd", { class: "value", title }, value),
    h("dd", { class: "note" }, h("span", null, note),
      difference ? h("span", { class: "change", title: t("figure.before") }, difference) : null));
}

/** The last sixty seconds in one line. */
export function pulse(now) {
  const rate = (value) => (value === null ? DASH : value >= 10 ? count(value) : String(Number(value.toFixed(1))));
  const parts = [
    [rate(now.requests), t("live.requests")], [rate(now.tokens), t("live.tokens")], [count(now.inFlight), t("live.in_flight")],
    [dollars(now.cost), t("live.cost")], [percent(now.errorRate), t("live.errors")],
  ];
  return h("dl", { class: "now", "aria-label": t("live.name") }, h("div", { class: "now-name" }, h("dt", null, t("live.name"))),
    parts.map(([value, name]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** What it is worth that conversations stay where their cache is, and what it costs when they must move. */
export function savings({ affinity, failovers, requests }) {
  return panel(t("savings.title"), h("dl", { class: "figures three" },
    figure(t("savings.kept"), dollars(affinity.saved), t("savings.kept.title"), t("savings.kept.note", { count: count(affinity.kept), share: percent(affinity.cacheKept) })),
    figure(t("savings.moved"), dollars(affinity.rewarmCost), t("savings.moved.title"), t("savings.moved.note", { count: count(affinity.moved), tokens: count(affinity.rewarmTokens), share: percent(affinity.cacheMoved) })),
    figure(t("savings.failovers"), count(failovers), exact(failovers, language()), t("savings.failovers.note", { share: percent(requests ? failovers / requests : null) }))));
}

/** What a new gateway wants, and what of it is done. */
export function checklist(hasAccounts, hasKeys, hasRequests) {
  return h("section", { class: "panel next", "aria-labelledby": "next" },
    h("h2", { id: "next" }, t("next.title")),
    h("ol", null,
      step(hasAccounts, "#/accounts?add=1", t("next.account"), t("next.account.why")),
      step(hasKeys, "#/keys?issue=1", t("next.key"), t("next.key.why")),
      step(hasRequests, "#/connect", t("next.connect"), t("next.connect.why"))));
}

function step(done, href, name, why) {
  return h("li", { class: done ? "done" : null },
    h("a", { href }, name),
    done ? h("span", { class: "visually-hidden" }, ` (${t("next.done")})`) : null,
    h("p", null, why));
}
