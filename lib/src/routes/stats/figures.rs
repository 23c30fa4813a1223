//! How what requests add up to is written.

use serde_json::{Value, json};

use crate::store::{Histogram, Measures, TOKENS, ratio, usd};

/// The figures of some requests: the part of a summary that every row of a table has too.
///
/// `{requests, succeeded, failed: {failed, refused, cancelled, lost}, success_rate, tokens: {input, output, cache_read,
/// cache_write_5m, cache_write_1h, thinking, tool_use, searches}, cost_usd, cache_hit_ratio, latency_ms: {p50, p90, p99},
/// first_token_ms: {p50, p90, p99}, failovers, estimated, unpriced, affinity: {kept, moved, new, none, cache_hit_ratio_kept,
/// cache_hit_ratio_moved, cache_hit_ratio_new, cache_hit_ratio_none}}`. `affinity` counts requests whose conversation stayed on its
/// account, had to move, or was new, and those without one. Percentiles are less than 4 % from the true ones.
pub(super) fn figures(measures: &Measures) -> Value {
    let requests = measures.count("requests");
    let succeeded = measures.count("completed");
    let failed =
        ["failed", "refused", "cancelled", "lost"].map(|status| (status.to_owned(), measures.count(status).into()));
    let tokens = TOKENS.map(|(word, column)| (word.to_owned(), json!(measures.tokens(column))));
    json!({
        "requests": requests,
        "succeeded": succeeded,
        "failed": Value::Object(failed.into_iter().collect()),
        "success_rate": ratio(succeeded, requests),
        "tokens": Value::Object(tokens.into_iter().collect()),
        "cost_usd": usd(measures.count("cost_micros")),
        "cache_hit_ratio": measures.cache_hit_ratio(),
        "latency_ms": percentiles(&measures.latency),
        "first_token_ms": percentiles(&measures.first_token),
        "failovers": measures.count("failovers"),
        "estimated": measures.count("estimated"),
        "unpriced": measures.count("unpriced"),
        "affinity": affinity(measures),
    })
}

fn affinity(measures: &Measures) -> Value {
    let [kept, moved, new] = ["kept", "moved", "new"].map(|name| measures.count(name));
    json!({
        "kept": kept,
        "moved": moved,
        "new": new,
        "none": measures.count("requests") - kept - moved - new,
        "cache_hit_ratio_kept": measures.cache_hit_ratio_of("kept"),
        "cache_hit_ratio_moved": measures.cache_hit_ratio_of("moved"),
        "cache_hit_ratio_new": measures.cache_hit_ratio_of("new"),
        "cache_hit_ratio_none": measures.cache_hit_ratio_of("none"),
    })
}

fn percentiles(histogram: &Histogram) -> Value {
    json!({
        "p50": histogram.percentile(0.5), "p90": histogram.percentile(0.9), "p99": histogram.percentile(0.99),
    })
}
