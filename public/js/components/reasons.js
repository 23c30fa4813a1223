//! Reasons in the reader's language, of a preview and of an account's state: the server says them in English, with a few figures in them.
//! What an upstream said is quoted as it is.

import { h } from "../dom.js";
import { t } from "../i18n.js";
import { at } from "./figure.js";

const TIME = "(\\d{4}-\\d{2}-\\d{2}T[\\d:.]+Z)";

/** Each sentence of the server with the key of its words; what it has in groups fills `{1}` and so on. */
const SENTENCES = [
  ["it was tried for this request", "reason.tried"],
  ["it holds a login, and Code Assist.*", "reason.operation"],
  ["it holds an API key, and Code Assist takes logins only", "reason.login"],
  ["it is paused", "reason.paused"],
  ["its credential was refused", "reason.refused"],
  [`it is out of credit; tried again at ${TIME}`, "reason.credit_until"],
  ["it is out of credit", "reason.credit"],
  [`it is cooling down until ${TIME}`, "reason.cooling"],
  ["another request is testing whether it is back", "reason.tested"],
  ["it does not serve this model", "reason.model"],
  [`its limit is spent until ${TIME}, and it may not go on into paid overage`, "reason.spent"],
  ["tier (\\d+), added (\\S+)", "reason.added"],
  ["tier (\\d+), weight (\\d+)", "reason.weight"],
  ["tier (\\d+), in turn", "reason.turn"],
  ["tier (\\d+), (\\d+) in flight, weight (\\d+)", "reason.in_flight"],
  ["tier (\\d+), (\\d+) % left of its tightest limit", "reason.headroom"],
  ["tier (\\d+), no limit reported yet", "reason.no_limit"],
  [`tier (\\d+), a limit is renewed at ${TIME}`, "reason.renewed"],
  ["on probation, a request is testing it; before that: (.*)", "reason.testing"],
  ["on probation, the next request tests it; before that: (.*)", "reason.untested"],
  ["no answer in time", "reason.late"],
  ["the upstream broke off its answer", "reason.broke_off"],
  ["the upstream ended its answer early", "reason.ended_early"],
  ["the upstream fell silent", "reason.silent"],
  ["the stored credential cannot be opened with this gateway's keys", "reason.sealed"],
  ["log in again: the access token is refused", "reason.access_refused"],
  ["log in again: the refresh token is refused \\((.*)\\)", "reason.refresh_refused"],
  ["log in again: an earlier refresh was cut off.*", "reason.refresh_cut"],
  ["the token endpoint did not answer in time", "reason.token_late"],
  ["the token endpoint cannot be reached", "reason.token_unreachable"],
  ["the token endpoint gave no answer", "reason.token_silent"],
  ["the token endpoint's answer broke off", "reason.token_broke_off"],
].map(([sentence, key]) => [new RegExp(`^${sentence}$`), key]);

/** The key of a sentence and what fills its words; null for one that is new to us. */
export function read(sentence) {
  for (const [pattern, key] of SENTENCES) {
    const found = sentence.match(pattern);
    if (found) return { key, values: found.slice(1) };
  }
  return null;
}

/** The sentence on a line of its own. */
export function reason(sentence) {
  return h("span", { class: "sub" }, words(sentence));
}

/** The sentence as nodes; a time in it is the reader's own, and a reason within it is read too. One that is new to us stays as it is. */
function words(sentence) {
  const known = read(sentence);
  if (!known) return sentence;
  return t(known.key).split(/\{(\d)\}/).map((part, index) => {
    if (index % 2 === 0) return part;
    const value = known.values[part - 1];
    return new RegExp(`^${TIME}$`).test(value) ? at(value) : words(value);
  });
}
