//! A value that never prints itself.

use std::fmt;

/// A credential or a token in the clear. It has no `Display` and no `Serialize`, and `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value out of sight.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Call it where the value is used, and pass the `Secret` everywhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `…` and the last four characters, to tell secrets apart; only `…` when that would give away too much.
    pub fn hint(&self) -> String {
        let chars = self.0.chars().count();
        let tail = if chars >= 16 { 4 } else { 0 };
        format!("…{}", self.0.chars().skip(chars - tail).collect::<String>())
    }
}

/// How credentials of the providers, and keys of ours, begin.
const BEGINNINGS: [&str; 5] = ["sk-", "AIza", "ya29.", "1//", "gw_"];
/// A shorter word is none.
const SHORTEST: usize = 16;

/// Another's words as they may be kept and shown: whatever looks like a credential in them is left out. Upstreams may repeat
/// what they were sent.
pub fn redacted(text: &str) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || "-_./+~".contains(c);
    let mut kept = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !in_word(c)) {
        let word = piece.trim_end_matches(|c| !in_word(c));
        let stands_alone = |at: &usize| !word[..*at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let begins = BEGINNINGS.iter().flat_map(|beginning| word.match_indices(beginning)).map(|(at, _)| at);
        let begins = begins.filter(stands_alone).min();
        match begins {
            Some(at) if word.len() - at >= SHORTEST => {
                kept.extend([&word[..at], "…", &piece[word.len()..]]);
            }
            _ => kept.push_str(piece),
        }
    }
    kept
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("sk-ant-api-123456789")), "Secret(…)");
    }

    #[test]
    fn what_looks_like_a_credential_is_left_out() {
        for (text, expect) in [
            ("invalid x-api-key: sk-ant-api03-abcdefgh", "invalid x-api-key: …"),
            ("API key AIzaSyA-1234567890 not valid.", "API key … not valid."),
            ("?key=AIzaSyA-1234567890&alt=sse", "?key=…&alt=sse"),
            ("\"ya29.a0AfB_byC1234567890\", 1//0gabcdefghijklmn", "\"…\", …"),
            ("gw_0123456789abcdef and gw_short", "… and gw_short"),
            ("a task-force and a risk-averse-department é", "a task-force and a risk-averse-department é"),
            ("", ""),
        ] {
            assert_eq!(redacted(text), expect);
        }
    }

    #[test]
    fn a_hint_needs_a_long_secret() {
        assert_eq!(Secret::new("sk-ant-api-123456789").hint(), "…6789");
        assert_eq!(Secret::new("short").hint(), "…");
    }
}
