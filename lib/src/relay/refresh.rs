//! Who renews a login, and when: two minutes ahead beside any request, at the last moment before one, and once after the
//! upstream refuses a token before its time.
//!
//! An instance takes the turn in the database, asks the token endpoint, and stores what it got before anybody uses it. The
//! others wait for the account's credential to change. It all happens in a task of its own: a caller who hangs up must not
//! take a pair of tokens along that exists nowhere else.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use tokio::{sync::oneshot, time::sleep};

use super::{
    Arrival,
    attempt::{self, Outcome},
    hold::Held,
    open::Open,
    project,
    setback::set_back,
};
use crate::{
    clock,
    credential::Credential,
    gateway::{Context, Gateway, Renewed, Snapshot, Unable},
    pool::{Account, State},
    protocol::Penalty,
    random,
    store::{Failure, Remedy, Replacement, Turn, Version},
    upstream::oauth::{self, Denied, Grant},
};

/// So long before its end a token is renewed beside whatever goes on.
const AHEAD: Duration = Duration::from_secs(120);
/// So long before its end it is not sent any more, if a new one can be had.
const LAST_MOMENT: Duration = Duration::from_secs(30);
/// Renewals that one look begins; the next look is soon.
const MOST_AT_ONCE: usize = 16;
/// A turn that is not ended by then was a dead instance's: long enough to ask the endpoint and to store the answer.
const TURN: Duration = Duration::from_secs(30);
/// So long is another instance's turn waited for.
const PATIENCE: Duration = Duration::from_secs(8);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// After a failure the endpoint is left alone for this, or for as long as it asks, within bounds.
const REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);
/// Tries to store a new pair.
const STORE_TRIES: u32 = 7;

/// An attempt with a token that lives. Where the upstream refuses it nevertheless, it is renewed and the attempt is made
/// again, once, on the same account.
pub(super) async fn attempt(cx: &Context, arrival: &Arrival, account: &Account, open: &Open) -> Outcome {
    let began = Instant::now();
    let mut account = match ready(cx, account).await {
        Ok(account) => account,
        Err(unable) => {
            open.attempted(&account.id, unable.penalty().name(), None, began.elapsed());
            return elsewhere(cx, arrival, account, open, (unable, None)).await;
        }
    };
    let mut renewed = false;
    loop {
        let held = match attempt::attempt(cx, arrival, &account, open).await {
            Outcome::Elsewhere { penalty: Some(Penalty::NeedsAuth), held: Some(held) } if may_cure(&account, &held) => {
                held
            }
            decided => return decided,
        };
        if renewed {
            return ended(cx, &account, held, None).await;
        }
        account = match Box::pin(renew(cx, &account)).await {
            Ok(Some(newer)) => match Box::pin(project::known(cx, Cow::Owned(newer))).await {
                Ok(newer) => newer,
                Err(unable) => return elsewhere(cx, arrival, &account, open, (unable, Some(held))).await,
            },
            Ok(None) => return ended(cx, &account, held, None).await,
            Err(Unable { remedy: Remedy::Settings, reason }) => return ended(cx, &account, held, Some(reason)).await,
            Err(unable) => return elsewhere(cx, arrival, &account, open, (unable, Some(held))).await,
        };
        renewed = true;
    }
}

/// Whether a refusal may be cured by a new token.
pub(super) fn may_cure(account: &Account, held: &Held) -> bool {
    account.credential_kind == Credential::OAUTH && held.refuses_token()
}

/// The account with all that a request needs: a token that lives, and a project where its API wants one.
pub(super) async fn ready<'a>(cx: &Context, account: &'a Account) -> Result<Cow<'a, Account>, Unable> {
    if account.credential_kind != Credential::OAUTH {
        return Ok(Cow::Borrowed(account));
    }
    let living = Box::pin(living(cx, account)).await?;
    Box::pin(project::known(cx, living)).await
}

/// The account with a token that does not end at once, as far as one can be had.
async fn living<'a>(cx: &Context, account: &'a Account) -> Result<Cow<'a, Account>, Unable> {
    let mut known = cx.gateway.renewals.newer(account).map_or(Cow::Borrowed(account), Cow::Owned);
    let mut come = 0;
    while come < 2 && ends_within(&known, LAST_MOMENT, clock::now()) {
        match renew(cx, &known).await {
            Ok(Some(renewed)) => {
                // With the same end it was another errand that was waited for, and the token is still the old one.
                come += if renewed.credential_expires_at == known.credential_expires_at { 1 } else { 2 };
                known = Cow::Owned(renewed);
            }
            Ok(None) => break,
            // It may be the endpoint that is down; the token lives on.
            Err(unable) if unable.remedy != Remedy::Login && !ends_within(&known, Duration::ZERO, clock::now()) => {
                break;
            }
            Err(unable) => return Err(unable),
        }
    }
    Ok(known)
}

