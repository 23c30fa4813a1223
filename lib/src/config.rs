//! The only reader of the environment. Every variable, in the order of `.env.example`.

mod redis;
mod telemetry;
mod webhook;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use url::Url;

use crate::{
    address::{Network, NotANetwork},
    error::{Error, Kind, Result},
    secret::Secret,
};

pub use redis::Redis;
pub use telemetry::{Sampler, Telemetry};
pub use webhook::Webhook;

/// Characters that an operator's token has at least.
const ADMIN_TOKEN_LENGTH: usize = 32;

/// Words of tokens that were copied from somewhere and not made.
const SAMPLE_WORDS: [&str; 9] =
    ["change-me", "change_me", "changeme", "your-", "your_", "example", "sample", "placeholder", "<"];

/// What a process of the gateway is told from outside.
#[derive(Debug)]
pub struct Config {
    /// `DATABASE_URL`, else `POSTGRES_URL`: where requests go; may be a transaction-mode pooler.
    pub database_url: Secret,
    /// `DATABASE_URL_UNPOOLED`, else `POSTGRES_URL_NON_POOLING`, else the same: where migrations go.
    pub migration_url: Secret,
    /// `ADMIN_TOKEN`: the operator's token.
    pub admin_token: Secret,
    /// `ENCRYPTION_KEY`, then `ENCRYPTION_KEY_PREVIOUS`: the first seals, all of them open.
    pub encryption_keys: Vec<EncryptionKey>,
    /// Where the minutes are counted if not in Postgres: see [`Redis`].
    pub redis: Option<Redis>,
    /// `REDIS_TIMEOUT_MS`: so long a request waits for Redis before it goes by Postgres; 800 ms.
    pub redis_timeout: Duration,
    /// `OTEL_…`: the collector of traces; `None`: nobody is told.
    pub telemetry: Option<Telemetry>,
    /// `WEBHOOK_…`: who is told of what an operator should know; `None`: nobody.
    pub webhook: Option<Webhook>,
    /// `MAX_BODY_BYTES`: the largest request body, 32 MiB.
    pub max_body_bytes: usize,
    /// `LEDGER_RETENTION_DAYS`: single requests are forgotten after so many days, 90; their sums stay. `None`: never.
    pub ledger_retention_days: Option<i32>,
    /// `PASSTHROUGH_PATHS`: path globs let through beyond the built-in list.
    pub passthrough_paths: Vec<String>,
    /// `PUBLIC_URL`, else what Vercel says of the deployment: the gateway's own address, without a slash at its end.
    pub public_url: Option<String>,
    /// `CORS_ORIGINS`: the pages that may call models from a browser, `*` for any; none.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: one's own proxies, whose word on a client's address is taken; none.
    pub trusted_proxies: Vec<Network>,
    /// `DEMO=1`: everything in here is made up, and the dashboard says so on every page.
    pub demo: bool,
    /// `ALLOW_INSECURE_UPSTREAMS=1`: a base URL may be `http://` or a private address.
    pub allow_insecure_upstreams: bool,
    /// `…_UPSTREAM`: where requests go that name no address of their own.
    pub upstreams: Upstreams,
    /// `ANTHROPIC_OAUTH_…`: where and as which application logins of Anthropic accounts are renewed.
    pub anthropic_oauth: OAuthClient,
    /// `GEMINI_OAUTH_…`: the same for Google accounts.
    pub gemini_oauth: OAuthClient,
    /// `VERCEL`: set by the platform. An instance then keeps few connections, since there are many instances.
    pub on_vercel: bool,
}

/// The providers' own addresses: those of accounts without a base URL, and of callers who come with a login of their own.
#[derive(Debug)]
pub struct Upstreams {
    /// `ANTHROPIC_UPSTREAM`: the Anthropic API.
    pub anthropic: Url,
    /// `GEMINI_UPSTREAM`: the Gemini API.
    pub gemini: Url,
    /// `CODE_ASSIST_UPSTREAM`: the API that a Google login speaks to.
    pub code_assist: Url,
}

/// The application that the logins of accounts were made with; none is built in.
#[derive(Debug)]
pub struct OAuthClient {
    /// `…_TOKEN_URL`: where new tokens come from.
    pub token_url: Url,
    /// `…_CLIENT_ID`: without it nothing is renewed.
    pub id: Option<String>,
    /// `…_CLIENT_SECRET`: where the provider asks for one.
    pub secret: Option<Secret>,
}

