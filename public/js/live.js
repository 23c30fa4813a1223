//! Repeats a task while someone looks: stops when the page is hidden, backs off while it fails.

const LONGEST_MS = 60_000;

/** The wait after `failures` failures in a row. */
export function delay(every, failures) {
  return Math.min(every * 2 ** failures, Math.max(every, LONGEST_MS));
}

/**
 * Runs `task` now and then every `every` milliseconds; with `every` unset, only when told by `now()`.
 * A tick that finds `busy()` true waits for the next one, so that nothing moves under the reader's hands.
 */
export function poll(task, { every = null, busy = () => false, screen = document, clock = globalThis } = {}) {
  let timer = null;
  let failures = 0;
  let stopped = false;
  let waiting = 0;
  let queue = Promise.resolve();

  async function run() {
    if (!stopped) {
      failures = await task().then(() => 0, () => failures + 1);
    }
    waiting -= 1;
    if (waiting === 0) schedule();
  }

  function schedule() {
    clock.clearTimeout(timer);
    if (every && !stopped && !screen.hidden) timer = clock.setTimeout(tick, delay(every, failures));
  }

  function tick() {
    if (busy()) schedule();
    else now();
  }

  // One after the other, so that an answer that was on its way before a change never paints over the one after it.
  function now() {
    clock.clearTimeout(timer);
    waiting += 1;
    queue = queue.then(run);
    return queue;
  }

  function seen() {
    if (screen.hidden) clock.clearTimeout(timer);
    else if (every && waiting === 0) tick();
  }

  screen.addEventListener("visibilitychange", seen);
  return {
    now,
    stop() {
      stopped = true;
      clock.clearTimeout(timer);
      screen.removeEventListener("visibilitychange", seen);
    },
    /** Milliseconds until the try after a failure that is being handled now. */
    wait: () => delay(every ?? 0, failures + 1),
  };
}
