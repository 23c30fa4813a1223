//! The parameters of a list or a statistic.
//!
//! Filters of every statistic: `provider`, `account`, `key`, `model`, `pool`, `status`, and `label.NAME` (a label of the key). They are
//! compared whole, but for a `model` that ends with `*`: `claude-*` is every model that begins so. `from` (24 hours ago)
//! and `to` (now) bound the time, `from` included and `to` not. Which parameters a path takes is in
//! `openapi.json`; others are refused, never passed over.

use std::collections::BTreeMap;

use http::Uri;
use jiff::{Timestamp, ToSpan};
use url::form_urlencoded;

use crate::{
    access::{Caller, Role},
    clock,
    error::{Error, Kind, Result},
    store::Filter,
};

const DEFAULT_PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 500;
/// The longest span, in days: ten years.
const LONGEST: i64 = 3_660;
/// Labels in one filter; a key has no more.
const MOST_LABELS: usize = 8;
const LABEL: &str = "label.";

/// The parameters of a request.
pub(in crate::routes) struct Query(BTreeMap<String, String>);

impl Query {
    pub(in crate::routes) fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    pub(in crate::routes) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// How many entries a page has.
    pub(in crate::routes) fn limit(&self) -> Result<i64> {
        self.number("limit", DEFAULT_PAGE, LARGEST_PAGE)
    }

    /// A whole number from 1 on.
    pub(super) fn number(&self, name: &'static str, default: i64, most: i64) -> Result<i64> {
        match self.0.get(name).map(|text| text.parse()) {
            None => Ok(default),
            Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
            Some(_) => Err(Error::invalid(name, format!("must be a whole number from 1 to {most}"))),
        }
    }

    /// Where the next page begins: nowhere, when this one is not full.
    pub(in crate::routes) fn next<T>(&self, page: &[T], limit: i64, cursor: impl Fn(&T) -> String) -> Option<String> {
        let full = i64::try_from(page.len()).is_ok_and(|len| len == limit);
        page.last().filter(|_| full).map(cursor)
    }

    /// One of the words that `parse` knows.
    pub(in crate::routes) fn word<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let read =
            |text: &String| parse(text).ok_or_else(|| Error::invalid(name, format!("{text} is not one of its words")));
        self.0.get(name).map(read).transpose()
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<Timestamp>> {
        let parse = |text: &String| {
            let time: Timestamp = text.parse().ok()?;
            (Timestamp::UNIX_EPOCH..=latest()).contains(&time).then_some(time)
        };
        let refused = || Error::invalid(name, "must be an RFC 3339 time, such as 2027-01-31T00:00:00Z");
        self.0.get(name).map(|text| parse(text).ok_or_else(refused)).transpose()
    }

    /// The span asked about.
    pub(in crate::routes) fn span(&self) -> Result<(Timestamp, Timestamp)> {
        let to = self.time("to")?.unwrap_or_else(clock::now);
        let from = self.time("from")?.unwrap_or_else(|| to.checked_sub(24.hours()).unwrap_or(Timestamp::UNIX_EPOCH));
        if from >= to {
            return Err(Error::invalid("from", "must be before `to`"));
        }
        if to.duration_since(from).as_hours() > 24 * LONGEST {
            return Err(Error::invalid("from", format!("must be at most {LONGEST} days before `to`")));
        }
        Ok((from, to))
    }

    /// Which rows the caller means. A member means its own, whatever it says.
    pub(super) fn filter(&self, caller: &Caller) -> Result<Filter> {
        let own = match caller {
            Caller::Holder(key) if key.role == Role::Member => Some(key.id.as_str().to_owned()),
            _ => None,
        };
        let asked = self.text("key");
        if let (Some(own), Some(asked)) = (&own, &asked)
            && own != asked
        {
            return Err(Error::new(Kind::NotFound, format!("there is no key {asked}")));
        }
        let label = |(name, value): (&String, &String)| Some((name.strip_prefix(LABEL)?.to_owned(), value.clone()));
        let labels: BTreeMap<_, _> = self.0.iter().filter_map(label).collect();
        if labels.len() > MOST_LABELS {
            return Err(Error::invalid("label", format!("at most {MOST_LABELS} labels can be asked for")));
        }
        let model = self.text("model");
        let prefix = model.as_deref().and_then(|model| model.strip_suffix('*'));
        Ok(Filter {
            provider: self.text("provider"),
            account: self.text("account"),
            key: own.or(asked),
            labels,
            model_prefix: prefix.map(str::to_owned),
            model: model.clone().filter(|_| prefix.is_none()),
            pool: self.text("pool"),
            status: self.text("status"),
        })
    }
}

/// No time in a question is later: the arithmetic on it has room.
fn latest() -> Timestamp {
    Timestamp::from_second(7_258_118_400).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_full_is_the_last() {
        let query = Query::of(&Uri::from_static("/x?limit=2"));
        assert_eq!(query.next(&[1, 2], 2, ToString::to_string), Some("2".to_owned()));
        assert_eq!(query.next(&[1], 2, ToString::to_string), None);
        assert!(Query::of(&Uri::from_static("/x?limit=501")).limit().is_err());
    }

    #[test]
    fn a_star_is_a_prefix_and_nothing_else_is_special() {
        let filter = |query: &str| {
            let query = Query::of(&query.parse().unwrap());
            let filter = query.filter(&Caller::Operator).unwrap();
            (filter.model, filter.model_prefix)
        };
        assert_eq!(filter("/x?model=claude-*"), (None, Some("claude-".to_owned())));
        assert_eq!(filter("/x?model=%25%25*%25"), (Some("%%*%".to_owned()), None));
        assert_eq!(filter("/x"), (None, None));
    }

    #[test]
    fn spans_have_an_order_and_an_end() {
        let param = |query: &str| {
            let query = Query::of(&query.parse().unwrap());
            query.span().err().and_then(|error| error.param)
        };
        assert_eq!(param("/x?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"), None);
        assert_eq!(param("/x?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z"), Some("from".into()));
        assert_eq!(param("/x?from=2001-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"), Some("from".into()));
        assert_eq!(param("/x?from=-009999-01-02T01:59:59Z"), Some("from".into()));
        assert_eq!(param("/x?to=9999-12-30T22:00:00Z"), Some("to".into()));
    }
}
