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
    fn a_hint_needs_a_long_secret() {
        assert_eq!(Secret::new("sk-ant-api-123456789").hint(), "…6789");
        assert_eq!(Secret::new("short").hint(), "…");
    }
}
