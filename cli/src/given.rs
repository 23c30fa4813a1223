//! What is given on the command line: how its words are read, and the bodies that are made of them.

use std::path::Path;

use gateway::{Error, Kind, Result};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde_json::{Map, Value};

/// A number, or `none`, which lifts a limit.
pub(crate) fn number_or_none(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        _ => number(text).map_err(|_| "must be a number, or `none`".to_owned()),
    }
}

/// A number.
pub(crate) fn number(text: &str) -> Result<Value, String> {
    let number: serde_json::Number = text.parse().map_err(|_| "must be a number".to_owned())?;
    Ok(Value::Number(number))
}

/// `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A length of time in seconds: `90s`, `30m`, `24h`, `7d`, `2w`.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "must be a length of time: 30m, 24h, 7d, 2w".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        _ => return Err(wrong()),
    };
    let count: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    // A hundred years: beyond it something else was meant.
    count.checked_mul(unit).filter(|seconds| (0..=3_155_760_000).contains(seconds)).ok_or_else(wrong)
}

/// A moment: RFC 3339, a day (its beginning in UTC), or so long before `now`.
pub(crate) fn moment(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let day = match text {
        "today" => Some(now.to_zoned(TimeZone::UTC).date()),
        _ => text.parse::<Date>().ok(),
    };
    let midnight = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|midnight| midnight.timestamp());
    let before = || seconds(text).ok().and_then(|seconds| now.checked_sub(seconds.seconds()).ok());
    midnight.or_else(before).ok_or_else(|| {
        let message = "times are like 2027-01-31T12:00:00Z, 2027-01-31, today, or 24h, 7d (so long ago)";
        Error::new(Kind::InvalidRequest, message)
    })
}

/// A body that holds what was given and nothing else.
#[derive(Default)]
pub(crate) struct Body(Map<String, Value>);

impl Body {
    /// Begins with the fields of a file, where one is named.
    pub(crate) fn of(file: Option<&Path>) -> Result<Self> {
        file.map(crate::ask::object).transpose().map(|fields| Self(fields.unwrap_or_default()))
    }

    /// Puts a field in, where it was given.
    pub(crate) fn put(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// Puts a list in, where anything was given; `none` alone is an empty one.
    pub(crate) fn put_list(&mut self, name: &str, values: &[String]) {
        let listed = if values == ["none"] { &[][..] } else { values };
        self.put(name, (!values.is_empty()).then(|| listed.to_vec()));
    }

    /// Puts a field into the object `outer`, where it was given.
    pub(crate) fn put_within(&mut self, outer: &str, name: &str, value: Option<Value>) {
        let Some(value) = value else { return };
        if let Value::Object(fields) = self.0.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
            fields.insert(name.to_owned(), value);
        }
    }

    /// Refuses to change nothing.
    pub(crate) fn must_change_something(&self) -> Result<()> {
        match self.0.is_empty() {
            true => Err(Error::new(Kind::InvalidRequest, "nothing to change was named")),
            false => Ok(()),
        }
    }

    /// As JSON.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-24T20:30:00Z".parse().unwrap();
        for (text, expect) in [
            ("2026-11-01T00:00:00Z", Some("2026-11-01T00:00:00Z")),
            ("2026-11-01T00:00:00+01:00", Some("2026-10-31T23:00:00Z")),
            ("2026-11-01", Some("2026-11-01T00:00:00Z")),
            ("today", Some("2026-11-24T00:00:00Z")),
            ("24h", Some("2026-11-23T20:30:00Z")),
            ("90s", Some("2026-11-24T20:28:30Z")),
            ("7d", Some("2026-11-17T20:30:00Z")),
            ("yesterday", None),
            ("-1h", None),
            ("99999999w", None),
            ("h", None),
            ("", None),
            ("5µ", None),
        ] {
            let read = moment(text, now).ok();
            assert_eq!(read, expect.map(|time| time.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_body_holds_what_was_given() {
        let mut body = Body::default();
        body.put("note", None::<String>);
        body.put_list("models", &[]);
        body.put_within("limits", "max_in_flight", None);
        assert!(body.must_change_something().is_err());
        let mut body = Body::default();
        body.put("name", Some("maya"));
        body.put_list("models", &["none".to_owned()]);
        body.put_within("limits", "cost_per_day_usd", Some(number_or_none("none").unwrap()));
        let expect = serde_json::json!({ "name": "maya", "models": [], "limits": { "cost_per_day_usd": null } });
        assert_eq!(body.into_value(), expect);
    }
}
