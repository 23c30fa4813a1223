//! Credentials at rest: what was touched is never sent, and the key that seals them can be replaced.

use gateway::{config::Environment, gateway::Resealed, host::Door};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{ADMIN_TOKEN, App, Instance, soon},
    walk::hello,
};

const OLD: &str = "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=";
const NEW: &str = "bmV3IHNlc2FtZSBuZXcgc2VzYW1lIDEyMzQ1Njc4OTA=";

/// C5: a bit flipped anywhere, a blob cut, emptied, moved or never sealed: the account needs a new credential, and nothing is
/// sent.
#[tokio::test]
async fn a_credential_that_was_touched_is_never_sent() {
    let app = App::start().await;
    let other = app.account("gemini", "AIza-other", json!({})).await;
    let key = app.key(json!({})).await;
    for touched in [
        "set_byte(credential, 0, get_byte(credential, 0) # 1)",
        "set_byte(credential, 3, get_byte(credential, 3) # 128)",
        "set_byte(credential, 9, get_byte(credential, 9) # 1)",
        "set_byte(credential, 20, get_byte(credential, 20) # 4)",
        "set_byte(credential, length(credential) - 1, get_byte(credential, length(credential) - 1) # 1)",
        "substring(credential from 1 for length(credential) - 1)",
        "credential || '\\x00'::bytea",
        "'\\x'::bytea",
        "convert_to('sk-ant-in-the-clear', 'UTF8')",
        "(select o.credential from accounts o where o.provider = 'gemini')",
    ] {
        let id = app.account("anthropic", "sk-ant-touched-0123", json!({ "name": "touched" })).await;
        app.database
            .execute(&format!("update accounts set credential = {touched} where id = '{id}'; update settings set revision = revision + 1"))
            .await;
        let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{touched}");
        app.comes_to(&id, "needs_auth").await;
        app.instance.manage(Method::DELETE, &format!("/api/accounts/{id}"), None).await;
    }
    assert_eq!(app.fake.seen().len(), 0);
    assert_eq!(app.shown(&other).await["state"], "ready");
}

