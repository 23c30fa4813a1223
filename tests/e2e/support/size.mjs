//! How large the crowds are: bounded within `npm test`, in full with `npm run soak`.

const full = process.env.SOAK === "1";

/**
 * Streams at once, how long they go on, what each of them is like, whether the leases of the dead are waited for, and how many
 * callers hang up.
 */
export const size = full
  ? { streams: 2_000, ms: 60_000, killEvery: 5_000, prompt: "[[words 24]] [[gap 400]]", waits: true, hangUps: 10_000 }
  : { streams: 400, ms: 13_000, killEvery: 4_000, prompt: "[[words 10]] [[gap 250]]", waits: false, hangUps: 3_000 };

/** Says what was measured, where somebody looks at it. */
export function report(t, figures) {
  t.diagnostic(JSON.stringify(figures));
}
