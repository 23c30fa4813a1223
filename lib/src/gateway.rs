//! What a process owns, and what a request is given.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Mutex as AsyncMutex;

use crate::{
    access::{ApiKey, KeyHash, PresentedKey},
    background::Background,
    config::Config,
    credential::Credential,
    error::{Error, Kind, Result},
    ledger::PriceTable,
    pool::{Account, Policy},
    seal::{Sealer, Unsealable},
    secret::Secret,
    store::Store,
    upstream::Upstream,
};

/// A snapshot younger than this is used as it is.
const FRESH: Duration = Duration::from_secs(1);
/// A snapshot younger than this is used while a newer one is fetched; the claim re-checks all that matters.
const USABLE: Duration = Duration::from_secs(15);
/// Keys remembered at once.
const REMEMBERED_KEYS: usize = 10_000;
/// Time between two looks for requests whose instance died.
const REAP_EVERY: Duration = Duration::from_secs(10);

/// Everything a process holds. Whatever is remembered here is a cache and may be empty.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) upstream: Upstream,
    pub(crate) policy: Policy,
    sealer: Sealer,
    snapshot: Remembered<Snapshot>,
    keys: Mutex<HashMap<KeyHash, (Instant, Arc<ApiKey>)>>,
    reaped: Mutex<Option<Instant>>,
}

/// The accounts and prices as they were a moment ago.
pub(crate) struct Snapshot {
    pub(crate) accounts: Vec<Account>,
    pub(crate) prices: PriceTable,
}

/// What every router is given: the process's own things, and a promise for work after the response.
#[derive(Clone)]
pub struct Context {
    /// The process's own things.
    pub gateway: Arc<Gateway>,
    /// Keeps work alive beyond the response.
    pub background: Background,
}

impl Gateway {
    /// Opens nothing yet; the first request does.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            store: Store::new(&config)?,
            upstream: Upstream::new(),
            policy: Policy::default(),
            sealer: Sealer::new(&config.encryption_keys, "credential"),
            snapshot: Remembered::new(),
            keys: Mutex::default(),
            reaped: Mutex::default(),
            config,
        })
    }

    /// Seals a credential for an account.
    pub(crate) fn seal(&self, account: &str, credential: &Credential) -> Vec<u8> {
        match credential {
            Credential::ApiKey(key) => self.sealer.seal(account, key.expose().as_bytes()),
        }
    }

    /// Opens an account's credential.
    pub(crate) fn unseal(&self, account: &Account) -> Result<Credential, Unsealable> {
        let plain = self.sealer.open(account.id.as_str(), &account.sealed)?;
        let plain = String::from_utf8(plain).map_err(|_| Unsealable::Damaged)?;
        Ok(Credential::ApiKey(Secret::new(plain)))
    }

    /// The issued key for what a caller presented, at most [`USABLE`] old; the claim notices if it has changed.
    pub(crate) async fn key(&self, presented: &PresentedKey) -> Result<Arc<ApiKey>> {
        let hash = presented.hash();
        let known = |keys: &HashMap<KeyHash, (Instant, Arc<ApiKey>)>| {
            keys.get(&hash).filter(|(read, _)| read.elapsed() < USABLE).map(|(_, key)| Arc::clone(key))
        };
        if let Some(key) = known(&self.keys.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(key);
        }
        let Some(key) = self.store.key_by_hash(&hash).await?.map(Arc::new) else {
            return Err(Error::new(Kind::Unauthenticated, "this API key was not issued by this gateway"));
        };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= REMEMBERED_KEYS {
            keys.clear();
        }
        keys.insert(hash, (Instant::now(), Arc::clone(&key)));
        Ok(key)
    }

    /// The issued key, if it allows what is asked. A remembered one that refuses is read again: it may have been changed.
    pub(crate) async fn key_that(
        &self,
        presented: &PresentedKey,
        allows: impl Fn(&ApiKey) -> Result<()>,
    ) -> Result<Arc<ApiKey>> {
        let key = self.key(presented).await?;
        if allows(&key).is_ok() {
            return Ok(key);
        }
        self.forget_key(presented);
        let key = self.key(presented).await?;
        allows(&key).map(|()| key)
    }

    /// Forgets a key that a claim found changed.
    pub(crate) fn forget_key(&self, presented: &PresentedKey) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(&presented.hash());
    }

    /// Forgets the snapshot: an account or a price has changed.
    pub(crate) fn forget_snapshot(&self) {
        self.snapshot.forget();
    }
}

impl Context {
    /// Accounts and prices, at most [`USABLE`] old.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let remembered = self.gateway.snapshot.peek();
        if let Some((age, snapshot)) = remembered.filter(|(age, _)| *age < USABLE) {
            if age >= FRESH {
                let cx = self.clone();
                self.background.spawn(async move {
                    if let Err(error) = cx.fresh_snapshot().await {
                        tracing::debug!(%error, "the snapshot could not be refreshed");
                    }
                });
            }
            return Ok(snapshot);
        }
        self.fresh_snapshot().await
    }

    /// Accounts and prices, at most [`FRESH`] old.
    pub(crate) async fn fresh_snapshot(&self) -> Result<Arc<Snapshot>> {
        let store = &self.gateway.store;
        let read = || async {
            let (accounts, prices) = tokio::try_join!(store.accounts(), store.price_rows())?;
            Ok(Snapshot { accounts, prices: PriceTable::built_in().with(prices) })
        };
        self.gateway.snapshot.fresh(FRESH, read).await
    }

    /// Now and then, beside a request, records requests whose instance died.
    pub(crate) fn reap_when_due(&self) {
        let mut reaped = self.gateway.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if reaped.is_some_and(|at| at.elapsed() < REAP_EVERY) {
            return;
        }
        *reaped = Some(Instant::now());
        let gateway = Arc::clone(&self.gateway);
        self.background.spawn(async move {
            match gateway.store.reap().await {
                Ok(0) => {}
                Ok(lost) => tracing::warn!(lost, "requests of an instance that died were recorded as lost"),
                Err(error) => tracing::debug!(%error, "lost requests could not be looked for"),
            }
        });
    }
}

/// A value that is fetched again when it is old, by one caller at a time.
struct Remembered<T> {
    slot: Mutex<Slot<T>>,
    fetching: AsyncMutex<()>,
}

struct Slot<T> {
    /// Rises when the value is forgotten, so that a fetch begun before that is not kept.
    generation: u64,
    value: Option<(Instant, Arc<T>)>,
}

impl<T> Remembered<T> {
    fn new() -> Self {
        Self { slot: Mutex::new(Slot { generation: 0, value: None }), fetching: AsyncMutex::new(()) }
    }

    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peek(&self) -> Option<(Duration, Arc<T>)> {
        self.slot().value.as_ref().map(|(read, value)| (read.elapsed(), Arc::clone(value)))
    }

    fn forget(&self) {
        let mut slot = self.slot();
        slot.generation += 1;
        slot.value = None;
    }

    async fn fresh<F>(&self, age: Duration, fetch: impl FnOnce() -> F) -> Result<Arc<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let _one_at_a_time = self.fetching.lock().await;
        if let Some((_, value)) = self.peek().filter(|(old, _)| *old < age) {
            return Ok(value);
        }
        let (begun, generation) = (Instant::now(), self.slot().generation);
        let value = Arc::new(fetch().await?);
        let mut slot = self.slot();
        if slot.generation == generation {
            slot.value = Some((begun, Arc::clone(&value)));
        }
        Ok(value)
    }
}
