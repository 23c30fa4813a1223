//! Which headers and query pairs cross the gateway, in either direction, and where keys are shown.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONNECTION},
};
use url::form_urlencoded;

use super::Provider;
use crate::{
    credential::Credential,
    error::{Error, Result},
};

/// More keys than any client shows at once; each one costs a hash and a place in the claim.
const MAX_KEYS: usize = 8;

/// Headers that belong to one connection, whoever sends them. `Connection` may name more.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What stays here on the way up.
const NOT_UPSTREAM: &[&str] = &[
    // Credentials of the caller, and names of things that belong to the caller's organization, not to the account's.
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "cookie",
    "cookie2",
    "anthropic-user-profile-id",
    "anthropic-workspace-id",
    "x-goog-user-project",
    "x-goog-authuser",
    "x-goog-iam-authorization-token",
    "x-session-id",
    // What another hop has to say for itself.
    "host",
    "content-length",
    "expect",
    "origin",
    "referer",
    // Google's servers obey these; the method of a request is the one that was checked.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    // Added by proxies and platforms in front of us.
    "cdn-loop",
    "client-ip",
    "forwarded",
    "max-forwards",
    "proxy-client-ip",
    "remote-user",
    "true-client-ip",
    "via",
    "wl-proxy-client-ip",
    "x-client-cert",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-cloud-trace-context",
    "x-forwarded",
    "x-host",
    "x-invocation-id",
    "x-matched-path",
    "x-originating-ip",
    "x-queue-start",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
    "x-request-start",
    "x-rewrite-url",
    "x-serverless-authorization",
];

/// Families of the same, by their first letters.
const NOT_UPSTREAM_FAMILIES: &[&str] = &[
    "cf-",
    "fastly-",
    "fly-",
    "x-akamai-",
    "x-amzn-",
    "x-appengine-",
    "x-arr-",
    "x-auth-request-",
    "x-azure-",
    "x-envoy-",
    "x-forwarded-",
    "x-gateway-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-middleware-",
    "x-nf-",
    "x-now-",
    "x-original-",
    "x-ssl-",
    "x-vercel-",
];

/// What stays here on the way down: the pool's accounts are ours to know, and the connection is ours to describe.
const NOT_TO_CALLER: &[&str] = &[
    "alt-svc",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "clear-site-data",
    "nel",
    "proxy-status",
    "report-to",
    "request-id",
    "server",
    "server-timing",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "timing-allow-origin",
    "via",
    "x-cloud-trace-context",
    "x-request-id",
];

/// Families of the same, by their first letters.
const NOT_TO_CALLER_FAMILIES: &[&str] = &[
    "access-control-",
    "anthropic-fast-",
    "anthropic-priority-",
    "anthropic-ratelimit-",
    "cf-",
    "fastly-",
    "x-amzn-",
    "x-envoy-",
    "x-gateway-",
    "x-vercel-",
];

/// Query pairs that hold a credential for Google's servers.
const KEY_PAIRS: &[&str] = &["key", "$key", "access_token", "oauth_token"];

/// The list of betas that a caller asks for.
const BETAS: &str = "anthropic-beta";
/// The one without which the service takes no login.
const OAUTH_BETA: &str = "oauth-2025-04-20";

/// Every key that a request shows, wherever one may be, each once: clients send several at a time, and not all are
/// ours.
pub fn presented_keys<'r>(headers: &'r HeaderMap, query: Option<&'r str>) -> Vec<Cow<'r, str>> {
    let plain = ["x-gateway-key", "x-api-key", "x-goog-api-key"]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .filter_map(|value| value.to_str().ok());
    let bearer = headers.get_all(AUTHORIZATION).into_iter().filter_map(|value| {
        let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    });
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let queried = pairs.filter(|(name, _)| name == "key").map(|(_, key)| key);
    let mut keys: Vec<Cow<'r, str>> = Vec::new();
    for key in plain.chain(bearer).map(|key| Cow::Borrowed(key.trim())).chain(queried) {
        if !key.is_empty() && !keys.contains(&key) && keys.len() < MAX_KEYS {
            keys.push(key);
        }
    }
    keys
}

