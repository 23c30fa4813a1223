//! Nothing is unaccounted for: whatever happens, one row a request, and it says what the upstream said.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use fake_upstream::{Answer, Before, End, Script, Seen};
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{App, Chance, eventually},
    walk::hello,
};

const REQUESTS: usize = 200;
const ACCOUNTS: usize = 4;
/// The columns of the ledger that the sums of `/api/stats/summary` go by, in its words.
const TOKENS: [(&str, &str); 8] = [
    ("input", "input_tokens"),
    ("output", "output_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write_5m", "cache_write_5m_tokens"),
    ("cache_write_1h", "cache_write_1h_tokens"),
    ("thinking", "thinking_tokens"),
    ("tool_use", "tool_use_tokens"),
    ("searches", "searches"),
];

/// How one of the mixed requests goes.
#[derive(Debug, Clone, Copy)]
enum Course {
    Finishes,
    /// The caller leaves after so many events.
    HangsUp(usize),
    /// The caller leaves before the head.
    LeavesEarly,
    Cut(usize, End),
    Refused,
    /// One account fails, another serves.
    Moves(fn() -> Answer),
    FailsInside(usize),
}

impl Course {
    fn draw(chance: &mut Chance, streams: bool) -> Self {
        let events = 1 + chance.below(4);
        match chance.below(if streams { 12 } else { 6 }) {
            0..=2 => Self::Finishes,
            3 => Self::Refused,
            4 => Self::LeavesEarly,
            5 => Self::Moves(
                [Answer::overloaded, Answer::internal_error, || Answer::after(Before::Reset)][chance.below(3)],
            ),
            6..=8 => Self::HangsUp(events),
            9 => Self::FailsInside(events),
            10 => Self::Cut(events, End::Reset),
            _ => Self::Cut(events, End::Close),
        }
    }

    /// What the fake is told for it.
    fn answer(self, anthropic: bool) -> Option<Answer> {
        match self {
            Self::Finishes => None,
            Self::HangsUp(events) => Some(Answer::held_after(events)),
            Self::LeavesEarly => Some(Answer::after(Before::Hang)),
            Self::Cut(events, end) => Some(Answer::cut(events, end)),
            Self::Refused if anthropic => Some(Answer::invalid_request("max_tokens: must be positive")),
            Self::Refused => Some(Answer::gemini_invalid("Invalid value")),
            Self::Moves(fault) => Some(fault()),
            Self::FailsInside(events) => Some(Answer::error_event_after(events)),
        }
    }
}

/// One of the mixed requests: its number is in its query, for its script, and in its user agent, for the books.
struct Mixed {
    number: usize,
    verb: &'static str,
    course: Course,
}

impl Mixed {
    fn draw(number: usize) -> Self {
        let chance = &mut Chance::of(number as u64 + 77);
        let verb = chance.pick(&[
            "messages",
            "messages?stream",
            "messages?stream",
            "messages/count_tokens",
            ":generateContent",
            ":streamGenerateContent",
            ":streamGenerateContent?alt=sse",
            ":streamGenerateContent?alt=sse",
            ":embedContent",
        ]);
        Self { number, verb, course: Course::draw(chance, verb.contains("tream")) }
    }

