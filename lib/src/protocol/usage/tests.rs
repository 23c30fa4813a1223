//! What holds for every meter; the vendors' own rules are tested beside their meters.

use std::io::Write;

use super::*;
use crate::protocol::{Operation::Generate, Provider};

/// How long the prompts of these tests seemed.
pub(in crate::protocol) const PROMPT: u64 = 77;

/// Numbers that look random and are the same in every run.
struct Shuffle(u64);

impl Shuffle {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// The same bytes in pieces.
    fn cut<'b>(&mut self, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(1 + self.below(bytes.len().min(60)));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

/// One way to make a meter.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) struct Reading {
    pub(in crate::protocol) provider: Provider,
    pub(in crate::protocol) operation: Operation,
    pub(in crate::protocol) form: Form,
    pub(in crate::protocol) coding: Option<&'static str>,
}

impl Reading {
    pub(in crate::protocol) fn of(provider: Provider, form: Form) -> Self {
        Self { provider, operation: Generate, form, coding: None }
    }

    pub(in crate::protocol) fn tally<'a>(self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Tally {
        let mut meter = meter(self.provider, self.operation, self.form, self.coding, PROMPT);
        for piece in pieces {
            meter.see(piece);
            meter.tally();
        }
        meter.tally()
    }

    /// The tally of `bytes`, which is the same however they are cut.
    #[track_caller]
    pub(in crate::protocol) fn read(self, bytes: &[u8]) -> Tally {
        let whole = self.tally([bytes]);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(self.tally([head, tail]), whole, "{self:?} cut at {cut}");
        }
        assert_eq!(self.tally(bytes.chunks(1)), whole, "{self:?} byte by byte");
        let mut shuffle = Shuffle(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20 {
            assert_eq!(self.tally(shuffle.cut(bytes)), whole, "{self:?} in random pieces");
        }
        whole
    }
}

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-sonnet-5-5\",\"content\":[],",
    "\"usage\":{\"input_tokens\":12,\"cache_read_input_tokens\":4000,\"cache_creation\":{\"ephemeral_1h_input_tokens\":5},",
    "\"output_tokens\":1,\"iterations\":[{\"type\":\"compaction\",\"input_tokens\":9,\"output_tokens\":2}]}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"Grüße\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const GEMINI: &str = concat!(
    "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a{]\\\"\"}]},\"groundingMetadata\":{\"webSearchQueries\":[\"q\"]}}],",
    "\"usageMetadata\":{\"promptTokenCount\":10,\"cachedContentTokenCount\":4,\"totalTokenCount\":17}}\r\n,\r\n",
    "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"modelVersion\":\"gemini-3.8-flash\",\"usageMetadata\":{",
    "\"promptTokenCount\":10,\"candidatesTokenCount\":5,\"thoughtsTokenCount\":2,",
    "\"promptTokensDetails\":[{\"modality\":\"AUDIO\",\"tokenCount\":3}]}}\r\n]",
);

fn complete(usage: Option<Usage>) -> Tally {
    Tally { usage, model: None, ending: Ending::Complete }
}

