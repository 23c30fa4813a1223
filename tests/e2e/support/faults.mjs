//! What goes wrong with accounts, each on and off at random; the same seed always gives the same faults.

import { setTimeout as sleep } from "node:timers/promises";

const error = (type, message) => ({ json: { type: "error", error: { type, message } } });

/** What the upstream does in place of an answer. */
export const FAULTS = {
  "429": { status: 429, headers: [["retry-after", "1"]], body: error("rate_limit_error", "This request would exceed your rate limit.") },
  "529": { status: 529, body: error("overloaded_error", "Overloaded") },
  "401": { status: 401, body: error("authentication_error", "invalid x-api-key") },
  reset: { before: "reset" },
  "error first": { body: { lifelike: { error_after_events: 0 } } },
  hang: { before: "hang" },
  cut: { body: { lifelike: { cut_after_events: 3 } }, end: "reset" },
};

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Tells the fake what is wrong now: `{ account: fault }`. */
export async function set(fake, wrong) {
  const scripts = [...wrong].map(([credential, fault]) => ({ credential, answer: FAULTS[fault] }));
  const response = await fetch(`${fake.address}/_fake/script`, { method: "PUT", body: JSON.stringify(scripts) });
  if (response.status !== 204) throw new Error(await response.text());
}

/**
 * Until `over()`: every so often one of the `fickle` accounts gets a fault, or loses the one it has. `mended` hears of those that
 * lose one. The answer says how often each fault came.
 */
export async function play(fake, fickle, { draw, every, over, mended }) {
  const wrong = new Map();
  const came = {};
  const names = Object.keys(FAULTS).filter((name) => name !== "cut");
  while (!over()) {
    const account = fickle[Math.floor(draw() * fickle.length)];
    const fault = names[Math.floor(draw() * names.length)];
    const had = wrong.delete(account);
    if (!had) {
      wrong.set(account, fault);
      came[fault] = (came[fault] ?? 0) + 1;
    }
    await set(fake, wrong);
    if (had) await mended(account);
    await sleep(every);
  }
  await set(fake, new Map());
  return came;
}
