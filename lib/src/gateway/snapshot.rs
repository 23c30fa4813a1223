//! What an instance remembers of the database for seconds, and how it learns that it is old.
//!
//! A snapshot carries the revision of the settings it was read at. A claim made on it is refused when an operator has
//! changed anything since, and then it is read again: so a change counts from the very next request on, on every instance.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Mutex as AsyncMutex;

use crate::{
    access::{ApiKey, KeyHash, PresentedKey},
    error::{Error, Kind, Result},
    id::AccountId,
    ledger::PriceTable,
    pool::{Account, Policy},
    protocol::Provider,
    store::Store,
};

/// Keys remembered at once.
const REMEMBERED_KEYS: usize = 10_000;

/// The settings and accounts as they were at one revision.
pub(crate) struct Snapshot {
    pub(crate) revision: i64,
    accounts: Vec<Arc<Account>>,
    pub(crate) prices: PriceTable,
    policies: HashMap<Provider, HashMap<String, Policy>>,
    default_policy: Policy,
    /// Shared by all snapshots of one revision.
    keys: Arc<Mutex<HashMap<KeyHash, Arc<ApiKey>>>>,
}

impl Snapshot {
    /// Reads everything; the revision first, so that what is read later is never older than it.
    pub(super) async fn read(store: &Store, before: Option<Arc<Self>>) -> Result<Self> {
        let revision = store.revision().await?;
        let (accounts, policies, prices) = tokio::try_join!(store.accounts(), store.policies(), store.price_rows())?;
        let mut by_provider: HashMap<Provider, HashMap<String, Policy>> = HashMap::new();
        for ((pool, provider), policy) in policies {
            by_provider.entry(provider).or_default().insert(pool, policy);
        }
        let keys = before.filter(|before| before.revision == revision).map(|before| Arc::clone(&before.keys));
        Ok(Self {
            revision,
            accounts: accounts.into_iter().map(Arc::new).collect(),
            prices: PriceTable::built_in().with(prices),
            policies: by_provider,
            default_policy: Policy::default(),
            keys: keys.unwrap_or_default(),
        })
    }

    /// One without accounts, for tests that have no database.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        Self {
            revision: 0,
            accounts: Vec::new(),
            prices: PriceTable::built_in(),
            policies: HashMap::new(),
            default_policy: Policy::default(),
            keys: Arc::default(),
        }
    }

    /// How a pool routes the requests of a provider.
    pub(crate) fn policy(&self, pool: &str, provider: Provider) -> &Policy {
        self.policies.get(&provider).and_then(|pools| pools.get(pool)).unwrap_or(&self.default_policy)
    }

    /// All accounts.
    pub(crate) fn accounts(&self) -> impl ExactSizeIterator<Item = &Account> {
        self.accounts.iter().map(Arc::as_ref)
    }

    /// An account, where there is one of that id.
    pub(crate) fn account(&self, id: &AccountId) -> Option<&Arc<Account>> {
        self.accounts.iter().find(|account| account.id == *id)
    }

    /// The upstream's name for whom an account bills, where it is known.
    pub(crate) fn organization(&self, id: &AccountId) -> Option<String> {
        self.account(id)?.organization.clone()
    }

    /// The issued key for what a caller presented.
    pub(super) async fn key(&self, store: &Store, presented: &PresentedKey) -> Result<Arc<ApiKey>> {
        let hash = presented.hash();
        if let Some(key) = self.keys().get(&hash) {
            return Ok(Arc::clone(key));
        }
        let Some(key) = Box::pin(store.key_by_hash(&hash)).await?.map(Arc::new) else {
            return Err(Error::new(Kind::Unauthenticated, "this API key was not issued by this gateway"));
        };
        let mut keys = self.keys();
        if keys.len() >= REMEMBERED_KEYS {
            keys.clear();
        }
        keys.insert(hash, Arc::clone(&key));
        Ok(key)
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyHash, Arc<ApiKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that is fetched again when it is old, by one caller at a time.
pub(super) struct Remembered<T> {
    value: Mutex<Option<(Instant, Arc<T>)>>,
    fetching: AsyncMutex<()>,
}

impl<T> Remembered<T> {
    pub(super) fn new() -> Self {
        Self { value: Mutex::new(None), fetching: AsyncMutex::new(()) }
    }

    /// The value and its age, whatever that is.
    pub(super) fn peek(&self) -> Option<(Duration, Arc<T>)> {
        self.value().as_ref().map(|(read, value)| (read.elapsed(), Arc::clone(value)))
    }

    /// The value as it was at `moment` or later; fetched, with the one before at hand, if need be.
    pub(super) async fn since<F>(&self, moment: Instant, fetch: impl FnOnce(Option<Arc<T>>) -> F) -> Result<Arc<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let _one_at_a_time = self.fetching.lock().await;
        let before = self.value().clone();
        if let Some((_, value)) = before.as_ref().filter(|(read, _)| *read >= moment) {
            return Ok(Arc::clone(value));
        }
        let begun = Instant::now();
        // Seldom made, and large: whoever need not wait for it shall not hold the room for it.
        let value = Arc::new(Box::pin(fetch(before.map(|(_, value)| value))).await?);
        *self.value() = Some((begun, Arc::clone(&value)));
        Ok(value)
    }

    fn value(&self) -> MutexGuard<'_, Option<(Instant, Arc<T>)>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_fetched_again_only_when_it_is_older_than_asked_for() {
        let remembered = Remembered::new();
        let fetch = |value: u32| move |_| async move { Ok(value) };
        let first = Instant::now();
        assert_eq!(*remembered.since(first, fetch(1)).await.unwrap(), 1);
        assert_eq!(*remembered.since(first, fetch(2)).await.unwrap(), 1);
        assert_eq!(*remembered.since(Instant::now(), fetch(3)).await.unwrap(), 3);
        assert_eq!(remembered.peek().map(|(_, value)| *value), Some(3));
    }

    #[tokio::test]
    async fn a_fetch_that_fails_leaves_what_was_there() {
        let remembered = Remembered::new();
        remembered.since(Instant::now(), |_| async { Ok(1) }).await.unwrap();
        let failed = remembered.since(Instant::now(), |_| async { Err::<u32, _>(Error::internal("down")) }).await;
        assert!(failed.is_err());
        assert_eq!(remembered.peek().map(|(_, value)| *value), Some(1));
    }
}
