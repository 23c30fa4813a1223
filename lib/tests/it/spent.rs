//! Money that is easily forgotten: of attempts that failed after they had cost, of streams that were cut, of a process that
//! was told to stop.

use fake_upstream::{Answer, Before, Body, Chunk, End, Figures, Lifelike, Script};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{App, eventually},
    walk::hello,
};

const START: &str = r#"event: message_start
data: {"type":"message_start","message":{"model":"claude-sonnet-5-5","usage":{"input_tokens":100,"cache_read_input_tokens":2000,"cache_creation_input_tokens":300,"output_tokens":1}}}

"#;
const OVERLOADED: &str =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"[[words 6]]"}]}]}"#;
const KINDS: [&str; 8] =
    ["input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "thinking", "tool_use", "searches"];

/// What [`START`] says.
fn started() -> Figures {
    Figures { input: 100, cache_read: 2000, cache_write_5m: 300, output: 1, ..Figures::default() }
}

fn by_kind(said: Figures) -> [u64; 8] {
    [
        said.input,
        said.output,
        said.cache_read,
        said.cache_write_5m,
        said.cache_write_1h,
        said.thinking,
        said.tool_use,
        said.searches,
    ]
}

/// This text in one piece, then this end.
fn stream(text: &str, end: End, figures: Figures) -> Answer {
    let body = Body::Chunks(vec![Chunk { after_ms: 0, data: text.to_owned().into() }]);
    Answer { body, end, figures: Some(figures), ..Answer::default() }
}

/// First answers that fail after they have told their use, for a caller of either API.
fn costly_failures() -> Vec<(&'static str, &'static str, Answer)> {
    let half = &START[..START.len() - 4];
    let overloaded = json!({
        "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" },
        "usage": { "input_tokens": 70, "output_tokens": 9 },
    });
    let unavailable = json!({ "code": 503, "status": "UNAVAILABLE", "message": "The model is overloaded." });
    let said = Figures { input: 70, output: 9, ..Figures::default() };
    let usage = json!({ "promptTokenCount": 70, "candidatesTokenCount": 9, "totalTokenCount": 79 });
    let chunk = format!(
        "data: {}\r\n\r\ndata: {}\r\n\r\n",
        json!({ "candidates": [{ "content": { "parts": [] } }], "usageMetadata": usage }),
        json!({ "error": unavailable }),
    );
    let failed = json!({ "error": unavailable, "usageMetadata": usage });
    let sse = "gemini-2.5-pro:streamGenerateContent?alt=sse";
    vec![
        ("anthropic", "stream", stream(&format!("{START}{OVERLOADED}"), End::Clean, started())),
        ("anthropic", "stream", stream(half, End::Reset, started())),
        ("anthropic", "stream", stream(half, End::Close, started())),
        ("anthropic", "plain", Answer { figures: Some(said), ..Answer::json(529, overloaded) }),
        ("gemini", sse, stream(&chunk, End::Clean, said)),
        ("gemini", "gemini-2.5-pro:generateContent", Answer { figures: Some(said), ..Answer::json(503, failed) }),
    ]
}

async fn ask(app: &App, key: &str, provider: &str, call: &str) -> reqwest::Response {
    let request = match provider {
        "anthropic" => app.instance.messages(key, hello(call == "stream")),
        _ => app.instance.gemini(key, call, PROMPT),
    };
    request.send().await.unwrap()
}

/// Two accounts of each provider, the first of which is always asked first.
async fn two_of_each() -> (App, String) {
    let app = App::start().await;
    for (provider, first, second) in [("anthropic", "sk-ant-one", "sk-ant-two"), ("gemini", "AIza-one", "AIza-two")] {
        app.account(provider, first, json!({})).await;
        app.account(provider, second, json!({ "priority": 1 })).await;
    }
    let key = app.key(json!({})).await;
    (app, key)
}

/// The only request as the API shows it.
async fn shown(app: &App) -> Value {
    let id = app.only_row().await["id"].as_str().unwrap().to_owned();
    app.instance.manage(Method::GET, &format!("/api/stats/requests/{id}"), None).await
}

fn micros(dollars: &Value) -> i64 {
    (dollars.as_f64().unwrap_or_else(|| panic!("{dollars} is no sum")) * 1e6).round() as i64
}

