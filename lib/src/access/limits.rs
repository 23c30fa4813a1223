//! What a key may use: each limit is a measure, a span of time and a value. What is used of it only the database knows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    error::{Error, Kind, Measure, Reached},
    money::Micros,
};

/// The span of time that a limit applies to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "span", rename_all = "lowercase")]
pub enum Span {
    /// Any sixty seconds in a row.
    Minute,
    /// A day of the key's time zone.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
    /// The key's whole life.
    Total,
    /// A rolling window.
    Hours(Window),
}

/// A rolling window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its place among the key's windows, from 0.
    #[serde(rename = "window")]
    pub place: usize,
    /// Its length.
    pub hours: i32,
    /// Globs of the models it is for; empty: every model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The same as patterns of SQL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    like: Vec<String>,
}

impl Window {
    /// A window for `models`, in whose globs `*` and `?` are the only signs.
    pub fn new(place: usize, hours: i32, models: Vec<String>) -> Self {
        let like = models.iter().map(|glob| like(glob)).collect();
        Self { place, hours, models, like }
    }
}

/// One limit of a key; stored as it is serialized, and read by the database's `key_refusal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted.
    pub measure: Measure,
    /// In which time.
    #[serde(flatten)]
    pub span: Span,
    /// How much there may be; money in millionths of a USD.
    pub value: i64,
}

/// A limit, and what is used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: Limit,
    /// What is used: settled, or under way and estimated.
    pub used: i64,
    /// When there is room again, or where there is, more of it; `None`: never by itself, or nothing is used.
    pub resets_at: Option<Timestamp>,
}

/// Limits that have a name of their own in the API.
pub const NAMED: [(&str, Measure, Span); 8] = [
    ("requests_per_minute", Measure::Requests, Span::Minute),
    ("tokens_per_minute", Measure::Tokens, Span::Minute),
    ("requests_per_day", Measure::Requests, Span::Day),
    ("tokens_per_day", Measure::Tokens, Span::Day),
    ("cost_per_day_usd", Measure::Cost, Span::Day),
    ("cost_per_week_usd", Measure::Cost, Span::Week),
    ("cost_per_month_usd", Measure::Cost, Span::Month),
    ("cost_total_usd", Measure::Cost, Span::Total),
];

/// The fields of a window that hold a value.
pub const OF_A_WINDOW: [(&str, Measure); 3] =
    [("requests", Measure::Requests), ("tokens", Measure::Tokens), ("cost_usd", Measure::Cost)];

impl Limit {
    /// Its name in the API: `requests_per_day`, `windows[0].tokens`.
    pub fn name(&self) -> String {
        if let Span::Hours(window) = &self.span {
            return format!("windows[{}].{}", window.place, self.field());
        }
        let named = NAMED.iter().find(|(_, measure, span)| (measure, span) == (&self.measure, &self.span));
        named.map_or_else(String::new, |(name, ..)| (*name).to_owned())
    }

    fn field(&self) -> &'static str {
        OF_A_WINDOW.iter().find(|(_, measure)| *measure == self.measure).map_or("", |(field, _)| field)
    }

    /// An amount of its measure, as the API shows it.
    pub fn shown(&self, amount: i64) -> Value {
        match self.measure {
            Measure::Cost => dollars(amount),
            Measure::Requests | Measure::Tokens => json!(amount),
        }
    }

    /// The limit in words: `100 requests a minute`.
    fn words(&self) -> String {
        let amount = match self.measure {
            Measure::Requests => format!("{} requests", self.value),
            Measure::Tokens => format!("{} tokens", self.value),
            Measure::Cost => format!("${}", short(self.value)),
        };
        match &self.span {
            Span::Minute => amount + " a minute",
            Span::Day => amount + " a day",
            Span::Week => amount + " a week",
            Span::Month => amount + " a month",
            Span::Total => amount + " in total",
            Span::Hours(Window { hours, models, .. }) if models.is_empty() => format!("{amount} in {hours} hours"),
            Span::Hours(Window { hours, models, .. }) => {
                format!("{amount} in {hours} hours on {}", models.join(", "))
            }
        }
    }
}

impl Standing {
    /// As the API shows it.
    pub fn view(&self) -> Value {
        let limit = &self.limit;
        let left = (limit.value - self.used).max(0);
        let mut view = json!({
            "limit": limit.name(), "value": limit.shown(limit.value), "used": limit.shown(self.used.max(0)),
            "left": limit.shown(left), "resets_at": self.resets_at,
        });
        if let Span::Hours(window) = &limit.span {
            view["hours"] = json!(window.hours);
            view["models"] = json!(window.models);
        }
        view
    }

    /// A word of warning, once more than four fifths of a budget are used. A minute is no budget: it is full all the time.
    pub fn warning(&self) -> Option<String> {
        let Self { limit, used, .. } = self;
        if limit.span == Span::Minute || *used <= limit.value - limit.value / 5 {
            return None;
        }
        let percent = i128::from(*used) * 100 / i128::from(limit.value.max(1));
        Some(format!("{percent} % of {} are used ({}){}", limit.words(), limit.name(), self.reset()))
    }

