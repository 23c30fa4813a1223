//! Credentials as operators give them: as fields, or as the contents of a CLI's own login file.

use jiff::Timestamp;
use serde_json::Value;

use super::Fields;
use crate::{
    credential::Credential,
    error::{Error, Kind, Result},
    pool::Account,
    protocol::Provider,
    secret::Secret,
};

/// A longer key or token is none.
const SECRET_BYTES: usize = 8 << 10;
/// A longer name of a Google Cloud project is none.
const PROJECT_CHARS: usize = 100;

/// Parts of the names of fields that say where a secret is to be fetched. A gateway that followed them would read files and
/// call addresses for whoever wrote them, so a login that has any is refused.
const SOURCES: [&str; 8] = ["file", "path", "url", "uri", "command", "exec", "helper", "source"];

const NOT_ENTITLED: &str = "must be true for an oauth credential: it is your statement that the provider's terms allow \
                            this account to be used through a gateway";

/// The credential among the fields of an account.
pub(super) fn given(body: &mut Fields) -> Result<Option<Credential>> {
    let Some(mut given) = body.object("credential")? else { return Ok(None) };
    let kind = given.text("kind")?;
    let credential = match given.required("kind", kind)?.as_str() {
        "api_key" => {
            let key = secret(&mut given, "api_key")?;
            Credential::ApiKey(given.required("api_key", key)?)
        }
        Credential::OAUTH => {
            let token = secret(&mut given, "access_token")?;
            Credential::OAuth {
                access_token: given.required("access_token", token)?,
                refresh_token: secret(&mut given, "refresh_token")?,
                expires_at: given.nullable_time("expires_at")?.flatten(),
                project: project(&mut given)?,
            }
        }
        _ => return Err(given.wrong("kind", "must be `api_key` or `oauth`")),
    };
    given.finish()?;
    Ok(Some(credential))
}

/// What the fields of an import say: the contents of Claude Code's `.credentials.json` or Gemini CLI's `oauth_creds.json`,
/// told apart by their shape.
pub(super) fn login(body: &mut Fields) -> Result<(Provider, Credential)> {
    let contents = match body.value("contents") {
        Some(Value::String(text)) => serde_json::from_str(&text).ok(),
        contents => contents,
    };
    let Some(Value::Object(contents)) = contents else {
        return Err(body.wrong("contents", "must be what the login file holds, as an object or as its text"));
    };
    if let Some(name) = contents.iter().find_map(|(name, value)| source(name, value)) {
        let message = format!("`{name}` names a place to fetch a secret from; only the tokens themselves are taken");
        return Err(body.wrong("contents", message));
    }
    match contents.get("claudeAiOauth") {
        Some(Value::Object(login)) => {
            let mut login = Fields::within("contents.claudeAiOauth", login.clone());
            let credential = tokens(&mut login, ["accessToken", "refreshToken", "expiresAt"], project(body)?)?;
            Ok((Provider::Anthropic, credential))
        }
        _ if contents.contains_key("access_token") => {
            let mut login = Fields::within("contents", contents);
            let credential = tokens(&mut login, ["access_token", "refresh_token", "expiry_date"], project(body)?)?;
            Ok((Provider::Gemini, credential))
        }
        _ => {
            Err(body.wrong("contents", "is neither Claude Code's .credentials.json nor Gemini CLI's oauth_creds.json"))
        }
    }
}

/// Whether the operator has said that this account may be used this way: with each login, and for as long as there is one.
pub(super) fn entitled(body: &mut Fields, account: &Account, given: Option<&Credential>) -> Result<bool> {
    let said = body.flag("entitled")?;
    let is_login = match given {
        Some(credential) => credential.kind() == Credential::OAUTH,
        None => account.credential_kind == Credential::OAUTH && said.is_some(),
    };
    if is_login && said != Some(true) {
        return Err(match given {
            Some(_) => body.wrong("entitled", NOT_ENTITLED),
            // It cannot be taken back while the login is there.
            None => Error::new(Kind::Conflict, format!("`entitled` {NOT_ENTITLED}")),
        });
    }
    Ok(said.unwrap_or(account.entitled))
}

/// The tokens of a login file, under the names that it has for them. What else it holds is of no use here.
fn tokens(login: &mut Fields, [access, refresh, end]: [&str; 3], project: Option<String>) -> Result<Credential> {
    let access_token = secret(login, access)?;
    let expires_at = match login.value(end) {
        None => None,
        Some(value) => {
            let time = value.as_f64().and_then(|millis| Timestamp::from_millisecond(millis as i64).ok());
            let time = time.filter(|time| *time >= Timestamp::UNIX_EPOCH);
            Some(time.ok_or_else(|| login.wrong(end, "must be a time in milliseconds since 1970"))?)
        }
    };
    Ok(Credential::OAuth {
        access_token: login.required(access, access_token)?,
        refresh_token: secret(login, refresh)?,
        expires_at,
        project,
    })
}

