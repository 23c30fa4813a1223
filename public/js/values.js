//! Single values of the API's answers, null where they are not known, and what they add up to.

// The kinds of the prompt do not overlap; thinking is part of the output and not counted again.
const PROMPT = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "tool_use"];

/** All tokens that went in. */
export function prompt(tokens) {
  return sum(PROMPT.map((kind) => tokens?.[kind]));
}

/** All tokens, in and out; a total is taken as it is. */
export function total(tokens) {
  return typeof tokens === "number" ? tokens : sum([...PROMPT, "output"].map((kind) => tokens?.[kind]));
}

/** The sum of what is known; null: nothing is. */
export function sum(values) {
  const known = values.filter((value) => number(value) !== null);
  return known.length ? known.reduce((left, right) => left + right) : null;
}

/** The words of an error. */
export function text(error) {
  return typeof error === "string" ? error : error?.message ?? null;
}

/** A number, or null. */
export function number(value) {
  return typeof value === "number" ? value : null;
}
