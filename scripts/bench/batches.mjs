//! How many requests one statement carries: alone where there is little to do, many where there is much.

import pg from "pg";

import { Plain } from "../command.mjs";
import { markdown, tenths, whole } from "./figures.mjs";

/** Statements whose batches are told of, by what their text holds. */
const STATEMENTS = { claim: /\bclaim\w*\(/, settlement: /\bsettle\w*\(/ };

/** Puts a gateway under each load, with the database counting its statements, which it does at no other time. */
export async function measureBatches(parts, books, loads, report) {
  const client = new pg.Client({ connectionString: parts.databaseUrl });
  await client.connect();
  try {
    await client.query("create extension if not exists pg_stat_statements");
    await count(client, true);
    await parts.freshGateway();
    const measured = [];
    for (const step of loads) {
      await parts.script(step);
      await client.query("select pg_stat_statements_reset()");
      const result = await parts.load("gateway", step);
      await books.record(result.sent, step.usage);
      measured.push({ step, result, statements: await statements(client, result.sent) });
      const { claim, settlement } = measured.at(-1).statements;
      report(`${step.name}: ${tenths(claim.requests)} requests a claim statement, ${tenths(settlement.requests)} a settlement`);
    }
    await count(client, false);
    await parts.freshGateway();
    return measured;
  } finally {
    await client.end();
  }
}

/** For connections that are made from now on. */
async function count(client, on) {
  const { rows: [{ name }] } = await client.query("select quote_ident(current_database()) as name");
  await client.query(`alter database ${name} set pg_stat_statements.track = ${on ? "top" : "none"}`);
  await client.query(`alter database ${name} set compute_query_id = ${on ? "on" : "off"}`);
}

async function statements(client, sent) {
  const { rows } = await client.query(`select query, calls::float8, total_exec_time as ms from pg_stat_statements
    where query !~ 'pg_stat_statements'`);
  const all = { calls: 0 };
  for (const [name, text] of Object.entries(STATEMENTS)) {
    const of = rows.filter(({ query }) => text.test(query));
    const calls = of.reduce((sum, row) => sum + row.calls, 0);
    if (calls === 0) throw new Plain(`no statement that the database counted is a ${name}`);
    all[name] = { requests: sent / calls, ms: of.reduce((sum, row) => sum + row.ms, 0) / calls };
  }
  all.calls = rows.reduce((sum, row) => sum + row.calls, 0) / sent;
  return all;
}

export function batchTable(measured) {
  const head = [
    "load", "requests/s", "p50 µs", "requests a claim statement", "it takes, ms", "requests a settlement statement", "it takes, ms",
    "statements a request, all told",
  ];
  const shown = (figure) => (Math.round(figure * 100) / 100).toString();
  return markdown(head, measured.map(({ step, result, statements: { claim, settlement, calls } }) => [
    step.name, whole(result.per_second), result.whole.p50, shown(claim.requests), shown(claim.ms), shown(settlement.requests),
    shown(settlement.ms), shown(calls),
  ]));
}
