//! One account: how is it, what is left of it, and what happened to it?

import { account, group, reports, request, series, summary } from "../answers.js";
import { buttons } from "../acts/account.js";
import { breakdown } from "../components/breakdown.js";
import { when } from "../components/figure.js";
import { figures } from "../components/glance.js";
import { history } from "../components/history.js";
import { reported, reportedHistory } from "../components/limits.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { facts, inset, panel } from "../components/panel.js";
import { table } from "../components/table.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";
import { SPANS, period, spanOf } from "../spans.js";
import { health, slots } from "./accounts.js";
import { columnsOf } from "./requests.js";

export const title = "account.title";
export const every = 5_000;

export async function load(api, { params, query }, signal) {
  const span = spanOf(query);
  const only = { account: params.id };
  const time = period(span);
  const { step } = SPANS[span];
  const path = `/api/accounts/${encodeURIComponent(params.id)}`;
  const [one, said, sums, byStatus, models, requests] = await Promise.all([
    api.get(path, {}, signal),
    api.get(`${path}/limits`, time, signal),
    api.get("/api/stats/summary", { ...time, ...only }, signal),
    api.get("/api/stats/series", { ...time, ...only, step, metric: "requests", group_by: "status" }, signal),
    api.get("/api/stats/models", { ...time, ...only, sort: "cost", limit: 20 }, signal),
    api.get("/api/stats/requests", { ...only, limit: 8 }, signal),
  ]);
  return { span, account: account(one), said: reports(said), summary: summary(sums), series: series(byStatus), models: models.data.map(group), requests: requests.data.map(request) };
}

export function render({ span, account, said, summary, series, models, requests }, page) {
  const to = (change) => address(`accounts/${encodeURIComponent(account.id)}`, change);
  return [
    head(account.name, page.mayChange ? buttons(account, page, { large: true, gone: "#/accounts" }) : null),
    tabs(t("overview.span"), Object.keys(SPANS).map((name) => [name, t(`span.${name}`)]), span, (name) => to({ span: name })),
    h("div", { class: "pair" },
      panel(t("column.state"), inset(h("div", { class: "health" }, health(account)), facts(about(account)))),
      panel(t("account.limits"), inset(limits(account, said)))),
    figures(summary),
    panel(t("account.chart"), inset(history(series, "status"))),
    panel(t("overview.models"), breakdown({ caption: t("overview.models"), head: "column.model", rows: models, name: (row) => h("span", { class: "name" }, row.id ?? t("chart.unnamed")) })),
    requests.length ? panel(t("overview.requests"), table({ caption: t("requests.caption"), rows: requests, columns: columnsOf(new Map([[account.id, account.name]])) }),
      h("a", { href: address("requests", { account: account.id }) }, t("overview.all"))) : null,
  ];
}

// What was said last, and below it how it came to that.
function limits({ reported: now }, said) {
  if (now.length === 0 && said.series.length === 0) return h("p", { class: "dim" }, t("account.limits.none"));
  return [now.length ? reported(now) : null, reportedHistory(said)];
}

function about(row) {
  return [
    [t("field.provider"), word("provider", row.provider)],
    [t("column.in_flight"), slots(row)],
    [t("account.credential"), [word("credential", row.credential), row.hint ? h("span", { class: "dim" }, ` …${row.hint}`) : null]],
    [t("account.expires"), row.expires && when(row.expires)],
    [t("field.pool"), row.pool],
    [t("field.priority"), row.priority === null ? null : String(row.priority)],
    [t("field.weight"), row.weight === null ? null : String(row.weight)],
    [t("field.requests_per_minute"), row.requestsPerMinute && count(row.requestsPerMinute)],
    [t("field.tokens_per_minute"), row.tokensPerMinute && count(row.tokensPerMinute)],
    [t("field.models"), row.models.join(" ")],
    [t("field.model_map"), Object.entries(row.modelMap).map(([from, to]) => `${from} → ${to}`).join(", ")],
    [t("field.base_url"), row.baseUrl],
    [t("field.use_paid_overage"), row.overage ? null : t("overage.false")],
    [t("account.organization"), row.organization],
    [t("column.used"), when(row.lastUsed)],
    [t("account.checked"), row.lastChecked && when(row.lastChecked)],
    [t("account.created"), row.created && when(row.created)],
    [t("field.note"), row.note],
  ];
}