/// Thirty-two bytes that other keys are derived from.
#[derive(Clone)]
pub struct EncryptionKey(pub(crate) [u8; 32]);

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncryptionKey(…)")
    }
}

/// Where the local server listens and what it serves besides the routers.
#[derive(Debug)]
pub struct Local {
    /// `HOST`: 127.0.0.1.
    pub host: IpAddr,
    /// `PORT`: 13010; 0 takes any free one.
    pub port: u16,
    /// `ALLOWED_HOSTS`: names that requests may be sent to, besides that of `PUBLIC_URL`, `localhost` and bare addresses; none.
    pub allowed_hosts: Vec<String>,
    /// `PUBLIC_DIR`: the dashboard's files.
    pub public_dir: PathBuf,
}

/// What the commands of a terminal are told: which gateway they look after, and how they show what they find.
#[derive(Debug)]
pub struct Terminal {
    /// `GATEWAY_URL`: where the gateway is; `None`: the one that runs here.
    pub gateway_url: Option<String>,
    /// `GATEWAY_TOKEN`, else `ADMIN_TOKEN`: whoever may manage it.
    pub token: Option<Secret>,
    /// `NO_COLOR`: whether colours are wanted; yes.
    pub colours: bool,
}

/// The environment, as a thing that tests can make up.
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's own. Empty values count as unset; values that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().filter_map(|name| self.0.get(*name)).map(String::as_str).find(|value| !value.is_empty())
    }

    fn parse<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.first(&[name]) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| unset(format!("{name} is not a valid value"))),
        }
    }
}

