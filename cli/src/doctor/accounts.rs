//! The accounts: each is asked whether its credential is good.

use gateway::{Error, Kind};
use http::Method;
use serde_json::Value;

use super::Finding;
use crate::{api::Api, find::called, progress::Progress, show};

/// Looks at every account of a gateway, and whether anybody has a key.
pub(super) async fn examine(api: &Api, progress: &mut Progress) -> Vec<Finding> {
    let accounts = match api.all(&["accounts"], Vec::new()).await {
        Ok(accounts) => accounts,
        Err(error) => return vec![unread(&error)],
    };
    let mut findings = Vec::new();
    if accounts.is_empty() {
        let cure = "Add one: llm-gateway accounts add NAME --provider anthropic";
        findings.push(Finding::note("accounts", "there is none: nothing can be served", cure));
    }
    for (done, account) in accounts.iter().enumerate() {
        progress.tell(&format!("account {} of {}", done + 1, accounts.len()));
        findings.push(one(api, account).await);
    }
    if let Ok(keys) = api.get(&["keys"], &[("limit", "1".to_owned())]).await
        && keys["data"].as_array().is_some_and(Vec::is_empty)
    {
        let cure = "Issue one: llm-gateway keys issue NAME";
        findings.push(Finding::note("keys", "there is none: nobody can call the gateway", cure));
    }
    findings
}

async fn one(api: &Api, account: &Value) -> Finding {
    let name = called(account);
    if account["state"] == "paused" {
        return Finding::note(
            "account",
            format!("{name} is paused"),
            format!("llm-gateway accounts resume {}", word(account)),
        );
    }
    let id = show::text(&account["id"]);
    match api.send(Method::POST, &["accounts", &id, "check"], None).await {
        Ok(checked) => judged(&checked),
        Err(error) => unchecked(account, &error),
    }
}

fn judged(checked: &Value) -> Finding {
    let account = &checked["account"];
    let (name, word) = (called(account), word(account));
    let said = show::text(&checked["message"]);
    let until = show::time(&account["state_until"]);
    match account["state"].as_str().unwrap_or_default() {
        "needs_auth" => {
            let cure = format!(
                "Give it a credential that is good: llm-gateway accounts set {word} --credential-file FILE; a login is imported anew"
            );
            Finding::fault("account", format!("the credential of {name} is refused: {said}"), cure)
        }
        "exhausted" => {
            let cure = format!("Add credit at the provider, then: llm-gateway accounts reset {word}");
            Finding::fault("account", format!("{name} is out of credit until {until}: {said}"), cure)
        }
        _ if checked["ok"] != true && checked["status"].is_null() => {
            let cure = format!(
                "Check DNS and firewall on the way to its base_url; correct it: llm-gateway accounts set {word} --base-url URL"
            );
            Finding::fault("account", format!("the upstream of {name} cannot be reached: {said}"), cure)
        }
        "cooling" => {
            let cure = format!("It comes back by itself; at once: llm-gateway accounts reset {word}");
            Finding::note(
                "account",
                format!("{name} sits out until {until}: {}", show::text(&account["state_reason"])),
                cure,
            )
        }
        _ if checked["ok"] != true => {
            let cure = format!("Look at it: llm-gateway accounts show {word}");
            Finding::fault("account", format!("the check of {name} failed: {said}"), cure)
        }
        _ => Finding::good("account", format!("{name} is {}", show::text(&account["state"]))),
    }
}

fn unchecked(account: &Value, error: &Error) -> Finding {
    let (name, word) = (called(account), word(account));
    match error.kind {
        Kind::Conflict => {
            let cure = format!(
                "Give the key that it was sealed with as ENCRYPTION_KEY, or as ENCRYPTION_KEY_PREVIOUS beside the new one; if it is \
                 lost, enter the credential anew: llm-gateway accounts set {word} --credential-file FILE"
            );
            Finding::fault("account", format!("ENCRYPTION_KEY does not open the credential of {name}"), cure)
        }
        Kind::PermissionDenied => {
            Finding::note("account", format!("{name} was not checked: the token may only read"), "Use the ADMIN_TOKEN")
        }
        _ => Finding::fault("account", format!("{name} could not be checked: {error}"), "Run it again with LOG=debug"),
    }
}

fn unread(error: &Error) -> Finding {
    let cure = match error.kind {
        Kind::Unauthenticated => "Give the ADMIN_TOKEN that the gateway runs with, or a key with the role admin",
        Kind::PermissionDenied => "Use the ADMIN_TOKEN, or a key with the role admin or viewer",
        _ => "Run it again with LOG=debug",
    };
    Finding::fault("accounts", format!("the accounts cannot be read: {error}"), cure)
}

/// What names an account in a command: its id, which no shell takes for anything else.
fn word(account: &Value) -> String {
    show::text(&account["id"])
}
