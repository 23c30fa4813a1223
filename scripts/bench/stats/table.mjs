//! The figures of the statistics as a Markdown table, and the document around it.

import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";

import { root } from "../../command.mjs";

const rank = (times, part) => times[Math.min(times.length - 1, Math.floor(part * times.length))];
const shown = (ms) => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toString());

/** One row a question. */
export function table(measured) {
  const rows = measured.map(({ name, bound, times }) => {
    const median = rank(times, 0.5);
    return [name, shown(median), shown(rank(times, 0.9)), `${bound}`, median < bound ? "" : "over"];
  });
  const head = ["question", "median, ms", "p90, ms", "bound of the median, ms", ""];
  return [head, ["---", "---:", "---:", "---:", "---"], ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** What an export has shown, in words. */
export function exported({ rows, seconds, bytes, before, least, most }) {
  const number = (value) => Math.round(value).toLocaleString("en");
  return `CSV export: ${number(rows)} rows (${number(bytes / 2 ** 20)} MB) in ${seconds.toFixed(1)} s, ${number(rows / seconds)} rows/s. The gateway's memory was
${number(before)} MiB before, and ${number(least)} to ${number(most)} MiB from the first pages to the last.`;
}

/** The whole document. */
export function document(run) {
  const { rows, disk, rollups, version, measured, rounds } = run;
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
  return `# Benchmark of the statistics

What \`npm run bench:stats\` measured at ${commit}: every question that the dashboard asks, over HTTP, on a ledger of
${rows.toLocaleString("en")} rows over ninety days (${rollups.toLocaleString("en")} rows of rollups; ${disk} in all), ${version} with its default settings.
Each was asked ${rounds} times in turn with the others, after one time that does not count.

Gateway, database and client share this machine: ${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB of memory. Whatever else it did
meanwhile is in the figures.

${table(measured)}

${exported(run.export)}
`;
}
