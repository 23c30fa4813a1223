//! Which project a login's requests count against at Code Assist: found once, by one instance for all, and kept in the
//! credential.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::time::sleep;

use super::refresh::{self, Errand, Renewal};
use crate::{
    clock,
    credential::Credential,
    error,
    gateway::{Context, Renewed, Unable},
    pool::Account,
    protocol::{
        Answer, Api, Penalty, Provider, Verdict,
        code_assist::{Loaded, NO_PROJECT, Onboarded, is_barred_by_policy, load_request, loaded, onboarded},
        reason,
    },
    store::{Failure, Remedy},
    upstream::code_assist::{Told, call, operation},
};

/// A turn that is not ended by then was a dead instance's: long enough for an account to be enrolled.
pub(super) const TURN: Duration = Duration::from_secs(90);
/// An account that is not enrolled by then is asked for again later.
const ENROLMENT: Duration = Duration::from_secs(50);
/// Between two looks at an enrolment: at first, and in the end.
const LOOKS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];
/// After a failure Code Assist is left alone for this.
const REST: Duration = Duration::from_secs(10);
/// Versions of a credential that may come without a project while one is looked for.
const VERSIONS: usize = 3;

/// The account with a project in its credential, where its API wants one.
pub(super) async fn known<'a>(cx: &Context, mut account: Cow<'a, Account>) -> Result<Cow<'a, Account>, Unable> {
    for _ in 0..VERSIONS {
        if !lacks_one(cx, &account) {
            return Ok(account);
        }
        let joined = cx.gateway.renewals.join(&account, || refresh::begin(cx, &account, Errand::Project));
        match joined.await? {
            Some(newer) => account = Cow::Owned(newer),
            None => return Ok(account),
        }
    }
    Ok(account)
}

fn lacks_one(cx: &Context, account: &Account) -> bool {
    account.api() == Api::CodeAssist
        && cx.gateway.unseal(account).is_ok_and(|credential| credential.project().is_none())
}

/// What looking for a project comes to.
enum Found {
    Project(String),
    /// The token is refused.
    Refused,
    /// Until somebody acts; why.
    Never(String),
    /// Not now; why.
    Later(String),
    /// Something else is at the address; why that is thought.
    Wrong(String),
}

impl Renewal<'_> {
    /// It is our turn: asks Code Assist, and stores what it says.
    pub(super) async fn resolve(&self, login: Credential, interrupted: bool) -> Renewed {
        let (reason, remedy) = match self.find(&login).await {
            Found::Project(project) => {
                tracing::info!(account = %self.known.id, project, "an account's project was found");
                self.keep(&with_project(login, project)).await?;
                return self.reread().await;
            }
            // A new token may do better; who waits comes back for the project.
            Found::Refused => return self.exchange(login, interrupted).await,
            Found::Never(reason) => return self.give_up(reason, interrupted).await,
            Found::Later(reason) => (reason, Remedy::Patience),
            Found::Wrong(reason) => (reason, Remedy::Settings),
        };
        let reason = format!("the account's project could not be found: {reason}");
        self.fail(&Failure { reason: &reason, remedy, unanswered: interrupted, rest: REST }).await?;
        Err(Unable { remedy, reason })
    }

    fn base_url(&self) -> &str {
        self.gateway.base_url(self.known)
    }

    async fn find(&self, login: &Credential) -> Found {
        let asked = call(&self.gateway.upstream, self.base_url(), login, "loadCodeAssist", &load_request(None)).await;
        let body = match answered(asked) {
            Ok(body) => body,
            Err(found) => return found,
        };
        match loaded(&body, None) {
            Some(Loaded::Project(project)) => Found::Project(project),
            Some(Loaded::Never(reason)) => Found::Never(reason),
            Some(Loaded::Onboard(request)) => self.enrol(login, &request).await,
            None => Found::Wrong("loadCodeAssist was answered with something else".to_owned()),
        }
    }

    /// Has the account enrolled in the tier that it may have, and waits for it.
    async fn enrol(&self, login: &Credential, request: &Value) -> Found {
        let upstream = &self.gateway.upstream;
        let (began, [mut pause, longest]) = (Instant::now(), LOOKS);
        let mut asked = call(upstream, self.base_url(), login, "onboardUser", request).await;
        loop {
            let body = match answered(asked) {
                Ok(body) => body,
                Err(found) => return found,
            };
            let name = match onboarded(&body) {
                Some(Onboarded::Project(project)) => return Found::Project(project),
                Some(Onboarded::Never(reason)) => return Found::Never(reason),
                Some(Onboarded::Running(name)) => name,
                None => return Found::Wrong("onboardUser was answered with something else".to_owned()),
            };
            if began.elapsed() > ENROLMENT {
                return Found::Later("Code Assist is still enrolling it".to_owned());
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
            asked = operation(upstream, self.base_url(), login, &name).await;
        }
    }
}

fn with_project(login: Credential, found: String) -> Credential {
    match login {
        Credential::OAuth { access_token, refresh_token, expires_at, .. } => {
            Credential::OAuth { access_token, refresh_token, expires_at, project: Some(found) }
        }
        key @ Credential::ApiKey(_) => key,
    }
}

/// A good answer's body, or what another answer means.
fn answered(asked: error::Result<Told>) -> Result<Bytes, Found> {
    let (status, headers, body) = match asked {
        Ok(Ok(told)) => told,
        Ok(Err(reason)) => return Err(Found::Later(reason)),
        Err(error) => return Err(Found::Wrong(error.to_string())),
    };
    if status.is_success() {
        return Ok(body);
    }
    if status.as_u16() == 401 {
        return Err(Found::Refused);
    }
    if is_barred_by_policy(&body) {
        return Err(Found::Never(NO_PROJECT.to_owned()));
    }
    let answer = Answer { status, headers: &headers, body: &body };
    let reason = reason(status, &body);
    Err(match Provider::Gemini.judge(&answer, clock::now()) {
        Verdict::Failover(Penalty::NeedsAuth | Penalty::Exhausted { .. }) => Found::Never(reason),
        Verdict::Failover(_) => Found::Later(reason),
        Verdict::Deliver | Verdict::CallersFault | Verdict::Unsuited => Found::Wrong(reason),
    })
}
