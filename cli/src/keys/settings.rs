//! What a key can be given, at the beginning and later.

use std::path::PathBuf;

use clap::Args;
use gateway::Result;
use serde_json::Value;

use crate::given::{Body, number_or_none, pair, seconds};

#[derive(Args)]
#[command(next_help_heading = "Settings (`none` lifts a limit or empties a list)")]
pub(crate) struct Settings {
    /// admin, member or viewer; member
    #[arg(long)]
    role: Option<String>,
    /// The accounts that serve it; default
    #[arg(long)]
    pool: Option<String>,
    /// anthropic or gemini; may be repeated; both
    #[arg(long)]
    provider: Vec<String>,
    /// A model that it may call, * and ? stand for others; may be repeated; all
    #[arg(long, value_name = "GLOB")]
    model: Vec<String>,
    /// Requests under way at once
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    max_in_flight: Option<Value>,
    /// Requests in any 60 seconds
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    requests_per_minute: Option<Value>,
    /// Tokens in any 60 seconds
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    tokens_per_minute: Option<Value>,
    /// Requests in a day
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    requests_per_day: Option<Value>,
    /// Tokens in a day
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    tokens_per_day: Option<Value>,
    /// Dollars in a day
    #[arg(long, value_name = "USD", value_parser = number_or_none)]
    cost_per_day: Option<Value>,
    /// Dollars in a week, from Monday on
    #[arg(long, value_name = "USD", value_parser = number_or_none)]
    cost_per_week: Option<Value>,
    /// Dollars in a month
    #[arg(long, value_name = "USD", value_parser = number_or_none)]
    cost_per_month: Option<Value>,
    /// Dollars in its whole life
    #[arg(long, value_name = "USD", value_parser = number_or_none)]
    cost_total: Option<Value>,
    /// When its days, weeks and months begin, such as Europe/Berlin; UTC
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// A label, such as team=search; may be repeated; takes the place of all labels
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// When it ends, in RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    expires_at: Option<String>,
    /// After how long it ends: 12h, 90d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires_in: Option<i64>,
    /// Days after which its secret is due for a new one
    #[arg(long, value_name = "DAYS", value_parser = number_or_none)]
    rotate_every_days: Option<Value>,
    /// Whether its holder may fetch the new secret when that is due
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    auto_rotate: Option<bool>,
    /// A network that it may be used from, such as 10.0.0.0/8; may be repeated; all
    #[arg(long, value_name = "CIDR")]
    allowed_cidr: Vec<String>,
    /// Whether its holder may be served by a login of their own
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_passthrough: Option<bool>,
    /// A note, for people
    #[arg(long)]
    note: Option<String>,
    /// Further fields of the management API, as a JSON object in a file; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    fields: Option<PathBuf>,
}

impl Settings {
    /// As the management API takes them.
    pub(super) fn body(self) -> Result<Body> {
        let mut body = Body::of(self.fields.as_deref())?;
        body.put("role", self.role);
        body.put("pool", self.pool);
        body.put_list("providers", &self.provider);
        body.put_list("models", &self.model);
        body.put_list("allowed_cidrs", &self.allowed_cidr);
        for (name, value) in [
            ("max_in_flight", self.max_in_flight),
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
            ("requests_per_day", self.requests_per_day),
            ("tokens_per_day", self.tokens_per_day),
            ("cost_per_day_usd", self.cost_per_day),
            ("cost_per_week_usd", self.cost_per_week),
            ("cost_per_month_usd", self.cost_per_month),
            ("cost_total_usd", self.cost_total),
        ] {
            body.put_within("limits", name, value);
        }
        body.put("time_zone", self.time_zone);
        let labels: serde_json::Map<_, _> = self.label.into_iter().map(|(name, value)| (name, value.into())).collect();
        body.put("labels", (!labels.is_empty()).then_some(Value::Object(labels)));
        body.put("expires_at", self.expires_at);
        body.put("expires_in_seconds", self.expires_in);
        body.put("rotate_every_days", self.rotate_every_days);
        body.put("auto_rotate", self.auto_rotate);
        body.put("allow_passthrough", self.allow_passthrough);
        body.put("note", self.note);
        Ok(body)
    }
}
