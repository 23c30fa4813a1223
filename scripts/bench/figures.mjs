//! Small arithmetic of the tables.

export function median(figures) {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** `figure` to `to`: in percent where it is less, else how many times as much; empty where there is none. */
export function ratio(figure, to) {
  if (!(to > 0) || !Number.isFinite(figure / to)) return "";
  const times = figure / to;
  return times < 1 ? `${Math.round(times * 100)} %` : `${times.toFixed(times < 10 ? 2 : 0)}×`;
}

/** With one decimal where that says something. */
export function tenths(figure) {
  return Math.abs(figure) < 10 ? Math.round(figure * 10) / 10 : Math.round(figure);
}

export function whole(figure) {
  return Math.round(figure).toLocaleString("en");
}

/** A Markdown table: the first column to the left, the others to the right. */
export function markdown(head, rows) {
  return [head, head.map((_, column) => (column === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
