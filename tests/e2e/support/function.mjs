//! Plays the platform to one compiled function: its socket, its invocation headers, and its sleep between invocations.

import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { cleanEnvironment, Program } from "./programs.mjs";

const ATTEMPTS = 20;

/** One running instance of a function. */
export class FunctionInstance {
  #open = new Map();
  #frozen = false;
  #leaving = false;
  #requests = 0;

  /** Starts it, on another port if somebody else was quicker. */
  static async start(executable, env) {
    for (let attempt = 1; ; attempt++) {
      const instance = new FunctionInstance();
      try {
        return await instance.#boot(executable, env);
      } catch (error) {
        await instance.stop();
        if (attempt === ATTEMPTS || !/AddrInUse|in use/i.test(error.message)) throw error;
      }
    }
  }

  async #boot(executable, env) {
    this.frames = [];
    this.dir = await mkdtemp(join(tmpdir(), "llm-gateway-ipc-"));
    const path = join(this.dir, "ipc.sock");
    const started = new Promise((resolve) => { this.started = resolve; });
    this.server = createServer((socket) => this.#listen(socket)).listen(path);
    // Below the ephemeral ports, which any outgoing connection may hold.
    this.port = 10_000 + Math.floor(Math.random() * 20_000);
    this.program = new Program(executable, [], {
      cwd: this.dir,
      env: { ...cleanEnvironment(this.dir), VERCEL: "1", VERCEL_REGION: "iad1", VERCEL_IPC_PATH: path, VERCEL_DEV_PORT: String(this.port), ...env },
    });
    const gone = this.program.exited.then((end) => {
      throw new Error(`the function ended at its start (${JSON.stringify(end)}):\n${this.program.output}`);
    });
    await Promise.race([started, gone]);
    gone.catch(() => {});
    return this;
  }

  /** Frames are JSON, each ended by a NUL byte. */
  #listen(socket) {
    let pending = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      const parts = (pending + chunk).split("\0");
      pending = parts.pop();
      for (const part of parts) this.#hear(JSON.parse(part));
    });
  }

  #hear(frame) {
    this.frames.push(frame);
    if (frame.type === "server-started") this.started();
    if (frame.type !== "end") return;
    const { requestId } = frame.payload.context;
    const invocation = this.#open.get(requestId);
    if (!invocation) throw new Error(`an end for request ${requestId}, which is not open`);
    invocation.over = true;
    this.#retire(requestId);
    invocation.ended(frame.payload);
  }

  /**
   * Once an invocation has ended and its answer is out, the platform owes it nothing. With none left the instance stands
   * still, in the middle of whatever it still did.
   */
  #retire(requestId) {
    const invocation = this.#open.get(requestId);
    if (!invocation?.over || !invocation.answered) return;
    this.#open.delete(requestId);
    if (this.#open.size === 0 && !this.#leaving) this.#freeze(true);
  }

  #freeze(frozen) {
    if (this.#frozen !== frozen) this.program.child.kill(frozen ? "SIGSTOP" : "SIGCONT");
    this.#frozen = frozen;
  }

  /**
   * Sends one request as the platform's proxy does: `{ response, ended }`. `response` is node's incoming message; `ended` is
   * fulfilled when the function reports the end of the invocation, and once the answer was read too it no longer runs.
   */
  invoke({ method = "GET", path, headers = {}, body }) {
    const requestId = ++this.#requests;
    this.#freeze(false);
    const ended = new Promise((resolve) => this.#open.set(requestId, { ended: resolve, over: false, answered: false }));
    const answered = () => {
      this.#open.get(requestId).answered = true;
      this.#retire(requestId);
    };
    const platform = {
      host: "gateway.example",
      "x-forwarded-for": "203.0.113.7",
      "x-forwarded-proto": "https",
      "x-real-ip": "203.0.113.7",
      "x-vercel-id": `iad1::iad1::test-${requestId}`,
      "x-vercel-oidc-token": "platform-credential",
      "x-vercel-internal-invocation-id": `invocation-${requestId}`,
      "x-vercel-internal-request-id": String(requestId),
    };
    const response = new Promise((resolve, reject) => {
      const request = http.request({ port: this.port, host: "127.0.0.1", method, path, headers: { ...headers, ...platform } }, (answer) => {
        answer.once("close", answered);
        resolve(answer);
      });
      request.once("error", reject);
      if (typeof body?.pipe === "function") body.pipe(request);
      else request.end(body);
    });
    return { response, ended };
  }

  /** The platform's own question whether it lives; it is no invocation. */
  async ping() {
    this.#freeze(false);
    return (await fetch(`http://127.0.0.1:${this.port}/_vercel/ping`)).text();
  }

  /** Asks it to end, as the platform does before it takes an instance away. */
  async stop() {
    this.#leaving = true;
    this.#freeze(false);
    const code = await this.program?.stop();
    this.server?.close();
    await rm(this.dir, { recursive: true, force: true });
    return code;
  }
}
