//! Reads the API's answers: the one place that knows their field names. What an answer lacks is null.

import { number, prompt, sum, text, total } from "./values.js";

/** The figures of `GET /api/stats/summary`; `previous` holds those of the period before, when the server gives them. */
export function summary(answer) {
  const previous = answer.previous ? figures(answer.previous) : null;
  return { ...figures(answer), previous };
}

/** What requests add up to: the part of a summary that every row of `GET /api/stats/accounts`, `/keys` and `/models` has too. */
export function figures(answer) {
  const { affinity } = answer;
  return {
    requests: number(answer.requests),
    errors: sum([answer.failed?.failed, answer.failed?.refused, answer.failed?.lost]),
    estimated: number(answer.estimated),
    unpriced: number(answer.unpriced),
    successRate: number(answer.success_rate),
    prompt: prompt(answer.tokens),
    output: number(answer.tokens?.output),
    cacheHitRatio: number(answer.cache_hit_ratio),
    cost: number(answer.cost_usd),
    firstToken: number(answer.first_token_ms?.p50),
    firstTokenSlow: number(answer.first_token_ms?.p99),
    failovers: number(answer.failovers),
    inFlight: number(answer.in_flight),
    duration: number(answer.latency_ms?.p50),
    affinity: {
      kept: number(affinity?.kept),
      moved: number(affinity?.moved),
      fresh: number(affinity?.new),
      cacheKept: number(affinity?.cache_hit_ratio_kept),
      cacheMoved: number(affinity?.cache_hit_ratio_moved),
      rewarmTokens: number(affinity?.rewarm_tokens),
      rewarmCost: number(affinity?.rewarm_usd),
      saved: number(affinity?.saved_usd),
    },
  };
}

/** One row of `GET /api/stats/accounts`, `/keys` or `/models`. */
export function group(answer) {
  return { id: answer.id ?? null, name: answer.name ?? null, provider: answer.provider ?? null, ...figures(answer) };
}

/** `GET /api/stats/series`; the others that share a line are `other`. */
export function series(answer) {
  return {
    metric: answer.metric,
    step: answer.step,
    times: answer.times ?? [],
    lines: (answer.series ?? []).map(({ group, name, other, values }) => ({ id: group ?? null, name: name ?? group ?? null, other: other === true, values })),
  };
}

/** `GET /api/accounts/{id}/limits`: shares used, from 0 to 1; null where nothing new was said. */
export function reports(answer) {
  return {
    stepSeconds: answer.step_seconds,
    times: answer.times ?? [],
    series: (answer.series ?? []).map(({ name, family, values, resets_at: resets }) => ({ name, family: family ?? null, values, resets })),
  };
}

/** `GET /api/stats/retention`. */
export function retention(answer) {
  return { days: number(answer.ledger_days), from: answer.kept_from ?? null };
}

/** `GET /api/stats/live`. */
export function live(answer) {
  return {
    requests: number(answer.requests_per_second),
    tokens: number(answer.tokens_per_second),
    inFlight: number(answer.in_flight),
    errorRate: number(answer.error_rate),
    cost: number(answer.cost_usd),
  };
}

/** One of `GET /api/stats/audit`. */
export function change(answer) {
  return {
    id: String(answer.id),
    at: answer.at ?? null,
    actor: answer.actor_name ?? answer.actor ?? null,
    action: answer.action ?? null,
    subject: answer.subject ?? null,
    before: answer.before ?? null,
    after: answer.after ?? null,
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
    requestsPerMinute: number(answer.requests_per_minute),
    tokensPerMinute: number(answer.tokens_per_minute),
    modelMap: answer.model_map ?? {},
    overage: answer.use_paid_overage !== false,
    expires: answer.credential?.expires_at ?? null,
    organization: answer.organization ?? null,
    failures: number(answer.failures_in_a_row),
    testFrom: answer.next_test_at ?? null,
    reported: (answer.reported_limits ?? []).map(reported),
    lastChecked: answer.last_checked_at ?? null,
    created: answer.created_at ?? null,
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
    given: answer.limits ?? {},
    zone: answer.time_zone ?? null,
    networks: answer.allowed_cidrs ?? [],
    labels: answer.labels ?? {},
    rotateDays: number(answer.rotate_every_days),
    rotatesItself: answer.auto_rotate === true,
    rotationDue: answer.rotation_due_at ?? null,
    rotated: answer.rotated_at ?? null,
    oldSecretEnds: answer.secret_ends_at ?? null,
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
    affinity: answer.affinity ?? null,
    crossed: typeof answer.crossed === "boolean" ? answer.crossed : null,
    pool: answer.pool ?? null,
    upstreamId: answer.upstream_request_id ?? null,
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
    estimated: answer.estimated === true,
    unpriced: answer.unpriced === true,
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

// What is set and, where the server says it, how much of it is used. `limits` alone says nothing of use.
function limits(answer, standing) {
  const known = standing ?? Object.entries(answer ?? {}).map(([limit, value]) => ({ limit, value }));
  return known.filter(({ value }) => number(value) !== null).map(({ limit, value, used, resets_at: resets, hours, models }) =>
    ({ limit, value, used: number(used), resets: resets ?? null, hours: hours ?? null, models: models ?? [] }));
}

function reported({ name, family, limit, remaining, utilization, resets_at: resets, status }) {
  const counted = number(limit) !== null && number(remaining) !== null && limit > 0 ? 1 - remaining / limit : null;
  return { name, family: family ?? null, limit: number(limit), remaining: number(remaining), used: number(utilization) ?? counted, resets: resets ?? null, status: status ?? null };
}
