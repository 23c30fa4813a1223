//! The figures as Markdown tables, and the document around them.

import { cpus, release, totalmem, type } from "node:os";

import { batchTable } from "./batches.mjs";
import { markdown, median, ratio, tenths, whole } from "./figures.mjs";
import { goalTable } from "./goals.mjs";

const HEAD = ["measure", "direct", "nginx", "gateway", "nginx adds", "gateway adds", "gateway / direct", "gateway / nginx"];
const RANKS = ["p50", "p99"];

/** One row a measure; of several rounds always the median. */
function comparison(run) {
  const rows = [...Object.values(run.measured).flatMap(({ step, rounds }) => SHOWN[step.shows](step, rounds)), ...once(run)];
  return markdown(HEAD, rows);
}

const SHOWN = {
  throughput: (step, rounds) => [
    amount(`${step.name}: requests/s`, rounds, (figures) => figures.per_second, Math.round),
    ...latencies(`${step.name}: answer`, rounds, "whole"),
    ...cost(`${step.name}: CPU µs a request`, rounds),
  ],
  latency: (step, rounds) => [...latencies(`${step.name}: answer`, rounds, "whole"), ...cost(`${step.name}: CPU µs a request`, rounds)],
  stream: (step, rounds) => [...events(step, rounds), ...gaps(step, rounds), ...cost(`${step.name}: CPU µs an event`, rounds)],
  cost: (step, rounds) => [
    amount(`${step.name}: streams/s`, rounds, (figures) => figures.per_second, Math.round),
    ...cost(`${step.name}: CPU µs an event`, rounds),
  ],
  crowd: (step, rounds) => [
    ...events(step, rounds),
    ...gaps(step, rounds),
    ...cost(`${step.name}: CPU µs an event`, rounds),
    amount(`${step.name}: memory at most, MB`, rounds, (figures) => figures.memory, tenths),
  ],
};

function events(step, rounds) {
  return [...latencies(`${step.name}: first event`, rounds, "first"), ...latencies(`${step.name}: each later event`, rounds, "transit")];
}

/** Between the arrivals of one event and the next. */
function gaps(step, rounds) {
  return latencies(`${step.name}: gap between events`, rounds, "gap");
}

/** What is added is worked out in each round, so that the noise that both share cancels out. */
function latencies(name, rounds, spread) {
  return RANKS.map((rank) => {
    const of = (target) => median(rounds.map((round) => round[target][spread][rank]));
    const adds = (target) => median(rounds.map((round) => round[target][spread][rank] - round.direct[spread][rank]));
    const [nginx, gateway] = [adds("nginx"), adds("gateway")];
    return [
      `${name}, ${rank} µs`, ...["direct", "nginx", "gateway"].map(of).map(Math.round), Math.round(nginx), Math.round(gateway),
      ratio(of("gateway"), of("direct")), nginx > 0 && gateway > 0 ? `${ratio(gateway, nginx)} of what is added` : "",
    ];
  });
}

function amount(name, rounds, figure, shown) {
  const [direct, nginx, gateway] = ["direct", "nginx", "gateway"].map((target) => median(rounds.map((round) => figure(round[target]))));
  return [name, shown(direct) || "", shown(nginx), shown(gateway), "", "", ratio(gateway, direct), ratio(gateway, nginx)];
}

function cost(name, rounds) {
  const database = median(rounds.map((round) => round.gateway.databaseCpu));
  const row = amount(name, rounds, (figures) => figures.cpu, tenths);
  row[3] += ` + ${tenths(database)} PostgreSQL`;
  return [row];
}

function once({ startUp, idle, loaded }) {
  const memory = (name, figures) => [name, "", tenths(figures.nginx), tenths(figures.gateway), "", "", "", ratio(figures.gateway, figures.nginx)];
  return [
    ["start to first answer, ms", "", "", tenths(median(startUp)), "", "", "", ""],
    memory("memory idle, MB", idle),
    memory("memory after all of it, MB", loaded),
  ];
}

