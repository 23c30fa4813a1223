//! Tables over the ranking.

use super::*;
use crate::{
    pool::{FamilyCooldown, Health},
    protocol::ReportedLimit,
};

const NOW: i64 = 1_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn account(name: &str) -> Account {
    Account::new(AccountId::from(format!("acc_{name}")), Provider::Anthropic, name.to_owned(), at(0))
}

const ASK: Ask<'_> = Ask {
    pool: "default",
    provider: Provider::Anthropic,
    api: Api::Anthropic,
    operation: Operation::Generate,
    model: Some("claude-opus-5"),
    family: "opus-5",
    tried: &[],
};

fn sits_out(until: i64) -> FamilyCooldown {
    FamilyCooldown { until: at(until), probe_at: None, tester: None, failures: 1 }
}

fn lot(seed: &[u8]) -> Lot<'_> {
    Lot { seed, turn: 0 }
}

fn reported(name: &str, utilization: f64, resets_at: i64) -> ReportedLimit {
    ReportedLimit {
        name: name.to_owned(),
        family: None,
        limit: None,
        remaining: None,
        utilization: Some(utilization),
        resets_at: Some(at(resets_at)),
        status: None,
    }
}

fn with_limits(name: &str, limits: &[ReportedLimit]) -> Account {
    Account { reported_limits: limits.to_vec(), ..account(name) }
}

/// The names in order under a strategy.
fn order(accounts: &[Account], strategy: Strategy, turn: usize) -> Vec<String> {
    names(rank(accounts, &ASK, strategy, &Lot { seed: b"seed", turn }, at(NOW)))
}

fn names(mut ranking: Ranking<'_>) -> Vec<String> {
    ranking.take(usize::MAX).iter().map(|account| account.name.clone()).collect()
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
            Account { cooling_families: [("opus-5".to_owned(), sits_out(later))].into(), ..account("a") },
            Some(Exclusion::Cooling { until: at(later) }),
        ),
        (Account { cooling_families: [("opus-4".to_owned(), sits_out(later))].into(), ..account("a") }, None),
    ] {
        let accounts = [account];
        let ranking = rank(&accounts, &ASK, Strategy::Weighted, &lot(b"seed"), at(NOW));
        assert_eq!(ranking.excluded.first().map(|(_, why)| *why), expect, "{:?}", accounts[0]);
        assert_eq!(ranking.is_empty(), expect.is_some());
    }
}

/// A count of tokens is no use of a limit: its success would free an account whose limit still holds.
#[test]
fn what_is_free_tests_no_limit_but_whether_the_upstream_is_there() {
    let health =
        |last, until: Option<i64>| Health { last, until: until.map(at), probe_at: Some(at(NOW)), ..Health::ready() };
    let later = NOW + 9_000;
    let of_family = FamilyCooldown { probe_at: Some(at(NOW)), ..sits_out(later) };
    let cooling = Exclusion::Cooling { until: at(later) };
    for (account, expect) in [
        (Account { health: health(State::Cooling, Some(later)), ..account("a") }, Some(cooling)),
        (
            Account { health: health(State::Exhausted, Some(later)), ..account("a") },
            Some(Exclusion::Exhausted { until: Some(at(later)) }),
        ),
        (Account { cooling_families: [("opus-5".to_owned(), of_family)].into(), ..account("a") }, Some(cooling)),
        (Account { health: health(State::Cooling, None), ..account("a") }, None),
    ] {
        let accounts = [account];
        for (operation, expect) in [(Operation::CountTokens, expect), (Operation::Generate, None)] {
            let ask = Ask { operation, ..ASK };
            let ranking = rank(&accounts, &ask, Strategy::Weighted, &lot(b"seed"), at(NOW));
            assert_eq!(ranking.excluded.first().map(|(_, why)| *why), expect, "{operation:?} {:?}", accounts[0]);
        }
    }
}

#[test]
fn other_pools_and_providers_are_not_even_mentioned() {
    let accounts =
        [Account { pool: "other".to_owned(), ..account("a") }, Account { provider: Provider::Gemini, ..account("b") }];
    let ranking = rank(&accounts, &ASK, Strategy::Weighted, &lot(b"seed"), at(NOW));
    assert!(ranking.is_empty() && ranking.excluded.is_empty());
}

