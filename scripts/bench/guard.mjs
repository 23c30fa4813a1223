//! Whether instruction counts are still those on record.

/** A count may differ by so much from the one on record: by less, and other machines' libraries would raise alarms. */
const TOLERANCE = 0.1;
/** Another compiler makes other code of the same source; only what it cannot have done alone is an alarm. */
const OTHER_COMPILER = 0.3;

/**
 * Compares `{ rustc, arch, counts }` with what was recorded: `{ rows, alarms, note }`. Each row is
 * `{ name, recorded, counted, change, verdict }`, each alarm a sentence.
 */
export function judge(recorded, now) {
  const comparable = recorded.arch === now.arch;
  const tolerance = recorded.rustc === now.rustc ? TOLERANCE : OTHER_COMPILER;
  const names = [...new Set([...Object.keys(recorded.counts), ...Object.keys(now.counts)])];
  const rows = names.map((name) => {
    const [was, is] = [recorded.counts[name], now.counts[name]];
    const change = is / was - 1;
    return { name, recorded: was, counted: is, change, verdict: comparable ? verdict(was, is, change, tolerance) : "" };
  });
  return { rows, alarms: rows.filter(({ verdict }) => verdict).map(alarm), note: note(recorded, now, comparable, tolerance) };
}

function verdict(was, is, change, tolerance) {
  if (is === undefined) return "gone";
  if (was === undefined) return "new";
  if (change > tolerance) return "slower";
  return change < -tolerance ? "faster" : "";
}

const ADVICE = {
  gone: "is on record, but no such piece is counted",
  new: "is counted, but not on record",
  slower: "takes more instructions than on record",
  faster: "takes fewer instructions than on record; record them, so that it stays so",
};

function alarm({ name, change, verdict }) {
  const by = Number.isFinite(change) ? ` (${percent(change)})` : "";
  return `"${name}" ${ADVICE[verdict]}${by}`;
}

function note(recorded, now, comparable, tolerance) {
  if (!comparable) return `The record is of ${recorded.arch}, and this is ${now.arch}: instructions of one say nothing of the other.`;
  if (tolerance === TOLERANCE) return `Allowed: ${percent(tolerance)} either way.`;
  return `The record is of rustc ${recorded.rustc}, and this is ${now.rustc}: allowed are ${percent(tolerance)} either way, not ${percent(TOLERANCE)}.`;
}

export function percent(share) {
  return `${share > 0 ? "+" : ""}${(share * 100).toFixed(1)} %`;
}
