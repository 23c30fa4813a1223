//! The variables that a gateway is told things by.

use gateway::{
    config::{Config, Environment},
    host::check_log_filter,
};

use super::Finding;

/// Claude Code sends conversations of this size every day.
const SMALL_BODY: usize = 1 << 20;

/// How each variable is mended, by the beginning of what is said of it.
const CURES: [(&str, &str); 13] = [
    ("this gateway is not set up yet", "Set them in the environment of `serve`; `npm run dev` makes them by itself"),
    ("ADMIN_TOKEN", "Make one: export ADMIN_TOKEN=$(openssl rand -hex 32)"),
    (
        "ENCRYPTION_KEY",
        "Make one: export ENCRYPTION_KEY=$(openssl rand -base64 32); if accounts are stored already, find the one that they were \
         sealed with",
    ),
    ("DATABASE_URL", "Set it to postgresql://USER:PASSWORD@HOST/DATABASE, as your provider shows it"),
    ("MAX_BODY_BYTES", "Set it to a whole number of bytes, such as 33554432, or leave it out"),
    ("TRUSTED_PROXIES", "Set it to the networks of your own proxies, such as 10.0.0.0/8,192.0.2.7, or leave it out"),
    ("PASSTHROUGH_PATHS", "Set it to globs of paths, such as /v1/things/*, or leave it out"),
    ("REDIS_URL", "Set it to redis://HOST:6379, or rediss:// for TLS, or leave it out"),
    ("WEBHOOK_URL", "Set it to the https:// address of your receiver, or leave it out"),
    (
        "WEBHOOK_SECRET",
        "Make one, and give it to the receiver too: export WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)",
    ),
    (
        "OTEL_",
        "Set it as OpenTelemetry says, such as OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318, or leave it out",
    ),
    ("PUBLIC_URL", "Set it to the address that clients use, such as https://gateway.example.com, or leave it out"),
    ("", "Mend it as .env.example explains it, or leave it out"),
];

/// Looks at everything that is read when a gateway starts, but for where it listens.
pub(super) fn examine(env: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    match Config::read(env) {
        Err(error) => {
            let found = error.to_string();
            let cure = CURES.iter().find(|(begin, _)| found.starts_with(begin)).map_or("", |(_, cure)| cure);
            findings.push(Finding::fault("configuration", found, cure));
        }
        Ok(config) if config.max_body_bytes < SMALL_BODY => {
            let found = format!("MAX_BODY_BYTES is {}: longer conversations are refused", config.max_body_bytes);
            findings.push(Finding::fault("configuration", found, "Set it to 33554432 (32 MiB), or leave it out"));
        }
        Ok(_) => findings.push(Finding::good("configuration", "complete")),
    }
    findings.push(match check_log_filter(env) {
        Ok(()) => Finding::good("log", "LOG is understood"),
        Err(error) => {
            let cure = "Set it to a level or a filter, such as info or gateway=debug,warn, or leave it out";
            Finding::fault("log", error.to_string(), cure)
        }
    });
    findings
}
