//! Bodies of real clients, cut down, and what is read in them.

use http::Method;

use super::*;
use crate::id::KeyId;

fn call(target: &str) -> Call {
    let uri: http::Uri = target.parse().unwrap();
    let protocol = Protocol::of(uri.path(), uri.query(), &HeaderMap::new());
    Call::read(protocol, &Method::POST, &uri, &[]).unwrap()
}

fn read_with(target: &str, pairs: &[(&'static str, &str)], body: &str) -> Result<Demand> {
    let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    Demand::read(call(target), &headers, &Bytes::copy_from_slice(body.as_bytes()))
}

fn read(target: &str, body: &str) -> Demand {
    read_with(target, &[], body).expect(body)
}

const MESSAGES: &str = "/v1/messages?beta=true";
const GENERATE: &str = "/v1beta/models/gemini-2.5-pro:generateContent";

fn session(body: &str) -> Option<String> {
    let target = if body.contains("contents") { GENERATE } else { MESSAGES };
    read(target, body).session.map(|session| session.under(&KeyId::from("key_1".to_owned())))
}

#[test]
fn a_turn_of_claude_code() {
    let body = r#"{"model":"claude-opus-5-5","messages":[
        {"role":"user","content":[{"type":"text","text":"<system-reminder>"},{"type":"text","text":"hi"}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"Eq"},{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"type":"x"}}]},
        {"role":"user","content":[{"tool_use_id":"toolu_1","type":"tool_result","content":"ok","cache_control":{"type":"ephemeral"}}]},
        {"role":"system","content":[{"type":"text","text":"x"}],"output_config":{"effort":"medium"}}],
        "system":[{"type":"text","text":"x-anthropic-billing-header: cc"}],"tools":[],
        "metadata":{"user_id":"{\"device_id\":\"aa\",\"account_uuid\":\"\",\"session_id\":\"5e55\"}"},
        "max_tokens":128000,"thinking":{"type":"adaptive"},"stream":true}"#;
    let demand = read(MESSAGES, body);
    assert_eq!(demand.model.as_deref(), Some("claude-opus-5-5"));
    assert_eq!(&body[demand.model_span.clone().unwrap()], "\"claude-opus-5-5\"");
    assert_eq!((demand.form, demand.max_output), (Form::Sse, Some(128_000)));
    assert!(demand.tool_loop && demand.has_thinking);
    assert_eq!(demand.input_estimate, (body.len() / 4) as u64);
    assert_eq!(demand.family().unwrap().as_str(), "opus-5");
    let header = read_with(MESSAGES, &[("x-claude-code-session-id", "5e55")], body).unwrap();
    assert_eq!(demand.session, header.session);
}

