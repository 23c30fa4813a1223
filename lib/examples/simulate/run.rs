//! One day under one policy, event by event.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    iter::once,
};

use gateway::{
    id::{AccountId, RequestId},
    pool::{Account, Ask, Fault, Health, Lot, Policy, Ranking, State, rank},
    protocol::{Api, Operation, Penalty, Provider},
};

use crate::{
    dice::Dice,
    scale::Scale,
    talk::Session,
    upstream::{self, DAY, SECOND, Upstream, moment},
};

/// The accounts that one claim names.
const NAMED_AT_ONCE: usize = 64;

/// What a day came to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) conversations: u64,
    pub(crate) fan_outs: u64,
    /// Requests of subagents.
    pub(crate) subagents: u64,
    pub(crate) served: u64,
    /// Answers of upstreams that a limit is spent.
    pub(crate) limited: u64,
    /// Requests that went elsewhere than the one before them.
    pub(crate) moves: u64,
    pub(crate) prompt: u64,
    pub(crate) read: u64,
    /// The load of the account at the 99th percentile, for the size of its plan, by that of the median.
    pub(crate) spread: f64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Begins,
    Asks { session: u64, thread: usize },
    Ends { session: u64, thread: usize, account: usize },
}

struct Day<'a> {
    policy: &'a Policy,
    now: u64,
    dice: Dice,
    accounts: Vec<Account>,
    upstreams: Vec<Upstream>,
    places: HashMap<AccountId, usize>,
    sessions: HashMap<u64, Session>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    outcome: Outcome,
}

/// Plays the day; `progress` is told of every hundredth part.
pub(crate) fn run(scale: Scale, policy: &Policy, mut progress: impl FnMut(u64)) -> Outcome {
    // Accounts and callers are the same for every policy.
    let (accounts, upstreams) = upstream::build(scale, &mut Dice(1));
    let places = accounts.iter().enumerate().map(|(place, account)| (account.id.clone(), place)).collect();
    let mut day = Day {
        policy,
        now: 0,
        dice: Dice(2),
        accounts,
        upstreams,
        places,
        sessions: HashMap::new(),
        events: BinaryHeap::new(),
        scheduled: 0,
        outcome: Outcome::default(),
    };
    day.schedule(0, Event::Begins);
    let mut begun = 0;
    while let Some(Reverse((now, _, event))) = day.events.pop() {
        day.now = now;
        match event {
            Event::Begins if day.outcome.requests < scale.requests => {
                begun += 1;
                day.sessions.insert(begun, Session::begin(begun, &mut day.dice));
                day.schedule(0, Event::Asks { session: begun, thread: 0 });
                // More by day than by night.
                let busy = 1.0 + 0.8 * (now as f64 / DAY as f64 * std::f64::consts::TAU).sin();
                let wait = day.dice.wait(scale.between_conversations() / busy);
                day.schedule(wait, Event::Begins);
            }
            Event::Begins => {}
            Event::Asks { .. } if day.outcome.requests == scale.requests => {}
            Event::Asks { session, thread } => {
                day.ask(session, thread);
                if day.outcome.requests.is_multiple_of((scale.requests / 100).max(1)) {
                    progress(day.outcome.requests);
                }
            }
            Event::Ends { session, thread, account } => day.end(session, thread, account),
        }
    }
    day.outcome.conversations = begun;
    day.outcome.spread = spread(&day.upstreams);
    day.outcome
}

fn spread(upstreams: &[Upstream]) -> f64 {
    let living = upstreams.iter().filter(|upstream| upstream.lives());
    let mut loads: Vec<_> = living.map(|upstream| upstream.spent / upstream.size).collect();
    loads.sort_unstable();
    let at = |share: f64| loads[((loads.len() - 1) as f64 * share) as usize].max(1) as f64;
    at(0.99) / at(0.5)
}

