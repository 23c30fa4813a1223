//! The figures as a Markdown table, and the document around it.

import { cpus, release, totalmem, type } from "node:os";

const HEAD = ["measure", "direct", "nginx", "gateway", "nginx adds", "gateway adds", "gateway / direct", "gateway / nginx"];
const RANKS = ["p50", "p99"];

/** One row a measure; of several rounds always the median. */
export function table(run) {
  const rows = [...run.measured.flatMap(({ step, rounds }) => SHOWN[step.shows](step, rounds)), ...once(run)];
  return [HEAD, HEAD.map((_, column) => (column === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const SHOWN = {
  throughput: (step, rounds) => [
    amount(`${step.name}: requests/s`, rounds, (figures) => figures.per_second, Math.round),
    ...latencies(`${step.name}: answer`, rounds, "whole"),
    ...cost(`${step.name}: CPU µs a request`, rounds),
  ],
  latency: (step, rounds) => [...latencies(`${step.name}: answer`, rounds, "whole"), ...cost(`${step.name}: CPU µs a request`, rounds)],
  stream: (step, rounds) => [...events(step, rounds), ...cost(`${step.name}: CPU µs an event`, rounds)],
  crowd: (step, rounds) => [
    ...events(step, rounds),
    ...cost(`${step.name}: CPU µs an event`, rounds),
    amount(`${step.name}: memory at most, MB`, rounds, (figures) => figures.memory, tenths),
  ],
};

function events(step, rounds) {
  return [...latencies(`${step.name}: first event`, rounds, "first"), ...latencies(`${step.name}: each later event`, rounds, "transit")];
}

/** What is added is worked out in each round, so that the noise that both share cancels out. */
function latencies(name, rounds, spread) {
  return RANKS.map((rank) => {
    const of = (target) => median(rounds.map((round) => round[target][spread][rank]));
    const adds = (target) => median(rounds.map((round) => round[target][spread][rank] - round.direct[spread][rank]));
    const [nginx, gateway] = [adds("nginx"), adds("gateway")];
    return [
      `${name}, ${rank} µs`, ...["direct", "nginx", "gateway"].map(of).map(Math.round), Math.round(nginx), Math.round(gateway),
      ratio(of("gateway"), of("direct")), nginx > 0 ? `${ratio(gateway, nginx)} of what is added` : "",
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

/** docs/benchmarks.md. */
export function document(run) {
  const lto = process.env.CARGO_PROFILE_RELEASE_LTO;
  const machine = `${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}`;
  return `# Benchmarks

\`npm run bench\` measures what the gateway adds to a call and how many calls it carries, beside a direct call and beside nginx
as a plain reverse proxy (connections kept, buffering off, no access log). This file is what it wrote last.

${machine}. ${new Date().toISOString().slice(0, 10)}, commit ${run.commit}${lto ? `, built with ${lto} link-time optimisation` : ""}.
While it was measured, other work on the machine took ${Math.round(run.others * 100)} % of its processor time.

${table(run)}

## How it is measured

- Everything runs on this machine over the loopback interface: the load generator (one thread), the fake upstream, nginx,
  the gateway as \`llm-gateway serve\`, and the PostgreSQL that \`npm run dev\` would start, over its unix socket, with \`fsync\` and
  \`synchronous_commit\` on. The gateway authenticates each request, claims an account in PostgreSQL before it forwards, and
  writes a ledger row after it; it logs one line a request to a file. nginx does none of this.
- The three are measured in turn in each of ${run.rounds} rounds (of the crowd of streams: 3), another one first each time; figures are
  medians over the rounds. "Adds" is the difference to the direct call of the same round.
- Every answer is compared byte for byte with what the upstream was told to send, every stream event by event. At the end
  the ledger held exactly the ${run.books.toLocaleString("en")} requests that were sent, each completed and with the upstream's token counts, and no lease.
- CPU is the run time of all threads of the processes, from the kernel; memory is their proportional set size. A stream's
  events carry the time of their sending: "each later event" is from there to the client.
- At low rates most of a latency is a sleeping processor waking up, and p99 moves with whatever else the machine does:
  compare with nginx in the same run, not with other machines.
`;
}

function ratio(figure, to) {
  if (!(to > 0) || !Number.isFinite(figure / to)) return "";
  const times = figure / to;
  return times < 1 ? `${Math.round(times * 100)} %` : `${times.toFixed(times < 10 ? 2 : 0)}×`;
}

function tenths(figure) {
  return figure < 10 ? Math.round(figure * 10) / 10 : Math.round(figure);
}

function median(figures) {
  const sorted = [...figures].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
