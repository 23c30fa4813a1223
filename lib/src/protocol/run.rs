//! Runs over the plain part of a string, many bytes at a time: prompts are mostly that.

/// Bytes that are looked at together.
const PIECE: usize = 32;

/// How many bytes come before the first that `ends` holds of.
#[inline]
pub(super) fn run(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    // Without a branch for each byte the compiler looks at a whole register of them at once.
    let is_plain = |piece: &&[u8]| !piece.iter().fold(false, |any, byte| any | ends(*byte));
    let plain = bytes.chunks_exact(PIECE).take_while(is_plain).count() * PIECE;
    let rest = &bytes[plain..];
    plain + rest.iter().position(|byte| ends(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_that_ends_it() {
        for length in 0..=3 * PIECE {
            let mut bytes = vec![b'a'; length];
            assert_eq!(run(&bytes, |byte| byte == b'"'), length);
            for end in (0..length).rev() {
                bytes[end] = b'"';
                assert_eq!(run(&bytes, |byte| byte == b'"'), end, "of {length}");
            }
        }
    }
}
