//! What a request used, in the words that both vendors share, and the meters that read it off an answer.

mod gauge;
mod results;
#[cfg(test)]
pub(super) mod tests;

use serde::{Deserialize, Serialize};

use super::{
    Form, Operation, Provider,
    anthropic::meter::Reader as Anthropic,
    gemini::meter::{Asked, Reader as Gemini},
};
pub(super) use gauge::{Free, Reader};
use results::Results;

/// Token counts of one request, and what else its price depends on.
///
/// The four prompt figures do not overlap: the prompt is their sum plus `tool_use`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens that were neither read from a cache nor written to one.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache that lives five minutes.
    pub cache_write_5m: u64,
    /// Prompt tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Output tokens, thinking included.
    pub output: u64,
    /// Output tokens that were thinking.
    pub thinking: u64,
    /// Results of the provider's own tools fed back into the prompt (Gemini).
    pub tool_use: u64,
    /// Searches that are billed each.
    pub searches: u64,
    /// True when any figure is our estimate, because the upstream never said it, or said something impossible.
    pub estimated: bool,
    /// What the upstream says it served.
    #[serde(default, skip_serializing_if = "is_default")]
    pub terms: Terms,
    /// What of the figures above was no text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub media: Media,
    /// The parts that are priced each, where they are not simply the figures above: the cost is then the sum of these
    /// parts and the searches. Empty when the figures above are priced as they stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
}

impl Usage {
    /// Nothing is known of this request but how long its prompt seemed.
    pub fn estimate(input: u64) -> Self {
        Self { input, estimated: true, ..Self::default() }
    }

    /// Adds what another request used, which stays priced by itself.
    pub(super) fn join(&mut self, other: Self, model: Option<&str>) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write_5m += other.cache_write_5m;
        self.cache_write_1h += other.cache_write_1h;
        self.output += other.output;
        self.thinking += other.thinking;
        self.tool_use += other.tool_use;
        self.searches += other.searches;
        self.estimated |= other.estimated;
        self.terms = other.terms;
        // What a search fed back is paid by the search.
        let tool_use = if other.searches > 0 { 0 } else { other.tool_use };
        let whole = || Charge {
            model: None,
            input: other.input + tool_use,
            cache_read: other.cache_read,
            cache_write_5m: other.cache_write_5m,
            cache_write_1h: other.cache_write_1h,
            output: other.output,
            standard_speed: false,
        };
        let charges = if other.charges.is_empty() { vec![whole()] } else { other.charges };
        self.charges.extend(
            charges
                .into_iter()
                .map(|charge| Charge { model: charge.model.or_else(|| model.map(str::to_owned)), ..charge }),
        );
    }

    /// Whether no figure of it is above zero.
    pub fn is_nothing(&self) -> bool {
        let prompt = [self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.tool_use];
        prompt.iter().chain(&[self.output, self.searches]).all(|figure| *figure == 0)
    }
}

/// The terms a request was served on, by the answer and not by what was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The service tier.
    pub tier: Tier,
    /// Anthropic's `speed: "fast"`.
    pub fast: bool,
    /// Anthropic's `inference_geo: "us"`.
    pub us_only: bool,
}

/// A service tier that has prices of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The usual one.
    #[default]
    Standard,
    /// Half price, some time within a day.
    Batch,
    /// Cheaper and slower (Gemini).
    Flex,
    /// Dearer, or bought beforehand.
    Priority,
}

impl Tier {
    /// Reads any spelling that the vendors use in bodies and in `x-gemini-service-tier`; an unknown word is the usual tier.
    pub fn read(word: &str) -> Self {
        let word = word.to_ascii_lowercase();
        [("batch", Self::Batch), ("flex", Self::Flex), ("priority", Self::Priority)]
            .into_iter()
            .find_map(|(part, tier)| word.contains(part).then_some(tier))
            .unwrap_or_default()
    }
}

/// Tokens with prices of their own. They are contained in the figures of [`Usage`], never added to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// Contained in `input`.
    pub audio_input: u64,
    /// Contained in `input`.
    pub image_input: u64,
    /// Contained in `input`.
    pub video_input: u64,
    /// Contained in `cache_read`.
    pub audio_cache_read: u64,
    /// Contained in `output`.
    pub audio_output: u64,
    /// Contained in `output`.
    pub image_output: u64,
    /// Contained in `output`.
    pub video_output: u64,
}

