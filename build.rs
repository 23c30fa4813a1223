//! Links what is shipped: pieces of code that are the same, letter for letter, are in it once.

use std::env;

#[expect(clippy::disallowed_methods, reason = "a build script is told everything by its environment")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let set = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    // On this target Rust's own linker is the default, and it knows how.
    if set("PROFILE", "release") && set("TARGET", "x86_64-unknown-linux-gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
