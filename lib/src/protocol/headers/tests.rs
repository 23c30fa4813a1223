//! Headers in tables: what goes up, what comes down, what stays.

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