#[test]
fn streams_and_limits() {
    let form = |body: &str| read(MESSAGES, body).form;
    assert_eq!(form(r#"{"model":"m","stream":true}"#), Form::Sse);
    assert_eq!(form(r#"{"model":"m","stream":false}"#), Form::Json);
    assert_eq!(form(r#"{"model":"m"}"#), Form::Json);
    assert_eq!(form(r#"{"stream":true,"model":"m","stream":null}"#), Form::Json);
    assert_eq!(read("/v1/messages/count_tokens", r#"{"model":"m","stream":true}"#).form, Form::Json);
    let max = |body: &str| read(MESSAGES, body).max_output;
    assert_eq!(max(r#"{"model":"m","max_tokens":0}"#), Some(0));
    assert_eq!(max(r#"{"model":"m","max_tokens":1e400}"#), None);
    assert_eq!(max(r#"{"model":"m","max_tokens":"many","max_tokens":7}"#), Some(7));
}

#[test]
fn the_last_of_two_wins_at_every_level() {
    let body = r#"{"model":"a","model":"b","messages":[{"role":"user","content":[{"type":"tool_result"}]}],
        "messages":[{"role":"user","content":[{"type":"tool_result"}],"content":"x"}]}"#;
    let demand = read(MESSAGES, body);
    assert_eq!(demand.model.as_deref(), Some("b"));
    assert_eq!(&body[demand.model_span.unwrap()], "\"b\"");
    assert!(!demand.tool_loop);
    let error = read_with(MESSAGES, &[], r#"{"model":"a","model":null}"#).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("model"));
}

#[test]
fn bodies_that_are_refused() {
    for (body, param, message) in [
        ("", None, "not JSON"),
        ("model=x", None, "not JSON"),
        (r#"{"model":"x""#, None, "not JSON"),
        ("[]", None, "must be a JSON object"),
        ("\"model\"", None, "must be a JSON object"),
        ("{}", Some("model"), "required"),
        (r#"{"model":5}"#, Some("model"), "required"),
        (r#"{"model":""}"#, Some("model"), "required"),
        (r#"{"x":{"model":"m"}}"#, Some("model"), "required"),
    ] {
        let error = read_with(MESSAGES, &[], body).expect_err(body);
        assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidRequest, param), "{body}");
        assert!(error.message.contains(message), "{body}: {error}");
    }
    assert!(read_with(GENERATE, &[], "nothing").is_err());
    assert!(read_with(GENERATE, &[], "{}").is_ok());
    let packed = read_with(MESSAGES, &[("content-encoding", "gzip")], r#"{"model":"m"}"#).unwrap_err();
    assert_eq!(packed.message, "content-encoding of request bodies is not supported");
    assert!(read_with(MESSAGES, &[("content-encoding", "Identity")], r#"{"model":"m"}"#).is_ok());
}

#[test]
fn other_paths_and_lists_need_no_body() {
    for operation in [Operation::Models, Operation::Other] {
        let call = Call { operation, ..call(MESSAGES) };
        let demand = Demand::read(call, &HeaderMap::new(), &Bytes::from_static(b"--boundary")).unwrap();
        assert_eq!((demand.model, demand.session), (None, None));
    }
}

#[test]
fn of_a_long_opening_its_beginning_and_its_length_tell() {
    let opened = |length: usize, last: char| {
        let words = format!("{}{last}", "x".repeat(length - 1));
        session(&format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{words}"}}]}}"#))
    };
    assert_ne!(opened(OPENING_BYTES, 'a'), opened(OPENING_BYTES, 'b'));
    assert_ne!(opened(OPENING_BYTES + 1, 'a'), opened(OPENING_BYTES + 2, 'a'));
    assert_ne!(opened(OPENING_BYTES, 'x'), opened(OPENING_BYTES + 1, 'x'));
    assert_eq!(opened(OPENING_BYTES + 1, 'a'), opened(OPENING_BYTES + 1, 'b'));
}

#[test]
fn a_conversation_keeps_its_name() {
    let first = r#"{"model":"m","system":"s","messages":[{"role":"user","content":"hi"}]}"#;
    let later = r#"{"model":"m","messages":[{"content":[{"cache_control":{},"text":"hi","type":"text"}],"role":"user"},
        {"role":"assistant","content":"yes"},{"role":"user","content":"more"}],"system":[{"type":"text","text":"s"}]}"#;
    let noted =
        r#"{"model":"m","system":"s","messages":[{"role":"system","content":"note"},{"role":"user","content":"hi"}]}"#;
    let other = r#"{"model":"m","system":"s","messages":[{"role":"user","content":"ho"}]}"#;
    let other_system = r#"{"model":"m","system":"t","messages":[{"role":"user","content":"hi"}]}"#;
    assert!(session(first).is_some());
    assert_eq!(session(first), session(later));
    assert_eq!(session(first), session(noted));
    assert_ne!(session(first), session(other));
    assert_ne!(session(first), session(other_system));
    assert_eq!(session(r#"{"model":"m","system":"s","messages":[]}"#), None);
}

#[test]
fn metadata_names_a_session_or_an_end_user() {
    let named = |user_id: &str| {
        let user_id = serde_json::to_string(user_id).unwrap();
        session(&format!(r#"{{"model":"m","metadata":{{"user_id":{user_id}}},"messages":[{{"content":"x"}}]}}"#))
    };
    let packed = named(r#"{"device_id":"a","session_id":"5e55"}"#);
    assert_eq!(packed, named(r#"{"session_id":"5e55","device_id":"b","more":1}"#));
    assert_eq!(packed, named("user_aa_account__session_5e55"));
    assert_ne!(packed, named(r#"{"session_id":"other"}"#));
    assert_ne!(packed, named("5e55"), "an end user is no session");
    assert_ne!(named("u1"), named("u2"));
    assert_eq!(named(""), session(r#"{"model":"m","messages":[{"content":"x"}]}"#));
}

#[test]
fn a_turn_of_gemini_cli() {
    let main = r#"{"contents":[{"role":"user","parts":[{"text":"<session_context>"},{"text":"hi"}]},
        {"role":"model","parts":[{"functionCall":{"name":"ls","args":{}},"thoughtSignature":"Cg"}]},
        {"role":"user","parts":[{"functionResponse":{"name":"ls","response":{}}}]}],
        "systemInstruction":{"role":"user","parts":[{"text":"long"}]},"generationConfig":{"maxOutputTokens":8192}}"#;
    let router = r#"{"generation_config":{"max_output_tokens":5},"contents":[{"parts":[{"text":"<session_context>"}]}],
        "system_instruction":{"parts":[{"text":"other"}]}}"#;
    let (main_read, router_read) = (read(GENERATE, main), read(GENERATE, router));
    assert_eq!(main_read.session, router_read.session);
    assert!(main_read.session.is_some());
    assert_eq!((main_read.max_output, router_read.max_output), (Some(8192), Some(5)));
    assert!(main_read.tool_loop && main_read.has_thinking && !router_read.tool_loop && !router_read.has_thinking);
    assert_eq!((main_read.model.as_deref(), main_read.model_span), (Some("gemini-2.5-pro"), None));
    let installed = read_with(GENERATE, &[("x-gemini-api-privileged-user-id", "i")], router).unwrap();
    assert_ne!(installed.session, router_read.session);
}

#[test]
fn a_wrapped_request_is_read_one_level_down() {
    let plain = r#"{"contents":[{"parts":[{"text":"a"}]}]}"#;
    let counted = r#"{"generateContentRequest":{"model":"models/g","contents":[{"parts":[{"text":"a"}]}]}}"#;
    assert_eq!(session(plain), session(counted));
    let assist = r#"{"model":"g","project":"p","request":{"contents":[{"parts":[{"text":"a"}]}],"session_id":"5e55"}}"#;
    assert_ne!(session(plain), session(assist));
    assert_eq!(session(assist), session(&assist.replace("\"a\"", "\"b\"")));
}

#[test]
fn an_image_counts_for_less_than_its_bytes() {
    let body =
        format!(r#"{{"model":"m","messages":[{{"content":[{{"source":{{"data":"{}"}}}}]}}]}}"#, "A".repeat(1 << 20));
    let estimate = read(MESSAGES, &body).input_estimate;
    assert!((10_000..30_000).contains(&estimate), "{estimate}");
}

#[test]
fn families() {
    for (provider, model, family) in [
        (Provider::Anthropic, "claude-opus-4-8", "opus-4"),
        (Provider::Anthropic, "claude-opus-4-1-20250805", "opus-4"),
        (Provider::Anthropic, "claude-opus-4-20250514", "opus-4"),
        (Provider::Anthropic, "claude-opus-5", "opus-5"),
        (Provider::Anthropic, "claude-sonnet-5-5", "sonnet-5"),
        (Provider::Anthropic, "Claude-Haiku-4-5-20251001", "haiku-4"),
        (Provider::Anthropic, "claude-3-5-haiku-20241022", "haiku-3-5"),
        (Provider::Anthropic, "claude-3-5-haiku-latest", "haiku-3-5"),
        (Provider::Anthropic, "claude-3-haiku-20240307", "haiku-3"),
        (Provider::Anthropic, "claude-opus-latest", "opus"),
        (Provider::Anthropic, "claude-3", "claude-3"),
        (Provider::Anthropic, "claude-", "claude-"),
        (Provider::Anthropic, "my-model", "my-model"),
        (Provider::Gemini, "gemini-2.0-flash-001", "gemini-2.0-flash"),
        (Provider::Gemini, "gemini-2.5-pro", "gemini-2.5-pro"),
        (Provider::Gemini, "gemini-3-pro-preview", "gemini-3-pro-preview"),
        (Provider::Gemini, "tunedModels/t", "tunedmodels/t"),
    ] {
        assert_eq!(provider.family(model).as_str(), family, "{model}");
    }
}
