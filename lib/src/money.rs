//! Money as whole numbers. Dollars are written and read at the edge only, digit by digit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Millionths of a US dollar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

const PICOS_PER_MICRO: i64 = 1_000_000;

impl Micros {
    /// From trillionths of a dollar, rounded half up.
    pub fn from_picos(picos: i64) -> Self {
        let (micros, rest) = (picos.div_euclid(PICOS_PER_MICRO), picos.rem_euclid(PICOS_PER_MICRO));
        Self(micros + i64::from(rest >= PICOS_PER_MICRO / 2))
    }

    /// Reads dollars with at most six decimals: `12`, `0.5`. `None` for anything else.
    pub fn from_dollars(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 12 || decimals.len() > 6 || !all_digits(whole) || !all_digits(decimals) {
            return None;
        }
        format!("{whole}{decimals:0<6}").parse().ok().map(Self)
    }
}

impl fmt::Display for Micros {
    /// Dollars with all six decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picos_round_half_up() {
        for (picos, micros) in [
            (0, 0),
            (499_999, 0),
            (500_000, 1),
            (1_499_999, 1),
            (5_025_500_000, 5_026),
            (-500_000, 0),
            (-500_001, -1),
            (i64::MAX, 9_223_372_036_855),
            (i64::MIN, -9_223_372_036_855),
        ] {
            assert_eq!(Micros::from_picos(picos), Micros(micros), "{picos}");
        }
    }

    #[test]
    fn dollars_are_read_to_the_micro() {
        for (text, micros) in [
            ("0", Some(0)),
            ("12", Some(12_000_000)),
            ("0.5", Some(500_000)),
            ("0.000001", Some(1)),
            ("100000000000.25", Some(100_000_000_000_250_000)),
            ("0.0000001", None),
            ("1e-7", None),
            ("1e22", None),
            ("-1", None),
            ("9999999999999", None),
            ("", None),
            (".5", None),
        ] {
            assert_eq!(Micros::from_dollars(text), micros.map(Micros), "{text}");
        }
    }

    #[test]
    fn dollars_show_six_decimals() {
        for (micros, shown) in [
            (0, "0.000000"),
            (1, "0.000001"),
            (23_200, "0.023200"),
            (12_000_000, "12.000000"),
            (-1_500_000, "-1.500000"),
        ] {
            assert_eq!(Micros(micros).to_string(), shown);
        }
    }
}
