//! What holds of limits between two reports, and which budgets are nearly used. Pure.

/** Fills the gaps: what was said last still holds, until the limit it speaks of begins anew; `resets` came with the values. */
export function held(values, resets, times) {
  let last = null;
  let ends = null;
  return values.map((value, index) => {
    if (value !== null) [last, ends] = [value, resets[index]];
    else if (last !== null && ends !== null && Date.parse(ends) <= Date.parse(times[index])) [last, ends] = [0, null];
    return last;
  });
}

/** From here on a budget is worth a word, as the API's `budget_warning` has it. */
const NEARLY = 0.8;

/** Those of a key's budgets that are nearly used. A minute is no budget: it is full all the time. */
export function nearlyUsed(limits) {
  return limits.filter(({ limit, used, value }) => used > value * NEARLY && limit !== "max_in_flight" && !limit.endsWith("_per_minute"));
}
