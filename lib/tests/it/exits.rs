//! D5: whichever way a claimed request ends, it is one row of the ledger, and no lease is left.

use fake_upstream::{Answer, Before, End, Script};
use serde_json::Value;

use crate::{
    support::{App, eventually},
    walk::hello,
};

const MENDED: &str = "update accounts set health = 'ready', failures = 0, health_until = null, probe_at = null;
    delete from family_cooldowns; update settings set revision = revision + 1";

/// The only row, which must have this status; all is as it was before, then.
async fn ended(app: &App, how: &str, status: &str) -> Value {
    app.fake.idle().await;
    let row = app.only_row().await;
    assert_eq!(row["status"], status, "{how}: {row:#}");
    app.fake.clear();
    app.database.execute("delete from ledger").await;
    app.database.execute(MENDED).await;
    row
}

/// Every end that an upstream can give a request.
#[tokio::test]
async fn d5_every_end_of_an_answer_is_one_row() {
    let (app, key) = App::ready().await;
    for (how, answer, stream, status) in [
        ("served", Answer::default(), false, "completed"),
        ("streamed", Answer::default(), true, "completed"),
        ("the caller's mistake", Answer::invalid_request("no"), false, "refused"),
        ("limited", Answer::rate_limited(30), true, "failed"),
        ("overloaded", Answer::overloaded(), false, "failed"),
        ("a refused credential", Answer::unauthorized(), false, "failed"),
        ("no credit", Answer::credit_too_low(), false, "failed"),
        ("gone before the head", Answer::after(Before::Reset), false, "failed"),
        ("gone after the head", Answer::cut(0, End::Close), true, "failed"),
        ("an error first", Answer::error_event_first(), true, "failed"),
        ("an error later", Answer::error_event_after(3), true, "failed"),
        ("cut", Answer::cut(3, End::Reset), true, "failed"),
        ("ended early", Answer::cut(3, End::Clean), true, "failed"),
    ] {
        app.fake.script(Script::always(answer));
        if let Ok(answer) = app.instance.messages(&key, hello(stream)).send().await {
            let _whole_or_not = answer.bytes().await;
        }
        let row = ended(&app, how, status).await;
        assert!(!row["attempts"].as_array().unwrap().is_empty(), "{how}: {row:#}");
        assert_eq!(row["error"].is_null(), status == "completed", "{how}: {row:#}");
    }
}

/// Every moment at which a caller can leave: while the claim is made, before the head, and in the middle.
#[tokio::test]
async fn d5_every_departure_of_a_caller_is_one_row() {
    let (app, key) = App::ready().await;
    app.fake.script(Script::always(Answer::after(Before::Held)));
    app.database.execute("begin; select pg_advisory_xact_lock(hashtextextended('claim default', 0))").await;
    let call = tokio::spawn(app.instance.messages(&key, hello(true)).send());
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database =
        (select oid from pg_database where datname = current_database())";
    eventually("the claim waits", || async { (app.database.number(waiting).await > 0).then_some(()) }).await;
    call.abort();
    app.database.execute("commit").await;
    let rows = "select count(*) from ledger";
    eventually("the claim is on the books", || async { (app.database.number(rows).await == 1).then_some(()) }).await;
    ended(&app, "while the claim is made", "cancelled").await;

    app.fake.script(Script::always(Answer::after(Before::Held)));
    tokio::select! {
        answer = app.instance.messages(&key, hello(true)).send() => panic!("it is held: {answer:?}"),
        () = app.fake.arrived(1) => {}
    }
    let row = ended(&app, "before the head", "cancelled").await;
    assert_eq!(row["attempts"][0]["verdict"], "abandoned", "{row:#}");

    app.fake.script(Script::always(Answer::held_after(2)));
    let mut answer = app.instance.messages(&key, hello(true)).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    ended(&app, "in the middle", "cancelled").await;
}

/// An account that cannot be used at all, when the claim has taken it already.
#[tokio::test]
async fn d5_an_account_that_cannot_be_used_is_one_row() {
    let (app, key) = App::ready().await;
    app.database.execute(r"update accounts set credential = '\x00'; update settings set revision = revision + 1").await;
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let row = ended(&app, "a credential that does not open", "failed").await;
    assert_eq!((&row["attempts"][0]["verdict"], &row["cost_micros"]), (&"needs_auth".into(), &0.into()), "{row:#}");
    assert_eq!(app.fake.seen().len(), 0);
}
