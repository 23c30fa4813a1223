//! A chart of one figure of the statistics over time, with the choices of what it shows.

import { h } from "../dom.js";
import { count, dollars, duration, percent } from "../format.js";
import { t, word } from "../i18n.js";
import { chart } from "./chart.js";

/** What can be charted; a share or a time is a line, everything else adds up and is stacked. */
export const METRICS = {
  requests: count, cost: dollars, tokens: count, output_tokens: count, cache_read_tokens: count,
  errors: count, failovers: count, moved: count,
  success_rate: percent, cache_hit_ratio: percent, first_token_p50: duration, latency_p90: duration,
};
const LINES = new Set(["success_rate", "cache_hit_ratio", "first_token_p50", "latency_p90"]);

/** By what it can be told apart; labels of keys come besides. */
export const GROUPS = ["provider", "account", "key", "model", "status", "pool"];

const STATUS_HUES = { completed: "good", refused: "spent", failed: "bad", cancelled: "wait", lost: "rest" };

/** `series` as `answers.js` reads it; `group` is what it was grouped by. */
export function history(series, group) {
  const { metric, step, times } = series;
  const format = METRICS[metric];
  const sums = !LINES.has(metric);
  const lines = series.lines.map((line) => ({
    name: nameOf(line, group, metric),
    hue: line.other ? "rest" : group === "status" ? STATUS_HUES[line.id] : undefined,
    values: line.values,
    total: sums ? line.values.reduce((sum, value) => sum + (value ?? 0), 0) : undefined,
  }));
  const nothing = lines.every(({ values }) => values.every((value) => !value));
  if (times.length === 0 || nothing) return h("p", { class: "none" }, t("chart.none"));
  return chart({ label: word("metric", metric), times, step, lines, stacked: sums, format });
}

function nameOf({ id, name, other }, group, metric) {
  if (!group) return word("metric", metric);
  if (other) return t("chart.others");
  if (id === null) return t("chart.unnamed");
  if (id === "passthrough") return t("requests.passthrough");
  return group === "provider" ? word("provider", id) : group === "status" ? word("outcome", id) : name;
}
