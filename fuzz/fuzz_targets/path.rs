//! `cargo +nightly fuzz run path`

#![no_main]

#[path = "../../lib/tests/it/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::path(data));
