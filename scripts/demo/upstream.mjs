//! What the fake upstream says in the demo: limits that fill, and now and then a failure.

import { ACCOUNTS, credentialOf } from "./cast.mjs";
import { isSpent, reportAt, WINDOWS } from "./windows.mjs";

/** The rules by which it answers at this moment; `failing` are the accounts whose failure is due, by name. */
export function scripts(now, failing = new Set()) {
  return ACCOUNTS.flatMap((account) => rules(account, Math.floor(now / 1000), failing));
}

function rules(account, seconds, failing) {
  const rule = (answer, more = {}) => ({ credential: credentialOf(account), path: account.provider === "anthropic" ? "/v1/messages" : "/v1beta/", ...more, answer: { before: { delay_ms: thinking() }, ...answer } });
  const usual = rule(account.used ? { headers: windows(account, seconds) } : {});
  if (account.refused) return [{ ...rule(error(401, "authentication_error", "OAuth token has been revoked. Please obtain a new token.")), path: null }];
  if (isSpent(account, seconds)) return [rule(spent(account, seconds))];
  if (!failing.has(account.name)) return [usual];
  return [rule(account.provider === "anthropic" ? error(529, "overloaded_error", "Overloaded") : unavailable(), { times: 2 }), usual];
}

// How long a model takes to its first token; now and then another one.
function thinking() {
  return Math.round(220 + 700 * Math.random() ** 2);
}

function unavailable() {
  return { status: 503, body: { json: { error: { code: 503, message: "The model is overloaded. Please try again later.", status: "UNAVAILABLE" } } } };
}

// What a seat's provider says with each answer: of each window the share that is used, and its end.
function windows(account, seconds) {
  return Object.keys(WINDOWS).flatMap((name) => {
    const { used, ends } = reportAt(account, name, seconds);
    const status = used >= 1 ? "rejected" : used > 0.8 ? "allowed_warning" : "allowed";
    return [["status", status], ["utilization", String(used)], ["reset", String(ends)]].map(([part, value]) => [`anthropic-ratelimit-unified-${name}-${part}`, value]);
  });
}

function spent(account, seconds) {
  const answer = error(429, "rate_limit_error", "This request would exceed your account's rate limit. Please try again later.");
  const reset = String(reportAt(account, "5h", seconds).ends);
  const whole = [["status", "rejected"], ["representative-claim", "five_hour"], ["reset", reset]].map(([part, value]) => [`anthropic-ratelimit-unified-${part}`, value]);
  return { ...answer, headers: [...whole, ...windows(account, seconds)] };
}

function error(status, type, message) {
  return { status, body: { json: { type: "error", error: { type, message }, request_id: "req_011CDemo" } } };
}
