//! One key: what is left of its limits, and what was it used for? Its own holder sees the same page.

import { group, key, series, summary } from "../answers.js";
import { openEdit, openRevoke, openRotate } from "../acts/key.js";
import { openTry } from "../acts/try.js";
import { breakdown } from "../components/breakdown.js";
import { when } from "../components/figure.js";
import { figures } from "../components/glance.js";
import { history } from "../components/history.js";
import { standing, warnings } from "../components/limits.js";
import { tabs } from "../components/links.js";
import { head } from "../components/notice.js";
import { facts, inset, panel, pick } from "../components/panel.js";
import { h } from "../dom.js";
import { t, word } from "../i18n.js";
import { address } from "../router.js";
import { SPANS, period, spanOf } from "../spans.js";
import { chips, lifetime } from "./keys.js";

export const title = "key.title";
export const every = 10_000;

const METRICS = ["cost", "requests", "tokens"];

export async function load(api, { params, query }, signal) {
  const span = spanOf(query, "30d");
  const metric = METRICS.includes(query.metric) ? query.metric : "cost";
  const one = key(await api.get(`/api/keys/${params.id ? encodeURIComponent(params.id) : "me"}`, {}, signal));
  const asked = { ...period(span), key: one.id };
  const [sums, byModel, models] = await Promise.all([
    api.get("/api/stats/summary", asked, signal),
    api.get("/api/stats/series", { ...asked, step: SPANS[span].step, metric, group_by: "model" }, signal),
    api.get("/api/stats/models", { ...asked, sort: "cost", limit: 50 }, signal),
  ]);
  return { span, metric, key: one, summary: summary(sums), series: series(byModel), models: models.data.map(group) };
}

export function render({ span, metric, key, summary, series, models }, page) {
  const { path, params, query } = page.route;
  const to = (change) => address(params.id ? `keys/${encodeURIComponent(params.id)}` : path, { ...query, ...change });
  return [
    head(key.name, actions(key, page)),
    key.warning ? h("div", { class: "panel strip" }, warnings(key.limits)) : null,
    h("div", { class: "pair" },
      panel(t("key.about"), inset(h("div", { class: "health" }, lifetime(key)), facts(about(key)))),
      panel(t("column.limits"), inset(key.limits.length ? standing(key.limits) : h("p", { class: "dim" }, t("keys.unlimited"))))),
    tabs(t("overview.span"), Object.keys(SPANS).map((name) => [name, t(`span.${name}`)]), span, (name) => to({ span: name })),
    figures(summary),
    panel(t("key.chart"), inset(history(series, "model")), pick("pick-metric", t("chart.metric"), METRICS.map((name) => [name, word("metric", name)]), metric, (name) => to({ metric: name }))),
    panel(t("overview.models"), breakdown({ caption: t("overview.models"), head: "column.model", rows: models, name: (row) => h("span", { class: "name" }, row.id ?? t("chart.unnamed")) }),
      h("a", { href: address("requests", params.id ? { key: key.id } : {}) }, t("key.requests"))),
  ];
}

function actions(row, page) {
  if (row.state === "revoked") return null;
  const button = (name, run, kind = null) => h("button", { type: "button", class: kind, onclick: run }, t(name));
  const anybody = [button("keys.try", () => openTry(row))];
  return page.mayChange ? [...anybody, button("keys.edit", () => openEdit(row, page)), button("keys.rotate", () => openRotate(row, page)), button("keys.revoke", () => openRevoke(row, page))] : anybody;
}

function about(row) {
  return [
    [t("key.prefix"), h("code", null, `${row.prefix}…`)],
    [t("field.role"), row.role && `${word("role", row.role)} – ${word("role", `${row.role}.may`)}`],
    [t("field.pool"), row.pool],
    [t("field.providers"), row.providers.map((one) => word("provider", one)).join(", ") || t("key.all")],
    [t("field.models"), row.models.join(" ") || t("key.all")],
    [t("field.networks"), row.networks.join(", ")],
    [t("field.time_zone"), row.zone],
    [t("field.labels"), chips(row.labels)],
    [t("field.passthrough"), row.passthrough ? t("key.yes") : null],
    [t("field.rotate_every_days"), row.rotateDays && String(row.rotateDays)],
    [t("key.rotation_due"), row.rotationDue && when(row.rotationDue)],
    [t("field.auto_rotate"), row.rotatesItself ? t("key.yes") : null],
    [t("column.used"), when(row.lastUsed)],
    [t("account.created"), row.created && when(row.created)],
    [t("field.note"), row.note],
  ];
}
