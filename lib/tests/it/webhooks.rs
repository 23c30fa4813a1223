//! Webhooks: the operator's receiver is told once of what happened, signed, and again until it has it.

use base64::{Engine, prelude::BASE64_STANDARD};
use fake_upstream::{Answer, Script};
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::{
    support::{ADMIN_TOKEN, App, Database, Heard, Instance, Receiver, eventually},
    walk::hello,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// A gateway that tells `receiver`.
async fn told(receiver: &Receiver) -> App {
    App::on(Database::create().await, &[("WEBHOOK_URL", &receiver.url()), ("WEBHOOK_SECRET", SECRET)]).await
}

/// Another instance that tells the same.
async fn neighbour(app: &App, receiver: &Receiver) -> Instance {
    Instance::start(&app.database.url, &[("WEBHOOK_URL", &receiver.url()), ("WEBHOOK_SECRET", SECRET)]).await
}

/// Lets it be time for everything that was refused, and has a fresh instance look after it, beside a request. What is on its
/// way just now is left alone.
async fn later(app: &App, receiver: &Receiver, key: &str) {
    let due = "update webhook_events set due_at = now() where last_error is not null;
               update webhook_state set looked_at = '2020-01-01'";
    app.database.execute(due).await;
    let mut instance = neighbour(app, receiver).await;
    instance.messages(key, hello(false)).send().await.unwrap().text().await.unwrap();
    instance.drain().await;
}

/// What is told, once its signature is found to be good: by `webhook-id`, `webhook-timestamp` and body.
fn verified(heard: &Heard) -> Value {
    let key = BASE64_STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let [id, at] = ["webhook-id", "webhook-timestamp"].map(|name| heard.header(name));
    assert!(id.starts_with("msg_") && at.parse::<i64>().unwrap() > 1_700_000_000, "{id} {at}");
    let signature = heard.header("webhook-signature").strip_prefix("v1,").unwrap();
    let signature = BASE64_STANDARD.decode(signature).unwrap();
    let signed = format!("{id}.{at}.{}", heard.body);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes(), &signature).unwrap();
    let event = heard.json();
    let fields: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["data", "timestamp", "type"]);
    event
}

fn kinds(receiver: &Receiver) -> Vec<String> {
    let taken = receiver.heard().into_iter().filter(|heard| heard.status == 200);
    taken.map(|heard| verified(&heard)["type"].as_str().unwrap().to_owned()).collect()
}

async fn arrives(receiver: &Receiver, kind: &str) -> Value {
    eventually(kind, || async {
        receiver.heard().iter().filter(|heard| heard.status == 200).map(verified).find(|event| event["type"] == kind)
    })
    .await
}

async fn nothing_waits(app: &App) {
    so_many_wait(app, 0).await;
}

async fn so_many_wait(app: &App, count: i64) {
    eventually(&format!("{count} events wait"), || async {
        (app.database.number("select count(*) from webhook_events").await == count).then_some(())
    })
    .await;
}