    /// The refusal of a request for which nothing is left.
    pub fn refusal(&self, now: Timestamp) -> Error {
        let Self { limit, used, resets_at } = self;
        let used = match limit.measure {
            Measure::Cost => format!("${}", short(*used)),
            Measure::Requests | Measure::Tokens => used.to_string(),
        };
        let message = format!(
            "this API key has reached its limit of {} ({}): {used} used{}",
            limit.words(),
            limit.name(),
            self.reset()
        );
        let reached = Reached { measure: limit.measure, value: limit.value, resets_at: *resets_at };
        let error = Error::new(Kind::RateLimited, message).with_limit(reached);
        match resets_at {
            Some(at) => error.with_retry_after((*at - now).try_into().unwrap_or_default()),
            None => error,
        }
    }

    fn reset(&self) -> String {
        match self.resets_at {
            Some(at) => format!("; resets at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            None if self.limit.span == Span::Total => "; it does not reset".to_owned(),
            None => String::new(),
        }
    }
}

/// Limits in the API's shape.
pub(super) fn view(limits: &[Limit], max_in_flight: Option<i32>) -> Value {
    let mut view = Map::new();
    view.insert("max_in_flight".to_owned(), json!(max_in_flight));
    let mut windows: Vec<Value> = Vec::new();
    for limit in limits {
        let Span::Hours(window) = &limit.span else {
            view.insert(limit.name(), limit.shown(limit.value));
            continue;
        };
        if windows.len() <= window.place {
            let mut shown = json!({ "hours": window.hours });
            if !window.models.is_empty() {
                shown["models"] = json!(window.models);
            }
            windows.push(shown);
        }
        if let Some(shown) = windows.last_mut() {
            shown[limit.field()] = limit.shown(limit.value);
        }
    }
    if !windows.is_empty() {
        view.insert("windows".to_owned(), json!(windows));
    }
    Value::Object(view)
}

/// A glob of `*` and `?` as a pattern of SQL.
fn like(glob: &str) -> String {
    let mut pattern = String::with_capacity(glob.len());
    for c in glob.chars() {
        match c {
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '%' | '_' | '\\' => pattern.extend(['\\', c]),
            c => pattern.push(c),
        }
    }
    pattern
}

/// Dollars as a JSON number: read from their digits, so the number is the nearest there is.
fn dollars(micros: i64) -> Value {
    serde_json::from_str(&short(micros)).unwrap_or(Value::Null)
}

/// Dollars without zeros at their end: `10`, `0.5`.
fn short(micros: i64) -> String {
    Micros(micros).to_string().trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_stored_as_the_database_reads_them() {
        let day = Limit { measure: Measure::Cost, span: Span::Day, value: 5 };
        let window = Window::new(1, 5, vec!["claude-opus-*".to_owned(), "a_?%".to_owned()]);
        let window = Limit { measure: Measure::Tokens, span: Span::Hours(window), value: 7 };
        for (limit, name, stored) in [
            (&day, "cost_per_day_usd", json!({ "measure": "cost", "span": "day", "value": 5 })),
            (
                &window,
                "windows[1].tokens",
                json!({
                    "measure": "tokens", "span": "hours", "value": 7, "window": 1, "hours": 5,
                    "models": ["claude-opus-*", "a_?%"], "like": ["claude-opus-%", "a\\__\\%"],
                }),
            ),
        ] {
            assert_eq!((serde_json::to_value(limit).unwrap(), limit.name()), (stored.clone(), name.to_owned()));
            assert_eq!(&serde_json::from_value::<Limit>(stored).unwrap(), limit);
        }
    }

    #[test]
    fn a_refusal_names_the_limit_its_value_and_its_reset() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (measure, span, used, resets_at, message, wait) in [
            (
                Measure::Requests,
                Span::Minute,
                10,
                Some(at(60)),
                "this API key has reached its limit of 10 requests a minute (requests_per_minute): 10 used; resets at 1970-01-01T00:01:00Z",
                Some(50),
            ),
            (
                Measure::Cost,
                Span::Total,
                12,
                None,
                "this API key has reached its limit of $0.00001 in total (cost_total_usd): $0.000012 used; it does not reset",
                None,
            ),
        ] {
            let standing = Standing { limit: Limit { measure, span, value: 10 }, used, resets_at };
            let error = standing.refusal(at(10));
            assert_eq!((&*error.message, error.retry_after.map(|wait| wait.as_secs())), (message, wait));
        }
    }

    #[test]
    fn a_warning_comes_above_four_fifths() {
        for (span, used, warns) in
            [(Span::Day, 80, false), (Span::Day, 81, true), (Span::Minute, 100, false), (Span::Total, 120, true)]
        {
            let standing =
                Standing { limit: Limit { measure: Measure::Requests, span, value: 100 }, used, resets_at: None };
            assert_eq!(standing.warning().is_some(), warns, "{standing:?}");
        }
    }
}
