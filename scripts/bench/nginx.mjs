//! nginx as a plain reverse proxy that keeps its connections and passes on what it reads.

import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { Plain } from "../command.mjs";

const READY_WITHIN = 60_000;
const CONCURRENT_FILES = 20_000;

/** Starts it before an upstream; the answer is the child, with its `address`. */
export async function startNginx(stage, upstream) {
  const port = await freePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${stage.dir}/${name};`).join(" ");
  await writeFile(join(stage.dir, "nginx.conf"), `
    daemon off; pid ${stage.dir}/nginx.pid; error_log ${stage.dir}/nginx.log warn; ${process.getuid() === 0 ? "user root;" : ""}
    worker_processes auto; worker_rlimit_nofile ${CONCURRENT_FILES}; events { worker_connections 8192; }
    http {
      ${temporary} access_log off; tcp_nodelay on; client_max_body_size 64m; keepalive_requests 100000000;
      upstream fake { server ${new URL(upstream).host}; keepalive 1024; keepalive_requests 100000000; }
      server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
          proxy_pass http://fake; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_buffering off; proxy_request_buffering off;
        }
      }
    }`);
  const nginx = stage.run("nginx", program(), ["-c", join(stage.dir, "nginx.conf"), "-e", join(stage.dir, "nginx.log")]);
  nginx.address = `http://127.0.0.1:${port}`;
  for (const deadline = Date.now() + READY_WITHIN; ; await sleep(20)) {
    if (await fetch(nginx.address, { method: "HEAD" }).then(() => true, () => false)) return nginx;
    if (Date.now() > deadline) throw new Plain("nginx did not start");
  }
}

function program() {
  for (const candidate of ["nginx", "/usr/sbin/nginx"]) {
    try {
      execFileSync(candidate, ["-v"], { stdio: "ignore" });
      return candidate;
    } catch {
      // Not there; perhaps at the next place.
    }
  }
  throw new Plain("nginx is not installed; the benchmark compares with it.");
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
