//! What an account can be given, at the beginning and later.

use std::path::{Path, PathBuf};

use clap::Args;
use gateway::Result;
use serde_json::{Value, json};

use crate::{
    ask,
    given::{Body, number, number_or_none, pair},
};

#[derive(Args)]
#[command(next_help_heading = "Settings (`none` lifts a limit or empties a list)")]
pub(crate) struct Settings {
    /// Your statement that the provider's terms allow this login to be used through a gateway
    #[arg(long)]
    entitled: bool,
    /// The keys of which pool it serves; default
    #[arg(long)]
    pool: Option<String>,
    /// Where its requests go; the provider's own address
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Its tier: 0 comes before 1; 0
    #[arg(long, value_name = "N", value_parser = number)]
    priority: Option<Value>,
    /// Its share within its tier; 1
    #[arg(long, value_name = "N", value_parser = number)]
    weight: Option<Value>,
    /// Requests under way at once
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    max_in_flight: Option<Value>,
    /// Requests in any 60 seconds
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    requests_per_minute: Option<Value>,
    /// Tokens in any 60 seconds
    #[arg(long, value_name = "N", value_parser = number_or_none)]
    tokens_per_minute: Option<Value>,
    /// A model that it serves, * and ? stand for others; may be repeated; all
    #[arg(long, value_name = "GLOB")]
    model: Vec<String>,
    /// A model that it knows by another name; may be repeated; takes the place of all
    #[arg(long, value_name = "FROM=TO", value_parser = pair)]
    map: Vec<(String, String)>,
    /// Whether it may go on into extra paid use
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    use_paid_overage: Option<bool>,
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
        body.put("entitled", self.entitled.then_some(true));
        body.put("pool", self.pool);
        body.put("base_url", self.base_url);
        body.put("priority", self.priority);
        body.put("weight", self.weight);
        body.put("max_in_flight", self.max_in_flight);
        body.put("requests_per_minute", self.requests_per_minute);
        body.put("tokens_per_minute", self.tokens_per_minute);
        body.put_list("models", &self.model);
        let map: serde_json::Map<_, _> = self.map.into_iter().map(|(from, to)| (from, to.into())).collect();
        body.put("model_map", (!map.is_empty()).then_some(Value::Object(map)));
        body.put("use_paid_overage", self.use_paid_overage);
        body.put("note", self.note);
        Ok(body)
    }
}

/// A credential: an API key as it is, or whatever the API takes, as JSON.
pub(super) fn credential(file: Option<&Path>) -> Result<Value> {
    let secret = ask::secret(file, "API key")?;
    Ok(match serde_json::from_str(secret.expose()) {
        Ok(credential @ Value::Object(_)) => credential,
        _ => json!({ "kind": "api_key", "api_key": secret.expose() }),
    })
}
