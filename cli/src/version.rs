//! Which program this is.

use std::sync::LazyLock;

use gateway::store::LATEST_SCHEMA;

/// What `--version` says: the version, the schema that it knows, and the commit where the build was told it.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    // GATEWAY_COMMIT is what our own build scripts set.
    let commit = option_env!("GATEWAY_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or("unknown");
    format!("{} (schema {LATEST_SCHEMA}, commit {commit})", env!("CARGO_PKG_VERSION"))
});
