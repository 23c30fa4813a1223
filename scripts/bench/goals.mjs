//! What the gateway sets out to reach, and whether it did.

import { markdown, median, ratio, tenths } from "./figures.mjs";

const PERCENT = (share) => `${Math.round(share * 100)} %`;
const TIMES = (times) => `${times.toFixed(2)}×`;
const MICROS = (figure) => `${Math.round(figure)} µs`;
const FINE_MICROS = (figure) => `${tenths(figure)} µs`;
const MILLIS = (figure) => `${figure < 10 ? figure.toFixed(2) : Math.round(figure)} ms`;
const MEGABYTES = (figure) => `${tenths(figure)} MB`;

/**
 * Every goal: `{ measure, shown, goal, stretch, peer, reached, more }`. `more` where more is better; a stretch goal may be nginx's own
 * figure in this run. `peer`: the best of other gateways, in their own run on a machine of this kind.
 */
function goals(run) {
  const { busy, rate, large, streams, dense, crowd } = run.measured;
  const of = ({ rounds }, figure) => median(rounds.map(figure));
  const adds = (step, spread, rank, target = "gateway") => of(step, (round) => round[target][spread][rank] - round.direct[spread][rank]);
  // Where nginx adds nothing that can be told from noise, there is nothing to compare with.
  const nginxAdds = adds(rate, "whole", "p50", "nginx");
  const own = (name, step, spread, rank) => ({ measure: name, reached: adds(step, spread, rank) });
  return [
    {
      measure: "requests/s at 64 connections, of nginx's", shown: PERCENT, goal: 0.45, stretch: 0.6, peer: 0.18, more: true,
      reached: of(busy, ({ gateway, nginx }) => gateway.per_second / nginx.per_second),
    },
    { measure: "an answer at 64 connections, p99", shown: MILLIS, goal: 20, reached: of(busy, ({ gateway }) => gateway.whole.p99) / 1_000, peer: 28.1 },
    { measure: "processor time a request, gateway", shown: FINE_MICROS, goal: 55, stretch: 40, peer: 212, reached: of(busy, ({ gateway }) => gateway.cpu) },
    { measure: "processor time a request, PostgreSQL", shown: FINE_MICROS, goal: 25, stretch: 15, reached: of(busy, ({ gateway }) => gateway.databaseCpu) },
    {
      measure: "added at 200 requests/s, p50, to what nginx adds", shown: TIMES, goal: 2.2, stretch: 1.5, peer: 3.9,
      reached: nginxAdds > 0 ? adds(rate, "whole", "p50") / nginxAdds : NaN,
    },
    { ...own("added at 200 requests/s, p99", rate, "whole", "p99"), shown: MICROS, goal: 1_000, stretch: 600, peer: 1_046 },
    { ...own("added to the first event at 50 streams/s, p50", streams, "first", "p50"), shown: MICROS, goal: 500, stretch: 350, peer: 859 },
    { ...own("added to the first event at 50 streams/s, p99", streams, "first", "p99"), shown: MICROS, goal: 1_500, stretch: 800, peer: 2_476 },
    ...[["p50", 150, 370], ["p99", 600, 1_190]].map(([rank, goal, peer]) => ({
      ...own(`added to each later event, ${rank}`, streams, "transit", rank),
      shown: MICROS, goal, peer, stretch: adds(streams, "transit", rank, "nginx"),
    })),
    {
      measure: "processor time an event, back to back, metered", shown: FINE_MICROS, goal: 7, stretch: 2, peer: 27,
      reached: of(dense, ({ gateway }) => gateway.cpu),
    },
    { measure: `${crowd.step.name}: memory`, shown: MEGABYTES, goal: 60, stretch: 40, peer: 116, reached: of(crowd, ({ gateway }) => gateway.memory) },
    { measure: "start to first answer", shown: MILLIS, goal: 150, stretch: 100, peer: 90, reached: median(run.startUp) },
    { measure: "a function from exec to an answer, nobody asked", shown: MILLIS, goal: 15, stretch: 5, reached: median(run.coldStarts.refused) },
    { measure: "a function's binary", shown: MEGABYTES, goal: 8, reached: run.sizes.function },
    { measure: "memory idle", shown: MEGABYTES, goal: 15, stretch: 8, peer: 35, reached: run.idle.gateway },
    { measure: "memory after all of it", shown: MEGABYTES, goal: 40, stretch: 30, peer: 115, reached: run.loaded.gateway },
    { ...own("added to a call with a 400 kB body, p50", large, "whole", "p50"), shown: MICROS, goal: 1_000 },
    ...run.pieces.filter(({ name }) => name.startsWith("rank ")).map(({ name, micros }) => ({ measure: name, shown: FINE_MICROS, goal: 100, reached: micros })),
  ];
}

export function goalTable(run) {
  const rows = goals(run).map(({ measure, shown, goal, stretch, peer, reached, more = false }) => {
    const known = Number.isFinite(reached);
    const reaches = (bound) => known && bound !== undefined && (more ? reached >= bound : reached <= bound);
    const missed = known ? `**no**, ${ratio(reached, goal)} of it` : "**no**, nothing was measured";
    const met = reaches(stretch) && reaches(goal) ? "yes, and the stretch" : reaches(goal) ? "yes" : missed;
    const cell = (figure) => (Number.isFinite(figure) ? shown(figure) : "");
    return { reached: reaches(goal), cells: [measure, cell(goal), cell(stretch), cell(peer), cell(reached), met] };
  });
  const table = markdown(["measure", "goal", "stretch", "best peer", "reached", "met?"], rows.map(({ cells }) => cells));
  return { table, met: rows.filter(({ reached }) => reached).length, of: rows.length };
}
