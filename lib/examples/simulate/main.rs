//! Compares the strategies over a simulated day, on the gateway's own ranking, health and policy and without a database:
//! `cargo run --release -p gateway --example simulate -- [ACCOUNTS] [REQUESTS]`.

mod dice;
mod run;
mod scale;
mod talk;
mod upstream;

use std::{
    hint::black_box,
    io::{self, Write},
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{available_parallelism, scope},
    time::Instant,
};

use gateway::{
    pool::{Affinity, Ask, Lot, Policy, Strategy, rank},
    protocol::{Api, Operation, Provider},
};

use dice::Dice;
use run::{Outcome, run};
use scale::Scale;

/// Rankings timed for each strategy.
const RANKINGS: u32 = 5_000;

fn main() -> io::Result<()> {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |usual| given.next().unwrap_or(Ok(usual)).map_err(io::Error::other);
    let scale = Scale { accounts: next(1_000)? as usize, requests: next(1_000_000)? };
    let days: Vec<_> = policies();
    let outcomes = Mutex::new(vec![None; days.len()]);
    let (turn, began) = (AtomicUsize::new(0), Instant::now());
    // One on each processor, which takes the next that nobody has begun.
    scope(|threads| {
        for _ in 0..available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(|| {
                while let Some((place, policy)) =
                    Some(turn.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, days.get(n)?)))
                {
                    let which = format!("{} of {}, {}", place + 1, days.len(), name(policy));
                    let outcome = run(scale, policy, |asked| tell(&which, asked, scale, began));
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rows: Vec<_> = days.iter().zip(outcomes.into_iter().flatten()).collect();
    let seconds = began.elapsed().as_secs();
    writeln!(io::stdout(), "{}\n\n{}\n\n{seconds} s", sizes(scale, &rows), table(&rows, scale.accounts))
}

/// Every strategy, without and with affinity.
fn policies() -> Vec<Policy> {
    let with = |enabled| Affinity { enabled, ..Affinity::default() };
    let both =
        |strategy| [false, true].map(|enabled| Policy { strategy, affinity: with(enabled), ..Policy::default() });
    Strategy::ALL.into_iter().flat_map(both).collect()
}

fn name(policy: &Policy) -> String {
    format!("`{}` | {}", policy.strategy.as_str(), if policy.affinity.enabled { "yes" } else { "no" })
}

fn tell(which: &str, asked: u64, scale: Scale, began: Instant) {
    if asked.is_multiple_of((scale.requests / 20).max(1)) {
        let share = asked * 100 / scale.requests;
        // Progress that nobody can see is no reason to stop.
        let _unseen = writeln!(io::stderr(), "{which}: {share} % after {} s", began.elapsed().as_secs());
    }
}

/// How large the day was. What conversations do depends a little on how they are served, so that is a mean.
fn sizes(scale: Scale, rows: &[(&Policy, Outcome)]) -> String {
    let mean =
        |of: fn(&Outcome) -> u64| grouped(rows.iter().map(|(_, outcome)| of(outcome)).sum::<u64>() / rows.len() as u64);
    format!(
        "One day: {} accounts, {} requests in {} conversations; {} fan-outs, whose subagents make {} of the requests.",
        grouped(scale.accounts as u64),
        grouped(scale.requests),
        mean(|outcome| outcome.conversations),
        mean(|outcome| outcome.fan_outs),
        mean(|outcome| outcome.subagents),
    )
}

/// A number as it is read: 1,000,000.
fn grouped(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1_000), number % 1_000) }
}

fn table(rows: &[(&Policy, Outcome)], accounts: usize) -> String {
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64 * 100.0;
    let head = "| strategy | affinity | served | 429s | moves | cache reads | spread | ranking |\n\
                | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |";
    rows.iter().fold(head.to_owned(), |table, (policy, outcome)| {
        let Outcome { requests, served, limited, moves, prompt, read, spread, .. } = *outcome;
        let (served, read) = (share(served, requests), share(read, prompt));
        let (limited, moves) = (grouped(limited), grouped(moves));
        let micros = time_ranking(accounts, policy.strategy);
        format!(
            "{table}\n| {} | {served:.2} % | {limited} | {moves} | {read:.1} % | {spread:.2} | {micros:.0} µs |",
            name(policy)
        )
    })
}

/// What it takes to rank so many accounts and to have the best 64 of them, in microseconds.
fn time_ranking(accounts: usize, strategy: Strategy) -> f64 {
    let (mut accounts, upstreams) = upstream::build(Scale { accounts, requests: 1_000_000 }, &mut Dice(1));
    for (account, upstream) in accounts.iter_mut().zip(&upstreams) {
        account.reported_limits = upstream.reported();
    }
    let ask = Ask {
        pool: "default",
        provider: Provider::Anthropic,
        api: Api::Anthropic,
        operation: Operation::Generate,
        model: Some("m"),
        family: "m",
        tried: &[],
    };
    let began = Instant::now();
    for turn in 0..RANKINGS {
        let lot = Lot { seed: &turn.to_le_bytes(), turn: turn as usize };
        black_box(rank(black_box(&accounts), &ask, strategy, &lot, upstream::moment(0)).take(64));
    }
    began.elapsed().as_secs_f64() / f64::from(RANKINGS) * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Scale = Scale { accounts: 12, requests: 4_000 };

    #[test]
    fn a_small_day_says_the_same_each_time_and_what_the_large_one_says() {
        let days = policies();
        let outcomes: Vec<_> = days.iter().map(|policy| run(SMALL, policy, |_| {})).collect();
        assert_eq!(outcomes[3], run(SMALL, &days[3], |_| {}));
        let reads = |outcome: &Outcome| outcome.read as f64 / outcome.prompt as f64;
        for (policy, outcome) in days.iter().zip(&outcomes) {
            assert_eq!(outcome.requests, SMALL.requests);
            assert!(outcome.limited > 0 && outcome.served > SMALL.requests / 2, "{policy:?}: {outcome:?}");
            assert!(!policy.affinity.enabled || reads(outcome) > 0.7, "{policy:?}: {outcome:?}");
        }
        let [alone, together] = &outcomes[4..6] else { panic!("round_robin, without affinity and with it") };
        assert!(reads(together) > reads(alone) + 0.1 && together.served > alone.served, "{alone:?} {together:?}");
        assert!(together.moves < alone.moves, "{alone:?} {together:?}");
    }

    #[test]
    fn a_table_has_a_row_for_each_policy() {
        let days = policies();
        let rows: Vec<_> = days.iter().map(|policy| (policy, Outcome::default())).collect();
        let table = table(&rows, 10);
        assert_eq!(table.lines().count(), 2 + days.len());
        assert!(table.contains("| `headroom` | yes | 0.00 % | 0 | 0 | 0.0 % | 0.00 | "), "{table}");
    }

    #[test]
    fn the_sizes_are_named() {
        let policy = Policy::default();
        let outcome = |fan_outs| Outcome { conversations: 17_000, fan_outs, subagents: 40_000, ..Outcome::default() };
        let told = sizes(
            Scale { accounts: 1_000, requests: 1_000_000 },
            &[(&policy, outcome(900)), (&policy, outcome(1_100))],
        );
        let expect = "One day: 1,000 accounts, 1,000,000 requests in 17,000 conversations; 1,000 fan-outs, whose subagents make \
                      40,000 of the requests.";
        assert_eq!(told, expect);
    }
}
