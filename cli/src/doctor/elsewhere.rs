//! A gateway that runs elsewhere, by what it answers.

use gateway::{Kind, Result, clock};
use http::{HeaderMap, Method, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822};

use super::{Finding, accounts, health as own};
use crate::{
    api::{Answer, Api},
    progress::Progress,
    show,
};

/// Answers carry the time in whole seconds, and are some time on their way.
const CLOCK_FAULT: f64 = 10.0;

/// Looks at the gateway's health, its clock, its version and its accounts.
pub(super) async fn examine(api: &Api, progress: &mut Progress) -> Vec<Finding> {
    progress.tell("the gateway");
    let mut findings = Vec::new();
    match health(api).await {
        Err(error) => {
            let cure = "Check the URL, and that the gateway is deployed and its certificate is valid";
            findings.push(Finding::fault("gateway", error.to_string(), cure));
            return findings;
        }
        Ok(answer) => {
            findings.extend(healthy(api, &answer));
            findings.extend(clock_of(&answer.headers));
            if answer.status == StatusCode::OK {
                findings.extend(accounts::examine(api, progress).await);
            }
        }
    }
    findings
}

async fn health(api: &Api) -> Result<Answer> {
    let answer = api.ask(Method::GET, api.url(&["health"], &[])?, None).await?;
    if answer.body["status"].is_string() || answer.body["error"]["type"] == "unavailable" {
        return Ok(answer);
    }
    Err(gateway::Error::new(Kind::Unavailable, format!("{} answers, and is not a gateway", api.base())))
}

fn healthy(api: &Api, answer: &Answer) -> Vec<Finding> {
    let (body, own) = (&answer.body, env!("CARGO_PKG_VERSION"));
    if let Some(message) = body["error"]["message"].as_str() {
        let cure = "Set what it names in the gateway's environment, and start or deploy it again";
        return vec![Finding::fault("gateway", format!("it is not set up: {message}"), cure)];
    }
    if answer.status != StatusCode::OK {
        let cure = "Run `llm-gateway doctor` with the environment of the gateway, DATABASE_URL above all";
        return vec![Finding::fault("gateway", format!("its database is {}", show::text(&body["database"])), cure)];
    }
    let mut findings = vec![Finding::good("gateway", format!("{} is healthy", api.base()))];
    let version = show::text(&body["version"]);
    if version != own {
        let found = format!("it is version {version}, this program {own}");
        findings.push(Finding::note("version", found, "Use the same version on both sides"));
    }
    findings.extend(own::examine(body));
    findings
}

fn clock_of(headers: &HeaderMap) -> Option<Finding> {
    let theirs: Timestamp = rfc2822::parse(headers.get(header::DATE)?.to_str().ok()?).ok()?.timestamp();
    let ahead = theirs.duration_since(clock::now()).as_secs_f64();
    Some(if ahead.abs() >= CLOCK_FAULT {
        let found = format!("its clock is {ahead:+.0} s from this machine's");
        Finding::fault("clock", found, "Let both keep time by NTP (timedatectl set-ntp true)")
    } else {
        Finding::good("clock", "this machine and the gateway agree on the time")
    })
}
