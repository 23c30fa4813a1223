//! The order in which accounts are tried, and why the others are not.

use std::cmp::Ordering;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Account, State, Strategy, earliest_reset, headroom};
use crate::{
    glob::matches_any,
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
    /// Another request tests whether it, or the model family, is back.
    Tested,
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
    /// Not sorted: of many accounts only the best are ever asked for.
    usable: Vec<(Place, &'a Account)>,
    /// Accounts of the pool and provider that would not be tried, and why.
    pub excluded: Vec<(&'a Account, Exclusion)>,
}

impl<'a> Ranking<'a> {
    /// Whether no account is left to be tried.
    pub fn is_empty(&self) -> bool {
        self.usable.is_empty()
    }

    /// Puts this account before all others, where it may be tried.
    pub fn prefer(&mut self, id: &AccountId) {
        for (place, _) in self.usable.iter_mut().filter(|(_, account)| account.id == *id) {
            (place.later, place.tier) = (false, i32::MIN);
        }
    }

    /// Takes so many of the best that are left, best first.
    pub fn take(&mut self, count: usize) -> Vec<&'a Account> {
        if count > 0 && count < self.usable.len() {
            self.usable.select_nth_unstable_by(count - 1, Place::before);
        }
        let count = count.min(self.usable.len());
        self.usable[..count].sort_unstable_by(Place::before);
        self.usable.drain(..count).map(|(_, account)| account).collect()
    }
}

/// When the limit is renewed that is spent last; `None`: none is.
fn spent_until(account: &Account, family: &str, now: Timestamp) -> Option<Timestamp> {
    let own = account.limits_of(family).filter(|limit| limit.name != "overage");
    let spent = own.filter(|limit| limit.is_spent(now));
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
    let accounts = accounts.into_iter();
    let mut usable = Vec::with_capacity(accounts.size_hint().0);
    let mut excluded = Vec::new();
    let seed = seed(lot.seed);
    for account in accounts.filter(|it| it.provider == ask.provider && it.pool == ask.pool) {
        match exclusion(account, ask, now) {
            Some(why) => excluded.push((account, why)),
            None => usable.push((Place::of(account, ask, strategy, (seed, now)), account)),
        }
    }
    if strategy == Strategy::RoundRobin && !usable.is_empty() {
        let count = usable.len();
        // Counted backwards from whose turn it is.
        for (index, (place, _)) in usable.iter_mut().enumerate() {
            place.within = ((index + count - lot.turn % count) % count) as f64;
        }
    }
    Ranking { usable, excluded }
}

/// An account's place in the order; smaller is earlier, and the first difference decides.
#[derive(Debug)]
struct Place {
    /// Whether the others come first. An account that is to be tested is tested by the next request, or none ever would; but
    /// a request makes one test only, so that it has somewhere to go when that fails.
    later: bool,
    tier: i32,
    dry: bool,
    within: f64,
    tie: u64,
}

impl Place {
    fn of(account: &Account, ask: &Ask<'_>, strategy: Strategy, (seed, now): (u64, Timestamp)) -> Self {
        let tie = draw(seed, &account.id);
        let family = account.cooling_families.get(ask.family);
        let is_test = account.state(now) != State::Ready || family.is_some_and(|family| family.holds(now));
        Self {
            later: is_test != ask.tried.is_empty(),
            tier: account.priority,
            dry: is_dry(account, ask.family, now),
            within: within(account, strategy, ask.family, tie, now),
            tie,
        }
    }

    fn before((a, _): &(Self, &Account), (b, _): &(Self, &Account)) -> Ordering {
        let tier = |place: &Self| (place.later, place.tier, place.dry);
        tier(a).cmp(&tier(b)).then_with(|| a.within.total_cmp(&b.within)).then_with(|| a.tie.cmp(&b.tie))
    }
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
    // What is free is no use of a limit, and cannot tell whether it is over.
    let may_test = !(ask.operation.is_free() && account.health.is_limited());
    match account.state(now) {
        State::Ready => {}
        State::Exhausted | State::Cooling if account.health.is_due_for_probe(now) && may_test => {
            if account.health.tester.is_some() {
                return Some(Exclusion::Tested);
            }
        }
        State::Paused => return Some(Exclusion::Paused),
        State::NeedsAuth => return Some(Exclusion::NeedsAuth),
        State::Exhausted => return Some(Exclusion::Exhausted { until: account.health.until }),
        State::Cooling => {
            return Some(Exclusion::Cooling { until: account.health.changes_at().unwrap_or(Timestamp::MAX) });
        }
    }
    if let Some(model) = ask.model
        && !account.models.is_empty()
        && !matches_any(&account.models, model)
    {
        return Some(Exclusion::Model);
    }
    if let Some(family) = account.cooling_families.get(ask.family).filter(|family| family.holds(now)) {
        if !family.is_due_for_probe(now) || ask.operation.is_free() {
            return Some(Exclusion::Cooling { until: family.until });
        }
        if family.tester.is_some() {
            return Some(Exclusion::Tested);
        }
    }
    let until = (!account.use_paid_overage).then(|| spent_until(account, ask.family, now)).flatten()?;
    Some(Exclusion::Spent { until })
}

/// The strategy's figure; smaller is earlier.
fn within(account: &Account, strategy: Strategy, family: &str, draw: u64, now: Timestamp) -> f64 {
    let limits = account.limits_of(family);
    match strategy {
        Strategy::Priority => account.created_at.as_millisecond() as f64,
        // Weighted rendezvous hashing: the smallest of exponential draws wins in proportion to the rates.
        Strategy::Weighted => -unit(draw).ln() / f64::from(account.weight),
        Strategy::LeastInFlight => account.in_flight as f64 / f64::from(account.weight),
        // An account that has reported nothing may have everything left.
        Strategy::Headroom => -headroom(limits, now).unwrap_or(1.0),
        Strategy::EarliestReset => earliest_reset(limits, now).map_or(f64::INFINITY, |at| at.as_second() as f64),
        Strategy::RoundRobin => 0.0,
    }
}

/// What is chance in the draws of one request; strong, because callers choose the names of their conversations.
fn seed(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(Sha256::digest(bytes)[..8].try_into().expect("a digest has eight bytes"))
}

/// Fixed by the seed and the account, and else by chance. One is drawn for each account and request, so it is quick.
fn draw(seed: u64, account: &AccountId) -> u64 {
    let (words, rest) = account.as_str().as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).fold(seed, |drawn, word| scramble(drawn ^ u64::from_le_bytes(*word)))
}

/// The end of the `SplitMix64` generator: each bit of the result depends on all bits.
fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number in (0, 1).
fn unit(draw: u64) -> f64 {
    ((draw >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