/// The caller's headers as the upstream may see them; the account's credential is still to come.
pub fn to_upstream(headers: &HeaderMap) -> HeaderMap {
    without(headers, NOT_UPSTREAM, NOT_UPSTREAM_FAMILIES)
}

/// The upstream's headers as the caller may see them.
pub fn to_caller(headers: &HeaderMap) -> HeaderMap {
    without(headers, NOT_TO_CALLER, NOT_TO_CALLER_FAMILIES)
}

/// The query without its keys, every other byte as it was; `None` when nothing is left.
pub fn strip_key(query: &str) -> Option<String> {
    let shows_key = |pair: &&str| {
        let name = form_urlencoded::parse(pair.as_bytes()).next();
        name.is_some_and(|(name, _)| KEY_PAIRS.contains(&name.as_ref()))
    };
    let kept: Vec<_> = query.split('&').filter(|pair| !shows_key(pair)).collect();
    Some(kept.join("&")).filter(|query| !query.is_empty())
}

impl Provider {
    /// Adds the account's credential, and what the provider only takes a login with: all that a request gains on its way.
    pub fn authorize(self, headers: &mut HeaderMap, credential: &Credential) -> Result<()> {
        let (name, value) = match (credential, self) {
            (Credential::ApiKey(key), Self::Anthropic) => {
                (HeaderName::from_static("x-api-key"), key.expose().to_owned())
            }
            (Credential::ApiKey(key), Self::Gemini) => {
                (HeaderName::from_static("x-goog-api-key"), key.expose().to_owned())
            }
            (Credential::OAuth { access_token, .. }, _) => (AUTHORIZATION, ["Bearer ", access_token.expose()].concat()),
        };
        let mut value = HeaderValue::try_from(value).map_err(Error::internal)?;
        value.set_sensitive(true);
        headers.insert(name, value);
        if let (Credential::OAuth { .. }, Self::Anthropic) = (credential, self) {
            add_beta(headers, OAUTH_BETA)?;
        }
        Ok(())
    }
}

/// Adds a beta to the end of the caller's list, unless it is there; what is there stays as it is.
fn add_beta(headers: &mut HeaderMap, beta: &str) -> Result<()> {
    let mut lines: Vec<HeaderValue> = headers.get_all(BETAS).iter().cloned().collect();
    let is_it = |value: &[u8]| value.trim_ascii() == beta.as_bytes();
    if lines.iter().any(|line| line.as_bytes().split(|byte| *byte == b',').any(is_it)) {
        return Ok(());
    }
    // Lines of one name are one list. The last of them grows, so that a server that reads no further line sees it too.
    let last = match lines.pop() {
        Some(line) if !line.as_bytes().trim_ascii().is_empty() => {
            HeaderValue::from_bytes(&[line.as_bytes(), b",", beta.as_bytes()].concat()).map_err(Error::internal)?
        }
        _ => HeaderValue::from_str(beta).map_err(Error::internal)?,
    };
    headers.remove(BETAS);
    for line in lines.into_iter().chain([last]) {
        headers.append(BETAS, line);
    }
    Ok(())
}

fn without(headers: &HeaderMap, names: &[&str], families: &[&str]) -> HeaderMap {
    let named = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named.flat_map(|names| names.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    let stays = |name: &str| {
        HOP_BY_HOP.contains(&name)
            || names.contains(&name)
            || families.iter().any(|family| name.starts_with(family))
            || named.iter().any(|named| named == name)
    };
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers.iter().filter(|(name, _)| !stays(name.as_str())) {
        kept.append(name.clone(), value.clone());
    }
    kept
}

#[cfg(test)]
mod tests;
