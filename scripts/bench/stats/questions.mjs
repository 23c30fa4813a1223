//! What the dashboard asks, page by page.

const DAY = 86_400_000;

/** `{ name, path, bound }` each; `bound` is what the median has to stay under, in milliseconds. */
export function questions({ now, request, session }) {
  const of = (path, days, more = {}) => {
    const span = days ? { from: new Date(now - days * DAY).toISOString(), to: new Date(now).toISOString() } : {};
    const query = new URLSearchParams({ ...span, ...more }).toString();
    return `/api/${path}${query ? `?${query}` : ""}`;
  };
  const key = "key_bench_3";
  const account = "acc_bench_1";
  const all = [];
  const ask = (name, path, bound = 200) => all.push({ name, path, bound });

  ask("live", of("stats/live"), 20);
  for (const days of [1, 7, 30, 90]) ask(`summary, ${days} days`, of("stats/summary", days));
  for (const [name, more] of [
    ["one key", { key }], ["one account", { account }], ["one model", { model: "claude-opus-5-5" }], ["models by prefix", { model: "claude-*" }],
    ["one team", { "label.team": "search" }], ["one provider", { provider: "gemini" }], ["a key on an account", { key, account }],
  ]) ask(`summary, 90 days, ${name}`, of("stats/summary", 90, more));

  ask("requests by minute, 1 hour", of("stats/series", 1 / 24, { step: "minute" }));
  ask("requests by minute, 24 hours", of("stats/series", 1, { step: "minute" }));
  for (const metric of ["requests", "cost", "latency_p90"]) {
    ask(`${metric} by hour, 7 days`, of("stats/series", 7, { metric, step: "hour" }));
    ask(`${metric} by hour, 30 days`, of("stats/series", 30, { metric, step: "hour" }));
    ask(`${metric} by day, 90 days`, of("stats/series", 90, { metric, step: "day" }));
  }
  for (const group of ["provider", "account", "key", "model", "status", "label:team"]) {
    ask(`cost by hour and ${group}, 7 days`, of("stats/series", 7, { metric: "cost", step: "hour", group_by: group }));
    ask(`cost by day and ${group}, 90 days`, of("stats/series", 90, { metric: "cost", step: "day", group_by: group }));
  }
  ask("first token by day and account, 90 days", of("stats/series", 90, { metric: "first_token_p50", step: "day", group_by: "account" }));
  ask("tokens by day and model of one key, 90 days", of("stats/series", 90, { metric: "tokens", step: "day", group_by: "model", key }));

  for (const table of ["accounts", "keys", "models"]) {
    ask(`table of ${table}, 7 days`, of(`stats/${table}`, 7, { sort: "cost" }));
    ask(`table of ${table}, 90 days`, of(`stats/${table}`, 90, { sort: "cost" }));
  }
  ask("table of models of one key, 90 days", of("stats/models", 90, { key }));

  ask("requests, newest", of("stats/requests"));
  ask("requests of one key", of("stats/requests", 0, { key }));
  ask("requests of a rare key", of("stats/requests", 0, { key: "key_bench_59" }));
  ask("requests of one account", of("stats/requests", 0, { account }));
  ask("requests of one model", of("stats/requests", 0, { model: "gemini-3.8-pro" }));
  ask("requests of a model nobody asked for", of("stats/requests", 0, { model: "no-such-model" }));
  ask("requests that were lost", of("stats/requests", 0, { status: "lost" }));
  ask("requests that failed, of one key", of("stats/requests", 0, { status: "failed", key }));
  ask("requests of one team", of("stats/requests", 0, { "label.team": "ads" }));
  ask("requests without a price", of("stats/requests", 0, { mark: "unpriced" }));
  ask("requests of two months ago", of("stats/requests", 0, { to: new Date(now - 60 * DAY).toISOString(), status: "failed" }));
  ask("requests of a conversation of a month ago", of("stats/requests", 0, { session }));
  ask("one request", of(`stats/requests/${request}`));

  ask("list of accounts, with their use", of("accounts"));
  ask("list of keys, with their use", of("keys"));
  ask("metrics", of("stats/metrics"));
  ask("audit", of("stats/audit"));
  return all;
}
