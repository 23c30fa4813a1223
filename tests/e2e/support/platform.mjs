//! A deployment made of a real build's output: its routes, its static files, and its four functions.

import { readFile } from "node:fs/promises";
import http from "node:http";
import { extname, join } from "node:path";

import { FunctionInstance } from "./function.mjs";
import { settings, site } from "./gateway.mjs";

const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };

/** Serves `output` (a `.vercel/output`) on a free port; `functions` are the instances by name, `variables` further settings. */
export async function startDeployment(output, variables = {}) {
  const env = { ...await settings(), ...variables };
  const { routes } = JSON.parse(await readFile(join(output, "config.json"), "utf8"));
  const functions = {};
  for (const name of ["accounts", "keys", "proxy", "stats"]) {
    functions[name] = await FunctionInstance.start(join(output, `functions/api/${name}.func/executable`), env);
  }
  const server = http.createServer((request, response) => {
    serve({ routes, functions, output }, request, response).catch((error) => response.destroy(error));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    ...site(`http://127.0.0.1:${server.address().port}`, env),
    functions,
    async stop() {
      server.close();
      server.closeAllConnections();
      return Promise.all(Object.values(functions).map((instance) => instance.stop()));
    },
  };
}

async function serve({ routes, functions, output }, request, response) {
  const [path] = request.url.split("?");
  const { headers, destination, file } = await route(routes, functions, output, path);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (file) return void response.writeHead(200, { "content-type": TYPES[extname(file.path)] ?? "application/octet-stream" }).end(file.bytes);
  if (!destination) return void response.writeHead(404).end("The page could not be found\n\nNOT_FOUND\n");

  const invocation = functions[destination].invoke({ method: request.method, path: request.url, headers: request.headers, body: request });
  const answer = await invocation.response;
  response.writeHead(answer.statusCode, answer.headers);
  answer.pipe(response);
  answer.once("error", () => response.destroy());
  response.once("close", () => answer.destroy());
}

/** Walks the routes as the platform does: headers first, then files and functions, then what a miss may mean, then rewrites. */
async function route(routes, functions, output, path) {
  const headers = {};
  const misses = routes.slice(routes.findIndex((rule) => rule.handle === "miss")).filter((rule) => rule.dest);
  for (const rule of routes) {
    if (rule.handle === "filesystem") {
      const file = await staticFile(output, path);
      if (file) return { headers, file };
      const meant = misses.filter(({ src }) => new RegExp(src).test(path)).map(({ src, dest }) => path.replace(new RegExp(src), dest));
      const destination = [path, ...meant].map((name) => functionAt(functions, name)).find(Boolean);
      if (destination) return { headers, destination };
    }
    if (rule.handle === "error") break;
    if (!rule.src || !new RegExp(rule.src).test(path)) continue;
    if (rule.continue) Object.assign(headers, rule.headers);
    else if (rule.dest) return { headers, destination: functionAt(functions, rule.dest.split("?")[0]) };
    else break;
  }
  return { headers };
}

function functionAt(functions, path) {
  const name = path.match(/^\/api\/(\w+)$/)?.[1];
  return name in functions ? name : null;
}

async function staticFile(output, path) {
  if (path.includes("..")) return null;
  const file = join(output, "static", path.endsWith("/") ? `${path}index.html` : path);
  const bytes = await readFile(file).catch(() => null);
  return bytes && { path: file, bytes };
}