    fn request(&self, app: &App, key: &str) -> RequestBuilder {
        let n = self.number;
        let request = match self.verb {
            "messages" | "messages?stream" => {
                let cache = if n.is_multiple_of(2) {
                    r#","system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]"#
                } else {
                    ""
                };
                let tail = format!(r#""max_tokens":64,"thinking":{{"type":"enabled","budget_tokens":20}}{cache}}}"#);
                let body = hello(self.verb != "messages").replace("\"max_tokens\":64,", "");
                let body = format!("{},{tail}", &body[..body.len() - 1]);
                app.instance.request(Method::POST, &format!("/v1/messages?n={n}&")).body(body)
            }
            "messages/count_tokens" => {
                app.instance.request(Method::POST, &format!("/v1/messages/count_tokens?n={n}&")).body(hello(false))
            }
            verb => {
                let mark = if verb.contains('?') { '&' } else { '?' };
                let mut body = json!({ "contents": [{ "parts": [{ "text": "[[words 6]] [[search 1]]" }] }] });
                if verb == ":embedContent" {
                    body = json!({ "content": { "parts": [{ "text": "x" }] }, "outputDimensionality": 3 });
                }
                let path = format!("/v1beta/models/gemini-3.8-flash{verb}{mark}n={n}&");
                app.instance.request(Method::POST, &path).body(body.to_string())
            }
        };
        request.bearer_auth(key).header("anthropic-version", "2023-06-01").header("user-agent", format!("mixed-{n}"))
    }

    async fn play(&self, app: &App, key: &str) {
        let request = self.request(app, key);
        match self.course {
            Course::LeavesEarly => {
                let arrived = eventually("the request is upstream", || async { self.seen(app).pop() });
                tokio::select! {
                    answer = request.send() => panic!("{}: it hangs: {answer:?}", self.number),
                    _ = arrived => {}
                }
            }
            Course::HangsUp(events) => {
                let mut answer = request.send().await.unwrap();
                let mut text = String::new();
                while text.matches("\ndata: ").count().max(text.matches("\"candidates\"").count()) < events {
                    text += &String::from_utf8_lossy(&answer.chunk().await.unwrap().expect("more is to come"));
                }
            }
            _ => {
                let answer = request.send().await.unwrap();
                let _whole_or_not = answer.bytes().await;
            }
        }
    }

    fn seen(&self, app: &App) -> Vec<Seen> {
        let agent = format!("mixed-{}", self.number);
        app.fake.seen().into_iter().filter(|seen| seen.header_values("user-agent") == [agent.as_str()]).collect()
    }

    fn check(&self, row: &Value, seen: &[Seen]) {
        let what = format!("{} {:?} {row:#}", self.verb, self.course);
        let free = self.verb.contains("count_tokens");
        let said = seen.last().and_then(|seen| seen.answered.figures);
        let status = match self.course {
            Course::Finishes | Course::Moves(_) => "completed",
            Course::HangsUp(_) | Course::LeavesEarly => "cancelled",
            Course::Cut(..) | Course::FailsInside(_) => "failed",
            Course::Refused => "refused",
        };
        assert_eq!(row["status"], status, "{what}");
        assert_eq!(
            row["attempts"].as_array().unwrap().len(),
            match self.course {
                Course::Moves(_) => 2,
                _ => 1,
            },
            "{what}"
        );
        match self.course {
            Course::Finishes | Course::Moves(_) if !free => {
                let said = said.unwrap_or_else(|| panic!("{what}"));
                let said = [
                    said.input,
                    said.output,
                    said.cache_read,
                    said.cache_write_5m,
                    said.cache_write_1h,
                    said.thinking,
                    said.tool_use,
                    said.searches,
                ];
                for ((_, column), said) in TOKENS.iter().zip(said) {
                    assert_eq!(row[*column], said, "{column}: {what}");
                }
                assert_eq!(row["estimated"], false, "{what}");
                assert!(row["cost_micros"].as_u64().unwrap() > 0, "{what}");
            }
            Course::HangsUp(_) | Course::LeavesEarly | Course::Cut(..) | Course::FailsInside(_) if !free => {
                assert_eq!(row["estimated"], true, "{what}");
                assert!(
                    row["input_tokens"].as_u64().unwrap() > 0 && row["cost_micros"].as_u64().unwrap() > 0,
                    "{what}"
                );
                if let Some(said) = said {
                    assert_eq!(row["input_tokens"], said.input, "as its first event said: {what}");
                    assert_eq!(row["cache_write_1h_tokens"], said.cache_write_1h, "{what}");
                    assert!(row["output_tokens"].as_u64().unwrap() >= said.output, "{what}");
                }
            }
            _ => assert_eq!((&row["cost_micros"], &row["unpriced"]), (&json!(0), &json!(false)), "{what}"),
        }
    }
}

/// For 200 mixed requests (stream, plain, hang-ups, upstream errors) every request is one ledger row; where the fake
/// upstream said a figure, the ledger has it token for token; where it could not, the row is marked estimated and is not
/// zero; no lease is left; the sums of `/api/stats/summary` are the ledger's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_mixed_requests_are_two_hundred_true_rows() {
    let app = App::start().await;
    for n in 0..ACCOUNTS {
        app.account("anthropic", &format!("sk-ant-{n}"), json!({})).await;
        app.account("gemini", &format!("AIza-{n}"), json!({})).await;
    }
    let key = app.key(json!({})).await;
    let mixed: Vec<_> = (0..REQUESTS).map(Mixed::draw).collect();
    for request in &mixed {
        if let Some(answer) = request.course.answer(request.verb.starts_with("messages")) {
            app.fake.script(Script::once(answer).on(&format!("n={}&", request.number)));
        }
    }
    // Faults of many requests at once put no account out here: each request finds another to move to.
    let policy = json!({ "cooldown": { "failure_threshold": REQUESTS } });
    for provider in ["anthropic", "gemini"] {
        app.instance.manage(Method::PUT, &format!("/api/routing/default/{provider}"), Some(policy.clone())).await;
    }
    for batch in mixed.chunks(40) {
        join_all(batch.iter().map(|request| request.play(&app, &key))).await;
    }
    app.fake.idle().await;
    let rows = app.ledger().await;
    assert_eq!(rows.len(), REQUESTS);
    for request in &mixed {
        let agent = format!("mixed-{}", request.number);
        let mine: Vec<_> = rows.iter().filter(|row| row["client"] == *agent).collect();
        assert_eq!(mine.len(), 1, "{agent}: {mine:#?}");
        request.check(mine[0], &request.seen(&app));
    }
    let summary = app.instance.manage(Method::GET, "/api/stats/summary", None).await;
    assert_eq!((&summary["requests"], &summary["in_flight"]), (&json!(REQUESTS), &json!(0)));
    for (word, column) in TOKENS {
        let sum: u64 = rows.iter().filter_map(|row| row[column].as_u64()).sum();
        assert_eq!(summary["tokens"][word], sum, "{word}");
    }
    let micros: u64 = rows.iter().filter_map(|row| row["cost_micros"].as_u64()).sum();
    assert_eq!((summary["cost_usd"].as_f64().unwrap() * 1e6).round() as u64, micros);
    for status in ["failed", "refused", "cancelled", "lost"] {
        let count = rows.iter().filter(|row| row["status"] == status).count();
        assert_eq!(summary["failed"][status], count, "{status}");
    }
}

