//! A fault that another account could have absorbed is never the caller's.

use fake_upstream::{Answer, Before, End, Script};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::{
    support::{App, eventually},
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"[[say well met]]"}]}]}"#;

/// Two accounts of each provider, the first of which is asked first; the key; the ids of the firsts.
pub(crate) struct Pair {
    pub(crate) app: App,
    pub(crate) key: String,
    pub(crate) anthropic: String,
    pub(crate) gemini: String,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        let app = App::start().await;
        let anthropic = app.account("anthropic", "sk-ant-one", json!({})).await;
        app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
        let gemini = app.account("gemini", "AIza-one", json!({})).await;
        app.account("gemini", "AIza-two", json!({ "priority": 1 })).await;
        let key = app.key(json!({})).await;
        Self { app, key, anthropic, gemini }
    }

    fn calls(&self) -> [(&'static str, RequestBuilder); 5] {
        let Self { app, key, .. } = self;
        [
            ("anthropic", app.instance.messages(key, hello(false))),
            ("anthropic", app.instance.messages(key, hello(true))),
            ("gemini", app.instance.gemini(key, "gemini-2.5-pro:generateContent", PROMPT)),
            ("gemini", app.instance.gemini(key, "gemini-2.5-pro:streamGenerateContent?alt=sse", PROMPT)),
            ("gemini", app.instance.gemini(key, "gemini-2.5-pro:streamGenerateContent", PROMPT)),
        ]
    }

    fn first(&self, provider: &str) -> (&'static str, &str) {
        if provider == "anthropic" { ("sk-ant-one", &self.anthropic) } else { ("AIza-one", &self.gemini) }
    }
}

/// First event error overloaded → another account, caller sees one clean stream; Gemini's first chunk error likewise.
/// And whatever else fails before the first byte of an answer.
#[tokio::test]
async fn another_account_absorbs_what_comes_before_the_first_byte() {
    for (fault, verdict) in [
        (Answer::error_event_first(), "overloaded"),
        (Answer::after(Before::Reset), "unreachable"),
        (Answer::cut(0, End::Close), "unreachable"),
        (Answer::bad_gateway(), "overloaded"),
    ] {
        let pair = Pair::start().await;
        for (provider, request) in pair.calls() {
            pair.app.fake.clear();
            let (credential, account) = pair.first(provider);
            pair.app.fake.script(Script::once(fault.clone()).of(credential));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200, "{fault:?}");
            assert_eq!(answer.headers()["x-gateway-attempts"], "2", "{fault:?}");
            let text = answer.text().await.unwrap();
            assert!(text.contains("met") && !text.contains("error"), "one clean answer: {text}");
            assert!(text.matches("message_start\"").count() <= 1, "{text}");
            let row = pair.app.only_row().await;
            let attempts = row["attempts"].as_array().unwrap();
            let verdicts: Vec<_> = attempts.iter().map(|attempt| attempt["verdict"].as_str().unwrap()).collect();
            assert_eq!(verdicts, [verdict, "delivered"], "{row}");
            assert_eq!(attempts[0]["account"], *account);
            assert_eq!(row["status"], "completed");
            assert_eq!(row["account_id"], attempts[1]["account"]);
            assert_eq!(row["input_tokens"], pair.app.fake.seen()[1].answered.figures.unwrap().input);
            let failures = format!("select failures from accounts where id = '{account}'");
            let noted = || async { (pair.app.database.number(&failures).await == 1).then_some(()) };
            eventually("the failure is noted", noted).await;
            assert_eq!(pair.app.shown(account).await["state"], "ready", "one failure costs nothing");
            pair.app.instance.manage(reqwest::Method::POST, &format!("/api/accounts/{account}/reset"), None).await;
            pair.app.database.execute("delete from ledger").await;
        }
    }
}

/// What an upstream's no does to the account; each time the next account serves.
#[tokio::test]
async fn a_refused_account_sits_out_and_the_next_serves() {
    let in_an_hour = unix_now() + 3600;
    for (provider, fault, verdict, state, waits) in [
        // 401: out until it is fixed.
        ("anthropic", Answer::unauthorized(), "needs_auth", "needs_auth", None),
        // "credit balance is too low" → account off.
        ("anthropic", Answer::credit_too_low(), "exhausted", "exhausted", Some(600..=90_000)),
        // 429 with unified rejected 5h → cool until unified-reset.
        ("anthropic", Answer::window_spent("5h", in_an_hour), "rate_limited", "cooling", Some(3500..=3600)),
        // 400 API_KEY_INVALID → account off.
        ("gemini", Answer::gemini_key_invalid(), "needs_auth", "needs_auth", None),
        // 429 "prepayment credits" → exhausted.
        (
            "gemini",
            Answer::gemini_error(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
            "exhausted",
            "exhausted",
            Some(600..=90_000),
        ),
        // 402 → exhausted.
        (
            "gemini",
            Answer::gemini_error(402, "FAILED_PRECONDITION", "Payment required."),
            "exhausted",
            "exhausted",
            Some(600..=90_000),
        ),
    ] {
        let pair = Pair::start().await;
        let (credential, account) = pair.first(provider);
        pair.app.fake.script(Script::always(fault.clone()).of(credential));
        let call = || pair.calls().into_iter().find(|(of, _)| *of == provider).unwrap().1;
        let answer = call().send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["x-gateway-attempts"]),
            (StatusCode::OK, &"2".parse().unwrap()),
            "{fault:?}"
        );
        let shown = pair.app.comes_to(account, state).await;
        if let Some(waits) = waits {
            let until: jiff::Timestamp =
                shown["state_until"].as_str().unwrap_or_else(|| panic!("{shown}")).parse().unwrap();
            let left = until.as_second() - unix_now() as i64;
            assert!(waits.contains(&left), "{fault:?}: {left} s");
        } else {
            assert_eq!(shown["state_until"], Value::Null);
        }
        assert!(!shown["state_reason"].as_str().unwrap().is_empty() && !shown["last_error"].is_null(), "{shown}");
        // From now on it is not asked.
        assert_eq!(call().send().await.unwrap().headers()["x-gateway-attempts"], "1");
        let rows = pair.app.ledger().await;
        assert_eq!(rows[0]["attempts"][0]["verdict"], verdict, "{:#}", rows[0]);
        assert_eq!(pair.app.credentials().iter().filter(|seen| *seen == credential).count(), 1, "{fault:?}");
    }
}

