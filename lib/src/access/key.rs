//! The key that a caller presents: its form, how one is made, and the hash that stands for it.

use sha2::{Digest, Sha256};

use crate::{random, secret::Secret};

const PREFIX: &str = "gw_";
/// 256 random bits in base 62.
const RANDOM_LEN: usize = 43;
/// A checksum over what comes before it, so that a slip of the hand is told from an unknown key.
const CHECKSUM_LEN: usize = 6;
const LEN: usize = PREFIX.len() + RANDOM_LEN + CHECKSUM_LEN;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A key of the right form and checksum. Whether it was ever issued, only the database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedKey {
    secret: Secret,
    hash: KeyHash,
}

/// What is stored of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAKey {
    /// It does not look like one of ours.
    Foreign,
    /// It looks like one of ours, and a character is wrong or missing.
    Mistyped,
}

impl PresentedKey {
    /// Makes a new one.
    pub fn generate() -> Self {
        let body = format!("{PREFIX}{}", base62(random::bytes(), RANDOM_LEN));
        Self::of(&format!("{body}{}", checksum(&body)))
    }

    fn of(text: &str) -> Self {
        Self { secret: Secret::new(text), hash: KeyHash(Sha256::digest(text).into()) }
    }

    /// Reads what a caller sent.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        if !text.starts_with(PREFIX) {
            return Err(NotAKey::Foreign);
        }
        if text.len() != LEN || !text.is_ascii() {
            return Err(NotAKey::Mistyped);
        }
        let (body, sum) = text.split_at(LEN - CHECKSUM_LEN);
        if checksum(body) == sum { Ok(Self::of(text)) } else { Err(NotAKey::Mistyped) }
    }

    /// Whether a text that a caller sent is meant as a key of ours, well typed or not: it is nobody else's to see.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The hash that stands for it.
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// The first ten characters: enough to speak of it, far too few to use it.
    pub fn prefix(&self) -> &str {
        &self.secret.expose()[..10]
    }

    /// The key in the clear, to be shown once, when it is issued.
    pub fn reveal(&self) -> &str {
        self.secret.expose()
    }
}

fn checksum(body: &str) -> String {
    base62(Sha256::new().chain_update("gateway key checksum").chain_update(body).finalize().into(), CHECKSUM_LEN)
}

/// The number that `bytes` are, in base 62, the `len` lowest digits of it.
fn base62(mut bytes: [u8; 32], len: usize) -> String {
    let mut digits = vec![BASE62[0]; len];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut bytes {
            let value = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("the rest is below 62, so the quotient is below 256");
            rest = value % 62;
        }
        *digit = BASE62[rest as usize];
    }
    String::from_utf8(digits).expect("base 62 is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_reads_back() {
        let key = PresentedKey::generate();
        assert_eq!(key.reveal().len(), 52);
        assert_eq!(PresentedKey::parse(key.reveal()).as_ref(), Ok(&key));
        assert_ne!(PresentedKey::generate().hash(), key.hash());
    }

    #[test]
    fn every_mistyped_character_is_noticed() {
        let key = PresentedKey::generate();
        for place in PREFIX.len()..LEN {
            let mut text = key.reveal().to_owned().into_bytes();
            text[place] = if text[place] == b'x' { b'y' } else { b'x' };
            let text = String::from_utf8(text).unwrap();
            assert_eq!(PresentedKey::parse(&text), Err(NotAKey::Mistyped), "character {place}");
        }
    }

    #[test]
    fn other_texts_are_not_keys() {
        for text in ["", "sk-ant-api03-xyz", "Bearer", "gw", "\u{0}"] {
            assert_eq!(PresentedKey::parse(text), Err(NotAKey::Foreign), "{text:?}");
        }
        for text in ["gw_", "gw_short", &format!("gw_{}", "ü".repeat(24)), &"gw_".repeat(10_000)] {
            assert_eq!(PresentedKey::parse(text), Err(NotAKey::Mistyped), "{text:.20}");
        }
    }

    #[test]
    fn base_62_is_positional() {
        let mut one = [0; 32];
        one[31] = 63;
        assert_eq!(base62(one, 4), "0011");
        assert_eq!(base62([255; 32], 43).len(), 43);
    }
}
