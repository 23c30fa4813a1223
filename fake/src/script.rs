//! What a test tells the fake to answer: which requests, how often, with what, and how it ends.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::figures::Figures;

/// Overrides the built-in answer for the requests it matches; of several, the first with times left wins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Only requests made with this key or token; `None` matches every one.
    pub credential: Option<String>,
    /// Only requests whose path and query contain this text; `None` matches every one.
    pub path: Option<String>,
    /// How many requests it answers before it is used up; `None` means always.
    pub times: Option<u32>,
    /// What those requests get.
    pub answer: Answer,
}

impl Script {
    /// Answers every request with `answer`.
    pub fn always(answer: Answer) -> Self {
        Self { answer, ..Self::default() }
    }

    /// Answers the next request with `answer`, and no other.
    pub fn once(answer: Answer) -> Self {
        Self { answer, times: Some(1), ..Self::default() }
    }

    /// Narrows it to requests made with this key or token.
    pub fn of(self, credential: &str) -> Self {
        Self { credential: Some(credential.to_owned()), ..self }
    }

    /// Narrows it to requests whose path and query contain `part`.
    pub fn on(self, part: &str) -> Self {
        Self { path: Some(part.to_owned()), ..self }
    }

    /// Changes how many requests it answers.
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }
}

/// One answer, from the fault before its first byte to the way it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// The status; a lifelike body keeps its own status where this is 200.
    pub status: u16,
    /// Added to the API's usual headers, or put in the place of those with the same name.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Body,
    /// What the body says it used, for the fake's books: remembered as said with the last piece of the body.
    pub figures: Option<Figures>,
    /// How the body is compressed, whether or not the client asked for it.
    pub encoding: Option<Encoding>,
    /// What happens before any byte of the answer.
    pub before: Option<Before>,
    /// How the body ends.
    pub end: End,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Body::default(),
            figures: None,
            encoding: None,
            before: None,
            end: End::Clean,
        }
    }
}

/// The body of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The built-in answer to the request, bent by these options.
    Lifelike(Lifelike),
    /// This value as `application/json`; figures in its `usage` or `usageMetadata` are remembered as said.
    Json(Value),
    /// This text, exactly; only a JSON error on a Gemini stream in array form is put into an array, as Google does.
    Text {
        /// The `content-type` it is sent with.
        content_type: String,
        /// The bytes, all at once.
        text: String,
    },
    /// These pieces one after the other; the `content-type` is `text/event-stream` unless the headers say otherwise.
    Chunks(Vec<Chunk>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Lifelike(Lifelike::default())
    }
}

/// Bends the built-in answer; events are counted from 1, pings among them, and a Gemini chunk is an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifelike {
    /// Answers so many words, each a delta of its own.
    pub words: Option<usize>,
    /// Milliseconds between two events.
    pub gap_ms: Option<u64>,
    /// Stops after so many events and ends as [`Answer::end`] says.
    pub cut_after_events: Option<usize>,
    /// Stops after so many bytes of the body, before compression, and ends as [`Answer::end`] says.
    pub cut_after_bytes: Option<usize>,
    /// After so many events sends an error event and ends; a plain answer becomes that error with its status.
    pub error_after_events: Option<usize>,
    /// After so many events waits for a `release`.
    pub hold_after_events: Option<usize>,
    /// Splits every event into pieces of so many bytes, each written alone.
    pub piece_bytes: Option<usize>,
}

/// Where a piece of [`Body::Chunks`] has this text, it is sent with the microseconds since the epoch at that moment: as many
/// digits as the text is long, so that a client can tell how long the piece was under way.
pub const STAMP: &str = "{sent_at_micros}";

/// One piece of a scripted body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Milliseconds to wait before it.
    #[serde(default)]
    pub after_ms: u64,
    /// Its bytes.
    pub data: Data,
}

/// Bytes; in JSON a string, or `{"base64": "…"}` where they are no text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Data(pub Bytes);

impl<T: Into<Bytes>> From<T> for Data {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Binary { base64: String },
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match std::str::from_utf8(&self.0) {
            Ok(text) => Written::Text(text.to_owned()),
            Err(_) => Written::Binary { base64: STANDARD.encode(&self.0) },
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(text.into()),
            Written::Binary { base64 } => STANDARD.decode(base64).map(Self::from).map_err(serde::de::Error::custom),
        }
    }
}

/// How a body is compressed; every piece is flushed, so that a stream still streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `content-encoding: gzip`
    Gzip,
    /// `content-encoding: zstd`
    Zstd,
}

/// What happens before the first byte of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// The connection is reset.
    Reset,
    /// Nothing, until the client goes away.
    Hang,
    /// Nothing, until a `release` lets this one go.
    Held,
    /// Nothing for so many milliseconds.
    DelayMs(u64),
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// As HTTP asks.
    #[default]
    Clean,
    /// The connection is reset (RST).
    Reset,
    /// The connection is closed (FIN) with the body unfinished.
    Close,
    /// Silence, until the client goes away.
    Hang,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_script_is_written_in_json_as_documented() {
        let written = json!({
            "credential": "sk-a", "path": "/v1/messages", "times": 2,
            "answer": {"body": {"lifelike": {"words": 3, "gap_ms": 5}}, "before": {"delay_ms": 7}, "end": "reset"}
        });
        let script: Script = serde_json::from_value(written).unwrap();
        let body = Body::Lifelike(Lifelike { words: Some(3), gap_ms: Some(5), ..Lifelike::default() });
        let answer = Answer { body, before: Some(Before::DelayMs(7)), end: End::Reset, ..Answer::default() };
        assert_eq!(script, Script::once(answer).times(2).of("sk-a").on("/v1/messages"));
    }

    #[test]
    fn chunks_hold_text_or_any_bytes() {
        let chunks: Vec<Chunk> =
            serde_json::from_value(json!([{"data": "é"}, {"after_ms": 3, "data": {"base64": "/wA="}}])).unwrap();
        assert_eq!(chunks[0], Chunk { after_ms: 0, data: "é".into() });
        assert_eq!(chunks[1], Chunk { after_ms: 3, data: vec![0xff, 0].into() });
        assert_eq!(serde_json::to_value(&chunks[1].data).unwrap(), json!({"base64": "/wA="}));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        assert!(serde_json::from_value::<Script>(json!({"answer": {"statuz": 500}})).is_err());
    }
}
