//! A crowd: several gateway processes on one database, accounts at one fake upstream, and clients that stream without a pause.

import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { settings, startLocal } from "./gateway.mjs";

/** What every client asks for, but for its name: a stream of so many words. */
const MODEL = "claude-sonnet-5-5";

export class Crowd {
  #programs;
  #turn = 0;
  #asked = 0;
  /** Processes that take requests, and all that ever were. */
  alive = [];
  all = [];
  /** What became of every request, in the order in which they ended. */
  results = [];

  /** Starts the processes. The first one prepares the database. */
  static async start(programs, processes, variables = {}) {
    const crowd = new Crowd();
    crowd.#programs = programs;
    crowd.env = { ...(await settings()), LOG: "error", ...variables };
    await crowd.join();
    await crowd.api("GET", "/api/keys");
    await Promise.all(Array.from({ length: processes - 1 }, () => crowd.join()));
    return crowd;
  }

  /** One process more. */
  async join() {
    const gateway = await startLocal(this.#programs, this.env);
    gateway.killed = false;
    this.alive.push(gateway);
    this.all.push(gateway);
    return gateway;
  }

  /** Ends a process as a crash does; whatever fails on it from now on is the crash's doing. */
  async kill(gateway) {
    gateway.killed = true;
    gateway.killedAt = Date.now();
    this.alive = this.alive.filter((other) => other !== gateway);
    await gateway.program.stop("SIGKILL");
  }

  stop() {
    return Promise.all(this.alive.map((gateway) => gateway.stop()));
  }

  /** Asks the management API of the newest process, the one that lives longest. */
  api(method, path, body) {
    return this.alive.at(-1).api(method, path, body);
  }

  /** Adds accounts, each `{ name, … limits }`, whose name is their key at the fake; issues the clients' key. */
  async furnish(fake, accounts) {
    this.accounts = new Map();
    for (const { name, ...limits } of accounts) {
      const credential = { kind: "api_key", api_key: name };
      const { id } = await this.api("POST", "/api/accounts", { provider: "anthropic", name, credential, base_url: fake.address, ...limits });
      this.accounts.set(name, { id, ...limits });
    }
    this.key = (await this.api("POST", "/api/keys", { name: "the crowd", role: "member" })).key;
  }

  /**
   * Keeps `streams` streams going for so many milliseconds, and waits until the last has ended; answers their results. They
   * begin within the first tenth of the time, one after the other, as a crowd comes.
   */
  async press({ streams, ms, prompt }) {
    const [first, until] = [this.results.length, Date.now() + ms];
    const client = async (number) => {
      await sleep(((ms / 10) * number) / streams);
      while (Date.now() < until) {
        const { status, retryAfter } = await this.ask(prompt);
        // A client that is told to come back does so; one that lost its gateway goes to the next, as behind a balancer.
        if (status === 429) await sleep(Math.min(Number(retryAfter) * 1_000 || 1_000, Math.max(0, until - Date.now())));
      }
    };
    await Promise.all(Array.from({ length: streams }, (_, number) => client(number)));
    return this.results.slice(first);
  }

  /** One stream, to its end, through the next process. It never throws. */
  async ask(prompt) {
    const gateway = this.alive[this.#turn++ % this.alive.length];
    const client = `crowd/${++this.#asked}`;
    const result = { client, gateway, ...(await stream(gateway.address, this.key, client, prompt)) };
    // Killed by now: that it broke off says nothing of the gateway.
    result.ofKilled = gateway.killed;
    result.endedAt = Date.now();
    this.results.push(result);
    return result;
  }
}

/** A connection of its own for each request, as real clients have. */
function stream(address, key, client, prompt) {
  const body = JSON.stringify({ model: MODEL, max_tokens: 100, stream: true, messages: [{ role: "user", content: `${client} ${prompt}` }] });
  const headers = {
    "content-type": "application/json", "content-length": Buffer.byteLength(body), "anthropic-version": "2023-06-01",
    "x-api-key": key, "user-agent": client,
  };
  return new Promise((resolve) => {
    let text = "";
    let head = {};
    const end = (fault) => resolve({ ...head, text, fault: fault?.message ?? null, whole: isWhole(head.status, text) });
    const request = http.request(`${address}/v1/messages`, { method: "POST", headers, agent: false }, (response) => {
      head = { status: response.statusCode, id: response.headers["x-request-id"], retryAfter: response.headers["retry-after"] };
      response.setEncoding("utf8").on("data", (chunk) => { text += chunk; });
      response.once("error", end).once("end", () => end());
    });
    request.once("error", end).end(body);
  });
}

/** Whether the whole stream came, from its first event to its last. */
function isWhole(status, text) {
  return status === 200 && text.startsWith("event: message_start\n") && text.endsWith('data: {"type":"message_stop"}\n\n');
}
