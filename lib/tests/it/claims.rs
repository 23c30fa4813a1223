//! One batch of claims: what is plain is granted in one statement, and the rest beside it as if it had come alone.

use futures_util::future::join_all;
use gateway::{Secret, store};
use serde_json::{Value, json};

use crate::support::Database;

/// One request of a batch: by this key, on these accounts, of this session, and with which revision of the settings.
struct Item {
    id: String,
    key: &'static str,
    accounts: &'static str,
    session: Option<&'static str>,
    revision: i64,
}

impl Item {
    fn new(id: impl Into<String>, key: &'static str, accounts: &'static str) -> Self {
        Self { id: id.into(), key, accounts, session: None, revision: 1 }
    }

    fn of(self, session: &'static str) -> Self {
        Self { session: Some(session), ..self }
    }
}

/// A database with the accounts `acc_a`, `acc_b` and `acc_c`, and the keys `key_plain`, `key_one` (one request at a time) and
/// `key_day` (two requests a day).
async fn furnished() -> Database {
    let database = Database::create().await;
    store::migrate(&Secret::new(&database.url)).await.unwrap();
    database
        .execute(
            "insert into accounts (id, provider, name, credential, credential_kind, credential_hint)
             select 'acc_' || letter, 'anthropic', letter, '\\x00', 'api_key', 'cdef' from unnest('{a,b,c}'::text[]) letter;
             insert into api_keys (id, hash, prefix, name, role, max_in_flight, limits) values
                 ('key_plain', '\\x01', 'gw_a', 'plain', 'member', null, '[]'),
                 ('key_one', '\\x02', 'gw_b', 'one', 'member', 1, '[]'),
                 ('key_day', '\\x03', 'gw_c', 'day', 'member', null,
                  '[{\"span\": \"day\", \"measure\": \"requests\", \"value\": 2}]')",
        )
        .await;
    database
}

/// What comes of a batch: outcome, account and affinity of each, in their order. A session is let have two requests on an account.
async fn claim(database: &Database, items: &[Item]) -> Vec<Value> {
    let of_texts = |value: &dyn Fn(&Item) -> Option<String>| {
        let values: Vec<_> =
            items.iter().map(|item| value(item).map_or("null".into(), |text| format!("'{text}'"))).collect();
        format!("array[{}]::text[]", values.join(", "))
    };
    let of_all = |value: &str, array: &str| format!("array_fill({value}, array[{}])::{array}", items.len());
    let sessions: Vec<_> = items.iter().map(|item| if item.session.is_some() { "3600" } else { "null" }).collect();
    let revisions: Vec<_> = items.iter().map(|item| item.revision.to_string()).collect();
    let draft = |item: &Item| {
        json!({
            "id": item.id, "started_at": "2126-11-24T12:00:00Z", "key_id": item.key, "pool": "default",
            "provider": "anthropic", "operation": "generate", "model": "m", "stream": false, "session": item.session,
            "client": null, "input_tokens": 10, "cost_micros": 30, "estimated": true, "unpriced": false, "attempts": [],
        })
        .to_string()
    };
    let columns = [
        of_texts(&|item| Some(item.id.clone())),
        format!("array[{}]::bigint[]", revisions.join(", ")),
        of_texts(&|item| Some(item.key.into())),
        of_all("'default'::text", "text[]"),
        of_all("'sonnet'::text", "text[]"),
        of_all("10", "bigint[]"),
        of_texts(&|item| Some(item.accounts.into())),
        of_texts(&|item| item.session.map(Into::into)),
        format!("array[{}]::integer[]", sessions.join(", ")),
        of_all("2", "integer[]"),
        of_all("false", "boolean[]"),
        of_all("null::jsonb", "jsonb[]"),
        format!("{}::json[]", of_texts(&|item| Some(draft(item)))),
        of_all("now()", "timestamptz[]"),
        of_all("'m'::text", "text[]"),
        of_all("10", "bigint[]"),
        of_all("30", "bigint[]"),
    ];
    let rows = database.rows(&format!("select * from claim_all({})", columns.join(", "))).await;
    rows.iter().map(|row| json!([row["outcome"], row["account_id"], row["affinity"]])).collect()
}

fn granted(account: &str) -> Value {
    json!(["granted", account, null])
}

