//! What a gateway says of its own health, beyond its database.

use serde_json::Value;

use super::Finding;

/// Looks at an answer of `/api/health`. What the gateway does not have is not spoken of.
pub(super) fn examine(health: &Value) -> Vec<Finding> {
    let redis = match health["redis"].as_str() {
        Some("ok") => Some(Finding::good("redis", "Redis answers")),
        Some("down") => {
            let cure = "Start it; check REDIS_URL (or UPSTASH_REDIS_REST_URL and its token) and what is between, or leave them \
                        out: Postgres counts meanwhile, and more slowly";
            Some(Finding::fault("redis", "Redis does not answer", cure))
        }
        _ => None,
    };
    let webhooks = match health["webhooks"].as_str() {
        Some("ok") => Some(Finding::good("webhooks", "the receiver has everything")),
        Some("failing") => {
            let cure = "Check WEBHOOK_URL and its receiver; the log says why (`a webhook was not taken`). What waits is sent again \
                        for three days";
            Some(Finding::fault("webhooks", "the receiver does not take what it is sent", cure))
        }
        _ => None,
    };
    redis.into_iter().chain(webhooks).collect()
}
