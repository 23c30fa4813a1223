//! Limits as meters: those that a key was given, and those that an account's upstream reports.

import { h } from "../dom.js";
import { count, dollars, exact, percent } from "../format.js";
import { held, nearlyUsed } from "../held.js";
import { language, t, word } from "../i18n.js";
import { chart } from "./chart.js";
import { ahead, when } from "./figure.js";
import { meter } from "./meter.js";

const DAY_SECONDS = 86_400;

/** The limits of a key with what is left of each; `short` leaves out when they begin anew. */
export function standing(limits, short = false) {
  return h("div", { class: short ? "meters short" : "meters" }, limits.map((limit) => {
    const { value, used, resets } = limit;
    const shown = limit.limit.endsWith("_usd") ? dollars : count;
    const words = used === null ? shown(value) : `${shown(used)} / ${shown(value)}`;
    const left = used === null ? null : t("limits.left", { left: shown(Math.max(0, value - used)) });
    const note = short ? null : [left, ahead(resets) ? [" · ", t("limits.resets"), " ", when(resets)] : null];
    return meter(nameOf(limit), used === null ? null : used / value, words, note);
  }));
}

/** What of a key's budgets is nearly used, in words, each on a line. */
export function warnings(limits) {
  return nearlyUsed(limits).map((limit) => h("span", { class: "sub warning" },
    t("limits.nearly", { share: percent(limit.used / limit.value), name: nameOf(limit) }),
    ahead(limit.resets) ? [" · ", t("limits.resets"), " ", when(limit.resets)] : null));
}

/** The name of a limit, `windows[0].tokens` too. */
export function nameOf({ limit, hours, models }) {
  if (!hours) return word("limit", limit);
  const what = limit.endsWith("requests") ? "keys.within.requests" : limit.endsWith("tokens") ? "keys.within.tokens" : "keys.within.usd";
  return [t(what, { hours }), ...models].join(" ");
}

/** What an account's upstream said last of its limits. */
export function reported(limits, short = false) {
  const shown = short ? tightest(limits) : limits;
  return h("div", { class: short ? "meters short" : "meters" }, shown.map(({ name, family, limit, remaining, used, resets, status }) => {
    const known = ahead(resets) || resets === null;
    // Once its reset has passed, all of it is there again.
    const share = known ? used : 0;
    const words = limit === null || remaining === null ? percent(share) : `${count(known ? limit - remaining : 0)} / ${count(limit)}`;
    const note = short ? null : [
      limit === null ? null : h("span", { title: exact(remaining, language()) }, t("limits.left", { left: count(known ? remaining : limit) })),
      limit !== null && ahead(resets) ? " · " : null,
      ahead(resets) ? [t("limits.resets"), " ", when(resets)] : null,
      status && status !== "allowed" ? ` · ${word("limitstatus", status)}` : null,
    ];
    return meter([word("reported", name), family].filter(Boolean).join(" "), share, words, note);
  }));
}

/**
 * What it said over time, of each limit. A value holds until the next one, or until its limit is renewed; `told` has what was really said.
 */
export function reportedHistory({ times, stepSeconds, series }) {
  if (series.length === 0) return h("p", { class: "none" }, t("account.limits.never"));
  const lines = series.map(({ name, family, values, resets }) => {
    const drawn = held(values, resets, times);
    return { name: [word("reported", name), family].filter(Boolean).join(" "), values: drawn, total: drawn.at(-1) };
  });
  return chart({ label: t("account.limits.history"), times, step: stepSeconds >= DAY_SECONDS ? "day" : "hour", lines, stacked: false, held: true, full: 1, format: percent,
    told: (index) => series.some(({ values }) => values[index] !== null) });
}

// In a list, the two with least left say enough.
function tightest(limits) {
  return limits.filter(({ used }) => used !== null).toSorted((left, right) => right.used - left.used).slice(0, 2);
}
