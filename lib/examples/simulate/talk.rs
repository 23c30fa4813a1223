//! What the callers do: conversations that grow, and now and then send out subagents.

use crate::{
    dice::Dice,
    upstream::{MINUTE, SECOND, Upstream},
};

/// A cache is forgotten after so long a silence.
const CACHE_LIFE: u64 = 5 * MINUTE;

/// A conversation with its subagents, which share its name.
pub(crate) struct Session {
    pub(crate) name: String,
    /// The account that it stays on, and until when.
    pub(crate) bound: Option<(usize, u64)>,
    /// Accounts with its requests under way, one entry a request.
    pub(crate) under_way: Vec<usize>,
    pub(crate) threads: Vec<Thread>,
}

/// One sequence of requests, each with the prompt of the one before and more.
pub(crate) struct Thread {
    prompt: u64,
    turns: u64,
    main: bool,
    /// The account that served last.
    last: Option<usize>,
    /// Prompts that organizations have in their caches: which, how much, until when.
    caches: Vec<(usize, u64, u64)>,
}

/// What one request used.
pub(crate) struct Used {
    pub(crate) prompt: u64,
    pub(crate) read: u64,
    /// In units of the limits: a prompt token is 1, written to a cache 1.25, read from one 0.1, an output token 5.
    pub(crate) units: u64,
    pub(crate) moved: bool,
    pub(crate) took: u64,
}

impl Session {
    pub(crate) fn begin(number: u64, dice: &mut Dice) -> Self {
        let main = Thread {
            prompt: dice.between(15_000, 40_000),
            turns: 1 + dice.wait(20.0),
            main: true,
            last: None,
            caches: Vec::new(),
        };
        Self { name: format!("session {number}"), bound: None, under_way: Vec::new(), threads: vec![main] }
    }

    /// Subagents that begin now: their places among the threads.
    pub(crate) fn fan_out(&mut self, after: usize, dice: &mut Dice) -> std::ops::Range<usize> {
        let begin = self.threads.len();
        if self.threads[after].main && dice.chance(0.03) {
            for _ in 0..dice.between(6, 14) {
                let turns = dice.between(3, 8);
                self.threads.push(Thread {
                    prompt: dice.between(8_000, 14_000),
                    turns,
                    main: false,
                    last: None,
                    caches: Vec::new(),
                });
            }
        }
        begin..self.threads.len()
    }
}

impl Thread {
    /// The account answers a request of it.
    pub(crate) fn ask(&mut self, account: usize, upstream: &Upstream, now: u64, dice: &mut Dice) -> Used {
        let output = dice.between(200, 1_200);
        let here = |cache: &&mut (usize, u64, u64)| cache.0 == upstream.organization;
        let prompt = self.prompt;
        let whole = (upstream.organization, prompt + output, now + CACHE_LIFE);
        let read = match self.caches.iter_mut().find(here) {
            Some(cache) => {
                let (_, cached, until) = std::mem::replace(cache, whole);
                if until > now { cached.min(prompt) } else { 0 }
            }
            None => {
                self.caches.push(whole);
                0
            }
        };
        let moved = self.last.is_some_and(|last| last != account);
        self.last = Some(account);
        self.prompt += output + dice.between(500, 3_000);
        let units = (prompt - read) * 5 / 4 + read / 10 + output * 5;
        Used { prompt, read, units, moved, took: 1_500 + output * 12 }
    }

    /// The wait for its next turn; `None`: it was the last.
    pub(crate) fn goes_on(&mut self, dice: &mut Dice) -> Option<u64> {
        self.turns = self.turns.checked_sub(1).filter(|left| *left > 0)?;
        Some(match self.main {
            false => SECOND / 2,
            true if dice.chance(0.05) => dice.between(10 * MINUTE, 40 * MINUTE),
            true => 5 * SECOND + dice.wait(45_000.0),
        })
    }
}
