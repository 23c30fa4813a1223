//! What an Anthropic answer means: whose fault an error is, and how long it lasts.

use http::{HeaderMap, StatusCode};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::Value;

use crate::protocol::{
    Answer, Penalty, Scope, Verdict,
    limits::{ahead, in_seconds, next_month, retry_at},
    says,
};

/// Reasons that are the caller's whatever the status, next to those that begin with `compaction_` or `thread_`.
const CALLERS: &[&str] = &[
    "available_tools_limit_exceeded",
    "tool_name_conflict",
    "tool_reference_unresolved",
    "image_dimensions_too_large",
    "user_profile_required",
    "user_profile_not_billable",
    "user_profile_billing_not_authorized",
    "claude_code_version_too_old",
    "file_not_downloadable",
    "file_expired",
    "sandbox_egress_restricted",
];

/// Reasons why a credential, or the organization behind it, serves nobody until somebody acts.
const SHUT_OUT: &[&str] = &[
    "organization_on_hold",
    "account_on_hold",
    "organization_disabled",
    "claude_code_key_creator_not_member",
    "cmek_key_disabled",
    "cmek_key_network_blocked",
    "storage_quota_exceeded",
    "oauth_not_allowed_for_organization",
    "ip_not_in_allowed_range",
    "oauth_application_deactivated",
    "oauth_scope_insufficient",
    "org_access_revoked",
    "workspace_revoked",
    "account_not_member",
    "token_no_organization",
    "token_expired",
    "token_revoked",
    "token_invalid",
    "credential_invalid",
];

/// The same in words, for answers without a reason.
const SHUT_OUT_WORDS: &[&str] = &[
    "this organization has been disabled",
    "updated our consumer terms",
    "oauth token has expired",
    "oauth token has been revoked",
    "invalid x-api-key",
    "not a valid api key for this workspace",
    "oauth authentication is currently not allowed for this organization",
];

/// Words of what one account lacks and another may have.
const LACKING_WORDS: &[&str] = &[
    "is not enabled for this organization",
    "is not enabled for your organization",
    "long context beta is not yet available",
];

pub(in crate::protocol) fn judge(answer: &Answer<'_>, now: Timestamp) -> Verdict {
    if answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED {
        return Verdict::Deliver;
    }
    Said::read(answer.body).verdict(answer.status, answer.headers, now)
}

pub(in crate::protocol) fn judge_event(name: Option<&str>, answer: &Answer<'_>, now: Timestamp) -> Verdict {
    let said = Said::read(answer.body);
    if name != Some("error") && !said.is_error {
        return Verdict::Deliver;
    }
    said.verdict(said.status(), answer.headers, now)
}

/// An error body, as far as it was one; the edge in front of the API answers with pages of its own.
#[derive(Default)]
struct Said {
    is_error: bool,
    kind: String,
    /// The machine-readable reason, where there is one.
    reason: String,
    /// In lower case.
    message: String,
}

impl Said {
    fn read(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Self {
            is_error: text("/type") == "error",
            kind: text("/error/type").to_owned(),
            reason: text("/error/details/error_code").to_owned(),
            message: text("/error/message").to_lowercase(),
        }
    }

