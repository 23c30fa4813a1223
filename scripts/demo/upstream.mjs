//! What the fake upstream says in the demo: limits that fill, and now and then a failure.

import { ACCOUNTS, credentialOf } from "./cast.mjs";

const HOUR = 3_600;

/** The rules by which it answers at this moment; `chance` are the failures that are due, by account's name. */
export function scripts(now, failing = new Set()) {
  return ACCOUNTS.filter(({ provider }) => provider === "anthropic").flatMap((account) => rules(account, Math.floor(now / 1000), failing)).concat(gemini(failing));
}

function rules(account, seconds, failing) {
  const credential = credentialOf(account);
  const usual = account.used ? [{ credential, path: "/v1/messages", answer: { headers: windows(account.used, seconds) } }] : [];
  if (account.refused) return [{ credential, answer: error(401, "authentication_error", "OAuth token has been revoked. Please obtain a new token.") }];
  if (account.limited) return [{ credential, path: "/v1/messages", answer: spent(seconds) }];
  if (failing.has(account.name)) return [{ credential, path: "/v1/messages", times: 2, answer: error(529, "overloaded_error", "Overloaded") }, ...usual];
  return usual;
}

function gemini(failing) {
  if (!failing.has("gemini-main")) return [];
  const json = { error: { code: 503, message: "The model is overloaded. Please try again later.", status: "UNAVAILABLE" } };
  return [{ credential: "AIza-demo-gemini-main", times: 1, answer: { status: 503, body: { json } } }];
}

// A seat's windows: five hours and seven days, each with the share that is used and its end.
function windows(used, seconds) {
  const ends = { "5h": seconds + 2 * HOUR + 1_400, "7d": seconds + 73 * HOUR };
  return Object.entries(used).flatMap(([name, share]) => [
    [`anthropic-ratelimit-unified-${name}-status`, share > 0.8 ? "allowed_warning" : "allowed"],
    [`anthropic-ratelimit-unified-${name}-utilization`, String(share)],
    [`anthropic-ratelimit-unified-${name}-reset`, String(ends[name])],
  ]);
}

function spent(seconds) {
  const reset = String(seconds + 47 * 60);
  const name = (part) => `anthropic-ratelimit-unified-${part}`;
  const answer = error(429, "rate_limit_error", "This request would exceed your account's rate limit. Please try again later.");
  return { ...answer, headers: [[name("status"), "rejected"], [name("representative-claim"), "five_hour"], [name("reset"), reset], [name("5h-status"), "rejected"], [name("5h-utilization"), "1.0"], [name("5h-reset"), reset], [name("7d-status"), "allowed_warning"], [name("7d-utilization"), "0.83"], [name("7d-reset"), String(seconds + 51 * HOUR)]] };
}

function error(status, type, message) {
  return { status, body: { json: { type: "error", error: { type, message }, request_id: "req_011CDemo" } } };
}