/// Tokens and cost of a row are those of its attempts together.
fn adds_up(shown: &Value) {
    let attempts = shown["attempts"].as_array().unwrap();
    for kind in KINDS {
        let sum: u64 = attempts.iter().filter_map(|attempt| attempt["tokens"][kind].as_u64()).sum();
        assert_eq!(shown["tokens"][kind].as_u64().unwrap_or(0), sum, "{kind}: {shown:#}");
    }
    let sum: i64 = attempts.iter().map(|attempt| micros(&attempt["cost_usd"])).sum();
    assert_eq!(micros(&shown["cost_usd"]), sum, "{shown:#}");
}

/// D2: attempt 1 sends usage then dies: attempts[] carry tokens and cost, sum = upstream's. The caller sees nothing of it.
#[tokio::test]
async fn d2_an_attempt_that_failed_after_it_told_its_use_has_cost_money_too() {
    for (provider, call, failure) in costly_failures() {
        let (app, key) = two_of_each().await;
        app.fake.script(Script::once(failure.clone()));
        let answer = ask(&app, &key, provider, call).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
        let text = answer.text().await.unwrap();
        assert!(!text.contains("verloaded") && !text.contains("\"input_tokens\":100,"), "{text}");
        app.fake.idle().await;

        let shown = shown(&app).await;
        let seen = app.fake.seen();
        let said: Vec<_> = seen.iter().map(|seen| seen.answered.figures.unwrap()).map(by_kind).collect();
        // A piece that breaks off has been sent, whatever became of it.
        let said = if said[0] == [0; 8] { vec![by_kind(failure.figures.unwrap()), said[1]] } else { said };
        let attempts = shown["attempts"].as_array().unwrap();
        assert_eq!((attempts.len(), said.len()), (2, 2), "{shown:#}");
        for (attempt, said) in attempts.iter().zip(&said) {
            for (kind, said) in KINDS.iter().zip(said) {
                assert_eq!(attempt["tokens"][*kind], *said, "{kind}: {failure:?} {shown:#}");
            }
            assert!(micros(&attempt["cost_usd"]) > 0, "{shown:#}");
        }
        adds_up(&shown);
        assert_eq!((&shown["status"], &attempts[1]["verdict"]), (&json!("completed"), &json!("delivered")));
        assert_ne!(attempts[0]["account"], attempts[1]["account"]);
        // What limits go by is the whole.
        let key = app.instance.manage(Method::GET, "/api/keys", None).await["data"][0].clone();
        assert_eq!(micros(&key["usage_today"]["cost_usd"]), micros(&shown["cost_usd"]), "{key:#}");
    }
}

/// D2 where nobody serves: what every attempt told is on the books, and the caller gets the failure.
#[tokio::test]
async fn d2_attempts_that_all_failed_have_all_cost_money() {
    let (app, key) = two_of_each().await;
    app.instance.manage(Method::PUT, "/api/routing/default/anthropic", Some(json!({ "max_attempts": 2 }))).await;
    app.fake.script(Script::always(stream(&format!("{START}{OVERLOADED}"), End::Clean, started())));
    let text = ask(&app, &key, "anthropic", "stream").await.text().await.unwrap();
    assert!(text.contains("overloaded_error"), "{text}");
    let shown = shown(&app).await;
    assert_eq!((&shown["status"], &shown["error"]), (&json!("failed"), &json!("200: Overloaded")), "{shown:#}");
    assert_eq!((&shown["tokens"]["input"], &shown["tokens"]["cache_read"]), (&json!(200), &json!(4000)), "{shown:#}");
    adds_up(&shown);
}

