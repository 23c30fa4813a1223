//! `llm-gateway accounts`: add, import, list, show, check, change, pause, resume, reset and remove accounts.

mod settings;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use gateway::Result;
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::Api,
    ask, find,
    out::{Out, Tone},
    progress::Progress,
    show,
    table::{Column, figures, words},
};
use settings::{Settings, credential};

#[derive(Subcommand)]
pub(crate) enum Accounts {
    /// Add an account with an API key or the tokens of a login
    #[command(after_help = "\
Examples:
  llm-gateway accounts add team-1 --provider anthropic                        # asks for the key
  llm-gateway accounts add team-1 --provider anthropic --credential-file - < key.txt
  llm-gateway accounts add team-2 --provider gemini --credential-file key.txt --weight 2 --max-in-flight 8
")]
    Add {
        /// What it is called
        name: String,
        /// anthropic or gemini
        #[arg(long)]
        provider: String,
        #[command(flatten)]
        credential: GivenCredential,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Add an account from the login file of Claude Code or Gemini CLI
    #[command(after_help = "\
Examples:
  llm-gateway accounts import team-claude-2 ~/.claude/.credentials.json --entitled
  llm-gateway accounts import team-gemini-2 ~/.gemini/oauth_creds.json --entitled
")]
    Import {
        /// What it is called
        name: String,
        /// The login file; `-` reads standard input
        file: PathBuf,
        /// The Google Cloud project of a Google login
        #[arg(long)]
        project: Option<String>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// List the accounts, newest first
    List(List),
    /// Show one account, with its reported limits
    Show {
        /// Its name or id
        account: String,
    },
    /// Ask an account's upstream whether its credential is good; exits with 1 where one is not
    Check {
        /// Its name or id
        #[arg(required_unless_present = "all")]
        account: Option<String>,
        /// Check every account
        #[arg(long, conflicts_with = "account")]
        all: bool,
    },
    /// Change an account; what is not named stays as it is
    #[command(after_help = "\
Examples:
  llm-gateway accounts set team-1 --credential-file - < new-key.txt           # what it was refused for is forgotten
  llm-gateway accounts set team-1 --max-in-flight none --priority 1
")]
    Set {
        /// Its name or id
        account: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        credential: GivenCredential,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Take an account out, until it is resumed
    Pause {
        /// Its name or id
        account: String,
    },
    /// Bring a paused account back
    Resume {
        /// Its name or id
        account: String,
    },
    /// Forget an account's cooldowns and failures
    Reset {
        /// Its name or id
        account: String,
    },
    /// Remove an account and its credential; its rows in the ledger stay
    Remove {
        /// Its name or id
        account: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args)]
pub(crate) struct GivenCredential {
    /// The file that holds the API key, or the credential as the API takes it (JSON); `-` reads standard input
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct List {
    /// Only accounts of this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only accounts of this pool
    #[arg(long)]
    pool: Option<String>,
    /// Only accounts in this state: ready, cooling, exhausted, `needs_auth`, paused
    #[arg(long)]
    state: Option<String>,
}

impl Accounts {
    pub(crate) async fn run(self, api: &Api, out: &Out) -> Result<ExitCode> {
        let done = match self {
            Self::Add { name, provider, credential: given, settings } => {
                let mut body = settings.body()?;
                body.put("name", Some(name));
                body.put("provider", Some(provider));
                body.put("credential", Some(credential(given.credential_file.as_deref())?));
                added(out, &api.send(Method::POST, &["accounts"], Some(body.into_value())).await?)
            }
            Self::Import { name, file, project, settings } => {
                let mut body = settings.body()?;
                body.put("name", Some(name));
                body.put("project", project);
                body.put("contents", Some(ask::text(&file, "login")?));
                added(out, &api.send(Method::POST, &["accounts", "import"], Some(body.into_value())).await?)
            }
            Self::List(list) => list.run(api, out).await,
            Self::Show { account } => {
                let id = find::id(api, &find::ACCOUNT, &account).await?;
                out.thing(&api.get(&["accounts", &id], &[]).await?)
            }
            Self::Check { account, .. } => return check(api, out, account.as_deref()).await,
            Self::Set { account, name, credential: given, settings } => {
                let mut body = settings.body()?;
                body.put("name", name);
                let file = given.credential_file.as_deref();
                body.put("credential", file.map(|file| credential(Some(file))).transpose()?);
                body.must_change_something()?;
                let id = find::id(api, &find::ACCOUNT, &account).await?;
                let account = api.send(Method::PATCH, &["accounts", &id], Some(body.into_value())).await?;
                out.answer(&account, || out.line(&format!("changed {}", find::called(&account))))
            }
            Self::Pause { account } => act(api, out, &account, "pause").await,
            Self::Resume { account } => act(api, out, &account, "resume").await,
            Self::Reset { account } => act(api, out, &account, "reset").await,
            Self::Remove { account, yes } => remove(api, out, &account, yes).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

fn added(out: &Out, account: &Value) -> Result<()> {
    out.answer(account, || out.line(&format!("added {}", find::called(account))))
}

async fn act(api: &Api, out: &Out, named: &str, act: &str) -> Result<()> {
    let id = find::id(api, &find::ACCOUNT, named).await?;
    let account = api.send(Method::POST, &["accounts", &id, act], None).await?;
    out.answer(&account, || {
        out.line(&format!("{act}: {} is now {}", find::called(&account), show::text(&account["state"])))
    })
}

async fn remove(api: &Api, out: &Out, named: &str, yes: bool) -> Result<()> {
    let id = find::id(api, &find::ACCOUNT, named).await?;
    let account = api.get(&["accounts", &id], &[]).await?;
    ask::confirm(&format!("Remove {} and its credential for good?", find::called(&account)), yes)?;
    api.send(Method::DELETE, &["accounts", &id], None).await?;
    out.answer(&json!({ "id": id, "removed": true }), || out.line(&format!("removed {}", find::called(&account))))
}

async fn check(api: &Api, out: &Out, named: Option<&str>) -> Result<ExitCode> {
    let ids = match named {
        Some(named) => vec![find::id(api, &find::ACCOUNT, named).await?],
        None => {
            let all = api.all(&["accounts"], Vec::new()).await?;
            all.iter().map(|account| show::text(&account["id"])).collect()
        }
    };
    let (mut found, mut progress) = (Vec::new(), Progress::new());
    for (done, id) in ids.iter().enumerate() {
        progress.tell(&format!("checking account {} of {}", done + 1, ids.len()));
        found.push(api.send(Method::POST, &["accounts", id, "check"], None).await?);
    }
    progress.clear();
    let all_good = found.iter().all(|finding| finding["ok"] == true);
    out.list(
        &found,
        &[
            words("ACCOUNT", |finding| find::called(&finding["account"])),
            words("CHECK", |finding| if finding["ok"] == true { "ok" } else { "FAILED" }.to_owned())
                .toned(|finding| if finding["ok"] == true { Tone::Good } else { Tone::Bad }),
            figures("TOOK", |finding| show::millis(&finding["took_ms"])),
            words("STATE", |finding| show::text(&finding["account"]["state"])),
            words("FOUND", |finding| show::text(&finding["message"])),
        ],
    )?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl List {
    async fn run(self, api: &Api, out: &Out) -> Result<()> {
        let filters = [("provider", self.provider), ("pool", self.pool), ("state", self.state)];
        let query: Vec<_> = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let accounts = api.all(&["accounts"], query).await?;
        out.list(&accounts, &columns())
    }
}

fn columns() -> [Column; 10] {
    [
        words("NAME", |account| show::text(&account["name"])),
        words("ID", |account| show::text(&account["id"])),
        words("PROVIDER", |account| show::text(&account["provider"])),
        words("POOL", |account| show::text(&account["pool"])),
        words("STATE", |account| show::text(&account["state"])).toned(|account| show::tone(&account["state"])),
        words("UNTIL", |account| show::time(&account["state_until"])),
        figures("IN FLIGHT", |account| show::count(&account["in_flight"])),
        figures("TODAY", |account| show::count(&account["usage_today"]["requests"])),
        figures("COST TODAY", |account| show::dollars(&account["usage_today"]["cost_usd"])),
        words("WHY", |account| show::text(&account["state_reason"])),
    ]
}
