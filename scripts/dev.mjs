//! `npm run dev`: everything that a gateway needs, from a fresh clone, until Ctrl-C.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

import { main, Plain, report, root } from "./command.mjs";
import { buildGateway, database, loadEnvFile, refuseTakenPort, secrets } from "./local.mjs";

const stopping = new AbortController();
let gateway = null;
let askedAt = 0;

await main(async () => {
  loadEnvFile();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, stop);
  const { signal } = stopping;

  try {
    await refuseTakenPort("npm run dev");
    const binary = await buildGateway({ report, signal });
    const db = await database({ report, signal });
    try {
      if (!signal.aborted) await serve(binary, { ...process.env, ...secrets(), DATABASE_URL: db.url });
    } finally {
      await db.stop();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.aborted) report("Stopped");
});

/** The first signal lets open requests end; a later one does not wait for them. */
function stop() {
  const again = stopping.signal.aborted;
  // One keystroke may come twice: from the terminal, and handed on by npm.
  if (again && Date.now() - askedAt < 1000) return;
  askedAt = Date.now();
  if (gateway && !again) report("Stopping; open requests may end (once more to cut them off)");
  gateway?.kill(again ? "SIGKILL" : "SIGTERM");
  stopping.abort();
}

/** Runs the gateway until it ends. */
async function serve(binary, env) {
  report("Starting the gateway");
  // In a session of its own: the terminal's Ctrl-C reaches it through us, as a request to drain.
  gateway = spawn(binary, ["serve"], { cwd: root, env, stdio: ["ignore", "pipe", "inherit"], detached: true });
  createInterface({ input: gateway.stdout }).on("line", (line) => {
    const address = line.match(/^llm-gateway listening on (\S+)/)?.[1];
    if (address) welcome(address);
    else console.log(line);
  });
  await new Promise((resolve, reject) => {
    gateway.once("error", reject);
    gateway.once("exit", (code, killedBy) => {
      if (code === 0 || stopping.signal.aborted) resolve();
      else reject(new Plain(`The gateway ended by itself (${killedBy ?? `exit code ${code}`}).`));
    });
  });
}

function welcome(address) {
  const token = process.env.ADMIN_TOKEN ? "the one in ADMIN_TOKEN" : `${secrets().ADMIN_TOKEN}   (kept in .data/admin-token)`;
  console.log(`
  LLM Gateway is up.

    Dashboard    ${address}/
    Admin token  ${token}

  Sign in there with the token, add an account, issue a key. Ctrl-C stops everything.
`);
}
