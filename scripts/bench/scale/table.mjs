//! docs/benchmarks-scale.md: what grows, and what it costs.

import { markdown, median, ratio, tenths, whole } from "../figures.mjs";
import { machine } from "../table.mjs";

const HUNDREDTHS = (figure) => (Math.round(figure * 100) / 100).toString();

function of(rounds, figure) {
  return median(rounds.map(figure));
}

/** A size is flat where its claim takes no longer than half as long again as the smallest's: less is noise. */
const FLAT = 1.5;

function sizeTable(sizes) {
  const claim = ({ rounds }) => of(rounds, ({ alone }) => alone.claimMs);
  const first = claim(sizes[0]);
  const head = [
    "rows", "keys", "accounts", "claim alone, ms", "to the smallest", "settlement alone, ms", "answer alone, p50 µs", "requests/s, 64 connections",
    "PostgreSQL µs a request", "claim, ms a request",
  ];
  return markdown(head, sizes.map(({ rounds, ...size }) => [
    whole(size.rows), whole(size.keys), whole(size.accounts), HUNDREDTHS(claim({ rounds })), HUNDREDTHS(claim({ rounds }) / first),
    HUNDREDTHS(of(rounds, ({ alone }) => alone.settleMs)), Math.round(of(rounds, ({ alone }) => alone.p50)), whole(of(rounds, ({ busy }) => busy.perSecond)),
    tenths(of(rounds, ({ busy }) => busy.databaseCpu)), HUNDREDTHS(of(rounds, ({ busy }) => busy.claimMs)),
  ]));
}

/** In words: whether the claim is as quick at each size as at the smallest. */
function flat(sizes) {
  const claim = ({ rounds }) => of(rounds, ({ alone }) => alone.claimMs);
  const grown = sizes.filter((size) => claim(size) > FLAT * claim(sizes[0]));
  if (grown.length === 0) return "Flat: no size makes a claim take more than half as long again as the smallest.";
  const names = grown.map((size) => `${whole(size[size.grows])} ${size.grows} (${ratio(claim(size), claim(sizes[0]))})`);
  return `**Not flat**: a claim takes longer with ${names.join(", ")}.`;
}

function processTable(processes) {
  const head = ["processes", "pools", "requests/s", "to one process", "p50 ms", "p99 ms", "gateways µs a request", "PostgreSQL µs a request", "requests a claim statement"];
  const first = of(processes[0].rounds, ({ perSecond }) => perSecond);
  return markdown(head, processes.map(({ count, pools, rounds }) => [
    count, pools, whole(of(rounds, ({ perSecond }) => perSecond)), ratio(of(rounds, ({ perSecond }) => perSecond), first),
    tenths(of(rounds, ({ p50 }) => p50) / 1_000), tenths(of(rounds, ({ p99 }) => p99) / 1_000), tenths(of(rounds, ({ cpu }) => cpu)),
    tenths(of(rounds, ({ databaseCpu }) => databaseCpu)), tenths(of(rounds, ({ perClaim }) => perClaim)),
  ]));
}

function distanceTable(distances) {
  const head = ["round trip, ms", "connections", "requests/s", "p50 ms", "p99 ms", "requests a claim statement"];
  return markdown(head, distances.map(({ ms, connections, rounds }) => [
    ms, connections, whole(of(rounds, ({ perSecond }) => perSecond)), tenths(of(rounds, ({ p50 }) => p50) / 1_000), tenths(of(rounds, ({ p99 }) => p99) / 1_000),
    tenths(of(rounds, ({ perClaim }) => perClaim)),
  ]));
}

export function tables({ sizes, processes, distances }) {
  return `## What grows

${sizeTable(sizes)}

${flat(sizes)}

## Processes on one PostgreSQL

${processTable(processes)}

## A database that is far away

${distanceTable(distances)}
`;
}

export function document(run) {
  return `# Benchmarks of scale

\`npm run bench:scale\` measures what a request costs as an installation grows. This file is what it wrote last.

${machine()}. ${new Date().toISOString().slice(0, 10)}, commit ${run.commit}. What follows from it stands in [SCALING.md](SCALING.md).
While it was measured, other work on the machine took ${Math.round(run.others * 100)} % of its processor time.

${tables(run)}
## How it is measured

- Every size is a database of its own with a gateway of its own, all on one PostgreSQL (its usual settings, but for \`wal_level=minimal\`, so that a
  past is written quickly) with \`fsync\` and \`synchronous_commit\` on; they are measured in turn in each of ${run.rounds} rounds, and figures are medians.
- A past is spread evenly over ninety days, over the keys that are used and over the accounts. Each key has a limit by the day and two by the month, so a
  claim looks at the sums of its past. Of many keys 64 are used.
- "Alone" is one connection, so that a statement carries one request; its time is \`pg_stat_statements\`', in the server, without the way there.
- Processes share the machine's processors with the load, the upstream and PostgreSQL: what they reach together is what the machine has, and what more of
  them add is only what one could not use. 64 connections are spread over them.
- A far database is the same one behind a relay that holds every byte back for half a round trip each way.
- After every load there is a ledger row for each request, and no lease.
`;
}
