//! What a run needs: the fake upstream, nginx, PostgreSQL and the gateway, all on the loopback interface.

import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { openSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Plain, root } from "../command.mjs";
import { targetDir } from "../local.mjs";
import { startPostgres } from "../postgres.mjs";
import { childrenNamed } from "./machine.mjs";
import { script } from "./steps.mjs";

const READY_WITHIN = 15_000;
const CONCURRENT_FILES = 20_000;

export class Parts {
  #report;
  #dir;
  #undo = [];
  #env;
  #gateway;
  #key;
  #addresses = {};
  #processes = {};

  constructor(report) {
    this.#report = report;
  }

  async start() {
    this.#dir = await mkdtemp(join(tmpdir(), "llm-gateway-bench-"));
    this.#undo.push(() => rm(this.#dir, { recursive: true }));
    this.#report("Starting PostgreSQL, the fake upstream, nginx and the gateway");
    // As it comes, so that what is committed is on the disk.
    const postgres = await startPostgres({ dir: join(this.#dir, "postgres") });
    this.#undo.push(() => postgres.stop());
    this.databaseUrl = postgres.url;
    this.#processes.database = childrenNamed("postgres");

    const fake = this.#run("fake-upstream", ["--quiet"], {});
    this.#addresses.direct = await listening(fake);
    await this.#startNginx();
    this.#env = {
      DATABASE_URL: postgres.url, ADMIN_TOKEN: randomBytes(32).toString("hex"), ENCRYPTION_KEY: randomBytes(32).toString("base64"),
      ALLOW_INSECURE_UPSTREAMS: "1", PORT: "0",
    };
    await this.#startGateway();
    await this.#furnish();
  }

  /** Ends everything that was started, the last first. */
  async stop() {
    while (this.#undo.length > 0) await this.#undo.pop()();
  }

  /** The processes whose cost a call through the target has, besides the upstream's. */
  processes(target) {
    return { own: this.#processes[target] ?? [], database: target === "gateway" ? this.#processes.database : [] };
  }

  /** Tells the fake what to answer from now on. */
  async script(step) {
    await post(`${this.#addresses.direct}/_fake/clear`);
    await post(`${this.#addresses.direct}/_fake/script`, script(step));
  }

  /** Puts a target under a step's load; the answer is what the load generator measured. */
  load(target, { load, body, answer, warm_up_ms }) {
    const headers = [
      ["x-api-key", target === "gateway" ? this.#key : "sk-direct"], ["anthropic-version", "2023-06-01"],
      ["content-type", "application/json"], ["user-agent", "bench/1"], ["x-session-id", "{connection}"],
    ];
    const address = new URL(this.#addresses[target]).host;
    const plan = { address, path: "/v1/messages", headers, body, load, warm_up_ms, expect: answer };
    return complete(program("loadgen"), JSON.stringify(plan));
  }

  /** Milliseconds from starting the gateway to its first answer to a call, so many times; the last one stays. */
  async timeStarts(times, step) {
    await this.script(step);
    const took = [];
    for (let n = 0; n < times; n += 1) {
      await this.#gateway.end();
      const began = performance.now();
      await this.#startGateway();
      await post(`${this.#addresses.gateway}/v1/messages`, JSON.parse(step.body), { "x-api-key": this.#key });
      took.push(performance.now() - began);
    }
    return took;
  }

  async #startGateway() {
    this.#gateway = this.#run("llm-gateway", ["serve"], this.#env);
    this.#addresses.gateway = await listening(this.#gateway);
    this.#processes.gateway = [this.#gateway.pid];
  }

  /** Two accounts at the fake, and a key. */
  async #furnish() {
    const manage = (path, body) => post(`${this.#addresses.gateway}/api/${path}`, body, { authorization: `Bearer ${this.#env.ADMIN_TOKEN}` });
    for (const number of [1, 2]) {
      const credential = { kind: "api_key", api_key: `sk-upstream-${number}` };
      await manage("accounts", { provider: "anthropic", name: `account ${number}`, credential, base_url: this.#addresses.direct });
    }
    this.#key = (await manage("keys", { name: "bench" })).key;
  }

  /** A plain reverse proxy that keeps its connections and passes on what it reads. */
  async #startNginx() {
    const port = await freePort();
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${this.#dir}/${name};`).join(" ");
    await writeFile(join(this.#dir, "nginx.conf"), `
      daemon off; pid ${this.#dir}/nginx.pid; error_log ${this.#dir}/nginx.log warn; ${process.getuid() === 0 ? "user root;" : ""}
      worker_processes auto; worker_rlimit_nofile ${CONCURRENT_FILES}; events { worker_connections 8192; }
      http {
        ${temporary} access_log off; tcp_nodelay on; client_max_body_size 64m; keepalive_requests 100000000;
        upstream fake { server ${new URL(this.#addresses.direct).host}; keepalive 1024; keepalive_requests 100000000; }
        server {
          listen 127.0.0.1:${port} backlog=4096;
          location / {
            proxy_pass http://fake; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off; proxy_request_buffering off;
          }
        }
      }`);
    const nginx = this.#spawn("nginx", nginxProgram(), ["-c", join(this.#dir, "nginx.conf"), "-e", join(this.#dir, "nginx.log")], {});
    this.#addresses.nginx = `http://127.0.0.1:${port}`;
    this.#processes.nginx = [nginx.pid];
    for (const deadline = Date.now() + READY_WITHIN; ; await sleep(20)) {
      if (await fetch(this.#addresses.nginx, { method: "HEAD" }).then(() => true, () => false)) return;
      if (Date.now() > deadline) throw new Plain("nginx did not start");
    }
  }

  #run(name, args, env) {
    return this.#spawn(name, program(name), args, env);
  }

  /** A child whose log goes to a file, as a service's does; `end()` ends it and waits until it has. */
  #spawn(name, command, args, env) {
    const log = openSync(join(this.#dir, `${name}.log`), "a");
    const child = spawn(command, args, { cwd: root, env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", log] });
    child.once("error", () => {});
    const ended = new Promise((resolve) => { child.once("close", resolve); });
    child.end = async () => {
      child.kill("SIGTERM");
      const overdue = setTimeout(() => child.kill("SIGKILL"), READY_WITHIN);
      await ended;
      clearTimeout(overdue);
    };
    this.#undo.push(child.end);
    return child;
  }
}

function program(name) {
  return join(targetDir(), "release", name);
}

function nginxProgram() {
  for (const candidate of ["nginx", "/usr/sbin/nginx"]) {
    try {
      execFileSync(candidate, ["-v"], { stdio: "ignore" });
      return candidate;
    } catch {
      // Not there; perhaps at the next place.
    }
  }
  throw new Plain("nginx is not installed; the benchmark compares with it.");
}

/** The address that a program prints when it is ready. */
function listening(child) {
  return new Promise((resolve, reject) => {
    let text = "";
    const overdue = setTimeout(() => reject(new Plain("a program did not get ready")), READY_WITHIN);
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      const address = text.match(/listening on (\S+)\n/)?.[1];
      if (!address) return;
      clearTimeout(overdue);
      resolve(address);
    });
    child.once("close", () => reject(new Plain("a program ended before it was ready")));
  });
}

/** Runs a program that reads JSON and prints JSON. */
function complete(command, input) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [], { stdio: ["pipe", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk) => { output += chunk; });
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve(JSON.parse(output)) : reject(new Plain(`the load generator failed (${code})`))));
    child.stdin.end(input);
  });
}

async function post(url, body, headers = {}) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Plain(`${new URL(url).pathname}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
