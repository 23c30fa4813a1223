//! Reads and writes the part of the address after `#`. Every view, with its filters, is an address.

/** `#/keys/key_1?span=7d` is `{ path: ["keys", "key_1"], query: { span: "7d" } }`. */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return {
    path: path.split("/").filter(Boolean).map(decode),
    query: Object.fromEntries(new URLSearchParams(search)),
  };
}

/** The address of a view; what is empty in `query` is left out. */
export function address(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(kept).toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

/** The first route of `table` (`{ path: "keys/:id", page }`) that fits; the table's first one when none does. */
export function match(table, hash) {
  const { path, query } = parse(hash);
  for (const route of table) {
    const params = fit(route.path.split("/"), path);
    if (params) return { ...route, params, query };
  }
  return { ...table[0], params: {}, query: {} };
}

function fit(pattern, path) {
  if (pattern.length !== path.length) return null;
  const params = {};
  for (const [index, part] of pattern.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = path[index];
    else if (part !== path[index]) return null;
  }
  return params;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