fn unix_now() -> u64 {
    gateway::clock::now().as_second() as u64
}

/// Limits of one model family: 429 of the window `7d_oi` → only that family; a 429 without headers → that model; Google's
/// per-minute and per-day quotas → the pair of account and model. The account's other families serve on.
#[tokio::test]
async fn a_limit_of_one_model_leaves_the_others_alone() {
    let day_spent = Answer::gemini_day_spent("gemini-2.5-pro");
    let zero = Answer::gemini_error(
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for metric: x, limit: 0, model: gemini-2.5-pro",
    );
    for (provider, fault, waits) in [
        ("anthropic", Answer::window_spent("7d_oi", unix_now() + 3600), 3500..=3600),
        // The limits of an API key are per model.
        ("anthropic", Answer::rate_limited(40), 20..=41),
        ("anthropic", Answer::rate_limited_silently(), 25..=61),
        ("gemini", Answer::gemini_rate_limited("gemini-2.5-pro", "45.578569677s"), 30..=47),
        // PerDay with a 2 s RetryInfo: not 2 s, but until midnight in California.
        ("gemini", day_spent, 3..=90_000),
        ("gemini", zero, 600..=10_000_000),
    ] {
        let pair = Pair::start().await;
        let (credential, account) = pair.first(provider);
        pair.app.fake.script(Script::once(fault.clone()).of(credential));
        let calls = |model: &str| match provider {
            "anthropic" => pair.app.instance.messages(&pair.key, hello(false).replace("claude-sonnet-5-5", model)),
            _ => pair.app.instance.gemini(&pair.key, &format!("{model}:generateContent"), PROMPT),
        };
        let (spent, other) = if provider == "anthropic" {
            ("claude-fable-5-2", "claude-haiku-5-5")
        } else {
            ("gemini-2.5-pro", "gemini-2.5-flash")
        };
        assert_eq!(calls(spent).send().await.unwrap().headers()["x-gateway-attempts"], "2", "{fault:?}");
        eventually("the family sits out", || async {
            (pair.app.database.number("select count(*) from family_cooldowns").await == 1).then_some(())
        })
        .await;
        let left = pair.app.database.number("select extract(epoch from until - now()) from family_cooldowns").await;
        assert!(waits.contains(&left), "{fault:?}: {left} s");
        assert_eq!(pair.app.shown(account).await["state"], "ready");
        assert_eq!(calls(spent).send().await.unwrap().status(), 200);
        assert_eq!(calls(other).send().await.unwrap().status(), 200);
        let two = if provider == "anthropic" { "sk-ant-two" } else { "AIza-two" };
        assert_eq!(pair.app.credentials(), [credential, two, two, credential], "{fault:?}");
    }
}

