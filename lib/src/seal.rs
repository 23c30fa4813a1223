//! Seals credentials at rest. The account's id is bound in, so that a blob moved to another account does not open.

use std::fmt;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use sha2::{Digest, Sha256};

use crate::{config::EncryptionKey, random};

/// The layout: this byte, four bytes that name the key, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;
const HEADER_LEN: usize = 1 + KEY_NAME_LEN;
const KEY_NAME_LEN: usize = 4;

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsealable {
    /// It was sealed with a key that this gateway does not have.
    UnknownKey,
    /// It was altered, cut, or belongs to something else.
    Damaged,
}

impl fmt::Display for Unsealable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "it was sealed with a key that this gateway does not have",
            Self::Damaged => "it was altered, cut, or belongs to something else",
        })
    }
}

impl std::error::Error for Unsealable {}

/// Seals with the first key of its ring and opens with any of them.
pub struct Sealer(Vec<([u8; KEY_NAME_LEN], LessSafeKey)>);

impl Sealer {
    /// A ring with keys of its own, derived for this one `purpose`.
    pub fn new(keys: &[EncryptionKey], purpose: &'static str) -> Self {
        Self(keys.iter().map(|key| derive(key, purpose)).collect())
    }

    /// Seals `plain` for `owner`.
    pub fn seal(&self, owner: &str, plain: &[u8]) -> Vec<u8> {
        let (name, key) = self.0.first().expect("a ring has at least one key");
        let nonce = random::bytes::<NONCE_LEN>();
        let mut text = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner), &mut text)
            .expect("a credential is far below the cipher's limit");
        [&[VERSION][..], name, &nonce, &text].concat()
    }

    /// Whether this was sealed with the first key of the ring.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let first = self.0.first().map(|(name, _)| &name[..]);
        sealed.first() == Some(&VERSION) && sealed.get(1..HEADER_LEN) == first
    }

    /// Opens what was sealed for `owner`.
    pub fn open(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (header, rest) = sealed.split_at_checked(HEADER_LEN).ok_or(Unsealable::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable::Damaged)?;
        if header[0] != VERSION {
            return Err(Unsealable::Damaged);
        }
        let (_, key) = self.0.iter().find(|(name, _)| name == &header[1..]).ok_or(Unsealable::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable::Damaged)?;
        let mut text = text.to_vec();
        let plain = key.open_in_place(nonce, Aad::from(owner), &mut text).map_err(|_| Unsealable::Damaged)?;
        Ok(plain.to_vec())
    }
}

fn derive(key: &EncryptionKey, purpose: &'static str) -> ([u8; KEY_NAME_LEN], LessSafeKey) {
    let secret = Salt::new(HKDF_SHA256, b"llm-gateway").extract(&key.0);
    let info = [purpose.as_bytes()];
    let okm = secret.expand(&info, &AES_256_GCM).expect("HKDF gives as much as a key needs");
    (name_of(key, purpose), LessSafeKey::new(UnboundKey::from(okm)))
}

fn name_of(key: &EncryptionKey, purpose: &str) -> [u8; KEY_NAME_LEN] {
    let digest = Sha256::new().chain_update(b"name").chain_update(purpose).chain_update(key.0).finalize();
    digest[..KEY_NAME_LEN].try_into().expect("a digest is longer than a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> EncryptionKey {
        EncryptionKey([byte; 32])
    }

    #[test]
    fn only_the_owner_and_the_purpose_it_was_sealed_for_open_it() {
        let sealer = Sealer::new(&[key(1)], "credential");
        let sealed = sealer.seal("acc_a", b"sk-ant");
        assert_eq!(sealer.open("acc_a", &sealed).unwrap(), b"sk-ant");
        assert_eq!(sealer.open("acc_b", &sealed), Err(Unsealable::Damaged));
        assert_eq!(Sealer::new(&[key(1)], "session").open("acc_a", &sealed), Err(Unsealable::UnknownKey));
    }

    #[test]
    fn every_altered_or_missing_byte_is_noticed() {
        let sealer = Sealer::new(&[key(1)], "credential");
        let sealed = sealer.seal("acc_a", b"sk-ant");
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert!(sealer.open("acc_a", &altered).is_err(), "byte {place}");
            assert!(sealer.open("acc_a", &sealed[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_former_key_still_opens() {
        let sealed = Sealer::new(&[key(1)], "credential").seal("acc_a", b"sk-ant");
        assert_eq!(Sealer::new(&[key(2), key(1)], "credential").open("acc_a", &sealed).unwrap(), b"sk-ant");
        assert_eq!(Sealer::new(&[key(2)], "credential").open("acc_a", &sealed), Err(Unsealable::UnknownKey));
        for (keys, current) in [(vec![key(1)], true), (vec![key(1), key(2)], true), (vec![key(2), key(1)], false)] {
            assert_eq!(Sealer::new(&keys, "credential").is_current(&sealed), current);
        }
        assert!(!Sealer::new(&[key(1)], "credential").is_current(b""));
    }

    /// Each purpose has a key of its own: RFC 5869 over the one secret, and never that itself.
    #[test]
    fn keys_are_derived_as_the_standard_says() {
        let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let secret = Salt::new(HKDF_SHA256, b"llm-gateway").extract(&[7; 32]);
        let derived = |purpose: &str| {
            let mut key = [0; 32];
            secret.expand(&[purpose.as_bytes()], HKDF_SHA256).unwrap().fill(&mut key).unwrap();
            text(&key)
        };
        assert_eq!(derived("credential"), "2694f1051aac02f6a2ea178c7452c6695b6897e487760a6cd2e114ce0ff7b76f");
        assert_eq!(derived("session"), "a0220d36db9b1d7726a5c8bdb153b59a2dd7046f3bd0a1d94c632942b1c01679");
    }
}
