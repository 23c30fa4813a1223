//! `npm run counts`: how many instructions the hot pieces take, beside the figures on record in bench/instructions.json.
//!
//! A piece is run so many times and more often, and the difference counts: what is done once at the start falls out of it. Unlike
//! times, such counts are the same on a busy machine. `-- --record` puts the counts on record.

import { execFile, execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";

import { markdown } from "./bench/figures.mjs";
import { judge, percent } from "./bench/guard.mjs";
import { main, Plain, root, runVisibly } from "./command.mjs";
import { quickRelease, targetDir } from "./local.mjs";

const RECORD = join(root, "bench/instructions.json");
const [FEW, MANY] = [10, 30];
/** Of one unit, as it is shipped: else what is inlined would depend on which functions happen to share a unit. */
const AS_SHIPPED = ["--config", "profile.release.package.gateway.codegen-units=1"];
const { values: options } = parseArgs({ options: { record: { type: "boolean", default: false } } });

await main(async () => {
  const env = { ...process.env, ...quickRelease };
  await runVisibly("cargo", ["build", "--locked", "--release", "--quiet", ...AS_SHIPPED, "--bin", "hot"], { env });
  const program = join(targetDir(), "release", "hot");
  const names = (await run(program, ["list"])).stdout.trim().split("\n");
  const now = { ...compiler(), counts: await counts(program, names) };
  if (options.record) {
    await writeFile(RECORD, `${JSON.stringify(now, null, 2)}\n`);
    console.log(`Recorded ${names.length} counts in bench/instructions.json.`);
    return;
  }
  const { rows, alarms, note } = judge(JSON.parse(await readFile(RECORD, "utf8")), now);
  console.log(markdown(["piece", "on record", "now", "change"], rows.map(({ name, recorded = "", counted = "", change }) =>
    [name, recorded, counted, Number.isFinite(change) ? percent(change) : ""])));
  console.log(note);
  if (alarms.length === 0) return;
  throw new Plain([...alarms, "If it has to be so: npm run counts -- --record, and commit bench/instructions.json."].join("\n"));
});

/** What the counts depend on besides the source. */
function compiler() {
  const said = execFileSync("rustc", ["--version", "--verbose"], { cwd: root, encoding: "utf8" });
  return { rustc: said.match(/^release: (.*)$/m)[1], arch: said.match(/^host: (.*)$/m)[1] };
}

/** Instructions of one go at each piece. */
async function counts(program, names) {
  const counted = new Map();
  const waiting = [...names];
  const worker = async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) {
      const [few, many] = [await instructions(program, name, FEW), await instructions(program, name, MANY)];
      counted.set(name, Math.round((many - few) / (MANY - FEW)));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return Object.fromEntries(names.map((name) => [name, counted.get(name)]));
}

async function instructions(program, name, times) {
  const { stderr } = await run("valgrind", ["--tool=callgrind", "--callgrind-out-file=/dev/null", program, "run", name, `${times}`]);
  const collected = stderr.match(/Collected : (\d+)/)?.[1];
  if (!collected) throw new Plain(`valgrind did not count:\n${stderr}`);
  return Number(collected);
}

/** With nothing of this machine in its environment, which would move what is on the stack. */
async function run(command, args) {
  try {
    return await promisify(execFile)(command, args, { env: { PATH: process.env.PATH } });
  } catch (error) {
    if (error.code === "ENOENT") throw new Plain(`${command} is not installed; on Debian: apt-get install valgrind`);
    throw error;
  }
}
