//! The fuzz targets, a bounded number of times: the same bytes in every run.

mod targets;

use crate::support::Chance;

/// Rounds of each target, each with other bytes.
const ROUNDS: u64 = 4_000;

/// Good inputs of each target; they are bent from here.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let texts: &[&str] = match target {
        "meters" => &[
            "\0\0\x02event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":7,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi é\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            "\0\x01\x03{\"type\":\"message\",\"model\":\"claude-x\",\"content\":[{\"type\":\"text\",\"text\":\"a } ] \\\" b\"}],\"usage\":{\"input_tokens\":12,\"output_tokens\":3,\"cache_creation\":{\"ephemeral_5m_input_tokens\":4,\"ephemeral_1h_input_tokens\":5}}}",
            "\x01\0\x05data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":10}}\r\n\r\ndata: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":10,\"candidatesTokenCount\":7,\"thoughtsTokenCount\":2},\"modelVersion\":\"gemini-x\"}\r\n\r\n",
            "\x01\x02\x07[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a [ { \"}]}}]}\n,\n{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":4,\"candidatesTokenCount\":2}}]",
            "\x01\x01\x04{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"x\"}}",
            "\0\0\x01event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
        ],
        "request" => &[
            "\0{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":64,\"stream\":true,\"system\":[{\"type\":\"text\",\"text\":\"be\"}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"h\\u00e9\"},{\"type\":\"tool_result\",\"tool_use_id\":\"t\"}]}],\"metadata\":{\"user_id\":\"user_a_account__session_1\"}}",
            "\x01{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"},{\"functionResponse\":{\"name\":\"f\"}}]}],\"generationConfig\":{\"maxOutputTokens\":1e3}}",
            "\x02{\"messages\":[],\"model\":\"a\\ud83d\\ude00b\",\"model\":\"c\"}",
            "\x03{\"content\":{\"parts\":[{\"text\":\"x\"}]}}",
        ],
        "key" => &[
            "gw_0123456789012345678901234567890123456789012000000",
            "Bearer gw_x",
            "key=a&alt=sse&%6bey=b",
            "access_token=x",
        ],
        _ => &[
            "/v1/messages?beta=true",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=x",
            "/v1beta/models/%67emini%2dx:countTokens",
            "/v1/models/a..b",
            "/upload/v1beta/files",
            "/v1/messages/../organizations",
        ],
    };
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Bytes that matter to one of the readers.
const PIECES: [&[u8]; 28] = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data:",
    b"event: ",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"1e400",
    b"-1",
    b"9223372036854775808",
    b"null",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\0",
    b"/",
    b"..",
    b"%2e",
    b"&key=",
    b"\"usage\":{",
    b"\"model\":\"",
];

fn bend(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        let end = at + chance.below(bytes.len() - at + 1).min(40);
        match chance.below(5) {
            0 => drop(bytes.splice(at..at, chance.pick(&PIECES).iter().copied())),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(end..end, again));
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            _ => bytes.truncate(at.max(3)),
        }
    }
    bytes
}

#[test]
fn any_bytes_are_read_without_harm() {
    for (name, target) in targets::TARGETS {
        let seeds = seeds(name);
        seeds.iter().for_each(|seed| target(seed));
        for round in 0..ROUNDS {
            let mut chance = Chance::of(round);
            let seed = seeds[chance.below(seeds.len())].clone();
            target(&bend(seed, &mut chance));
        }
    }
}

/// Each target has its file in `fuzz/`, and none is without.
#[test]
fn every_target_is_there_for_cargo_fuzz() {
    let manifest = include_str!("../../../../fuzz/Cargo.toml");
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        // It needs a nightly compiler, so no test builds it: it may hold nothing but this, and what it feeds is built here.
        let expect = format!(
            "//! `cargo +nightly fuzz run {name}`\n\n#![no_main]\n\n#[path = \"../../lib/tests/it/fuzz/targets.rs\"]\n\
             mod targets;\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| targets::{name}(data));\n"
        );
        assert_eq!(crate::tidy::text(&format!("fuzz/fuzz_targets/{name}.rs")), expect);
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets::TARGETS.len());
}
