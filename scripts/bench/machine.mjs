//! What processes cost, as the kernel counts it.

import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

const TICK_MICROS = 10_000; // the kernel counts a hundred a second, whatever it was built for

/** Microseconds of processor time that the living threads of some processes have had: `{ own, database }`. */
export function cpuMicros({ own, database }) {
  return { own: run(own), database: run(database) };
}

function run(pids) {
  let nanos = 0;
  for (const pid of tree(pids)) {
    for (const task of list(`/proc/${pid}/task`)) nanos += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(" ")[0]);
  }
  return nanos / 1_000;
}

/** Begins to watch; calling the answer tells which part of the machine's processor time others have had since. */
export function watchOthers() {
  const [busy, ours, began] = [busyMicros(), ourMicros(), performance.now()];
  return () => (busyMicros() - busy - (ourMicros() - ours)) / ((performance.now() - began) * 1_000 * cpus().length);
}

/** Of all processors; the kernel's columns are user, nice, system, idle, iowait, irq, softirq, steal. */
function busyMicros() {
  const [user, nice, system, , , irq, softirq] = read("/proc/stat").split("\n")[0].split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) * TICK_MICROS;
}

/** Of this process and all that it started, those included that have ended. */
function ourMicros() {
  const ended = read(`/proc/${process.pid}/stat`).split(") ")[1].split(" ").slice(13, 15).map(Number);
  return run([process.pid]) + (ended[0] + ended[1]) * TICK_MICROS;
}

/** Memory of some processes and their children, what they share counted once. */
export function pssMegabytes(pids) {
  let kilobytes = 0;
  for (const pid of tree(pids)) kilobytes += Number(read(`/proc/${pid}/smaps_rollup`).match(/^Pss:\s+(\d+)/m)?.[1] ?? 0);
  return kilobytes / 1_024;
}

/** Runs `body`, and answers its result with the most that `sample` gave meanwhile. */
export async function sampled(body, sample) {
  let most = sample();
  const timer = setInterval(() => { most = Math.max(most, sample()); }, 500);
  try {
    return { result: await body(), most: Math.max(most, sample()) };
  } finally {
    clearInterval(timer);
  }
}

/** The processes of this name that this one started. */
export function childrenNamed(name) {
  return list("/proc").filter((pid) => {
    const [, comm, rest] = read(`/proc/${pid}/stat`).match(/^\d+ \((.*)\) (.*)$/s) ?? [];
    return comm === name && Number(rest.split(" ")[1]) === process.pid;
  }).map(Number);
}

function tree(pids) {
  return pids.flatMap((pid) => [pid, ...tree(children(pid))]);
}

/** The processes that a process has started. */
export function children(pid) {
  const lists = list(`/proc/${pid}/task`).map((task) => read(`/proc/${pid}/task/${task}/children`));
  return lists.flatMap((text) => text.trim().split(" ").filter(Boolean).map(Number));
}

/** A process may end while it is looked at; then it has nothing. */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "0";
  }
}

function list(directory) {
  try {
    return readdirSync(directory).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}
