//! A way to a database that takes as long as it does to one that is far away.

import { createConnection, createServer } from "node:net";
import { join } from "node:path";

/** Listens on a free port and passes everything on to the server's socket, half of `roundTripMs` later each way. */
export async function farAway({ socketDir }, roundTripMs) {
  const server = createServer((near) => {
    const far = createConnection(join(socketDir, ".s.PGSQL.5432"));
    later(near, far, roundTripMs / 2);
    later(far, near, roundTripMs / 2);
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const through = (url) => {
    const { username, pathname } = new URL(url);
    return `postgresql://${username}@127.0.0.1:${server.address().port}${pathname}`;
  };
  return { through, stop: () => new Promise((resolve) => { server.close(resolve); }) };
}

function later(from, to, ms) {
  const then = (act) => setTimeout(() => { if (!to.destroyed) act(); }, ms);
  from.setNoDelay?.(true);
  from.on("data", (chunk) => then(() => to.write(chunk)));
  from.on("end", () => then(() => to.end()));
  from.on("error", () => to.destroy());
  from.on("close", () => then(() => to.destroy()));
}