#[test]
fn what_is_free_uses_nothing() {
    for provider in Provider::ALL {
        for operation in [Operation::CountTokens, Operation::Models, Operation::Other] {
            let reading = Reading { operation, ..Reading::of(provider, Form::Json) };
            assert_eq!(reading.read(br#"{"input_tokens":12,"totalTokens":3}"#), complete(None), "{operation:?}");
        }
    }
    let models = Reading { operation: Operation::Models, ..Reading::of(Provider::Gemini, Form::Json) };
    assert_eq!(models.tally([&b"{\"models\":["[..]]).ending, Ending::Cut);
}

#[test]
fn no_byte_no_usage() {
    for provider in Provider::ALL {
        for form in [Form::Json, Form::Sse, Form::JsonArray] {
            let tally = Reading::of(provider, form).tally([]);
            assert_eq!(tally, Tally { usage: None, model: None, ending: Ending::Cut }, "{provider} {form:?}");
        }
    }
}

#[test]
fn packed_answers_are_metered_alike() {
    let plain = Reading::of(Provider::Anthropic, Form::Sse).tally([ANTHROPIC.as_bytes()]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(ANTHROPIC.as_bytes()).unwrap();
    let gzip = encoder.finish().unwrap();
    let zstd = zstd::encode_all(ANTHROPIC.as_bytes(), 1).unwrap();
    for (coding, packed) in [("gzip", gzip), ("zstd", zstd)] {
        let reading = Reading { coding: Some(coding), ..Reading::of(Provider::Anthropic, Form::Sse) };
        assert_eq!(reading.read(&packed), plain, "{coding}");
        let half = reading.tally([&packed[..packed.len() / 2]]);
        assert!(half.usage.unwrap().estimated, "{coding}, cut");
    }
    let reading = Reading { coding: Some("dcz"), ..Reading::of(Provider::Anthropic, Form::Sse) };
    let unread = reading.tally([&[0; 41][..]]);
    assert_eq!(unread, complete(Some(Usage { output: 11, ..Usage::estimate(PROMPT) })));
    let free = Reading { operation: Operation::CountTokens, ..reading };
    assert_eq!(free.tally([&[0; 41][..]]), complete(None));
}

#[test]
fn our_events_fit_only_between_events_of_plain_streams() {
    let between = |form, coding, bytes: &str| {
        let mut meter = meter(Provider::Anthropic, Generate, form, coding, 0);
        meter.see(bytes.as_bytes());
        meter.between_events()
    };
    assert!(between(Form::Sse, None, ANTHROPIC));
    assert!(!between(Form::Sse, None, &ANTHROPIC[..ANTHROPIC.len() - 1]));
    assert!(!between(Form::Sse, Some("gzip"), ""));
    assert!(!between(Form::Json, None, "{}"));
    assert!(!between(Form::JsonArray, None, "[{}"));
}

#[test]
fn the_first_output_is_seen_when_it_comes() {
    let first = |provider, form, body: &str| {
        let mut meter = meter(provider, Generate, form, None, 0);
        body.bytes().position(|byte| {
            meter.see(&[byte]);
            meter.first_output()
        })
    };
    let delta_ends = ANTHROPIC.find("event: message_delta").unwrap() - 1;
    assert_eq!(first(Provider::Anthropic, Form::Sse, ANTHROPIC), Some(delta_ends));
    let parts_begin = GEMINI.find("[{\"text\"").unwrap();
    assert_eq!(first(Provider::Gemini, Form::JsonArray, GEMINI), Some(parts_begin));
    assert_eq!(first(Provider::Anthropic, Form::Sse, "event: ping\ndata: {\"type\":\"ping\"}\n\n"), None);
}

#[test]
fn figures_that_cannot_be_are_as_good_as_absent() {
    for (raw, figure) in [
        ("0", Figure::Said(0)),
        ("12", Figure::Said(12)),
        ("12.0", Figure::Said(12)),
        ("1e3", Figure::Said(1_000)),
        ("1000000000", Figure::Said(MAX_TOKENS)),
        ("1000000001", Figure::Impossible),
        ("9223372036854775808", Figure::Impossible),
        ("99999999999999999999999", Figure::Impossible),
        ("-1", Figure::Impossible),
        ("1e400", Figure::Impossible),
        ("1.5", Figure::Impossible),
        ("\"12\"", Figure::Impossible),
        ("true", Figure::Impossible),
        ("[]", Figure::Impossible),
        ("NaN", Figure::Impossible),
        ("", Figure::Impossible),
        ("null", Figure::Absent),
    ] {
        assert_eq!(Figure::read(raw.as_bytes()), figure, "{raw}");
    }
}

#[test]
fn a_tier_is_read_in_every_spelling() {
    for (word, tier) in [
        ("standard", Tier::Standard),
        ("ON_DEMAND", Tier::Standard),
        ("", Tier::Standard),
        ("batch", Tier::Batch),
        ("ON_DEMAND_FLEX", Tier::Flex),
        ("flex", Tier::Flex),
        ("ON_DEMAND_PRIORITY", Tier::Priority),
    ] {
        assert_eq!(Tier::read(word), tier, "{word}");
    }
}

#[test]
fn a_usage_is_stored_and_read_back() {
    for body in [(Provider::Anthropic, Form::Sse, ANTHROPIC), (Provider::Gemini, Form::JsonArray, GEMINI)] {
        let usage = Reading::of(body.0, body.1).tally([body.2.as_bytes()]).usage.unwrap();
        let stored = serde_json::to_value(&usage).unwrap();
        assert_eq!(serde_json::from_value::<Usage>(stored).unwrap(), usage);
    }
    let plain = serde_json::to_value(Usage::default()).unwrap();
    assert_eq!(plain.as_object().unwrap().len(), 9, "what says nothing is not stored");
}

/// Thousands of broken answers: none stops the gateway, and none reads differently for being cut elsewhere.
#[test]
fn broken_answers_are_read_alike_however_they_are_cut() {
    let mut shuffle = Shuffle(0x2545_f491_4f6c_dd1d);
    let splices: [&[u8]; 14] =
        [b"\n\n", b"\r", b"\n", b"{", b"}", b"[", b"]", b"\"", b"\\", b"-1", b"1e400", b"null", b"\\ud83d", b"data: "];
    for round in 0..4_000 {
        let (provider, text) =
            if round % 2 == 0 { (Provider::Anthropic, ANTHROPIC) } else { (Provider::Gemini, GEMINI) };
        let form = [Form::Sse, Form::Json, Form::JsonArray][shuffle.below(3)];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=shuffle.below(4) {
            let at = shuffle.below(bytes.len());
            match shuffle.below(4) {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, splices[shuffle.below(splices.len())].iter().copied())),
                2 if !bytes.is_empty() => bytes[at] = shuffle.below(256) as u8,
                _ => drop(bytes.splice(at..(at + shuffle.below(9)).min(bytes.len()), [])),
            }
        }
        let reading = Reading::of(provider, form);
        let whole = reading.tally([&bytes[..]]);
        for _ in 0..3 {
            let pieces = shuffle.cut(&bytes);
            assert_eq!(reading.tally(pieces), whole, "{provider} {form:?}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}