impl Day<'_> {
    fn schedule(&mut self, wait: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.now + wait, self.scheduled, event)));
    }

    /// The life of one request, up to its first byte.
    fn ask(&mut self, session: u64, thread: usize) {
        self.outcome.requests += 1;
        self.outcome.subagents += u64::from(thread > 0);
        let request = RequestId::from(self.outcome.requests.to_string());
        let mut tried = Vec::new();
        for _ in 0..self.policy.max_attempts.0 {
            let Some(account) = self.claim(session, &tried) else { break };
            let testing = self.accounts[account].health.state(moment(self.now)) != State::Ready;
            if testing {
                self.accounts[account].health.tester = Some(request.clone());
            }
            match self.upstreams[account].answer(self.now, &mut self.dice) {
                Ok(()) => {
                    self.accounts[account].health = Health::ready();
                    return self.serve(session, thread, account);
                }
                Err(penalty) => self.set_back(account, &penalty, testing),
            }
            tried.push(self.accounts[account].id.clone());
        }
        // Nobody serves it, and the caller goes on as well as it can.
        self.go_on(session, thread, 30 * SECOND);
    }

    fn rank<'b>(
        &self,
        of: impl IntoIterator<Item = &'b Account>,
        session: &Session,
        tried: &[AccountId],
    ) -> Ranking<'b> {
        let ask = Ask {
            pool: "default",
            provider: Provider::Anthropic,
            api: Api::Anthropic,
            operation: Operation::Generate,
            model: Some("claude-sonnet-5-5"),
            family: "sonnet-5-5",
            tried,
        };
        let lot = Lot { seed: session.name.as_bytes(), turn: self.outcome.requests as usize };
        rank(of, &ask, self.policy.strategy, &lot, moment(self.now))
    }

    /// What the SQL function `claim` does with the ranking: the conversation's account, its organization, then the rank; an
    /// account with as many of its requests under way as it may comes last.
    fn claim(&mut self, number: u64, tried: &[AccountId]) -> Option<usize> {
        let affinity = &self.policy.affinity;
        let session = &self.sessions[&number];
        let bound =
            session.bound.filter(|(_, until)| affinity.enabled && *until > self.now).map(|(account, _)| account);
        let free = |place: usize| {
            let account = &self.accounts[place];
            account.max_in_flight.is_none_or(|most| account.in_flight < most.into())
        };
        let crowded = |place: usize| {
            let here = session.under_way.iter().filter(|account| **account == place).count();
            affinity.enabled && here >= affinity.max_in_flight as usize
        };
        let stays = |place: &usize| {
            free(*place) && !crowded(*place) && !self.rank(once(&self.accounts[*place]), session, tried).is_empty()
        };
        // Where it can stay, the order of the others does not matter.
        let mut taken = bound.filter(stays);
        if taken.is_none() {
            let organization = bound.map(|place| self.upstreams[place].organization);
            let mut ranking = self.rank(&self.accounts, session, tried);
            while taken.is_none() && !ranking.is_empty() {
                let named = ranking.take(NAMED_AT_ONCE).into_iter().map(|account| self.places[&account.id]);
                taken = named.filter(|place| free(*place)).min_by_key(|place| {
                    let elsewhere = organization.is_some_and(|of| of != self.upstreams[*place].organization);
                    (crowded(*place), Some(*place) != bound, elsewhere)
                });
            }
        }
        if let Some(taken) = taken.filter(|_| affinity.enabled) {
            let until = self.now + u64::from(affinity.ttl_seconds) * SECOND;
            // One that merely overflows stays bound to where its cache is.
            let home = bound.filter(|place| self.accounts[*place].state(moment(self.now)) == State::Ready);
            self.sessions.get_mut(&number)?.bound = Some((home.unwrap_or(taken), until));
        }
        taken
    }

    fn set_back(&mut self, account: usize, penalty: &Penalty, testing: bool) {
        self.outcome.limited += u64::from(matches!(penalty, Penalty::RateLimited { .. }));
        let fault = Fault { penalty, reason: "as simulated", testing };
        if let Some(health) = self.accounts[account].health.after(&fault, &self.policy.cooldown, moment(self.now)) {
            self.accounts[account].health = health;
        }
    }

    fn serve(&mut self, number: u64, thread: usize, account: usize) {
        let session = self.sessions.get_mut(&number).expect("a session that asks is there");
        let upstream = &mut self.upstreams[account];
        let used = session.threads[thread].ask(account, upstream, self.now, &mut self.dice);
        session.under_way.push(account);
        upstream.spend(used.units);
        self.accounts[account].reported_limits = upstream.reported();
        self.accounts[account].in_flight += 1;
        self.outcome.served += 1;
        self.outcome.moves += u64::from(used.moved);
        self.outcome.prompt += used.prompt;
        self.outcome.read += used.read;
        self.schedule(used.took, Event::Ends { session: number, thread, account });
    }

    fn end(&mut self, number: u64, thread: usize, account: usize) {
        self.accounts[account].in_flight -= 1;
        let session = self.sessions.get_mut(&number).expect("a session with a request under way is there");
        let place = session.under_way.iter().position(|of| *of == account).expect("it is under way");
        session.under_way.swap_remove(place);
        let subagents = session.fan_out(thread, &mut self.dice);
        self.outcome.fan_outs += u64::from(!subagents.is_empty());
        for subagent in subagents {
            self.schedule(SECOND, Event::Asks { session: number, thread: subagent });
        }
        self.go_on(number, thread, 0);
    }

    fn go_on(&mut self, number: u64, thread: usize, pause: u64) {
        let session = self.sessions.get_mut(&number).expect("a session that goes on is there");
        if let Some(wait) = session.threads[thread].goes_on(&mut self.dice) {
            self.schedule(pause + wait, Event::Asks { session: number, thread });
        }
    }
}
