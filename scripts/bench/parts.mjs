//! What is compared: the fake upstream alone, behind nginx, behind the gateway, and behind the gateway as a function.

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Plain, root } from "../command.mjs";
import { children } from "./machine.mjs";
import { startNginx } from "./nginx.mjs";
import { play, plan, post, settings } from "./stage.mjs";
import { script } from "./steps.mjs";

/** The programs that are compared, and those that compare. */
export const PROGRAMS = ["llm-gateway", "proxy", "fake-upstream", "loadgen", "platform", "hot"];

const ENDED_WITHIN = 60_000;
/** There only to be switched on by `Batches`. */
const COUNTER = { shared_preload_libraries: "pg_stat_statements", "pg_stat_statements.track": "none", compute_query_id: "off" };

export class Parts {
  #stage;
  #env;
  #children = {};
  #key;
  #throughFunction = 0;
  #strict;

  /** `strict`: a load that measures nothing is a fault; one that is over in a moment may. */
  constructor(stage, { strict }) {
    this.#stage = stage;
    this.#strict = strict;
  }

  async start() {
    // As it comes, so that what is committed is on the disk.
    const postgres = await this.#stage.postgres(COUNTER);
    this.databaseUrl = postgres.url;
    this.#children.database = postgres.pids;
    this.#children.direct = await this.#stage.listen("fake-upstream", ["--quiet"]);
    this.#children.nginx = await startNginx(this.#stage, this.#children.direct.address);
    this.#env = { ...settings(), DATABASE_URL: postgres.url };
    await this.#startGateway();
    await this.#furnish();
    const socket = join(this.#stage.dir, "function.sock");
    this.#children.function = await this.#stage.listen("platform", ["serve", socket, this.#stage.program("proxy")], this.#env, "pipe");
  }

  /** The processes whose cost a call through the target has, besides the upstream's. */
  processes(target) {
    const { nginx, gateway, function: platform, database } = this.#children;
    // The platform's own work is no part of the function's.
    const own = { direct: () => [], nginx: () => [nginx.pid], gateway: () => [gateway.pid], function: () => children(platform.pid) }[target]();
    return { own, database: target === "gateway" || target === "function" ? database : [] };
  }

  /** Tells the fake what to answer from now on. */
  script(step) {
    return play(this.#children.direct.address, script(step));
  }

  /** Puts a target under a step's load; the answer is what the load generator measured. */
  async load(target, step) {
    const ours = target === "gateway" || target === "function";
    const more = target === "function" ? invocation("{connection}") : [];
    const input = plan(this.#children[target].address, step, [ours ? this.#key : "sk-direct"], more);
    const result = await this.#stage.complete("loadgen", [], { input });
    if (Object.keys(result.faults).length > 0) {
      throw new Plain(`${step.name}, ${target}: ${JSON.stringify(result.faults)} of ${result.sent} requests`);
    }
    if (result.answered === 0 && this.#strict) throw new Plain(`${step.name}, ${target}: nothing was answered while it was measured`);
    if (target === "function") await this.#ended(result.sent);
    return result;
  }

  /** The function has told the platform of the end of so many more invocations. */
  async #ended(more) {
    this.#throughFunction += more;
    const { stdin, stdout } = this.#children.function;
    let ended = 0;
    for (const deadline = Date.now() + ENDED_WITHIN; Date.now() < deadline; await sleep(20)) {
      const answer = new Promise((resolve) => { stdout.once("data", resolve); });
      stdin.write("\n");
      ended = Number(await answer);
      if (ended === this.#throughFunction) return;
    }
    throw new Plain(`the function ended ${ended} invocations of ${this.#throughFunction}`);
  }

  /** Milliseconds from starting the gateway to its first answer to a call, so many times; the last one stays. */
  async timeStarts(times, step) {
    await this.script(step);
    const took = [];
    for (let n = 0; n < times; n += 1) {
      await this.endGateway();
      const began = performance.now();
      await this.#startGateway();
      await post(`${this.#children.gateway.address}/v1/messages`, JSON.parse(step.body), { "x-api-key": this.#key });
      took.push(performance.now() - began);
    }
    return took;
  }

  /**
   * Milliseconds from exec, so many times: until the function serves, until it has refused a call without asking anybody, and
   * until it has answered one, for which it has connected to the database and to the upstream.
   */
  async timeColdStarts(times, step) {
    await this.script(step);
    const took = { started: [], refused: [], answered: [] };
    for (let n = 0; n < times; n += 1) {
      for (const [kind, key, status] of [["refused", "", "401"], ["answered", this.#key, "200"]]) {
        const socket = join(this.#stage.dir, `start-${kind}-${n}.sock`);
        const heads = [["host", "gateway.example"], ["x-api-key", key], ["content-length", step.body.length], ...invocation(1)];
        const head = heads.map(([name, value]) => `${name}: ${value}\r\n`).join("");
        const input = `POST /v1/messages HTTP/1.1\r\n${head}\r\n${step.body}`;
        const timed = await this.#stage.complete("platform", ["start", socket, this.#stage.program("proxy")], { input, env: this.#env });
        if (timed.status !== status) throw new Plain(`a function just started said ${timed.status} where ${status} was due`);
        took.started.push(timed.started_micros / 1_000);
        took[kind].push(timed.answered_micros / 1_000);
      }
    }
    return took;
  }

  async #startGateway() {
    this.#children.gateway = await this.#stage.listen("llm-gateway", ["serve"], this.#env);
  }

  endGateway() {
    return this.#children.gateway.end();
  }

  /** A gateway that nobody has asked anything. */
  async freshGateway() {
    await this.endGateway();
    await this.#startGateway();
  }

  /** Two accounts at the fake, and a key. */
  async #furnish() {
    const manage = (path, body) => post(`${this.#children.gateway.address}/api/${path}`, body, { authorization: `Bearer ${this.#env.ADMIN_TOKEN}` });
    for (const number of [1, 2]) {
      const credential = { kind: "api_key", api_key: `sk-upstream-${number}` };
      await manage("accounts", { provider: "anthropic", name: `account ${number}`, credential, base_url: this.#children.direct.address });
    }
    this.#key = (await manage("keys", { name: "bench" })).key;
  }

  /** The pieces of the hot path by name: `{ micros, instructions }`, timed now and counted when they were recorded. */
  async pieces() {
    const times = await this.#stage.complete("hot", ["time"]);
    const { counts } = JSON.parse(await readFile(join(root, "bench/instructions.json"), "utf8"));
    return Object.entries(times).map(([name, nanos]) => ({ name, micros: nanos / 1_000, instructions: counts[name] }));
  }

  /** Megabytes of the programs that are shipped. */
  async sizes() {
    const size = async (name) => (await stat(this.#stage.program(name))).size / 1e6;
    return { local: await size("llm-gateway"), function: await size("proxy") };
  }
}

/** What the platform puts on a request; it ends the invocation of this number. */
function invocation(number) {
  return [["x-vercel-internal-invocation-id", `invocation-${number}`], ["x-vercel-internal-request-id", `${number}`]];
}