/// D2 where the caller leaves in the second attempt: the first has cost what it told, the second what can be guessed.
#[tokio::test]
async fn d2_a_caller_who_leaves_in_the_second_attempt_is_charged_for_both() {
    let (app, key) = two_of_each().await;
    app.fake.script(Script::once(stream(&format!("{START}{OVERLOADED}"), End::Clean, started())));
    app.fake.script(Script::always(Answer::after(Before::Held)));
    tokio::select! {
        answer = app.instance.messages(&key, hello(true)).send() => panic!("it is held: {answer:?}"),
        () = app.fake.arrived(2) => {}
    }
    let shown = shown(&app).await;
    let verdicts: Vec<_> = shown["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["verdict"]).collect();
    assert_eq!(verdicts, ["overloaded", "abandoned"], "{shown:#}");
    assert_eq!((&shown["status"], &shown["estimated"]), (&json!("cancelled"), &json!(true)), "{shown:#}");
    assert_eq!(shown["attempts"][0]["tokens"]["cache_read"], 2000);
    let second = &shown["attempts"][1];
    assert!(second["tokens"]["input"].as_u64().unwrap() > 0 && micros(&second["cost_usd"]) > 0, "{shown:#}");
    adds_up(&shown);
}

/// D2 where the instance dies in the second attempt: the row that is given up as lost knows of the first.
#[tokio::test]
async fn d2_a_request_lost_in_the_second_attempt_is_charged_for_both() {
    let (app, key) = two_of_each().await;
    app.fake.script(Script::once(stream(&format!("{START}{OVERLOADED}"), End::Clean, started())));
    app.fake.script(Script::once(Answer::held_after(2)));
    let mut answer = ask(&app, &key, "anthropic", "stream").await;
    answer.chunk().await.unwrap().unwrap();
    app.give_up().await;
    let id = eventually("it is given up", || async {
        let lost = "select * from ledger where status = 'lost'";
        app.database.rows(lost).await.pop().map(|row| row["id"].as_str().unwrap().to_owned())
    })
    .await;
    let lost = app.instance.manage(Method::GET, &format!("/api/stats/requests/{id}"), None).await;
    let attempts = lost["attempts"].as_array().unwrap();
    let verdicts: Vec<_> = attempts.iter().map(|attempt| &attempt["verdict"]).collect();
    assert_eq!(verdicts, ["overloaded", "lost"], "{lost:#}");
    assert_eq!(attempts[1]["account"], lost["account"], "{lost:#}");
    assert!(lost["tokens"]["input"].as_u64().unwrap() > 100 && lost["tokens"]["cache_read"] == 2000, "{lost:#}");
    adds_up(&lost);

    app.fake.release(1);
    while answer.chunk().await.unwrap().is_some() {}
    let truth = eventually("the truth is written", || async {
        let row = app.instance.manage(Method::GET, &format!("/api/stats/requests/{id}"), None).await;
        (row["status"] == "completed").then_some(row)
    })
    .await;
    assert_eq!(truth["tokens"]["cache_read"], 2000, "{truth:#}");
    adds_up(&truth);
}

/// What an attempt used counts against the minute of the account that was asked, and of no other.
#[tokio::test]
async fn an_accounts_minute_holds_its_own_attempts_tokens() {
    let app = App::start().await;
    let limit = json!({ "tokens_per_minute": 1_000_000 });
    app.account("anthropic", "sk-ant-one", limit.clone()).await;
    let second = app.account("anthropic", "sk-ant-two", json!({ "tokens_per_minute": 1_000_000, "priority": 1 })).await;
    let key = app.key(json!({})).await;
    app.fake.script(Script::once(stream(&format!("{START}{OVERLOADED}"), End::Clean, started())));
    ask(&app, &key, "anthropic", "stream").await.text().await.unwrap();
    app.only_row().await;
    let said = app.fake.seen()[1].answered.figures.unwrap();
    let counted = format!("select coalesce(sum(tokens), 0)::bigint from minutes where account_id = '{second}'");
    assert_eq!(app.database.number(&counted).await, i64::try_from(said.input + said.output).unwrap());
}

/// What costs nothing takes back what the claim had put down for it, and is settled.
#[tokio::test]
async fn a_count_of_tokens_leaves_an_accounts_minute_as_it_was() {
    let app = App::start().await;
    app.account("anthropic", "sk-ant-one", json!({ "tokens_per_minute": 1_000_000 })).await;
    let key = app.key(json!({})).await;
    let count = app.instance.request(Method::POST, "/v1/messages/count_tokens").header("x-api-key", &key);
    assert_eq!(count.body(hello(false)).send().await.unwrap().status(), 200);
    assert_eq!(app.only_row().await["status"], "completed");
    assert_eq!(app.database.number("select coalesce(sum(tokens), 0)::bigint from minutes").await, 0);
}

/// An only attempt has used what the request has.
#[tokio::test]
async fn an_only_attempt_is_shown_with_all_that_was_used() {
    let (app, key) = App::ready().await;
    ask(&app, &key, "anthropic", "stream").await.text().await.unwrap();
    let shown = shown(&app).await;
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(shown["attempts"][0]["tokens"], shown["tokens"]);
    assert!(micros(&shown["cost_usd"]) > 0);
    adds_up(&shown);
}

/// A message whose prompt goes into the cache.
fn long(text: &str) -> String {
    json!({
        "model": "claude-sonnet-5-5", "max_tokens": 64, "stream": true,
        "system": [{ "type": "text", "text": "long ".repeat(400), "cache_control": { "type": "ephemeral" } }],
        "messages": [{ "role": "user", "content": text }],
    })
    .to_string()
}

/// D1: hang up, and cut the upstream, after every event: one row with `message_start`'s input and cache tokens, and what
/// limits go by moves.
#[tokio::test]
async fn d1_after_every_event_there_is_one_row_with_the_prompts_figures() {
    const EVENTS: usize = 7;
    let (app, key) = App::ready().await;
    app.forgive().await;
    let mut spent = 0;
    for events in 1..=EVENTS {
        for leaves in [false, true] {
            app.fake.clear();
            let end = if events.is_multiple_of(2) { End::Reset } else { End::Close };
            let bent = if leaves { Answer::held_after(events) } else { Answer::cut(events, end) };
            app.fake.script(Script::once(bent));
            let mut answer = app.instance.messages(&key, long("[[words 9]]")).send().await.unwrap();
            let mut text = String::new();
            while text.matches("event: ").count() < events || !leaves {
                let Some(chunk) = answer.chunk().await.unwrap() else { break };
                text += std::str::from_utf8(&chunk).unwrap();
            }
            drop(answer);
            app.fake.idle().await;
            let shown = shown(&app).await;
            let said = app.only_seen().answered.figures.unwrap();
            assert!(said.cache_write_5m > 0, "{said:?}");
            for (kind, said) in
                [("input", said.input), ("cache_read", said.cache_read), ("cache_write_5m", said.cache_write_5m)]
            {
                assert_eq!(shown["tokens"][kind], said, "{kind} after {events}: {shown:#}");
            }
            adds_up(&shown);
            spent += micros(&shown["cost_usd"]);
            let key = app.instance.manage(Method::GET, "/api/keys", None).await["data"][0].clone();
            assert_eq!(micros(&key["usage_month"]["cost_usd"]), micros(&shown["cost_usd"]), "{key:#}");
            app.database.execute("delete from ledger; delete from key_usage").await;
        }
    }
    assert!(spent > 0);
}

/// D1: SIGTERM mid-stream. The process waits for the stream; however that ends then, there is one row with
/// `message_start`'s input and cache tokens before the process is gone.
#[tokio::test]
async fn d1_a_process_told_to_stop_mid_stream_writes_the_row_however_the_stream_ends() {
    for (leaves, status) in [(true, "cancelled"), (false, "failed")] {
        let (mut app, key) = App::ready().await;
        let cut = Lifelike { hold_after_events: Some(2), cut_after_events: Some(3), ..Lifelike::default() };
        app.fake.script(Script::once(Answer { end: End::Reset, ..Answer::lifelike(cut) }));
        let mut answer = app.instance.messages(&key, long("[[words 9]]")).send().await.unwrap();
        answer.chunk().await.unwrap().unwrap();
        let ends = async {
            if leaves {
                return drop(answer);
            }
            app.fake.release(1);
            while answer.chunk().await.unwrap().is_some() {}
        };
        tokio::join!(ends, app.instance.drain());
        // Not waited for: it is there because the drain is over.
        let rows = app.database.rows("select * from ledger").await;
        assert_eq!((rows.len(), &rows[0]["status"]), (1, &json!(status)), "{rows:#?}");
        let said = app.only_seen().answered.figures.unwrap();
        assert!(said.cache_write_5m > 0, "{said:?}");
        assert_eq!(
            (&rows[0]["input_tokens"], &rows[0]["cache_write_5m_tokens"]),
            (&json!(said.input), &json!(said.cache_write_5m)),
            "{rows:#?}"
        );
        assert!(rows[0]["cost_micros"].as_u64().unwrap() > 0 && rows[0]["estimated"] == true, "{rows:#?}");
        assert_eq!(app.database.number("select count(*) from leases").await, 0);
    }
}