#[tokio::test]
async fn plain_claims_and_others_travel_in_one_batch() {
    let database = furnished().await;
    database.execute("update accounts set max_in_flight = 1 where id = 'acc_b'").await;
    let old = Item { revision: 0, ..Item::new("r8", "key_plain", "acc_a") };
    let batch = [
        Item::new("r0", "key_plain", "acc_a,acc_b"),
        Item::new("r1", "key_one", "acc_a"),
        Item::new("r2", "key_one", "acc_a"),
        Item::new("r3", "key_plain", "acc_b,acc_c"),
        Item::new("r4", "key_plain", "acc_b,acc_c"),
        Item::new("r5", "key_day", "acc_a"),
        Item::new("r6", "key_day", "acc_a"),
        Item::new("r7", "key_nobody", "acc_a"),
        old,
        Item::new("r9", "key_plain", "acc_gone,acc_c"),
        Item::new("r10", "key_plain", "acc_b"),
    ];
    assert_eq!(
        claim(&database, &batch).await,
        [
            granted("acc_a"),
            granted("acc_a"),
            json!(["key_busy", null, null]),
            granted("acc_b"),
            granted("acc_c"),
            granted("acc_a"),
            granted("acc_a"),
            json!(["key_gone", null, null]),
            json!(["settings_changed", null, null]),
            granted("acc_c"),
            json!(["accounts_busy", null, null]),
        ]
    );
    assert_eq!(database.number("select count(*) from leases").await, 7);
    // The same statement again, because its answer was lost: the same leases.
    let plain = Item::new("r0", "key_plain", "acc_c");
    assert_eq!(claim(&database, &[plain]).await, [granted("acc_c")]);
    let moved = "select account_id from leases where request_id = 'r0'";
    assert_eq!(database.rows(moved).await, [json!({ "account_id": "acc_c" })]);
    let third = [Item::new("r11", "key_day", "acc_a"), Item::new("r12", "key_plain", "acc_a")];
    let answers = claim(&database, &third).await;
    assert_eq!(answers, [json!(["key_limited", null, null]), granted("acc_a")]);
}

#[tokio::test]
async fn requests_of_one_session_in_one_batch_spread_as_if_they_had_come_one_after_the_other() {
    let database = furnished().await;
    let of_one = |from: usize| (from..from + 4).map(|n| Item::new(format!("r{n}"), "key_plain", "acc_a,acc_b").of("s"));
    let mut batch: Vec<_> = of_one(0).collect();
    batch.push(Item::new("r4", "key_plain", "acc_b").of("other"));
    assert_eq!(
        claim(&database, &batch).await,
        [
            json!(["granted", "acc_a", "new"]),
            json!(["granted", "acc_a", "kept"]),
            json!(["granted", "acc_b", "moved"]),
            json!(["granted", "acc_b", "moved"]),
            json!(["granted", "acc_b", "new"]),
        ]
    );
    // It is full everywhere, so it goes where it is at home; and there it stayed.
    let more = claim(&database, &[Item::new("r5", "key_plain", "acc_a,acc_b").of("s")]).await;
    assert_eq!(more, [json!(["granted", "acc_a", "kept"])]);
    database.execute("delete from leases").await;
    let later = claim(&database, &[Item::new("r6", "key_plain", "acc_b,acc_a").of("s")]).await;
    assert_eq!(later, [json!(["granted", "acc_a", "kept"])]);
}

#[tokio::test]
async fn what_changed_since_the_claim_was_decided_on_counts() {
    let database = furnished().await;
    for (change, outcome) in [
        ("update accounts set paused = true where id = 'acc_a'", granted("acc_b")),
        (
            "update accounts set health = 'cooling', health_until = now() + interval '1 hour' where id = 'acc_a'",
            granted("acc_b"),
        ),
        ("insert into family_cooldowns values ('acc_a', 'sonnet', now() + interval '1 hour', 'x')", granted("acc_b")),
        ("delete from accounts where id = 'acc_a'", granted("acc_b")),
        ("update api_keys set revoked_at = now() where id = 'key_plain'", json!(["key_gone", null, null])),
        ("update api_keys set expires_at = now() where id = 'key_plain'", json!(["key_gone", null, null])),
        ("update settings set revision = revision + 1", json!(["settings_changed", null, null])),
    ] {
        let batch = [Item::new("r0", "key_plain", "acc_a,acc_b"), Item::new("r1", "key_plain", "acc_a,acc_b")];
        database.execute(&format!("begin; {change}")).await;
        assert_eq!(claim(&database, &batch).await, [outcome.clone(), outcome], "{change}");
        database.execute("rollback").await;
    }
}

#[tokio::test]
async fn caps_hold_exactly_while_plain_claims_go_on_beside() {
    let database = furnished().await;
    database.execute("update accounts set max_in_flight = 5 where id = 'acc_a'").await;
    let connections = join_all((0..4).map(|_| database.again())).await;
    let claims = connections.iter().enumerate().map(|(n, connection)| async move {
        let mut capped = 0;
        for round in 0..6 {
            let batch = [
                Item::new(format!("c{n}r{round}"), "key_plain", "acc_a"),
                Item::new(format!("p{n}r{round}"), "key_plain", "acc_b"),
                Item::new(format!("o{n}r{round}"), "key_one", "acc_c"),
            ];
            let answers = claim(connection, &batch).await;
            assert_eq!(answers[1], granted("acc_b"));
            capped += usize::from(answers[0][0] == "granted");
        }
        capped
    });
    assert_eq!(join_all(claims).await.into_iter().sum::<usize>(), 5);
    let of = async |account: &str| {
        database.number(&format!("select count(*) from leases where account_id = '{account}'")).await
    };
    assert_eq!((of("acc_a").await, of("acc_b").await, of("acc_c").await), (5, 24, 1));
}
