//! `usage.iterations`: the model calls behind one answer, where there were several, and what of them is charged.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::report::split_writes;
use crate::protocol::usage::{Charge, Figure, Usage};

/// One model call.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    kind: Kind,
    charge: Charge,
    /// How long its cache writes live is not said.
    unsplit: bool,
    /// A figure was impossible and counts as nothing.
    pub(super) impossible: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Inside the answer's own figures.
    Message,
    /// Beside them, by the same model.
    Compaction,
    /// Beside them, by a model of its own.
    Advisor,
    /// Instead of them: another model answered after a refusal.
    Fallback,
    Unknown,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    model: Option<String>,
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_read_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_creation_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_creation: Option<RawSplit<'a>>,
    #[serde(borrow)]
    output_tokens: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawSplit<'a> {
    #[serde(borrow)]
    ephemeral_5m_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    ephemeral_1h_input_tokens: Option<&'a RawValue>,
}

/// Reads the list; `None` for null.
pub(super) fn read(raw: &[u8]) -> serde_json::Result<Option<Vec<Entry>>> {
    let entries: Option<Vec<Raw<'_>>> = serde_json::from_slice(raw)?;
    Ok(entries.map(|entries| entries.into_iter().map(Entry::from).collect()))
}

/// What is charged for an answer whose own figures are `whole`; nothing when those can be priced as they stand.
pub(super) fn charges(entries: &[Entry], whole: &Usage, refused: bool) -> Vec<Charge> {
    let of = |kind| entries.iter().filter(move |entry| entry.kind == kind);
    let beside: Vec<Charge> = of(Kind::Compaction)
        .map(|entry| Charge { model: None, ..entry.charge.clone() })
        .chain(of(Kind::Advisor).map(|entry| Charge { standard_speed: true, ..entry.charge.clone() }))
        .collect();
    let mut charges: Vec<Charge> = of(Kind::Fallback).map(|entry| entry.charge.clone()).collect();
    if !charges.is_empty() {
        if refused {
            charges.pop();
        }
    } else {
        charges = messages(of(Kind::Message), whole);
        if charges.len() <= 1 && beside.is_empty() {
            return Vec::new();
        }
    }
    charges.extend(beside);
    if charges.is_empty() {
        // A refusal by the only fallback: nothing to pay, which an empty list would not say.
        charges.push(Charge::default());
    }
    charges
}

/// The calls that make up the answer's own figures, or these figures as one where the calls do not add up to them.
fn messages<'e>(entries: impl Iterator<Item = &'e Entry>, whole: &Usage) -> Vec<Charge> {
    let mut hours_left = whole.cache_write_1h;
    let charges: Vec<Charge> = entries
        .map(|entry| {
            let mut charge = Charge { model: None, ..entry.charge.clone() };
            if entry.unsplit {
                let written = charge.cache_write_5m;
                charge.cache_write_1h = written.min(hours_left);
                charge.cache_write_5m = written - charge.cache_write_1h;
            }
            hours_left = hours_left.saturating_sub(charge.cache_write_1h);
            charge
        })
        .collect();
    let sum = |figure: fn(&Charge) -> u64| charges.iter().map(figure).fold(0, u64::saturating_add);
    let adds_up = sum(|charge| charge.input) == whole.input
        && sum(|charge| charge.cache_read) == whole.cache_read
        && sum(|charge| charge.cache_write_5m + charge.cache_write_1h) == whole.cache_write_5m + whole.cache_write_1h
        && sum(|charge| charge.output) == whole.output;
    if adds_up {
        return charges;
    }
    vec![Charge {
        input: whole.input,
        cache_read: whole.cache_read,
        cache_write_5m: whole.cache_write_5m,
        cache_write_1h: whole.cache_write_1h,
        output: whole.output,
        ..Charge::default()
    }]
}

impl From<Raw<'_>> for Entry {
    fn from(raw: Raw<'_>) -> Self {
        let mut impossible = false;
        let mut figure = |value: Option<&RawValue>| {
            let mut place = None;
            value.map_or(Figure::Absent, |value| Figure::read(value.get().as_bytes())).put(&mut place, &mut impossible);
            place
        };
        let split = raw.cache_creation.as_ref();
        let written = figure(raw.cache_creation_input_tokens);
        let write_5m = figure(split.and_then(|split| split.ephemeral_5m_input_tokens));
        let write_1h = figure(split.and_then(|split| split.ephemeral_1h_input_tokens));
        let (cache_write_5m, cache_write_1h) = split_writes(written, write_5m, write_1h);
        let charge = Charge {
            model: raw.model,
            input: figure(raw.input_tokens).unwrap_or(0),
            cache_read: figure(raw.cache_read_input_tokens).unwrap_or(0),
            cache_write_5m,
            cache_write_1h,
            output: figure(raw.output_tokens).unwrap_or(0),
            standard_speed: false,
        };
        let kind = match &*raw.kind {
            "message" => Kind::Message,
            "compaction" => Kind::Compaction,
            "advisor_message" => Kind::Advisor,
            "fallback_message" => Kind::Fallback,
            _ => Kind::Unknown,
        };
        Self { kind, charge, unsplit: split.is_none(), impossible }
    }
}
