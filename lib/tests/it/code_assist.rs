//! Accounts with a login of Google: callers of the public Gemini API are served through Code Assist and do not notice.

mod own;
mod project;

use fake_upstream::{Answer, Body, Encoding, End, Lifelike, Script, Seen};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::App;

const MODEL: &str = "gemini-2.5-pro";
const VERBS: [&str; 3] = ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"];

/// Every byte of it matters: spaces, escapes, a signature, a number that no parser keeps.
const ASK: &str = r#" {"contents" : [{"role":"user","parts":[{"text":"\u0068i [[say well met, both of you]]"}]},
  {"role":"model","parts":[{"functionCall":{"name":"f","args":{"n":1e400}},"thoughtSignature":"AbC+/9=="}]},
  {"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}},{"text":"[[words 5]]"}]}],
  "tools":[{"functionDeclarations":[{"name":"f"}]}]} "#;

impl App {
    /// Adds an account with a login of Google whose project is `p-1`; `more` are further fields.
    async fn google(&self, token: &str, more: Value) -> String {
        let mut fields = json!({
            "entitled": true, "credential": { "kind": "oauth", "access_token": token, "project": "p-1" },
        });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.account("gemini", token, fields).await
    }
}

fn verb(name: &str) -> String {
    format!("{MODEL}:{name}")
}

/// What an answer says, however it is laid out, without what tells requests apart.
fn texts(answer: &str) -> String {
    let digits = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    digits(&answer.replace(['\r', '\n', ' '], ""))
}

fn calls(app: &App, method: &str) -> Vec<Seen> {
    app.fake.seen().into_iter().filter(|seen| seen.path_and_query.contains(method)).collect()
}

/// `gemini-api.md` §10.12 and .14: the wrapper goes round the client's bytes, the answer comes out in the public form, the
/// usage is read from it, and a thought signature is as it was.
#[tokio::test]
async fn a_public_request_is_wrapped_and_its_answer_unwrapped() {
    let app = App::start().await;
    app.google("ya29.one", json!({})).await;
    let (by_key, by_login) = (app.key(json!({ "pool": "keys" })).await, app.key(json!({})).await);
    app.account("gemini", "AIza-one", json!({ "pool": "keys" })).await;
    for name in VERBS {
        app.fake.clear();
        let plain = app.instance.gemini(&by_key, &verb(name), ASK).send().await.unwrap();
        let (media, expect) = (plain.headers()["content-type"].clone(), plain.text().await.unwrap());
        let answer = app.instance.gemini(&by_login, &verb(name), ASK).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &media), "{name}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let text = answer.text().await.unwrap();
        assert_eq!(texts(&text), texts(&expect), "{name}");

        let [direct, wrapped] = app.fake.seen().try_into().unwrap();
        assert_eq!(direct.body, ASK);
        let head = format!(r#"{{"model":"{MODEL}","project":"p-1","user_prompt_id":"{id}","request":"#);
        assert_eq!(wrapped.body, format!("{head}{ASK}}}"));
        let stream = if name == "generateContent" { "generateContent" } else { VERBS[1] };
        assert_eq!(wrapped.path_and_query, format!("/v1internal:{stream}"));
        assert_eq!(wrapped.header_values("authorization"), ["Bearer ya29.one"]);
        for own in ["x-goog-api-key", "x-goog-user-project"] {
            assert_eq!(wrapped.header_values(own), Vec::<&str>::new());
        }
        let row = app.ledger().await.into_iter().find(|row| row["id"] == *id).unwrap();
        let said = wrapped.answered.figures.unwrap();
        assert_eq!((&row["status"], &row["estimated"]), (&json!("completed"), &json!(false)), "{name}");
        assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&json!(said.input), &json!(said.output)), "{name}");
        assert_eq!((&row["served_model"], &row["operation"]), (&json!(MODEL), &json!("generate")), "{name}");
    }
}

#[tokio::test]
async fn an_answer_is_the_same_however_its_bytes_arrive_and_however_they_are_packed() {
    let app = App::start().await;
    app.google("ya29.one", json!({})).await;
    let key = app.key(json!({})).await;
    for name in VERBS {
        let mut answers = Vec::new();
        for (piece_bytes, encoding) in
            [(None, None), (Some(1), None), (Some(7), Some(Encoding::Gzip)), (None, Some(Encoding::Zstd))]
        {
            let body = Body::Lifelike(Lifelike { piece_bytes, ..Lifelike::default() });
            app.fake.script(Script::once(Answer { body, encoding, ..Answer::default() }));
            let call = app.instance.gemini(&key, &verb(name), ASK).header("accept-encoding", "gzip, zstd");
            let answer = call.send().await.unwrap();
            assert!(!answer.headers().contains_key("content-encoding"), "{name}");
            answers.push(texts(&answer.text().await.unwrap()));
        }
        assert!(answers[0].contains("finishReason") && answers.iter().all(|answer| *answer == answers[0]), "{name}");
    }
    assert!(app.fake.seen().iter().all(|seen| seen.header_values("accept-encoding").is_empty()));
    assert!(app.ledger().await.iter().all(|row| row["status"] == "completed" && row["estimated"] == false));
}

