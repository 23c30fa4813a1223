//! The container without an engine: the root that the Dockerfile stages, read-only, without rights, run as the Dockerfile says.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { after, before, test } from "node:test";

import { root } from "../../scripts/command.mjs";
import { all, command, contained, group, healthcheck, last, stage, steps, user, variables } from "./support/container.mjs";
import { freshDatabase, reachable } from "./support/database.mjs";
import { furnish, ledger, site, startFake } from "./support/gateway.mjs";
import { complete, debugPrograms, eventually, Program } from "./support/programs.mjs";

const text = (name) => readFileSync(join(root, name), "utf8");

let staged;
let fake;
before(async () => {
  const programs = await debugPrograms();
  fake = await startFake(programs);
  staged = mkdtempSync(join(tmpdir(), "llm-gateway-root-"));
  await stage(programs("llm-gateway"), staged);
});
after(async () => {
  await fake?.stop();
  if (staged) rmSync(staged, { recursive: true });
});

test("the staged root serves, is well, cannot be written, and drains its streams on SIGTERM", async (t) => {
  const env = {
    ...variables,
    PORT: "0",
    DATABASE_URL: await reachable(t, await freshDatabase()),
    ADMIN_TOKEN: randomBytes(32).toString("hex"),
    ENCRYPTION_KEY: randomBytes(32).toString("base64"),
    ALLOW_INSECURE_UPSTREAMS: "1",
  };
  const program = new Program(...contained(staged, command, env));
  t.after(() => program.stop("SIGKILL"));
  const [, port] = await program.said(/^llm-gateway listening on http:\/\/0\.0\.0\.0:(\d+)$/m);
  const gateway = site(`http://127.0.0.1:${port}`, env);

  const uids = readFileSync(`/proc/${program.child.pid}/uid_map`, "utf8").trim().split(/\s+/);
  assert.deepEqual([uids[0], uids[2]], [user, "1"], "it is nobody but the Dockerfile's user");
  const mounts = readFileSync(`/proc/${program.child.pid}/mountinfo`, "utf8").split("\n").map((line) => line.split(" "));
  assert.match(mounts.find((mount) => mount[4] === "/")[5], /^ro\b/, "its root is read-only");

  assert.match(await (await fetch(`${gateway.address}/`)).text(), /<title>/);
  const well = await complete(...contained(staged, healthcheck, { ...env, PORT: port }));
  assert.deepEqual([well.code, well.stderr], [0, ""]);

  const key = await furnish(gateway, fake);
  const answer = await fetch(`${gateway.address}/v1/messages`, {
    method: "POST",
    headers: { "x-api-key": key, "content-type": "application/json" },
    body: JSON.stringify({ model: "claude-sonnet-5-5", max_tokens: 100, stream: true, messages: [{ role: "user", content: "[[words 10]] [[gap 50]]" }] }),
  });
  const reading = answer.body.getReader();
  await reading.read();
  program.child.kill(last("STOPSIGNAL"));
  let rest = "";
  for (let part = await reading.read(); !part.done; part = await reading.read()) rest += Buffer.from(part.value);
  assert.match(rest, /event: message_stop/);
  assert.deepEqual(await program.exited, { code: 0, signal: null });

  const gone = await complete(...contained(staged, healthcheck, { ...env, PORT: port }));
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /no server answers at 127\.0\.0\.1/);

  // What it wrote is there for the next one.
  const next = new Program(...contained(staged, command, env));
  t.after(() => next.stop("SIGKILL"));
  const [, again] = await next.said(/listening on http:\/\/0\.0\.0\.0:(\d+)$/m);
  assert.equal((await ledger(site(`http://127.0.0.1:${again}`, env), 1))[0].status, "completed");
});

test("a container whose database is away is not well, and says why", async (t) => {
  const env = { ...variables, PORT: "0", DATABASE_URL: "postgresql://gateway@127.0.0.1:1/gateway", ADMIN_TOKEN: randomBytes(32).toString("hex"), ENCRYPTION_KEY: randomBytes(32).toString("base64") };
  const program = new Program(...contained(staged, command, env));
  t.after(() => program.stop("SIGKILL"));
  const [, port] = await program.said(/listening on http:\/\/0\.0\.0\.0:(\d+)$/m);
  const { code, stderr } = await complete(...contained(staged, healthcheck, { ...env, PORT: port }));
  assert.equal(code, 1);
  assert.match(stderr, /not answering/);
});

