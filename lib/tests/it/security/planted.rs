//! C1, C2, C4: planted secrets are looked for in every answer, line and column of a run in which much goes wrong.

use fake_upstream::{Answer, Before, End, Script};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    support::{ADMIN_TOKEN, App, TOKEN_PATH, log_of, soon},
    walk::hello,
};

const API_KEY: &str = "sk-ant-planted-Lq52-Aa91Bb82Cc73";
const GOOGLE_KEY: &str = "AIzaPlanted-Mr63-Dd64Ee55Ff46";
const ACCESS: &str = "sk-ant-oat01-planted-Ns74-Gg37Hh28";
const REFRESH: &str = "sk-ant-ort01-planted-Ot85-Ii19Jj01";
const RENEWED: &str = "sk-ant-oat01-planted-Pu96-Kk12Ll23";
const RENEWED_REFRESH: &str = "sk-ant-ort01-planted-Qv07-Mm34Nn45";
const PROMPT: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;

/// Every byte that was answered.
#[derive(Default)]
struct Said(String);

impl Said {
    async fn hear(&mut self, request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        self.0 += &format!("{:?}\n", answer.headers());
        let text = answer.text().await.unwrap_or_default();
        self.0 += &text;
        self.0 += "\n";
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn login(app: &App, name: &str) -> Value {
    json!({
        "provider": "anthropic", "name": name, "base_url": app.fake.url(), "entitled": true, "pool": name,
        "credential": { "kind": "oauth", "access_token": ACCESS, "refresh_token": REFRESH, "expires_at": soon(3_600) },
    })
}

/// Accounts of every kind, good and refused; a key that is issued, and one that is not.
async fn set_up(app: &App, said: &mut Said) -> [String; 2] {
    let manage = |path: &str, body: Value| {
        app.instance.request(Method::POST, path).bearer_auth(ADMIN_TOKEN).body(body.to_string())
    };
    let plain = |provider: &str, key: &str| json!({ "provider": provider, "name": provider, "base_url": app.fake.url(), "credential": { "kind": "api_key", "api_key": key } });
    let import = json!({ "name": "imported", "contents": { "claudeAiOauth": { "accessToken": ACCESS, "refreshToken": REFRESH } } });
    for body in [
        plain("anthropic", API_KEY),
        plain("gemini", GOOGLE_KEY),
        plain("anthropic", API_KEY),
        login(app, "login"),
        login(app, "later"),
        import,
    ] {
        let path = if body["contents"].is_null() { "/api/accounts" } else { "/api/accounts/import" };
        said.hear(manage(path, body.clone())).await;
        for (field, value) in [
            ("credential", json!(API_KEY)),
            ("contents", json!(ACCESS)),
            ("base_url", json!(format!("x{API_KEY}"))),
            ("models", json!({ REFRESH: 1 })),
            ("pool", json!(5)),
            ("entitled", json!(ACCESS)),
        ] {
            let mut wrong = body.clone();
            (wrong["name"], wrong[field]) = (json!("wrong"), value);
            said.hear(manage(path, wrong)).await;
        }
        said.hear(manage(path, json!(body.to_string()))).await;
    }
    let issue = async |pool: &str| app.key(json!({ "name": pool, "pool": pool, "role": "admin" })).await;
    [issue("default").await, issue("login").await]
}

/// Calls with whatever may go wrong with them.
async fn call(app: &App, said: &mut Said, keys: &[String; 2]) {
    for answer in [
        Answer::unauthorized(),
        Answer::token_expired(),
        Answer::forbidden(),
        Answer::credit_too_low(),
        Answer::rate_limited(3),
        Answer::invalid_request("your key was bad"),
        Answer::gemini_key_invalid(),
        Answer::after(Before::Reset),
        Answer::cut(2, End::Reset),
        Answer::error_event_first(),
        Answer::overloaded(),
    ] {
        app.fake.clear();
        app.fake.script(Script::once(answer).on("/v1"));
        let pair = json!({ "access_token": RENEWED, "refresh_token": RENEWED_REFRESH, "expires_in": 28_800 });
        app.fake.script(Script::always(Answer::json(200, pair)).on(TOKEN_PATH));
        for key in keys {
            said.hear(app.instance.messages(key, hello(true))).await;
        }
        let by_query = format!("gemini-2.5-pro:generateContent?key={}", keys[0]);
        said.hear(app.instance.request(Method::POST, &format!("/v1beta/models/{by_query}")).body(PROMPT)).await;
        app.ledger().await;
        app.database.execute("update accounts set health = 'ready', failures = 0, health_until = null; update settings set revision = revision + 1").await;
    }
    // A refused renewal, with words that repeat what was sent.
    app.fake.clear();
    let told = json!({ "error": "invalid_grant", "error_description": format!("unknown token {RENEWED_REFRESH} or {REFRESH}") });
    app.fake.script(Script::always(Answer::json(400, told)).on(TOKEN_PATH));
    app.fake.script(Script::always(Answer::unauthorized()).on("/v1/messages"));
    said.hear(app.instance.messages(&keys[1], hello(false))).await;
    let mistyped = format!("{}x", &keys[0][..keys[0].len() - 1]);
    for target in [
        "/v1/messages",
        "/v1/models",
        "/v1/nonsense",
        "/v1//x",
        "/api/keys",
        "/api/nonsense",
        "/nonsense",
        "/v1beta/models",
    ] {
        for shown in [&keys[0], &mistyped] {
            said.hear(app.instance.request(Method::GET, &format!("{target}?key={shown}&access_token={shown}"))).await;
            said.hear(app.instance.request(Method::DELETE, target).header("x-api-key", shown)).await;
        }
    }
}

/// Every page there is to read.
async fn read(app: &App, said: &mut Said, key: &str) {
    let page = said.hear(app.instance.request(Method::GET, "/api/accounts").bearer_auth(key)).await;
    let mut paths: Vec<_> = [
        "accounts",
        "keys",
        "keys/me",
        "routing",
        "stats/summary",
        "stats/requests",
        "stats/prices",
        "stats/audit",
        "openapi.json",
        "stats/accounts",
        "stats/keys",
        "stats/models",
        "stats/series?group_by=key",
        "stats/live",
        "stats/metrics",
        "stats/export.csv",
        "health",
    ]
    .map(|path| format!("/api/{path}"))
    .to_vec();
    for account in page["data"].as_array().unwrap() {
        let path = format!("/api/accounts/{}", account["id"].as_str().unwrap());
        said.hear(app.instance.request(Method::POST, &format!("{path}/check")).bearer_auth(key)).await;
        paths.push(path);
    }
    for path in paths {
        said.hear(app.instance.request(Method::GET, &path).bearer_auth(key)).await;
    }
}

async fn columns(app: &App) -> String {
    let tables = "select table_name as name from information_schema.tables where table_schema = 'public'";
    let mut all = String::new();
    for table in app.database.rows(tables).await {
        for row in app.database.rows(&format!("select t::text as row from {} t", table["name"].as_str().unwrap())).await
        {
            all += &format!("{row}\n");
        }
    }
    all
}

#[tokio::test]
async fn no_planted_secret_is_in_any_answer_line_or_column() {
    let app = App::with_logins().await;
    let mut said = Said::default();
    let keys = set_up(&app, &mut said).await;
    call(&app, &mut said, &keys).await;
    read(&app, &mut said, &keys[0]).await;
    app.ledger().await;
    let columns = columns(&app).await;
    assert!(
        columns.contains("account.create")
            && columns.contains("invalid_grant")
            && said.0.contains("\"attempts\"") | said.0.contains("x-gateway-attempts")
    );
    let secrets = [
        API_KEY,
        GOOGLE_KEY,
        ACCESS,
        REFRESH,
        RENEWED,
        RENEWED_REFRESH,
        &keys[0],
        &keys[1],
        ADMIN_TOKEN,
        "application-secret-0123",
    ];
    for secret in secrets {
        // A long part is as bad as the whole; the first ten and the last four characters are shown on purpose.
        let part = &secret[10..secret.len() - 4];
        let hex: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [part, &hex] {
            assert!(!said.0.contains(form), "an answer holds {secret}: {}", around(&said.0, form));
            assert!(!columns.contains(form), "a column holds {secret}: {}", around(&columns, form));
            assert_eq!(log_of(form), Vec::<String>::new(), "a line holds {secret}");
        }
    }
}

fn around(text: &str, part: &str) -> String {
    text.lines().filter(|line| line.contains(part)).take(3).collect::<Vec<_>>().join("\n")
}

/// C10: whatever is in a name, a model, a user agent or an upstream's words: it is one line of the log, and moves no terminal.
#[tokio::test]
async fn control_characters_are_inert_in_the_log() {
    let app = App::start().await;
    let evil = "inert-7\u{1b}[31m\u{1b}]0;x\u{7}\r\nFORGED-7 level=INFO all is well\u{8}\u{9b}2J";
    app.account("anthropic", "sk-ant-one", json!({ "name": evil, "note": evil })).await;
    let key = app.key(json!({ "name": evil, "note": evil, "labels": { "team": evil } })).await;
    for answer in [
        Answer::anthropic_error(401, evil, evil),
        Answer::anthropic_error(500, evil, evil),
        Answer::anthropic_error(400, evil, evil),
        Answer::text(529, "text/html", evil),
    ] {
        app.fake.clear();
        app.fake.script(Script::always(answer));
        let body = json!({ "model": format!("m{}", "-x"), "max_tokens": 5, "messages": [{ "role": "user", "content": evil }] });
        app.instance.messages(&key, body.to_string()).send().await.unwrap().bytes().await.unwrap();
        let named = json!({ "model": evil, "max_tokens": 5, "messages": [] }).to_string();
        assert_eq!(app.instance.messages(&key, named).send().await.unwrap().status(), 400);
        app.database.execute("update accounts set health = 'ready', failures = 0, health_until = null; update settings set revision = revision + 1").await;
    }
    app.ledger().await;
    assert!(log_of("an attempt failed").iter().any(|line| line.contains("inert-7")), "the words reach the log at all");
    let said = "select error as said from ledger union all select last_error from accounts union all select health_reason from accounts";
    let kept: Vec<_> =
        app.database.rows(said).await.iter().filter_map(|row| row["said"].as_str().map(str::to_owned)).collect();
    assert!(kept.iter().any(|said| said.contains("inert-7")), "{kept:?}");
    for control in ["\u{1b}", "\u{7}", "\u{8}", "\u{9b}", "\r"] {
        assert_eq!(log_of(control), Vec::<String>::new(), "{control:?}");
        assert!(!kept.iter().any(|said| said.contains(control)), "a row holds {control:?}: {kept:?}");
    }
    assert!(log_of("FORGED-7").iter().all(|line| !line.starts_with("FORGED")));
}
