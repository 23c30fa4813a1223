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
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-cloud-trace-context",
    "x-matched-path",
    "x-real-ip",
    "x-request-start",
];

/// Families of the same, by their first letters.
const NOT_UPSTREAM_FAMILIES: &[&str] = &[
    "cf-",
    "x-amzn-",
    "x-envoy-",
    "x-forwarded-",
    "x-gateway-",
    "x-middleware-",
    "x-now-",
    "x-original-",
    "x-vercel-",
];

/// What stays here on the way down: the pool's accounts are ours to know, and the connection is ours to describe.
const NOT_TO_CALLER: &[&str] = &[
    "alt-svc",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "nel",
    "report-to",
    "request-id",
    "server",
    "server-timing",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "via",
    "x-cloud-trace-context",
    "x-request-id",
];

/// Families of the same, by their first letters.
const NOT_TO_CALLER_FAMILIES: &[&str] =
    &["anthropic-fast-", "anthropic-priority-", "anthropic-ratelimit-", "cf-", "x-envoy-", "x-gateway-", "x-vercel-"];

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
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn headers(text: &str) -> HeaderMap {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.map(|line| line.split_once(':').unwrap()) {
            headers.append(name.parse::<HeaderName>().unwrap(), value.trim().parse().unwrap());
        }
        headers
    }

    fn written(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn keys_are_found_in_every_place() {
        let all = headers("Authorization: bEaReR  bear\nX-Goog-Api-Key: goog\nx-api-key: anth\nx-gateway-key: own");
        assert_eq!(
            presented_keys(&all, Some("a=1&key=quer%79&key=more")),
            ["own", "anth", "goog", "bear", "query", "more"]
        );
        let same = headers("Authorization: Bearer k\nx-goog-api-key: k\nx-api-key:");
        assert_eq!(presented_keys(&same, Some("key=")), ["k"]);
        let twice = headers("x-api-key: one\nx-api-key: two\nauthorization: Basic dTpw\nauthorization: k");
        assert_eq!(presented_keys(&twice, None), ["one", "two"]);
        let many: String = (0..50).map(|n| format!("&key={n}")).collect();
        assert_eq!(presented_keys(&HeaderMap::new(), Some(&many)).len(), MAX_KEYS);
    }

    #[test]
    fn what_claude_code_sends_goes_up_whole() {
        let sent =
            "accept: application/json\ncontent-type: application/json\nuser-agent: claude-cli/2.1.330 (external, cli)
            x-claude-code-session-id: s\nx-app: cli\nanthropic-version: 2023-06-01\nanthropic-beta: a-1, b-2
            anthropic-beta: c-3\nanthropic-dangerous-direct-browser-access: true\nx-stainless-timeout: 600
            accept-encoding: gzip, deflate, br, zstd\nx-client-request-id: r\nx-custom: 1";
        let sent = headers(sent);
        assert_eq!(written(&to_upstream(&sent)), written(&sent));
    }

    #[test]
    fn what_the_caller_or_a_platform_adds_stays_here() {
        let sent = headers(
            "Authorization: Bearer k\nx-api-key: k\nx-goog-api-key: k\nproxy-authorization: k\nx-gateway-key: k\ncookie: c
            host: h\ncontent-length: 3\ntransfer-encoding: chunked\nconnection: close, X-Hop ,x-hop-2\nx-hop: 1\nx-hop-2: 1
            keep-alive: 1\nte: trailers\ntrailer: x\nupgrade: h2c\nproxy-connection: close\nexpect: 100-continue
            origin: o\nreferer: r\nforwarded: f\nvia: v\nx-forwarded-for: 1\nx-forwarded-host: h\nx-real-ip: 1
            true-client-ip: 1\ncf-ray: r\ncf-connecting-ip: 1\ncdn-loop: c\nx-vercel-id: v\nx-vercel-oidc-token: t
            x-vercel-sc-headers: s\nx-vercel-internal-request-id: 1\nx-session-id: s\nanthropic-user-profile-id: p
            anthropic-workspace-id: w\nx-goog-user-project: p\nx-http-method-override: DELETE\nkept: 1",
        );
        assert_eq!(written(&to_upstream(&sent)), ["kept: 1"]);
    }

    #[test]
    fn the_accounts_own_headers_stay_here() {
        let answer = headers(
            "content-type: text/event-stream\ncontent-encoding: br\ncontent-length: 4\nretry-after: 3\nx-should-retry: true
            x-gemini-service-tier: flex\nset-cookie: a\nset-cookie: b\ncf-ray: r\nvia: v\nserver: s\nalt-svc: h3
            anthropic-organization-id: o\nanthropic-workspace-id: w\nanthropic-ratelimit-requests-limit: 5
            anthropic-ratelimit-unified-5h-status: allowed\nanthropic-priority-input-tokens-limit: 1
            anthropic-fast-input-tokens-limit: 1\nrequest-id: r\nx-request-id: r\nx-cloud-trace-context: t
            connection: x-hop\nx-hop: 1\ntransfer-encoding: chunked",
        );
        assert_eq!(
            written(&to_caller(&answer)),
            [
                "content-type: text/event-stream",
                "content-encoding: br",
                "content-length: 4",
                "retry-after: 3",
                "x-should-retry: true",
                "x-gemini-service-tier: flex",
            ]
        );
    }

    #[test]
    fn keys_leave_the_query_and_nothing_else_does() {
        for (query, expect) in [
            ("key=a", None),
            ("alt=sse&key=a", Some("alt=sse")),
            ("key=a&alt=sse&key=b", Some("alt=sse")),
            ("%6Bey=a&b=%20%2b+&c", Some("b=%20%2b+&c")),
            ("%6b%65%79=a&x=1", Some("x=1")),
            ("key", None),
            ("access_token=a&%24key=b&z", Some("z")),
            ("monkey=1&keys=2&KEY=3", Some("monkey=1&keys=2&KEY=3")),
            ("a=1&&b=key=2", Some("a=1&&b=key=2")),
            ("", None),
        ] {
            assert_eq!(strip_key(query).as_deref(), expect, "{query}");
        }
    }

    #[test]
    fn a_credential_has_one_place_and_does_not_print() {
        for (provider, name) in [(Provider::Anthropic, "x-api-key"), (Provider::Gemini, "x-goog-api-key")] {
            let mut headers = HeaderMap::new();
            provider.authorize(&mut headers, &Credential::ApiKey(Secret::new("sk-secret"))).unwrap();
            assert_eq!(headers[name], "sk-secret");
            assert!(!format!("{headers:?}").contains("secret"));
            let broken = provider.authorize(&mut headers, &Credential::ApiKey(Secret::new("a\nb")));
            assert_eq!(broken.unwrap_err().kind, crate::Kind::Internal);
        }
    }

    fn login(project: Option<&str>) -> Credential {
        Credential::OAuth {
            access_token: Secret::new("secret-token"),
            refresh_token: Some(Secret::new("refresh")),
            expires_at: None,
            project: project.map(str::to_owned),
        }
    }

    #[test]
    fn a_login_adds_its_beta_once_at_the_end_of_the_callers_list() {
        for (sent, expect) in [
            ("", vec!["anthropic-beta: oauth-2025-04-20"]),
            ("anthropic-beta: b-2, a-1", vec!["anthropic-beta: b-2, a-1,oauth-2025-04-20"]),
            ("anthropic-beta: oauth-2025-04-20,z-9", vec!["anthropic-beta: oauth-2025-04-20,z-9"]),
            ("anthropic-beta: a-1 , oauth-2025-04-20 ", vec!["anthropic-beta: a-1 , oauth-2025-04-20"]),
            ("anthropic-beta: not-oauth-2025-04-20", vec!["anthropic-beta: not-oauth-2025-04-20,oauth-2025-04-20"]),
            (
                "anthropic-beta: b-2\nanthropic-beta: a-1",
                vec!["anthropic-beta: b-2", "anthropic-beta: a-1,oauth-2025-04-20"],
            ),
            (
                "anthropic-beta: oauth-2025-04-20\nanthropic-beta: a-1",
                vec!["anthropic-beta: oauth-2025-04-20", "anthropic-beta: a-1"],
            ),
            ("anthropic-beta:", vec!["anthropic-beta: oauth-2025-04-20"]),
        ] {
            let mut sent = headers(sent);
            Provider::Anthropic.authorize(&mut sent, &login(None)).unwrap();
            assert_eq!(sent.remove("authorization").unwrap(), "Bearer secret-token");
            assert_eq!(written(&sent), expect);
        }
    }

    #[test]
    fn a_google_login_is_a_bearer_token_and_nothing_else() {
        // Its project is named in the body, and need not be one that the account's owner may bill.
        let mut sent = HeaderMap::new();
        Provider::Gemini.authorize(&mut sent, &login(Some("p-1"))).unwrap();
        assert_eq!(written(&sent), ["authorization: Bearer secret-token"]);
        assert!(!format!("{sent:?}").contains("secret"));
    }
}
