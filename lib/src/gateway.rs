//! What a process owns, and what a request is given.

mod failing;
mod renewals;
mod reseal;
mod sign_ins;
mod snapshot;
mod spans;
mod standing;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    access::{ApiKey, PresentedKey},
    background::Background,
    config::{Config, OAuthClient},
    credential::Credential,
    error::Result,
    id::AccountId,
    pool::Account,
    protocol::{Api, Provider},
    seal::{Sealer, Unsealable},
    store::Store,
    upstream::Upstream,
    windows::Windows,
};

use failing::Failing;
pub(crate) use renewals::{Renewals, Renewed, Unable};
pub use reseal::Resealed;
use snapshot::Remembered;
pub(crate) use snapshot::Snapshot;
use spans::Spans;
pub(crate) use spans::attribute;

/// A snapshot younger than this is used as it is.
const FRESH: Duration = Duration::from_secs(1);
/// A snapshot younger than this is used while a newer one is fetched: the claim re-checks all that matters.
const USABLE: Duration = Duration::from_secs(30);
/// Time between two reports of one account's limits.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Time between two rounds of upkeep.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);

/// Everything a process holds. Whatever is remembered here is a cache and may be empty.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) upstream: Upstream,
    /// Counts minutes where there is a Redis.
    pub(crate) windows: Option<Arc<Windows>>,
    /// Where traces go, if anywhere.
    pub(crate) spans: Option<Spans>,
    pub(crate) renewals: Renewals,
    pub(crate) failing: Failing,
    /// Accounts of which an answer broke off here, and none has been whole since.
    pub(crate) breaking: Failing,
    sealer: Sealer,
    shut: sign_ins::Shut,
    snapshot: Remembered<Snapshot>,
    kept_up: Mutex<Option<Instant>>,
    turns: AtomicUsize,
    reports: Mutex<HashMap<AccountId, Instant>>,
}

/// What every router is given: the process's own things, and a promise for work after the response.
#[derive(Clone)]
pub struct Context {
    /// The process's own things.
    pub gateway: Arc<Gateway>,
    /// Keeps work alive beyond the response.
    pub background: Background,
    /// The caller's address; `None` where the platform does not say.
    pub from: Option<IpAddr>,
}

impl Gateway {
    /// Opens nothing yet; the first request does.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            store: Store::new(&config)?,
            upstream: Upstream::new(config.allow_insecure_upstreams),
            windows: config
                .redis
                .as_ref()
                .map(|redis| Windows::new(redis, config.redis_timeout).map(Arc::new))
                .transpose()?,
            spans: config.telemetry.as_ref().map(Spans::new),
            renewals: Renewals::default(),
            failing: Failing::default(),
            breaking: Failing::default(),
            shut: sign_ins::Shut::default(),
            sealer: Sealer::new(&config.encryption_keys, "credential"),
            snapshot: Remembered::new(),
            kept_up: Mutex::default(),
            turns: AtomicUsize::default(),
            reports: Mutex::default(),
            config,
        })
    }

    /// Seals a credential for an account.
    pub(crate) fn seal(&self, account: &AccountId, credential: &Credential) -> Vec<u8> {
        self.sealer.seal(account.as_str(), &credential.to_plain())
    }

    /// Opens an account's credential.
    pub(crate) fn unseal(&self, account: &Account) -> Result<Credential, Unsealable> {
        let plain = self.sealer.open(account.id.as_str(), &account.sealed)?;
        Credential::from_plain(plain).ok_or(Unsealable::Damaged)
    }

    /// Where an account's requests go.
    pub(crate) fn base_url<'a>(&'a self, account: &'a Account) -> &'a str {
        account.base_url.as_deref().unwrap_or_else(|| self.own_upstream(account.api()))
    }

    /// Where an API is, also for a call that comes with its caller's own login.
    pub(crate) fn own_upstream(&self, api: Api) -> &str {
        let upstreams = &self.config.upstreams;
        let own = match api {
            Api::Anthropic => &upstreams.anthropic,
            Api::Gemini => &upstreams.gemini,
            Api::CodeAssist => &upstreams.code_assist,
        };
        own.as_str()
    }

    /// As which application the logins of a provider's accounts are renewed.
    pub(crate) fn oauth_client(&self, provider: Provider) -> &OAuthClient {
        match provider {
            Provider::Anthropic => &self.config.anthropic_oauth,
            Provider::Gemini => &self.config.gemini_oauth,
        }
    }

    /// Whether an account's limits may be written again; each answer reports them, and few reports matter.
    pub(crate) fn may_report(&self, account: &AccountId) -> bool {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let due = reports.get(account).is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if due {
            reports.insert(account.clone(), Instant::now());
        }
        due
    }

    /// Whether it is time, for this process, to look after what nobody else does.
    pub(crate) fn is_time_for_upkeep(&self) -> bool {
        let mut last = self.kept_up.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= UPKEEP_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    /// A number that no other request of this process has had, for taking turns.
    pub(crate) fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}

impl Context {
    /// The settings and accounts, at most [`USABLE`] old.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        match self.gateway.snapshot.peek() {
            Some((age, snapshot)) if age < USABLE => {
                if age >= FRESH {
                    self.refresh();
                }
                Ok(snapshot)
            }
            _ => self.snapshot_since(Instant::now()).await,
        }
    }

    /// The settings and accounts as they were at `moment` or later.
    pub(crate) async fn snapshot_since(&self, moment: Instant) -> Result<Arc<Snapshot>> {
        let gateway = &self.gateway;
        gateway.snapshot.since(moment, |before| Snapshot::read(&gateway.store, before)).await
    }

    /// The issued key that a caller presented, as of the snapshot.
    pub(crate) async fn key(&self, snapshot: &Snapshot, presented: &PresentedKey) -> Result<Arc<ApiKey>> {
        snapshot.key(&self.gateway.store, presented).await
    }

    /// The issued key, if it allows what is asked. A remembered one that refuses is read again: it may have been changed.
    pub(crate) async fn key_that(
        &self,
        presented: &PresentedKey,
        allows: impl Fn(&ApiKey) -> Result<()>,
    ) -> Result<(Arc<Snapshot>, Arc<ApiKey>)> {
        let asked = Instant::now();
        let snapshot = self.snapshot().await?;
        let key = self.key(&snapshot, presented).await?;
        if allows(&key).is_ok() {
            return Ok((snapshot, key));
        }
        let snapshot = self.snapshot_since(asked).await?;
        let key = self.key(&snapshot, presented).await?;
        allows(&key).map(|()| (snapshot, key))
    }

    fn refresh(&self) {
        let cx = self.clone();
        self.background.spawn(async move {
            let fresh_enough = Instant::now().checked_sub(FRESH).unwrap_or_else(Instant::now);
            if let Err(error) = cx.snapshot_since(fresh_enough).await {
                tracing::debug!(%error, "the snapshot could not be refreshed");
            }
        });
    }
}