/// Three instances meet the same fault at the same time: the receiver hears of it once.
#[tokio::test]
async fn a_change_of_state_is_told_once_by_three_instances() {
    let receiver = Receiver::start().await;
    let app = told(&receiver).await;
    let account = app.account("anthropic", "sk-ant-one", json!({ "name": "team-1" })).await;
    let key = app.key(json!({})).await;
    let others = [neighbour(&app, &receiver).await, neighbour(&app, &receiver).await];
    app.fake.script(Script::always(Answer::unauthorized()));
    let instances = [&app.instance, &others[0], &others[1]];
    let calls = instances.map(|instance| instance.messages(&key, hello(false)).send());
    futures_util::future::join_all(calls).await;
    app.comes_to(&account, "needs_auth").await;
    let event = arrives(&receiver, "account.needs_auth").await;
    let data = &event["data"];
    assert_eq!((&data["account_id"], &data["name"]), (&json!(account), &json!("team-1")));
    assert_eq!((&data["provider"], &data["pool"]), (&json!("anthropic"), &json!("default")));
    assert!(data["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{data}");
    nothing_waits(&app).await;
    // It is made well again by the operator: that is told too, and once.
    app.fake.clear();
    app.instance.manage(Method::POST, &format!("/api/accounts/{account}/reset"), None).await;
    later(&app, &receiver, &key).await;
    arrives(&receiver, "account.recovered").await;
    nothing_waits(&app).await;
    assert_eq!(kinds(&receiver), ["account.needs_auth", "account.recovered"]);
    let bodies: String = receiver.heard().into_iter().map(|heard| heard.body).collect();
    assert!(![&*key, "sk-ant-one", ADMIN_TOKEN].iter().any(|secret| bodies.contains(secret)), "{bodies}");
}

/// A receiver that fails twice gets it then, under the name that it had from the beginning.
#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_name() {
    let receiver = Receiver::start().await;
    let app = told(&receiver).await;
    let spent = app.account("anthropic", "sk-ant-one", json!({ "priority": 0 })).await;
    app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    app.fake.script(Script::always(Answer::rate_limited(3_600)).of("sk-ant-one"));
    receiver.answers(&[500, 302]);
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    receiver.hears(1).await;
    // How it stands is said where people look.
    eventually("its health says so", || async {
        let health = app.instance.manage(Method::GET, "/api/health", None).await;
        (health["webhooks"] == "failing").then_some(())
    })
    .await;
    later(&app, &receiver, &key).await;
    receiver.hears(2).await;
    later(&app, &receiver, &key).await;
    nothing_waits(&app).await;
    let heard = receiver.heard();
    let names: Vec<_> = heard.iter().map(|heard| heard.header("webhook-id")).collect();
    assert!(names.len() == 3 && names.iter().all(|name| *name == names[0]), "{names:?}");
    let event = verified(&heard[2]);
    assert_eq!((&event["type"], &event["data"]["account_id"]), (&json!("account.cooling"), &json!(spent)));
    // The limit is one of a model family: the others go on.
    assert!(event["data"]["until"].is_string() && event["data"]["model_family"].is_string(), "{event}");
    assert_eq!(app.instance.manage(Method::GET, "/api/health", None).await["webhooks"], "ok");
}

/// A receiver that is down for long: each try is further off, requests notice nothing, and what happened is there when it is back.
#[tokio::test]
async fn a_receiver_that_is_down_for_long_misses_nothing() {
    let receiver = Receiver::start().await;
    let app = told(&receiver).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let spare = app.account("anthropic", "sk-ant-two", json!({ "priority": 1 })).await;
    let key = app.key(json!({})).await;
    app.fake.script(Script::always(Answer::unauthorized()).of("sk-ant-one"));
    receiver.answers(&[503; 8]);
    for tries in 1..=8 {
        if tries == 1 {
            app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
        } else {
            later(&app, &receiver, &key).await;
        }
        receiver.hears(tries).await;
        let said = "select count(*) from webhook_events where last_error like 'the receiver answered 503%'";
        eventually("the refusal is kept", || async { (app.database.number(said).await == 1).then_some(()) }).await;
        let pause = "select extract(epoch from due_at - now()) from webhook_events";
        let longest = 15 << (tries - 1);
        let due_in = app.database.number(pause).await;
        assert!(due_in <= longest.min(3_600) && due_in > longest.min(3_600) - 600, "after {tries}: {due_in} s");
    }
    // Meanwhile the other account is taken out, too.
    app.fake.script(Script::always(Answer::unauthorized()).of("sk-ant-two"));
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.comes_to(&spare, "needs_auth").await;
    // That is told at once; what was refused is not due yet.
    so_many_wait(&app, 1).await;
    later(&app, &receiver, &key).await;
    nothing_waits(&app).await;
    assert_eq!(kinds(&receiver), ["account.needs_auth", "account.needs_auth"]);
    // After three days what was not taken is no news any more.
    app.database
        .execute("insert into webhook_events (type, data, created_at) values ('old', '{}', now() - interval '4 days')")
        .await;
    later(&app, &receiver, &key).await;
    nothing_waits(&app).await;
    assert_eq!(kinds(&receiver).len(), 2);
}

