//! One line of the price table, by the column names of `pricing.csv`.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::protocol::Provider;

/// A non-negative decimal with at most six places, in millionths. As dollars per million tokens it is trillionths of a
/// dollar per token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(pub(super) u64);

impl Rate {
    /// The factor that changes nothing.
    pub(super) const ONE: Self = Self(MILLION);

    /// Reads a decimal; `None` when it is negative, over ten thousand, or has more than six places.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, places) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let places = places.trim_end_matches('0');
        if whole.is_empty() || whole.len() > 5 || places.len() > 6 || !digits(whole) || !digits(places) {
            return None;
        }
        let millionths = whole.parse::<u64>().ok()? * MILLION + format!("{places:0<6}").parse::<u64>().ok()?;
        (millionths <= LARGEST).then_some(Self(millionths))
    }
}

const MILLION: u64 = 1_000_000;
const LARGEST: u64 = 10_000 * MILLION;

impl<'de> Deserialize<'de> for Rate {
    /// From a string or a number: a CSV field, JSON, a database's numeric.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal from 0 to 10000 with at most six places")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
                Rate::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Rate, E> {
                self.visit_str(&number.to_string())
            }

            /// The shortest decimal that means this number is the one that was written.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Rate, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The columns of a row that hold a rate.
pub const RATES: [&str; 29] = [
    "input",
    "output",
    "cache_write_5m",
    "cache_write_1h",
    "cache_read",
    "long_input",
    "long_output",
    "long_cache_write_5m",
    "long_cache_write_1h",
    "long_cache_read",
    "audio_input",
    "audio_cache_read",
    "image_input",
    "video_input",
    "audio_output",
    "image_output",
    "video_output",
    "batch_input",
    "batch_output",
    "batch_cache_read",
    "flex_input",
    "flex_output",
    "flex_cache_read",
    "priority_input",
    "priority_output",
    "priority_cache_read",
    "us_multiplier",
    "fast_multiplier",
    "web_search_each",
];

/// The prices of one model, in dollars per million tokens unless said otherwise. An absent price of tokens is unknown,
/// not zero. Columns that no price depends on are not read.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    /// Whose model.
    pub provider: Provider,
    /// Exact and in lower case, without `models/`.
    pub model: String,
    /// `chat`, `image`, `tts`, `transcribe` or `embedding`.
    pub kind: String,
    /// `current`, `retiring`, `free` or `retired`.
    pub status: String,
    /// Plain prompt tokens.
    pub input: Option<Rate>,
    /// Output tokens, thinking included.
    pub output: Option<Rate>,
    /// Prompt tokens written to a cache for five minutes.
    pub cache_write_5m: Option<Rate>,
    /// Prompt tokens written to a cache for an hour.
    pub cache_write_1h: Option<Rate>,
    /// Prompt tokens read from a cache.
    pub cache_read: Option<Rate>,
    /// Prompt tokens, of which one more makes the whole request long.
    pub long_above: Option<u64>,
    /// `input` of a long request.
    pub long_input: Option<Rate>,
    /// `output` of a long request.
    pub long_output: Option<Rate>,
    /// `cache_write_5m` of a long request.
    pub long_cache_write_5m: Option<Rate>,
    /// `cache_write_1h` of a long request.
    pub long_cache_write_1h: Option<Rate>,
    /// `cache_read` of a long request.
    pub long_cache_read: Option<Rate>,
    /// `input` that is audio; `None`: as `input`.
    pub audio_input: Option<Rate>,
    /// `cache_read` that is audio; `None`: as `cache_read`.
    pub audio_cache_read: Option<Rate>,
    /// `input` that is a picture; `None`: as `input`.
    pub image_input: Option<Rate>,
    /// `input` that is video; `None`: as `input`.
    pub video_input: Option<Rate>,
    /// `output` that is audio; `None`: as `output`.
    pub audio_output: Option<Rate>,
    /// `output` that is a picture; `None`: as `output`.
    pub image_output: Option<Rate>,
    /// `output` that is video; `None`: as `output`.
    pub video_output: Option<Rate>,
    /// `input` under the batch tier; `None`: by the tier's usual factor.
    pub batch_input: Option<Rate>,
    /// `output` under the batch tier; `None`: by the tier's usual factor.
    pub batch_output: Option<Rate>,
    /// `cache_read` under the batch tier; `None`: by the tier's usual factor.
    pub batch_cache_read: Option<Rate>,
    /// `input` under the flex tier; `None`: by the tier's usual factor.
    pub flex_input: Option<Rate>,
    /// `output` under the flex tier; `None`: by the tier's usual factor.
    pub flex_output: Option<Rate>,
    /// `cache_read` under the flex tier; `None`: by the tier's usual factor.
    pub flex_cache_read: Option<Rate>,
    /// `input` under the priority tier; `None`: by the tier's usual factor.
    pub priority_input: Option<Rate>,
    /// `output` under the priority tier; `None`: by the tier's usual factor.
    pub priority_output: Option<Rate>,
    /// `cache_read` under the priority tier; `None`: by the tier's usual factor.
    pub priority_cache_read: Option<Rate>,
    /// The factor for answers that are made in the US only.
    pub us_multiplier: Option<Rate>,
    /// The factor for fast answers; `None`: not offered.
    pub fast_multiplier: Option<Rate>,
    /// Dollars per search.
    pub web_search_each: Option<Rate>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_decimals() {
        for (text, millionths) in
            [("0", Some(0)), ("0.01875", Some(18_750)), ("75", Some(75_000_000)), ("1.10", Some(1_100_000))]
        {
            assert_eq!(Rate::parse(text), millionths.map(Rate), "{text}");
            let from_json: Rate = serde_json::from_str(text).unwrap();
            assert_eq!(Some(from_json), millionths.map(Rate), "{text} as a JSON number");
        }
        assert_eq!(Rate::parse("10000"), Some(Rate(LARGEST)));
        for text in ["", "-1", "1e3", ".5", "1.1.1", "0.0000001", "10000.000001", "99999999999999999999", "NaN", "é"] {
            assert_eq!(Rate::parse(text), None, "{text:?}");
        }
        assert!(serde_json::from_str::<Rate>("-0.5").is_err());
    }

    #[test]
    fn a_row_needs_only_what_it_prices() {
        let row: Row = serde_json::from_str(
            r#"{"provider":"gemini","model":"m","kind":"chat","status":"current","input":"0.1","output":4,"note":"x"}"#,
        )
        .unwrap();
        assert_eq!((row.input, row.output, row.cache_read), (Some(Rate(100_000)), Some(Rate(4_000_000)), None));
    }
}
