//! Seals every credential with the first key of the ring, so that the key before it can go.
//!
//! Each one is replaced by itself and only where it is still what was read: so this may be broken off and begun again, beside
//! instances that serve and renew logins.

use super::Gateway;
use crate::{error::Result, id::AccountId};

/// Whom the audit log names for it.
const ACTOR: &str = "command_line";

/// What became of one account's credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resealed {
    /// It is sealed with the first key now.
    Anew,
    /// It was before.
    Already,
    /// None of the keys opens it. Only a new credential helps.
    Unopened,
    /// The account was removed meanwhile.
    Gone,
}

impl Gateway {
    /// Seals every account's credential with the first key. `told` hears of each account: which of how many it is, and what
    /// became of its credential.
    pub async fn reseal(&self, mut told: impl FnMut(usize, usize, &AccountId, Resealed)) -> Result<()> {
        let accounts = self.store.accounts().await?;
        let mut anew = 0;
        for (number, account) in (1..).zip(&accounts) {
            let became = self.reseal_one(&account.id).await?;
            anew += usize::from(became == Resealed::Anew);
            told(number, accounts.len(), &account.id, became);
        }
        if anew > 0 {
            self.store.told_of_resealing(anew, ACTOR).await?;
        }
        Ok(())
    }

    async fn reseal_one(&self, id: &AccountId) -> Result<Resealed> {
        loop {
            let account = match self.store.account(id).await {
                Ok(account) => account,
                Err(error) if error.kind == crate::Kind::NotFound => return Ok(Resealed::Gone),
                Err(error) => return Err(error),
            };
            if self.sealer.is_current(&account.sealed) {
                return Ok(Resealed::Already);
            }
            let Ok(plain) = self.sealer.open(id.as_str(), &account.sealed) else { return Ok(Resealed::Unopened) };
            let resealed = self.sealer.seal(id.as_str(), &plain);
            if self.store.reseal(id, &account.sealed, &resealed).await? {
                return Ok(Resealed::Anew);
            }
            // It was renewed or replaced since it was read; the new one may be sealed by an instance of the old key.
        }
    }
}
