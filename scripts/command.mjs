//! How the commands run other commands, and how they speak of faults.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The project's directory. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** A fault whose message is all that the reader needs: it is shown without a stack. */
export class Plain extends Error {}

/** Runs a command's whole body; a fault ends the process with a message fit for its reader. */
export async function main(body) {
  try {
    await body();
  } catch (error) {
    console.error(error instanceof Plain ? `\n${error.message}` : error);
    process.exitCode = 1;
  }
}

/** Tells how far a command is. */
export function report(line) {
  console.log(`> ${line}`);
}

/** The same, and how long it has been under way. */
export function reportTimed(line) {
  const seconds = Math.round(process.uptime());
  report(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")} ${line}`);
}

/** Runs another program to its end, its output before the reader's eyes. */
export function runVisibly(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], ...options });
    child.once("error", (error) => reject(error.code === "ENOENT" ? new Plain(notInstalled(command)) : error));
    child.once("exit", (code, killedBy) => {
      if (code === 0) resolve();
      else reject(new Plain(`${command} ${args[0]} failed (${killedBy ?? `exit code ${code}`}).`));
    });
  });
}

function notInstalled(command) {
  return command === "cargo" ? "Rust is not installed: get it from https://rustup.rs and start again." : `${command} is not installed.`;
}
