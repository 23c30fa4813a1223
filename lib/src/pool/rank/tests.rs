//! Tables over the ranking.

use std::collections::BTreeMap;

use super::*;
use crate::pool::Health;

const NOW: i64 = 1_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn account(name: &str) -> Account {
    Account {
        id: AccountId::from(format!("acc_{name}")),
        provider: Provider::Anthropic,
        name: name.to_owned(),
        pool: "default".to_owned(),
        base_url: None,
        sealed: Vec::new(),
        credential_kind: "api_key".to_owned(),
        credential_hint: "…".to_owned(),
        priority: 0,
        weight: 1,
        max_in_flight: None,
        models: Vec::new(),
        model_map: BTreeMap::new(),
        note: String::new(),
        paused: false,
        health: Health::ready(),
        cooling_families: BTreeMap::new(),
        in_flight: 0,
        last_error: None,
        last_checked_at: None,
        revision: 1,
        created_at: at(0),
        updated_at: at(0),
    }
}

const ASK: Ask<'_> =
    Ask { pool: "default", provider: Provider::Anthropic, model: Some("claude-opus-5"), family: "opus-5", tried: &[] };

fn names(ranking: &Ranking<'_>) -> Vec<String> {
    ranking.order.iter().map(|account| account.name.clone()).collect()
}

#[test]
fn each_reason_to_sit_out_is_told() {
    let in_state = |last, until: Option<i64>| Account {
        health: Health { last, until: until.map(at), ..Health::ready() },
        ..account("a")
    };
    let later = NOW + 1;
    for (account, expect) in [
        (account("a"), None),
        (Account { paused: true, ..account("a") }, Some(Exclusion::Paused)),
        (in_state(State::NeedsAuth, None), Some(Exclusion::NeedsAuth)),
        (in_state(State::Exhausted, Some(later)), Some(Exclusion::Exhausted { until: Some(at(later)) })),
        (in_state(State::Cooling, Some(later)), Some(Exclusion::Cooling { until: at(later) })),
        (in_state(State::Cooling, Some(NOW)), None),
        (Account { models: vec!["claude-haiku-*".to_owned()], ..account("a") }, Some(Exclusion::Model)),
        (Account { models: vec!["claude-opus-*".to_owned()], ..account("a") }, None),
        (
            Account { cooling_families: [("opus-5".to_owned(), at(later))].into(), ..account("a") },
            Some(Exclusion::Cooling { until: at(later) }),
        ),
        (Account { cooling_families: [("opus-4".to_owned(), at(later))].into(), ..account("a") }, None),
    ] {
        let accounts = [account];
        let ranking = rank(&accounts, &ASK, Strategy::Weighted, b"seed", at(NOW));
        assert_eq!(ranking.excluded.first().map(|(_, why)| *why), expect, "{:?}", accounts[0]);
        assert_eq!(ranking.order.len(), usize::from(expect.is_none()));
    }
}

#[test]
fn other_pools_and_providers_are_not_even_mentioned() {
    let accounts =
        [Account { pool: "other".to_owned(), ..account("a") }, Account { provider: Provider::Gemini, ..account("b") }];
    let ranking = rank(&accounts, &ASK, Strategy::Weighted, b"seed", at(NOW));
    assert!(ranking.order.is_empty() && ranking.excluded.is_empty());
}

#[test]
fn tiers_come_before_strategies_and_the_tried_do_not_come_again() {
    let accounts = [
        Account { priority: 1, weight: 1_000, ..account("second") },
        Account { created_at: at(2), ..account("young") },
        Account { created_at: at(1), ..account("old") },
    ];
    let by_priority = rank(&accounts, &ASK, Strategy::Priority, b"any", at(NOW));
    assert_eq!(names(&by_priority), ["old", "young", "second"]);
    for seed in 0..50_u64 {
        let order = rank(&accounts, &ASK, Strategy::Weighted, &seed.to_le_bytes(), at(NOW));
        assert_eq!(names(&order)[2], "second");
    }
    let tried = [accounts[2].id.clone()];
    let again = rank(&accounts, &Ask { tried: &tried, ..ASK }, Strategy::Priority, b"any", at(NOW));
    assert_eq!(names(&again), ["young", "second"]);
}

#[test]
fn weights_hold_over_many_seeds() {
    let accounts = [Account { weight: 3, ..account("heavy") }, account("light")];
    let heavy = (0..10_000_u64)
        .filter(|seed| names(&rank(&accounts, &ASK, Strategy::Weighted, &seed.to_le_bytes(), at(NOW)))[0] == "heavy")
        .count();
    assert!((7_300..7_700).contains(&heavy), "{heavy} of 10000 for a weight of 3 in 4");
}

#[test]
fn a_session_keeps_its_account_and_only_the_lost_share_moves() {
    let accounts: Vec<_> = ["a", "b", "c", "d"].map(account).into();
    let first = |accounts: &[Account], seed: u64| {
        names(&rank(accounts, &ASK, Strategy::Weighted, &seed.to_le_bytes(), at(NOW)))[0].clone()
    };
    for seed in 0..500 {
        let before = first(&accounts, seed);
        assert_eq!(before, first(&accounts, seed));
        let after = first(&accounts[..3], seed);
        assert!(before == after || before == "d", "session {seed} moved from {before} to {after}");
    }
}
