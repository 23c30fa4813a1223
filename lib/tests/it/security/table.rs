//! SECURITY.md names tests, and each of them is there.

use crate::tidy::{rust_files, text};

#[test]
fn every_test_that_security_md_names_is_there() {
    let document = text("SECURITY.md");
    let (_, table) = document.split_once("| hole | test |").expect("the table of holes");
    let sources: String = rust_files(&["lib"]).into_values().collect();
    let e2e = ["chaos", "clients", "dev", "logins", "outage", "openapi", "pool"]
        .map(|name| text(&format!("tests/e2e/{name}.test.mjs")));
    let pages = ["tree", "api"].map(|name| text(&format!("tests/dashboard/{name}.test.mjs")));
    let scripts: String = e2e.into_iter().chain(pages).collect();
    let mut named = 0;
    for row in table.lines().filter(|row| row.starts_with("| ") && !row.starts_with("| ---")) {
        let tests = row.rsplit(" | ").next().expect("a row has cells").split('`').skip(1).step_by(2);
        let before = named;
        for test in tests {
            let there = if test.contains(' ') {
                scripts.contains(&format!("(\"{test}")) || scripts.contains(&format!("(`{test}"))
            } else {
                sources.contains(&format!("fn {test}()"))
            };
            assert!(there, "{test} of {row} is not there");
            named += 1;
        }
        assert!(named > before, "{row} names no test");
    }
    assert!(named > 30, "the rows are found: {named}");
}
