//! Messages API answers and what they used; anthropic-api.md numbers its lines.

use crate::protocol::{
    Charge, Ending, Form, Provider, Tally, Terms, Tier, Usage,
    usage::tests::{PROMPT, Reading},
};

const START: &str = r#"{"type":"message_start","message":{"id":"msg_01A","type":"message","role":"assistant","model":"claude-sonnet-5-5","content":[],"stop_reason":null,"usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":4000,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},"output_tokens":1,"service_tier":"standard","inference_geo":"global"}}}"#;
const BLOCK: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const HELLO: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße, 語"}}"#;
const PING: &str = r#"{"type":"ping"}"#;
const NEW: &str = r#"{"type":"content_block_poured","text":"not counted","index":{"a":[1,2]}}"#;
const DELTA: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":4000,"output_tokens":9}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn stream(events: &[&str]) -> Vec<u8> {
    let name = |data: &str| data.split('"').nth(3).unwrap_or_default().to_owned();
    events.iter().map(|data| format!("event: {}\ndata: {data}\n\n", name(data))).collect::<String>().into_bytes()
}

fn said() -> Usage {
    Usage { input: 12, cache_read: 4_000, cache_write_5m: 200, cache_write_1h: 100, output: 9, ..Usage::default() }
}

fn model() -> Option<String> {
    Some("claude-sonnet-5-5".to_owned())
}

#[track_caller]
fn check(events: &[&str], usage: Usage, ending: Ending) {
    let tally = Reading::of(Provider::Anthropic, Form::Sse).read(&stream(events));
    assert_eq!(tally, Tally { usage: Some(usage), model: model(), ending });
}

