//! The only place that talks to the server: adds the key, limits the time, turns every refusal into an ApiError.

const TIMEOUT_MS = 20_000;
const DOWNLOAD_MS = 1_800_000;
/** The most rows that one answer has. */
const PAGE = 500;

/** Why a call did not work. `status` is 0 when no answer came; `param` names the field at fault. */
export class ApiError extends Error {
  constructor(status, { type = "internal", message = "", param = null } = {}, requestId = null) {
    super(message);
    this.name = "ApiError";
    Object.assign(this, { status, type, param, requestId });
  }
}

/** Calls with one credential, or without any (`null`); `more` are headers besides. A call given up through its `signal` rejects with the signal's own reason. */
export function createApi(credential, send = (...call) => fetch(...call), more = {}) {
  async function call(method, path, { query, body, signal, within = TIMEOUT_MS, reading = read } = {}) {
    const limit = AbortSignal.timeout(within);
    try {
      const answer = await send(withQuery(path, query), {
        method,
        headers: { ...headers(credential, body), ...more },
        body: body && JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      return await reading(answer);
    } catch (error) {
      if (error instanceof ApiError) throw error;
      signal?.throwIfAborted();
      throw new ApiError(0, { type: limit.aborted ? "timeout" : "offline" });
    }
  }
  return {
    get: (path, query, signal) => call("GET", path, { query, signal }),
    /** Every row of a list, however many pages it has. */
    async all(path, signal) {
      const rows = [];
      for (let cursor = null; ;) {
        const page = await call("GET", path, { query: { limit: PAGE, cursor }, signal });
        rows.push(...page.data);
        cursor = page.next_cursor ?? null;
        if (!cursor) return rows;
      }
    },
    post: (path, body) => call("POST", path, { body }),
    patch: (path, body) => call("PATCH", path, { body }),
    put: (path, body) => call("PUT", path, { body }),
    delete: (path) => call("DELETE", path),
    /** A file as a Blob: by a header and not by a link, so that the credential stands in no address. */
    file: (path, query) => call("GET", path, { query, within: DOWNLOAD_MS, reading: (answer) => (answer.ok ? answer.blob() : read(answer)) }),
  };
}

function headers(credential, body) {
  const sent = { accept: "application/json", ...(credential && { authorization: `Bearer ${credential}` }) };
  return body ? { ...sent, "content-type": "application/json" } : sent;
}

function withQuery(path, query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? `${path}?${new URLSearchParams(kept)}` : path;
}

async function read(answer) {
  const text = await answer.text();
  const body = parse(text);
  if (answer.ok) {
    if (body !== undefined || text === "") return body ?? null;
    throw new ApiError(answer.status, { type: "foreign" }, answer.headers.get("x-request-id"));
  }
  throw new ApiError(answer.status, body?.error, answer.headers.get("x-request-id"));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