/// `message_start` only, then reset: the record has the prompt's figures and an estimated output. And so after every other
/// event: cut by the upstream, or left by the caller.
#[tokio::test]
async fn after_every_event_the_row_knows_what_was_said() {
    const EVENTS: usize = 8;
    let (app, key) = App::ready().await;
    app.forgive().await;
    for events in 1..EVENTS {
        for leaves in [false, true] {
            app.fake.clear();
            app.fake.script(Script::once(if leaves {
                Answer::held_after(events)
            } else {
                Answer::cut(events, End::Reset)
            }));
            let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
            let mut text = String::new();
            while text.matches("event: ").count() < events || !leaves {
                let Some(chunk) = answer.chunk().await.unwrap() else { break };
                write!(text, "{}", String::from_utf8_lossy(&chunk)).unwrap();
            }
            drop(answer);
            app.fake.idle().await;
            let row = app.only_row().await;
            let said = app.only_seen().answered.figures.unwrap();
            assert_eq!(row["input_tokens"], said.input, "after {events}: {row}");
            assert_eq!(row["status"], if leaves { "cancelled" } else { "failed" }, "after {events}: {row}");
            // The last but one event says the final figure.
            let settled = events == EVENTS - 1;
            assert_eq!(row["estimated"], !settled, "after {events}: {row}");
            assert!(row["output_tokens"].as_u64().unwrap() >= said.output, "{row}");
            app.database.execute("delete from ledger").await;
        }
    }
}

