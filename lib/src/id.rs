//! Typed ids: a prefix that says what it names, then 26 characters that sort by time of creation.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::random;

/// Crockford's base 32 in lower case: no letter that reads as a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 48 bits of milliseconds and 80 random bits, as 26 characters.
fn sortable(now: Timestamp) -> String {
    let millis = u128::try_from(now.as_millisecond()).unwrap_or(0) & ((1 << 48) - 1);
    let mut chance = [0; 16];
    chance[6..].copy_from_slice(&random::bytes::<10>());
    let value = (millis << 80) | u128::from_be_bytes(chance);
    (0..26).rev().map(|place| char::from(ALPHABET[(value >> (place * 5) & 31) as usize])).collect()
}

/// When an id was made, to the millisecond; `None`: it is not of this form.
pub(crate) fn made_at(id: &str) -> Option<Timestamp> {
    let (_, letters) = id.split_once('_').filter(|(_, letters)| letters.len() == 26)?;
    let value = letters.bytes().try_fold(0_u128, |value, letter| {
        let digit = ALPHABET.iter().position(|known| *known == letter)?;
        Some(value << 5 | digit as u128)
    })?;
    Timestamp::from_millisecond(i64::try_from(value >> 80 & ((1 << 48) - 1)).ok()?).ok()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new one.
            pub fn new(now: Timestamp) -> Self {
                Self(format!(concat!($prefix, "_{}"), sortable(now)))
            }

            /// As it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// Names an account.
    AccountId = "acc";
    /// Names an API key; it is not the key.
    KeyId = "key";
    /// Names a request: in answers, in the ledger and in the log.
    RequestId = "req";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_they_name_and_sort_by_time() {
        let early = RequestId::new(Timestamp::from_second(1_000).expect("in range"));
        let late = RequestId::new(Timestamp::from_second(2_000_000_000).expect("in range"));
        assert!(early < late);
        assert!(early.as_str().starts_with("req_") && early.as_str().len() == 30, "{early}");
    }

    #[test]
    fn an_id_knows_when_it_was_made() {
        let now = Timestamp::from_millisecond(1_790_000_000_123).expect("in range");
        assert_eq!(made_at(RequestId::new(now).as_str()), Some(now));
        for other in ["", "req_", "req_1", "req_UUUUUUUUUUUUUUUUUUUUUUUUUU", "01kaz6z5d9q8cs1ktwe5e2q4hr"] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
