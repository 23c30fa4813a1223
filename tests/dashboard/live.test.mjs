//! Polling: while seen, one at a time, slower while it fails.

import assert from "node:assert/strict";
import { test } from "node:test";

import { delay, poll } from "../../public/js/live.js";

/** A clock that only moves when told, and a screen that can be hidden. */
function stage() {
  const screen = Object.assign(new EventTarget(), { hidden: false });
  const clock = { due: null, setTimeout(run, wait) { this.due = { run, wait }; return 1; }, clearTimeout() { this.due = null; } };
  const tick = async () => {
    const { run } = clock.due;
    clock.due = null;
    run();
    await settled();
  };
  const show = (seen) => {
    screen.hidden = !seen;
    screen.dispatchEvent(new Event("visibilitychange"));
  };
  return { screen, clock, tick, show };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("waits double with each failure up to a minute", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 9].map((failures) => delay(5000, failures)), [5000, 10000, 20000, 40000, 60000, 60000]);
  assert.equal(delay(90_000, 3), 90_000);
});

test("runs again and again, backs off on failure and comes back", async () => {
  const { screen, clock, tick } = stage();
  let runs = 0;
  let broken = false;
  const loop = poll(async () => { runs += 1; if (broken) throw new Error(); }, { every: 1000, screen, clock });
  await loop.now();
  assert.equal(clock.due.wait, 1000);
  broken = true;
  await tick();
  await tick();
  assert.deepEqual([runs, clock.due.wait], [3, 4000]);
  broken = false;
  await tick();
  assert.equal(clock.due.wait, 1000);
});

test("stops when hidden, and looks at once when seen again", async () => {
  const { screen, clock, show } = stage();
  let runs = 0;
  const loop = poll(async () => { runs += 1; }, { every: 1000, screen, clock });
  await loop.now();
  show(false);
  assert.equal(clock.due, null);
  show(true);
  await settled();
  assert.deepEqual([runs, clock.due.wait], [2, 1000]);
  loop.stop();
  show(false);
  show(true);
  await settled();
  assert.equal(runs, 2);
});

test("without an interval it only runs when told", async () => {
  const { screen, clock } = stage();
  let runs = 0;
  const loop = poll(async () => { runs += 1; }, { screen, clock });
  await loop.now();
  assert.deepEqual([runs, clock.due], [1, null]);
});

test("a busy reader is not disturbed", async () => {
  const { screen, clock, tick } = stage();
  let runs = 0;
  let busy = false;
  const loop = poll(async () => { runs += 1; }, { every: 1000, busy: () => busy, screen, clock });
  await loop.now();
  busy = true;
  await tick();
  assert.equal(runs, 1);
  busy = false;
  await tick();
  assert.equal(runs, 2);
});

test("asked while running, it runs once more afterwards, never at the same time", async () => {
  const { screen, clock } = stage();
  let together = 0;
  let most = 0;
  let runs = 0;
  const loop = poll(async () => {
    together += 1;
    most = Math.max(most, together);
    await settled();
    together -= 1;
    runs += 1;
  }, { every: 1000, screen, clock });
  await Promise.all([loop.now(), loop.now()]);
  assert.deepEqual([runs, most], [2, 1]);
  assert.equal(clock.due.wait, 1000);
});

test("after stop, what was asked for is not done", async () => {
  const { screen, clock } = stage();
  let runs = 0;
  const loop = poll(async () => { runs += 1; }, { every: 1000, screen, clock });
  const asked = loop.now();
  loop.stop();
  await asked;
  assert.deepEqual([runs, clock.due], [0, null]);
});