/// One separately priced part of a request: its long-prompt tier is judged by its own prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Charge {
    /// Whose prices; `None`: those of the request's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// As in [`Usage`].
    pub input: u64,
    /// As in [`Usage`].
    pub cache_read: u64,
    /// As in [`Usage`].
    pub cache_write_5m: u64,
    /// As in [`Usage`].
    pub cache_write_1h: u64,
    /// As in [`Usage`].
    pub output: u64,
    /// Served at standard speed even in a request that was served fast.
    #[serde(skip_serializing_if = "is_default")]
    pub standard_speed: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What an answer has told so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// `None` when the request costs nothing: it is free, it failed before it used anything, or no byte has come.
    pub usage: Option<Usage>,
    /// The model that served, as the upstream calls it.
    pub model: Option<String>,
    /// How the answer ended, if these were all of its bytes.
    pub ending: Ending,
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the sign that its form ends with.
    Complete,
    /// Without it.
    Cut,
    /// With an error inside an answer that had begun well.
    Failed {
        /// The upstream's word for it: `overloaded_error`, `UNAVAILABLE`.
        kind: String,
        /// The upstream's sentence.
        message: String,
    },
}

/// Reads an answer beside its relay. It may be asked at any moment, because callers hang up at any moment.
pub trait Meter: Send + Sync {
    /// The answer's next bytes, as they came from the upstream.
    fn see(&mut self, bytes: &[u8]);
    /// Whether an event of ours may be put after the bytes seen so far; never in anything but plain server-sent events.
    fn between_events(&self) -> bool;
    /// What the bytes so far say.
    fn tally(&self) -> Tally;
    /// Whether any output of the model has been seen.
    fn first_output(&self) -> bool;
}

/// A meter for the answer to `operation`. `input_estimate` stands in for the prompt's tokens where the upstream never
/// says them.
pub fn meter(
    provider: Provider,
    operation: Operation,
    form: Form,
    content_encoding: Option<&str>,
    input_estimate: u64,
) -> Box<dyn Meter> {
    let gauge = gauge::Setting { form, content_encoding, input_estimate };
    match (provider, operation) {
        (_, Operation::CountTokens | Operation::Models) => gauge.with(Free::json()),
        (_, Operation::BatchResults) => gauge.with(Results::default()),
        (_, Operation::Batches | Operation::Caches | Operation::Files | Operation::Other) => {
            gauge.with(Free::anything())
        }
        (Provider::Anthropic, Operation::Generate | Operation::Embed) => gauge.with(Anthropic::new()),
        (Provider::Gemini, Operation::Generate) => gauge.with(Gemini::new(form, Asked::Answer)),
        (Provider::Gemini, Operation::Embed) => gauge.with(Gemini::new(form, Asked::Vectors)),
    }
}

/// The most that one figure of an upstream may say: a thousand times the largest prompt there is.
const MAX_TOKENS: u64 = 1_000_000_000;

/// One figure of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    /// Not there, or null.
    Absent,
    /// Believable.
    Said(u64),
    /// Negative, broken, no number, or more than [`MAX_TOKENS`]: as good as absent, and the record says `estimated`.
    Impossible,
}

impl Figure {
    /// Reads a raw JSON value.
    pub(super) fn read(raw: &[u8]) -> Self {
        let text = std::str::from_utf8(raw).unwrap_or("");
        let whole = |number: f64| number.fract() == 0.0 && (0.0..=MAX_TOKENS as f64).contains(&number);
        match (text.parse::<u64>(), text.parse::<f64>()) {
            _ if text == "null" => Self::Absent,
            (Ok(figure), _) if figure <= MAX_TOKENS => Self::Said(figure),
            (Err(_), Ok(number)) if whole(number) => Self::Said(number as u64),
            _ => Self::Impossible,
        }
    }

    /// Puts the figure into its place; what is absent or impossible takes nothing away.
    pub(super) fn put(self, place: &mut Option<u64>, impossible: &mut bool) {
        match self {
            Self::Absent => {}
            Self::Said(figure) => *place = Some(figure),
            Self::Impossible => *impossible = true,
        }
    }
}

/// About how many tokens so many characters are.
pub(super) fn tokens_of(chars: u64) -> u64 {
    chars.div_ceil(4)
}

/// A raw JSON string as it reads; `None` for anything else.
pub(super) fn string(raw: &[u8]) -> Option<String> {
    serde_json::from_slice(raw).ok()
}
