//! The Dockerfile as a list of steps, and a process that runs in the root it stages, as it says: no engine is needed.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { root } from "../../../scripts/command.mjs";
import { complete } from "./programs.mjs";

/** The Dockerfile's instructions, in order: `[name, rest]`. */
export const steps = readFileSync(join(root, "Dockerfile"), "utf8").split("\n").filter((line) => line && !line.startsWith("#")).map((line) => line.split(/ (.*)/, 2));
export const all = (name) => steps.filter(([step]) => step === name).map(([, rest]) => rest);
export const last = (name) => all(name).at(-1);

export const variables = Object.fromEntries(all("ENV").flatMap((line) => line.split(" ").map((pair) => pair.split("="))));
export const command = [...JSON.parse(last("ENTRYPOINT")), ...JSON.parse(last("CMD"))];
export const healthcheck = JSON.parse(last("HEALTHCHECK").split("CMD ")[1]);
export const [user, group] = last("USER").split(":");

/** Lays the root out by the Dockerfile's own step, with another program and another place. */
export async function stage(program, staged, cwd = root) {
  const [, step] = all("RUN").at(-1).match(/^(sh scripts\/stage-root\.sh) target\/release\/llm-gateway \/staged$/);
  const [shell, script] = step.split(" ");
  const { code, stderr } = await complete(shell, [script, program, staged], { cwd, env: process.env });
  if (code !== 0) throw new Error(`the root was not laid out: ${stderr}`);
}

/** A command of the staged root, which it can neither write nor leave, as the Dockerfile's user: what a child process is made of. */
export function contained(staged, args, env) {
  const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" &&
    exec unshare --user --map-user=${user} --map-group=${group} --root="$0" "$@"`;
  return ["unshare", ["--user", "--map-root-user", "--mount", "sh", "-c", script, staged, ...args], { env: { PATH: process.env.PATH, ...env } }];
}
