//! A release migrates the database of an older one that goes on serving: what the older one says, the new schema understands.

use std::{fs, path::Path, sync::LazyLock};

use gateway::{Secret, clock, store};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    support::{App, Database, Instance, refused},
    walk::hello,
};

/// When its requests began: not so long ago that retention would drop them.
static LATELY: LazyLock<String> = LazyLock::new(|| clock::now().to_string());

/// What an instance of a release says to the database, with values in the place of parameters.
struct Release {
    /// The version of its schema.
    version: usize,
    claim: fn(&str, i64) -> String,
    settle: fn(&str) -> String,
    /// What it reads and writes all the time.
    all_the_time: &'static [&'static str],
}

/// The first one.
mod release_5 {
    use serde_json::{Value, json};

    use super::{LATELY, Release};

    pub(super) const RELEASE: Release = Release { version: 5, claim, settle, all_the_time: &ALL_THE_TIME };

    pub(super) const ADD_ACCOUNT: &str = "
        insert into accounts (
            id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight,
            max_in_flight, models, model_map, note, paused, health, health_reason, health_until, failures, created_at,
            requests_per_minute, tokens_per_minute, use_paid_overage, probe_at, credential_expires_at, entitled
        ) values ('acc_old', 'anthropic', 'from before', 'old', null, '\\x00', 'api_key', 'cdef', 0, 1,
            4, '{}', '{}', '', false, 'ready', null, null, 0, now(), 100, 1000000, true, null, null, true)";
    pub(super) const ADD_KEY: &str = "
        insert into api_keys (id, hash, prefix, name, role, created_at)
        values ('key_old', '\\x01', 'gw_abcd', 'from before', 'member', now());
        update api_keys set
            name = 'from before', role = 'member', pool = 'old', providers = '{}', models = '{}', max_in_flight = 3,
            labels = '{}', note = '', expires_at = null, revoked_at = null, updated_at = now()
        where id = 'key_old'";
    const ALL_THE_TIME: [&str; 10] = [
        "select revision from settings",
        "select id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight, \
         max_in_flight, models, model_map, note, paused, health, health_reason, health_until, failures, last_error, \
         last_checked_at, created_at, updated_at, probe_at, requests_per_minute, tokens_per_minute, use_paid_overage, \
         organization, reported_limits, credential_expires_at, credential_version, entitled, \
         (select count(*) from leases l where l.account_id = accounts.id and l.expires_at > now()) as in_flight, \
         (select jsonb_object_agg(f.family, f.until) from family_cooldowns f \
          where f.account_id = accounts.id and f.until > now()) as cooling_families from accounts order by id",
        "select id, prefix, name, role, pool, providers, models, max_in_flight, labels, note, expires_at, revoked_at, \
         created_at, updated_at from api_keys where hash = '\\x01'",
        "select pool, provider, policy from routing_policies order by pool, provider",
        "select price || jsonb_build_object('provider', provider, 'model', model) as price from prices",
        "select l.*, k.name as key_name, a.name as account_name from ledger l left join api_keys k on k.id = l.key_id \
         left join accounts a on a.id = l.account_id where l.key_id = 'key_old' order by l.started_at desc limit 50",
        "select turn, failure, remedy from begin_refresh('acc_old', 0, 'holder', 30)",
        "update accounts set health = 'cooling', health_reason = 'failing', health_until = now() + interval '1 ms', \
         failures = 1, last_error = 'e', probe_at = null where id = 'acc_old' and (health <> 'needs_auth' or true) \
         returning id",
        "update accounts set health = 'ready', health_reason = null, health_until = null, probe_at = null, failures = 0 \
         where id = 'acc_old' and health <> 'needs_auth' returning id",
        "update leases set expires_at = now() + lease_life() where request_id = any('{req_under_way}') returning request_id",
    ];

    pub(super) fn draft(request: &str) -> Value {
        json!({
            "id": request, "started_at": LATELY.as_str(), "key_id": "key_old", "pool": "old",
            "provider": "anthropic", "operation": "messages", "model": "claude-sonnet-5-5", "stream": true,
            "session": "s", "client": "claude-cli", "input_tokens": 10, "cost_micros": 30, "estimated": true,
            "unpriced": false, "attempts": [],
        })
    }

