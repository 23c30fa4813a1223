//! Token figures in one form, with the words of the gateway's ledger, and how each API says them on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Dialect;

/// What an answer said it used; the prompt is `input`, the cache figures and `tool_use` together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Prompt tokens neither read from a cache nor written to one.
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
    /// Tool results fed back into the prompt inside the call (Gemini).
    pub tool_use: u64,
    /// Web searches, billed each; Google tells them by the queries in its `groundingMetadata`.
    pub searches: u64,
}

impl Figures {
    /// The prompt's figures for a request: a token is four bytes; with cache breakpoints a first turn writes the
    /// cache and a later turn reads most of it.
    pub(crate) fn of_prompt(body: &[u8], cache: Cache, turns: usize) -> Self {
        let prompt = body.len() as u64 / 4 + 1;
        let (read, written) = match (&cache, turns) {
            (Cache::None, _) => (0, 0),
            (_, 0 | 1) => (0, prompt * 9 / 10),
            _ => (prompt * 7 / 10, prompt * 2 / 10),
        };
        let cache_write_1h = match cache {
            Cache::Hour => written - written / 3,
            Cache::None | Cache::Minutes => 0,
        };
        Self {
            input: prompt - read - written,
            cache_read: read,
            cache_write_5m: written - cache_write_1h,
            cache_write_1h,
            ..Self::default()
        }
    }

    /// The same prompt after the provider's own searches put their results into it; Google counts those apart.
    pub(crate) fn searched(self, searches: u64, dialect: Dialect) -> Self {
        match dialect {
            Dialect::Anthropic => {
                let (input, cache_read) = (self.input + 400 * searches, self.cache_read + 300 * searches);
                Self { searches, input, cache_read, ..self }
            }
            Dialect::Gemini => Self { searches, tool_use: 100 * searches, ..self },
        }
    }

