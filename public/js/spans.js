//! Spans of time that can be looked at, each an address: from when, and by which steps its charts go.

const HOUR = 3_600_000;

/** By name, in the order of the page. */
export const SPANS = {
  "1h": { length: HOUR, step: "minute" },
  "24h": { length: 24 * HOUR, step: "hour" },
  "7d": { length: 168 * HOUR, step: "hour" },
  "30d": { length: 720 * HOUR, step: "day" },
  "90d": { length: 2_160 * HOUR, step: "day" },
};

/** The name of the span that is asked for, or the usual one. */
export function spanOf({ span }, usual = "24h") {
  return span in SPANS ? span : usual;
}

/** Its ends, as the API takes them. */
export function period(span, now = Date.now()) {
  return { from: new Date(now - SPANS[span].length).toISOString(), to: new Date(now).toISOString() };
}
