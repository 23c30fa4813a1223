//! Eight processes, one database, twenty accounts, and more streams than any of them: no limit is exceeded, nothing is lost.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Crowd } from "./support/crowd.mjs";
import { booksAgree, byClient, countsOf, limitsHeld, rowsOf, seenBy, settled } from "./support/evidence.mjs";
import { startFake } from "./support/gateway.mjs";
import { debugPrograms } from "./support/programs.mjs";
import { report, size } from "./support/size.mjs";

/** What the wide accounts have room for together, for each stream: the rest is leases of streams that have just ended. */
const ROOM = 1.3;
const WIDE = 12;
const REQUESTS_A_MINUTE = 15;
/** Room for about fifteen requests: a request is some 45 tokens by estimate, before its answer is counted. */
const TOKENS_A_MINUTE = 900;

let fake;
let crowd;
before(async () => {
  const programs = await debugPrograms();
  fake = await startFake(programs);
  crowd = await Crowd.start(programs, 8);
  const named = (kind, count, limits) => Array.from({ length: count }, (_, n) => ({ name: `${kind}-${n + 1}`, ...limits }));
  await crowd.furnish(fake, [
    ...named("wide", WIDE, { max_in_flight: Math.ceil((size.streams * ROOM) / WIDE) }),
    ...named("slow", 4, { max_in_flight: 10, requests_per_minute: REQUESTS_A_MINUTE }),
    ...named("poor", 4, { max_in_flight: 10, tokens_per_minute: TOKENS_A_MINUTE }),
  ]);
});
after(() => Promise.all([crowd?.stop(), fake?.stop()]));

test("eight processes and twenty accounts: no limit is exceeded by one, no request fails, and the books are the upstream's", async (t) => {
  const began = Date.now();
  const results = await crowd.press(size);
  const took = Date.now() - began;
  await settled(crowd);

  const failed = results.filter((result) => !result.whole);
  assert.deepEqual(failed.slice(0, 3).map((it) => ({ ...it, gateway: undefined })), [], `${failed.length} of ${results.length} failed`);
  const [seen, counts, rows] = await Promise.all([seenBy(fake), countsOf(fake), rowsOf(crowd)]);
  const accounts = limitsHeld(crowd, seen, counts);
  const [calls, booked] = [byClient(seen), byClient(rows)];
  for (const result of results) booksAgree(crowd, result, calls.get(result.client), booked.get(result.client));
  assert.deepEqual([rows.length, seen.length], [results.length, results.length]);

  // A limit that is never reached proves nothing.
  for (const { name, limits, inFlight, requests, tokens } of accounts) {
    const { requests_per_minute: most = 1, tokens_per_minute: mostTokens = 1 } = limits;
    const reached = requests >= most && tokens >= mostTokens * 0.9;
    assert.ok(reached, `${name} came to ${requests} requests and ${tokens} tokens a minute, ${inFlight} at once`);
  }
  const of = (kind, what) => accounts.filter(({ name }) => name.startsWith(kind)).map((account) => account[what]);
  report(t, {
    streams: size.streams, requests: results.length, took,
    in_flight: of("wide", "inFlight"), requests_a_minute: of("slow", "requests"), tokens_a_minute: of("poor", "tokens"),
  });
});

test("more streams than the accounts have room for: the rest are told to come back, and only they", async (t) => {
  const left = 3;
  for (const { id } of [...crowd.accounts.values()].slice(left)) await crowd.api("POST", `/api/accounts/${id}/pause`);
  await fetch(`${fake.address}/_fake/clear`, { method: "POST" });
  const before = (await rowsOf(crowd)).length;

  const room = [...crowd.accounts.values()].slice(0, left).reduce((sum, { max_in_flight: cap }) => sum + cap, 0);
  const streams = Math.round(room * 1.5);
  const results = await crowd.press({ ...size, streams, ms: size.ms / 3 });
  const [whole, refused] = [results.filter((it) => it.whole), results.filter((it) => !it.whole)];
  for (const { status, retryAfter, text, fault } of refused) {
    assert.deepEqual([status, fault], [429, null], text);
    assert.ok(Number.isInteger(Number(retryAfter)) && retryAfter >= 1 && retryAfter < 60, `retry-after: ${retryAfter}`);
    assert.equal(JSON.parse(text).error.type, "rate_limit_error");
  }
  await settled(crowd);
  const [seen, counts, rows] = await Promise.all([seenBy(fake), countsOf(fake), rowsOf(crowd)]);
  const accounts = limitsHeld(crowd, seen, counts).slice(0, left);
  for (const { name, inFlight, limits } of accounts) assert.equal(inFlight, limits.max_in_flight, `${name} is used to its cap`);
  assert.ok(refused.length >= streams - room, `${refused.length} refused`);
  assert.deepEqual([seen.length, rows.length - before], [whole.length, whole.length], "a refusal costs no call and no row");
  report(t, { streams, room, whole: whole.length, refused: refused.length });
});
