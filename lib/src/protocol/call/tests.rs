//! Tables of paths.

use super::*;

fn protocol(target: &str, headers: &[(&'static str, &str)]) -> Protocol {
    let uri: Uri = target.parse().unwrap();
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    Protocol::of(uri.path(), uri.query(), &headers)
}

fn read(method: &str, target: &str, globs: &[&str]) -> Result<Call> {
    let globs: Vec<_> = globs.iter().map(|glob| (*glob).to_owned()).collect();
    let uri: Uri = target.parse().unwrap();
    let protocol = Protocol::of(
        uri.path(),
        uri.query(),
        &HeaderMap::from_iter([("x-api-key".parse().unwrap(), "k".parse().unwrap())]),
    );
    Call::read(protocol, &method.parse().unwrap(), &uri, &globs)
}

#[test]
fn dialects() {
    use Protocol::{Anthropic, Gemini, OpenAi};
    let goog = ("x-goog-api-key", "k");
    let version = ("anthropic-version", "2023-06-01");
    let bearer = ("authorization", "Bearer k");
    for (target, headers, expect) in [
        ("/v1/messages", vec![], Anthropic),
        ("/v1/messages?beta=true", vec![bearer], Anthropic),
        ("/v1/organizations/x", vec![], Anthropic),
        ("/v1/files", vec![bearer], Anthropic),
        ("/v1/files", vec![goog], Gemini),
        ("/v1/models", vec![bearer], OpenAi),
        ("/v1/models", vec![bearer, version], Anthropic),
        ("/v1/models/claude-opus-5-5", vec![("x-api-key", "k")], Anthropic),
        ("/v1/models", vec![goog, version], Gemini),
        ("/v1/models?pageSize=5&key=abc", vec![], Gemini),
        ("/v1/models?%6bey=abc", vec![version], Gemini),
        ("/v1/models?monkey=1", vec![version], Anthropic),
        ("/v1/models/gemini-2.5-pro:generateContent", vec![bearer], Gemini),
        ("/v1/models/gemini-2.5-pro%3AgenerateContent", vec![version], Gemini),
        ("/v1/cachedContents/x", vec![], Gemini),
        ("/v1/tunedModels/x:generateContent", vec![], Gemini),
        ("/v1beta/models", vec![version], Gemini),
        ("/v1alpha/anything", vec![], Gemini),
        ("/v1internal:generateContent", vec![], Gemini),
        ("/v1internal/operations/x", vec![], Gemini),
        ("/upload/v1beta/files", vec![], Gemini),
        ("/v1/chat/completions", vec![], OpenAi),
        ("/v1/responses/resp_1", vec![], OpenAi),
        ("/v1/embeddings", vec![version], OpenAi),
        ("/v1/completions", vec![], OpenAi),
        ("/", vec![], Anthropic),
        ("/nothing", vec![], Anthropic),
    ] {
        assert_eq!(protocol(target, &headers), expect, "{target} {headers:?}");
    }
}

#[test]
fn served_paths() {
    use Form::{Json, JsonArray, Sse};
    use Operation::{BatchResults, Batches, Caches, CountTokens, Embed, Files, Generate, Models, Other};
    for (method, target, operation, form, model) in [
        ("POST", "/v1/messages?beta=true", Generate, Json, None),
        ("POST", "/v1/messages/count_tokens", CountTokens, Json, None),
        ("GET", "/v1/models?limit=1000", Models, Json, None),
        ("GET", "/v1/models/claude-opus-5-5", Models, Json, Some("claude-opus-5-5")),
        ("POST", "/v1beta/models/gemini-2.5-pro:generateContent", Generate, Json, Some("gemini-2.5-pro")),
        ("POST", "/v1/models/g:streamGenerateContent?alt=sse", Generate, Sse, Some("g")),
        ("POST", "/v1/models/g:streamGenerateContent?%24alt=sse", Generate, Sse, Some("g")),
        ("POST", "/v1alpha/models/g:streamGenerateContent?x=1", Generate, JsonArray, Some("g")),
        ("POST", "/v1alpha/models/g:streamGenerateContent?alt=json", Generate, JsonArray, Some("g")),
        ("POST", "/v1alpha/models/g:generateContent?alt=json&alt=json", Generate, Json, Some("g")),
        ("POST", "/v1beta/models/g%3AcountTokens", CountTokens, Json, Some("g")),
        ("POST", "/v1beta/models/g:embedContent", Embed, Json, Some("g")),
        ("POST", "/v1beta/models/a:b:batchEmbedContents", Embed, Json, Some("a:b")),
        ("POST", "/v1beta/tunedModels/t:generateContent", Generate, Json, Some("tunedModels/t")),
        ("GET", "/v1beta/models?pageSize=2", Models, Json, None),
        ("GET", "/v1beta/models/g", Models, Json, Some("g")),
        ("POST", "/v1/messages/batches", Batches, Json, None),
        ("GET", "/v1/messages/batches/b/results", BatchResults, Json, None),
        ("POST", "/v1beta/models/g:batchGenerateContent", Batches, Json, Some("g")),
        ("GET", "/v1beta/files/f:download?alt=media", Files, Json, None),
        ("POST", "/upload/v1beta/files", Files, Json, None),
        ("POST", "/v1beta/cachedContents", Caches, Json, None),
        ("POST", "/v1internal:generateContent", Generate, Json, None),
        ("POST", "/v1internal:streamGenerateContent?alt=sse", Generate, Sse, None),
        ("POST", "/v1internal:countTokens", CountTokens, Json, None),
        ("POST", "/v1internal:loadCodeAssist", Other, Json, None),
        ("GET", "/v1internal/operations/a/b", Other, Json, None),
    ] {
        let call = read(method, target, &[]).expect(target);
        assert_eq!((call.operation, call.form, call.model.as_deref()), (operation, form, model), "{target}");
        assert_eq!(call.provider == Provider::Gemini, call.protocol == Protocol::Gemini, "{target}");
        assert_eq!(call.api == Api::CodeAssist, target.starts_with("/v1internal"), "{target}");
    }
}

#[test]
fn refused_paths() {
    use Kind::{InvalidRequest, MethodNotAllowed, NotFound};
    for (method, target, kind) in [
        ("GET", "/v1/messages", MethodNotAllowed),
        ("POST", "/v1/models", MethodNotAllowed),
        ("DELETE", "/v1beta/models/g", MethodNotAllowed),
        ("GET", "/v1beta/models/g:generateContent", MethodNotAllowed),
        ("PUT", "/v1/messages/batches", MethodNotAllowed),
        ("POST", "/v1/messages/", NotFound),
        ("GET", "/v1/models/", NotFound),
        ("PATCH", "/v1/files", MethodNotAllowed),
        ("POST", "/v1beta/files:register", NotFound),
        ("GET", "/v1beta/batches/b?alt=sse", InvalidRequest),
        ("POST", "/v1beta/models/g:predict", NotFound),
        ("POST", "/v1beta/models/:generateContent", NotFound),
        ("GET", "/v1beta/tunedModels/t", NotFound),
        ("POST", "/v1beta/fileSearchStores", NotFound),
        ("GET", "/v1internal:generateContent", MethodNotAllowed),
        ("POST", "/v1internal:embedContent", NotFound),
        ("POST", "/v1internal:setCodeAssistGlobalUserSetting", NotFound),
        ("POST", "/v1internal/models/m:generateContent", NotFound),
        ("GET", "/v1internal/operations", NotFound),
        ("GET", "/v1internal", NotFound),
        ("POST", "/v1internal2:generateContent", NotFound),
        ("POST", "/v1/chat/completions", NotFound),
        ("GET", "/v1/organizations/me", NotFound),
        ("GET", "/api/proxy", NotFound),
        ("POST", "/v1/messages/%2e%2e/files", InvalidRequest),
        ("POST", "/v1beta/models/g:generateContent?alt=proto", InvalidRequest),
        ("POST", "/v1beta/models/g:streamGenerateContent?alt=sse&alt=json", InvalidRequest),
        ("POST", "/v1beta/models/g:generateContent?callback=f", InvalidRequest),
    ] {
        assert_eq!(read(method, target, &[]).expect_err(target).kind, kind, "{method} {target}");
    }
}

#[test]
fn globs_let_more_through_but_never_account_management() {
    let globs = ["/v1/skills", "/v1beta/models/*:predict", "/v1/**", "/v1beta/**"];
    let call = read("POST", "/v1/skills", &globs).unwrap();
    assert_eq!((call.operation, call.model), (Operation::Other, None));
    let call = read("POST", "/v1/files", &globs).unwrap();
    assert_eq!(call.operation, Operation::Files, "what has an owner keeps it");
    let call = read("POST", "/v1beta/models/imagen:predict", &globs).unwrap();
    assert_eq!((call.operation, call.model.as_deref()), (Operation::Other, Some("imagen")));
    assert_eq!(read("PATCH", "/v1/messages", &globs).unwrap_err().kind, Kind::MethodNotAllowed);
    for never in [
        "/v1/organizations",
        "/v1/organizations/api_keys",
        "/v1/Organizations/x",
        "/v1/%6Frganizations",
        "/v1/oauth/token",
        "/v1beta/auth_tokens",
    ] {
        assert_eq!(read("POST", never, &globs).expect_err(never).kind, Kind::NotFound, "{never}");
    }
}
