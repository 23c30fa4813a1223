//! A caller's own login: where it stands in a request, and what goes up and comes down with it.

use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

use super::{Provider, strip_key, to_caller, to_upstream};

/// Tells what is a key of ours: such a text never leaves.
pub type IsOurs = fn(&str) -> bool;

impl Provider {
    /// The headers in which a login for this provider stands. One for another provider is none of its business.
    fn login_headers(self) -> &'static [&'static str] {
        match self {
            Self::Anthropic => &["authorization", "x-api-key"],
            Self::Gemini => &["authorization", "x-goog-api-key"],
        }
    }

    /// What else the caller says of itself that only means something beside its own login.
    fn owner_headers(self) -> &'static [&'static str] {
        match self {
            Self::Anthropic => &["anthropic-user-profile-id", "anthropic-workspace-id"],
            Self::Gemini => &["x-goog-user-project", "x-goog-authuser", "x-goog-iam-authorization-token"],
        }
    }

    /// Whether a request brings a login for this provider that is no key of ours.
    pub fn finds_login(self, headers: &HeaderMap, query: Option<&str>, is_ours: IsOurs) -> bool {
        let in_headers = self.login_headers().iter().flat_map(|name| headers.get_all(*name));
        let in_query = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .any(|(name, key)| name == "key" && !key.trim().is_empty() && !is_ours(key.trim()));
        in_headers.into_iter().any(|value| is_login(value, is_ours)) || (self == Self::Gemini && in_query)
    }

    /// The caller's headers as its own upstream may see them: its login stays where it stands.
    pub fn to_own_upstream(self, headers: &HeaderMap, is_ours: IsOurs) -> HeaderMap {
        let mut kept = to_upstream(headers);
        for name in self.login_headers().iter().chain(self.owner_headers()) {
            for value in headers.get_all(*name).iter().filter(|value| is_login(value, is_ours)) {
                let mut value = value.clone();
                value.set_sensitive(true);
                kept.append(*name, value);
            }
        }
        kept
    }

    /// The query as the caller's own upstream may see it; `None` when nothing is left.
    pub fn own_query(self, query: &str, is_ours: IsOurs) -> Option<String> {
        let shows_ours = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(_, value)| is_ours(value.trim()));
        let kept: Vec<_> = query.split('&').filter(|pair| !shows_ours(pair)).collect();
        let kept = kept.join("&");
        match self {
            Self::Anthropic => strip_key(&kept),
            Self::Gemini => Some(kept).filter(|query| !query.is_empty()),
        }
    }
}

/// The upstream's headers as the owner of the login may see them: its limits and its organization are its own.
pub fn to_owner(headers: &HeaderMap) -> HeaderMap {
    let mut kept = to_caller(headers);
    for name in headers.keys().filter(|name| name.as_str().starts_with("anthropic-")) {
        kept.remove(name);
        for value in headers.get_all(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Whether a header's value holds something, and no key of ours among it.
fn is_login(value: &HeaderValue, is_ours: IsOurs) -> bool {
    // What is no text is no key of ours either; the upstream may make of it what it can.
    let Ok(text) = value.to_str() else { return true };
    let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).peekable();
    words.peek().is_some() && !words.any(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: IsOurs = |text| text.starts_with("gw_");

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_login_is_what_the_provider_takes_and_is_no_key_of_ours() {
        use Provider::{Anthropic, Gemini};
        for (provider, pairs, query, expect) in [
            (Anthropic, &[("authorization", "Bearer sk-ant-oat01-own")][..], None, true),
            (Anthropic, &[("x-api-key", "sk-ant-own")], None, true),
            (Anthropic, &[("x-goog-api-key", "AIza-own")], None, false),
            (Anthropic, &[], Some("key=AIza-own"), false),
            (Anthropic, &[("authorization", "Bearer gw_a")], None, false),
            (Anthropic, &[("authorization", "bearer  gw_a"), ("x-api-key", "gw_b")], None, false),
            (Anthropic, &[("authorization", "Bearer gw_a"), ("x-api-key", "sk-ant-own")], None, true),
            (Anthropic, &[("x-api-key", " ")], None, false),
            (Gemini, &[("x-goog-api-key", "AIza-own")], None, true),
            (Gemini, &[("x-goog-api-key", "")], None, false),
            (Gemini, &[("x-api-key", "sk-ant-own")], None, false),
            (Gemini, &[("authorization", "Bearer ya29.own")], None, true),
            (Gemini, &[], Some("alt=sse&k%65y=AIza-own"), true),
            (Gemini, &[], Some("alt=sse&key=gw_a"), false),
            (Gemini, &[], Some("key="), false),
        ] {
            assert_eq!(provider.finds_login(&headers(pairs), query, OURS), expect, "{provider} {pairs:?} {query:?}");
        }
    }

    #[test]
    fn a_query_keeps_all_but_keys_of_ours() {
        for (provider, query, expect) in [
            (Provider::Gemini, "alt=sse&key=AIza-own", Some("alt=sse&key=AIza-own")),
            (Provider::Gemini, "key=gw_a&alt=sse&x=%67w_b", Some("alt=sse")),
            (Provider::Gemini, "key=gw_a", None),
            (Provider::Anthropic, "beta=true&key=AIza-own", Some("beta=true")),
        ] {
            assert_eq!(provider.own_query(query, OURS).as_deref(), expect, "{query}");
        }
    }
}
