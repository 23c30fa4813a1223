//! The OpenAPI document against the running gateway: whatever it allows is taken, whatever it forbids is refused, and every answer is as it says.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { furnish, ledger, settings, startFake, startLocal } from "./support/gateway.mjs";
import { debugPrograms } from "./support/programs.mjs";
import { askEverything, installSchemathesis } from "./support/schemathesis.mjs";

let programs, schemathesis;
before(async () => {
  [programs, schemathesis] = [await debugPrograms(), await installSchemathesis()];
});

/** A gateway that has answered a model call, and believes what a proxy says of its callers' addresses. */
async function started(t) {
  const fake = await startFake(programs);
  t.after(() => fake.stop());
  const gateway = await startLocal(programs, { ...(await settings()), TRUSTED_PROXIES: "127.0.0.1" });
  t.after(() => gateway.stop());
  const key = await furnish(gateway, fake);
  const headers = { "x-api-key": key, "anthropic-version": "2023-06-01", "content-type": "application/json" };
  const body = JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 10, messages: [{ role: "user", content: "hi" }] });
  await fetch(`${gateway.address}/v1/messages`, { method: "POST", headers, body }).then((answer) => answer.text());
  await ledger(gateway, 1);
  return { fake, gateway };
}

const bounds = { admin: { phases: "examples,coverage,fuzzing,stateful", examples: 3 }, other: { phases: "examples,fuzzing", examples: 4 } };

for (const role of ["operator", "admin", "member", "viewer"]) {
  test(`schemathesis finds no breach of the document as ${role}`, async (t) => {
    const { fake, gateway } = await started(t);
    const issued = role !== "operator" && (await gateway.api("POST", "/api/keys", { name: role, role, auto_rotate: true, rotate_every_days: 1 }));
    const token = issued ? issued.key : gateway.env.ADMIN_TOKEN;
    const bound = role === "operator" ? bounds.admin : bounds.other;
    const asked = await askEverything(schemathesis, gateway, { token, upstream: fake.address, ...bound });
    assert.equal(asked.code, 0, asked.stdout + asked.stderr);
    // A run that asked nothing has found nothing.
    const [, cases] = asked.stdout.match(/^ +(\d+) generated/m) ?? [];
    assert.ok(Number(cases) > 100, asked.stdout);
    t.diagnostic(`${cases} cases in ${(asked.ms / 1000).toFixed(0)} s`);
    const faults = gateway.program.output.split("\n").filter((line) => line.includes("ERROR"));
    assert.deepEqual(faults, []);
  });
}
