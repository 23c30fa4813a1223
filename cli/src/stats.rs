//! `llm-gateway stats`: what requests add up to.

use clap::{Args, ValueEnum};
use gateway::{Result, clock};
use serde_json::{Value, json};

use crate::{
    api::Api,
    given::moment,
    out::Out,
    show,
    table::{Column, figures, words},
};

/// What was used and what it cost
///
/// In all, beside the span of the same length before; with --by, row by row.
#[derive(Args)]
#[command(after_help = "\
Examples:
  llm-gateway stats
  llm-gateway stats --by model --from 7d
  llm-gateway stats --by key --from 2026-11-01 --to 2026-12-01 --json | jq '.[] | [.name, .cost_usd]'
")]
pub(crate) struct Stats {
    /// One row for each
    #[arg(long, value_enum)]
    by: Option<By>,
    /// Since when: 2027-01-31T12:00:00Z, 2027-01-31, today, or 24h, 7d ago; 24h
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when; now
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    only: Only,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Account,
    Key,
    Model,
}

/// Which requests are meant.
#[derive(Args)]
pub(crate) struct Only {
    /// Only of this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only of this account, by its id
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only of this key, by its id
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only of this model
    #[arg(long)]
    model: Option<String>,
    /// Only of this pool
    #[arg(long)]
    pool: Option<String>,
}

impl Only {
    /// As parameters of the API, with the span.
    pub(crate) fn query(self, from: Option<&str>, to: Option<&str>) -> Result<Vec<(&'static str, String)>> {
        let now = clock::now();
        let time = |text: Option<&str>| text.map(|text| moment(text, now).map(|time| time.to_string())).transpose();
        let filters = [
            ("from", time(from)?),
            ("to", time(to)?),
            ("provider", self.provider),
            ("account", self.account),
            ("key", self.key),
            ("model", self.model),
            ("pool", self.pool),
        ];
        Ok(filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

impl Stats {
    pub(crate) async fn run(self, api: &Api, out: &Out) -> Result<()> {
        let query = self.only.query(self.from.as_deref(), self.to.as_deref())?;
        let path = match self.by {
            None => return summary(out, &api.get(&["stats", "summary"], &query).await?),
            Some(By::Account) => "accounts",
            Some(By::Key) => "keys",
            Some(By::Model) => "models",
        };
        out.list(&api.all(&["stats", path], query).await?, &columns())
    }
}

type Show = fn(&Value) -> String;

/// The span and the one before it, side by side.
fn summary(out: &Out, summary: &Value) -> Result<()> {
    out.answer(summary, || {
        out.line(&format!("{} to {}", show::time(&summary["from"]), show::time(&summary["to"])))?;
        let rows: [(&str, &str, Show); 16] = [
            ("requests", "/requests", show::count),
            ("succeeded", "/succeeded", show::count),
            ("failed", "/failed/failed", show::count),
            ("refused by the upstream", "/failed/refused", show::count),
            ("cancelled by the client", "/failed/cancelled", show::count),
            ("lost", "/failed/lost", show::count),
            ("success rate", "/success_rate", show::percent),
            ("input tokens", "/tokens/input", show::count),
            ("output tokens", "/tokens/output", show::count),
            ("cache reads", "/tokens/cache_read", show::count),
            ("cache hit ratio", "/cache_hit_ratio", show::percent),
            ("cost", "/cost_usd", show::dollars),
            ("median time", "/latency_ms/p50", show::millis),
            ("median time to first token", "/first_token_ms/p50", show::millis),
            ("failovers", "/failovers", show::count),
            ("in flight now", "/in_flight", show::count),
        ];
        let told = |of: &Value, path: &str, show: Show| show(of.pointer(path).unwrap_or(&Value::Null));
        let rows = rows.map(|(name, path, show)| {
            json!({ "name": name, "now": told(summary, path, show), "before": told(&summary["previous"], path, show) })
        });
        out.list(
            &rows,
            &[
                words("", |row| show::text(&row["name"])),
                figures("THIS SPAN", |row| show::text(&row["now"])),
                figures("BEFORE", |row| show::text(&row["before"])),
            ],
        )
    })
}

fn columns() -> [Column; 8] {
    [
        words("NAME", |row| show::text(if row["name"].is_null() { &row["id"] } else { &row["name"] })),
        figures("REQUESTS", |row| show::count(&row["requests"])),
        figures("SUCCEEDED", |row| show::percent(&row["success_rate"])),
        figures("INPUT", |row| show::count(&row["tokens"]["input"])),
        figures("OUTPUT", |row| show::count(&row["tokens"]["output"])),
        figures("CACHE HITS", |row| show::percent(&row["cache_hit_ratio"])),
        figures("COST", |row| show::dollars(&row["cost_usd"])),
        figures("MEDIAN", |row| show::millis(&row["latency_ms"]["p50"])),
    ]
}
