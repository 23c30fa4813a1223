//! `cargo +nightly fuzz run request`

#![no_main]

#[path = "../../lib/tests/it/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::request(data));