#[test]
fn tiers_come_before_strategies_and_the_tried_do_not_come_again() {
    let accounts = [
        Account { priority: 1, weight: 1_000, ..account("second") },
        Account { created_at: at(2), ..account("young") },
        Account { created_at: at(1), ..account("old") },
    ];
    let by_priority = rank(&accounts, &ASK, Strategy::Priority, &lot(b"any"), at(NOW));
    assert_eq!(names(by_priority), ["old", "young", "second"]);
    for seed in 0..50_u64 {
        let order = rank(&accounts, &ASK, Strategy::Weighted, &lot(&seed.to_le_bytes()), at(NOW));
        assert_eq!(names(order)[2], "second");
    }
    let tried = [accounts[2].id.clone()];
    let again = rank(&accounts, &Ask { tried: &tried, ..ASK }, Strategy::Priority, &lot(b"any"), at(NOW));
    assert_eq!(names(again), ["young", "second"]);
}

#[test]
fn weights_hold_over_many_seeds() {
    let accounts = [Account { weight: 3, ..account("heavy") }, account("light")];
    let heavy = (0..10_000_u64)
        .filter(|seed| {
            names(rank(&accounts, &ASK, Strategy::Weighted, &lot(&seed.to_le_bytes()), at(NOW)))[0] == "heavy"
        })
        .count();
    assert!((7_300..7_700).contains(&heavy), "{heavy} of 10000 for a weight of 3 in 4");
}

#[test]
fn a_session_keeps_its_account_and_only_the_lost_share_moves() {
    let accounts: Vec<_> = ["a", "b", "c", "d"].map(account).into();
    let first = |accounts: &[Account], seed: u64| {
        names(rank(accounts, &ASK, Strategy::Weighted, &lot(&seed.to_le_bytes()), at(NOW)))[0].clone()
    };
    for seed in 0..500 {
        let before = first(&accounts, seed);
        assert_eq!(before, first(&accounts, seed));
        let after = first(&accounts[..3], seed);
        assert!(before == after || before == "d", "session {seed} moved from {before} to {after}");
    }
}

#[test]
fn turns_are_taken_by_all() {
    let accounts = ["a", "b", "c"].map(account);
    let firsts: Vec<_> = (0..6).map(|turn| order(&accounts, Strategy::RoundRobin, turn)[0].clone()).collect();
    assert_eq!(firsts, ["a", "b", "c", "a", "b", "c"]);
    assert_eq!(order(&accounts, Strategy::RoundRobin, 1), ["b", "c", "a"]);
    assert_eq!(order(&[], Strategy::RoundRobin, 1), [""; 0]);
}

#[test]
fn the_least_busy_for_its_weight_comes_first() {
    let accounts = [
        Account { in_flight: 4, weight: 4, ..account("heavy") },
        Account { in_flight: 2, ..account("busy") },
        Account { in_flight: 3, weight: 2, ..account("middling") },
    ];
    assert_eq!(order(&accounts, Strategy::LeastInFlight, 0), ["heavy", "middling", "busy"]);
}

#[test]
fn most_headroom_or_the_earliest_reset_comes_first() {
    let accounts = [
        with_limits("half", &[reported("5h", 0.5, 5_000), reported("7d", 0.1, 2_000)]),
        with_limits("little", &[reported("5h", 0.8, 9_000)]),
        with_limits("renewed", &[reported("5h", 0.9, NOW)]),
        account("unknown"),
    ];
    let by_headroom = order(&accounts, Strategy::Headroom, 0);
    assert_eq!(by_headroom[2..], ["half", "little"]);
    let by_reset = order(&accounts, Strategy::EarliestReset, 0);
    assert_eq!(by_reset[..2], ["half", "little"]);
}

#[test]
fn an_account_about_to_run_dry_is_tried_last_in_its_tier() {
    let accounts = [
        with_limits("dry", &[reported("5h", 0.99, 5_000)]),
        account("fine"),
        Account { priority: 1, ..account("reserve") },
    ];
    for strategy in Strategy::ALL {
        assert_eq!(order(&accounts, strategy, 0), ["fine", "dry", "reserve"], "{strategy:?}");
    }
}

#[test]
fn paid_overage_is_only_used_where_it_may_be() {
    let spent = with_limits("a", &[reported("5h", 1.0, 5_000), reported("overage", 0.1, 9_000)]);
    let frugal = Account { use_paid_overage: false, ..spent.clone() };
    for (account, expect) in [(spent, None), (frugal, Some(Exclusion::Spent { until: at(5_000) }))] {
        let accounts = [account];
        let ranking = rank(&accounts, &ASK, Strategy::Weighted, &lot(b"seed"), at(NOW));
        assert_eq!(ranking.excluded.first().map(|(_, why)| *why), expect);
    }
}

