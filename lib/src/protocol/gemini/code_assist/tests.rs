//! Tables over wrapping, over what a client's own call keeps, and over the resolution of projects.

use serde_json::json;

use super::*;

const WRAPPER: Wrapper<'_> = Wrapper { model: "gemini-2.5-pro", project: "p-1", prompt_id: "req_1" };

#[test]
fn a_request_is_wrapped_byte_for_byte() {
    // Escapes, spaces, doubled names and numbers that no parser keeps.
    let request = r#" {"contents" : [{"parts":[{"thoughtSignature":"AbC+/=="},{"text":"\u00e9\ud83d \/"}]}],
        "x":1e400,"x":-0.0} "#;
    let wrapped = wrap(Operation::Generate, &WRAPPER, request.as_bytes()).unwrap();
    let head = r#"{"model":"gemini-2.5-pro","project":"p-1","user_prompt_id":"req_1","request":"#;
    assert_eq!(wrapped, format!("{head}{request}}}"));
    let odd = Wrapper { model: "a\"b", ..WRAPPER };
    let wrapped = wrap(Operation::Generate, &odd, b"{}").unwrap();
    assert!(wrapped.starts_with(br#"{"model":"a\"b","#));
}

#[test]
fn only_contents_are_counted() {
    for (request, contents) in [
        (r#"{"contents":[ {"x":1e400} ]}"#, r#"[ {"x":1e400} ]"#),
        (r#"{"generateContentRequest":{"model":"models/x","contents":[1],"tools":[]}}"#, "[1]"),
        (r#"{"generate_content_request":{"contents":[2]}}"#, "[2]"),
        (r#"{"contents":[1],"contents":[3]}"#, "[3]"),
        ("{}", "[]"),
    ] {
        let wrapped = wrap(Operation::CountTokens, &WRAPPER, request.as_bytes()).unwrap();
        assert_eq!(wrapped, format!(r#"{{"request":{{"model":"models/gemini-2.5-pro","contents":{contents}}}}}"#));
    }
}

#[test]
fn a_clients_own_call_gets_the_accounts_project_and_keeps_every_other_byte() {
    let check = |operation, model: Option<&str>, body: &str, expect: &str| {
        let made = made_the_accounts(operation, "p-1", model, &Bytes::from(body.to_owned())).unwrap();
        assert_eq!(std::str::from_utf8(&made).unwrap(), expect);
    };
    use Operation::{CountTokens, Generate, Other};
    check(
        Generate,
        None,
        r#" { "model":"m" , "project" : "theirs", "request":{"project":"in","x":1e400} } "#,
        r#" { "model":"m" , "project" : "p-1", "request":{"project":"in","x":1e400} } "#,
    );
    check(Generate, None, r#"{"model":"m"}"#, r#"{"project":"p-1","model":"m"}"#);
    check(
        Generate,
        None,
        r#"{"project":null,"model":"m","project":"x"}"#,
        r#"{"project":"p-1","model":"m","project":"p-1"}"#,
    );
    check(Generate, Some("to"), r#"{"model":"m","project":"x"}"#, r#"{"model":"to","project":"p-1"}"#);
    check(
        CountTokens,
        Some("to"),
        r#"{"request":{"model":"models/m","contents":[]}}"#,
        r#"{"request":{"model":"models/to","contents":[]}}"#,
    );
    check(
        Other,
        None,
        r#"{"cloudaicompanionProject":"theirs","metadata":{"pluginType":"GEMINI","duetProject":"theirs"}}"#,
        r#"{"cloudaicompanionProject":"p-1","metadata":{"pluginType":"GEMINI","duetProject":"p-1"}}"#,
    );
    check(
        Other,
        None,
        r#"{"cloudaicompanionProject":null,"metadata":{}}"#,
        r#"{"cloudaicompanionProject":null,"metadata":{}}"#,
    );
    check(Other, None, r#"{"metadata":{}}"#, r#"{"metadata":{}}"#);
    check(Other, None, "", "");
}

#[test]
fn what_a_client_of_code_assist_asks_is_read() {
    let body = r#"{"model":"gemini-2.5-pro","project":"x","user_prompt_id":"u","request":{"session_id":"s",
        "contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":7}}}"#;
    let reading = read(body.as_bytes()).unwrap();
    assert_eq!((reading.model.as_deref(), reading.max_output), (Some("gemini-2.5-pro"), Some(7)));
    assert_eq!(reading.traces.named.as_deref(), Some("s"));
    assert_eq!(reading.model_span, None, "the model is written anew beside the project");
    let reading = read(br#"{"request":{"model":"models/m","contents":[]}}"#).unwrap();
    assert_eq!(reading.model.as_deref(), Some("m"));
    assert!(read(b"[]").is_err() && read(b"{").is_err() && read(b"").is_ok());
}

#[test]
fn a_field_that_only_code_assist_does_not_know_is_no_fault_of_the_callers() {
    let unknown =
        br#"{"error":{"message":"Invalid JSON payload received. Unknown name \"serviceTier\" at 'request'"}}"#;
    assert_eq!(of_wrapped(Verdict::CallersFault, unknown), Verdict::Unsuited);
    assert_eq!(of_wrapped(Verdict::CallersFault, br#"{"error":{"message":"bad"}}"#), Verdict::CallersFault);
    assert_eq!(of_wrapped(Verdict::Deliver, unknown), Verdict::Deliver);
}

/// `gemini-api.md` §7.2, row by row.
#[test]
fn projects_are_resolved_by_the_table() {
    let needs = || Loaded::Never(NO_PROJECT.to_owned());
    let project = |id: &str| Loaded::Project(id.to_owned());
    let onboard = |tier: &str, project: Option<&str>| {
        let mut request = json!({ "tierId": tier, "metadata": {
            "ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI",
        }});
        if let Some(project) = project {
            request["cloudaicompanionProject"] = project.into();
            request["metadata"]["duetProject"] = project.into();
        }
        Loaded::Onboard(request)
    };
    let tier = |id: &str, default: bool, own: bool| json!({ "id": id, "isDefault": default, "userDefinedCloudaicompanionProject": own });
    let refusal = json!({ "reasonCode": "AGE", "reasonMessage": "Too young.", "validationUrl": "https://v.example" });
    let current = json!({ "id": "standard-tier" });
    for (answer, configured, expect) in [
        (json!({ "currentTier": current, "cloudaicompanionProject": "theirs" }), Some("own"), project("theirs")),
        (json!({ "currentTier": current, "cloudaicompanionProject": { "id": "theirs" } }), None, project("theirs")),
        (json!({ "currentTier": current }), Some("own"), project("own")),
        (json!({ "currentTier": current, "cloudaicompanionProject": "" }), None, needs()),
        (json!({ "currentTier": current, "ineligibleTiers": [refusal] }), Some("own"), project("own")),
        (
            json!({ "allowedTiers": [tier("x", false, false), tier("free-tier", true, false)] }),
            None,
            onboard("free-tier", None),
        ),
        (json!({ "allowedTiers": [tier("free-tier", true, true)] }), Some("own"), onboard("free-tier", None)),
        (
            json!({ "allowedTiers": [tier("standard-tier", true, true)] }),
            Some("own"),
            onboard("standard-tier", Some("own")),
        ),
        (json!({ "allowedTiers": [tier("standard-tier", true, true)] }), None, needs()),
        (json!({ "allowedTiers": [tier("standard-tier", true, false)] }), None, onboard("standard-tier", None)),
        (json!({ "allowedTiers": [tier("x", false, false)] }), Some("own"), onboard("legacy-tier", Some("own"))),
        (
            json!({ "allowedTiers": [tier("free-tier", true, false)], "ineligibleTiers": [refusal] }),
            None,
            onboard("free-tier", None),
        ),
        (json!({}), None, needs()),
        (
            json!({ "ineligibleTiers": [refusal] }),
            Some("own"),
            Loaded::Never("Too young. (confirm the account at https://v.example)".to_owned()),
        ),
        (
            json!({ "ineligibleTiers": [{}] }),
            None,
            Loaded::Never("this Google account may not use Code Assist".to_owned()),
        ),
    ] {
        let got = loaded(answer.to_string().as_bytes(), configured);
        assert_eq!(got.as_ref(), Some(&expect), "{answer} {configured:?}");
    }
    assert_eq!(loaded(b"<html>", None), None);
}

#[test]
fn an_enrolment_is_followed_to_its_end() {
    let project = |id: &str| Some(Onboarded::Project(id.to_owned()));
    for (answer, expect) in [
        (
            json!({ "name": "operations/1", "done": true, "response": { "cloudaicompanionProject": { "id": "p" } } }),
            project("p"),
        ),
        (json!({ "done": true, "response": { "cloudaicompanionProject": "p" } }), project("p")),
        (json!({ "name": "operations/1" }), Some(Onboarded::Running("operations/1".to_owned()))),
        (json!({ "name": "../admin", "done": false }), None),
        (json!({ "name": "operations/1?x", "done": false }), None),
        (json!({ "done": true, "response": {} }), Some(Onboarded::Never(NO_PROJECT.to_owned()))),
        (json!({ "done": true, "error": { "message": "No." } }), Some(Onboarded::Never("No.".to_owned()))),
        (json!([]), None),
    ] {
        assert_eq!(onboarded(answer.to_string().as_bytes()), expect, "{answer}");
    }
}

#[test]
fn a_perimeter_that_bars_the_question_is_told() {
    let barred = json!({ "error": { "code": 403, "details": [{ "reason": "SECURITY_POLICY_VIOLATED" }] } });
    assert!(is_barred_by_policy(barred.to_string().as_bytes()));
    assert!(!is_barred_by_policy(br#"{"error":{"details":[{"reason":"OTHER"}]}}"#) && !is_barred_by_policy(b""));
}

#[test]
fn the_question_names_no_client() {
    let metadata = json!({ "ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI" });
    assert_eq!(load_request(None), json!({ "metadata": metadata }));
    assert_eq!(load_request(Some("p"))["cloudaicompanionProject"], "p");
}
