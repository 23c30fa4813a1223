//! `llm-gateway doctor`: what is wrong, and how to mend it.
//!
//! Each file below looks at one thing and answers findings. None of them repairs anything.

mod accounts;
mod configuration;
mod database;
mod elsewhere;
mod health;
mod place;

use std::process::ExitCode;

use gateway::{
    Result,
    config::{Config, Environment, Terminal},
};
use serde_json::{Value, json};

use crate::{
    api::Api,
    arguments::Shared,
    out::{Out, Tone},
    progress::Progress,
};

/// How a thing was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    /// As it should be.
    Good,
    /// It works, and could do better or is not meant to last.
    Note,
    /// The gateway does not work, or not safely.
    Fault,
}

/// What was found of one thing.
#[derive(Debug)]
struct Finding {
    /// What was looked at; a name that scripts may rely on.
    check: &'static str,
    grade: Grade,
    found: String,
    /// What to do about it.
    cure: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, grade: Grade::Good, found: found.into(), cure: None }
    }

    fn note(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, grade: Grade::Note, found: found.into(), cure: Some(cure.into()) }
    }

    fn fault(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, grade: Grade::Fault, found: found.into(), cure: Some(cure.into()) }
    }
}

/// Looks at everything, and says what it found; the code is 1 where there is a fault.
pub(crate) async fn run(shared: &Shared, env: &Environment, out: &Out) -> Result<ExitCode> {
    let mut progress = Progress::new();
    let is_elsewhere = shared.url.is_some() || Terminal::read(env).gateway_url.is_some();
    let findings = match is_elsewhere {
        true => elsewhere::examine(&Api::open(shared, env)?, &mut progress).await,
        false => here(env, &mut progress).await,
    };
    progress.clear();
    tell(&findings, out)?;
    let faulty = findings.iter().any(|finding| finding.grade == Grade::Fault);
    Ok(if faulty { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What `serve` would find in this environment.
async fn here(env: &Environment, progress: &mut Progress) -> Vec<Finding> {
    let mut findings = configuration::examine(env);
    progress.tell("the port and the files");
    findings.extend(place::examine(env).await);
    progress.tell("the database");
    let (of_database, schema_fits) = database::examine(env).await;
    findings.extend(of_database);
    // Without these the accounts cannot be read, and reading them would bring the schema up to date.
    if let (Ok(config), true) = (Config::read(env), schema_fits) {
        match Api::within(env, config.admin_token) {
            Ok(api) => {
                if let Ok(told) = api.get(&["health"], &[]).await {
                    findings.extend(health::examine(&told));
                }
                findings.extend(accounts::examine(&api, progress).await);
            }
            Err(why) => findings.push(Finding::fault("accounts", why.to_string(), "Mend the configuration")),
        }
    }
    findings
}

fn tell(findings: &[Finding], out: &Out) -> Result<()> {
    let faults = findings.iter().filter(|finding| finding.grade == Grade::Fault).count();
    let told: Vec<Value> = findings
        .iter()
        .map(|Finding { check, grade, found, cure }| {
            json!({ "check": check, "grade": word(*grade).0, "found": found, "cure": cure })
        })
        .collect();
    out.answer(&json!({ "ok": faults == 0, "findings": told }), || {
        let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        for Finding { check, grade, found, cure } in findings {
            out.marked(word(*grade), 7, &format!("{check:width$}  {found}"))?;
            if let Some(cure) = cure {
                out.line(&format!("{:indent$}→ {cure}", "", indent = 7 + width + 2))?;
            }
        }
        out.line("")?;
        match faults {
            0 => out.line("nothing is wrong"),
            1 => out.line("1 fault"),
            many => out.line(&format!("{many} faults")),
        }
    })
}

fn word(grade: Grade) -> (&'static str, Tone) {
    match grade {
        Grade::Good => ("ok", Tone::Good),
        Grade::Note => ("note", Tone::Careful),
        Grade::Fault => ("fault", Tone::Bad),
    }
}
