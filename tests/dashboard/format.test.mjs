//! Figures as text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DASH, ago, change, clock, count, dollars, duration, exact, moment, percent } from "../../public/js/format.js";

function check(format, table) {
  for (const [given, expected] of table) assert.equal(format(given), expected, `${format.name}(${given})`);
}

const UNKNOWN = [[null, DASH], [undefined, DASH], [NaN, DASH], ["12", DASH]];

test("counts keep three digits", () => {
  check(count, [...UNKNOWN, [0, "0"], [7, "7"], [999, "999"], [1000, "1k"], [1240, "1.24k"], [12340, "12.3k"], [99960, "100k"],
    [999499, "999k"], [999500, "1M"], [1_284_000, "1.28M"], [4.2e9, "4.2B"], [1.5e12, "1.5T"], [-1500, "-1.5k"]]);
});

test("exact figures are grouped by the language", () => {
  assert.equal(exact(1234567, "en"), "1,234,567");
  assert.equal(exact(null), DASH);
});

test("money shows two decimals, or the first two digits of a small sum", () => {
  check(dollars, [...UNKNOWN, [0, "$0.00"], [12.4181, "$12.42"], [0.5, "$0.50"], [0.0421, "$0.042"], [0.00421, "$0.0042"],
    [0.000001, "$0.000001"], [12345.6, "$12.3k"], [-3.5, "−$3.50"]]);
});

test("only a whole share is 100%", () => {
  check(percent, [...UNKNOWN, [1, "100%"], [0.99999, "99.9%"], [0.9936, "99.4%"], [0, "0%"], [0.5, "50%"]]);
});

test("durations grow from milliseconds to minutes", () => {
  check(duration, [...UNKNOWN, [0, "0 ms"], [842.4, "842 ms"], [999.6, "1.00 s"], [1240, "1.24 s"], [12400, "12.4 s"], [59940, "59.9 s"], [59960, "1m"], [150000, "2m 30s"]]);
});

test("times are told from now, both ways and in both languages", () => {
  const now = Date.parse("2026-11-24T12:00:00Z");
  const at = (seconds) => new Date(now + seconds * 1000).toISOString();
  assert.equal(ago(at(0), now), "now");
  assert.equal(ago(at(-42), now), "42s ago");
  assert.equal(ago(at(-119), now), "1m ago");
  assert.equal(ago(at(184), now), "in 3m");
  assert.equal(ago(at(5 * 3600), now), "in 5h");
  assert.equal(ago(at(-86400), now), "yesterday");
  assert.equal(ago(at(-180), now, "zh-Hans"), "3分钟前");
  assert.equal(ago("nonsense", now), DASH);
  assert.equal(ago(null, now), DASH);
});

test("the clock names the day only when it is another one", () => {
  const now = new Date(2026, 10, 24, 12, 0, 0).getTime();
  assert.equal(clock(new Date(2026, 10, 24, 9, 5, 7).toISOString(), now), "09:05:07");
  assert.match(clock(new Date(2026, 10, 23, 9, 5, 7).toISOString(), now), /^Nov 23, 09:05:07$/);
  assert.equal(clock(null, now), DASH);
  assert.equal(moment(null), DASH);
  assert.match(moment("2026-11-24T09:05:07Z"), /2026/);
});

test("changes are signed, and silent without something to compare with", () => {
  assert.equal(change(112, 100), "+12%");
  assert.equal(change(88, 100), "−12%");
  assert.equal(change(100.1, 100), "±0%");
  assert.equal(change(5, 0), null);
  assert.equal(change(null, 3), null);
  assert.equal(change(3, undefined), null);
});
