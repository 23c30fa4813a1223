//! Gemini answers and what they used; gemini-api.md numbers its lines.

use crate::protocol::{
    Ending, Form, Media, Operation, Provider, Tally, Terms, Tier, Usage,
    usage::tests::{PROMPT, Reading},
};

const FIRST: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"br{a]ces \"}"}]},"index":0}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,"totalTokenCount":100},"modelVersion":"gemini-3.8-flash"}"#;
const MIDDLE: &str = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":4,"thoughtsTokenCount":50,"totalTokenCount":154}}"#;
const BARE: &str = r#"{"candidates":[{"content":{"role":"model"}}]}"#;
const LAST: &str = r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"candidatesTokenCount":20,"totalTokenCount":170}}"#;

fn sse(chunks: &[&str]) -> Vec<u8> {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect::<String>().into_bytes()
}

fn array(chunks: &[&str]) -> Vec<u8> {
    format!("[{}\r\n]", chunks.join("\r\n,\r\n")).into_bytes()
}

fn read(form: Form, bytes: &[u8]) -> Tally {
    Reading::of(Provider::Gemini, form).read(bytes)
}

fn said() -> Usage {
    Usage { input: 60, cache_read: 40, output: 70, thinking: 50, ..Usage::default() }
}

fn tally(usage: Usage, ending: Ending) -> Tally {
    Tally { usage: Some(usage), model: Some("gemini-3.8-flash".to_owned()), ending }
}

/// The usage of a complete answer of one chunk.
#[track_caller]
fn check(candidate: &str, usage_metadata: &str, expected: Usage) {
    let chunk = format!(
        r#"{{"candidates":[{{"finishReason":"STOP"{candidate}}}],"usageMetadata":{{{usage_metadata}}},"modelVersion":"gemini-3.8-flash"}}"#
    );
    let expected = tally(expected, Ending::Complete);
    for (form, bytes) in [(Form::Sse, sse(&[&chunk])), (Form::JsonArray, array(&[&chunk])), (Form::Json, chunk.into())]
    {
        assert_eq!(read(form, &bytes), expected, "{form:?}");
    }
}

