//! Where Redis is, by the names that integrations set and by those that people do.

use std::time::Duration;

use url::Url;

use super::{Environment, unset};
use crate::{error::Result, secret::Secret};

/// A Redis that counts the minutes of keys and accounts. Where both ways to one are set, Vercel's instances take HTTP, for
/// they are frozen between requests, and others TCP.
#[derive(Debug)]
pub enum Redis {
    /// Upstash over HTTP.
    Rest {
        /// `UPSTASH_REDIS_REST_URL`, else `KV_REST_API_URL`.
        url: Url,
        /// `UPSTASH_REDIS_REST_TOKEN`, else `KV_REST_API_TOKEN`.
        token: Secret,
    },
    /// `REDIS_URL`: `redis://` or `rediss://`.
    Tcp(Secret),
}

/// `REDIS_TIMEOUT_MS`: so long a request waits for Redis before it goes by Postgres, in milliseconds; 800.
pub(super) fn timeout(env: &Environment) -> Result<Duration> {
    match env.parse("REDIS_TIMEOUT_MS", 800)? {
        ms @ 50..=60_000 => Ok(Duration::from_millis(ms)),
        _ => Err(unset("REDIS_TIMEOUT_MS is a number of milliseconds from 50 to 60000")),
    }
}

impl Redis {
    pub(super) fn read(env: &Environment) -> Result<Option<Self>> {
        let rest = Self::rest(env)?;
        // Tools that copy such values around leave quotes and blanks on them.
        let Some(url) = env.first(&["REDIS_URL"]).map(bare) else { return Ok(rest) };
        let parsed = Url::parse(url).ok().filter(|url| ["redis", "rediss"].contains(&url.scheme()) && url.has_host());
        // A fragment would tell the client not to look at certificates.
        if parsed.is_none_or(|url| url.fragment().is_some()) {
            return Err(unset("REDIS_URL must begin with redis:// or rediss:// and name a host"));
        }
        Ok(rest.filter(|_| env.first(&["VERCEL"]).is_some()).or_else(|| Some(Self::Tcp(Secret::new(url)))))
    }

    fn rest(env: &Environment) -> Result<Option<Self>> {
        let mut half = None;
        for (url, token) in
            [("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"), ("KV_REST_API_URL", "KV_REST_API_TOKEN")]
        {
            match (env.first(&[url]), env.first(&[token])) {
                (Some(address), Some(secret)) => {
                    let url = rest_url(url, bare(address))?;
                    return Ok(Some(Self::Rest { url, token: Secret::new(bare(secret)) }));
                }
                (Some(_), None) => half = half.or(Some((url, token))),
                (None, Some(_)) => half = half.or(Some((token, url))),
                (None, None) => {}
            }
        }
        half.map_or(Ok(None), |(there, missing)| Err(unset(format!("{there} is set and {missing} is not"))))
    }
}

fn bare(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
}

/// An address that a token is sent to with every request: in the clear only to this machine itself.
fn rest_url(name: &str, value: &str) -> Result<Url> {
    let loopback = |url: &Url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let url = Url::parse(value).ok().filter(|url| url.scheme() == "https" || (url.scheme() == "http" && loopback(url)));
    url.ok_or_else(|| unset(format!("{name} must begin with https://")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_redis_is_waited_for() {
        for (value, expect) in
            [("", Ok(800)), ("50", Ok(50)), ("60000", Ok(60_000)), ("49", Err(())), ("soon", Err(()))]
        {
            let mut env = Environment::from([]);
            env.set("REDIS_TIMEOUT_MS", value);
            assert_eq!(timeout(&env).map_err(drop), expect.map(Duration::from_millis), "{value}");
        }
    }

    /// Redis by every name; whole pairs only, and none needed.
    #[test]
    fn redis_is_found_by_its_names() {
        let rest = |address: &str, token: &str| format!("Some(Rest {address} {token})");
        let token = "secret";
        let upstash = ("UPSTASH_REDIS_REST_URL", " \"https://one.upstash.io\" ");
        for (variables, expect) in [
            (&[][..], "None".to_owned()),
            (&[upstash, ("UPSTASH_REDIS_REST_TOKEN", "'secret'")], rest("https://one.upstash.io/", token)),
            (
                &[("KV_REST_API_URL", "https://two.upstash.io/"), ("KV_REST_API_TOKEN", token)],
                rest("https://two.upstash.io/", token),
            ),
            // Half of the first pair; the second is whole.
            (
                &[upstash, ("KV_REST_API_URL", "http://127.0.0.1:8079"), ("KV_REST_API_TOKEN", token)],
                rest("http://127.0.0.1:8079/", token),
            ),
            (&[upstash], "UPSTASH_REDIS_REST_URL is set and UPSTASH_REDIS_REST_TOKEN is not".to_owned()),
            (&[("KV_REST_API_TOKEN", token)], "KV_REST_API_TOKEN is set and KV_REST_API_URL is not".to_owned()),
            (
                &[("KV_REST_API_URL", "http://redis.example.com"), ("KV_REST_API_TOKEN", token)],
                "KV_REST_API_URL must begin with https://".to_owned(),
            ),
            (&[("REDIS_URL", "rediss://u:p@one:6379")], "Some(Tcp rediss://u:p@one:6379)".to_owned()),
            (
                &[upstash, ("UPSTASH_REDIS_REST_TOKEN", token), ("REDIS_URL", "redis://one")],
                "Some(Tcp redis://one)".to_owned(),
            ),
            (
                &[upstash, ("UPSTASH_REDIS_REST_TOKEN", token), ("REDIS_URL", "redis://one"), ("VERCEL", "1")],
                rest("https://one.upstash.io/", token),
            ),
            (
                &[("REDIS_URL", "rediss://one/#insecure")],
                "REDIS_URL must begin with redis:// or rediss:// and name a host".to_owned(),
            ),
            (
                &[("REDIS_URL", "one:6379")],
                "REDIS_URL must begin with redis:// or rediss:// and name a host".to_owned(),
            ),
        ] {
            let mut env = Environment::from([]);
            variables.iter().for_each(|(name, value)| env.set(name, value));
            let found = match Redis::read(&env) {
                Ok(None) => "None".to_owned(),
                Ok(Some(Redis::Rest { url, token })) => rest(url.as_str(), token.expose()),
                Ok(Some(Redis::Tcp(url))) => format!("Some(Tcp {})", url.expose()),
                Err(error) => error.message.into_owned(),
            };
            assert_eq!(found, expect, "{variables:?}");
        }
    }
}
