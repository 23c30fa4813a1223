//! Worked examples and rules of pricing.md.

use super::*;
use crate::protocol::{Charge, Media, Terms, Tier};

const ANTHROPIC: Provider = Provider::Anthropic;
const GEMINI: Provider = Provider::Gemini;

#[track_caller]
fn check(provider: Provider, model: &str, usage: &Usage, picos: i64, unpriced: bool) {
    let priced = PriceTable::built_in().price(provider, model, None, usage);
    assert_eq!(priced, Priced { cost: Micros::from_picos(picos), picos, unpriced }, "{model}: {usage:?}");
}

/// In millionths of a dollar.
#[track_caller]
fn costs(provider: Provider, model: &str, usage: &Usage, micros: i64) {
    check(provider, model, usage, micros * 1_000_000, false);
}

fn terms(tier: Tier, fast: bool, us_only: bool) -> Terms {
    Terms { tier, fast, us_only }
}

fn tier(tier: Tier) -> Terms {
    terms(tier, false, false)
}

fn tokens(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

/// Numbered as in pricing.md.
#[test]
fn worked_examples() {
    // 1
    let usage = Usage { cache_read: 48_000, cache_write_5m: 3_000, ..tokens(1_200, 850) };
    costs(ANTHROPIC, "claude-sonnet-5-5", &usage, 23_200);
    // 2
    let usage = Usage { cache_write_5m: 400, cache_write_1h: 600, ..Usage::default() };
    costs(ANTHROPIC, "claude-sonnet-4-6", &usage, 5_100);
    // 3, 4: at the threshold, and one token above it
    costs(ANTHROPIC, "claude-haiku-5-5", &Usage { cache_read: 100_000, ..tokens(0, 10) }, 1_005);
    check(ANTHROPIC, "claude-haiku-5-5", &Usage { cache_read: 100_000, ..tokens(1, 10) }, 5_025_500_000, false);
    // 5
    let usage = Usage { terms: terms(Tier::Standard, true, true), ..tokens(1_000, 200) };
    costs(ANTHROPIC, "claude-opus-5-5", &usage, 17_600);
    // 6
    costs(ANTHROPIC, "claude-opus-4-8", &Usage { searches: 2, ..tokens(500, 100) }, 25_000);
    // 7
    costs(ANTHROPIC, "claude-haiku-4-5", &Usage { terms: tier(Tier::Batch), ..tokens(10_000, 1_000) }, 7_500);
    // 8
    let usage = Usage { cache_read: 200_000, thinking: 500, ..tokens(50_000, 1_500) };
    costs(GEMINI, "gemini-2.5-pro", &usage, 197_500);
    // 9
    costs(GEMINI, "gemini-2.5-pro", &tokens(200_000, 100), 251_000);
    // 10
    let media = Media { audio_input: 4_000, ..Media::default() };
    costs(GEMINI, "gemini-2.5-flash", &Usage { media, ..tokens(10_000, 100) }, 6_050);
    // 11
    let usage = Usage { cache_read: 8_000, thinking: 600, terms: tier(Tier::Flex), ..tokens(12_000, 1_000) };
    costs(GEMINI, "gemini-3.8-flash", &usage, 6_675);
    // 12
    costs(GEMINI, "gemini-embedding-001", &tokens(2_000, 0), 300);
}

#[test]
fn the_row_is_found_by_exact_name_else_without_date_or_revision() {
    let table = PriceTable::built_in();
    for (provider, model, row) in [
        (ANTHROPIC, "claude-sonnet-5-5", Some("claude-sonnet-5-5")),
        (ANTHROPIC, "Claude-Sonnet-5-5[1m]", Some("claude-sonnet-5-5")),
        (ANTHROPIC, "claude-sonnet-5-5-20261001", Some("claude-sonnet-5-5")),
        (ANTHROPIC, "claude-sonnet-5-5@20261001", Some("claude-sonnet-5-5")),
        (ANTHROPIC, "claude-opus-4-5-20251101", Some("claude-opus-4-5-20251101")),
        (ANTHROPIC, "claude-sonnet-5-5-001", None),
        (ANTHROPIC, "claude-sonnet-5-5-2026100", None),
        (ANTHROPIC, "claude-opus-4-9", None),
        (ANTHROPIC, "gemini-2.5-pro", None),
        (GEMINI, "models/gemini-2.5-pro", Some("gemini-2.5-pro")),
        (GEMINI, "tunedModels/gemini-2.5-pro", Some("gemini-2.5-pro")),
        (GEMINI, "gemini-2.5-pro-001", Some("gemini-2.5-pro")),
        (GEMINI, "gemini-2.0-flash-001", Some("gemini-2.0-flash-001")),
        (GEMINI, "gemini-2.5-pro-preview", None),
        (GEMINI, "", None),
        (GEMINI, "-001", None),
    ] {
        assert_eq!(table.row(provider, model).map(|row| row.model.as_str()), row, "{model}");
    }
}

#[test]
fn the_model_that_served_is_the_one_that_is_paid() {
    let table = PriceTable::built_in();
    let priced = |asked, served| table.price(ANTHROPIC, asked, served, &tokens(1_000, 0));
    assert_eq!(priced("claude-opus-5-5", Some("claude-haiku-5-5")).cost, Micros(100));
    assert_eq!(priced("claude-opus-5-5", None).cost, Micros(4_000));
    assert!(priced("claude-opus-5-5", Some("somebody-new")).unpriced);
}

#[test]
fn a_model_without_a_row_costs_what_the_dearest_does_and_is_marked() {
    let usage = Usage { cache_read: 1_000, ..tokens(1_000, 1_000) };
    check(ANTHROPIC, "claude-next", &usage, 61_000_000_000, true);
    check(GEMINI, "gemini-next", &usage, 14_200_000_000, true);
    check(GEMINI, "gemini-next", &Usage::default(), 0, true);
    // A price that its row lacks: the tokens cost what plain input does.
    check(GEMINI, "gemini-3-pro-image", &Usage { cache_read: 1_000, ..tokens(0, 0) }, 2_000_000_000, true);
    check(GEMINI, "gemini-3-pro-image", &tokens(1_000, 0), 2_000_000_000, false);
    // Prices that nobody told: priority bought beforehand, a speed that is not offered.
    let priority = Usage { terms: tier(Tier::Priority), ..tokens(1_000, 0) };
    check(ANTHROPIC, "claude-sonnet-5-5", &priority, 2_000_000_000, true);
    let fast = Usage { terms: terms(Tier::Standard, true, false), ..tokens(1_000, 0) };
    check(ANTHROPIC, "claude-sonnet-5-5", &fast, 2_000_000_000, true);
    check(ANTHROPIC, "claude-3-opus-20240229", &Usage { searches: 1, ..tokens(0, 0) }, 10_000_000_000, true);
    costs(GEMINI, "gemma-4-31b-it", &tokens(1_000, 1_000), 0);
}

#[test]
fn parts_are_priced_each_by_its_own_model_and_prompt() {
    let part = |input, output| Charge { input, output, ..Charge::default() };
    let request = |charges| Usage { charges, ..tokens(150_000, 20) };
    // Two calls of 75,000 are both short; as one prompt they would be long.
    costs(ANTHROPIC, "claude-haiku-5-5", &request(vec![part(75_000, 10), part(75_000, 10)]), 15_010);
    costs(ANTHROPIC, "claude-haiku-5-5", &request(Vec::new()), 75_050);
    // An advisor at standard speed in a fast request, in the same place.
    let advisor = Charge { model: Some("claude-opus-5".to_owned()), standard_speed: true, ..part(1_000, 0) };
    let usage = Usage {
        terms: terms(Tier::Standard, true, true),
        searches: 1,
        ..request(vec![part(1_000, 0), advisor.clone()])
    };
    costs(ANTHROPIC, "claude-opus-5-5", &usage, 8_800 + 5_500 + 10_000);
    let stranger = Charge { model: Some("somebody-new".to_owned()), ..part(1_000, 0) };
    check(ANTHROPIC, "claude-opus-5-5", &request(vec![stranger]), 10_000_000_000, true);
    costs(ANTHROPIC, "claude-opus-5-5", &request(vec![Charge::default()]), 0);
}

#[test]
fn media_tiers_and_tools_of_gemini() {
    let media = Media { audio_input: 10, audio_cache_read: 10, image_output: 1_000, ..Media::default() };
    let usage = Usage { cache_read: 110, media: media.clone(), ..tokens(110, 1_100) };
    // 100 x 0.3 + 10 x 1 + 100 x 0.03 + 10 x 0.1 + 1,100 x 2.5
    costs(GEMINI, "gemini-2.5-flash", &usage, 30 + 10 + 3 + 1 + 2_750);
    // 100 x 0.25 + 10 x 0.5 + 100 x 0.03 + 10 x 0.05: audio has no column of a tier and takes its factor
    let flex = Usage { terms: tier(Tier::Flex), output: 0, media: Media { image_output: 0, ..media }, ..usage };
    check(GEMINI, "gemini-2.5-flash", &flex, 15_000_000 + 5_000_000 + 3_000_000 + 500_000, false);
    let picture = Media { image_output: 1_290, ..Media::default() };
    costs(GEMINI, "gemini-2.5-flash-image", &Usage { media: picture, ..tokens(0, 1_300) }, 38_700 + 25);
    // The long prices scale by the tier's factor: 250,000 x 2.5 x 1.8
    costs(GEMINI, "gemini-2.5-pro", &Usage { terms: tier(Tier::Priority), ..tokens(250_000, 0) }, 1_125_000);
    // What tools fed back is input, but a search pays for its own.
    costs(GEMINI, "gemini-3.8-flash", &Usage { tool_use: 1_000, ..tokens(0, 0) }, 750);
    costs(GEMINI, "gemini-3.8-flash", &Usage { tool_use: 1_000, searches: 2, ..tokens(0, 0) }, 28_000);
}

#[test]
fn nothing_overflows() {
    let most = u64::MAX;
    let usage = Usage {
        input: most,
        cache_read: most,
        cache_write_5m: most,
        cache_write_1h: most,
        output: most,
        tool_use: most,
        searches: most,
        terms: terms(Tier::Priority, true, true),
        media: Media { audio_input: most, image_input: most, ..Media::default() },
        ..Usage::default()
    };
    for (provider, model) in [(ANTHROPIC, "claude-opus-5-5"), (GEMINI, "gemini-2.5-pro")] {
        assert_eq!(PriceTable::built_in().price(provider, model, None, &usage).picos, i64::MAX);
    }
    let bounded = Usage { terms: terms(Tier::Batch, true, true), ..tokens(1_000_000_000, 1_000_000_000) };
    costs(ANTHROPIC, "claude-opus-5-5", &bounded, 26_400_000_000);
}

#[test]
fn rows_can_be_put_in_place_of_the_built_in_ones() {
    let rows: Vec<Row> = serde_json::from_str(
        r#"[{"provider":"anthropic","model":"claude-opus-5-5","kind":"chat","status":"current","input":1,"output":2},
            {"provider":"anthropic","model":"Claude-Next","kind":"chat","status":"current","input":"7.5","output":"100"}]"#,
    )
    .unwrap();
    let table = PriceTable::built_in().with(rows);
    let cost = |model: &str| table.price(ANTHROPIC, model, None, &tokens(1_000, 1_000));
    assert_eq!(cost("claude-opus-5-5").cost, Micros(3_000));
    assert_eq!(cost("claude-next").cost, Micros(107_500));
    assert_eq!((cost("claude-later").cost, cost("claude-later").unpriced), (Micros(107_500), true));
}

