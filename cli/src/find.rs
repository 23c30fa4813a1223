//! Things by their names: whoever types knows a name, the API wants an id.

use gateway::{Error, Kind, Result};
use serde_json::Value;

use crate::api::Api;

/// What is looked for: the list's path, how its ids begin, and its word.
pub(crate) struct Kin {
    pub(crate) path: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) word: &'static str,
}

/// Accounts.
pub(crate) const ACCOUNT: Kin = Kin { path: "accounts", prefix: "acc_", word: "account" };
/// API keys.
pub(crate) const KEY: Kin = Kin { path: "keys", prefix: "key_", word: "key" };

/// The id of whatever `named` means: itself, or that of the one with this name. Revoked keys do not count where there is
/// another.
pub(crate) async fn id(api: &Api, kin: &Kin, named: &str) -> Result<String> {
    if named.starts_with(kin.prefix) {
        return Ok(named.to_owned());
    }
    let all = api.all(&[kin.path], Vec::new()).await?;
    let mut found: Vec<_> = all.iter().filter(|thing| thing["name"] == named).collect();
    if found.len() > 1 {
        found.retain(|thing| thing["state"] != "revoked");
    }
    let ids: Vec<_> = found.iter().filter_map(|thing| thing["id"].as_str()).collect();
    let Kin { path, word, .. } = kin;
    match ids.as_slice() {
        [id] => Ok((*id).to_owned()),
        [] => {
            let message = format!("there is no {word} named {named}; `llm-gateway {path} list` shows all");
            Err(Error::new(Kind::NotFound, message))
        }
        several => {
            let message = format!("several are named {named}: say which by its id ({})", several.join(", "));
            Err(Error::new(Kind::InvalidRequest, message))
        }
    }
}

/// What a thing is called: `maya-laptop (key_…)`.
pub(crate) fn called(thing: &Value) -> String {
    let part = |name: &str| thing[name].as_str().unwrap_or("?").to_owned();
    format!("{} ({})", part("name"), part("id"))
}
