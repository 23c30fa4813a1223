//! Who plays in the demo: accounts of both providers, keys of a team, and how the pool routes. All of it is made up.

/** Each with what its upstream will say of it: how much of its limits it uses, and whether it is well. */
export const ACCOUNTS = [
  { name: "claude-team-1", provider: "anthropic", login: true, weight: 2, used: { "5h": 0.62, "7d": 0.41 }, max_in_flight: 8, note: "Team plan, seat of the platform group" },
  { name: "claude-team-2", provider: "anthropic", login: true, weight: 2, used: { "5h": 0.34, "7d": 0.55 }, max_in_flight: 8 },
  { name: "claude-team-3", provider: "anthropic", login: true, used: { "5h": 1, "7d": 0.83 }, left: { "5h": 47 * 60, "7d": 51 * 3_600 }, limited: true, max_in_flight: 6 },
  { name: "anthropic-api", provider: "anthropic", priority: 1, note: "Pay as you go: only when the seats are spent" },
  { name: "anthropic-api-old", provider: "anthropic", priority: 2, paused: true, note: "To be closed at the end of the quarter" },
  { name: "claude-contractor", provider: "anthropic", login: true, refused: true },
  { name: "gemini-main", provider: "gemini", weight: 3, max_in_flight: 16 },
  { name: "gemini-backup", provider: "gemini" },
];

/** Whoever calls: people, programs, and a lead who only looks. */
export const KEYS = [
  { name: "maya-laptop", labels: { team: "platform" }, limits: { cost_per_day_usd: 60, cost_per_month_usd: 900, max_in_flight: 6 }, share: 6 },
  { name: "jonas-laptop", labels: { team: "platform" }, limits: { cost_per_day_usd: 60, requests_per_minute: 60 }, share: 5 },
  { name: "wei-workstation", labels: { team: "search" }, limits: { cost_per_week_usd: 250, windows: [{ hours: 5, models: ["claude-opus-*"], requests: 400 }] }, time_zone: "Asia/Shanghai", share: 5 },
  { name: "ci-review-bot", labels: { team: "platform", kind: "bot" }, limits: { requests_per_day: 4000, tokens_per_minute: 2000000, cost_per_day_usd: 40 }, rotate_every_days: 90, auto_rotate: true, share: 4 },
  { name: "docs-translator", labels: { team: "docs", kind: "bot" }, providers: ["gemini"], limits: { tokens_per_day: 20000000 }, share: 3 },
  { name: "priya-laptop", labels: { team: "search" }, limits: { cost_per_day_usd: 25 }, share: 2 },
  { name: "intern-sandbox", labels: { team: "search" }, models: ["claude-haiku-*", "gemini-*-flash*"], limits: { cost_total_usd: 60, requests_per_minute: 10 }, expires_in_seconds: 21 * 86_400, share: 1 },
  { name: "lead-viewer", role: "viewer", note: "Looks at the figures, calls nothing" },
];

const CREDENTIALS = { anthropic: "sk-ant-demo", gemini: "AIza-demo" };

/** The secret by which the fake upstream knows an account. */
export function credentialOf({ name, provider, login }) {
  return `${login ? "sk-ant-oat01-demo" : CREDENTIALS[provider]}-${name}`;
}

/** Sets them all up over the management API; the answer is accounts by name, and keys with their secrets. */
export async function furnish(api, upstream) {
  const accounts = new Map();
  for (const { used, left, limited, refused, paused, login, ...account } of ACCOUNTS) {
    const secret = credentialOf({ ...account, login });
    const credential = login ? { kind: "oauth", access_token: secret, expires_at: new Date(Date.now() + 30 * 86_400_000).toISOString() } : { kind: "api_key", api_key: secret };
    const made = await api("POST", "/api/accounts", { ...account, credential, base_url: upstream, ...(login && { entitled: true }) });
    accounts.set(account.name, made.id);
    if (paused) await api("POST", `/api/accounts/${made.id}/pause`);
  }
  const keys = [];
  for (const { share = 0, ...key } of KEYS) {
    const made = await api("POST", "/api/keys", key);
    keys.push({ id: made.id, name: key.name, secret: made.key, share, providers: key.providers ?? ["anthropic", "gemini"], models: key.models });
  }
  await api("PUT", "/api/routing/default/anthropic", { strategy: "headroom", max_attempts: 4 });
  await api("PUT", "/api/stats/prices/gemini/gemini-3.8-flash", { kind: "chat", status: "current", input: 0.4, output: 2.4, cache_read: 0.04 });
  return { accounts, keys };
}
