//! The fields of a key that can be given at the beginning and later.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    access::{ApiKey, Limit, NAMED, OF_A_WINDOW, Role, Span, Window},
    address::NotANetwork,
    error::{Measure, Result},
    protocol::Provider,
    routes::Fields,
};

const MOST_IN_FLIGHT: i32 = 1_000_000;
/// The longest rolling window: 31 days, as long as the longest month.
const LONGEST_WINDOW_HOURS: i32 = 744;
const MOST_WINDOWS: usize = 8;
const LONGEST_ROTATION_DAYS: i32 = 3_650;
const MOST_LABELS: usize = 8;

/// Takes every one of them.
pub(super) fn apply(key: &mut ApiKey, body: &mut Fields, now: Timestamp) -> Result<()> {
    rights(key, body)?;
    if let Some(labels) = body.text_map("labels", MOST_LABELS)? {
        key.labels = labels;
    }
    if let Some(note) = body.text("note")? {
        key.note = note;
    }
    if let Some(mut given) = body.object("limits")? {
        limits(key, &mut given)?;
        given.finish()?;
    }
    if let Some(name) = body.name_text("time_zone")? {
        let zone = TimeZone::get(&name).map_err(|_| body.wrong("time_zone", "must be an IANA name: Europe/Berlin"))?;
        key.time_zone = zone.iana_name().map_or(name, str::to_owned);
    }
    if let Some(days) = body.nullable_integer("rotate_every_days", 1..=LONGEST_ROTATION_DAYS)? {
        key.rotate_every_days = days;
    }
    if let Some(auto_rotate) = body.flag("auto_rotate")? {
        key.auto_rotate = auto_rotate;
    }
    expiry(key, body, now)
}

/// Who the key is, and what it may call from where.
fn rights(key: &mut ApiKey, body: &mut Fields) -> Result<()> {
    if let Some(role) = body.word("role", Role::parse, "`admin`, `member`, `viewer`")? {
        key.role = role;
    }
    if let Some(pool) = body.name_text("pool")? {
        key.pool = pool;
    }
    if let Some(words) = body.texts("providers")? {
        let parsed: Option<_> = words.iter().map(|word| Provider::parse(word)).collect();
        key.providers = parsed.ok_or_else(|| body.wrong("providers", "must hold only `anthropic` and `gemini`"))?;
    }
    if let Some(models) = body.globs("models")? {
        key.models = models;
    }
    if let Some(texts) = body.texts("allowed_cidrs")? {
        let parsed: Result<_, NotANetwork> = texts.iter().map(|text| text.parse()).collect();
        key.allowed_cidrs = parsed.map_err(|why| body.wrong("allowed_cidrs", why))?;
    }
    if let Some(allow) = body.flag("allow_passthrough")? {
        key.allow_passthrough = allow;
    }
    Ok(())
}

/// Limits that are not named stay as they are; null takes one back.
fn limits(key: &mut ApiKey, given: &mut Fields) -> Result<()> {
    if let Some(cap) = given.nullable_integer("max_in_flight", 1..=MOST_IN_FLIGHT)? {
        key.max_in_flight = cap;
    }
    for (name, measure, span) in NAMED {
        if let Some(value) = amount(given, name, measure)? {
            key.limits.retain(|limit| (limit.measure, &limit.span) != (measure, &span));
            key.limits.extend(value.map(|value| Limit { measure, span, value }));
        }
    }
    if let Some(windows) = given.objects("windows", MOST_WINDOWS)? {
        key.limits.retain(|limit| !matches!(limit.span, Span::Hours(_)));
        for (place, mut given) in windows.into_iter().enumerate() {
            key.limits.extend(window(place, &mut given)?);
            given.finish()?;
        }
    }
    // Named limits as they stand in the list, then windows: so a key reads the same however it came about.
    let place =
        |limit: &Limit| NAMED.iter().position(|(_, measure, span)| (measure, span) == (&limit.measure, &limit.span));
    key.limits.sort_by_key(|limit| place(limit).unwrap_or(NAMED.len()));
    Ok(())
}

fn window(place: usize, given: &mut Fields) -> Result<Vec<Limit>> {
    let hours = given.integer("hours", 1..=LONGEST_WINDOW_HOURS)?;
    let hours = given.required("hours", hours)?;
    let models = given.globs("models")?.unwrap_or_default();
    let mut limits = Vec::new();
    for (name, measure) in OF_A_WINDOW {
        if let Some(Some(value)) = amount(given, name, measure)? {
            let span = Span::Hours(Window::new(place, hours, models.clone()));
            limits.push(Limit { measure, span, value });
        }
    }
    if limits.is_empty() {
        return Err(given.wrong("requests", "give at least one of `requests`, `tokens`, `cost_usd`"));
    }
    Ok(limits)
}

fn amount(given: &mut Fields, name: &str, measure: Measure) -> Result<Option<Option<i64>>> {
    match measure {
        Measure::Requests | Measure::Tokens => given.nullable_count(name),
        Measure::Cost => Ok(given.nullable_dollars(name)?.map(|amount| amount.map(|amount| amount.0))),
    }
}

fn expiry(key: &mut ApiKey, body: &mut Fields, now: Timestamp) -> Result<()> {
    let at = body.nullable_time("expires_at")?;
    let after = body.integer("expires_in_seconds", 1..=i32::MAX)?;
    match (at, after) {
        (Some(_), Some(_)) => Err(body.wrong("expires_at", "give `expires_at` or `expires_in_seconds`, not both")),
        (Some(Some(at)), None) if at <= now => Err(body.wrong("expires_at", "must be in the future")),
        (Some(at), None) => {
            key.expires_at = at;
            Ok(())
        }
        (None, Some(seconds)) => {
            key.expires_at = Some(now + Duration::from_secs(seconds.unsigned_abs().into()));
            Ok(())
        }
        (None, None) => Ok(()),
    }
}
