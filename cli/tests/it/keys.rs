//! `llm-gateway keys`: each command against a real gateway.

use serde_json::json;

use crate::support::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_issued_shown_changed_rotated_and_revoked() {
    let site = Site::start().await;
    let issued = site.run(&[
        "keys",
        "issue",
        "maya",
        "--role",
        "member",
        "--model",
        "claude-*",
        "--cost-per-day",
        "5.25",
        "--max-in-flight",
        "4",
        "--label",
        "team=search",
        "--expires-in",
        "90d",
        "--rotate-every-days",
        "90",
        "--auto-rotate",
        "--note",
        "laptop",
        "--allowed-cidr",
        "127.0.0.0/8",
        "--time-zone",
        "Europe/Berlin",
    ]);
    // The secret alone is on standard output; the rest is said beside it.
    assert!(issued.err.contains("issued maya (key_") && issued.err.contains("only time"), "{}", issued.err);
    let secret = issued.good();
    assert!(secret.starts_with("gw_") && secret.lines().count() == 1, "{secret}");

    let key = site.json(&["keys", "show", "maya"]);
    assert_eq!(key["limits"], json!({ "max_in_flight": 4, "cost_per_day_usd": 5.25 }), "{key}");
    assert_eq!((&key["models"], &key["labels"]), (&json!(["claude-*"]), &json!({ "team": "search" })));
    assert_eq!((&key["auto_rotate"], &key["time_zone"]), (&json!(true), &json!("Europe/Berlin")));
    assert_eq!(key["allowed_cidrs"], json!(["127.0.0.0/8"]));
    assert!(key.get("key").is_none(), "a secret is shown once");
    let id = key["id"].as_str().unwrap();
    let shown = site.run(&["keys", "show", id]).good();
    assert!(shown.contains("limits.cost_per_day_usd  5.25") && !shown.contains('{'), "{shown}");

    let changed = site.json(&[
        "keys",
        "set",
        "maya",
        "--cost-per-day",
        "none",
        "--requests-per-minute",
        "60",
        "--model",
        "none",
        "--name",
        "maya-2",
        "--auto-rotate=false",
    ]);
    assert_eq!(changed["limits"], json!({ "max_in_flight": 4, "requests_per_minute": 60 }));
    assert_eq!(
        (&changed["models"], &changed["name"], &changed["auto_rotate"]),
        (&json!([]), &json!("maya-2"), &json!(false))
    );

    let rotated = site.run(&["keys", "rotate", "maya-2", "--grace", "30m"]);
    assert!(rotated.err.contains("the old secret ends at 20"), "{}", rotated.err);
    let successor = rotated.good();
    assert!(successor.starts_with("gw_") && successor != secret);

    let said = site.run(&["keys", "revoke", "maya-2"]).bad(1);
    assert!(said.contains("--yes"), "nobody is there to be asked: {said}");
    assert_eq!(site.json(&["keys", "show", "maya-2"])["state"], "active");
    assert!(site.run(&["keys", "revoke", "maya-2", "--yes"]).good().starts_with("revoked maya-2 (key_"));
    assert_eq!(site.json(&["keys", "show", id])["state"], "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_listed_for_people_and_for_scripts() {
    let site = Site::start().await;
    assert_eq!(site.run(&["keys", "list"]).good(), "none\n");
    assert_eq!(site.json(&["keys", "list"]), json!([]));
    site.key("one");
    site.run(&["keys", "issue", "two", "--pool", "research"]).good();
    site.run(&["keys", "revoke", "one", "-y"]).good();
    let table = site.run(&["keys", "list"]).good();
    let lines: Vec<_> = table.lines().collect();
    assert!(
        lines[0].starts_with("NAME  ID") && lines[1].starts_with("two   key_") && lines[2].starts_with("one   key_"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "no colours where nobody watches");
    let names = |list: serde_json::Value| -> Vec<_> {
        list.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(site.json(&["keys", "list"])), ["two", "one"]);
    assert_eq!(names(site.json(&["keys", "list", "--state", "active"])), ["two"]);
    assert_eq!(names(site.json(&["keys", "list", "--pool", "default"])), ["one"]);
    // A name is taken for the key that is in use; two of them are told apart by their ids.
    site.key("one");
    assert_eq!(site.json(&["keys", "show", "one"])["state"], "active");
    site.key("one");
    assert!(site.run(&["keys", "show", "one"]).bad(1).contains("say which by its id (key_"));
    assert!(site.run(&["keys", "show", "nobody"]).bad(5).contains("no key named nobody"));
    assert!(site.run(&["keys", "show", "key_nobody"]).bad(5).contains("key_nobody"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_option_is_for_comes_from_a_file() {
    let site = Site::start().await;
    let fields = json!({ "limits": { "windows": [{ "hours": 5, "models": ["claude-opus-*"], "cost_usd": 10 }] } });
    let issued = ["keys", "issue", "windowed", "--fields", "-", "--max-in-flight", "2"];
    site.run_with(&issued, &fields.to_string()).good();
    let limits = &site.json(&["keys", "show", "windowed"])["limits"];
    assert_eq!((&limits["windows"][0]["hours"], &limits["max_in_flight"]), (&json!(5), &json!(2)), "{limits}");
    // The gateway's own refusal, with the field at fault.
    let said = site.run(&["keys", "issue", "x", "--role", "king"]).bad(1);
    assert!(said.starts_with("llm-gateway: role: must be"), "{said}");
    assert!(site.run(&["keys", "set", "windowed"]).bad(1).contains("nothing to change"));
}

/// C10: what somebody named a key cannot steer the terminal of whoever lists it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_characters_in_names_are_inert() {
    let site = Site::start().await;
    let name = "evil\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gnp";
    let fields = json!({ "note": "line\nfeed \u{1b}[2J" }).to_string();
    let made = site.run_with(&["keys", "issue", name, "--fields", "-"], &fields);
    let is_tricky = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    if made.code != 0 {
        // A gateway that takes no such name says so, and does not repeat it raw.
        assert!(!made.err.contains(is_tricky), "{:?}", made.err);
        return;
    }
    for text in [
        made.err,
        site.run(&["keys", "list"]).good(),
        site.run(&["keys", "list", "--json"]).good(),
        site.run(&["keys", "show", name]).good(),
        site.run(&["keys", "revoke", name, "--yes"]).good(),
        site.run(&["keys", "show", "no\u{1b}[2Jbody"]).bad(5),
    ] {
        assert!(!text.contains(is_tricky), "{text:?}");
    }
    assert_eq!(site.json(&["keys", "list"])[0]["name"], name, "scripts get the name itself");
}