/// Causality, not time: an event arrives before the next is sent.
#[tokio::test]
async fn nothing_is_held_back_beyond_an_event() {
    let app = App::start().await;
    app.google("ya29.one", json!({})).await;
    let key = app.key(json!({})).await;
    for name in &VERBS[1..] {
        for sent in 1..5 {
            app.fake.clear();
            app.fake.script(Script::once(Answer::held_after(sent)));
            let mut answer = app.instance.gemini(&key, &verb(name), ASK).send().await.unwrap();
            let mut text = String::new();
            while text.matches("\"candidates\"").count() < sent || !text.ends_with(['\n', '}']) {
                text += std::str::from_utf8(&answer.chunk().await.unwrap().expect("more is to come")).unwrap();
            }
            assert!(!app.only_seen().answered.finished, "{name}: the upstream has more to say");
            app.fake.release(1);
            while let Some(chunk) = answer.chunk().await.unwrap() {
                text += std::str::from_utf8(&chunk).unwrap();
            }
            assert!(text.contains("finishReason"), "{name}: {text}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_breaks_off_and_one_that_begins_with_an_error_goes_elsewhere() {
    let app = App::start().await;
    app.forgive().await;
    app.google("ya29.one", json!({})).await;
    app.google("ya29.two", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    for name in &VERBS[1..] {
        for end in [End::Clean, End::Reset] {
            let body = Body::Lifelike(Lifelike { cut_after_events: Some(2), ..Lifelike::default() });
            app.fake.script(Script::once(Answer { body, end, ..Answer::default() }));
            let answer = app.instance.gemini(&key, &verb(name), ASK).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(answer.text().await.is_err(), "{name} {end:?}: the caller must notice");
        }
        app.fake.clear();
        let body = Body::Lifelike(Lifelike { error_after_events: Some(0), ..Lifelike::default() });
        app.fake.script(Script::once(Answer { body, ..Answer::default() }));
        let answer = app.instance.gemini(&key, &verb(name), ASK).send().await.unwrap();
        assert_eq!(answer.headers()["x-gateway-attempts"], "2", "{name}");
        assert!(answer.text().await.unwrap().contains("finishReason"));
        assert_eq!(app.credentials(), ["ya29.one", "ya29.two"]);
    }
    let cut: Vec<_> = app.ledger().await.into_iter().filter(|row| row["status"] == "failed").collect();
    assert_eq!(cut.len(), 4, "{cut:#?}");
    assert!(cut.iter().all(|row| row["estimated"] == true));
}

#[tokio::test]
async fn a_key_and_a_login_stand_in_for_each_other() {
    let app = App::start().await;
    let login = app.google("ya29.one", json!({ "priority": 1 })).await;
    let with_key = app.account("gemini", "AIza-one", json!({})).await;
    let key = app.key(json!({})).await;
    for (first, second) in [("AIza-one", "ya29.one"), ("ya29.one", "AIza-one")] {
        for name in VERBS {
            app.fake.clear();
            app.fake
                .script(Script::once(Answer::gemini_error(503, "UNAVAILABLE", "The model is overloaded.")).of(first));
            // Each a conversation of its own: one that has moved stays where it is.
            let ask = ASK.replace("both of you", &format!("{first} {name}"));
            let answer = app.instance.gemini(&key, &verb(name), ask.clone()).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]),
                (200, &"2".parse().unwrap())
            );
            assert!(answer.text().await.unwrap().contains("finishReason"), "{name}");
            assert_eq!(app.credentials(), [first, second]);
            assert!(app.fake.seen().iter().any(|seen| seen.body == ask), "the one with a key gets the client's bytes");
            // A failure is remembered in the background; the next round begins with nothing against anybody.
            app.ledger().await;
            for id in [&login, &with_key] {
                app.instance.manage(Method::POST, &format!("/api/accounts/{id}/reset"), None).await;
            }
        }
        let swap = json!({ "priority": 2 });
        app.instance.manage(Method::PATCH, &format!("/api/accounts/{with_key}"), Some(swap)).await;
    }
}

#[tokio::test]
async fn tokens_are_counted_by_code_assist_too() {
    let app = App::start().await;
    app.google("ya29.one", json!({ "model_map": { "gemini-3.5-flash": "gemini-3-flash" } })).await;
    let key = app.key(json!({})).await;
    let contents = r#"[{"parts":[{"text":"h\u0069"}]}]"#;
    let whole = format!(r#"{{"generateContentRequest":{{"model":"models/x","contents":{contents}}}}}"#);
    for body in [format!(r#"{{"contents":{contents}}}"#), whole] {
        app.fake.clear();
        let answer = app.instance.gemini(&key, "gemini-3.5-flash:countTokens", body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let counted: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(counted, json!({ "totalTokens": contents.len() / 4 + 1 }));
        let expect = format!(r#"{{"request":{{"model":"models/gemini-3-flash","contents":{contents}}}}}"#);
        assert_eq!(app.only_seen().body, expect);
    }
    assert!(app.ledger().await.iter().all(|row| row["cost_micros"] == 0 && row["operation"] == "count_tokens"));
}

/// Embeddings, caches, files and the list of models are no methods of Code Assist.
#[tokio::test]
async fn what_code_assist_lacks_goes_to_a_key_or_is_clearly_refused() {
    let globs = ("PASSTHROUGH_PATHS", "/v1beta/cachedContents,/v1beta/tunedModels/*");
    let app = App::start_with(&[globs]).await;
    app.google("ya29.one", json!({})).await;
    let key = app.key(json!({})).await;
    let embed = r#"{"content":{"parts":[{"text":"hi"}]}}"#;
    let ask = || {
        let post = |path: &str, body: &'static str| {
            app.instance.request(Method::POST, path).header("x-goog-api-key", &key).body(body)
        };
        [
            app.instance.gemini(&key, "gemini-embedding-001:embedContent", embed),
            app.instance.gemini(&key, "gemini-embedding-001:batchEmbedContents", r#"{"requests":[]}"#),
            app.instance.request(Method::GET, "/v1beta/models").header("x-goog-api-key", &key),
            post("/v1beta/cachedContents", "{}"),
            post("/v1beta/tunedModels/mine:generateContent", r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#),
        ]
    };
    for call in ask() {
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((status, &error["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("Code Assist") && message.contains("API key"), "{message}");
    }
    assert_eq!(app.fake.seen().len(), 0);
    app.account("gemini", "AIza-one", json!({ "priority": 9 })).await;
    for call in ask() {
        call.send().await.unwrap();
    }
    assert_eq!(app.credentials(), ["AIza-one"; 5]);

    let preview = |operation: &str| {
        let body = json!({ "model": "gemini-embedding-001", "operation": operation });
        app.instance.manage(Method::POST, "/api/routing/preview", Some(body))
    };
    let embed = preview("embed").await;
    assert_eq!(
        (embed["order"].as_array().unwrap().len(), &embed["excluded"][0]["name"]),
        (1, &json!("gemini ya29.one"))
    );
    assert!(embed["excluded"][0]["reason"].as_str().unwrap().contains("Code Assist"), "{embed}");
    assert_eq!(preview("generate").await["order"].as_array().unwrap().len(), 2);
}

/// The real one refuses fields that the public API has and it has not: that is no fault of the caller's, and nobody pays.
#[tokio::test]
async fn a_field_that_code_assist_does_not_know_is_served_by_a_key() {
    let app = App::start().await;
    let login = app.google("ya29.one", json!({})).await;
    let key = app.key(json!({})).await;
    let ask = r#"{"contents":[{"parts":[{"text":"hi"}]}],"serviceTier":"flex"}"#;
    let answer = app.instance.gemini(&key, &verb(VERBS[2]), ask).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status == 400 && text.starts_with("[{") && text.ends_with("}]") && text.contains("Unknown name"), "{text}");
    app.account("gemini", "AIza-one", json!({ "priority": 9 })).await;
    let answer = app.instance.gemini(&key, &verb(VERBS[0]), ask).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]), (200, &"2".parse().unwrap()));
    app.ledger().await;
    assert_eq!(app.shown(&login).await["state"], "ready");
}

/// `gemini-api.md` §7.3: what each reason does to the account.
#[tokio::test]
async fn errors_of_code_assist_mean_what_their_reasons_say() {
    let app = App::start().await;
    let key = app.key(json!({})).await;
    app.account("gemini", "AIza-one", json!({ "priority": 9 })).await;
    let info = |reason: &str, metadata: Value| {
        json!({ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
                "domain": "cloudcode-pa.googleapis.com", "metadata": metadata })
    };
    let retry = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "400s" });
    let link = json!({ "validation_link": "https://accounts.example/confirm" });
    let reset = json!({ "quotaResetTimeStamp": "2096-01-01T00:00:00Z", "quotaResetDelay": "1h" });
    let of_model = json!({ "model": MODEL, "quotaResetDelay": "161h39m41.300432511s" });
    for (n, (status, details, state, told)) in [
        (429, json!([info("RATE_LIMIT_EXCEEDED", json!({})), retry]), "ready", MODEL),
        (429, json!([info("QUOTA_EXHAUSTED", reset)]), "cooling", "429"),
        (429, json!([info("QUOTA_EXHAUSTED", of_model)]), "ready", MODEL),
        (429, json!([info("INSUFFICIENT_G1_CREDITS_BALANCE", json!({}))]), "exhausted", "429"),
        (403, json!([info("VALIDATION_REQUIRED", link)]), "needs_auth", "https://accounts.example/confirm"),
        (429, json!([info("MODEL_CAPACITY_EXHAUSTED", json!({}))]), "ready", "429"),
    ]
    .into_iter()
    .enumerate()
    {
        let token = format!("ya29.{n}");
        let id = app.google(&token, json!({})).await;
        let error =
            json!({ "error": { "code": status, "message": "no", "status": "RESOURCE_EXHAUSTED", "details": details } });
        app.fake.script(Script::once(Answer::json(status, error)).of(&token));
        // Each a conversation of its own: one that has moved stays where it is.
        let ask = ASK.replace("both of you", &token);
        let answer = app.instance.gemini(&key, &verb(VERBS[0]), ask).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-gateway-attempts"]),
            (200, &"2".parse().unwrap()),
            "{n}"
        );
        app.ledger().await;
        let shown = crate::support::eventually("the setback is kept", || async {
            let shown = app.shown(&id).await;
            let families = shown["cooling_families"].to_string();
            let reason = shown["state_reason"].to_string() + &families + &shown["last_error"].to_string();
            (shown["state"] == state && reason.contains(told)).then_some(shown)
        })
        .await;
        assert_eq!(shown["state"], state, "{details}");
        app.instance.manage(Method::DELETE, &format!("/api/accounts/{id}"), None).await;
    }
}

#[tokio::test]
async fn a_check_asks_code_assist_who_the_account_is() {
    let app = App::start().await;
    let id = app.google("ya29.one", json!({})).await;
    let path = format!("/api/accounts/{id}/check");
    let found = app.instance.manage(Method::POST, &path, None).await;
    assert_eq!((&found["ok"], &found["status"]), (&json!(true), &json!(200)), "{found}");
    let asked = app.only_seen();
    assert_eq!((asked.method.as_str(), asked.path_and_query.as_str()), ("POST", "/v1internal:loadCodeAssist"));

    let refusal =
        json!({ "reasonCode": "X", "reasonMessage": "Verify.", "validationUrl": "https://accounts.example/v" });
    let ineligible = Answer::json(200, json!({ "ineligibleTiers": [refusal] }));
    app.fake.script(Script::once(ineligible));
    let found = app.instance.manage(Method::POST, &path, None).await;
    assert_eq!((&found["ok"], &found["account"]["state"]), (&json!(false), &json!("needs_auth")), "{found}");
    assert!(found["message"].as_str().unwrap().contains("https://accounts.example/v"), "{found}");
    let barred = json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "details": [{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SECURITY_POLICY_VIOLATED" }] } });
    app.fake.script(Script::once(Answer::json(403, barred)));
    let found = app.instance.manage(Method::POST, &path, None).await;
    assert_eq!((&found["ok"], &found["account"]["state"]), (&json!(true), &json!("ready")), "{found}");
}

/// `gemini-api.md` §7.3: asked for now and then, by one instance, while the account is in use.
#[tokio::test]
async fn the_quota_of_an_account_in_use_is_asked_for_and_shown() {
    let app = App::start().await;
    let id = app.google("ya29.one", json!({})).await;
    let key = app.key(json!({})).await;
    app.database.execute("update accounts set created_at = now() - interval '6 minutes'").await;
    app.fake.script(Script::once(Answer::held_after(1)));
    let held = app.instance.gemini(&key, &verb(VERBS[1]), ASK).send().await.unwrap();
    // Each of the others does its upkeep beside its first request; the first of them asks.
    for _ in 0..2 {
        let other = app.neighbour().await;
        assert_eq!(other.gemini(&key, &verb(VERBS[0]), ASK).send().await.unwrap().status(), 200);
    }
    let shown = crate::support::eventually("the quota is shown", || async {
        let shown = app.shown(&id).await;
        (shown["reported_limits"] != json!([])).then_some(shown)
    })
    .await;
    let limit = &shown["reported_limits"][0];
    assert_eq!((&limit["name"], &limit["family"]), (&json!("gemini-2.5-pro requests"), &json!(MODEL)));
    app.fake.release(1);
    held.text().await.unwrap();
    let [asked] = calls(&app, "retrieveUserQuota").try_into().unwrap();
    assert_eq!(asked.body, r#"{"project":"p-1"}"#);
}