#[test]
fn every_form_reads_the_same_however_it_is_cut_1_2_3() {
    let chunks = [FIRST, MIDDLE, BARE, LAST];
    assert_eq!(read(Form::Sse, &sse(&chunks)), tally(said(), Ending::Complete));
    let lf = String::from_utf8(sse(&chunks)).unwrap().replace("\r\n", "\n");
    assert_eq!(read(Form::Sse, lf.as_bytes()), tally(said(), Ending::Complete));
    assert_eq!(read(Form::JsonArray, &array(&chunks)), tally(said(), Ending::Complete));
    let wrapped: Vec<String> = chunks.iter().map(|chunk| format!(r#"{{"traceId":"t","response":{chunk}}}"#)).collect();
    let wrapped: Vec<&str> = wrapped.iter().map(String::as_str).collect();
    assert_eq!(read(Form::Sse, &sse(&wrapped)), tally(said(), Ending::Complete));
}

#[test]
fn a_cut_stream_keeps_the_last_figures_and_is_marked() {
    let cut = |usage| Usage { estimated: true, ..usage };
    for form in [Form::Sse, Form::JsonArray] {
        let read = |chunks: &[&str]| match form {
            Form::Sse => read(form, &sse(chunks)),
            _ => read(form, &array(chunks)[..array(chunks).len() - 1]),
        };
        // 12 characters
        let first = cut(Usage { output: 3, thinking: 0, ..said() });
        assert_eq!(read(&[FIRST]), tally(first, Ending::Cut), "{form:?}");
        let middle = cut(Usage { output: 54, ..said() });
        assert_eq!(read(&[FIRST, MIDDLE]), tally(middle, Ending::Cut), "{form:?}");
    }
    assert_eq!(read(Form::Sse, &sse(&[BARE])).usage, Some(Usage::estimate(PROMPT)));
    // All figures came, and then the array did not close.
    let open = &array(&[FIRST, MIDDLE, LAST])[..array(&[FIRST, MIDDLE, LAST]).len() - 1];
    assert_eq!(read(Form::JsonArray, open), tally(said(), Ending::Cut));
}

#[test]
fn thoughts_are_output_once() {
    let usage = |output| Usage { input: 10, output, thinking: 5, ..Usage::default() };
    check(
        "",
        r#""promptTokenCount":10,"candidatesTokenCount":20,"thoughtsTokenCount":5,"totalTokenCount":35"#,
        usage(25),
    );
    check(
        "",
        r#""promptTokenCount":10,"candidatesTokenCount":20,"thoughtsTokenCount":5,"totalTokenCount":30"#,
        usage(20),
    );
    check("", r#""promptTokenCount":10,"candidatesTokenCount":20,"thoughtsTokenCount":5"#, usage(25));
    check("", r#""promptTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":15"#, usage(5));
    check(
        "",
        r#""promptTokenCount":10,"candidatesTokenCount":20,"thoughtsTokenCount":5,"toolUsePromptTokenCount":7,"totalTokenCount":37"#,
        Usage { tool_use: 7, ..usage(20) },
    );
}

#[test]
fn absent_figures_are_zero_at_the_end_unless_there_was_output() {
    check("", r#""promptTokenCount":10"#, Usage { input: 10, ..Usage::default() });
    let spoken = r#","content":{"parts":[{"text":"12345"}]}"#;
    check(spoken, r#""promptTokenCount":10"#, Usage { output: 2, ..Usage::estimate(10) });
    check(spoken, r#""promptTokenCount":10,"candidatesTokenCount":0"#, Usage { input: 10, ..Usage::default() });
    check(spoken, "", Usage { output: 2, ..Usage::estimate(PROMPT) });
}

#[test]
fn media_and_tier_are_kept_for_the_price() {
    let metadata = r#""promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":30,"serviceTier":"standard","trafficType":"ON_DEMAND_FLEX",
        "promptTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"AUDIO","tokenCount":50},{"modality":"IMAGE","tokenCount":20},{"modality":"VIDEO","tokenCount":10}],
        "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":30},{"modality":"IMAGE","tokenCount":10}],
        "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":25},{"modality":"AUDIO","tokenCount":1}]"#
        .replace('\n', "");
    let media = Media {
        audio_input: 20,
        image_input: 10,
        video_input: 10,
        audio_cache_read: 30,
        audio_output: 1,
        image_output: 25,
        video_output: 0,
    };
    let terms = Terms { tier: Tier::Flex, ..Terms::default() };
    check("", &metadata, Usage { input: 60, cache_read: 40, output: 30, media, terms, ..Usage::default() });
    // More of a kind than there is of all is cut down.
    let metadata = r#""promptTokenCount":10,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":8},{"modality":"VIDEO","tokenCount":8}]"#;
    let media = Media { audio_input: 8, video_input: 2, ..Media::default() };
    check("", metadata, Usage { input: 10, media, ..Usage::default() });
}

#[test]
fn searches_are_counted_by_generation() {
    let chunk = |model: &str, grounding: &str, reason: &str| {
        format!(
            r#"{{"candidates":[{{{grounding}"finishReason":{reason}}}],"usageMetadata":{{"promptTokenCount":1}},"modelVersion":"{model}"}}"#
        )
    };
    let queries = |list: &str| format!(r#""groundingMetadata":{{"webSearchQueries":{list}}},"#);
    for (model, early, late, searches) in [
        ("gemini-3.8-flash", queries(r#"["a"]"#), queries(r#"["a","b"]"#), 2),
        ("gemini-3.8-flash", queries(r#"["a","b"]"#), String::new(), 2),
        ("gemini-3.8-flash", r#""groundingMetadata":{},"#.to_owned(), String::new(), 0),
        ("gemini-2.5-pro", queries(r#"["a"]"#), queries(r#"["a","b"]"#), 1),
        ("models/gemini-2.5-pro", r#""groundingMetadata":{},"#.to_owned(), String::new(), 1),
        ("gemini-2.5-pro", r#""groundingMetadata":null,"#.to_owned(), String::new(), 0),
    ] {
        let (early, late) = (chunk(model, &early, "null"), chunk(model, &late, "\"STOP\""));
        for (form, bytes) in [(Form::Sse, sse(&[&early, &late])), (Form::JsonArray, array(&[&early, &late]))] {
            assert_eq!(read(form, &bytes).usage.unwrap().searches, searches, "{model} {form:?}");
        }
    }
}

#[test]
fn impossible_figures_are_replaced_and_marked() {
    for lie in ["9223372036854775808", "-1", "1e400", "1.5", "\"12\"", "[]"] {
        let candidates = format!(r#""promptTokenCount":10,"candidatesTokenCount":{lie}"#);
        let spoken = r#","content":{"parts":[{"text":"12345"}]}"#;
        check(spoken, &candidates, Usage { output: 2, ..Usage::estimate(10) });
        let prompt = format!(r#""promptTokenCount":{lie},"candidatesTokenCount":4"#);
        check("", &prompt, Usage { output: 4, ..Usage::estimate(PROMPT) });
        let details =
            format!(r#""promptTokenCount":10,"promptTokensDetails":[{{"modality":"AUDIO","tokenCount":{lie}}}]"#);
        check("", &details, Usage::estimate(10));
    }
    // More read from a cache than there was to read.
    check("", r#""promptTokenCount":10,"cachedContentTokenCount":11"#, Usage { cache_read: 10, ..Usage::default() });
}

#[test]
fn a_blocked_prompt_is_complete_and_metered_15() {
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":10},"modelVersion":"gemini-3.8-flash"}"#;
    for (form, bytes) in
        [(Form::Sse, sse(&[blocked])), (Form::JsonArray, array(&[blocked])), (Form::Json, blocked.into())]
    {
        let usage = Usage { input: 10, ..Usage::default() };
        assert_eq!(read(form, &bytes), tally(usage, Ending::Complete), "{form:?}");
    }
}

#[test]
fn an_error_inside_a_stream_is_told() {
    let error = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let ending = |kind: &str| Ending::Failed { kind: kind.to_owned(), message: "The model is overloaded.".to_owned() };
    let usage = Usage { output: 54, estimated: true, ..said() };
    for (form, whole, alone) in [
        (Form::Sse, sse(&[FIRST, MIDDLE, error]), sse(&[error])),
        (Form::JsonArray, array(&[FIRST, MIDDLE, error]), array(&[error])),
    ] {
        assert_eq!(read(form, &whole), tally(usage.clone(), ending("UNAVAILABLE")), "{form:?}");
        let alone = read(form, &alone);
        assert_eq!(alone, Tally { usage: None, model: None, ending: ending("UNAVAILABLE") }, "{form:?}");
    }
    let bare = error.replace(r#","status":"UNAVAILABLE""#, "");
    assert_eq!(read(Form::Json, bare.as_bytes()).ending, ending("503"));
    assert_eq!(read(Form::Json, br#"{"error":null}"#).ending, Ending::Complete);
}

#[test]
fn vectors_cost_their_prompt() {
    let reading = Reading { operation: Operation::Embed, ..Reading::of(Provider::Gemini, Form::Json) };
    let values = r#""embedding":{"values":[0.1,-2e-3]}"#;
    for (body, usage, ending) in [
        (format!(r#"{{{values}}}"#), Usage::estimate(PROMPT), Ending::Complete),
        (
            format!(r#"{{{values},"usageMetadata":{{"promptTokenCount":9}}}}"#),
            Usage { input: 9, ..Usage::default() },
            Ending::Complete,
        ),
        (format!(r#"{{{values}"#), Usage::estimate(PROMPT), Ending::Cut),
    ] {
        assert_eq!(reading.read(body.as_bytes()), Tally { usage: Some(usage), model: None, ending }, "{body}");
    }
}
