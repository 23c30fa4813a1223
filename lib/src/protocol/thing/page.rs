//! A list of things: what its query asks for, and how its answer is laid out.

use jiff::Timestamp;
use serde_json::{Value, json, value::RawValue};
use url::form_urlencoded;

use super::{Kind, Thing};
use crate::{
    error::{Error, Result},
    protocol::Provider,
};

/// The most that one page holds; each thing in it is asked for.
const MOST: i64 = 100;

/// What a page begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// The newest.
    Top,
    /// Where another page ended.
    Mark(Timestamp, String),
    /// What comes after a thing.
    After(String),
    /// What comes before one.
    Before(String),
}

/// What a list's query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) from: From,
    /// Things at once; from 1 to 100.
    pub(crate) limit: i64,
}

impl Page {
    /// Reads a query.
    pub(crate) fn read(provider: Provider, query: Option<&str>) -> Result<Self> {
        let (size, usual) = match provider {
            Provider::Anthropic => ("limit", 20),
            Provider::Gemini => ("pageSize", 50),
        };
        let mut page = Self { from: From::Top, limit: usual };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match (provider, name.as_ref()) {
                (_, _) if value.is_empty() => {}
                (_, name) if name == size => {
                    let limit: i64 = value.parse().map_err(|_| Error::invalid(size, "must be a whole number"))?;
                    page.limit = limit.clamp(1, MOST);
                }
                (Provider::Anthropic, "after_id") => page.from = From::After(value.into_owned()),
                (Provider::Anthropic, "before_id") => page.from = From::Before(value.into_owned()),
                (Provider::Anthropic, "page") | (Provider::Gemini, "pageToken") => {
                    page.from = mark(&value).ok_or_else(|| Error::invalid(name.into_owned(), "is not one of ours"))?;
                }
                _ => {}
            }
        }
        Ok(page)
    }
}

/// Where a page has ended, as the caller gives it back.
fn token((at, name): &(Timestamp, String)) -> String {
    format!("{}.{name}", at.as_microsecond())
}

fn mark(token: &str) -> Option<From> {
    let (at, name) = token.split_once('.')?;
    Some(From::Mark(Timestamp::from_microsecond(at.parse().ok()?).ok()?, name.to_owned()))
}

/// A page, as the provider would lay it out. `items` are descriptions by the names of what they describe; `end` is where
/// the next page begins.
pub(crate) fn page(
    provider: Provider,
    kind: Kind,
    items: &[(String, Box<RawValue>)],
    end: Option<&(Timestamp, String)>,
) -> String {
    let next = end.map(token);
    let descriptions: Vec<&RawValue> = items.iter().map(|(_, item)| &**item).collect();
    let all = serde_json::to_string(&descriptions).expect("JSON is JSON");
    match provider {
        Provider::Anthropic => {
            let (first, last) = (items.first().map(|it| &it.0), items.last().map(|it| &it.0));
            let more = next.is_some();
            let [more, first, last, next] = [json!(more), json!(first), json!(last), json!(next)];
            format!(r#"{{"data":{all},"has_more":{more},"first_id":{first},"last_id":{last},"next_page":{next}}}"#)
        }
        Provider::Gemini => {
            let word = match kind {
                Kind::Batch => "operations",
                Kind::Cache => "cachedContents",
                Kind::Container | Kind::File | Kind::Upload => "files",
            };
            let all = if items.is_empty() { String::new() } else { format!(r#""{word}":{all}"#) };
            let next = next.map_or_else(String::new, |next| format!(r#","nextPageToken":{}"#, Value::from(next)));
            format!("{{{all}{next}}}")
        }
    }
}

impl Thing {
    /// The path of its description, under the version of the path that lists it.
    pub(crate) fn path(&self, list: &str) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        format!("{}/{name}", list.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_the_next_begins() {
        let at = Timestamp::from_microsecond(1_764_000_000_000_001).unwrap();
        let end = (at, "files/a.b-c".to_owned());
        let query = format!("pageSize=7&pageToken={}", token(&end));
        let page = Page::read(Provider::Gemini, Some(&query)).unwrap();
        assert_eq!(page, Page { from: From::Mark(at, end.1), limit: 7 });
    }

    #[test]
    fn sizes_have_bounds_and_nonsense_is_named() {
        for (query, limit) in [("", 20), ("limit=0", 1), ("limit=1000", 100), ("limit=", 20), ("pageSize=3", 20)] {
            assert_eq!(Page::read(Provider::Anthropic, Some(query)).unwrap().limit, limit, "{query}");
        }
        for (query, param) in [("limit=x", "limit"), ("page=x", "page"), ("page=1.", "")] {
            let read = Page::read(Provider::Anthropic, Some(query));
            assert_eq!(read.err().and_then(|error| error.param).unwrap_or_default(), param, "{query}");
        }
    }

    #[test]
    fn pages_are_laid_out_as_their_provider_does() {
        let item = || vec![("a".to_owned(), RawValue::from_string("{ \"id\":\"a\"}".to_owned()).unwrap())];
        assert_eq!(
            page(Provider::Anthropic, Kind::File, &item(), None),
            r#"{"data":[{ "id":"a"}],"has_more":false,"first_id":"a","last_id":"a","next_page":null}"#
        );
        assert_eq!(page(Provider::Gemini, Kind::Batch, &item(), None), r#"{"operations":[{ "id":"a"}]}"#);
        assert_eq!(page(Provider::Gemini, Kind::Batch, &[], None), "{}");
    }
}