/// 400 probing text relayed byte for byte, account untouched; Google's plain 400 relayed verbatim.
#[tokio::test]
async fn the_callers_own_mistakes_come_back_unchanged_at_once() {
    let pair = Pair::start().await;
    let probing = "Unexpected value(s) `thinking-token-count-2026-05-13` for the `anthropic-beta` header. credit balance is too low";
    let invalid =
        |status, kind| Answer::anthropic_error(status, kind, "messages: \u{e9} \"your credit balance is too low\"");
    for (provider, fault) in [
        ("anthropic", Answer::invalid_request(probing).with_header("x-should-retry", "false")),
        ("anthropic", invalid(400, "invalid_request_error")),
        ("anthropic", invalid(404, "not_found_error")),
        ("anthropic", invalid(413, "request_too_large")),
        ("anthropic", invalid(422, "invalid_request_error")),
        ("gemini", Answer::gemini_invalid("Invalid JSON payload received. Unknown name \"API_KEY_INVALID\"")),
        ("gemini", Answer::gemini_error(404, "NOT_FOUND", "cachedContents/x is not found")),
    ] {
        pair.app.fake.clear();
        pair.app.fake.script(Script::always(fault.clone()));
        for (_, request) in pair.calls().into_iter().filter(|(of, _)| *of == provider) {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), fault.status);
            assert_eq!(answer.headers()["x-gateway-attempts"], "1", "{fault:?}");
            let fake_upstream::Body::Text { text, .. } = &fault.body else { panic!("a text") };
            let body = answer.text().await.unwrap();
            assert!(body == *text || body == format!("[{}\n]", text.trim_end()), "verbatim: {body}");
        }
        for row in pair.app.ledger().await {
            assert_eq!((&row["status"], &row["http_status"]), (&json!("refused"), &json!(fault.status)), "{row}");
            assert_eq!((&row["input_tokens"], &row["cost_micros"]), (&Value::Null, &json!(0)), "{row}");
            assert_eq!(row["attempts"].as_array().unwrap().len(), 1);
        }
        pair.app.database.execute("delete from ledger").await;
    }
    for account in [&pair.anthropic, &pair.gemini] {
        let shown = pair.app.shown(account).await;
        assert_eq!((&shown["state"], &shown["last_error"]), (&json!("ready"), &Value::Null));
    }
}

/// All candidates used up → the most telling upstream error, unchanged; the attempts are in the ledger row.
#[tokio::test]
async fn when_all_accounts_fail_the_most_telling_error_comes_back() {
    let pair = Pair::start().await;
    pair.app.account("anthropic", "sk-ant-three", json!({ "priority": 2 })).await;
    let limited = Answer::rate_limited(90);
    pair.app.fake.script(Script::always(Answer::unauthorized()).of("sk-ant-one"));
    pair.app.fake.script(Script::always(limited.clone()).of("sk-ant-two"));
    pair.app.fake.script(Script::always(Answer::overloaded()).of("sk-ant-three"));
    let answer = pair.app.instance.messages(&pair.key, hello(true)).send().await.unwrap();
    let headers = answer.headers().clone();
    assert_eq!((answer.status().as_u16(), &headers["x-gateway-attempts"]), (429, &"3".parse().unwrap()));
    assert_eq!(
        (&headers["retry-after"], &headers["x-should-retry"]),
        (&"90".parse().unwrap(), &"false".parse().unwrap())
    );
    let fake_upstream::Body::Text { text, .. } = &limited.body else { panic!("a text") };
    assert_eq!(answer.text().await.unwrap(), *text);
    let row = pair.app.only_row().await;
    let verdicts: Vec<_> =
        row["attempts"].as_array().unwrap().iter().map(|a| (a["verdict"].clone(), a["status"].clone())).collect();
    let expect = [("needs_auth", 401), ("rate_limited", 429), ("overloaded", 529)];
    assert_eq!(verdicts, expect.map(|(verdict, status)| (json!(verdict), json!(status))), "{row}");
    assert_eq!((&row["status"], &row["http_status"], &row["cost_micros"]), (&json!("failed"), &json!(429), &json!(0)));
}

#[tokio::test]
async fn an_upstream_that_is_away_is_told_as_503() {
    let (app, key) = App::ready().await;
    app.fake.script(Script::always(Answer::after(Before::Reset)));
    let answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().get("x-should-retry")), (503, None));
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["type"], "api_error");
    let row = app.only_row().await;
    assert_eq!((&row["status"], &row["attempts"][0]["verdict"]), (&json!("failed"), &json!("unreachable")), "{row}");
}

/// All cooling → 429 with the earliest reset as `retry-after`, and as `RetryInfo` for Gemini; over a minute the client is
/// told not to wait.
#[tokio::test]
async fn when_all_are_cooling_the_earliest_reset_is_told() {
    let pair = Pair::start().await;
    for (one, two, waits, final_word) in [(30, 500, 20..=31, None), (300, 500, 280..=301, Some("false"))] {
        pair.app
            .database
            .execute(&format!(
                "update accounts set health = 'cooling',
             health_until = now() + interval '1 second' * case when name like '%one' then {one} else {two} end"
            ))
            .await;
        // Other instances notice within seconds; a new one at once.
        let fresh = pair.app.neighbour().await;
        let answer = fresh.messages(&pair.key, hello(true)).send().await.unwrap();
        let wait: i64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(answer.status() == 429 && waits.contains(&wait), "{wait}");
        assert_eq!(answer.headers().get("x-should-retry").map(|value| value.to_str().unwrap()), final_word);
        let answer = fresh.gemini(&pair.key, "gemini-2.5-pro:generateContent", PROMPT).send().await.unwrap();
        assert_eq!(answer.status(), 429);
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let details = &body["error"]["details"][0];
        assert_eq!(details["@type"], "type.googleapis.com/google.rpc.RetryInfo", "{body}");
        let delay: i64 = details["retryDelay"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
        assert!(waits.contains(&delay), "{body}");
        assert!(!body.to_string().contains("quota"), "nothing that reads as a daily quota: {body}");
    }
    assert_eq!(pair.app.fake.seen().len(), 0);
    assert_eq!(pair.app.ledger().await.len(), 0, "nothing was claimed");
}
