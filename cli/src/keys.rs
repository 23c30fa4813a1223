//! `llm-gateway keys`: issue, list, show, change, rotate and revoke API keys.

mod settings;

use clap::{Args, Subcommand};
use gateway::Result;
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Api,
    ask, find,
    given::seconds,
    out::{Out, plain, remark},
    show,
    table::{Column, figures, words},
};
use settings::Settings;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Issue a key
    ///
    /// Prints the key, this once, and nothing else to standard output.
    #[command(after_help = "\
Examples:
  llm-gateway keys issue maya-laptop
  llm-gateway keys issue ci --role member --model 'claude-haiku-*' --cost-per-day 5 --expires-in 90d > ci.key
  llm-gateway keys issue maya --fields - <<< '{ \"limits\": { \"windows\": [{ \"hours\": 5, \"cost_usd\": 10 }] } }'
")]
    Issue {
        /// What it is called
        name: String,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// List the keys, newest first
    List(List),
    /// Show one key, with what is used and left of its limits
    Show {
        /// Its name or id
        key: String,
    },
    /// Change a key; what is not named stays as it is
    #[command(after_help = "\
Examples:
  llm-gateway keys set maya-laptop --requests-per-minute 60 --cost-per-month 200
  llm-gateway keys set maya-laptop --requests-per-minute none --model none
")]
    Set {
        /// Its name or id
        key: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Give a key a new secret; the old one works for a while yet
    ///
    /// Prints the new secret, this once, and nothing else to standard output.
    Rotate {
        /// Its name or id
        key: String,
        /// How long the old secret works: 0s, 30m, 24h, at most 30d; an hour
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        grace: Option<i64>,
    },
    /// Revoke a key, at once and for good; its rows in the ledger stay
    Revoke {
        /// Its name or id
        key: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct List {
    /// Only keys in this state: active, `rotation_due`, expired, revoked
    #[arg(long)]
    state: Option<String>,
    /// Only keys of this pool
    #[arg(long)]
    pool: Option<String>,
}

impl Keys {
    pub(crate) async fn run(self, api: &Api, out: &Out) -> Result<()> {
        match self {
            Self::Issue { name, settings } => {
                let mut body = settings.body()?;
                body.put("name", Some(name));
                let key = api.send(Method::POST, &["keys"], Some(body.into_value())).await?;
                told_once(out, &key, &format!("issued {}", find::called(&key)))
            }
            Self::List(list) => list.run(api, out).await,
            Self::Show { key } => {
                let id = find::id(api, &find::KEY, &key).await?;
                out.thing(&api.get(&["keys", &id], &[]).await?)
            }
            Self::Set { key, name, settings } => {
                let mut body = settings.body()?;
                body.put("name", name);
                body.must_change_something()?;
                let id = find::id(api, &find::KEY, &key).await?;
                let key = api.send(Method::PATCH, &["keys", &id], Some(body.into_value())).await?;
                out.answer(&key, || out.line(&format!("changed {}", find::called(&key))))
            }
            Self::Rotate { key, grace } => {
                let id = find::id(api, &find::KEY, &key).await?;
                let body = grace.map_or_else(|| json!({}), |seconds| json!({ "grace_seconds": seconds }));
                let key = api.send(Method::POST, &["keys", &id, "rotate"], Some(body)).await?;
                let ends = show::time(&key["old_secret_ends_at"]);
                told_once(out, &key, &format!("rotated {}; the old secret ends at {ends}", find::called(&key)))
            }
            Self::Revoke { key, yes } => {
                let id = find::id(api, &find::KEY, &key).await?;
                let key = api.get(&["keys", &id], &[]).await?;
                ask::confirm(&format!("Revoke {} for good?", find::called(&key)), yes)?;
                api.send(Method::DELETE, &["keys", &id], None).await?;
                out.answer(&json!({ "id": id, "revoked": true }), || {
                    out.line(&format!("revoked {}", find::called(&key)))
                })
            }
        }
    }
}

/// A secret goes to standard output alone, so that it can be sent where it belongs.
fn told_once(out: &Out, key: &Value, remarked: &str) -> Result<()> {
    out.answer(key, || {
        remark(&format!("{remarked}; this is the only time that it is shown:"));
        out.raw(&format!("{}\n", plain(&show::text(&key["key"]))))
    })
}

impl List {
    async fn run(self, api: &Api, out: &Out) -> Result<()> {
        let mut keys = api.all(&["keys"], Vec::new()).await?;
        let wanted = |key: &Value, name: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| key[name] == wanted.as_str())
        };
        keys.retain(|key| wanted(key, "state", &self.state) && wanted(key, "pool", &self.pool));
        out.list(&keys, &columns())
    }
}

fn columns() -> [Column; 9] {
    [
        words("NAME", |key| show::text(&key["name"])),
        words("ID", |key| show::text(&key["id"])),
        words("STATE", |key| show::text(&key["state"])).toned(|key| show::tone(&key["state"])),
        words("ROLE", |key| show::text(&key["role"])),
        words("POOL", |key| show::text(&key["pool"])),
        figures("TODAY", |key| show::count(&key["usage_today"]["requests"])),
        figures("COST TODAY", |key| show::dollars(&key["usage_today"]["cost_usd"])),
        figures("COST MONTH", |key| show::dollars(&key["usage_month"]["cost_usd"])),
        words("LAST USED", |key| show::time(&key["last_used_at"])),
    ]
}
