//! How large the crowds are: bounded within `npm test`, in full with `npm run soak`.

const full = process.env.SOAK === "1";

/** Streams at once, how long they go on, and what each of them is like. */
export const size = full
  ? { streams: 2_000, ms: 60_000, killEvery: 5_000, prompt: "[[words 24]] [[gap 400]]" }
  : { streams: 400, ms: 15_000, killEvery: 5_000, prompt: "[[words 10]] [[gap 250]]" };

/** Says what was measured, where somebody looks at it. */
export function report(t, figures) {
  t.diagnostic(JSON.stringify(figures));
}
