//! Accounts fail in every way, processes are killed: whoever's process lives sees nothing of it, and the books hold every request once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Crowd } from "./support/crowd.mjs";
import { query } from "./support/database.mjs";
import { booksAgree, byClient, countsOf, leases, limitsHeld, rowsOf, seenBy } from "./support/evidence.mjs";
import { chance, play } from "./support/faults.mjs";
import { startFake } from "./support/gateway.mjs";
import { debugPrograms, eventually } from "./support/programs.mjs";
import { report, size } from "./support/size.mjs";

const PROCESSES = 8;
/** A row is written within this many milliseconds of its answer, on a machine with more to do than it can. */
const SETTLING = 10_000;
/** Accounts that never fail have room for everyone, and for the leases that killed processes leave for 45 seconds. */
const STEADY = 6;
const FICKLE = 14;
const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));

let fake;
let crowd;
let lastKill;
before(async () => {
  const programs = await debugPrograms();
  fake = await startFake(programs);
  crowd = await Crowd.start(programs, PROCESSES);
  const named = (kind, count, room) => Array.from({ length: count }, (_, n) => ({ name: `${kind}-${n + 1}`, max_in_flight: Math.ceil(room) }));
  await crowd.furnish(fake, [...named("fickle", FICKLE, size.streams / 20), ...named("steady", STEADY, (size.streams * 3) / STEADY)]);
  await crowd.api("PUT", "/api/routing/default/anthropic", {
    max_attempts: 20, first_byte_timeout_ms: 2_500, cooldown: { rate_limited_seconds: 1, overloaded_seconds: 1 },
  });
});
after(() => Promise.all([crowd?.stop(), fake?.stop()]));

test("accounts fail at random and processes are killed: nobody whose process lives sees an error", async (t) => {
  t.diagnostic(`SEED=${seed}`);
  let over = false;
  const fickle = [...crowd.accounts.keys()].filter((name) => name.startsWith("fickle"));
  const mended = (name) => crowd.api("POST", `/api/accounts/${crowd.accounts.get(name).id}/reset`);
  const faults = play(fake, fickle, { draw: chance(seed), every: 150, over: () => over, mended });
  const kills = killNowAndThen(() => over);
  const results = await crowd.press(size);
  over = true;
  const [came, killed] = await Promise.all([faults, kills]);

  const failed = results.filter((result) => !result.whole && !result.ofKilled);
  assert.deepEqual(failed.slice(0, 3).map((it) => ({ ...it, gateway: it.gateway.program.output.slice(-500) })), [], `${failed.length} of ${results.length} failed`);
  assert.equal(Object.keys(came).length, 6, "every fault came");
  report(t, { requests: results.length, killed, broken_off: results.filter((it) => !it.whole).length, came });
});

test("within 60 s of the last kill no lease is left, and every claimed request is in the ledger exactly once", async (t) => {
  // Upkeep is done beside requests: a little traffic is all it takes.
  await deadLeasesEnd();
  let left;
  await eventually(() => `no lease; there are ${left}`, async () => {
    await crowd.ask("[[words 1]]");
    await sleep(500);
    return (left = await leases(crowd)) === 0;
  }, lastKill + 60_000 - Date.now());
  const after = Math.round((Date.now() - lastKill) / 1_000);

  const [seen, counts, rows] = await Promise.all([seenBy(fake), countsOf(fake), rowsOf(crowd)]);
  limitsHeld(crowd, seen, counts);
  const [calls, booked] = [byClient(seen), byClient(rows)];
  for (const result of crowd.results) {
    const [sent, written] = [calls.get(result.client) ?? [], booked.get(result.client) ?? []];
    // The row is written just after the answer: where the process died in between, it is the one of a lost request.
    const unsettled = result.gateway.killedAt - result.endedAt < SETTLING && written[0]?.status === "lost";
    if (!result.ofKilled && !unsettled) booksAgree(crowd, result, sent, written);
    // A process that dies may do so before its claim, or between claim and call: but never is a call without a row.
    else assert.ok(written.length <= 1 && (written.length === 1 || sent.length === 0), JSON.stringify({ written, sent: sent.length }));
  }
  assert.deepEqual([...booked.keys()].filter((client) => !crowd.results.some((result) => result.client === client)), [], "rows of nobody");
  const ends = {};
  for (const { status, estimated, cost } of rows) {
    ends[status] = (ends[status] ?? 0) + 1;
    assert.ok(status !== "lost" || (estimated && cost > 0), "what is lost is charged by estimate");
  }
  assert.ok(ends.lost > 0, "kills came while streams were under way");
  report(t, { rows: rows.length, ends, attempts: seen.length, seconds_after_the_last_kill: after });
});

/** Whatever is left now was a dead process's. In full its end is waited for; otherwise it is seen to be near, and time is moved. */
async function deadLeasesEnd() {
  const ends = await query(crowd.env.DATABASE_URL, "select extract(epoch from expires_at)::float8 * 1000 as at from leases");
  assert.ok(ends.length > 0 && ends.every(({ at }) => at < lastKill + 60_000), JSON.stringify(ends));
  if (!size.waits) await query(crowd.env.DATABASE_URL, "update leases set expires_at = now() - interval '1 second'");
}

/** One process after the other dies without a word, and another takes its place. */
async function killNowAndThen(over) {
  let killed = 0;
  for (;;) {
    for (const until = Date.now() + size.killEvery; Date.now() < until; await sleep(50)) if (over()) return killed;
    lastKill = Date.now();
    await crowd.kill(crowd.alive[0]);
    await crowd.join();
    killed += 1;
  }
}
