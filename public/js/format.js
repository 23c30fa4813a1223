//! Turns figures into text. Pure; an unknown figure is a dash, never a zero.

/** What stands for "not known". */
export const DASH = "–";

const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];

/** 1284000 is `1.28M`: three digits say enough, the exact figure goes into a title. */
export function count(value) {
  if (!known(value)) return DASH;
  const size = Math.abs(value);
  // 999 950 would print as 1000k; half a digit below the unit, the next unit has it.
  const unit = UNITS.find(([from]) => size >= from * 0.9995);
  if (!unit || size < 1000) return String(Math.round(value));
  const scaled = value / unit[0];
  return `${trim(scaled.toFixed(Math.abs(scaled) >= 99.95 ? 0 : Math.abs(scaled) >= 9.995 ? 1 : 2))}${unit[1]}`;
}

/** Every digit, grouped as the language groups them. */
export function exact(value, language = "en") {
  return known(value) ? new Intl.NumberFormat(language).format(value) : DASH;
}

/** Two decimals, or as many as a small sum needs to show its first two digits. */
export function dollars(value) {
  if (!known(value)) return DASH;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 0.1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(size)));
  const text = size >= 10000 ? `$${count(size)}` : `$${size.toFixed(digits)}`;
  return value < 0 ? `−${text}` : text;
}

/** 0.9996 is `99.9%`: only what is whole says 100. */
export function percent(ratio) {
  if (!known(ratio)) return DASH;
  const tenths = ratio < 1 ? Math.min(999, Math.round(ratio * 1000)) : Math.round(ratio * 1000);
  return `${trim((tenths / 10).toFixed(1))}%`;
}

/** 842 is `842 ms`, 12400 is `12.4 s`, 150000 is `2m 30s`, 3600000 is `1h`. */
export function duration(milliseconds) {
  if (!known(milliseconds)) return DASH;
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000 && milliseconds % 1000 === 0) return `${milliseconds / 1000} s`;
  if (milliseconds < 59950) return `${(milliseconds / 1000).toFixed(milliseconds < 9995 ? 2 : 1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes >= 60) return minutes % 60 ? `${Math.floor(minutes / 60)}h ${minutes % 60}m` : `${minutes / 60}h`;
  return seconds % 60 ? `${minutes}m ${seconds % 60}s` : `${minutes}m`;
}

const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** How far `time` is from `now`, before or after it, in the words of the language. */
export function ago(time, now = Date.now(), language = "en") {
  const at = Date.parse(time);
  if (Number.isNaN(at)) return DASH;
  const seconds = Math.round((at - now) / 1000);
  const [unit, size] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? ["second", 1];
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "narrow" });
  return words.format(Math.trunc(seconds / size), unit);
}

/** The wall clock: hour, minute and second today, with the date on any other day. */
export function clock(time, now = Date.now(), language = "en") {
  const at = new Date(time ?? NaN);
  if (Number.isNaN(at.getTime())) return DASH;
  const today = at.toDateString() === new Date(now).toDateString();
  const day = today ? {} : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(language, { ...day, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(at);
}

/** Date and time in full, for titles. */
export function moment(time, language = "en") {
  const at = new Date(time ?? NaN);
  if (Number.isNaN(at.getTime())) return DASH;
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" }).format(at);
}

/** How much `value` differs from `before`, signed: `+12%`. Nothing when there is nothing to compare with. */
export function change(value, before) {
  if (!known(value) || !known(before) || before === 0) return null;
  const points = Math.round((value / before - 1) * 100);
  if (points === 0) return "±0%";
  return points > 0 ? `+${count(points)}%` : `−${count(-points)}%`;
}

function known(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function trim(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