    fn claim(request: &str, revision: i64) -> String {
        let claim = json!([{
            "request": request, "revision": revision, "key": "key_old", "pool": "old", "family": "claude-sonnet",
            "tokens": 10, "accounts": ["acc_old"], "session": "s", "session_seconds": 3600, "session_in_flight": 4,
            "draft": draft(request),
        }]);
        format!("select request_id, outcome, account_id, affinity from claim('{claim}')")
    }

    fn settle(request: &str) -> String {
        let mut row = draft(request);
        let known = json!({
            "account_id": "acc_old", "served_model": "claude-sonnet-5-5", "affinity": "kept", "status": "completed",
            "http_status": 200, "error": null, "output_tokens": 5, "cost_micros": 105, "estimated": false,
            "attempts": [{ "account": "acc_old", "verdict": "delivered", "status": 200, "took_ms": 7 }],
            "first_token_ms": 8, "duration_ms": 9, "upstream_request_id": "req_up",
        });
        for (name, value) in known.as_object().into_iter().flatten() {
            row[name] = value.clone();
        }
        format!("select settle('[{row}]')::text as settled")
    }
}

/// The one that claims and settles in columns.
mod release_18 {
    use super::{LATELY, Release, release_5::draft};

    pub(super) const RELEASE: Release = Release { version: 18, claim, settle, all_the_time: &ALL_THE_TIME };

    const ALL_THE_TIME: [&str; 6] = [
        "select revision from settings",
        "select id, provider, name, pool, base_url, credential, credential_kind, credential_hint, priority, weight, \
         max_in_flight, models, model_map, note, paused, health, health_reason, health_until, failures, last_error, \
         last_checked_at, created_at, updated_at, probe_at, requests_per_minute, tokens_per_minute, use_paid_overage, \
         organization, reported_limits, credential_expires_at, credential_version, entitled, tester, breaks \
         from accounts order by id",
        "select id, prefix, name, role, pool, providers, models, max_in_flight, labels, note, expires_at, revoked_at, \
         created_at, updated_at, limits, time_zone, allow_passthrough, rotate_every_days, auto_rotate, rotated_at \
         from api_keys where hash = '\\x01'",
        "select ends_at from former_secrets where hash = '\\x01'",
        "select roll_up() as more",
        "select drop_old_partition(36500) as dropped",
    ];

    fn claim(request: &str, revision: i64) -> String {
        let draft = draft(request);
        format!(
            "select outcome, account_id, affinity, limited, left_account from claim_all(
                 array['{request}'], array[{revision}::bigint], array['key_old'], array['old'], array['claude-sonnet'],
                 array[10::bigint], array['acc_old'], array['s'], array[3600], array[4], array[false],
                 array['{{\"pinned\": false}}'::jsonb], array['{draft}'::json],
                 array['{at}'::timestamptz], array['claude-sonnet-5-5'], array[10::bigint], array[30::bigint]
             )",
            at = *LATELY
        )
    }

    fn settle(request: &str) -> String {
        let attempts = r#"[{"account": "acc_old", "verdict": "delivered", "status": 200, "took_ms": 7}]"#;
        format!(
            "select settle_all(
                 array['{request}'], array['{at}'::timestamptz], array['key_old'], array['acc_old'],
                 array['old'], array['anthropic'], array['messages'], array['claude-sonnet-5-5'],
                 array['claude-sonnet-5-5'], array[true], array['s'], array['claude-cli'], array['kept'],
                 array['completed'], array[200], array[null::text], array['{attempts}'::jsonb], array[10::bigint],
                 array[null::bigint], array[null::bigint], array[null::bigint], array[5::bigint], array[null::bigint],
                 array[null::bigint], array[null::bigint], array[105::bigint], array[false], array[false], array[8],
                 array[9], array['req_up'], array[null::boolean]
             )::text as settled",
            at = *LATELY
        )
    }
}

/// A database as a release left it: its first migrations, and no more.
async fn released(version: usize) -> Database {
    let database = Database::create().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    database
        .execute(
            "create table schema_migrations (
                version integer primary key, name text not null, applied_at timestamptz not null default now())",
        )
        .await;
    for (number, file) in (1..).zip(&files[..version]) {
        database.execute(&fs::read_to_string(file).unwrap()).await;
        database.execute(&format!("insert into schema_migrations (version, name) values ({number}, 'released')")).await;
    }
    database
}