/// Four fifths and the whole of a key's budget are told once each, by the name that the limit has in the API.
#[tokio::test]
async fn a_budget_is_told_at_four_fifths_and_when_it_is_spent() {
    let receiver = Receiver::start().await;
    let app = told(&receiver).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let free = app.key(json!({ "name": "free" })).await;
    let key = app.key(json!({ "name": "maya", "limits": { "requests_per_day": 5 } })).await;
    let call = async || {
        app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
        app.ledger().await;
    };
    for _ in 0..3 {
        call().await;
    }
    later(&app, &receiver, &free).await;
    assert_eq!(kinds(&receiver), [""; 0], "three fifths are no news");
    call().await;
    for _ in 0..2 {
        later(&app, &receiver, &free).await;
    }
    let event = arrives(&receiver, "key.budget").await;
    let data = &event["data"];
    assert_eq!(
        (&data["name"], &data["limit"], &data["percent"]),
        (&json!("maya"), &json!("requests_per_day"), &json!(80))
    );
    assert_eq!((&data["used"], &data["value"]), (&json!(4), &json!(5)));
    assert!(data["resets_at"].is_string() && data["key_id"].as_str().unwrap().starts_with("key_"), "{data}");
    call().await;
    for _ in 0..2 {
        later(&app, &receiver, &free).await;
    }
    nothing_waits(&app).await;
    let percents: Vec<_> = receiver.heard().iter().map(|heard| verified(heard)["data"]["percent"].clone()).collect();
    assert_eq!(percents, [80, 100]);
}

/// Many failures at once are told once, and not again while they last.
#[tokio::test]
async fn a_burst_of_errors_is_told_once() {
    let receiver = Receiver::start().await;
    let app = told(&receiver).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    app.ledger().await;
    let fail = async |from: u8, to: u8| {
        let rows = format!(
            "select jsonb_agg(to_jsonb(l) || jsonb_build_object('id', 'req_' || n, 'status', 'failed'))
            from (select * from ledger where status = 'completed' limit 1) l, generate_series({from}, {to}) n"
        );
        let insert = format!("insert into ledger select * from jsonb_populate_recordset(null::ledger, ({rows}))");
        app.database.execute(&insert).await;
    };
    fail(1, 9).await;
    later(&app, &receiver, &key).await;
    assert_eq!(kinds(&receiver), [""; 0], "nine are no burst");
    fail(10, 12).await;
    for _ in 0..3 {
        later(&app, &receiver, &key).await;
    }
    let data = arrives(&receiver, "errors.burst").await["data"].clone();
    assert_eq!((&data["failed"], &data["minutes"]), (&json!(12), &json!(5)), "{data}");
    nothing_waits(&app).await;
    assert_eq!(kinds(&receiver), ["errors.burst"]);
}

/// B4: the receiver's address is looked at when it is dialled, as an upstream's is.
#[tokio::test]
async fn a_receiver_at_a_private_address_needs_the_operators_leave() {
    let app = App::start_with(&[
        ("ALLOW_INSECURE_UPSTREAMS", ""),
        ("WEBHOOK_URL", "https://127.0.0.1:1/in"),
        ("WEBHOOK_SECRET", SECRET),
    ])
    .await;
    let body = json!({ "provider": "anthropic", "name": "one", "credential": { "kind": "api_key", "api_key": "sk-ant-one-1" } });
    app.instance.manage(Method::POST, "/api/accounts", Some(body)).await;
    let key = app.key(json!({})).await;
    app.database.execute("select tell('test', '{}'); update webhook_state set looked_at = '2020-01-01'").await;
    // No account has an address that leads anywhere: the request fails, and what is due is looked at beside it.
    app.database.execute("update accounts set health = 'needs_auth'").await;
    app.instance.messages(&key, hello(false)).send().await.unwrap().text().await.unwrap();
    let said = "select count(*) from webhook_events where last_error like '%must not lead to a private address%'";
    eventually("it is refused", || async { (app.database.number(said).await >= 1).then_some(()) }).await;
}
