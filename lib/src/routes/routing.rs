//! `/api/routing`: how each pool routes, and a preview of whom a request would go to.

use http::Method;
use serde_json::{Value, json};

use super::{Fields, caller, fields, name_in_path, no_such_path, reply, segments};
use crate::{
    access::Caller,
    clock,
    error::{Error, Kind, Result},
    gateway::{Context, Snapshot},
    http::{Request, Response},
    pool::{Account, Ask, Exclusion, Lot, Policy, Strategy, rank},
    protocol::{Api, Operation, Provider},
    random,
};

const STRATEGIES: &str = "`priority`, `weighted`, `round_robin`, `least_in_flight`, `headroom`, `earliest_reset`";
const OPERATIONS: &str = "`generate`, `count_tokens`, `embed`, `models`, `other`";
const MOST_ATTEMPTS: i32 = 20;
const LONGEST_MS: i32 = 24 * 60 * 60 * 1_000;
const LONGEST_SECONDS: i32 = 30 * 24 * 60 * 60;
const MOST: i32 = 1_000_000;

pub(super) async fn answer(cx: &Context, request: Request) -> Result<Response> {
    let caller = caller(cx, &request).await?;
    let method = request.method().clone();
    let uri = request.uri().clone();
    match (method, segments(&uri).as_slice()) {
        (Method::GET, ["api", "routing"]) => list(cx, &caller).await,
        (Method::POST, ["api", "routing", "preview"]) => preview(cx, &caller, fields(request).await?).await,
        (Method::PUT, ["api", "routing", pool, provider]) => {
            set(cx, &caller, (pool, provider), fields(request).await?).await
        }
        _ => Err(no_such_path()),
    }
}

/// The policies that were set, and the one that holds where none was.
async fn list(cx: &Context, caller: &Caller) -> Result<Response> {
    caller.may_view()?;
    let policies = cx.gateway.store.policies().await?;
    let data: Vec<_> = policies.iter().map(|((pool, provider), policy)| view(pool, *provider, policy)).collect();
    reply::ok(&json!({ "data": data, "next_cursor": null, "default": Policy::default() }))
}

/// Replaces a policy; a field that is not given has its default.
async fn set(cx: &Context, caller: &Caller, (pool, provider): (&str, &str), body: Fields) -> Result<Response> {
    caller.may_manage()?;
    let pool = name_in_path(pool)?;
    let provider = Provider::parse(provider)
        .ok_or_else(|| Error::new(Kind::NotFound, format!("there is no provider {provider}")))?;
    let policy = read(body)?;
    cx.gateway.store.set_policy(&pool, provider, &policy, caller.name()).await?;
    reply::ok(&view(&pool, provider, &policy))
}

fn view(pool: &str, provider: Provider, policy: &Policy) -> Value {
    let mut view = json!(policy);
    view["pool"] = json!(pool);
    view["provider"] = json!(provider);
    view
}

fn read(mut body: Fields) -> Result<Policy> {
    let mut policy = Policy::default();
    let put = |place: &mut u32, given: Option<i32>| {
        if let Some(given) = given {
            *place = given.unsigned_abs();
        }
    };
    if let Some(strategy) = body.word("strategy", Strategy::parse, STRATEGIES)? {
        policy.strategy = strategy;
    }
    put(&mut policy.max_attempts.0, body.integer("max_attempts", 1..=MOST_ATTEMPTS)?);
    put(&mut policy.patience.connect_timeout_ms, body.integer("connect_timeout_ms", 100..=LONGEST_MS)?);
    put(&mut policy.patience.first_byte_timeout_ms, body.integer("first_byte_timeout_ms", 100..=LONGEST_MS)?);
    put(&mut policy.patience.idle_timeout_ms, body.integer("idle_timeout_ms", 100..=LONGEST_MS)?);
    if let Some(mut affinity) = body.object("affinity")? {
        if let Some(enabled) = affinity.flag("enabled")? {
            policy.affinity.enabled = enabled;
        }
        put(&mut policy.affinity.ttl_seconds, affinity.integer("ttl_seconds", 1..=LONGEST_SECONDS)?);
        put(&mut policy.affinity.max_in_flight, affinity.integer("max_in_flight", 1..=MOST)?);
        affinity.finish()?;
    }
    if let Some(mut cooldown) = body.object("cooldown")? {
        let rules = &mut policy.cooldown;
        put(&mut rules.rate_limited_seconds, cooldown.integer("rate_limited_seconds", 1..=LONGEST_SECONDS)?);
        put(&mut rules.overloaded_seconds, cooldown.integer("overloaded_seconds", 1..=LONGEST_SECONDS)?);
        put(&mut rules.failure_threshold, cooldown.integer("failure_threshold", 1..=MOST)?);
        cooldown.finish()?;
    }
    body.finish()?;
    Ok(policy)
}