    /// The whole prompt.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h
    }

    /// As the API says it: the JSON of Anthropic's `usage` or of Google's `usageMetadata`, which leaves zeros out.
    pub(crate) fn wire(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Anthropic => self.anthropic(),
            Dialect::Gemini => self.gemini(),
        }
    }

    fn anthropic(&self) -> String {
        let Self { input, cache_read, cache_write_5m, cache_write_1h, output, thinking, searches, .. } = self;
        let written = cache_write_5m + cache_write_1h;
        let mut usage = format!(
            r#"{{"input_tokens":{input},"cache_creation_input_tokens":{written},"cache_read_input_tokens":{cache_read},"cache_creation":{{"ephemeral_5m_input_tokens":{cache_write_5m},"ephemeral_1h_input_tokens":{cache_write_1h}}},"output_tokens":{output}"#
        );
        if *thinking > 0 {
            usage += &format!(r#","output_tokens_details":{{"thinking_tokens":{thinking}}}"#);
        }
        if *searches > 0 {
            usage += &format!(r#","server_tool_use":{{"web_search_requests":{searches},"web_fetch_requests":0}}"#);
        }
        usage + r#","service_tier":"standard","inference_geo":"global"}"#
    }

    fn gemini(&self) -> String {
        let prompt = self.prompt();
        let mut usage = format!(r#"{{"promptTokenCount":{prompt}"#);
        let optional = [
            ("candidatesTokenCount", self.output - self.thinking),
            ("thoughtsTokenCount", self.thinking),
            ("cachedContentTokenCount", self.cache_read),
            ("toolUsePromptTokenCount", self.tool_use),
        ];
        for (name, count) in optional.into_iter().filter(|(_, count)| *count > 0) {
            usage += &format!(r#","{name}":{count}"#);
        }
        let total = prompt + self.tool_use + self.output;
        usage
            + &format!(
                r#","totalTokenCount":{total},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":{prompt}}}]}}"#
            )
    }

    /// What a scripted JSON body says, or `None` where it says nothing.
    pub(crate) fn read(dialect: Dialect, body: &Value) -> Option<Self> {
        let (usage, count) = match dialect {
            Dialect::Anthropic => (body.get("usage")?, anthropic_count as fn(&Value) -> Self),
            Dialect::Gemini => (body.get("usageMetadata")?, gemini_count as fn(&Value) -> Self),
        };
        Some(count(usage))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.input += other.input;
        self.cache_read += other.cache_read;
        self.cache_write_5m += other.cache_write_5m;
        self.cache_write_1h += other.cache_write_1h;
        self.output += other.output;
        self.thinking += other.thinking;
        self.tool_use += other.tool_use;
        self.searches += other.searches;
    }
}

fn number(usage: &Value, pointer: &str) -> u64 {
    usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn anthropic_count(usage: &Value) -> Figures {
    let cache_write_1h = number(usage, "/cache_creation/ephemeral_1h_input_tokens");
    let written = number(usage, "/cache_creation_input_tokens");
    Figures {
        input: number(usage, "/input_tokens"),
        cache_read: number(usage, "/cache_read_input_tokens"),
        cache_write_5m: written.saturating_sub(cache_write_1h),
        cache_write_1h,
        output: number(usage, "/output_tokens"),
        thinking: number(usage, "/output_tokens_details/thinking_tokens"),
        tool_use: 0,
        searches: number(usage, "/server_tool_use/web_search_requests"),
    }
}

fn gemini_count(usage: &Value) -> Figures {
    let cache_read = number(usage, "/cachedContentTokenCount");
    let thinking = number(usage, "/thoughtsTokenCount");
    Figures {
        input: number(usage, "/promptTokenCount").saturating_sub(cache_read),
        cache_read,
        output: number(usage, "/candidatesTokenCount") + thinking,
        thinking,
        tool_use: number(usage, "/toolUsePromptTokenCount"),
        ..Figures::default()
    }
}

/// Which prompt cache a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    None,
    Minutes,
    Hour,
}

impl Cache {
    /// Told by the words in the body, since the breakpoints may sit anywhere in it.
    pub(crate) fn asked_in(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match (text.contains("\"cache_control\""), text.contains("\"ttl\":\"1h\"")) {
            (false, _) => Self::None,
            (true, false) => Self::Minutes,
            (true, true) => Self::Hour,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cache: Cache, turns: usize, expect: [u64; 4]) {
        let figures = Figures::of_prompt(&[b'x'; 3999], cache, turns);
        let got = [figures.input, figures.cache_read, figures.cache_write_5m, figures.cache_write_1h];
        assert_eq!(got, expect, "{cache:?} {turns}");
        assert_eq!(figures.prompt(), 1000);
    }

    #[test]
    fn the_prompt_is_divided_by_its_caches() {
        check(Cache::None, 3, [1000, 0, 0, 0]);
        check(Cache::Minutes, 1, [100, 0, 900, 0]);
        check(Cache::Minutes, 2, [100, 700, 200, 0]);
        check(Cache::Hour, 2, [100, 700, 66, 134]);
    }

    #[test]
    fn what_is_said_reads_back() {
        let anthropic = Figures {
            input: 1,
            cache_read: 2,
            cache_write_5m: 3,
            cache_write_1h: 4,
            output: 9,
            thinking: 5,
            tool_use: 0,
            searches: 6,
        };
        let gemini = Figures { cache_write_5m: 0, cache_write_1h: 0, searches: 0, tool_use: 7, ..anthropic };
        let wire = |figures: Figures, dialect| serde_json::from_str::<Value>(&figures.wire(dialect)).unwrap();
        let said = serde_json::json!({
            "usage": wire(anthropic, Dialect::Anthropic),
            "usageMetadata": wire(gemini, Dialect::Gemini),
        });
        assert_eq!(Figures::read(Dialect::Anthropic, &said), Some(anthropic));
        assert_eq!(Figures::read(Dialect::Gemini, &said), Some(gemini));
    }
}