/// What `llm-gateway rotate-encryption` does with these keys; gives what became of how many.
async fn rotate(app: &App, key: &str, previous: &str) -> Vec<(String, Resealed)> {
    let env = Environment::from([
        ("DATABASE_URL", app.database.url.clone()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("ENCRYPTION_KEY", key.to_owned()),
        ("ENCRYPTION_KEY_PREVIOUS", previous.to_owned()),
    ]);
    let mut told = Vec::new();
    let gateway = Door::open(&env).gateway().unwrap();
    gateway.reseal(|_, _, account, became| told.push((account.to_string(), became))).await.unwrap();
    told
}

async fn credentials(app: &App) -> Vec<Value> {
    app.database.rows("select id, encode(credential, 'hex') as sealed, credential_version as version, updated_at from accounts order by id").await
}

#[tokio::test]
async fn the_key_that_seals_is_replaced_and_the_old_one_goes() {
    let app = App::with_logins().await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let login = app.login("gemini", 3_600).await;
    let broken = app.account("anthropic", "sk-ant-broken", json!({})).await;
    let key = app.key(json!({})).await;
    app.database.execute(&format!("update accounts set credential = '\\x0102' where id = '{broken}'")).await;
    let before = credentials(&app).await;

    let told = rotate(&app, NEW, OLD).await;
    let became = |id: &str| told.iter().find(|(told, _)| told == id).unwrap().1;
    assert_eq!((told.len(), became(&login), became(&broken)), (3, Resealed::Anew, Resealed::Unopened));
    let after = credentials(&app).await;
    for (before, after) in before.iter().zip(&after) {
        let same = before["id"] == *broken;
        assert_eq!(before["sealed"] == after["sealed"], same, "{after}");
        // It is the same credential: who is renewing it finds its version as it was, and nobody has changed the account.
        assert_eq!((&before["version"], &before["updated_at"]), (&after["version"], &after["updated_at"]));
    }
    let told = app.database.rows("select actor, after from audit_log where action = 'encryption.rotate'").await;
    assert_eq!(told, [json!({ "actor": "command_line", "after": { "resealed": 2 } })]);

    // Again: nothing is left to do, and nothing is written.
    let again = rotate(&app, NEW, OLD).await;
    assert_eq!(again.iter().filter(|(_, became)| *became == Resealed::Already).count(), 2);
    assert_eq!(credentials(&app).await, after);
    assert_eq!(app.database.number("select count(*) from audit_log where action = 'encryption.rotate'").await, 1);

    // The old key is not needed any more, and opens nothing.
    let now = Instance::start(&app.database.url, &[("ENCRYPTION_KEY", NEW)]).await;
    assert_eq!(now.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    let body = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
    assert_eq!(now.gemini(&key, "gemini-2.5-pro:generateContent", body).send().await.unwrap().status(), StatusCode::OK);
    // The login asks for its project first.
    assert_eq!(app.credentials(), ["sk-ant-one", "access-1", "access-1"]);
}

/// A rotation beside a renewal: the pair that arrives later is kept, and the next round seals it.
#[tokio::test]
async fn a_rotation_takes_no_renewed_login_away() {
    let app = App::with_logins().await;
    let login = app.login("anthropic", -5).await;
    let key = app.key(json!({})).await;
    app.give_one_pair();
    app.lock_accounts().await;
    let call = tokio::spawn(app.instance.messages(&key, hello(false)).send());
    app.pair_waits_to_be_stored().await;
    app.database.execute("commit").await;
    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    let told = rotate(&app, NEW, OLD).await;
    assert_eq!(told, [(login.clone(), Resealed::Anew)]);
    assert_eq!(app.version().await, 2);
    // A new credential by an instance that has the old key only is found by the next round.
    let given = json!({ "entitled": true, "credential": { "kind": "oauth", "access_token": "access-9", "expires_at": soon(3_600) } });
    app.instance.manage(Method::PATCH, &format!("/api/accounts/{login}"), Some(given)).await;
    assert_eq!((app.version().await, rotate(&app, NEW, OLD).await), (3, vec![(login, Resealed::Anew)]));
    let now = Instance::start(&app.database.url, &[("ENCRYPTION_KEY", NEW)]).await;
    assert_eq!(now.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(app.tokens_used(), ["access-2", "access-9"]);
}

/// The key that seals is replaced while instances that know both serve: nobody notices.
#[tokio::test]
async fn a_rotation_of_the_key_that_seals_is_noticed_by_no_request() {
    let app = App::start().await;
    for n in 0..20 {
        app.account("anthropic", &format!("sk-ant-{n}"), json!({})).await;
    }
    let key = app.key(json!({})).await;
    let both = [("ENCRYPTION_KEY", NEW), ("ENCRYPTION_KEY_PREVIOUS", OLD)];
    let instances = [Instance::start(&app.database.url, &both).await, Instance::start(&app.database.url, &both).await];
    let over = std::cell::Cell::new(false);
    let caller = async |n: usize| {
        let mut served = 0;
        // Each instance at least once before, and once after.
        while !over.get() || served < 4 {
            let call = instances[(n + served) % 2].messages(&key, hello(false));
            let answer = call.header("x-session-id", format!("{n} {served}")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            served += 1;
        }
        served
    };
    let rotation = async {
        let told = rotate(&app, NEW, OLD).await;
        assert!(told.len() == 20 && told.iter().all(|(_, became)| *became == Resealed::Anew), "{told:?}");
        over.set(true);
    };
    let (served, ()) = tokio::join!(futures_util::future::join_all((0..4).map(caller)), rotation);
    assert!(served.into_iter().all(|served| served >= 4));
    assert!(app.ledger().await.iter().all(|row| row["attempts"].as_array().unwrap().len() == 1), "no account failed");
}
