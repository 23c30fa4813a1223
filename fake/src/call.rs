//! One request as it arrived, and whose API it means.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};

/// Whose API a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's Gemini API.
    Gemini,
}

/// One request, whole.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Counts all requests from 1; ids in the answer are made from it, so that answers differ and can be foretold.
    pub(crate) number: u64,
}

impl Call {
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Path and query, exactly as sent.
    pub(crate) fn target(&self) -> &str {
        self.uri.path_and_query().map_or("", |target| target.as_str())
    }

    /// The value of a query parameter, not decoded.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.uri.query()?.split('&');
        pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The key or token it was made with, from wherever either API takes one; an empty one is none.
    pub(crate) fn credential(&self) -> Option<&str> {
        let places = [self.header("x-api-key"), self.header("x-goog-api-key"), self.bearer(), self.query("key")];
        places.into_iter().flatten().find(|credential| !credential.is_empty())
    }

    /// Whether it was made with a login's token.
    pub(crate) fn has_bearer(&self) -> bool {
        self.bearer().is_some_and(|token| !token.is_empty())
    }

    fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header(AUTHORIZATION)?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// By path; some belong to both, so there the key's place decides.
    pub(crate) fn dialect(&self) -> Dialect {
        let path = self.path();
        let googles = ["/v1beta/", "/v1alpha/", "/v1internal", "/upload/", "/v1/cachedContents"];
        let google_version = googles.iter().any(|it| path.starts_with(it));
        let shared = ["/v1/models", "/v1/files", "/v1/batches"].iter().any(|it| path.starts_with(it));
        let verb = path.starts_with("/v1/models") && path.contains(':');
        let google_call = verb || shared && self.has_google_key();
        if google_version || google_call { Dialect::Gemini } else { Dialect::Anthropic }
    }

    fn has_google_key(&self) -> bool {
        self.headers.contains_key("x-goog-api-key") || self.query("key").is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn call(method: Method, target: &str, headers: &[(&'static str, &str)], body: &str) -> Call {
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
        Call { method, uri: target.parse().unwrap(), headers, body: body.to_owned().into(), number: 1 }
    }

    fn check(target: &str, headers: &[(&'static str, &str)], credential: Option<&str>, dialect: Dialect) {
        let call = call(Method::GET, target, headers, "");
        assert_eq!((call.credential(), call.dialect()), (credential, dialect), "{target}");
    }

    #[test]
    fn the_credential_and_the_api_are_told() {
        check("/v1/messages?beta=true", &[("x-api-key", "a")], Some("a"), Dialect::Anthropic);
        check("/v1/models", &[("authorization", "bearer b")], Some("b"), Dialect::Anthropic);
        check("/v1/models", &[("x-goog-api-key", "c")], Some("c"), Dialect::Gemini);
        check("/v1/models?pageSize=1&key=d", &[], Some("d"), Dialect::Gemini);
        check("/v1/models/m:countTokens", &[("authorization", "Bearer e")], Some("e"), Dialect::Gemini);
        check("/v1beta/models", &[("x-goog-api-key", "")], None, Dialect::Gemini);
        check("/v1internal:loadCodeAssist", &[("authorization", "Bearer f")], Some("f"), Dialect::Gemini);
        check("/nowhere", &[("authorization", "Basic x")], None, Dialect::Anthropic);
    }
}
