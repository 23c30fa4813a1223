//! Chance enters the house here.

use ring::rand::{SecureRandom, SystemRandom};

/// `N` bytes from the operating system's generator.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system has a source of randomness");
    bytes
}

/// A number spread evenly over all of `u64`.
pub fn draw() -> u64 {
    u64::from_le_bytes(bytes())
}
