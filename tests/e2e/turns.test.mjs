//! The real clients in the middle of a task while the account that they began on dies: the task is done all the same.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";

import { claude, gemini } from "./support/cli.mjs";
import { query } from "./support/database.mjs";
import { set } from "./support/faults.mjs";
import { settled } from "./support/evidence.mjs";
import { furnish, startFake, startLocal } from "./support/gateway.mjs";
import { debugPrograms, eventually } from "./support/programs.mjs";

const MODEL = "gemini-2.5-flash";

let programs;
before(async () => {
  programs = await debugPrograms();
});

const clients = {
  "Claude Code": { provider: "anthropic", tool: "Bash", run: (gateway, key, prompt) => claude(gateway, key, prompt, ["--allowedTools", "Bash"]) },
  "Gemini CLI": {
    provider: "gemini", tool: "run_shell_command",
    run: (gateway, key, prompt) => gemini(gateway, key, prompt, ["-m", MODEL, "--approval-mode", "yolo"]),
  },
};

/**
 * Five turns: read the plan, write a file, read it, write the end, and say so. The account dies during the second tool; `served`
 * tells which account answers each turn whole.
 */
function survives(client, fault, served = [1, 1, 2, 2, 2]) {
  test(`${client} completes a task of several turns while its account dies (${fault})`, async (t) => {
    const { provider, tool, run } = clients[client];
    const fake = await startFake(programs);
    const gateway = await startLocal(programs);
    const dir = await mkdtemp(join(tmpdir(), "llm-gateway-task-"));
    t.after(() => Promise.all([gateway.stop(), fake.stop(), rm(dir, { recursive: true })]));
    const key = await furnish(gateway, fake);
    await gateway.api("PUT", `/api/routing/default/${provider}`, { strategy: "priority" });

    const at = (name) => join(dir, name);
    const call = (command) => `[[tool ${tool} ${JSON.stringify({ command, description: "The next step" })}]]`;
    await writeFile(at("plan"), call(`touch ${at("working")}; until [ -e ${at("dead")} ]; do sleep 0.05; done; cat ${at("next")}`));
    await writeFile(at("next"), call(`echo written > ${at("result")}; cat ${at("last")}`));
    await writeFile(at("last"), call(`echo the task is done | tr a-z A-Z`));
    const task = run(gateway, key, call(`cat ${at("plan")}`));
    const died = (async () => {
      await eventually("the second tool runs", () => readFile(at("working")).then(() => true, () => false), 60_000);
      await set(fake, new Map([[`upstream-${provider}-1`, fault]]));
      await writeFile(at("dead"), "");
    })();
    const [{ code, stdout, stderr }] = await Promise.all([task, died]);
    await settled(gateway);

    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /The tool answered: .*THE TASK IS DONE/s);
    assert.equal((await readFile(at("result"), "utf8")).trim(), "written");
    const rows = await query(gateway.env.DATABASE_URL, `select l.status, l.affinity, l.stream, a.name
      from ledger l join accounts a on a.id = l.account_id order by l.started_at`);
    const whole = rows.filter((row) => row.status === "completed");
    assert.deepEqual(whole.map((row) => row.name), served.map((number) => `${provider} ${number}`), JSON.stringify(rows));
    const moved = served.indexOf(2);
    assert.deepEqual(whole.slice(0, moved + 1).map((row) => row.affinity), ["new", ...Array(moved - 1).fill("kept"), "moved"]);
    // What was shown in part cannot be taken back; everything else is hidden from the client.
    assert.ok(rows.every((row) => row.status === "completed" || (fault === "cut" && row.stream)), JSON.stringify(rows));
  });
}

survives("Claude Code", "401");
survives("Claude Code", "529");
survives("Claude Code", "reset");
// Claude Code drops half a stream and asks for the same in one piece, of which the account gives half, too.
survives("Claude Code", "cut");
survives("Gemini CLI", "401");
survives("Gemini CLI", "reset");
// Gemini CLI asks for the same stream four times; by then the account that breaks them off is out of the way. Calls of tools are
// over before they would be cut.
survives("Gemini CLI", "cut", [1, 1, 1, 1, 2]);
