//! The figures of docs/SCALING.md that a run of the benchmark gives, and what follows from them by multiplication.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { Plain, root } from "../command.mjs";
import { markdown, median, tenths, whole } from "./figures.mjs";

const BEGIN = "<!-- measured: npm run bench -->\n";
const END = "<!-- end of what is measured -->\n";
const RATES = [100, 1_000, 10_000];
const SECONDS_A_DAY = 86_400;
/** A ledger row with its indexes, in bytes. */
const ROW = 1_100;

/** Puts this run's figures in the place of the last one's. */
export async function writeScaling(run) {
  const file = join(root, "docs/SCALING.md");
  const text = await readFile(file, "utf8");
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Plain("docs/SCALING.md has lost the marks between which its figures stand");
  await writeFile(file, text.slice(0, from + BEGIN.length) + measured(run) + text.slice(to));
}

function measured({ measured: { busy, rate, crowd }, batches, coldStarts }) {
  const of = ({ rounds }, figure) => median(rounds.map(figure));
  const cost = (step) => ({ gateway: of(step, ({ gateway }) => gateway.cpu), database: of(step, ({ gateway }) => gateway.databaseCpu) });
  const [quiet, full] = [cost(rate), cost(busy)];
  const added = (rank) => of(rate, ({ gateway, direct }) => gateway.whole[rank] - direct.whole[rank]);
  const last = batches.at(-1);
  const rows = [
    ["requests/s with 64 connections, everything on this machine", whole(of(busy, ({ gateway }) => gateway.per_second))],
    ["processor time a request when busy: gateway; PostgreSQL", `${tenths(full.gateway)} µs; ${tenths(full.database)} µs`],
    ["the same at 200 requests/s", `${tenths(quiet.gateway)} µs; ${tenths(quiet.database)} µs`],
    ["added to an answer at 200 requests/s: p50; p99", `${whole(added("p50"))} µs; ${whole(added("p99"))} µs`],
    [`requests that a claim statement carries with ${last.step.name}`, tenths(last.statements.claim.requests)],
    [`${crowd.step.name}: memory at most`, `${whole(of(crowd, ({ gateway }) => gateway.memory))} MB`],
    ["a function from exec to its first answer, database connected to", `${tenths(median(coldStarts.answered))} ms`],
  ];
  const cores = (perSecond) => {
    // Between the rates that were measured nothing is known: a quiet request costs most.
    const dear = perSecond <= 200 ? quiet : full;
    return [dear.gateway, dear.database].map((micros) => `${whole(perSecond)} × ${tenths(micros)} µs = ${shown((perSecond * micros) / 1e6)}`);
  };
  const follows = RATES.map((perSecond) => [
    whole(perSecond), ...cores(perSecond), `${shown((perSecond * ROW) / 1e6)} MB/s, ${whole((perSecond * ROW * SECONDS_A_DAY) / 1e9)} GB a day`,
  ]);
  return `
${markdown(["measured", ""], rows)}

${markdown(["requests/s", "*cores for the gateway*", "*cores for PostgreSQL*", `*ledger, at ${whole(ROW)} bytes a row*`], follows)}

`;
}

function shown(figure) {
  return figure < 1 ? figure.toFixed(2) : figure.toFixed(1);
}
