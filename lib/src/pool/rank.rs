//! The order in which accounts are tried, and why the others are not.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Account, State, Strategy};
use crate::{access::matches_any, id::AccountId, protocol::Provider};

/// What is asked of the pool.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The pool of the key.
    pub pool: &'a str,
    /// Whose account it must be.
    pub provider: Provider,
    /// The model, where there is one.
    pub model: Option<&'a str>,
    /// The family whose limits it falls under.
    pub family: &'a str,
    /// Accounts that this request has already tried.
    pub tried: &'a [AccountId],
}

/// Why an account is not in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// It was tried for this request.
    Tried,
    /// The operator took it out.
    Paused,
    /// Its credential is refused.
    NeedsAuth,
    /// It is out of credit.
    Exhausted {
        /// When it is tried again.
        until: Option<Timestamp>,
    },
    /// It, or the model family, sits out.
    Cooling {
        /// When it is over.
        until: Timestamp,
    },
    /// It does not serve the model.
    Model,
}

/// An order, and every exclusion.
#[derive(Debug)]
pub struct Ranking<'a> {
    /// Best first.
    pub order: Vec<&'a Account>,
    /// Accounts of the pool and provider that would not be tried, and why.
    pub excluded: Vec<(&'a Account, Exclusion)>,
}

/// Ranks the accounts of one pool and provider. The same `seed` gives the same order as long as the accounts stay the
/// same, and a nearly equal one when they change: an account that comes or goes moves only its own share of seeds.
pub fn rank<'a>(
    accounts: impl IntoIterator<Item = &'a Account>,
    ask: &Ask<'_>,
    strategy: Strategy,
    seed: &[u8],
    now: Timestamp,
) -> Ranking<'a> {
    let mut order = Vec::new();
    let mut excluded = Vec::new();
    for account in accounts {
        if account.provider != ask.provider || account.pool != ask.pool {
            continue;
        }
        match exclusion(account, ask, now) {
            Some(why) => excluded.push((account, why)),
            None => order.push((place(account, strategy, seed), account)),
        }
    }
    order.sort_by(|(a, _), (b, _)| a.partial_cmp(b).expect("no place is NaN"));
    Ranking { order: order.into_iter().map(|(_, account)| account).collect(), excluded }
}

fn exclusion(account: &Account, ask: &Ask<'_>, now: Timestamp) -> Option<Exclusion> {
    if ask.tried.contains(&account.id) {
        return Some(Exclusion::Tried);
    }
    match account.state(now) {
        State::Ready => {}
        State::Paused => return Some(Exclusion::Paused),
        State::NeedsAuth => return Some(Exclusion::NeedsAuth),
        State::Exhausted => return Some(Exclusion::Exhausted { until: account.health.until }),
        State::Cooling => return Some(Exclusion::Cooling { until: account.health.until.unwrap_or(Timestamp::MAX) }),
    }
    if let Some(model) = ask.model
        && !account.models.is_empty()
        && !matches_any(&account.models, model)
    {
        return Some(Exclusion::Model);
    }
    let until = account.cooling_families.get(ask.family).copied().filter(|until| *until > now)?;
    Some(Exclusion::Cooling { until })
}

/// Lower is earlier: the tier first, then the strategy's figure.
fn place(account: &Account, strategy: Strategy, seed: &[u8]) -> (i32, f64) {
    let within = match strategy {
        Strategy::Priority => account.created_at.as_millisecond() as f64,
        // Weighted rendezvous hashing: the smallest of exponential draws wins in proportion to the rates.
        Strategy::Weighted => -unit(seed, &account.id).ln() / f64::from(account.weight),
    };
    (account.priority, within)
}

/// A number in (0, 1), fixed by the seed and the account.
fn unit(seed: &[u8], account: &AccountId) -> f64 {
    let digest = Sha256::new().chain_update(seed).chain_update(account.as_str()).finalize();
    let bits = u64::from_le_bytes(digest[..8].try_into().expect("a digest has eight bytes"));
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