/// Begins to renew what is about to end, now and then, beside a request. Accounts that cool or are exhausted keep their
/// login alive too. One that is paused may be in use elsewhere, and one that needs a login has none.
pub(super) fn when_due(cx: &Context, snapshot: &Snapshot) {
    let now = clock::now();
    if !cx.gateway.renewals.may_look() {
        return;
    }
    let due = snapshot.accounts().filter(|account| {
        let shut_out = account.paused || account.health.last == State::NeedsAuth;
        account.credential_kind == Credential::OAUTH && !shut_out && ends_within(account, AHEAD, now)
    });
    for account in due.take(MOST_AT_ONCE) {
        let known = cx.gateway.renewals.newer(account).unwrap_or_else(|| account.clone());
        if ends_within(&known, AHEAD, now) {
            drop(cx.gateway.renewals.join(&known, || begin(cx, &known, Errand::Token)));
        }
    }
}

fn ends_within(account: &Account, time: Duration, now: Timestamp) -> bool {
    account.credential_expires_at.is_some_and(|end| end <= now + time)
}

/// Renews a credential, or waits for whoever is at it.
pub(super) async fn renew(cx: &Context, known: &Account) -> Renewed {
    match cx.gateway.renewals.newer(known) {
        Some(newer) => Ok(Some(newer)),
        None => cx.gateway.renewals.join(known, || begin(cx, known, Errand::Token)).await,
    }
}

/// What a credential is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// A token that lives.
    Token,
    /// The project that requests count against.
    Project,
}

pub(super) fn begin(cx: &Context, known: &Account, errand: Errand) -> BoxFuture<'static, Renewed> {
    let (tell, told) = oneshot::channel();
    let (gateway, known) = (Arc::clone(&cx.gateway), known.clone());
    cx.background.spawn(async move {
        let renewed = Renewal::of(&gateway, &known).run(errand).await;
        if let Err(unable) = &renewed {
            tracing::warn!(account = %known.id, ?errand, reason = unable.reason, "a login could not be renewed");
        }
        gateway.renewals.done(&known, &renewed);
        // Nobody may be waiting.
        let _unheard = tell.send(renewed);
    });
    async { told.await.unwrap_or_else(|_| Err(later("the renewal was broken off"))) }.boxed()
}

/// One renewal of one version of a credential.
pub(super) struct Renewal<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) known: &'a Account,
    version: Version,
    holder: String,
}

impl<'a> Renewal<'a> {
    fn of(gateway: &'a Gateway, known: &'a Account) -> Self {
        let version = Version { account: known.id.clone(), number: known.credential_version };
        Self { gateway, known, version, holder: format!("{:016x}", random::draw()) }
    }

    async fn run(&self, errand: Errand) -> Renewed {
        let Ok(login @ Credential::OAuth { .. }) = self.gateway.unseal(self.known) else { return Ok(None) };
        let turn = match (errand, &login) {
            (Errand::Token, Credential::OAuth { refresh_token: None, .. }) => return Ok(None),
            (Errand::Token, _) => TURN,
            (Errand::Project, _) => project::TURN,
        };
        let asked = Instant::now();
        loop {
            match self.gateway.store.begin_refresh(&self.version, &self.holder, turn).await.map_err(away)? {
                Turn::Ours { interrupted } => {
                    return match errand {
                        Errand::Token => self.exchange(login, interrupted).await,
                        Errand::Project => self.resolve(login, interrupted).await,
                    };
                }
                Turn::Newer => return self.reread().await,
                Turn::Resting { reason, remedy: Remedy::Login } => return self.mark_ended(reason).await,
                Turn::Resting { reason, remedy } => return Err(Unable { remedy, reason }),
                Turn::Busy if asked.elapsed() > PATIENCE => {
                    return Err(later("another instance began to renew the login and has not ended"));
                }
                Turn::Busy => sleep(ASK_AGAIN).await,
            }
        }
    }

