//! Overview: is it working, and what does it cost?

import { account, request, summary } from "../answers.js";
import { ahead, money, number, when } from "../components/figure.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { DASH, change, count, dollars, duration, exact, percent } from "../format.js";
import { language, t, word } from "../i18n.js";
import { address } from "../router.js";
import { usage } from "./accounts.js";
import { columnsOf } from "./requests.js";

export const title = "overview.title";
export const every = 5_000;

const HOUR = 3_600_000;
const SPANS = { "1h": HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR };

export async function load(api, { query }, signal) {
  const span = query.span in SPANS ? query.span : "24h";
  const to = Date.now();
  const period = { from: new Date(to - SPANS[span]).toISOString(), to: new Date(to).toISOString() };
  const [figures, accounts, requests] = await Promise.all([
    api.get("/api/stats/summary", period, signal),
    api.get("/api/accounts", { limit: 500 }, signal),
    api.get("/api/stats/requests", { limit: 8 }, signal),
  ]);
  // Whoever has called has a key: only a new gateway needs the second question.
  const keys = requests.data.length ? null : await api.get("/api/keys", { limit: 1 }, signal);
  return {
    span,
    summary: summary(figures),
    accounts: accounts.data.map(account),
    requests: requests.data.map(request),
    hasKeys: keys === null || keys.data.length > 0,
  };
}

export function render({ span, summary, accounts, requests, hasKeys }) {
  const fresh = requests.length === 0 || accounts.length === 0;
  return [
    head(t(title), tabs(t("overview.span"), Object.keys(SPANS).map((name) => [name, t(`span.${name}`)]), span,
      (name) => address("overview", { span: name }))),
    fresh ? checklist(accounts.length > 0, hasKeys, requests.length > 0) : null,
    strip(summary),
    accounts.length ? serving(accounts) : null,
    requests.length ? latest(requests, accounts) : null,
  ];
}

function strip(now) {
  const before = now.previous ?? {};
  return h("dl", { class: "panel figures", "aria-label": t("overview.figures") },
    figure(t("figure.requests"), count(now.requests), exact(now.requests, language()),
      t("figure.answered", { share: percent(now.successRate) }), change(now.requests, before.requests)),
    figure(t("figure.prompt"), count(now.prompt), exact(now.prompt, language()),
      t("figure.cached", { share: percent(now.cacheHitRatio) }), change(now.prompt, before.prompt)),
    figure(t("figure.output"), count(now.output), exact(now.output, language()),
      t("figure.in_flight", { count: count(now.inFlight) }), change(now.output, before.output)),
    figure(t("figure.cost"), dollars(now.cost), now.cost === null ? DASH : `$${now.cost.toFixed(6)}`,
      t("figure.each", { cost: dollars(now.requests ? now.cost / now.requests : null) }), change(now.cost, before.cost)),
    figure(t("figure.first_token"), duration(now.firstToken), null,
      t("figure.slowest", { time: duration(now.firstTokenSlow) }), change(now.firstToken, before.firstToken)));
}

function figure(name, value, title, note, difference) {
  return h("div", { class: "figure" },
    h("dt", null, name),
    h("dd", { class: "value", title }, value),
    h("dd", { class: "note" }, h("span", null, note),
      difference ? h("span", { class: "change", title: t("figure.before") }, difference) : null));
}

function checklist(hasAccounts, hasKeys, hasRequests) {
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

function serving(accounts) {
  return h("section", { class: "panel" },
    h("div", { class: "panel-head" }, h("h2", null, t("overview.accounts")), h("a", { href: "#/accounts" }, t("overview.all"))),
    table({
      caption: t("accounts.caption"),
      rows: accounts,
      columns: [
        { label: t("column.account"), cell: (row) => [h("span", { class: "name" }, row.name), h("span", { class: "dim" }, ` ${word("provider", row.provider)}`)] },
        { label: t("column.state"), kind: "line beside", cell: (row) => [state("state", row.state), ahead(row.until) ? [" ", h("span", { class: "dim" }, when(row.until))] : null] },
        { label: t("column.in_flight"), kind: "number", cell: (row) => number(row.inFlight) },
        { label: t("column.today"), kind: "number", cell: (row) => usage(row.today) },
        { label: t("column.cost"), kind: "number", cell: (row) => money(row.today.cost) },
      ],
    }));
}

function latest(requests, accounts) {
  const names = new Map(accounts.map(({ id, name }) => [id, name]));
  return h("section", { class: "panel" },
    h("div", { class: "panel-head" }, h("h2", null, t("overview.requests")), h("a", { href: "#/requests" }, t("overview.all"))),
    table({ caption: t("requests.caption"), rows: requests, columns: columnsOf(names) }));
}
