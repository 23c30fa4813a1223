//! Overview: is it working, and what does it cost?

import { account, group, key, live, request, series, summary } from "../answers.js";
import { breakdown } from "../components/breakdown.js";
import { ahead, number, when } from "../components/figure.js";
import { checklist, figures, pulse, savings } from "../components/glance.js";
import { GROUPS, METRICS, history } from "../components/history.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { inset, panel, pick } from "../components/panel.js";
import { state } from "../components/state.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";
import { SPANS, period, spanOf } from "../spans.js";
import { columnsOf } from "./requests.js";

export const title = "overview.title";
export const every = 5_000;

const SORTS = ["cost", "requests", "tokens", "errors", "success_rate", "cache_hit_ratio", "first_token"];
const ROWS = 8;
/** How long what changes slowly is good for: it is more to ask, and nobody sees a sum of days move by the second. */
const SLOW_MS = 30_000;
let kept = { of: null, at: 0, data: null };

export async function load(api, { query }, signal) {
  const chosen = choices(query);
  const [slow, now, accounts, requests] = await Promise.all([
    slowly(api, chosen, signal),
    api.get("/api/stats/live", {}, signal),
    api.all("/api/accounts", signal),
    api.get("/api/stats/requests", { limit: ROWS }, signal),
  ]);
  return { chosen, ...slow, live: live(now), accounts: accounts.map(account), requests: requests.data.map(request) };
}

function choices(query) {
  return {
    span: spanOf(query),
    metric: query.metric in METRICS ? query.metric : "requests",
    group: GROUPS.includes(query.group) || query.group?.startsWith("label:") || query.group === "none" ? query.group : "provider",
    sort: SORTS.includes(query.sort) ? query.sort : "cost",
  };
}

async function slowly(api, chosen, signal) {
  const of = JSON.stringify(chosen);
  if (kept.api === api && kept.of === of && Date.now() - kept.at < SLOW_MS && kept.data.summary.requests > 0) return kept.data;
  const span = period(chosen.span);
  const rows = { ...span, sort: chosen.sort, limit: ROWS };
  const [sums, points, byAccount, byKey, byModel, keys] = await Promise.all([
    api.get("/api/stats/summary", span, signal),
    api.get("/api/stats/series", { ...span, metric: chosen.metric, step: SPANS[chosen.span].step, group_by: chosen.group === "none" ? null : chosen.group }, signal),
    ...["accounts", "keys", "models"].map((what) => api.get(`/api/stats/${what}`, rows, signal)),
    api.all("/api/keys", signal),
  ]);
  const all = keys.map(key);
  const data = {
    summary: summary(sums), series: series(points),
    byAccount: byAccount.data.map(group), byKey: byKey.data.map(group), byModel: byModel.data.map(group),
    hasKeys: all.length > 0, labels: [...new Set(all.flatMap(({ labels }) => Object.keys(labels)))].sort(),
  };
  kept = { api, of, at: Date.now(), data };
  return data;
}

export function render(data, page) {
  const { chosen, accounts, requests } = data;
  const to = (change) => address("overview", { ...page.route.query, ...change });
  const fresh = requests.length === 0 || accounts.length === 0;
  return [
    head(t(title), tabs(t("overview.span"), Object.keys(SPANS).map((name) => [name, t(`span.${name}`)]), chosen.span, (span) => to({ span }))),
    fresh ? checklist(accounts.length > 0, data.hasKeys, requests.length > 0) : pulse(data.live),
    figures(data.summary),
    data.summary.requests ? panel(t("overview.chart"), inset(history(data.series, chosen.group === "none" ? null : chosen.group)), ...picks(data, to)) : null,
    data.summary.requests ? savings(data.summary) : null,
    accounts.length ? serving(data, to) : null,
    data.summary.requests ? h("div", { class: "pair" }, byKey(data), byModel(data)) : null,
    requests.length ? latest(requests, accounts) : null,
  ];
}

function picks({ chosen, labels }, to) {
  const groups = [["none", t("group.none")], ...GROUPS.map((name) => [name, word("group", name)]), ...labels.map((name) => [`label:${name}`, t("group.label", { name })])];
  return [
    pick("pick-metric", t("chart.metric"), Object.keys(METRICS).map((name) => [name, word("metric", name)]), chosen.metric, (metric) => to({ metric })),
    pick("pick-group", t("chart.group"), groups, chosen.group, (group) => to({ group })),
  ];
}

// Whoever served most, and whoever is out, whether or not it served: that belongs on the first page. The rest is a link away.
function serving({ chosen, accounts, byAccount }, to) {
  const used = new Map(byAccount.map((row) => [row.id, row]));
  const known = new Map(accounts.map((row) => [row.id, row]));
  const others = accounts.filter(({ id }) => !used.has(id)).toSorted((left, right) => isOut(right) - isOut(left));
  const unused = others.slice(0, Math.max(ROWS + 2 - byAccount.length, Math.min(ROWS, others.filter(isOut).length))).map(({ id, name }) => ({ id, name, requests: 0, errors: 0, prompt: 0, output: 0, cost: 0, cacheHitRatio: null, firstToken: null }));
  const of = (row) => known.get(row.id);
  const name = (row) => (row.id === "passthrough" ? t("requests.passthrough") : h("span", { class: "name" }, row.name ?? row.id));
  return panel(t("overview.accounts"), breakdown({
    caption: t("accounts.caption"),
    head: "column.account",
    rows: [...byAccount, ...unused],
    name: (row) => (of(row) ? [h("a", { class: "name", href: `#/accounts/${encodeURIComponent(row.id)}` }, of(row).name), h("span", { class: "sub" }, word("provider", of(row).provider))] : name(row)),
    extra: [
      { label: t("column.state"), kind: "line beside", cell: (row) => (of(row) ? [state("state", of(row).state), ahead(of(row).until) ? [" ", h("span", { class: "dim" }, when(of(row).until))] : null] : null) },
      { label: t("column.in_flight"), kind: "number minor", cell: (row) => number(of(row)?.inFlight ?? null) },
    ],
  }), pick("pick-sort", t("overview.sort"), SORTS.map((one) => [one, t("overview.by", { what: word("sort", one) })]), chosen.sort, (sort) => to({ sort })), h("a", { href: "#/accounts" }, byAccount.length + unused.length < accounts.length ? t("overview.all_of", { count: count(accounts.length) }) : t("overview.all")));
}

function isOut({ state: now }) {
  return now !== "ready" && now !== "paused";
}

function byKey({ byKey }) {
  return panel(t("keys.title"), breakdown({
    caption: t("overview.keys"), head: "column.key", rows: byKey, brief: true,
    name: (row) => h("a", { class: "name", href: `#/keys/${encodeURIComponent(row.id)}` }, row.name ?? row.id),
  }), h("a", { href: "#/keys" }, t("overview.all")));
}

function byModel({ byModel }) {
  return panel(t("overview.models"), breakdown({
    caption: t("overview.models"), head: "column.model", rows: byModel, brief: true,
    name: (row) => (row.id ? h("a", { class: "name", href: address("requests", { model: row.id }) }, row.id) : t("chart.unnamed")),
  }));
}

function latest(requests, accounts) {
  const names = new Map(accounts.map(({ id, name }) => [id, name]));
  return panel(t("overview.requests"), table({ caption: t("requests.caption"), rows: requests, columns: columnsOf(names) }), h("a", { href: "#/requests" }, t("overview.all")));
}