/// A complete stream whose `message_start` or `message_delta` has another usage.
#[track_caller]
fn check_usages(start: &str, delta: &str, usage: Usage) {
    let start = format!(r#"{{"type":"message_start","message":{{"model":"claude-sonnet-5-5","usage":{start}}}}}"#);
    let delta = format!(r#"{{"type":"message_delta","usage":{delta}}}"#);
    check(&[&start, HELLO, &delta, STOP], usage, Ending::Complete);
}

#[test]
fn a_stream_reads_the_same_however_it_is_cut_1_and_17() {
    check(&[START, BLOCK, PING, HELLO, NEW, DELTA, STOP], said(), Ending::Complete);
    let crlf = String::from_utf8(stream(&[START, HELLO, DELTA, STOP])).unwrap().replace('\n', "\r\n");
    let unnamed = crlf.replace("event: message_start\r\n", "");
    for text in [crlf, unnamed] {
        let tally = Reading::of(Provider::Anthropic, Form::Sse).read(text.as_bytes());
        assert_eq!(tally, Tally { usage: Some(said()), model: model(), ending: Ending::Complete });
    }
}

#[test]
fn a_cut_stream_has_its_prompt_and_an_estimated_output_2() {
    let cut = |output| Usage { output, estimated: true, ..said() };
    check(&[START], cut(1), Ending::Cut);
    check(&[START, HELLO], cut(2), Ending::Cut);
    check(&[START, BLOCK, HELLO, HELLO, HELLO], cut(6), Ending::Cut);
    // After the final figure nothing is left to estimate, though the end is missing.
    check(&[START, HELLO, DELTA], said(), Ending::Cut);
    // More output after a figure makes it too small.
    check(&[START, HELLO, DELTA, HELLO, HELLO, HELLO, HELLO, HELLO], cut(12), Ending::Cut);
    let thinking = r#"{"type":"content_block_delta","delta":{"thinking":"123456789"}}"#;
    let tool = r#"{"type":"content_block_delta","delta":{"partial_json":"{\"a\":1}"}}"#;
    check(&[START, thinking, tool], cut(4), Ending::Cut);
    // A stream that stops without ever having said its output.
    check(&[START, HELLO, STOP], cut(2), Ending::Complete);
}

#[test]
fn nothing_said_is_estimated_and_not_zero() {
    let reading = Reading::of(Provider::Anthropic, Form::Sse);
    let tally = reading.read(&stream(&[PING]));
    assert_eq!(tally, Tally { usage: Some(Usage::estimate(PROMPT)), model: None, ending: Ending::Cut });
    let tally = Reading::of(Provider::Anthropic, Form::Json).read(b"<html>");
    assert_eq!(tally.usage, Some(Usage::estimate(PROMPT)));
}

#[test]
fn searches_raise_the_prompt_3() {
    check_usages(
        r#"{"input_tokens":12,"cache_read_input_tokens":4000,"output_tokens":2}"#,
        r#"{"input_tokens":900,"cache_read_input_tokens":8000,"cache_creation_input_tokens":50,"output_tokens":9,"server_tool_use":{"web_search_requests":3}}"#,
        Usage { input: 900, cache_read: 8_000, cache_write_5m: 50, output: 9, searches: 3, ..Usage::default() },
    );
    // Absent, null or smaller takes nothing away, and of two deltas the later output counts.
    check_usages(
        r#"{"input_tokens":12,"cache_read_input_tokens":4000,"output_tokens":2,"server_tool_use":{"web_search_requests":1}}"#,
        r#"{"input_tokens":null,"cache_read_input_tokens":0,"output_tokens":9,"server_tool_use":null}"#,
        Usage { input: 12, cache_read: 4_000, output: 9, searches: 1, ..Usage::default() },
    );
    let early = DELTA.replace(":9}", ":4}");
    check(&[START, HELLO, &early, HELLO, DELTA, STOP], said(), Ending::Complete);
}

#[test]
fn cache_writes_are_split_by_how_long_they_live() {
    let writes = |usage, cache_write_5m, cache_write_1h| {
        let usage = format!(r#"{{"input_tokens":1,"output_tokens":1,{usage}}}"#);
        let expected = Usage { input: 1, cache_write_5m, cache_write_1h, output: 1, ..Usage::default() };
        check_usages(&usage, r#"{"output_tokens":1}"#, expected);
    };
    writes(r#""cache_creation_input_tokens":10"#, 10, 0);
    writes(r#""cache_creation_input_tokens":10,"cache_creation":null"#, 10, 0);
    writes(r#""cache_creation_input_tokens":10,"cache_creation":{"ephemeral_1h_input_tokens":6}"#, 4, 6);
    writes(r#""cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":6}"#, 3, 6);
    writes(r#""cache_creation_input_tokens":10,"cache_creation":{"ephemeral_1h_input_tokens":60}"#, 0, 10);
}

#[test]
fn a_zero_stays_a_zero() {
    check_usages(
        r#"{"input_tokens":0,"output_tokens":0}"#,
        r#"{"output_tokens":0,"output_tokens_details":{"thinking_tokens":0}}"#,
        Usage::default(),
    );
}

#[test]
fn terms_are_those_of_the_answer() {
    check_usages(
        r#"{"input_tokens":1,"output_tokens":1,"service_tier":"batch","speed":"fast","inference_geo":"us"}"#,
        r#"{"output_tokens":1,"output_tokens_details":{"thinking_tokens":1}}"#,
        Usage {
            terms: Terms { tier: Tier::Batch, fast: true, us_only: true },
            thinking: 1,
            ..Usage { input: 1, output: 1, ..Usage::default() }
        },
    );
}

#[test]
fn impossible_figures_are_replaced_and_marked() {
    for lie in ["9223372036854775808", "-1", "1e400", "1.5", "\"12\"", "{}"] {
        check_usages(
            &format!(r#"{{"input_tokens":{lie},"cache_read_input_tokens":7,"output_tokens":1}}"#),
            r#"{"output_tokens":9}"#,
            Usage { cache_read: 7, output: 9, ..Usage::estimate(PROMPT - 7) },
        );
        check_usages(
            r#"{"input_tokens":12,"output_tokens":1}"#,
            &format!(r#"{{"output_tokens":{lie}}}"#),
            Usage { input: 12, output: 2, estimated: true, ..Usage::default() },
        );
    }
}

#[test]
fn an_error_inside_a_stream_is_told() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let ending = Ending::Failed { kind: "overloaded_error".to_owned(), message: "Overloaded".to_owned() };
    check(&[START, HELLO, error], Usage { output: 2, estimated: true, ..said() }, ending.clone());
    let reading = Reading::of(Provider::Anthropic, Form::Sse);
    assert_eq!(reading.read(&stream(&[error])), Tally { usage: None, model: None, ending: ending.clone() });
    let json = Reading::of(Provider::Anthropic, Form::Json);
    assert_eq!(json.read(error.as_bytes()), Tally { usage: None, model: None, ending });
}

#[test]
fn a_whole_message_reads_like_its_stream() {
    let message = r#"{"id":"msg_01A","type":"message","model":"claude-sonnet-5-5","content":[{"type":"text","text":"Gr\u00fc\u00dfe"},{"type":"tool_use","input":{"type":"error","usage":{"output_tokens":5000}}}],"stop_reason":"tool_use","usage":{"input_tokens":12,"cache_creation_input_tokens":300,"cache_read_input_tokens":4000,"cache_creation":{"ephemeral_5m_input_tokens":200,"ephemeral_1h_input_tokens":100},"output_tokens":9}}"#;
    let reading = Reading::of(Provider::Anthropic, Form::Json);
    let whole = reading.read(message.as_bytes());
    assert_eq!(whole, Tally { usage: Some(said()), model: model(), ending: Ending::Complete });
    let cut = reading.read(&message.as_bytes()[..message.find(",\"stop_reason").unwrap()]);
    // 5 characters of text, and the tool's input as it is written
    assert_eq!(cut.usage, Some(Usage { output: (5_u64 + 45).div_ceil(4), ..Usage::estimate(PROMPT) }));
    assert_eq!(cut.ending, Ending::Cut);
}

#[track_caller]
fn check_charges(figures: &str, stop_reason: &str, iterations: &str, expected: &[Charge]) {
    let message = format!(
        r#"{{"type":"message","model":"claude-sonnet-5-5","content":[],"stop_reason":"{stop_reason}","usage":{{{figures},"iterations":{iterations}}}}}"#
    );
    let usage = Reading::of(Provider::Anthropic, Form::Json).read(message.as_bytes()).usage.unwrap();
    assert!(!usage.estimated);
    assert_eq!(usage.charges, expected, "{iterations}");
}

#[test]
fn iterations_are_charged_by_their_kind() {
    let part = |input, output| Charge { input, output, ..Charge::default() };
    let by = |model: &str, charge| Charge { model: Some(model.to_owned()), ..charge };
    let figures = r#""input_tokens":30,"output_tokens":3"#;
    let two = r#"{"type":"message","input_tokens":10,"output_tokens":1},{"type":"message","input_tokens":20,"output_tokens":2}"#;
    let compaction = r#"{"type":"compaction","input_tokens":100,"output_tokens":5}"#;
    let advisor = r#"{"type":"advisor_message","model":"claude-opus-5-5","input_tokens":7,"output_tokens":4}"#;
    let fallback = |output| {
        format!(r#"{{"type":"fallback_message","model":"claude-opus-5","input_tokens":30,"output_tokens":{output}}}"#)
    };

    check_charges(figures, "end_turn", "null", &[]);
    check_charges(figures, "end_turn", "[]", &[]);
    check_charges(figures, "end_turn", r#"[{"type":"message","input_tokens":30,"output_tokens":3}]"#, &[]);
    check_charges(
        figures,
        "end_turn",
        r#"[{"type":"novelty","input_tokens":"x"}]"#.replace("\"x\"", "1").as_str(),
        &[],
    );
    check_charges(figures, "end_turn", &format!("[{two}]"), &[part(10, 1), part(20, 2)]);
    let advised = Charge { standard_speed: true, ..by("claude-opus-5-5", part(7, 4)) };
    let all = [part(10, 1), part(20, 2), part(100, 5), advised];
    check_charges(figures, "end_turn", &format!("[{two},{advisor},{compaction}]"), &all);
    // Calls that do not add up to the figures say nothing about them.
    let odd = r#""input_tokens":31,"output_tokens":3"#;
    check_charges(odd, "end_turn", &format!("[{two},{compaction}]"), &[part(31, 3), part(100, 5)]);

    let (first, second) = (fallback(1), fallback(2));
    let opus = |output| by("claude-opus-5", part(30, output));
    check_charges(figures, "end_turn", &format!("[{two},{first},{second}]"), &[opus(1), opus(2)]);
    check_charges(figures, "refusal", &format!("[{first},{second}]"), &[opus(1)]);
    check_charges(figures, "refusal", &format!("[{first}]"), &[Charge::default()]);
}

#[test]
fn a_split_that_entries_lack_goes_to_them_in_order() {
    let entry = |written| format!(r#"{{"type":"message","cache_creation_input_tokens":{written}}}"#);
    let writes = |cache_write_5m, cache_write_1h| Charge { cache_write_5m, cache_write_1h, ..Charge::default() };
    check_charges(
        r#""input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_1h_input_tokens":15}"#,
        "end_turn",
        &format!("[{},{}]", entry(10), entry(20)),
        &[writes(0, 10), writes(15, 5)],
    );
}
