//! One installation among several on one server: a database of its own, gateways, keys and accounts, and a past.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import pg from "pg";

import { Plain, root } from "../../command.mjs";
import { Books } from "../books.mjs";
import { cpuMicros } from "../machine.mjs";
import { plan, post, settings } from "../stage.mjs";

/** Keys that are used; a load has no more connections than can tell them apart. */
const USED = 64;
const AT_ONCE = 8;

export class House {
  #stage;
  #postgres;
  #fake;
  #env;
  gateways = [];
  keys = [];

  /** `size`: `{ rows, keys, accounts, pools }`. */
  static async build(stage, { postgres, fake, name, size }) {
    const house = new House();
    [house.#stage, house.#postgres, house.#fake] = [stage, postgres, fake];
    house.url = await postgres.createDatabase(name);
    // What is there must not go away while it is measured.
    house.#env = { ...settings(), DATABASE_URL: house.url, LEDGER_RETENTION_DAYS: "0" };
    await house.join();
    await house.#furnish(size);
    if (size.rows > 0) await house.#write(size.rows);
    return house;
  }

  /** One gateway more; `url` is another way to the same database. */
  async join(url = this.url) {
    const gateway = await this.#stage.listen("llm-gateway", ["serve"], { ...this.#env, DATABASE_URL: url });
    this.gateways.push(gateway);
    return gateway;
  }

  /** Ends its gateways. */
  async close() {
    await Promise.all(this.gateways.splice(0).map((gateway) => gateway.end()));
  }

  /** Accounts, and keys with limits, so that a claim has sums to look at; spread evenly over the pools. */
  async #furnish({ keys, accounts, pools = 1 }) {
    const pool = (n) => (pools === 1 ? "default" : `pool-${n % pools}`);
    await inTurn(accounts, (n) => {
      const credential = { kind: "api_key", api_key: `sk-upstream-${n}` };
      return this.#manage("accounts", { provider: "anthropic", name: `account ${n}`, pool: pool(n), credential, base_url: this.#fake });
    });
    const limits = { cost_per_day_usd: 1_000_000, cost_per_month_usd: 10_000_000, tokens_per_day: 1_000_000_000_000 };
    const used = Math.min(keys, USED);
    await inTurn(used, async (n) => {
      this.keys[n] = (await this.#manage("keys", { name: `key ${n}`, pool: pool(n), limits })).key;
    });
    await this.ask(`insert into api_keys (id, hash, prefix, name, role, limits)
      select 'key_' || lpad(n::text, 26, '0'), sha256(n::text::bytea), 'gw_' || lpad(n::text, 7, '0'), 'holder ' || n, 'member', k.limits
      from generate_series(1, ${keys - used}) n, (select limits from api_keys limit 1) k`);
  }

  async #write(rows) {
    const sql = await readFile(join(root, "scripts/bench/scale/ledger.sql"), "utf8");
    await this.ask(`set bench.rows = ${rows}; ${sql}`);
  }

  #manage(path, body) {
    return post(`${this.gateways[0].address}/api/${path}`, body, { authorization: `Bearer ${this.#env.ADMIN_TOKEN}` });
  }

  /** Asks its database. */
  async ask(sql) {
    const client = new pg.Client({ connectionString: this.url });
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  }

  /**
   * Puts some of its gateways under a step's load, so many connections in all; the answer is what was measured of all of them together.
   * `pooled`: no two gateways serve the same pool.
   */
  async load(step, { gateways = this.gateways, connections, pooled = false }) {
    const before = await this.#counted();
    const processes = { own: gateways.map(({ pid }) => pid), database: this.#postgres.pids };
    const costs = cpuMicros(processes);
    const results = await Promise.all(gateways.map((gateway, index) => {
      const share = Math.floor(((index + 1) * connections) / gateways.length) - Math.floor((index * connections) / gateways.length);
      const load = { closed: { ...step.load.closed, connections: share } };
      const keys = pooled ? this.keys.filter((_, n) => n % gateways.length === index) : this.keys;
      return this.#stage.complete("loadgen", [], { input: plan(gateway.address, { ...step, load }, keys) });
    }));
    const faults = results.flatMap((result) => Object.entries(result.faults));
    if (faults.length > 0) throw new Plain(`a load met faults: ${JSON.stringify(faults)}`);
    const sent = results.reduce((sum, result) => sum + result.sent, 0);
    await this.#accounted(before.rows + sent);
    const [after, spent] = [await this.#counted(), cpuMicros(processes)];
    return {
      perSecond: results.reduce((sum, result) => sum + result.per_second, 0),
      p50: Math.max(...results.map((result) => result.whole.p50)),
      p99: Math.max(...results.map((result) => result.whole.p99)),
      cpu: (spent.own - costs.own) / sent,
      databaseCpu: (spent.database - costs.database) / sent,
      claimMs: (after.claimMs - before.claimMs) / sent,
      settleMs: (after.settleMs - before.settleMs) / sent,
      perClaim: sent / (after.claims - before.claims),
    };
  }

  /** Every request has its row, and no lease is left. */
  async #accounted(rows) {
    const books = await Books.open(this.url);
    try {
      await books.settled();
    } finally {
      await books.close();
    }
    const counted = await this.#counted();
    if (counted.rows !== rows) throw new Plain(`the ledger has ${counted.rows} rows where ${rows} are due`);
  }

  /** What the database has done for it so far. The rows are those of this run: a made-up past has ids of its own. */
  async #counted() {
    const [row] = await this.ask(`
      select (select count(*)::int from ledger where started_at > now() - interval '1 hour' and id !~ '^req_0{10}') as rows,
        coalesce(sum(calls) filter (where query ~ 'claim\\w*\\('), 0)::float8 as claims,
        coalesce(sum(total_exec_time) filter (where query ~ 'claim\\w*\\('), 0) as "claimMs",
        coalesce(sum(total_exec_time) filter (where query ~ 'settle\\w*\\('), 0) as "settleMs"
      from pg_stat_statements
      where dbid = (select oid from pg_database where datname = current_database()) and query !~ 'pg_stat_statements'`);
    return row;
  }
}

/** Does something so many times, a few at once. */
async function inTurn(count, body) {
  let next = 0;
  const worker = async () => {
    while (next < count) await body(next++);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
}
