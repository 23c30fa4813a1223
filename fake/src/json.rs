//! Reads requests as the services do: unknown fields, doubled keys and odd values are no reason to refuse.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// Reads `body` as far as its fields have the wanted shape; the error says why it is no JSON at all.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body).or_else(|error| undoubled(body).ok_or(error))
}

/// A doubled key is refused by a derived reader, while a tree of values keeps its last.
fn undoubled<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice::<IgnoredAny>(body).ok()?;
    let tree = serde_json::from_slice::<Value>(body).ok()?;
    serde_json::from_str(&tree.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Model {
        model: String,
    }

    #[test]
    fn the_last_of_doubled_keys_counts() {
        let read = |body: &str| read::<Model>(body.as_bytes()).map(|read| read.model).ok();
        assert_eq!(read(r#"{"model":"a","model":"b","x":[1]}"#).as_deref(), Some("b"));
        assert_eq!(read(r#"{"model":"a""#), None);
    }
}