    /// It is our turn: asks the endpoint, and stores what it gives.
    pub(super) async fn exchange(&self, login: Credential, interrupted: bool) -> Renewed {
        let Credential::OAuth { refresh_token: Some(refresh_token), project, .. } = login else {
            return self.give_up("log in again: the access token is refused".to_owned(), interrupted).await;
        };
        let Self { gateway, known, .. } = self;
        let client = gateway.oauth_client(known.provider);
        match oauth::refresh(&gateway.upstream, client, known.provider, &refresh_token).await {
            Ok(Grant { access_token, refresh_token: rotated, expires_at }) => {
                let refresh_token = Some(rotated.unwrap_or(refresh_token));
                self.keep(&Credential::OAuth { access_token, refresh_token, expires_at, project }).await?;
                tracing::info!(account = %known.id, "a login was renewed");
                self.reread().await
            }
            Err(Denied::Ended(reason)) => {
                let told = if interrupted {
                    format!(
                        "log in again: an earlier refresh was cut off before its answer was stored, and the refresh token \
                         is refused now ({reason})"
                    )
                } else {
                    format!("log in again: the refresh token is refused ({reason})")
                };
                self.give_up(told, interrupted).await
            }
            Err(Denied::Settings(reason)) if ends_within(known, Duration::ZERO, clock::now()) => {
                self.give_up(format!("the access token has ended and cannot be renewed: {reason}"), interrupted).await
            }
            Err(Denied::Settings(reason)) => self.rest(Remedy::Settings, reason, interrupted, REST).await,
            Err(Denied::Later { reason, at }) => {
                let asked = at.and_then(|at| Duration::try_from(at - clock::now()).ok()).unwrap_or(REST);
                self.rest(Remedy::Patience, reason, interrupted, asked.clamp(REST, LONGEST_REST)).await
            }
            Err(Denied::Unanswered(reason)) => self.rest(Remedy::Patience, reason, true, REST).await,
        }
    }

    /// Until this has succeeded the new pair exists only here, so it is tried for as long as the turn may last.
    pub(super) async fn keep(&self, credential: &Credential) -> Result<(), Unable> {
        let sealed = self.gateway.seal(&self.known.id, credential);
        let new = Replacement { sealed: &sealed, hint: &credential.hint(), expires_at: credential.expires_at() };
        let mut attempt = 0;
        loop {
            match self.gateway.store.keep_refreshed(&self.version, &new).await {
                Ok(()) => return Ok(()),
                Err(error) if attempt < STORE_TRIES => {
                    tracing::warn!(account = %self.known.id, attempt, %error, "a renewed login could not be stored");
                }
                Err(error) => return Err(away(error)),
            }
            sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }

    /// The account as the database has it now, whoever renewed it.
    pub(super) async fn reread(&self) -> Renewed {
        let account = self.gateway.store.account(&self.known.id).await.map_err(away)?;
        Ok(Some(account))
    }

    /// Nobody but the operator can mend this.
    pub(super) async fn give_up(&self, reason: String, unanswered: bool) -> Renewed {
        let outcome = self.mark_ended(reason.clone()).await;
        self.fail(&Failure { reason: &reason, remedy: Remedy::Login, unanswered, rest: REST }).await?;
        outcome
    }

    async fn mark_ended(&self, reason: String) -> Renewed {
        self.gateway.store.credential_ended(&self.version, &reason).await.map_err(away)?;
        Err(Unable { remedy: Remedy::Login, reason })
    }

    async fn rest(&self, remedy: Remedy, reason: String, unanswered: bool, rest: Duration) -> Renewed {
        let reason = format!("the login could not be renewed: {reason}");
        self.fail(&Failure { reason: &reason, remedy, unanswered, rest }).await?;
        Err(Unable { remedy, reason })
    }

    pub(super) async fn fail(&self, failure: &Failure<'_>) -> Result<(), Unable> {
        self.gateway.store.rest_refresh(&self.version, &self.holder, failure).await.map_err(away)
    }
}

/// What another try may cure.
fn later(reason: impl Into<String>) -> Unable {
    Unable { remedy: Remedy::Patience, reason: reason.into() }
}

fn away(error: crate::error::Error) -> Unable {
    later(error.message)
}

impl Unable {
    /// What the account pays for having no usable token.
    fn penalty(&self) -> Penalty {
        match self.remedy {
            Remedy::Login => Penalty::NeedsAuth,
            Remedy::Settings | Remedy::Patience => Penalty::Unreachable,
        }
    }
}

/// A token that was refused, and renewed in vain or not at all: `why`, where there is more to say.
async fn ended(cx: &Context, account: &Account, held: Held, why: Option<String>) -> Outcome {
    let version = Version { account: account.id.clone(), number: account.credential_version };
    let reason = why.map_or_else(|| held.reason(), |why| format!("{}; {why}", held.reason()));
    tracing::warn!(account = %account.id, reason, "a login is refused");
    if let Err(error) = cx.gateway.store.credential_ended(&version, &reason).await {
        tracing::error!(account = %account.id, %error, "an account's setback could not be kept");
    }
    Outcome::Elsewhere { penalty: Some(Penalty::NeedsAuth), held: Some(held) }
}

/// An account without a usable token. That it needs a login is in the database by now, for the one token it was about.
async fn elsewhere(
    cx: &Context,
    arrival: &Arrival,
    account: &Account,
    open: &Open,
    (unable, held): (Unable, Option<Held>),
) -> Outcome {
    let penalty = unable.penalty();
    if penalty != Penalty::NeedsAuth {
        set_back(cx, arrival, account, open, (&penalty, unable.reason)).await;
    }
    Outcome::Elsewhere { penalty: Some(penalty), held }
}
