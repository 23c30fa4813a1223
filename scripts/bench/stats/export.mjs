//! How fast the ledger is exported, and what memory the gateway needs for it.

import { execFileSync } from "node:child_process";

const MOST = 1_000_000;
const SAMPLE_ROWS = 20_000;

/** Reads up to a million rows as they come: `{ rows, seconds, bytes, before, least, most }`, memory in MiB. */
export async function exportTable(open, pid) {
  const memory = () => Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) / 1_024;
  const before = memory();
  const began = performance.now();
  const answer = await open("/api/stats/export.csv", { "accept-encoding": "identity" });
  if (!answer.ok) throw new Error(`export.csv: ${answer.status} ${await answer.text()}`);
  // The first line names the columns.
  let lines = -1;
  let bytes = 0;
  const samples = [];
  for await (const piece of answer.body) {
    bytes += piece.length;
    for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1)) lines += 1;
    // From the first pages on it should stay what it is.
    if (lines >= SAMPLE_ROWS * (samples.length + 1)) samples.push(memory());
    if (lines >= MOST) break;
  }
  const seconds = (performance.now() - began) / 1_000;
  if (samples.length === 0) samples.push(memory());
  return { rows: Math.min(lines, MOST), seconds, bytes, before, least: Math.min(...samples), most: Math.max(...samples) };
}