/// The first field, at any depth, whose name says that a secret lies elsewhere. What Claude Code keeps of the logins to
/// MCP servers, their addresses among it, is none of ours and is not read.
fn source(name: &str, value: &Value) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if name == "mcpOAuth" {
        return None;
    }
    if SOURCES.iter().any(|part| lower.contains(part)) {
        return Some(name.to_owned());
    }
    match value {
        Value::Object(map) => map.iter().find_map(|(name, value)| source(name, value)),
        Value::Array(list) => list.iter().find_map(|value| source("", value)),
        _ => None,
    }
}

fn secret(given: &mut Fields, name: &str) -> Result<Option<Secret>> {
    match given.value(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Err(given.wrong(name, "must not be empty")),
        Some(Value::String(text)) if text.len() > SECRET_BYTES => {
            Err(given.wrong(name, format!("must have at most {SECRET_BYTES} characters")))
        }
        Some(Value::String(text)) if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(given.wrong(name, "must not hold spaces, line ends or other than ASCII characters"))
        }
        Some(Value::String(text)) if text.contains("://") => {
            Err(given.wrong(name, "must be the secret itself, not where it lies"))
        }
        Some(Value::String(text)) => Ok(Some(Secret::new(text))),
        Some(_) => Err(given.wrong(name, "must be a string")),
    }
}

/// A project goes into a header.
fn project(given: &mut Fields) -> Result<Option<String>> {
    let project = given.name_text("project")?;
    let plain = |text: &String| text.len() <= PROJECT_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
    match project {
        Some(text) if !plain(&text) => {
            Err(given.wrong("project", format!("must be a project's id, at most {PROJECT_CHARS} plain characters")))
        }
        project => Ok(project),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(contents: &Value) -> Result<(Provider, Credential)> {
        login(&mut Fields::read(json!({ "contents": contents }).to_string().as_bytes()).unwrap())
    }

    fn check_refused(contents: &Value, param: &str, part: &str) {
        let error = read(contents).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{contents}");
        assert!(error.message.contains(part), "{contents}: {error}");
    }

    fn claude() -> Value {
        json!({
            "claudeAiOauth": {
                "accessToken": "sk-ant-oat01-a", "refreshToken": "sk-ant-ort01-r", "expiresAt": 1_800_000_000_123_i64,
                "scopes": ["user:inference"], "subscriptionType": "max", "rateLimitTier": "default", "newField": {"a": [1]},
            },
            "mcpOAuth": { "server|1": { "serverUrl": "https://mcp.example.com", "accessToken": "other" } },
        })
    }

    #[test]
    fn both_login_files_are_told_by_their_shape() {
        let expires_at = Some("2027-01-15T08:00:00.123Z".parse().unwrap());
        let expect = |access: &str, refresh: &str| Credential::OAuth {
            access_token: Secret::new(access),
            refresh_token: Some(Secret::new(refresh)),
            expires_at,
            project: None,
        };
        let anthropic = (Provider::Anthropic, expect("sk-ant-oat01-a", "sk-ant-ort01-r"));
        assert_eq!(read(&claude()).unwrap(), anthropic);
        assert_eq!(read(&Value::String(claude().to_string())).unwrap(), anthropic);
        let google = json!({
            "access_token": "ya29.a", "refresh_token": "1//r", "expiry_date": 1_800_000_000_123_i64, "token_type": "Bearer",
            "scope": "https://www.googleapis.com/auth/cloud-platform openid", "id_token": "e.y.J",
        });
        assert_eq!(read(&google).unwrap(), (Provider::Gemini, expect("ya29.a", "1//r")));
    }

    #[test]
    fn whatever_names_a_source_is_refused() {
        for field in ["token_file", "credentialPath", "token_uri", "serverUrl", "command", "exec", "apiKeyHelper"] {
            check_refused(&json!({ "access_token": "ya29.a", field: "x" }), "contents", field);
            check_refused(&json!({ "access_token": "ya29.a", "deep": [{ field: "x" }] }), "contents", field);
            let mut login = claude();
            login["claudeAiOauth"][field] = json!("x");
            check_refused(&login, "contents", field);
        }
        let external = json!({ "type": "external_account", "credential_source": { "file": "/etc/passwd" } });
        check_refused(&external, "contents", "credential_source");
        for token in ["file:///etc/passwd", "https://169.254.169.254/token"] {
            check_refused(&json!({ "access_token": token }), "contents.access_token", "not where it lies");
        }
    }

    #[test]
    fn what_is_no_login_file_is_refused_by_field() {
        check_refused(&json!(null), "contents", "login file");
        check_refused(&json!("/root/.claude/.credentials.json"), "contents", "login file");
        check_refused(&json!([]), "contents", "login file");
        check_refused(&json!({ "claudeAiOauth": "x" }), "contents", "neither");
        check_refused(&json!({ "claudeAiOauth": {} }), "contents.claudeAiOauth.accessToken", "required");
        check_refused(&json!({ "access_token": "a b" }), "contents.access_token", "spaces");
        check_refused(&json!({ "access_token": 5 }), "contents.access_token", "string");
        check_refused(&json!({ "access_token": "a", "expiry_date": "soon" }), "contents.expiry_date", "milliseconds");
        check_refused(&json!({ "access_token": "a", "expiry_date": 1e300 }), "contents.expiry_date", "milliseconds");
        check_refused(&json!({ "access_token": "a", "expiry_date": -1 }), "contents.expiry_date", "milliseconds");
    }
}