/// `message_delta` raises the cache figures (web search), and the row has the raised ones.
#[tokio::test]
async fn figures_that_a_search_raises_are_the_last_ones_said() {
    let (app, key) = App::ready().await;
    let body = json!({
        "model": "claude-sonnet-5-5", "max_tokens": 64, "stream": true,
        "system": [{ "type": "text", "text": "long", "cache_control": { "type": "ephemeral" } }],
        "messages": [{ "role": "user", "content": "[[say found]] [[search 2]]" }],
    });
    assert_eq!(
        app.instance
            .messages(&key, body.to_string())
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .matches("event: error")
            .count(),
        0
    );
    let said = app.only_seen().answered.figures.unwrap();
    assert!(said.cache_read > 0 && said.searches == 2, "{said:?}");
    let row = app.only_row().await;
    for (column, said) in [
        ("input_tokens", said.input),
        ("cache_read_tokens", said.cache_read),
        ("cache_write_5m_tokens", said.cache_write_5m),
        ("searches", 2),
    ] {
        assert_eq!(row[column], said, "{column}");
    }
}

/// A lease whose instance died becomes a row marked `lost`; should the instance live after all, its row is the truth.
#[tokio::test]
async fn a_lost_request_is_a_row_until_the_truth_replaces_it() {
    let (app, key) = App::ready().await;
    app.fake.script(Script::once(Answer::held_after(3)));
    let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    let lost = "select * from ledger where operation = 'generate'";
    let row = eventually("it is given up", || async {
        // Again and again: the instance that holds it may renew it in between.
        app.database.execute("update leases set expires_at = now() - interval '1 second'").await;
        // An instance looks for the lost with its first request.
        let mut neighbour = app.neighbour().await;
        let listed = neighbour.request(Method::GET, "/v1/models").header("x-api-key", &key);
        assert_eq!(listed.header("anthropic-version", "x").send().await.unwrap().status(), 200);
        neighbour.drain().await;
        app.database.rows(lost).await.pop()
    })
    .await;
    assert_eq!((&row["status"], &row["estimated"]), (&json!("lost"), &json!(true)), "{row}");
    assert!(row["input_tokens"].as_u64().unwrap() > 0 && row["cost_micros"].as_u64().unwrap() > 0, "{row}");
    assert!(row["account_id"].as_str().unwrap().starts_with("acc_"), "{row}");

    app.fake.release(1);
    while answer.chunk().await.unwrap().is_some() {}
    let row = eventually("the truth is written", || async {
        app.database.rows(lost).await.pop().filter(|row| row["status"] != "lost")
    })
    .await;
    assert_eq!((&row["status"], &row["estimated"]), (&json!("completed"), &json!(false)), "{row}");
    let said = app.fake.seen().into_iter().find(|seen| seen.method == "POST").unwrap().answered.figures.unwrap();
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(said.input), &json!(said.output)));
    assert_eq!(app.database.number("select count(*) from ledger where operation = 'generate'").await, 1);
}

/// Time to the first token is the first output's, not the head's; the duration is the whole. The upstream is held before its
/// first output, and after it.
#[tokio::test]
async fn times_are_of_the_first_output_and_of_the_end() {
    const HELD: Duration = Duration::from_millis(60);
    let (app, key) = App::ready().await;
    let held_ms = HELD.as_millis() as u64;
    for (events, outputs) in [(1, 0), (4, 1)] {
        app.fake.script(Script::once(Answer::held_after(events)));
        let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
        let mut text = String::new();
        while text.matches("event: ").count() < events {
            text += std::str::from_utf8(&answer.chunk().await.unwrap().expect("more is to come")).unwrap();
        }
        assert_eq!(text.contains("text_delta"), outputs == 1, "{text}");
        let seen = Instant::now();
        eventually("some time goes by", || async { (seen.elapsed() >= HELD).then_some(()) }).await;
        app.fake.release(1);
        while answer.chunk().await.unwrap().is_some() {}
        let row = app.only_row().await;
        let (first, whole) = (row["first_token_ms"].as_u64().unwrap(), row["duration_ms"].as_u64().unwrap());
        let waited = if outputs == 0 { first } else { whole - first };
        // Both are whole milliseconds.
        assert!(waited + 1 >= held_ms && whole >= first, "{events}: {row}");
        assert_eq!(row["attempts"][0]["verdict"], "delivered");
        app.database.execute("delete from ledger").await;
    }
}
