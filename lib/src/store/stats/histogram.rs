//! Times, counted in buckets that grow by 8 %: any number of them can be added up, and percentiles read off the sum are
//! less than 4 % from the true ones, from a millisecond to an hour.

use std::{collections::BTreeMap, error::Error};

use tokio_postgres::types::{FromSql, Type};

/// The growth from one bucket to the next. The SQL function `histogram_of` has the same.
const GROWTH: f64 = 1.08;
/// The digits of Postgres's `numeric` are four decimal ones each, and a bucket's count has twelve.
const DIGITS: i32 = 3;

/// How many times fell into each bucket. Bucket n holds those above `1.08^(n-1)` milliseconds, up to `1.08^n`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<i32, u64>);

impl Histogram {
    /// How many times it holds.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// Adds another's times.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// The time, in milliseconds, that this part of all (0 to 1) took at most; `None`: there is none.
    pub fn percentile(&self, part: f64) -> Option<f64> {
        let wanted = share(part, self.count());
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen += count;
            if seen >= wanted {
                return Some(middle(*bucket));
            }
        }
        None
    }

    /// How many times are at most this long, to the bucket; in seconds.
    pub fn up_to(&self, seconds: f64) -> u64 {
        self.0.iter().take_while(|(bucket, _)| middle(**bucket) <= seconds * 1_000.0).map(|(_, count)| count).sum()
    }
}

/// The place, from 1 on, of the time that a part of all took at most.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests"
)]
fn share(part: f64, count: u64) -> u64 {
    ((part * count as f64).ceil() as u64).max(1)
}

/// What stands for every time of a bucket, to a tenth of a millisecond.
fn middle(bucket: i32) -> f64 {
    let exact = if bucket == 0 { 1.0 } else { GROWTH.powf(f64::from(bucket) - 0.5) };
    (exact * 10.0).round() / 10.0
}

impl<'a> FromSql<'a> for Histogram {
    /// Reads a whole number of Postgres: a head of four, the second of which is the place of the first digit, then the digits.
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let words: Vec<u16> = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        let [_count, first, _sign, _scale, digits @ ..] = &words[..] else {
            return Err("not a number".into());
        };
        let first = i32::from(first.cast_signed());
        let mut buckets = BTreeMap::new();
        for (place, digit) in (0..).zip(digits).filter(|(_, digit)| **digit > 0) {
            let place: i32 = first - place;
            let within = u32::try_from(place.rem_euclid(DIGITS))?;
            *buckets.entry(place.div_euclid(DIGITS)).or_default() += u64::from(*digit) * 10_000_u64.pow(within);
        }
        Ok(Self(buckets))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_counts() {
        // 7 in bucket 0, 123 456 789 in bucket 2: 1 2345 6789 0000 0000 0000 0000 0000 0007, the first digit of place 8.
        let words: [u16; 13] = [9, 8, 0, 0, 1, 2345, 6789, 0, 0, 0, 0, 0, 7];
        let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let read = Histogram::from_sql(&Type::NUMERIC, &raw).unwrap();
        assert_eq!(read, Histogram([(0, 7), (2, 123_456_789)].into()));
        assert_eq!(read.count(), 123_456_796);
        assert!(Histogram::from_sql(&Type::NUMERIC, &[0, 1]).is_err());
    }

    #[test]
    fn percentiles_are_those_of_the_sum() {
        let mut sum = Histogram([(0, 98), (100, 1)].into());
        sum.add(&Histogram([(100, 1)].into()));
        assert_eq!(sum.percentile(0.5), Some(1.0));
        assert_eq!(sum.percentile(0.98), Some(1.0));
        assert_eq!(sum.percentile(0.99), Some(middle(100)));
        assert_eq!(sum.percentile(1.0), Some(middle(100)));
        assert_eq!((sum.up_to(0.001), sum.up_to(3_600.0)), (98, 100));
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn a_bucket_stands_for_its_times() {
        for ms in (1..3_500_000).step_by(7) {
            let bucket = (f64::from(ms).ln() / GROWTH.ln()).ceil();
            #[expect(clippy::cast_possible_truncation, reason = "below 200")]
            let told = middle(bucket as i32);
            assert!((told / f64::from(ms) - 1.0).abs() < 0.05, "{ms} is told as {told}");
        }
    }
}
