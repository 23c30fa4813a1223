//! Credentials that this process has seen renewed since its snapshot was read, and the renewals that are under way in it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use crate::{id::AccountId, pool::Account, store::Remedy};

/// Time between two looks for credentials that are about to end.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What came of a renewal. `None`: this credential cannot be renewed.
pub(crate) type Renewed = Result<Option<Account>, Unable>;

/// Why a credential was not renewed.
#[derive(Debug, Clone)]
pub(crate) struct Unable {
    /// What can be done about it; where it is a login, the account says so by now.
    pub(crate) remedy: Remedy,
    /// In words for the operator.
    pub(crate) reason: String,
}

/// One place for each account whose credential was ever renewed here.
#[derive(Default)]
pub(crate) struct Renewals {
    places: Mutex<HashMap<AccountId, Place>>,
    looked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Place {
    newest: Option<Account>,
    underway: Option<Underway>,
}

/// A renewal of one version of a credential; whoever comes for the same shares it.
struct Underway {
    version: i64,
    renewed: Shared<BoxFuture<'static, Renewed>>,
}

impl Renewals {
    /// The account with the newest credential that this process knows, where that is newer than its own.
    pub(crate) fn newer(&self, account: &Account) -> Option<Account> {
        let places = self.places();
        let newest = places.get(&account.id)?.newest.as_ref()?;
        (newest.credential_version > account.credential_version).then(|| Account {
            sealed: newest.sealed.clone(),
            credential_kind: newest.credential_kind.clone(),
            credential_hint: newest.credential_hint.clone(),
            credential_expires_at: newest.credential_expires_at,
            credential_version: newest.credential_version,
            ..account.clone()
        })
    }

    /// The renewal of an account's credential that is under way, or the one that `begin` begins, which ends with
    /// [`Renewals::done`].
    pub(crate) fn join(
        &self,
        known: &Account,
        begin: impl FnOnce() -> BoxFuture<'static, Renewed>,
    ) -> Shared<BoxFuture<'static, Renewed>> {
        let mut places = self.places();
        let underway = &mut places.entry(known.id.clone()).or_default().underway;
        // One whose task was dropped has ended without a word.
        let of_use = |it: &Underway| it.version == known.credential_version && it.renewed.peek().is_none();
        underway.take_if(|underway| !of_use(underway));
        let begun = || Underway { version: known.credential_version, renewed: begin().shared() };
        underway.get_or_insert_with(begun).renewed.clone()
    }

    /// Whoever asks next begins anew, with what this renewal got.
    pub(crate) fn done(&self, known: &Account, renewed: &Renewed) {
        let mut places = self.places();
        let place = places.entry(known.id.clone()).or_default();
        place.underway.take_if(|underway| underway.version == known.credential_version);
        if let Ok(Some(account)) = renewed {
            place.newest = Some(account.clone());
        }
    }

    /// Whether it is time to look for credentials that are about to end; true once each time.
    pub(crate) fn may_look(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.is_none_or(|last| last.elapsed() >= LOOK_EVERY);
        if due {
            *looked = Some(Instant::now());
        }
        due
    }

    fn places(&self) -> MutexGuard<'_, HashMap<AccountId, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