test("the Dockerfile keeps to hadolint's rules", () => {
  const known = new Set(["FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"]);
  for (const [step] of steps) assert.ok(known.has(step), `${step}: no ADD (DL3020), no MAINTAINER (DL4000), no shell of its own`);
  for (const image of all("FROM")) {
    // DL3006, DL3007: a tag that says which.
    assert.match(image, /^(scratch|[\w./-]+:\d+\.\d+\.\d+[\w.-]*)( AS \w+)?$/);
  }
  for (const run of all("RUN")) assert.doesNotMatch(run, /\b(sudo|cd|apt|apt-get|curl|wget|ssh)\b/, "DL3002 to DL3009");
  for (const folder of all("WORKDIR")) assert.match(folder, /^\//, "DL3000: an absolute path");
  for (const copy of all("COPY")) {
    const from = copy.match(/--from=(\S+)/)?.[1];
    assert.ok(!from || all("FROM").some((image) => image.endsWith(` AS ${from}`)), "DL3022: a stage of this file");
    assert.ok(copy.split(" ").filter((word) => !word.startsWith("--")).length < 3 || copy.endsWith("/"), "DL3021: several files go to a folder");
  }
  for (const name of ["ENTRYPOINT", "CMD"]) {
    assert.equal(all(name).length, 1, `DL4003, DL4004: one ${name}`);
    assert.ok(Array.isArray(JSON.parse(last(name))), "DL3025: JSON");
  }
  assert.equal(all("HEALTHCHECK").length, 1, "DL3012");
  const port = Number(last("EXPOSE"));
  assert.ok(port > 1024 && port < 65536, "DL3011");
  assert.equal(String(port), variables.PORT);
  // DL3002: the last user is not root; and by number, so that an engine can tell. The staged root has a name for it.
  assert.ok(Number(user) > 0 && Number(group) > 0);
  assert.match(readFileSync(join(staged, "etc/passwd"), "utf8"), new RegExp(`^gateway:x:${user}:${group}:`));
  assert.deepEqual(variables.PUBLIC_DIR, "/usr/share/llm-gateway");
  assert.ok(!Object.keys(variables).some((name) => /TOKEN|KEY|SECRET|URL/.test(name)), "no secret is in an image");
});

test("the image is built by the steps that are tested", () => {
  const [build, stage, ...more] = all("RUN");
  assert.deepEqual(more, [], "nothing else is done to it");
  assert.equal(stage, "sh scripts/stage-root.sh target/release/llm-gateway /staged");
  // The program as the documents have it built, and the whole of what the script lays out: nothing is added on the way.
  assert.ok(text("docs/DEPLOYMENT.md").includes(`\n${build}\n`), build);
  assert.deepEqual(all("COPY").filter((copy) => copy.startsWith("--")), ["--from=build /staged /"]);
  assert.ok(text("scripts/stage-root.sh").includes('cp "$program" "$root/usr/bin/llm-gateway"'));
  assert.deepEqual([command[0], healthcheck[0]], ["/usr/bin/llm-gateway", "/usr/bin/llm-gateway"]);
});

test("the builder is given what it needs, and nothing else", () => {
  const copied = all("COPY").filter((copy) => !copy.startsWith("--")).flatMap((copy) => copy.split(" ").slice(0, -1));
  const [nothing, ...given] = text(".dockerignore").split("\n").filter((line) => line && !line.startsWith("#"));
  assert.equal(nothing, "*");
  assert.deepEqual(given.map((line) => line.replace(/^!/, "")).sort(), [...copied].sort());
  // Every member of the workspace, and every file that the code takes in when it is built.
  const members = text("Cargo.toml").match(/^members = \[(.*)\]$/m)[1].match(/[\w/]+/g);
  const needed = ["Cargo.lock", "public", ...members];
  for (const folder of [...members, "api"]) {
    for (const name of readdirSync(join(root, folder), { recursive: true }).filter((name) => name.endsWith(".rs") && !name.includes("tests"))) {
      const file = join(root, folder, name);
      for (const [, path] of readFileSync(file, "utf8").matchAll(/include_(?:str|bytes)!\("([^"]+)"\)/g)) {
        needed.push(relative(root, resolve(dirname(file), path)));
      }
    }
  }
  assert.ok(needed.some((name) => name.startsWith("migrations/")));
  for (const name of needed) {
    assert.ok(existsSync(join(root, name)), name);
    assert.ok(copied.some((path) => name === path || name.startsWith(`${path}/`)), `the Dockerfile does not copy ${name}`);
  }
});

test("compose.yml's Redis is where the documents say, and what it hands on is what the gateway reads", () => {
  const compose = text("compose.yml");
  const [gateway] = compose.split("\n  postgres:\n");
  assert.match(gateway, /^ {6}REDIS_URL: \$\{REDIS_URL:-\}$/m);
  // Without the profile nobody waits for it.
  assert.match(gateway, /^ {6}redis:\n {8}condition: service_healthy\n {8}required: false$/m);
  const [, redis] = compose.split("\n  redis:\n");
  assert.match(redis, /^ {4}profiles: \[redis\]$/m);
  assert.match(redis, /^ {6}test: \["CMD", "redis-cli", "ping"\]$/m);
  for (const document of ["compose.yml", "docs/DEPLOYMENT.md"]) {
    for (const part of ["REDIS_URL=redis://redis:6379", "COMPOSE_PROFILES=redis"]) assert.ok(text(document).includes(part), `${document}: ${part}`);
  }
  const read = new Set([...text(".env.example").matchAll(/^#(\w+)=/gm)].map(([, name]) => name));
  const handed = [...gateway.matchAll(/^ {6}([A-Z_]+): /gm)].map(([, name]) => name);
  assert.ok(handed.length > 5);
  for (const name of handed) assert.ok(read.has(name), name);
});

test("compose.yml pins its images and asks for every secret", () => {
  const compose = text("compose.yml");
  const images = [...compose.matchAll(/^ {4}image: (\S+)$/gm)].map(([, image]) => image);
  assert.equal(images.length, 2);
  for (const image of images) assert.match(image, /^\w+:\d+\.\d+(\.\d+)?-\w+$/);
  for (const name of ["ADMIN_TOKEN", "ENCRYPTION_KEY", "POSTGRES_PASSWORD"]) {
    assert.match(compose, new RegExp(`\\$\\{${name}:\\?make one with openssl rand`));
  }
  const [gateway] = compose.split("\n  postgres:\n");
  for (const line of ["read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]', `- "127.0.0.1:${variables.PORT}:${variables.PORT}"`]) {
    assert.ok(gateway.includes(line), line);
  }
});