/// The relations that pricing.md states, as a guard against a slip of the hand.
#[test]
fn the_built_in_table_is_consistent() {
    let table = PriceTable::built_in();
    assert_eq!(table.rows.len(), include_str!("../pricing.csv").lines().count() - 1, "a model has two rows");
    for row in table.rows.values() {
        let name = &row.model;
        let base = [row.input, row.output].map(|rate| rate.unwrap_or_else(|| panic!("{name}: no base price")).0);
        assert_eq!(*name, plain_name(name));
        assert_eq!(row.long_above.is_some(), row.long_input.is_some() && row.long_output.is_some(), "{name}");
        if row.provider == GEMINI {
            continue;
        }
        let [input, output] = base;
        let millionths = |rate: Option<Rate>| rate.map_or(0, |rate| rate.0);
        assert_eq!(output, 5 * input, "{name}");
        assert_eq!(millionths(row.cache_write_1h), 2 * input, "{name}");
        if name != "claude-3-haiku-20240307" {
            assert_eq!(4 * millionths(row.cache_write_5m), 5 * input, "{name}");
        }
        if let Some(batch) = row.batch_input {
            assert_eq!(2 * batch.0, input, "{name}");
            assert_eq!(2 * millionths(row.batch_output), output, "{name}");
            assert_eq!(2 * millionths(row.batch_cache_read), millionths(row.cache_read), "{name}");
        }
    }
}
