//! A row for every line of the tables that tell whose fault an answer is.

use super::*;

const NOW: &str = "2026-11-23T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a moment")
}

fn verdict_at(now: &str, status: u16, pairs: &[(&'static str, &str)], body: &str) -> Verdict {
    let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let status = StatusCode::from_u16(status).unwrap();
    judge(&Answer { status, headers: &headers, body: body.as_bytes() }, at(now))
}

fn verdict(status: u16, body: &str) -> Verdict {
    verdict_at(NOW, status, &[], body)
}

fn body(code: u16, status: &str, message: &str, details: &str) -> String {
    let message = serde_json::to_string(message).unwrap();
    format!(r#"{{"error":{{"code":{code},"message":{message},"status":"{status}","details":[{details}]}}}}"#)
}

fn info(reason: &str, metadata: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"d","metadata":{{{metadata}}}}}"#
    )
}

fn retry(delay: &str) -> String {
    format!(r#"{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}"#)
}

fn quota(id: &str, value: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"quotaId":"{id}","quotaValue":"{value}"}}]}}"#
    )
}

fn family(until: Option<&str>) -> Verdict {
    Verdict::Failover(Penalty::RateLimited { until: until.map(at), scope: Scope::Family })
}

const NEEDS_AUTH: Verdict = Verdict::Failover(Penalty::NeedsAuth);
const OVERLOADED: Verdict = Verdict::Failover(Penalty::Overloaded);
const EXHAUSTED: Verdict = Verdict::Failover(Penalty::Exhausted { until: None });

#[test]
fn statuses() {
    for (code, status, expect) in [
        (200, "", Verdict::Deliver),
        (304, "", Verdict::Deliver),
        (400, "INVALID_ARGUMENT", Verdict::CallersFault),
        (400, "FAILED_PRECONDITION", Verdict::CallersFault),
        (401, "UNAUTHENTICATED", NEEDS_AUTH),
        (402, "RESOURCE_EXHAUSTED", EXHAUSTED),
        (403, "PERMISSION_DENIED", Verdict::Unsuited),
        (404, "NOT_FOUND", Verdict::CallersFault),
        (408, "", OVERLOADED),
        (409, "ABORTED", Verdict::CallersFault),
        (413, "", Verdict::CallersFault),
        (416, "OUT_OF_RANGE", Verdict::CallersFault),
        (429, "RESOURCE_EXHAUSTED", family(None)),
        (499, "CANCELLED", OVERLOADED),
        (500, "INTERNAL", OVERLOADED),
        (502, "", OVERLOADED),
        (503, "UNAVAILABLE", OVERLOADED),
        (504, "DEADLINE_EXCEEDED", OVERLOADED),
        (307, "", Verdict::Failover(Penalty::Unreachable)),
    ] {
        let plain = body(code, status, "why", "");
        assert_eq!(verdict(code, &plain), expect, "{code} {status}");
        assert_eq!(verdict(code, &format!("[{plain}]")), expect, "{code} {status} of an array stream");
        for page in ["", "<html>API key not valid</html>", "[]", "{\"error\":{\"co", r#"{"error":"text"}"#] {
            assert_eq!(verdict(code, page), expect, "{code} {page}");
        }
    }
}