impl<const N: usize> From<[(&str, String); N]> for Environment {
    fn from(variables: [(&str, String); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// Where requests go: `DATABASE_URL`, else `POSTGRES_URL`. Nothing else needs to be set for it.
pub fn database_url(env: &Environment) -> Result<Secret> {
    let url = env.first(&["DATABASE_URL", "POSTGRES_URL"]).map(Secret::new);
    checked_database_url(url.ok_or_else(|| unset("set DATABASE_URL to a PostgreSQL URL"))?)
}

/// Where migrations go: `DATABASE_URL_UNPOOLED`, `POSTGRES_URL_NON_POOLING`, `DATABASE_URL` or `POSTGRES_URL`. Nothing else
/// needs to be set for them.
pub fn migration_url(env: &Environment) -> Result<Secret> {
    env.first(&["DATABASE_URL_UNPOOLED", "POSTGRES_URL_NON_POOLING", "DATABASE_URL", "POSTGRES_URL"])
        .map(Secret::new)
        .ok_or_else(|| unset("set DATABASE_URL to a PostgreSQL URL"))
}

impl Config {
    /// Reads and checks everything; an error says what to set.
    pub fn read(env: &Environment) -> Result<Self> {
        let mut missing = Vec::new();
        let mut need = |names: &[&str], hint: &str| {
            let value = env.first(names).map(Secret::new);
            if value.is_none() {
                missing.push(format!("{} ({hint})", names[0]));
            }
            value
        };
        let database_url = need(&["DATABASE_URL", "POSTGRES_URL"], "a PostgreSQL URL");
        let admin_token = need(&["ADMIN_TOKEN"], "at least 32 characters, such as `openssl rand -hex 32` prints");
        let encryption_key = need(&["ENCRYPTION_KEY"], "32 bytes in base64, such as `openssl rand -base64 32` prints");
        let (Some(database_url), Some(admin_token), Some(encryption_key)) = (database_url, admin_token, encryption_key)
        else {
            return Err(unset(format!("this gateway is not set up yet; set {}", missing.join(" and "))));
        };
        let mut encryption_keys = vec![EncryptionKey::read("ENCRYPTION_KEY", encryption_key.expose())?];
        if let Some(previous) = env.first(&["ENCRYPTION_KEY_PREVIOUS"]) {
            encryption_keys.push(EncryptionKey::read("ENCRYPTION_KEY_PREVIOUS", previous)?);
        }
        max_duration(env)?;
        Ok(Self {
            migration_url: checked_database_url(migration_url(env)?)?,
            database_url: checked_database_url(database_url)?,
            admin_token: checked_admin_token(admin_token)?,
            encryption_keys,
            redis: Redis::read(env)?,
            redis_timeout: redis::timeout(env)?,
            telemetry: Telemetry::read(env)?,
            webhook: Webhook::read(env)?,
            max_body_bytes: env.parse("MAX_BODY_BYTES", 32 << 20)?,
            ledger_retention_days: retention(env)?,
            passthrough_paths: globs("PASSTHROUGH_PATHS", env.first(&["PASSTHROUGH_PATHS"]).unwrap_or_default())?,
            public_url: public_url(env)?,
            cors_origins: origins("CORS_ORIGINS", env.first(&["CORS_ORIGINS"]).unwrap_or_default())?,
            trusted_proxies: networks("TRUSTED_PROXIES", env.first(&["TRUSTED_PROXIES"]).unwrap_or_default())?,
            demo: env.first(&["DEMO"]) == Some("1"),
            allow_insecure_upstreams: env.first(&["ALLOW_INSECURE_UPSTREAMS"]) == Some("1"),
            upstreams: Upstreams {
                anthropic: upstream_url(env, "ANTHROPIC_UPSTREAM", "https://api.anthropic.com")?,
                gemini: upstream_url(env, "GEMINI_UPSTREAM", "https://generativelanguage.googleapis.com")?,
                code_assist: upstream_url(env, "CODE_ASSIST_UPSTREAM", "https://cloudcode-pa.googleapis.com")?,
            },
            anthropic_oauth: OAuthClient::read(
                env,
                ["ANTHROPIC_OAUTH_TOKEN_URL", "ANTHROPIC_OAUTH_CLIENT_ID", "ANTHROPIC_OAUTH_CLIENT_SECRET"],
                "https://platform.claude.com/v1/oauth/token",
            )?,
            gemini_oauth: OAuthClient::read(
                env,
                ["GEMINI_OAUTH_TOKEN_URL", "GEMINI_OAUTH_CLIENT_ID", "GEMINI_OAUTH_CLIENT_SECRET"],
                "https://oauth2.googleapis.com/token",
            )?,
            on_vercel: env.first(&["VERCEL"]).is_some(),
        })
    }
}

impl Local {
    /// Reads and checks everything; an error names the variable.
    pub fn read(env: &Environment) -> Result<Self> {
        Ok(Self {
            host: env.parse("HOST", IpAddr::from([127, 0, 0, 1]))?,
            port: env.parse("PORT", 13010)?,
            allowed_hosts: allowed_hosts(env),
            public_dir: env.first(&["PUBLIC_DIR"]).unwrap_or("public").into(),
        })
    }
}

impl Terminal {
    /// Reads everything; there is nothing in it that could be wrong by itself.
    pub fn read(env: &Environment) -> Self {
        Self {
            gateway_url: env.first(&["GATEWAY_URL"]).map(str::to_owned),
            token: env.first(&["GATEWAY_TOKEN", "ADMIN_TOKEN"]).map(Secret::new),
            colours: env.first(&["NO_COLOR"]).is_none(),
        }
    }
}

/// `MAX_DURATION_SECONDS`: when the platform kills a function, where that is not what `vercel.json` says; at least 10.
pub fn max_duration(env: &Environment) -> Result<Option<Duration>> {
    match env.parse("MAX_DURATION_SECONDS", 0)? {
        0 => Ok(None),
        seconds @ 10.. => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(unset("MAX_DURATION_SECONDS must be at least 10")),
    }
}

/// `LOG`: what is logged, as a tracing filter; `info`.
pub fn log_filter(env: &Environment) -> &str {
    asked_log_filter(env).unwrap_or("info")
}

/// `LOG`, where it is set.
pub fn asked_log_filter(env: &Environment) -> Option<&str> {
    env.first(&["LOG"])
}

impl OAuthClient {
    fn read(env: &Environment, [token_url, id, secret]: [&str; 3], default_url: &str) -> Result<Self> {
        Ok(Self {
            token_url: upstream_url(env, token_url, default_url)?,
            id: env.first(&[id]).map(str::to_owned),
            secret: env.first(&[secret]).map(Secret::new),
        })
    }
}

/// An address that secrets are sent to.
fn upstream_url(env: &Environment, name: &str, default: &str) -> Result<Url> {
    let url: Url = env.parse(name, Url::parse(default).map_err(Error::internal)?)?;
    let secure = url.scheme() == "https" || env.first(&["ALLOW_INSECURE_UPSTREAMS"]) == Some("1");
    if !secure || !url.has_host() {
        return Err(unset(format!("{name} must begin with https://")));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unset(format!("{name} must not hold a query or a fragment")));
    }
    Ok(url)
}

impl EncryptionKey {
    fn read(name: &str, value: &str) -> Result<Self> {
        let bytes = BASE64_STANDARD.decode(value.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match bytes {
            // A sample or a slip of the hand: 32 random bytes are never so uniform.
            Some(bytes) if bytes.iter().collect::<std::collections::BTreeSet<_>>().len() > 8 => Ok(Self(bytes)),
            Some(_) => Err(unset(format!("{name} is a sample value; make one with `openssl rand -base64 32`"))),
            None => Err(unset(format!("{name} is not 32 bytes in base64; make one with `openssl rand -base64 32`"))),
        }
    }
}

fn retention(env: &Environment) -> Result<Option<i32>> {
    match env.parse("LEDGER_RETENTION_DAYS", 90)? {
        0 => Ok(None),
        days @ 1..=36_500 => Ok(Some(days)),
        _ => Err(unset("LEDGER_RETENTION_DAYS is a number of days, at most 36500; 0 keeps the ledger for ever")),
    }
}

fn checked_database_url(url: Secret) -> Result<Secret> {
    if url.expose().contains("//user:password@") {
        return Err(unset("DATABASE_URL is a sample value; set it to your PostgreSQL's URL"));
    }
    Ok(url)
}

fn checked_admin_token(token: Secret) -> Result<Secret> {
    let distinct = token.expose().chars().collect::<std::collections::BTreeSet<_>>().len();
    let lower = token.expose().to_ascii_lowercase();
    let is_sample = SAMPLE_WORDS.iter().any(|word| lower.contains(word));
    if token.expose().chars().count() < ADMIN_TOKEN_LENGTH || distinct < 8 || is_sample {
        return Err(unset("ADMIN_TOKEN is too short or a sample value; make one with `openssl rand -hex 32`"));
    }
    Ok(token)
}

/// Where callers reach the gateway, as far as whoever runs it has said so.
fn public_url(env: &Environment) -> Result<Option<String>> {
    if let Some(text) = env.first(&["PUBLIC_URL"]) {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let plain = url.filter(|url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty());
        let url = plain.ok_or_else(|| unset("PUBLIC_URL is not an http:// or https:// address"))?;
        return Ok(Some(url.as_str().trim_end_matches('/').to_owned()));
    }
    let names: &[&str] = match env.first(&["VERCEL_ENV"]) {
        Some("production") => &["VERCEL_PROJECT_PRODUCTION_URL", "VERCEL_URL"],
        _ => &["VERCEL_URL"],
    };
    Ok(env.first(&["VERCEL"]).and(env.first(names)).map(|host| format!("https://{host}")))
}

/// The names that are ours: those that are listed, and the one that callers are told.
fn allowed_hosts(env: &Environment) -> Vec<String> {
    let listed = listed(env.first(&["ALLOWED_HOSTS"]).unwrap_or_default()).map(str::to_lowercase);
    let public = public_url(env).ok().flatten().and_then(|url| Some(Url::parse(&url).ok()?.host_str()?.to_owned()));
    listed.chain(public).collect()
}

fn globs(name: &str, list: &str) -> Result<Vec<String>> {
    if let Some(other) = listed(list).find(|glob| glob.contains(['[', ']', '{', '}', '\\'])) {
        return Err(unset(format!("{name}: `{other}` holds other signs than `*` and `?`")));
    }
    Ok(listed(list).map(str::to_owned).collect())
}

fn networks(name: &str, list: &str) -> Result<Vec<Network>> {
    listed(list).map(|text| text.parse().map_err(|why: NotANetwork| unset(format!("{name} {why}")))).collect()
}

fn origins(name: &str, list: &str) -> Result<Vec<String>> {
    let is_origin =
        |text: &str| text == "*" || Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text);
    match listed(list).find(|text| !is_origin(text)) {
        Some(_) => Err(unset(format!("{name} must be origins such as https://chat.example.com, or *"))),
        None => Ok(listed(list).map(str::to_owned).collect()),
    }
}

fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|text| !text.is_empty())
}

/// The gateway cannot work like this; whoever asks is told what to set.
fn unset(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Unavailable, message)
}

#[cfg(test)]
mod tests;
