//! Which accounts have failed on this instance and not served since: a snapshot would only tell in a second.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::id::AccountId;

/// Asked by every answer, and nearly always empty.
#[derive(Default)]
pub(crate) struct Failing {
    any: AtomicBool,
    accounts: Mutex<HashSet<AccountId>>,
}

impl Failing {
    /// An account has failed.
    pub(crate) fn add(&self, account: &AccountId) {
        self.accounts().insert(account.clone());
        self.any.store(true, Ordering::Release);
    }

    /// An account has served. True if it had failed before; that is forgotten now.
    pub(crate) fn take(&self, account: &AccountId) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut accounts = self.accounts();
        let failed = accounts.remove(account);
        self.any.store(!accounts.is_empty(), Ordering::Release);
        failed
    }

    fn accounts(&self) -> MutexGuard<'_, HashSet<AccountId>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_forgotten_by_the_first_success() {
        let (failing, one, other) =
            (Failing::default(), AccountId::from("acc_1".to_owned()), AccountId::from("acc_2".to_owned()));
        assert!(!failing.take(&one));
        failing.add(&one);
        failing.add(&other);
        assert!(failing.take(&one) && !failing.take(&one));
        assert!(failing.take(&other) && !failing.take(&other));
    }
}
