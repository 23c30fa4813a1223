//! What the providers would say: each account with its own limits, bad moments and end.

use gateway::{
    id::AccountId,
    pool::Account,
    protocol::{Penalty, Provider, ReportedLimit, Scope},
};
use jiff::Timestamp;

use crate::{dice::Dice, scale::Scale};

/// Milliseconds.
pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

/// The begin of simulated time, in seconds since the epoch.
const BEGIN: i64 = 1_767_571_200;

/// A moment of simulated time, as the gateway knows time.
pub(crate) fn moment(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(BEGIN * 1_000 + i64::try_from(ms).unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX)
}

/// One account's upstream.
pub(crate) struct Upstream {
    /// Accounts of one organization read each other's caches.
    pub(crate) organization: usize,
    /// How large its plan is.
    pub(crate) size: u64,
    five_hours: Window,
    week: Window,
    /// Requests that it takes in a minute.
    per_minute: u64,
    minute: (u64, u64),
    /// Overloaded from then to then.
    overloaded: (u64, u64),
    /// Never answers again from then on.
    dies_at: u64,
    /// Refuses the credential from then on.
    refuses_at: u64,
    /// What it has served, in units of its limits.
    pub(crate) spent: u64,
}

/// A limit, and what is used of it.
struct Window {
    size: u64,
    used: u64,
    resets_at: u64,
    length: u64,
}

impl Window {
    /// A window that is over begins anew with the next request.
    fn roll(&mut self, now: u64) {
        if self.resets_at <= now {
            (self.used, self.resets_at) = (0, now + self.length);
        }
    }

    fn tell(&self, name: &str) -> ReportedLimit {
        ReportedLimit {
            name: name.to_owned(),
            family: None,
            limit: None,
            remaining: None,
            utilization: Some(self.used as f64 / self.size as f64),
            resets_at: Some(moment(self.resets_at)),
            status: None,
        }
    }
}

impl Upstream {
    /// Whether it answers a request at this moment, and if not, what it says.
    pub(crate) fn answer(&mut self, now: u64, dice: &mut Dice) -> Result<(), Penalty> {
        self.five_hours.roll(now);
        self.week.roll(now);
        if now >= self.dies_at {
            return Err(Penalty::Unreachable);
        }
        if now >= self.refuses_at {
            return Err(Penalty::NeedsAuth);
        }
        if now > self.overloaded.1 {
            let begins = now + dice.wait(6.0 * HOUR as f64);
            self.overloaded = (begins, begins + dice.between(10 * SECOND, MINUTE));
        } else if now >= self.overloaded.0 {
            return Err(Penalty::Overloaded);
        }
        let limited = |until| Penalty::RateLimited { until: Some(moment(until)), scope: Scope::Account };
        if let Some(spent) = [&self.week, &self.five_hours].into_iter().find(|window| window.used >= window.size) {
            return Err(limited(spent.resets_at));
        }
        let minute = now / MINUTE;
        if self.minute.0 != minute {
            self.minute = (minute, 0);
        }
        if self.minute.1 >= self.per_minute {
            return Err(limited((minute + 1) * MINUTE));
        }
        self.minute.1 += 1;
        Ok(())
    }

    /// Counts what a request used.
    pub(crate) fn spend(&mut self, units: u64) {
        self.five_hours.used += units;
        self.week.used += units;
        self.spent += units;
    }

    /// What its answers say of its limits.
    pub(crate) fn reported(&self) -> Vec<ReportedLimit> {
        vec![self.five_hours.tell("5h"), self.week.tell("7d")]
    }

    /// Whether it lives through the whole day.
    pub(crate) fn lives(&self) -> bool {
        self.dies_at > DAY && self.refuses_at > DAY
    }
}

/// Accounts of three plans, in the middle of their week, some of which will die; and what serves them.
pub(crate) fn build(scale: Scale, dice: &mut Dice) -> (Vec<Account>, Vec<Upstream>) {
    let sizes: Vec<u64> = (0..scale.accounts)
        .map(|_| {
            if dice.chance(0.5) {
                1
            } else if dice.chance(0.6) {
                5
            } else {
                20
            }
        })
        .collect();
    let unit = scale.units_in_five_hours() / sizes.iter().sum::<u64>().max(1);
    let mut accounts = Vec::new();
    let mut upstreams = Vec::new();
    for (n, &size) in sizes.iter().enumerate() {
        // One in five shares the organization of its neighbour.
        let organization = n - usize::from(n % 5 == 1);
        let week = size * unit * 8;
        let fate = |dice: &mut Dice, share| if dice.chance(share) { dice.between(0, DAY) } else { u64::MAX };
        let upstream = Upstream {
            organization,
            size,
            five_hours: Window { size: size * unit, used: 0, resets_at: 0, length: 5 * HOUR },
            week: Window {
                size: week,
                used: (week as f64 * 0.8 * dice.unit()) as u64,
                resets_at: dice.between(HOUR, 7 * DAY),
                length: 7 * DAY,
            },
            per_minute: 20 + 5 * size,
            minute: (0, 0),
            overloaded: (0, 0),
            dies_at: fate(dice, 0.01),
            refuses_at: fate(dice, 0.005),
            spent: 0,
        };
        let id = AccountId::from(format!("acc_{n:026}"));
        let small = i32::try_from(size).unwrap_or(i32::MAX);
        accounts.push(Account {
            weight: small,
            max_in_flight: Some(4 + small),
            organization: Some(format!("org_{organization}")),
            created_at: moment(n as u64),
            ..Account::new(id, Provider::Anthropic, format!("account {n}"), moment(0))
        });
        upstreams.push(upstream);
    }
    (accounts, upstreams)
}
