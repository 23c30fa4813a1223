//! A request's attempts as they are shown, each with what it used and cost.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{TOKENS, usd};

/// One attempt of a request. Figures are null where nobody ever said them.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the names are the contract's")]
pub struct Attempt {
    pub account: Value,
    pub verdict: Value,
    pub status: Value,
    pub took_ms: Value,
    pub tokens: BTreeMap<&'static str, Option<i64>>,
    pub cost_usd: Option<f64>,
    pub estimated: bool,
    pub unpriced: bool,
}

/// What a row says of all its attempts together.
pub(super) struct Together<'r> {
    pub(super) tokens: &'r BTreeMap<&'static str, Option<i64>>,
    pub(super) cost_micros: i64,
    pub(super) estimated: bool,
    pub(super) unpriced: bool,
}

/// The attempts of a row. An only one has used all that the row says; rows of earlier versions do not say what each of
/// several has used.
pub(super) fn attempts(written: Value, together: &Together<'_>) -> Vec<Attempt> {
    let Value::Array(written) = written else { return Vec::new() };
    let only = written.len() == 1;
    let shown = |mut one: Value| {
        let own = one.get("cost_micros").is_some();
        let says = |name: &str| one.get(name).is_some_and(|mark| *mark == true);
        let (estimated, unpriced) = (says("estimated"), says("unpriced"));
        let cost = one["cost_micros"].as_i64();
        let tokens = TOKENS.iter().map(|(word, column)| (*word, one[*column].as_i64())).collect();
        let all = only && !own;
        Attempt {
            tokens: if all { together.tokens.clone() } else { tokens },
            cost_usd: if all { Some(together.cost_micros) } else { cost }.map(usd),
            estimated: if all { together.estimated } else { estimated },
            unpriced: if all { together.unpriced } else { unpriced },
            account: one["account"].take(),
            verdict: one["verdict"].take(),
            status: one["status"].take(),
            took_ms: one["took_ms"].take(),
        }
    };
    written.into_iter().map(shown).collect()
}
