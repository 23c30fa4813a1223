//! Which conversation a request belongs to, so that it can stay on the account that holds its cache and its thinking.

use std::fmt::Write as _;

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::id::KeyId;

/// What a request says about its conversation. Only a hash is kept: a client's own ids never reach the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session([u8; 32]);

/// What a body tells about its conversation.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Names the conversation: the session in `metadata.user_id`, or Code Assist's `session_id`.
    pub(super) named: Option<String>,
    /// Names whoever talks, not the conversation: any other text in `metadata.user_id`.
    pub(super) end_user: Option<String>,
    /// The words it began with, which every later turn repeats.
    pub(super) opening: Option<[u8; 32]>,
}

impl Session {
    /// The surest sign that the request bears, if it bears any.
    ///
    /// A client's `x-session-id` goes before the end user, who may have several conversations at once, and both go
    /// before the opening words, which several conversations may share.
    pub(super) fn of(headers: &HeaderMap, traces: &Traces) -> Option<Self> {
        let header =
            |name: &str| headers.get(name).map(|value| value.as_bytes().trim_ascii()).filter(|value| !value.is_empty());
        if let Some(id) = header("x-claude-code-session-id") {
            return Some(Self::new("session", id));
        }
        if let Some(id) = &traces.named {
            return Some(Self::new("session", id.as_bytes()));
        }
        if let Some(id) = header("x-session-id") {
            return Some(Self::new("x-session-id", id));
        }
        if let Some(id) = &traces.end_user {
            return Some(Self::new("end user", id.as_bytes()));
        }
        // Gemini CLI names its installation; two machines that begin alike are two conversations.
        let installation = header("x-gemini-api-privileged-user-id").unwrap_or_default();
        traces.opening.map(|opening| Self::new("opening", &[&opening, installation].concat()))
    }

    fn new(kind: &str, value: &[u8]) -> Self {
        Self(Sha256::new().chain_update(kind).chain_update([0]).chain_update(value).finalize().into())
    }

    /// The session under a key, as 128 bits in hex: nobody can name another key's conversation.
    pub fn under(&self, key: &KeyId) -> String {
        let digest = Sha256::new().chain_update(self.0).chain_update(key.as_str()).finalize();
        digest[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes any text");
            hex
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(headers: &[(&'static str, &str)], named: &str, end_user: &str, opening: u8) -> Option<Session> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let opening = Some([opening; 32]).filter(|_| opening != 0);
        Session::of(&headers, &Traces { named: text(named), end_user: text(end_user), opening })
    }

    #[test]
    fn the_surest_sign_wins() {
        let code = [("x-claude-code-session-id", "s"), ("x-session-id", "x")];
        let explicit = [("x-session-id", "x")];
        let from = |kind, value: &[u8]| Some(Session::new(kind, value));
        assert_eq!(session(&code, "other", "user", 1), from("session", b"s"));
        assert_eq!(session(&explicit, "other", "user", 1), from("session", b"other"));
        assert_eq!(session(&explicit, "", "user", 1), from("x-session-id", b"x"));
        assert_eq!(session(&[("x-session-id", " ")], "", "user", 1), from("end user", b"user"));
        assert_eq!(session(&[], "", "", 1), from("opening", &[1; 32]));
        assert_eq!(session(&[], "", "", 0), None);
    }

    #[test]
    fn the_header_and_the_body_of_claude_code_name_the_same_session() {
        assert_eq!(session(&[("x-claude-code-session-id", "s")], "", "", 0), session(&[], "s", "", 0));
    }

    #[test]
    fn an_installation_tells_equal_openings_apart() {
        let on = |machine| session(&[("x-gemini-api-privileged-user-id", machine)], "", "", 7);
        assert_ne!(on("a"), on("b"));
        assert_eq!(on("a"), on("a"));
    }

    #[test]
    fn a_key_is_part_of_a_session() {
        let session = session(&[], "s", "", 0).unwrap();
        let (one, other) = (KeyId::from("key_1".to_owned()), KeyId::from("key_2".to_owned()));
        assert_ne!(session.under(&one), session.under(&other));
        assert_eq!(session.under(&one), session.under(&one));
        assert_eq!(session.under(&one).len(), 32);
    }
}