#[test]
fn an_account_in_a_long_cooldown_is_tested_by_the_first_request_after_a_while() {
    let cooling =
        Health { last: State::Cooling, until: Some(at(NOW + 9_000)), probe_at: Some(at(NOW)), ..Health::ready() };
    let accounts = [account("well"), Account { priority: 1, health: cooling, ..account("cooling") }];
    assert_eq!(order(&accounts, Strategy::Weighted, 0), ["cooling", "well"]);
    let earlier = rank(&accounts, &ASK, Strategy::Weighted, &lot(b"seed"), at(NOW - 1));
    assert_eq!(names(earlier), ["well"]);
}

#[test]
fn a_request_makes_one_test_only() {
    let due = Health { last: State::Cooling, probe_at: Some(at(NOW)), ..Health::ready() };
    let accounts = ["a", "b", "c", "well"]
        .map(|name| Account { health: if name == "well" { Health::ready() } else { due.clone() }, ..account(name) });
    let first = rank(&accounts, &ASK, Strategy::Priority, &lot(b"seed"), at(NOW)).take(1);
    assert_ne!(first[0].name, "well");
    let tried = [first[0].id.clone()];
    let then = rank(&accounts, &Ask { tried: &tried, ..ASK }, Strategy::Priority, &lot(b"seed"), at(NOW));
    assert_eq!(names(then)[0], "well");
}

#[test]
fn portions_of_an_order_are_the_order() {
    let accounts: Vec<_> = (0..200).map(|n| account(&n.to_string())).collect();
    for strategy in Strategy::ALL {
        let whole = order(&accounts, strategy, 3);
        let mut ranking = rank(&accounts, &ASK, strategy, &Lot { seed: b"seed", turn: 3 }, at(NOW));
        let mut portions = Vec::new();
        while !ranking.is_empty() {
            portions.extend(ranking.take(64).into_iter().map(|account| account.name.clone()));
        }
        assert_eq!(portions, whole, "{strategy:?}");
    }
}

#[test]
fn a_login_of_google_is_left_out_of_what_code_assist_lacks_and_a_key_out_of_code_assist() {
    let of_kind =
        |kind: &str| Account { provider: Provider::Gemini, credential_kind: kind.to_owned(), ..account(kind) };
    let accounts = [of_kind("api_key"), Account { created_at: at(-1), ..of_kind("oauth") }];
    for (api, operation, order, excluded) in [
        (Api::Gemini, Operation::Generate, vec!["oauth", "api_key"], None),
        (Api::Gemini, Operation::CountTokens, vec!["oauth", "api_key"], None),
        (Api::Gemini, Operation::Embed, vec!["api_key"], Some(Api::CodeAssist)),
        (Api::Gemini, Operation::Models, vec!["api_key"], Some(Api::CodeAssist)),
        (Api::Gemini, Operation::Other, vec!["api_key"], Some(Api::CodeAssist)),
        (Api::CodeAssist, Operation::Generate, vec!["oauth"], Some(Api::Gemini)),
        (Api::CodeAssist, Operation::Other, vec!["oauth"], Some(Api::Gemini)),
    ] {
        let ask = Ask { provider: Provider::Gemini, api, operation, model: None, ..ASK };
        let ranking = rank(&accounts, &ask, Strategy::Priority, &lot(b"any"), at(NOW));
        let told: Vec<_> = ranking.excluded.iter().map(|(_, why)| *why).collect();
        assert_eq!(names(ranking), order, "{api:?} {operation:?}");
        assert_eq!(told, excluded.map(Exclusion::Api).into_iter().collect::<Vec<_>>(), "{api:?} {operation:?}");
    }
}

#[test]
fn a_limit_of_another_family_says_nothing_of_this_one() {
    let of = |family: &str, used| ReportedLimit { family: Some(family.to_owned()), ..reported("x", used, NOW + 9) };
    let spent = Account {
        use_paid_overage: false,
        created_at: at(-1),
        ..with_limits("spent", &[of("opus-5", 1.0), of("haiku-5", 0.0)])
    };
    let accounts = [spent, with_limits("half", &[of("haiku-5", 0.5)])];
    for (family, expect) in [("opus-5", vec!["half"]), ("haiku-5", vec!["spent", "half"])] {
        let ask = Ask { family, ..ASK };
        assert_eq!(names(rank(&accounts, &ask, Strategy::Headroom, &lot(b"any"), at(NOW))), expect, "{family}");
    }
}