async fn granted(release: &Release, database: &Database, request: &str) {
    let revision = database.number("select revision from settings").await;
    let rows = database.rows(&(release.claim)(request, revision)).await;
    assert_eq!((&rows[0]["outcome"], &rows[0]["account_id"]), (&json!("granted"), &json!("acc_old")), "{rows:?}");
}

/// A change of several statements cannot stand in a subquery, as [`Database::rows`] asks it.
async fn all_the_time(release: &Release, database: &Database) {
    for sql in release.all_the_time {
        match sql.starts_with("select") {
            true => drop(database.rows(sql).await),
            false => database.execute(sql).await,
        }
    }
}

#[tokio::test]
async fn the_first_release_goes_on_working_while_a_newer_one_migrates_and_serves() {
    goes_on_working(release_5::RELEASE).await;
}

#[tokio::test]
async fn the_release_that_claims_in_columns_goes_on_working_too() {
    goes_on_working(release_18::RELEASE).await;
}

async fn goes_on_working(release: Release) {
    let database = released(release.version).await;
    database.execute(release_5::ADD_ACCOUNT).await;
    database.execute(release_5::ADD_KEY).await;
    granted(&release, &database, "req_before").await;
    database.rows(&(release.settle)("req_before")).await;
    granted(&release, &database, "req_under_way").await;
    all_the_time(&release, &database).await;

    let applied = store::migrate(&Secret::new(&database.url)).await.unwrap();
    assert_eq!(applied, (release.version as i32 + 1..=store::LATEST_SCHEMA).collect::<Vec<_>>());

    // The old instance has not noticed: it ends what it began, and begins more.
    all_the_time(&release, &database).await;
    database.rows(&(release.settle)("req_under_way")).await;
    granted(&release, &database, "req_after").await;
    database.rows(&(release.settle)("req_after")).await;
    granted(&release, &database, "req_lost").await;
    database.execute("update leases set expires_at = now() - interval '1 s' where request_id = 'req_lost'").await;
    database.rows("select reap()").await;

    // Beside it the new one serves.
    let app = App::on(database, &[]).await;
    app.account("anthropic", "sk-ant-one", json!({})).await;
    let key = app.key(json!({})).await;
    assert_eq!(app.instance.messages(&key, hello(false)).send().await.unwrap().status(), StatusCode::OK);
    let rows = app.ledger().await;
    let count = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
    assert_eq!((count("completed"), count("lost"), rows.len()), (4, 1, 5), "{rows:#?}");

    // And what was there before is there, and counted in the sums that the old one knows nothing of.
    let shown = app.shown("acc_old").await;
    assert_eq!(
        (&shown["name"], &shown["state"], &shown["max_in_flight"]),
        (&json!("from before"), &json!("ready"), &json!(4))
    );
    let page = app.instance.manage(reqwest::Method::GET, "/api/stats/requests?key=key_old", None).await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(4), "{page}");
    let sums = "select coalesce(sum(requests), 0) as requests, coalesce(sum(cost_micros), 0) as cost from key_usage \
                where key_id = 'key_old' and span = 'day'";
    let ledger = "select count(*) as requests, sum(cost_micros) as cost from ledger where key_id = 'key_old'";
    assert_eq!(app.database.rows(sums).await, app.database.rows(ledger).await);
}

#[tokio::test]
async fn a_release_that_the_schema_no_longer_serves_is_told_which_one_does() {
    let (app, key) = App::ready().await;
    app.ledger().await;
    // What a later release does that takes something away.
    let later = store::LATEST_SCHEMA + 2;
    app.database
        .execute(&format!(
            "alter table schema_migrations add column min_code integer;
             insert into schema_migrations (version, name, min_code) values ({later}, 'contract', {later} - 1);
             drop function claim_all"
        ))
        .await;
    let says = format!("serves releases from version {} on, and this release knows version {}", later - 1, later - 2);
    let error = store::migrate(&Secret::new(&app.database.url)).await.unwrap_err();
    assert!(error.message.contains(&says), "{}", error.message);

    // An instance that starts now, and one that finds something gone.
    let fresh = Instance::start(&app.database.url, &[]).await;
    let answer = fresh.operator(reqwest::Method::GET, "/api/accounts", None).await;
    let text = refused(answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable", None).await;
    assert!(text.contains(&says), "{text}");
    let answer = app.instance.messages(&key, hello(false)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert!(told["error"]["message"].as_str().unwrap().contains(&says), "{told}");
}