/** The function beside the local server, in the same rounds. */
function functionTable({ coldStarts, sizes, measured, idle, loaded }) {
  const span = (figures) => `${tenths(median(figures))} (${tenths(Math.min(...figures))} to ${tenths(Math.max(...figures))})`;
  const rows = [
    ["exec to serving, ms", span(coldStarts.started), ""],
    ["exec to the first byte of a refusal, nobody asked, ms", span(coldStarts.refused), ""],
    ["exec to the first byte of an answer, database and upstream connected to, ms", span(coldStarts.answered), ""],
    ["binary, MB", sizes.function.toFixed(2), sizes.local.toFixed(2)],
    ["memory idle, MB", tenths(idle.function), tenths(idle.gateway)],
    ["memory after its load, MB", tenths(loaded.function), tenths(loaded.gateway)],
  ];
  for (const { step, rounds } of [measured.busy, measured.alone, measured.rate]) {
    const of = (figure) => ["function", "gateway"].map((target) => median(rounds.map((round) => figure(round[target]))));
    if (step.shows === "throughput") rows.push([`${step.name}: requests/s`, ...of((figures) => figures.per_second).map(Math.round)]);
    for (const rank of RANKS) rows.push([`${step.name}: answer, ${rank} µs`, ...of((figures) => figures.whole[rank]).map(Math.round)]);
    const [[own, local], [database, beside]] = [of((figures) => figures.cpu), of((figures) => figures.databaseCpu)];
    rows.push([`${step.name}: CPU µs a request`, `${tenths(own)} + ${tenths(database)} PostgreSQL`, `${tenths(local)} + ${tenths(beside)} PostgreSQL`]);
  }
  return markdown(["measure", "function", "local server"], rows);
}

function pieceTable({ pieces }) {
  return markdown(["piece", "µs", "instructions, as recorded"], pieces.map(({ name, micros, instructions }) => [name, tenths(micros), whole(instructions)]));
}

/** All tables, each under its heading. */
export function tables(run) {
  const goals = goalTable(run);
  return `## Goals: ${goals.met} of ${goals.of} met

${goals.table}

Best peer: the best figure of Portkey, LiteLLM, claude-relay-service and ferrogw, each measured by itself on another machine of this
size; all but claude-relay-service without keys and without a database. A stretch goal of an event is what nginx added in this run.

## Beside a direct call and nginx

${comparison(run)}

## As a function

The \`proxy\` function behind the runtime's own protocol, its platform played by \`platform\` (\`fake/src/bin/platform\`); in the same rounds.

${functionTable(run)}

## How many requests one statement carries

While one statement is under way the next gathers. A request that is alone goes alone, at once; after a settlement statement that
carried eight or more, the next waits five milliseconds.

${batchTable(run.batches)}

## Pieces

${pieceTable(run)}
`;
}

/** docs/benchmarks.md. */
export function document(run) {
  const lto = process.env.CARGO_PROFILE_RELEASE_LTO;
  return `# Benchmarks

\`npm run bench\` measures what the gateway adds to a call and how many calls it carries, beside a direct call and beside nginx
as a plain reverse proxy (connections kept, buffering off, no access log). This file is what it wrote last.

${machine()}. ${new Date().toISOString().slice(0, 10)}, commit ${run.commit}${lto ? `, built with ${lto} link-time optimisation` : ""}.
While it was measured, other work on the machine took ${Math.round(run.others * 100)} % of its processor time.

${tables(run)}
## How it is measured

- Everything runs on this machine over the loopback interface: the load generator (one thread), the fake upstream, nginx,
  the gateway as \`llm-gateway serve\`, the function, and the PostgreSQL that \`npm run dev\` would start, over its unix socket, with \`fsync\`
  and \`synchronous_commit\` on. The gateway authenticates each request, claims an account in PostgreSQL before it forwards, and
  writes a ledger row after it; it logs one line a request to a file. nginx does none of this.
- They are measured in turn in each of ${run.rounds} rounds (of the crowd of streams: ${run.crowdRounds}), another one first each time; figures are
  medians over the rounds. "Adds" is the difference to the direct call of the same round.
- Every answer is compared byte for byte with what the upstream was told to send, every stream event by event. At the end
  the ledger held exactly the ${whole(run.books)} requests that were sent, each completed and with the upstream's token counts, and no lease;
  the function had told its platform of the end of each of its invocations.
- CPU is the run time of all threads of the processes, from the kernel; memory is their proportional set size, "after" a load 15 s after it.
  A stream's events carry the time of their sending: "each later event" is from there to the client.
- Requests a statement: of \`pg_stat_statements\`, which counts in a run of its own and is off otherwise.
- A cold start is timed from just before exec to the answer's first byte, ${run.coldStarts.refused.length} times each; what the platform does before exec is not in it.
- Instructions are those that \`npm run counts\` guards: see CONTRIBUTING.md.
- At low rates most of a latency is a sleeping processor waking up, and p99 moves with whatever else the machine does:
  compare with nginx in the same run, not with other machines.
`;
}

/** What it was measured on. */
export function machine() {
  return `${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}`;
}
