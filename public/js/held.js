//! What holds between two reports. Pure.

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
