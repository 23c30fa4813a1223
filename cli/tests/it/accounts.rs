//! `llm-gateway accounts`: each command against a real gateway and an upstream played by the fake.

use fake_upstream::{Answer, Script};
use serde_json::{Value, json};

use crate::support::Site;

const CLAUDE: &str = r#"{ "claudeAiOauth": { "accessToken": "sk-ant-oat01-a", "refreshToken": "sk-ant-ort01-r",
    "expiresAt": 4100000000000, "scopes": ["user:inference"] } }"#;
const GEMINI: &str = r#"{ "access_token": "ya29.a", "refresh_token": "1//r", "expiry_date": 4100000000000,
    "token_type": "Bearer" }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_added_checked_changed_paused_and_removed() {
    let site = Site::start().await;
    let added = site.account("team-1", "sk-ant-one-0123456789\n");
    assert_eq!(added["credential"]["hint"], "…6789", "the line's end is none of the key: {added}");
    let set = ["accounts", "set", "team-1", "--priority", "1", "--weight", "3", "--max-in-flight", "2"];
    let more = ["--model", "claude-*", "--map", "claude-a=claude-b", "--use-paid-overage=false", "--note", "ours"];
    let changed = site.json(&[&set[..], &more].concat());
    for (field, expect) in [
        ("priority", json!(1)),
        ("weight", json!(3)),
        ("max_in_flight", json!(2)),
        ("models", json!(["claude-*"])),
        ("model_map", json!({ "claude-a": "claude-b" })),
        ("use_paid_overage", json!(false)),
    ] {
        assert_eq!(changed[field], expect, "{field}");
    }
    let table = site.run(&["accounts", "list"]).good();
    assert!(
        table.starts_with("NAME    ID") && table.contains("\nteam-1  acc_") && table.contains("  ready"),
        "{table}"
    );
    assert_eq!(site.json(&["accounts", "list", "--state", "paused"]), json!([]));

    assert!(site.run(&["accounts", "pause", "team-1"]).good().ends_with("is now paused\n"));
    assert_eq!(site.json(&["accounts", "list", "--state", "paused"])[0]["name"], "team-1");
    assert_eq!(site.json(&["accounts", "resume", "team-1"])["state"], "ready");
    assert_eq!(site.json(&["accounts", "reset", "team-1"])["state"], "ready");

    let checked = site.run(&["accounts", "check", "team-1"]).good();
    assert!(checked.contains("  ok"), "{checked}");
    assert!(site.run(&["accounts", "remove", "team-1"]).bad(1).contains("--yes"));
    assert!(site.run(&["accounts", "remove", "team-1", "--yes"]).good().starts_with("removed team-1 (acc_"));
    assert!(site.run(&["accounts", "show", "team-1"]).bad(5).contains("no account named team-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_fails_is_an_exit_code_and_a_new_credential_mends_it() {
    let site = Site::start().await;
    site.account("good", "sk-ant-good-0123456789");
    site.account("bad", "sk-ant-bad-0123456789");
    site.fake.script(Script::always(Answer::unauthorized()).of("sk-ant-bad-0123456789"));
    let checked = site.run(&["accounts", "check", "--all", "--json"]);
    assert_eq!(checked.code, 1, "{}", checked.out);
    let found: Value = serde_json::from_str(&checked.out).unwrap();
    let found: Vec<_> = found.as_array().unwrap().iter().map(|one| (&one["account"]["name"], &one["ok"])).collect();
    assert_eq!(found, [(&json!("bad"), &json!(false)), (&json!("good"), &json!(true))]);
    assert_eq!(site.json(&["accounts", "show", "bad"])["state"], "needs_auth");
    let set = ["accounts", "set", "bad", "--credential-file", "-"];
    site.run_with(&set, "sk-ant-new-0123456789").good();
    assert!(site.run(&["accounts", "check", "bad"]).good().contains("ok"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_login_files_are_imported() {
    let site = Site::start().await;
    let claude = site.folder.write("credentials.json", CLAUDE);
    let said = site.run(&["accounts", "import", "claude", &claude]).bad(1);
    assert!(said.contains("entitled"), "it is the operator's statement: {said}");
    let claude = site.json(&["accounts", "import", "claude", &claude, "--entitled", "--pool", "logins"]);
    assert_eq!((&claude["provider"], &claude["pool"]), (&json!("anthropic"), &json!("logins")));
    let gemini = ["accounts", "import", "gemini", "-", "--entitled", "--project", "team-project", "--json"];
    let gemini = site.run_with(&gemini, GEMINI).json();
    assert_eq!((&gemini["provider"], &gemini["credential"]["kind"]), (&json!("gemini"), &json!("oauth")));
    assert!(site.run(&["accounts", "import", "x", "/nonexistent"]).bad(1).contains("cannot be read"));
    assert!(site.run_with(&["accounts", "import", "x", "-"], "{}").bad(1).contains("neither"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_may_be_whatever_the_api_takes_and_is_never_shown() {
    let site = Site::start().await;
    let login = json!({ "kind": "oauth", "access_token": "sk-ant-oat01-hunter2-hunter2", "expires_at": "2099-01-01T00:00:00Z" });
    let add = ["accounts", "add", "login", "--provider", "anthropic", "--credential-file", "-", "--entitled"];
    let added = site.run_with(&add, &login.to_string());
    assert!(!format!("{}{}", added.out, added.err).contains("hunter2"));
    added.good();
    assert_eq!(site.json(&["accounts", "show", "login"])["credential"]["kind"], "oauth");
    for arguments in [&["accounts", "list", "--json"][..], &["accounts", "show", "login"]] {
        assert!(!site.run(arguments).good().contains("hunter2-h"));
    }
    assert!(
        site.run_with(&["accounts", "add", "x", "--provider", "anthropic"], "").bad(1).contains("API key is empty")
    );
}
