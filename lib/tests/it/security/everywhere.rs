//! What holds of a key on one path holds on all of them.

use gateway::clock;
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{
        App, Instance, eventually,
        keys::{change, issue},
        soon,
    },
    walk::hello,
};

const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
const PATHS: [&str; 9] = [
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1beta/models/gemini-2.5-pro:generateContent",
    "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    "/v1beta/models/gemini-2.5-pro:countTokens",
    "/v1beta/models/gemini-embedding-001:embedContent",
    "/v1internal:generateContent",
    "/v1internal:streamGenerateContent?alt=sse",
    "/v1internal:countTokens",
];

/// The same call with the key as the caller's, and beside a login of the caller's own.
fn calls(instance: &Instance, path: &str, key: &str) -> [RequestBuilder; 2] {
    let contents = json!({ "model": "models/gemini-2.5-pro", "contents": [] });
    let body = match path {
        _ if path.ends_with("internal:countTokens") => json!({ "request": contents }).to_string(),
        _ if path.starts_with("/v1internal") => {
            json!({ "model": "gemini-2.5-pro", "project": "p", "request": { "contents": [] } }).to_string()
        }
        _ if path.starts_with("/v1/") => hello(false),
        _ => PROMPT.to_owned(),
    };
    let call = || instance.request(Method::POST, path).body(body.clone());
    [call().bearer_auth(key), call().bearer_auth("callers-own-login").header("x-gateway-key", key)]
}

/// Changes of a key that has been used, and what its requests are told from then on by Anthropic's paths and by Gemini's;
/// `None`: the rule is none for these.
fn rules() -> Vec<(Value, [Option<u16>; 2])> {
    let both = |status| [Some(status), Some(status)];
    let mut rules = vec![
        (json!({ "allowed_cidrs": ["192.0.2.0/24"] }), both(403)),
        (json!({ "role": "viewer" }), both(403)),
        (json!({ "models": ["other-*"] }), both(400)),
        (json!({ "providers": ["gemini"] }), [Some(403), None]),
        (json!({ "providers": ["anthropic"] }), [None, Some(403)]),
        (json!("expiry"), [Some(401), Some(400)]),
    ];
    let limits = [
        json!({ "requests_per_minute": 1 }),
        json!({ "tokens_per_minute": 1 }),
        json!({ "requests_per_day": 1 }),
        json!({ "tokens_per_day": 1 }),
        json!({ "cost_per_day_usd": 0.000001 }),
        json!({ "cost_per_week_usd": 0.000001 }),
        json!({ "cost_per_month_usd": 0.000001 }),
        json!({ "cost_total_usd": 0.000001 }),
        json!({ "windows": [{ "hours": 5, "requests": 1 }] }),
        json!({ "windows": [{ "hours": 5, "tokens": 1 }] }),
        json!({ "windows": [{ "hours": 5, "cost_usd": 0.000001 }] }),
    ];
    rules.extend(limits.map(|limit| (json!({ "limits": limit }), both(429))));
    rules
}

/// A10: each rule of a key, on every path that models are called by, with a login of one's own too, from the very next
/// request on, on instances that remember the key as it was: nothing is sent.
#[tokio::test]
async fn every_rule_of_a_key_holds_on_every_path() {
    let (app, _) = App::ready().await;
    app.login("gemini", 3_600).await;
    let neighbour = app.neighbour().await;
    let instances = [&app.instance, &neighbour];
    for (rule, statuses) in rules() {
        // Minutes are counted only for keys that have such a limit.
        let limits = json!({ "requests_per_minute": 1_000, "tokens_per_minute": 1_000_000 });
        let (id, key) = issue(&app, json!({ "allow_passthrough": true, "limits": limits })).await;
        for instance in instances {
            assert_eq!(instance.messages(&key, hello(false)).send().await.unwrap().status(), 200, "{rule}");
        }
        app.ledger().await;
        let rule = if rule == json!("expiry") { json!({ "expires_at": soon(5) }) } else { rule };
        change(&app, &id, rule.clone()).await;
        if let Some(end) = rule["expires_at"].as_str() {
            let end: Timestamp = end.parse().unwrap();
            eventually("it has expired", || async { (clock::now() > end).then_some(()) }).await;
        }
        refuses(&app, instances, &key, &rule, statuses).await;
    }
    let (id, key) = issue(&app, json!({ "allow_passthrough": true })).await;
    for instance in instances {
        assert_eq!(instance.messages(&key, hello(false)).send().await.unwrap().status(), 200);
    }
    app.instance.manage(Method::DELETE, &format!("/api/keys/{id}"), None).await;
    refuses(&app, instances, &key, &json!("revoked"), [Some(401), Some(400)]).await;
}

/// The first requests go to an instance each.
async fn refuses(
    app: &App,
    instances: [&Instance; 2],
    key: &str,
    rule: &Value,
    [anthropics, geminis]: [Option<u16>; 2],
) {
    let sent = app.fake.seen().len();
    let mut turn = 0;
    for path in PATHS {
        let Some(status) = (if path.starts_with("/v1/") { anthropics } else { geminis }) else { continue };
        for login in 0..2 {
            turn += 1;
            let [by_key, by_login] = calls(instances[turn % 2], path, key);
            let answer = if login == 0 { by_key } else { by_login }.send().await.unwrap();
            let (got, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            assert_eq!(got, status, "{rule} {path}: {text}");
        }
    }
    assert_eq!(app.fake.seen().len(), sent, "{rule}: nothing went upstream");
}
