//! A row for every line of the tables that tell whose fault an answer is.

use super::*;

const NOW: &str = "2026-11-23T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn verdict(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Verdict {
    let headers = headers(pairs);
    let status = StatusCode::from_u16(status).unwrap();
    judge(&Answer { status, headers: &headers, body: body.as_bytes() }, at(NOW))
}

fn body(kind: &str, message: &str, reason: &str) -> String {
    let details = if reason.is_empty() { "null".to_owned() } else { format!(r#"{{"error_code":"{reason}"}}"#) };
    let message = serde_json::to_string(message).unwrap();
    format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":{message},"details":{details}}},"request_id":"req_1"}}"#
    )
}

fn exhausted(until: Option<&str>) -> Verdict {
    Verdict::Failover(Penalty::Exhausted { until: until.map(at) })
}

fn limited(until: Option<&str>, scope: Scope) -> Verdict {
    Verdict::Failover(Penalty::RateLimited { until: until.map(at), scope })
}

const NEEDS_AUTH: Verdict = Verdict::Failover(Penalty::NeedsAuth);
const OVERLOADED: Verdict = Verdict::Failover(Penalty::Overloaded);

#[test]
fn statuses() {
    for (status, kind, expect) in [
        (200, "", Verdict::Deliver),
        (304, "", Verdict::Deliver),
        (400, "invalid_request_error", Verdict::CallersFault),
        (401, "authentication_error", NEEDS_AUTH),
        (402, "billing_error", exhausted(None)),
        (403, "permission_error", Verdict::Unsuited),
        (404, "not_found_error", Verdict::CallersFault),
        (405, "invalid_request_error", Verdict::CallersFault),
        (408, "timeout_error", OVERLOADED),
        (409, "conflict_error", Verdict::CallersFault),
        (413, "request_too_large", Verdict::CallersFault),
        (422, "invalid_request_error", Verdict::CallersFault),
        (429, "rate_limit_error", limited(None, Scope::Family)),
        (499, "api_error", OVERLOADED),
        (500, "api_error", OVERLOADED),
        (502, "api_error", OVERLOADED),
        (503, "api_error", OVERLOADED),
        (504, "timeout_error", OVERLOADED),
        (520, "api_error", OVERLOADED),
        (524, "api_error", OVERLOADED),
        (529, "overloaded_error", OVERLOADED),
        (302, "", Verdict::Failover(Penalty::Unreachable)),
        (418, "a_new_error", Verdict::CallersFault),
        (599, "a_new_error", OVERLOADED),
    ] {
        assert_eq!(verdict(status, &[], &body(kind, "why", "")), expect, "{status} {kind}");
        // The edge in front of the API answers in pages, or not at all; 403 and 404 say nothing more then.
        for page in
            ["", "<html><body>credit balance is too low</body></html>", "{\"type\":\"err", "[]", "{\"error\":null}"]
        {
            assert_eq!(verdict(status, &[], page), expect, "{status} {page}");
        }
    }
}

#[test]
fn money_and_accounts_behind_a_4xx() {
    let spent = "You have reached your specified API usage limits. You will regain access on 2026-12-05 at 00:00 UTC.";
    let spent_there = "You have reached your specified workspace API usage limits.";
    for (status, message, reason, expect) in [
        (
            400,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
            "",
            exhausted(None),
        ),
        (400, "your CREDIT balance is too low", "", exhausted(None)),
        (400, spent, "", exhausted(Some("2026-12-05T00:00:00Z"))),
        (400, spent_there, "", exhausted(Some("2026-12-01T00:00:00Z"))),
        (400, &spent.replace("2026-12-05", "2019-01-01"), "", exhausted(Some("2026-12-01T00:00:00Z"))),
        (400, &spent.replace("2026-12-05", "9999-01-01"), "", exhausted(Some("2026-12-01T00:00:00Z"))),
        (400, "on hold", "organization_on_hold", NEEDS_AUTH),
        (400, "on hold", "account_on_hold", NEEDS_AUTH),
        (400, "no", "organization_disabled", NEEDS_AUTH),
        (400, "This organization has been disabled.", "", NEEDS_AUTH),
        (400, "no", "claude_code_key_creator_not_member", NEEDS_AUTH),
        (400, "no", "cmek_key_disabled", NEEDS_AUTH),
        (400, "no", "cmek_key_network_blocked", NEEDS_AUTH),
        (400, "no", "storage_quota_exceeded", NEEDS_AUTH),
        (400, "We've updated our Consumer Terms and Privacy Policy.", "", NEEDS_AUTH),
        (403, "We've updated our Consumer Terms and Privacy Policy.", "", NEEDS_AUTH),
        (400, "web search is not enabled for this organization", "", Verdict::Unsuited),
        (403, "Web search is not enabled for your organization", "", Verdict::Unsuited),
        (400, "The long context beta is not yet available for this subscription.", "", Verdict::Unsuited),
        (403, "The long context beta is not yet available for this subscription.", "", Verdict::Unsuited),
        (403, "model: claude-opus-5-5 is not available", "", Verdict::Unsuited),
        (404, "model: claude-opus-9", "", Verdict::Unsuited),
        (402, "no", "linked_organization_billing_unavailable", exhausted(None)),
        (402, "no", "linked_organization_spend_limit_reached", exhausted(None)),
        (503, "no", "cmek_key_unreachable", OVERLOADED),
        (503, "no", "cmek_context_unavailable", OVERLOADED),
        (401, "OAuth token has expired. Please obtain a new token.", "", NEEDS_AUTH),
        (403, "OAuth token has been revoked.", "", NEEDS_AUTH),
        (401, "invalid x-api-key", "", NEEDS_AUTH),
        (403, "This is not a valid API key for this workspace", "", NEEDS_AUTH),
        (403, "OAuth authentication is currently not allowed for this organization.", "", NEEDS_AUTH),
    ] {
        assert_eq!(verdict(status, &[], &body("", message, reason)), expect, "{status} {message} {reason}");
    }
    for reason in [
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
    ] {
        for status in [401, 403] {
            assert_eq!(verdict(status, &[], &body("permission_error", "no", reason)), NEEDS_AUTH, "{status} {reason}");
        }
    }
}

#[test]
fn what_stays_the_callers() {
    for (status, reason) in [
        (400, "available_tools_limit_exceeded"),
        (400, "tool_name_conflict"),
        (400, "tool_reference_unresolved"),
        (400, "image_dimensions_too_large"),
        (400, "compaction_failed"),
        (400, "thread_conflict"),
        (400, "user_profile_required"),
        (400, "user_profile_not_billable"),
        (402, "user_profile_billing_not_authorized"),
        (400, "claude_code_version_too_old"),
        (400, "file_not_downloadable"),
        (403, "sandbox_egress_restricted"),
        (404, "thread_not_found"),
        (404, "file_expired"),
        (400, "never_seen_before"),
    ] {
        assert_eq!(verdict(status, &[], &body("", "model: no", reason)), Verdict::CallersFault, "{status} {reason}");
    }
    for message in [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "This model does not support assistant message prefill.",
        "messages.1.content.0: Invalid `signature` in `thinking` block",
        "thinking.type.enabled is not supported for this model.",
        "tool_choice forces tool use is not supported with this model",
        "Unexpected value(s) `context-1m-2025-08-07` for the `anthropic-beta` header.",
        "max_tokens: 999999 > 64000, which is the maximum allowed number of output tokens",
    ] {
        assert_eq!(verdict(400, &[], &body("invalid_request_error", message, "")), Verdict::CallersFault, "{message}");
    }
}

#[test]
fn a_caller_cannot_put_an_account_out_by_quotation() {
    for words in ["Your credit balance is too low", "This organization has been disabled", "invalid x-api-key"] {
        for message in [
            format!("Unexpected value(s) `{words}` for the `anthropic-beta` header."),
            format!("tools.0.name: \"{words}\" does not match the pattern"),
            format!("{words}: Extra inputs are not permitted"),
            format!("metadata.{words}. Really: Extra inputs are not permitted"),
        ] {
            assert_eq!(verdict(400, &[], &body("invalid_request_error", &message, "")), Verdict::CallersFault);
        }
    }
}

#[test]
fn limits_by_reason() {
    let retry = ("retry-after", "30");
    for (reason, pairs, expect) in [
        ("enforced_spend_limit_reached", vec![], exhausted(Some("2026-12-01T00:00:00Z"))),
        ("contract_spend_limit_reached", vec![], exhausted(Some("2026-11-23T11:00:00Z"))),
        ("service_spend_limit_reached", vec![retry], exhausted(Some("2026-11-23T11:00:00Z"))),
        ("credits_required", vec![], limited(None, Scope::Family)),
        (
            "credits_required",
            vec![("anthropic-ratelimit-unified-reset", "1795449600")],
            limited(Some("2026-11-23T16:00:00Z"), Scope::Family),
        ),
        ("ramp_limit_exceeded", vec![retry], limited(Some("2026-11-23T10:00:30Z"), Scope::Account)),
        ("", vec![retry], limited(Some("2026-11-23T10:00:30Z"), Scope::Family)),
        ("", vec![("retry-after-ms", "250")], limited(Some("2026-11-23T10:00:00.25Z"), Scope::Family)),
        ("", vec![("x-should-retry", "true")], limited(None, Scope::Family)),
        (
            "",
            vec![
                ("anthropic-ratelimit-requests-remaining", "3"),
                ("anthropic-ratelimit-requests-reset", "2026-11-23T10:00:05Z"),
                ("anthropic-ratelimit-input-tokens-remaining", "0"),
                ("anthropic-ratelimit-input-tokens-reset", "2026-11-23T10:00:40Z"),
            ],
            limited(Some("2026-11-23T10:00:40Z"), Scope::Family),
        ),
    ] {
        let body = body("rate_limit_error", "Error", reason);
        assert_eq!(verdict(429, &pairs, &body), expect, "{reason} {pairs:?}");
    }
    assert_eq!(verdict(429, &[], &body("billing_error", "over budget", "")), exhausted(None));
}

#[test]
fn limits_of_subscriptions() {
    const STATUS: (&str, &str) = ("anthropic-ratelimit-unified-status", "rejected");
    const RESET: (&str, &str) = ("anthropic-ratelimit-unified-reset", "1795449600");
    const PAST: (&str, &str) = ("anthropic-ratelimit-unified-reset", "1700000000");
    const WEEK_RESET: (&str, &str) = ("anthropic-ratelimit-unified-7d-reset", "1795600800");
    let claim = |window| ("anthropic-ratelimit-unified-representative-claim", window);
    let body = body("rate_limit_error", "This request would exceed your account's rate limit.", "");
    for (pairs, until, scope) in [
        (vec![STATUS, RESET, claim("five_hour"), ("retry-after", "9")], "2026-11-23T16:00:00Z", Scope::Account),
        (vec![STATUS, claim("seven_day"), WEEK_RESET], "2026-11-25T10:00:00Z", Scope::Account),
        (vec![STATUS, claim("7d"), WEEK_RESET, PAST], "2026-11-25T10:00:00Z", Scope::Account),
        (vec![STATUS, claim("five_hour"), ("retry-after", "90")], "2026-11-23T10:01:30Z", Scope::Account),
        (vec![STATUS, claim("five_hour")], "2026-11-23T10:05:00Z", Scope::Account),
        (vec![STATUS, ("anthropic-ratelimit-unified-reset", "soon")], "2026-11-23T10:05:00Z", Scope::Account),
        (vec![STATUS, RESET, claim("7d_oi")], "2026-11-23T16:00:00Z", Scope::Family),
        (vec![STATUS, RESET, claim("seven_day_overage_included")], "2026-11-23T16:00:00Z", Scope::Family),
        (vec![STATUS, RESET, claim("seven_day_opus")], "2026-11-23T16:00:00Z", Scope::Family),
        (vec![STATUS, RESET, claim("overage")], "2026-11-23T16:00:00Z", Scope::Account),
    ] {
        assert_eq!(verdict(429, &pairs, &body), limited(Some(until), scope), "{pairs:?}");
    }
    let allowed = [("anthropic-ratelimit-unified-status", "allowed"), RESET];
    assert_eq!(verdict(429, &allowed, &body), limited(None, Scope::Family), "not a statement about quotas");
    let overage = [STATUS, ("anthropic-ratelimit-unified-overage-status", "allowed")];
    assert_eq!(verdict(200, &overage, ""), Verdict::Deliver, "extra usage is paid for, and served");
}

#[test]
fn first_events() {
    let check = |name: Option<&str>, data: &str, expect: Verdict| {
        let headers = headers(&[]);
        let answer = Answer { status: StatusCode::OK, headers: &headers, body: data.as_bytes() };
        assert_eq!(judge_event(name, &answer, at(NOW)), expect, "{data}");
    };
    check(Some("message_start"), r#"{"type":"message_start","message":{"content":[]}}"#, Verdict::Deliver);
    check(Some("ping"), r#"{"type":"ping"}"#, Verdict::Deliver);
    check(Some("something_new"), "not json", Verdict::Deliver);
    check(None, "", Verdict::Deliver);
    check(Some("error"), r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, OVERLOADED);
    check(None, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, OVERLOADED);
    check(Some("error"), "broken", OVERLOADED);
    for (kind, expect) in [
        ("api_error", OVERLOADED),
        ("timeout_error", OVERLOADED),
        ("a_new_error", OVERLOADED),
        ("rate_limit_error", limited(None, Scope::Family)),
        ("invalid_request_error", Verdict::CallersFault),
        ("authentication_error", NEEDS_AUTH),
        ("billing_error", exhausted(None)),
        ("permission_error", Verdict::Unsuited),
        ("not_found_error", Verdict::CallersFault),
        ("conflict_error", Verdict::CallersFault),
        ("request_too_large", Verdict::CallersFault),
    ] {
        check(Some("error"), &body(kind, "why", ""), expect);
    }
    check(Some("error"), &body("invalid_request_error", "Your credit balance is too low", ""), exhausted(None));
}