#[test]
fn accounts_behind_a_4xx() {
    let not_valid = "API key not valid. Please pass a valid API key.";
    for (code, status, message, reason, expect) in [
        (400, "INVALID_ARGUMENT", not_valid, "API_KEY_INVALID", NEEDS_AUTH),
        (400, "INVALID_ARGUMENT", not_valid, "", NEEDS_AUTH),
        (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", "", NEEDS_AUTH),
        (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", "", EXHAUSTED),
        (400, "FAILED_PRECONDITION", "Please enable billing on project 1.", "", EXHAUSTED),
        (400, "INVALID_ARGUMENT", "The billing tool is unknown.", "", Verdict::CallersFault),
        (400, "INVALID_ARGUMENT", "Unknown name \"API key not valid\": Cannot find field.", "", Verdict::CallersFault),
        (401, "UNAUTHENTICATED", "no", "ACCESS_TOKEN_EXPIRED", NEEDS_AUTH),
        (401, "UNAUTHENTICATED", "no", "ACCESS_TOKEN_TYPE_UNSUPPORTED", NEEDS_AUTH),
        (401, "UNAUTHENTICATED", "no", "CREDENTIALS_MISSING", NEEDS_AUTH),
        (402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", "", EXHAUSTED),
        (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", "", EXHAUSTED),
        (403, "PERMISSION_DENIED", "no", "SERVICE_DISABLED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "API_KEY_SERVICE_BLOCKED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "API_KEY_HTTP_REFERRER_BLOCKED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "API_KEY_IP_ADDRESS_BLOCKED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "CONSUMER_SUSPENDED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "BILLING_DISABLED", EXHAUSTED),
        (403, "PERMISSION_DENIED", "Your API key was reported as leaked.", "", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "VALIDATION_REQUIRED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "no", "SECURITY_POLICY_VIOLATED", NEEDS_AUTH),
        (403, "PERMISSION_DENIED", "You do not have permission to access the File x", "", Verdict::CallersFault),
        (403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)", "", Verdict::CallersFault),
        (404, "NOT_FOUND", "models/x is not found for API version v1beta", "", Verdict::Unsuited),
    ] {
        let details = if reason.is_empty() { String::new() } else { info(reason, "") };
        let body = body(code, status, message, &details);
        assert_eq!(verdict(code, &body), expect, "{code} {message} {reason}");
    }
}

#[test]
fn waits_of_a_429() {
    let per_minute = quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10");
    for (message, details, header, expect) in [
        ("", retry("47s"), "", Some("2026-11-23T10:00:47Z")),
        ("", retry("45.578569677s"), "", Some("2026-11-23T10:00:45.578569677Z")),
        ("", retry("900ms"), "", Some("2026-11-23T10:00:00.9Z")),
        ("", retry("1h16m0.5s"), "", Some("2026-11-23T11:16:00.5Z")),
        ("", format!("{per_minute},{}", retry("5s")), "99", Some("2026-11-23T10:00:05Z")),
        ("Quota exceeded. Please retry in 45.5s.", per_minute.clone(), "99", Some("2026-11-23T10:00:45.5Z")),
        ("Please retry in 900ms. Thank you.", String::new(), "", Some("2026-11-23T10:00:00.9Z")),
        ("Please retry in a while", String::new(), "", None),
        ("", per_minute.clone(), "99", Some("2026-11-23T10:01:39Z")),
        ("", retry("soon"), "7", Some("2026-11-23T10:00:07Z")),
        ("", per_minute, "", None),
        ("Resource has been exhausted (e.g. check quota).", String::new(), "", None),
    ] {
        let body = body(429, "RESOURCE_EXHAUSTED", message, &details);
        let pairs = if header.is_empty() { vec![] } else { vec![("retry-after", header)] };
        assert_eq!(verdict_at(NOW, 429, &pairs, &body), family(expect), "{message} {details} {header}");
    }
}

#[test]
fn a_days_quota_ends_at_midnight_in_california() {
    let details = format!("{},{}", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "50"), retry("2s"));
    let body = body(429, "RESOURCE_EXHAUSTED", "Please retry in 2s.", &details);
    for (now, midnight) in [
        ("2026-11-23T10:00:00Z", "2026-11-24T08:00:00Z"),
        ("2026-03-08T07:59:00Z", "2026-03-08T08:00:00Z"),
        ("2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"),
        ("2026-11-01T08:30:00Z", "2026-11-02T08:00:00Z"),
    ] {
        assert_eq!(verdict_at(now, 429, &[], &body), family(Some(midnight)), "{now}");
    }
}

#[test]
fn a_limit_of_zero_is_no_limit_to_wait_for() {
    let hours = Some("2026-11-23T16:00:00Z");
    for (message, details, expect) in [
        ("Quota exceeded for metric: x, limit: 0, model: gemini-3-pro", String::new(), hours),
        ("Quota exceeded for metric: x, limit: 0", retry("5s"), hours),
        ("Quota exceeded, limit: 0. Please retry in 5s.", String::new(), hours),
        ("", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "0"), hours),
        ("Quota exceeded, limit: 05", String::new(), None),
        ("Quota exceeded, limit: 0.5", String::new(), None),
        ("Quota exceeded, limit: 10", String::new(), None),
    ] {
        let body = body(429, "RESOURCE_EXHAUSTED", message, &details);
        assert_eq!(verdict(429, &body), family(expect), "{message} {details}");
    }
}

#[test]
fn code_assist() {
    let account =
        |until: &str| Verdict::Failover(Penalty::RateLimited { until: Some(at(until)), scope: Scope::Account });
    let stamp = r#""quotaResetTimeStamp":"2026-11-24T07:00:00Z""#;
    let both = format!(r#"{stamp},"quotaResetDelay":"5s","model":"gemini-3-pro""#);
    for (code, details, expect) in [
        (429, format!("{},{}", info("RATE_LIMIT_EXCEEDED", ""), retry("3s")), family(Some("2026-11-23T10:00:03Z"))),
        (
            429,
            info("RATE_LIMIT_EXCEEDED", r#""quotaResetDelay":"579.27ms""#),
            family(Some("2026-11-23T10:00:00.57927Z")),
        ),
        (429, info("QUOTA_EXHAUSTED", stamp), account("2026-11-24T07:00:00Z")),
        (429, info("QUOTA_EXHAUSTED", &both), family(Some("2026-11-24T07:00:00Z"))),
        (429, info("QUOTA_EXHAUSTED", r#""quotaResetDelay":"161h39m41.5s""#), account("2026-11-30T03:39:41.5Z")),
        (429, info("QUOTA_EXHAUSTED", r#""quotaResetDelay":"33740.5s""#), account("2026-11-23T19:22:20.5Z")),
        (429, info("MODEL_CAPACITY_EXHAUSTED", ""), OVERLOADED),
        (503, info("MODEL_CAPACITY_EXHAUSTED", ""), OVERLOADED),
        (429, info("INSUFFICIENT_G1_CREDITS_BALANCE", ""), EXHAUSTED),
        (403, info("VALIDATION_REQUIRED", ""), NEEDS_AUTH),
    ] {
        assert_eq!(verdict(code, &body(code, "RESOURCE_EXHAUSTED", "no", &details)), expect, "{code} {details}");
    }
}

#[test]
fn a_429_as_google_sends_it() {
    let fixture = r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[
  {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaDimensions":{"location":"global","model":"gemini-2.5-pro"},"quotaValue":"50"}]},
  {"@type":"type.googleapis.com/google.rpc.Help","links":[{"description":"Learn more","url":"https://ai.google.dev/gemini-api/docs/rate-limits"}]},
  {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"45.578569677s"}]}}"#;
    assert_eq!(verdict(429, fixture), family(Some("2026-11-24T08:00:00Z")));
    let minute = fixture.replace("PerDay", "PerMinute");
    assert_eq!(verdict(429, &minute), family(Some("2026-11-23T10:00:45.578569677Z")));
}

#[test]
fn first_elements() {
    let check = |data: &str, expect: Verdict| {
        let headers = HeaderMap::new();
        let answer = Answer { status: StatusCode::OK, headers: &headers, body: data.as_bytes() };
        assert_eq!(judge_event(&answer, at(NOW)), expect, "{data}");
    };
    check(r#"{"candidates":[{"content":{"parts":[{"text":"{\"error\":{}}"}]}}]}"#, Verdict::Deliver);
    check(r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{}}"#, Verdict::Deliver);
    check("not json", Verdict::Deliver);
    check("", Verdict::Deliver);
    check(r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#, OVERLOADED);
    check(r#"{"error":{"status":"RESOURCE_EXHAUSTED","message":""}}"#, family(None));
    check(r#"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}"#, Verdict::CallersFault);
    check(r#"{"error":{"code":"invalid_request","message":"bad"}}"#, OVERLOADED);
    check(r#"{"error":{"code":7,"status":"PERMISSION_DENIED"}}"#, Verdict::Unsuited);
    check(r#"[{"error":{"code":401,"status":"UNAUTHENTICATED"}}]"#, NEEDS_AUTH);
    for (word, expect) in [
        ("FAILED_PRECONDITION", Verdict::CallersFault),
        ("UNAUTHENTICATED", NEEDS_AUTH),
        ("NOT_FOUND", Verdict::CallersFault),
        ("ABORTED", Verdict::CallersFault),
        ("OUT_OF_RANGE", Verdict::CallersFault),
        ("CANCELLED", OVERLOADED),
        ("DEADLINE_EXCEEDED", OVERLOADED),
        ("INTERNAL", OVERLOADED),
    ] {
        check(&format!(r#"{{"error":{{"status":"{word}"}}}}"#), expect);
    }
}
