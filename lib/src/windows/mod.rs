//! The minutes of keys and accounts, counted in Redis where there is one: exact over all instances, and nothing that may
//! not be lost. While Redis is away Postgres counts them, as it does where there is none.

mod fault;
mod link;
mod rest;
mod tcp;

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    access::{ApiKey, Limit, Span, Standing},
    clock, config,
    error::{Measure, Result},
    id::RequestId,
    pool::Account,
};

use fault::Fault;
use link::Link;

/// The shore where Redis is.
pub(crate) struct Windows(Link);

/// A key or an account with limits by the minute; `None`: it has no such limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    name: String,
    requests: Option<i64>,
    pub(crate) tokens: Option<i64>,
}

/// What came of a request that was to be counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It counts on the key, and on the account at this place of the list; `None`: none of them has room.
    Room(Option<usize>),
    /// The key has nothing left, and nothing was counted.
    KeyLimited(Standing),
}

impl Subject {
    /// `None`: the key has no limit by the minute.
    pub(crate) fn of_key(key: &ApiKey) -> Option<Self> {
        let most = |measure| minute_limit(key, measure).map(|limit| limit.value);
        Self::of(key.id.as_str(), most(Measure::Requests), most(Measure::Tokens))
    }

    /// `None`: the account has no limit by the minute.
    pub(crate) fn of_account(account: &Account) -> Option<Self> {
        let (requests, tokens) = (account.requests_per_minute, account.tokens_per_minute);
        Self::of(account.id.as_str(), requests.map(i64::from), tokens.map(i64::from))
    }

    fn of(name: &str, requests: Option<i64>, tokens: Option<i64>) -> Option<Self> {
        (requests.is_some() || tokens.is_some()).then(|| Self { name: name.to_owned(), requests, tokens })
    }

    /// The names of its requests and its tokens, which a cluster would keep in one place.
    fn keys(&self) -> [String; 2] {
        ["requests", "tokens"].map(|what| format!("llm-gateway:{{{}}}:{what}", self.name))
    }

    fn limits(&self) -> [String; 2] {
        [self.requests, self.tokens].map(|most| most.unwrap_or(-1).to_string())
    }
}

fn minute_limit(key: &ApiKey, measure: Measure) -> Option<&Limit> {
    key.limits.iter().find(|limit| limit.span == Span::Minute && limit.measure == measure)
}

impl Windows {
    /// Knows where Redis is, and how long a request waits for it; nothing is connected yet.
    pub(crate) fn new(config: &config::Redis, patience: Duration) -> Result<Self> {
        Ok(Self(Link::new(config, patience)?))
    }

    /// Whether Redis is asked at the moment.
    pub(crate) fn are_open(&self) -> bool {
        self.0.is_open()
    }

    /// Counts a request on its key, where that has room, and on the first of these accounts that has. The same request
    /// counts once. `None`: Redis is away.
    pub(crate) async fn take(
        &self,
        request: &RequestId,
        tokens: u64,
        key: Option<&ApiKey>,
        accounts: &[Subject],
    ) -> Option<Taken> {
        let holder = key.and_then(Subject::of_key);
        let subjects: Vec<_> = holder.iter().chain(accounts).collect();
        if subjects.is_empty() {
            return self.are_open().then_some(Taken::Room(None));
        }
        let mut arguments = deed("take", request.as_str());
        arguments.extend([tokens.to_string(), i32::from(holder.is_some()).to_string()]);
        arguments.extend(subjects.iter().flat_map(|subject| subject.limits()));
        let figures = self.0.run(&keys(&subjects), &arguments).await?;
        let &[refused, measure, used, wait, place] = figures.as_slice() else { return None };
        let measure = if measure == 1 { Measure::Requests } else { Measure::Tokens };
        let limit = key.filter(|_| refused != 0).and_then(|key| minute_limit(key, measure));
        Some(match limit {
            Some(limit) => Taken::KeyLimited(Standing { limit: limit.clone(), used, resets_at: after(wait) }),
            None => Taken::Room(usize::try_from(place).ok().and_then(|place| place.checked_sub(1))),
        })
    }

    /// Gives all back that a request has taken with so many tokens.
    pub(crate) async fn give_back(&self, request: &RequestId, tokens: u64, subjects: &[&Subject]) {
        let mut arguments = deed("forget", request.as_str());
        let taken = |subject: &&Subject| if subject.tokens.is_some() { tokens } else { 0 };
        arguments.extend(subjects.iter().map(taken).map(|amount| amount.to_string()));
        // Else it counts for a minute.
        let _given_back = self.0.run(&keys(subjects), &arguments).await;
    }

    /// Adds to the tokens that a request was taken with; a negative number takes away.
    pub(crate) async fn correct(&self, request: &RequestId, amounts: &[(&Subject, i64)]) {
        let mut arguments = deed("correct", request.as_str());
        arguments.extend(amounts.iter().map(|(_, amount)| amount.to_string()));
        let subjects: Vec<_> = amounts.iter().map(|(subject, _)| *subject).collect();
        // Else the estimate counts for a minute.
        let _corrected = self.0.run_once(&keys(&subjects), &arguments).await;
    }

    /// How keys stand with their limits by the minute, in the order of the keys. `None`: Redis is away.
    pub(crate) async fn standing(&self, of: &[&ApiKey]) -> Option<Vec<Vec<Standing>>> {
        let subjects: Vec<_> = of.iter().map(|key| Subject::of_key(key)).collect();
        let limited: Vec<_> = subjects.iter().flatten().collect();
        let mut figures = if limited.is_empty() { Vec::new() } else { self.look(&limited).await? }.into_iter();
        let mut next = || (figures.next().unwrap_or_default(), figures.next().unwrap_or_default());
        let mut standing = |key: &&ApiKey, subject: &Option<Subject>| {
            let figures = subject.as_ref().map(|_| [(Measure::Requests, next()), (Measure::Tokens, next())]);
            let stands = |(measure, (used, wait))| {
                Some(Standing { limit: minute_limit(key, measure)?.clone(), used, resets_at: after(wait) })
            };
            figures.into_iter().flatten().filter_map(stands).collect()
        };
        Some(of.iter().zip(&subjects).map(|(key, subject)| standing(key, subject)).collect())
    }

    /// Whether Redis answers, runs the script and lets it write.
    pub(crate) async fn answer(&self) -> bool {
        let nobody = Subject { name: "health".to_owned(), requests: None, tokens: None };
        self.look(&[&nobody]).await.is_some()
    }

    async fn look(&self, subjects: &[&Subject]) -> Option<Vec<i64>> {
        let mut arguments = deed("look", "");
        arguments.extend(subjects.iter().flat_map(|subject| subject.limits()));
        self.0.run(&keys(subjects), &arguments).await
    }
}

/// The beginning of the script's arguments.
fn deed(name: &str, request: &str) -> Vec<String> {
    vec![name.to_owned(), request.to_owned(), clock::now().as_millisecond().to_string()]
}

fn keys(subjects: &[&Subject]) -> Vec<String> {
    subjects.iter().flat_map(|subject| subject.keys()).collect()
}

/// So many milliseconds from now; `None` for none at all.
fn after(wait: i64) -> Option<Timestamp> {
    let wait = u64::try_from(wait).ok().filter(|wait| *wait > 0)?;
    clock::now().checked_add(Duration::from_millis(wait)).ok()
}
