//! Reads the API's answers: the one place that knows their field names. What an answer lacks is null.

/** The figures of `GET /api/stats/summary`; `previous` holds those of the period before, when the server gives them. */
export function summary(answer) {
  const previous = answer.previous ? figures(answer.previous) : null;
  return { ...figures(answer), previous };
}

function figures(answer) {
  return {
    requests: number(answer.requests),
    successRate: number(answer.success_rate),
    prompt: prompt(answer.tokens),
    output: number(answer.tokens?.output),
    cacheHitRatio: number(answer.cache_hit_ratio),
    cost: number(answer.cost_usd),
    firstToken: number(answer.first_token_ms?.p50),
    firstTokenSlow: number(answer.first_token_ms?.p99),
    failovers: number(answer.failovers),
    inFlight: number(answer.in_flight),
  };
}

/** One of `GET /api/accounts`. */
export function account(answer) {
  return {
    id: answer.id,
    name: answer.name,
    provider: answer.provider,
    pool: answer.pool ?? null,
    priority: number(answer.priority),
    weight: number(answer.weight),
    baseUrl: answer.base_url ?? null,
    models: answer.models ?? [],
    note: answer.note || null,
    hint: answer.credential?.hint?.replace(/^…/, "") || null,
    credential: answer.credential?.kind ?? null,
    state: answer.state ?? null,
    reason: answer.state_reason ?? null,
    until: answer.state_until ?? null,
    inFlight: number(answer.in_flight),
    maxInFlight: number(answer.max_in_flight),
    families: (answer.cooling_families ?? []).map(({ family, until }) => ({ family, until })),
    lastUsed: answer.last_used_at ?? null,
    lastError: answer.last_error ?? null,
    today: usage(answer.usage_today),
  };
}

/** One of `GET /api/keys`. */
export function key(answer) {
  return {
    id: answer.id,
    name: answer.name,
    prefix: answer.prefix ?? null,
    role: answer.role ?? null,
    pool: answer.pool ?? null,
    providers: answer.providers ?? [],
    models: answer.models ?? [],
    passthrough: answer.allow_passthrough === true,
    note: answer.note || null,
    state: answer.state ?? null,
    warning: answer.budget_warning ?? null,
    limits: limits(answer.limits, answer.standing),
    expires: answer.expires_at ?? null,
    lastUsed: answer.last_used_at ?? null,
    created: answer.created_at ?? null,
    today: usage(answer.usage_today),
    month: usage(answer.usage_month),
  };
}

/** One of `GET /api/stats/requests`. `account` is the one that served last. */
export function request(answer) {
  return {
    id: answer.id,
    at: answer.started_at ?? null,
    provider: answer.provider ?? null,
    operation: answer.operation ?? null,
    model: answer.model ?? null,
    servedModel: answer.served_model ?? null,
    stream: answer.stream ?? null,
    status: answer.status ?? null,
    httpStatus: number(answer.http_status),
    error: text(answer.error),
    account: { id: answer.account ?? null, name: answer.account_name ?? null },
    key: { id: answer.key ?? null, name: answer.key_name ?? null },
    client: answer.client ?? null,
    session: answer.session ?? null,
    tokens: answer.tokens ?? {},
    prompt: prompt(answer.tokens),
    output: number(answer.tokens?.output),
    cacheRead: number(answer.tokens?.cache_read),
    cost: number(answer.cost_usd),
    firstToken: number(answer.first_token_ms),
    duration: number(answer.duration_ms),
    attempts: (answer.attempts ?? []).map(attempt),
    estimated: answer.estimated === true,
    unpriced: answer.unpriced === true,
  };
}

function attempt(answer) {
  return {
    account: { id: answer.account ?? null, name: null },
    verdict: answer.verdict ?? null,
    httpStatus: number(answer.status),
    duration: number(answer.took_ms),
    prompt: prompt(answer.tokens),
    output: number(answer.tokens?.output),
    cost: number(answer.cost_usd),
  };
}

function usage(answer) {
  return {
    requests: number(answer?.requests),
    errors: number(answer?.errors),
    tokens: total(answer?.tokens),
    cost: number(answer?.cost_usd),
  };
}

// The kinds of the prompt do not overlap; thinking is part of the output and not counted again.
const PROMPT = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "tool_use"];

function prompt(tokens) {
  return sum(PROMPT.map((kind) => tokens?.[kind]));
}

function total(tokens) {
  return typeof tokens === "number" ? tokens : sum([...PROMPT, "output"].map((kind) => tokens?.[kind]));
}

function sum(values) {
  const known = values.filter((value) => number(value) !== null);
  return known.length ? known.reduce((left, right) => left + right) : null;
}

// What is set, as [name, amount, used]; of a rolling window also its hours and models. `limits` alone says nothing of use.
function limits(answer, standing) {
  const known = standing ?? Object.entries(answer ?? {}).map(([limit, value]) => ({ limit, value }));
  return known
    .filter(({ value }) => number(value) !== null)
    .map(({ limit, value, used, hours, models }) => [limit, value, number(used), ...(hours ? [{ hours, models }] : [])]);
}

function text(error) {
  return typeof error === "string" ? error : error?.message ?? null;
}

function number(value) {
  return typeof value === "number" ? value : null;
}
