//! The demo's past, written into its database: requests of the last weeks, and what upstreams reported of their limits meanwhile.

import { readFileSync } from "node:fs";

import pg from "pg";

import { ACCOUNTS } from "./cast.mjs";
import { reportAt, WINDOWS } from "./windows.mjs";

/** Days that are written at once, so that there is progress to tell and a Ctrl-C is heard. */
const PART = 7;
const HOUR = 3_600;
/** As the gateway keeps it: a point in five minutes. Days that are long gone do with one an hour. */
const FINE = { seconds: 300, for: 2 * 24 * HOUR };

/** Writes the last `days`; `keys` have the share of the traffic that is theirs. `step(done)` tells how many days are written. */
export async function writePast(databaseUrl, { days, keys, accounts, step, signal }) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query("create temporary table demo_keys (id text, share float8); create temporary table demo_days (day timestamptz)");
    const callers = keys.filter(({ share }) => share > 0);
    await client.query("insert into demo_keys select * from unnest($1::text[], $2::float8[])", [callers.map(({ id }) => id), callers.map(({ share }) => share)]);
    await client.query("select ledger_partition(day) from generate_series(now() - make_interval(days => $1), now(), interval '1 day') day", [days + 1]);
    await client.query(sql("id"));
    // No mark for every row that comes late: the rollups begin after all of them.
    await client.query("alter table ledger disable trigger late_row");
    for (let done = 0; done < days; done += PART) {
      signal?.throwIfAborted();
      step?.(done);
      await takeDays(client, days - done, Math.min(PART, days - done));
      await client.query(sql("days"));
    }
    await takeToday(client);
    await client.query(sql("days"));
    await writeReports(client, days, accounts);
    await client.query(sql("end"));
  } finally {
    await client.end();
  }
}

function sql(name) {
  return readFileSync(new URL(`history/${name}.sql`, import.meta.url), "utf8");
}

async function takeDays(client, back, count) {
  await client.query("truncate demo_days");
  await client.query("insert into demo_days select date_trunc('day', now(), 'UTC') - make_interval(days => $1 - n) from generate_series(0, $2 - 1) n", [back, count]);
}

// Whatever time it is where the demo starts, its last hours were busy.
async function takeToday(client) {
  await client.query("truncate demo_days");
  await client.query("insert into demo_days values (date_trunc('day', now() - interval '12 hours', 'UTC') + interval '10 hours'), (now() - interval '16 hours')");
}

async function writeReports(client, days, accounts) {
  const now = Math.floor(Date.now() / 1000);
  for (const account of ACCOUNTS.filter(({ used }) => used)) {
    const points = [];
    for (let at = now - days * 24 * HOUR; at < now; at += now - at > FINE.for ? HOUR : FINE.seconds) {
      for (const name of Object.keys(WINDOWS)) points.push({ at: at - (at % FINE.seconds), name, ...reportAt(account, name, at) });
    }
    await client.query(`insert into reported_history (account_id, at, family, name, used, resets_at)
      select $1, to_timestamp(at), '', name, used, to_timestamp(ends) from unnest($2::float8[], $3::text[], $4::real[], $5::float8[]) as said (at, name, used, ends)
      on conflict do nothing`, [accounts.get(account.name), ...["at", "name", "used", "ends"].map((part) => points.map((point) => point[part]))]);
  }
}