    /// The status that an event stands for; a type that is not known yet is the service's fault, not the caller's.
    fn status(&self) -> StatusCode {
        match self.kind.as_str() {
            "invalid_request_error" => StatusCode::BAD_REQUEST,
            "authentication_error" => StatusCode::UNAUTHORIZED,
            "billing_error" => StatusCode::PAYMENT_REQUIRED,
            "permission_error" => StatusCode::FORBIDDEN,
            "not_found_error" => StatusCode::NOT_FOUND,
            "conflict_error" => StatusCode::CONFLICT,
            "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
            "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn verdict(&self, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Verdict {
        let reason = self.reason.as_str();
        if status.is_client_error() {
            if CALLERS.contains(&reason) || reason.starts_with("compaction_") || reason.starts_with("thread_") {
                return Verdict::CallersFault;
            }
            if SHUT_OUT.contains(&reason) {
                return Verdict::Failover(Penalty::NeedsAuth);
            }
        }
        match status.as_u16() {
            400 | 403 => self.refused(status, now),
            401 => Verdict::Failover(Penalty::NeedsAuth),
            402 => Verdict::Failover(Penalty::Exhausted { until: None }),
            404 if self.message.contains("model:") => Verdict::Unsuited,
            // 499 is the service's own word for a call that it gave up; our caller is still there.
            408 | 499 => Verdict::Failover(Penalty::Overloaded),
            429 => Verdict::Failover(self.limited(headers, now)),
            _ if status.is_client_error() => Verdict::CallersFault,
            // A redirect is no answer of this API: something else stands at the account's base URL.
            _ if status.is_redirection() => Verdict::Failover(Penalty::Unreachable),
            _ => Verdict::Failover(Penalty::Overloaded),
        }
    }

    /// A 400 or 403 whose reason alone does not tell.
    ///
    /// A 400 is the client trying what the service takes, save where it speaks of money, the account or what the
    /// account lacks. A 403 of unknown cause makes no account pay: if a caller could provoke it, one caller could take
    /// every account out.
    fn refused(&self, status: StatusCode, now: Timestamp) -> Verdict {
        let says = |phrase| says(&self.message, phrase);
        if says("credit balance is too low") || self.kind == "billing_error" {
            return Verdict::Failover(Penalty::Exhausted { until: None });
        }
        if says("you have reached your specified") && says("usage limits") {
            let until = date_in(&self.message, now).or_else(|| next_month(now));
            return Verdict::Failover(Penalty::Exhausted { until });
        }
        if SHUT_OUT_WORDS.iter().any(|phrase| says(phrase)) {
            return Verdict::Failover(Penalty::NeedsAuth);
        }
        if status == StatusCode::FORBIDDEN || LACKING_WORDS.iter().any(|phrase| self.message.contains(phrase)) {
            return Verdict::Unsuited;
        }
        Verdict::CallersFault
    }

    fn limited(&self, headers: &HeaderMap, now: Timestamp) -> Penalty {
        let retry = retry_at(headers, now);
        let reset = unified_reset(headers, now);
        let refused = text(headers, "anthropic-ratelimit-unified-status") == Some("rejected");
        let scope = if of_one_family(headers) { Scope::Family } else { Scope::Account };
        match self.reason.as_str() {
            "enforced_spend_limit_reached" => Penalty::Exhausted { until: next_month(now) },
            "contract_spend_limit_reached" | "service_spend_limit_reached" => {
                Penalty::Exhausted { until: in_seconds(3600.0, now) }
            }
            _ if self.kind == "billing_error" => Penalty::Exhausted { until: None },
            "credits_required" => Penalty::RateLimited { until: reset.or(retry), scope: Scope::Family },
            "ramp_limit_exceeded" => Penalty::RateLimited { until: retry, scope: Scope::Account },
            _ if refused => Penalty::RateLimited { until: reset.or(retry).or_else(|| in_seconds(300.0, now)), scope },
            // Limits of API keys are per class of models. Without any header it is capacity, or a model that the plan
            // lacks, and no more than that family either.
            _ => Penalty::RateLimited { until: retry.or_else(|| bucket_reset(headers, now)), scope: Scope::Family },
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The window that decided, by the short name that its headers have.
fn claimed_window(headers: &HeaderMap) -> Option<&str> {
    Some(match text(headers, "anthropic-ratelimit-unified-representative-claim")? {
        "five_hour" => "5h",
        "seven_day" => "7d",
        "seven_day_overage_included" => "7d_oi",
        other => other,
    })
}

/// Weekly limits of one model family have the week's name and a suffix.
fn of_one_family(headers: &HeaderMap) -> bool {
    claimed_window(headers).is_some_and(|window| window.starts_with("7d_") || window.starts_with("seven_day_"))
}

fn unified_reset(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let at = |name: &str| {
        let seconds = text(headers, name)?.parse().ok()?;
        ahead(Timestamp::from_second(seconds).ok()?, now)
    };
    at("anthropic-ratelimit-unified-reset").or_else(|| {
        let window = claimed_window(headers)?;
        at(&format!("anthropic-ratelimit-unified-{window}-reset"))
    })
}

/// When the first empty bucket is full again. One more call fits before that, so `retry-after` goes first.
fn bucket_reset(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let empty = ["requests", "tokens", "input-tokens", "output-tokens"]
        .into_iter()
        .filter(|bucket| text(headers, &format!("anthropic-ratelimit-{bucket}-remaining")) == Some("0"));
    empty
        .filter_map(|bucket| text(headers, &format!("anthropic-ratelimit-{bucket}-reset"))?.parse().ok())
        .filter_map(|reset| ahead(reset, now))
        .max()
}

/// The day in "… regain access on 2026-12-01 at 00:00 UTC", if that makes sense.
fn date_in(message: &str, now: Timestamp) -> Option<Timestamp> {
    let after = message.split_once("regain access on ")?.1;
    let day: Date = after.get(..10)?.parse().ok()?;
    ahead(day.to_zoned(TimeZone::UTC).ok()?.timestamp(), now)
}

#[cfg(test)]
mod tests;
