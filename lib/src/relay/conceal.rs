//! An upstream's error may repeat the credential that it was sent: that is taken out before anybody sees it, and nothing else.

use std::{borrow::Cow, collections::VecDeque};

use bytes::Bytes;
use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};

use super::hold::Held;
use crate::{credential::Credential, protocol::Beginning, secret::Secret};

/// What stands in a credential's place.
const TAKEN_OUT: &[u8] = b"***";
/// A shorter word is no secret, and may stand in a text by chance: some upstreams take any key, such as `none`.
const SHORTEST: usize = 8;

/// Takes an account's credential out of an error of its upstream, as far as that has been read: an error is, up to 64 KiB.
/// One that was packed is then passed on unpacked.
pub(super) fn conceal(held: &mut Held, credential: &Credential) {
    let forms = forms(credential);
    let repeats = |value: &HeaderValue| replaced(value.as_bytes(), &forms).is_some();
    let repeating: Vec<_> =
        held.headers.iter().filter(|(_, value)| repeats(value)).map(|(name, _)| name.clone()).collect();
    repeating.iter().for_each(|name| drop(held.headers.remove(name)));
    if let Some(error) = replaced(&held.error, &forms) {
        held.error = error;
    }
    let packed = held.headers.contains_key(CONTENT_ENCODING);
    let Some(plain) = replaced(&plain(held, packed), &forms) else { return };
    held.chunks = VecDeque::from([Bytes::from(plain)]);
    held.headers.remove(CONTENT_LENGTH);
    if packed {
        held.headers.remove(CONTENT_ENCODING);
        held.rest = None;
    }
}

/// A text of an upstream without an account's credential.
pub(super) fn without<'a>(text: &'a [u8], credential: &Credential) -> Cow<'a, [u8]> {
    replaced(text, &forms(credential)).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// What has been read, unpacked.
fn plain(held: &Held, packed: bool) -> Vec<u8> {
    if !packed {
        return held.chunks.iter().flatten().copied().collect();
    }
    let mut beginning = Beginning::new(&held.headers);
    held.chunks.iter().for_each(|chunk| beginning.see(chunk));
    beginning.plain().to_vec()
}

/// The secrets of a credential as they may be written: plain, and as JSON escapes them.
fn forms(credential: &Credential) -> Vec<Vec<u8>> {
    let secrets = match credential {
        Credential::ApiKey(key) => vec![key],
        Credential::OAuth { access_token, refresh_token, .. } => {
            [Some(access_token), refresh_token.as_ref()].into_iter().flatten().collect()
        }
    };
    let mut forms = Vec::new();
    for secret in secrets.into_iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST) {
        let json = serde_json::Value::from(secret).to_string();
        let json = &json[1..json.len() - 1];
        forms.extend([secret.to_owned(), json.to_owned(), json.replace('/', r"\/")].map(String::into_bytes));
    }
    forms
}

/// The text with every form replaced; `None`: it holds none of them.
fn replaced(text: &[u8], forms: &[Vec<u8>]) -> Option<Vec<u8>> {
    let (mut out, mut rest, mut found) = (Vec::new(), text, false);
    while let Some((first, others)) = rest.split_first() {
        match forms.iter().find_map(|form| rest.strip_prefix(form.as_slice())) {
            Some(after) => {
                out.extend_from_slice(TAKEN_OUT);
                (rest, found) = (after, true);
            }
            None => {
                out.push(*first);
                rest = others;
            }
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(credential: &Credential, text: &str, expect: &str) {
        assert_eq!(without(text.as_bytes(), credential), expect.as_bytes(), "{text}");
    }

    #[test]
    fn a_credential_is_taken_out_and_nothing_else() {
        let key = Credential::ApiKey(Secret::new("local/key-1234"));
        check(&key, "no such key: local/key-1234", "no such key: ***");
        check(&key, r#"{"a":"local\/key-1234","b":"local/key-123"}"#, r#"{"a":"***","b":"local/key-123"}"#);
        check(&key, "local/local/key-1234local/key-1234!", "local/******!");
        check(&key, "", "");
        let quoted = Credential::ApiKey(Secret::new("a\"b\\c-1234"));
        check(&quoted, r#"{"a":"a\"b\\c-1234"}"#, r#"{"a":"***"}"#);
        let login = Credential::OAuth {
            access_token: Secret::new("access-1234"),
            refresh_token: Some(Secret::new("refresh-1234")),
            expires_at: None,
            project: Some("project-1234".to_owned()),
        };
        check(&login, "access-1234 refresh-1234 project-1234", "*** *** project-1234");
    }

    #[test]
    fn a_key_that_is_no_secret_stays() {
        check(&Credential::ApiKey(Secret::new("none")), "none of these", "none of these");
    }
}
