//! Whether the gateway has accounted for every request of the run.

import { setTimeout as sleep } from "node:timers/promises";

import pg from "pg";

import { Plain } from "../command.mjs";

const SETTLED_WITHIN = 60_000;

export class Books {
  sent = 0;
  #usage = { input: 0, output: 0 };
  #client;

  static async open(url) {
    const books = new Books();
    books.#client = new pg.Client({ connectionString: url });
    await books.#client.connect();
    return books;
  }

  /** So many requests went through the gateway, each with this usage; waits until they are settled. */
  async record(count, usage) {
    this.sent += count;
    for (const kind of ["input", "output"]) this.#usage[kind] += count * usage[kind];
    await this.settled();
  }

  /** Waits until no lease is left. */
  async settled() {
    for (const deadline = Date.now() + SETTLED_WITHIN; Date.now() < deadline; await sleep(50)) {
      const { leases } = await this.#ask("select count(*)::int as leases from leases");
      if (leases === 0) return;
    }
    throw new Plain(`leases are left ${SETTLED_WITHIN / 1_000} s after the last request`);
  }

  /** One row a request, with the figures that the upstream said. */
  async check() {
    const got = await this.#ask(`select count(*)::int as rows, count(*) filter (where status = 'completed' and not estimated)::int
      as completed, sum(input_tokens)::float8 as input, sum(output_tokens)::float8 as output from ledger`);
    const expect = { rows: this.sent, completed: this.sent, ...this.#usage };
    for (const [what, count] of Object.entries(expect)) {
      if (got[what] !== count) throw new Plain(`the ledger does not add up: ${what} is ${got[what]}, and must be ${count}`);
    }
  }

  close() {
    return this.#client.end();
  }

  async #ask(sql) {
    return (await this.#client.query(sql)).rows[0];
  }
}
