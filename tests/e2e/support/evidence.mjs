//! What three witnesses say of the same requests: the clients, the fake upstream and the ledger.

import assert from "node:assert/strict";

import { query } from "./database.mjs";
import { eventually } from "./programs.mjs";

const MINUTE = 60_000;

/** Asks the fake for everything that it saw of the messages API. */
export async function seenBy(fake) {
  const all = await (await fetch(`${fake.address}/_fake/seen`)).json();
  return all.filter((seen) => seen.path_and_query.startsWith("/v1/messages")).map((seen) => ({
    ...seen,
    client: seen.headers.find(([name]) => name === "user-agent")?.[1],
  }));
}

/** The fake's counts by account. */
export async function countsOf(fake) {
  return (await (await fetch(`${fake.address}/_fake/stats`)).json()).by_credential;
}

/** All ledger rows. */
export function rowsOf(crowd) {
  return query(crowd.env.DATABASE_URL, `select id, client, status, http_status, account_id, affinity, attempts, error, estimated,
    upstream_request_id, input_tokens::float8 as input, output_tokens::float8 as output, cost_micros::float8 as cost from ledger`);
}

/** How many leases there are, dead ones too. */
export async function leases(crowd) {
  return (await query(crowd.env.DATABASE_URL, "select count(*)::int as count from leases"))[0].count;
}

/** Waits until every request is settled. */
export function settled(crowd, within = 60_000) {
  let left;
  return eventually(() => `no lease; there are ${left}`, async () => (left = await leases(crowd)) === 0, within);
}

/** No cap was exceeded by one at any moment, nor any rate in any sixty seconds; the answer says how far each account came. */
export function limitsHeld(crowd, seen, counts) {
  return [...crowd.accounts].map(([name, limits]) => {
    const own = seen.filter((it) => it.credential === name);
    const inFlight = counts[name]?.max_in_flight ?? 0;
    const requests = busiestMinute(own, () => 1);
    const tokens = busiestMinute(own, ({ answered: { figures } }) => (figures ? figures.input + figures.output : 0));
    assert.ok(inFlight <= limits.max_in_flight, `${name}: ${inFlight} in flight, of ${limits.max_in_flight}`);
    assert.ok(requests <= (limits.requests_per_minute ?? Infinity), `${name}: ${requests} a minute, of ${limits.requests_per_minute}`);
    // Charged by estimate, corrected by what was used: it is exceeded by the error of the requests in flight at most.
    const error = Math.max(0, ...own.map(({ answered: { figures } }) => (figures ? figures.output + 1 : 0))) * inFlight;
    const most = limits.tokens_per_minute ?? Infinity;
    assert.ok(tokens <= most + error, `${name}: ${tokens} tokens a minute, of ${most} and an error of ${error}`);
    return { name, limits, inFlight, requests, tokens };
  });
}

/** The largest sum over any sixty seconds. */
function busiestMinute(seen, weight) {
  let [largest, sum, first] = [0, 0, 0];
  for (const it of seen) {
    sum += weight(it);
    while (seen[first].at_ms <= it.at_ms - MINUTE) sum -= weight(seen[first++]);
    largest = Math.max(largest, sum);
  }
  return largest;
}

/** By name of the client, of which each made one request. */
export function byClient(list) {
  const found = new Map();
  for (const it of list) found.set(it.client, [...(found.get(it.client) ?? []), it]);
  return found;
}

/**
 * A request that a client got an answer to has one row, that row says what the client saw, its attempts are the calls that the
 * upstream got, in their order, and its tokens those that the upstream said.
 */
export function booksAgree(crowd, result, calls, rows) {
  const told = () => JSON.stringify({ result: { ...result, gateway: undefined }, rows, calls: calls.map(shown) });
  assert.equal(rows.length, 1, told());
  const [row] = rows;
  assert.deepEqual([row.id, row.status, row.http_status], [result.id, "completed", 200], told());
  assert.deepEqual(row.attempts.map((attempt) => attempt.account), calls.map((call) => crowd.accounts.get(call.credential).id), told());
  assert.deepEqual(row.attempts.map((attempt) => attempt.verdict === "delivered"), row.attempts.map((_, index) => index === row.attempts.length - 1), told());
  const { figures } = calls.at(-1).answered;
  assert.deepEqual([row.input, row.output, row.estimated, row.account_id], [figures.input, figures.output, false, row.attempts.at(-1).account], told());
}

function shown({ number, at_ms, credential, answered }) {
  return { number, at_ms, credential, answered };
}
