//! The order in which accounts are tried, and why the others are not.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Account, State, Strategy, earliest_reset, headroom};
use crate::{
    access::matches_any,
    id::AccountId,
    protocol::{Api, Operation, Provider},
};

/// What is asked of the pool.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The pool of the key.
    pub pool: &'a str,
    /// Whose account it must be.
    pub provider: Provider,
    /// In whose words it is asked.
    pub api: Api,
    /// What is asked.
    pub operation: Operation,
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
    /// Its upstream speaks this API, which cannot serve such a call.
    Api(Api),
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
    /// Its limits are spent, and it may not go on into use that is paid extra.
    Spent {
        /// When the limit is renewed.
        until: Timestamp,
    },
}

/// An order, and every exclusion.
#[derive(Debug)]
pub struct Ranking<'a> {
    /// Best first.
    pub order: Vec<&'a Account>,
    /// Accounts of the pool and provider that would not be tried, and why.
    pub excluded: Vec<(&'a Account, Exclusion)>,
}

/// When the limit is renewed that is spent last; `None`: none is.
fn spent_until(account: &Account, family: &str, now: Timestamp) -> Option<Timestamp> {
    let own = account.limits_of(family).filter(|limit| limit.name != "overage");
    let spent = own.filter(|limit| limit.status.as_deref() == Some("rejected") || limit.left(now) == Some(0.0));
    spent.filter_map(|limit| limit.resets_at).filter(|reset| *reset > now).max()
}

/// What tells apart requests that ask for the same.
#[derive(Debug, Clone, Copy)]
pub struct Lot<'a> {
    /// Chance: the same seed draws the same order, and an account that comes or goes moves only its own share of seeds.
    pub seed: &'a [u8],
    /// Whose turn it is, for taking turns.
    pub turn: usize,
}

/// Ranks the accounts of one pool and provider.
pub fn rank<'a>(
    accounts: impl IntoIterator<Item = &'a Account>,
    ask: &Ask<'_>,
    strategy: Strategy,
    lot: &Lot<'_>,
    now: Timestamp,
) -> Ranking<'a> {
    let mut usable = Vec::new();
    let mut excluded = Vec::new();
    for account in accounts.into_iter().filter(|it| it.provider == ask.provider && it.pool == ask.pool) {
        match exclusion(account, ask, now) {
            Some(why) => excluded.push((account, why)),
            None => usable.push(account),
        }
    }
    let count = usable.len();
    let mut placed: Vec<_> = usable
        .into_iter()
        .enumerate()
        .map(|(index, account)| {
            let within = match strategy {
                // Counted backwards from whose turn it is.
                Strategy::RoundRobin => ((index + count - lot.turn % count) % count) as f64,
                strategy => within(account, strategy, ask.family, lot.seed, now),
            };
            let place = Place {
                settled: account.state(now) == State::Ready,
                tier: account.priority,
                dry: is_dry(account, ask.family, now),
                within,
                tie: unit(lot.seed, &account.id),
            };
            (place, account)
        })
        .collect();
    placed.sort_by(|(a, _), (b, _)| a.partial_cmp(b).expect("no place is NaN"));
    Ranking { order: placed.into_iter().map(|(_, account)| account).collect(), excluded }
}

/// An account's place in the order; smaller is earlier, and the first difference decides.
#[derive(Debug, PartialEq, PartialOrd)]
struct Place {
    /// False for an account that is to be tested: the next request tests it, or none ever would.
    settled: bool,
    tier: i32,
    dry: bool,
    within: f64,
    tie: f64,
}

/// The share left of a limit below which an account is tried only after the others of its tier.
const DRY: f64 = 0.02;

fn is_dry(account: &Account, family: &str, now: Timestamp) -> bool {
    headroom(account.limits_of(family), now).is_some_and(|left| left < DRY)
}

fn exclusion(account: &Account, ask: &Ask<'_>, now: Timestamp) -> Option<Exclusion> {
    if ask.tried.contains(&account.id) {
        return Some(Exclusion::Tried);
    }
    let api = account.api();
    if !api.serves(ask.api, ask.operation, ask.model) {
        return Some(Exclusion::Api(api));
    }
    match account.state(now) {
        State::Ready => {}
        State::Exhausted | State::Cooling if account.health.is_due_for_probe(now) => {}
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
    if let Some(&until) = account.cooling_families.get(ask.family)
        && until > now
    {
        return Some(Exclusion::Cooling { until });
    }
    let until = (!account.use_paid_overage).then(|| spent_until(account, ask.family, now)).flatten()?;
    Some(Exclusion::Spent { until })
}

/// The strategy's figure; smaller is earlier.
fn within(account: &Account, strategy: Strategy, family: &str, seed: &[u8], now: Timestamp) -> f64 {
    let limits = account.limits_of(family);
    match strategy {
        Strategy::Priority => account.created_at.as_millisecond() as f64,
        // Weighted rendezvous hashing: the smallest of exponential draws wins in proportion to the rates.
        Strategy::Weighted => -unit(seed, &account.id).ln() / f64::from(account.weight),
        Strategy::LeastInFlight => account.in_flight as f64 / f64::from(account.weight),
        // An account that has reported nothing may have everything left.
        Strategy::Headroom => -headroom(limits, now).unwrap_or(1.0),
        Strategy::EarliestReset => earliest_reset(limits, now).map_or(f64::INFINITY, |at| at.as_second() as f64),
        Strategy::RoundRobin => 0.0,
    }
}

/// A number in (0, 1), fixed by the seed and the account.
fn unit(seed: &[u8], account: &AccountId) -> f64 {
    let digest = Sha256::new().chain_update(seed).chain_update(account.as_str()).finalize();
    let bits = u64::from_le_bytes(digest[..8].try_into().expect("a digest has eight bytes"));
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