/// The order in which accounts would be tried now, and why each other one would not.
async fn preview(cx: &Context, caller: &Caller, mut body: Fields) -> Result<Response> {
    caller.may_view()?;
    let model = body.name_text("model")?;
    let model = body.required("model", model)?;
    let pool = body.name_text("pool")?.unwrap_or_else(|| "default".to_owned());
    let provider = body.word("provider", Provider::parse, "`anthropic`, `gemini`")?;
    let operation = body.word("operation", Operation::parse, OPERATIONS)?.unwrap_or(Operation::Generate);
    body.finish()?;
    // A name says whose model it is, except where an account has renamed it.
    let provider = provider.unwrap_or(if model.starts_with("gemini") { Provider::Gemini } else { Provider::Anthropic });
    let snapshot = cx.snapshot_since(std::time::Instant::now()).await?;
    let policy = snapshot.policy(&pool, provider);
    let family = provider.family(&model);
    let api = match provider {
        Provider::Anthropic => Api::Anthropic,
        Provider::Gemini => Api::Gemini,
    };
    let (model, family) = (Some(model.as_str()), family.as_str());
    let ask = Ask { pool: &pool, provider, api, operation, model, family, tried: &[] };
    reply::ok(&json!({
        "pool": pool, "provider": provider, "model": model, "strategy": policy.strategy,
        "order": order(&snapshot, &ask, policy.strategy, cx.gateway.turn()),
        "excluded": excluded(&snapshot, &ask, policy.strategy),
    }))
}

fn order(snapshot: &Snapshot, ask: &Ask<'_>, strategy: Strategy, turn: usize) -> Vec<Value> {
    let seed = random::draw().to_le_bytes();
    let mut ranking = rank(snapshot.accounts(), ask, strategy, &Lot { seed: &seed, turn }, clock::now());
    let reason = |account: &Account| format!("tier {}, {}", account.priority, figure(account, strategy, ask.family));
    ranking.take(usize::MAX).into_iter().map(|account| row(account, &reason(account))).collect()
}

fn excluded(snapshot: &Snapshot, ask: &Ask<'_>, strategy: Strategy) -> Vec<Value> {
    let ranking = rank(snapshot.accounts(), ask, strategy, &Lot { seed: &[], turn: 0 }, clock::now());
    ranking.excluded.iter().map(|(account, why)| row(account, &why.to_string())).collect()
}

fn row(account: &Account, reason: &str) -> Value {
    json!({ "id": account.id, "name": account.name, "reason": reason })
}

/// What the strategy looks at, in words.
fn figure(account: &Account, strategy: Strategy, family: &str) -> String {
    let limits = account.limits_of(family);
    match strategy {
        Strategy::Priority => format!("added {}", account.created_at.strftime("%Y-%m-%d")),
        Strategy::Weighted => format!("weight {}", account.weight),
        Strategy::RoundRobin => "in turn".to_owned(),
        Strategy::LeastInFlight => format!("{} in flight, weight {}", account.in_flight, account.weight),
        Strategy::Headroom => match crate::pool::headroom(limits, clock::now()) {
            Some(left) => format!("{:.0} % left of its tightest limit", left * 100.0),
            None => "no limit reported yet".to_owned(),
        },
        Strategy::EarliestReset => match crate::pool::earliest_reset(limits, clock::now()) {
            Some(at) => format!("a limit is renewed at {at:.0}"),
            None => "no limit reported yet".to_owned(),
        },
    }
}

impl std::fmt::Display for Exclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tried => f.write_str("it was tried for this request"),
            Self::Api(Api::CodeAssist) => {
                f.write_str("it holds a login, and Code Assist, which serves logins, does not have this operation")
            }
            Self::Api(_) => f.write_str("it holds an API key, and Code Assist takes logins only"),
            Self::Paused => f.write_str("it is paused"),
            Self::NeedsAuth => f.write_str("its credential was refused"),
            Self::Exhausted { until: Some(until) } => write!(f, "it is out of credit; tried again at {until:.0}"),
            Self::Exhausted { until: None } => f.write_str("it is out of credit"),
            Self::Cooling { until } => write!(f, "it is cooling down until {until:.0}"),
            Self::Tested => f.write_str("another request is testing whether it is back"),
            Self::Model => f.write_str("it does not serve this model"),
            Self::Spent { until } => {
                write!(f, "its limit is spent until {until:.0}, and it may not go on into paid overage")
            }
        }
    }
}
