//! The fields of a body, taken one by one; every error names its field, and one that nobody takes is an error too.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    money::Micros,
};

/// A longer text is refused.
pub(super) const TEXT_CHARS: usize = 2_000;
/// A longer name or value in an object of texts is refused.
const ENTRY_CHARS: usize = 200;
/// A longer list is refused.
const LIST_LEN: usize = 200;
/// A greater number is refused: sums of many such must not overflow.
const LARGEST_COUNT: i64 = 1_000_000_000_000;

/// A greater amount of money is refused: of this one an f64 still tells every millionth.
const LARGEST_AMOUNT: Micros = Micros(1_000_000_000_000_000);

/// An object whose fields are yet to be taken.
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// Reads a body that must be one JSON object; an empty body is an empty object.
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        let value = if body.is_empty() { Ok(Value::Object(Map::new())) } else { serde_json::from_slice(body) };
        match value {
            Ok(Value::Object(map)) => Ok(Self { path: String::new(), map }),
            Ok(_) => Err(Error::invalid("body", "must be a JSON object")),
            Err(error) => Err(Error::invalid("body", format!("is not JSON: {error}"))),
        }
    }

    /// An object that was taken out of a body, at `path` in it.
    pub(crate) fn within(path: &str, map: Map<String, Value>) -> Self {
        Self { path: path.to_owned(), map }
    }

    /// Refuses what is left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            Some(name) => Err(self.wrong(name, "there is no such field")),
            None => Ok(()),
        }
    }

    /// An object within.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { path: self.name(name), map })),
            Some(_) => Err(self.wrong(name, "must be an object")),
        }
    }

    /// A value of any kind; null counts as absent.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A text; null counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>> {
        Ok(self.nullable_text(name)?.flatten())
    }

    /// A text that may be taken back by null: `Some(None)`.
    pub(crate) fn nullable_text(&mut self, name: &str) -> Result<Option<Option<String>>> {
        match self.map.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) if text.chars().count() > TEXT_CHARS => {
                Err(self.wrong(name, format!("must have at most {TEXT_CHARS} characters")))
            }
            Some(Value::String(text)) if text.contains('\0') => Err(self.wrong(name, "must not hold a NUL character")),
            Some(Value::String(text)) => Ok(Some(Some(text))),
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    /// A text with something in it.
    pub(crate) fn name_text(&mut self, name: &str) -> Result<Option<String>> {
        match self.text(name)? {
            Some(text) if text.trim().is_empty() => Err(self.wrong(name, "must not be empty")),
            text => Ok(text),
        }
    }

    /// Refuses absence.
    pub(crate) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.wrong(name, "is required"))
    }

    /// One word of a few.
    pub(crate) fn word<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>, words: &str) -> Result<Option<T>> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).ok_or_else(|| self.wrong(name, format!("must be one of {words}"))),
        }
    }

    /// A whole number; null counts as absent.
    pub(crate) fn integer(&mut self, name: &str, range: RangeInclusive<i32>) -> Result<Option<i32>> {
        Ok(self.nullable_integer(name, range)?.flatten())
    }

    /// A whole number that may be taken back by null: `Some(None)`.
    pub(crate) fn nullable_integer(&mut self, name: &str, range: RangeInclusive<i32>) -> Result<Option<Option<i32>>> {
        match self.map.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match whole(&value).and_then(|number| i32::try_from(number).ok()) {
                Some(number) if range.contains(&number) => Ok(Some(Some(number))),
                _ => Err(self.wrong(name, format!("must be a whole number from {} to {}", range.start(), range.end()))),
            },
        }
    }

    /// A whole number from 1 to a thousand billion that may be taken back by null: `Some(None)`.
    pub(crate) fn nullable_count(&mut self, name: &str) -> Result<Option<Option<i64>>> {
        match self.map.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => match whole(&value) {
                Some(count) if (1..=LARGEST_COUNT).contains(&count) => Ok(Some(Some(count))),
                _ => Err(self.wrong(name, format!("must be a whole number from 1 to {LARGEST_COUNT}"))),
            },
        }
    }

    /// An amount of dollars above zero and at most a billion that may be taken back by null: `Some(None)`.
    pub(crate) fn nullable_dollars(&mut self, name: &str) -> Result<Option<Option<Micros>>> {
        match self.map.remove(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => {
                // Unlike JSON's own writing, this has no exponent: 0.000001 is not 1e-6.
                let amount = value.as_f64().and_then(|number| Micros::from_dollars(&number.to_string()));
                let amount = amount.filter(|amount| (Micros(1)..=LARGEST_AMOUNT).contains(amount));
                let wrong = || {
                    self.wrong(name, "must be a number of USD above 0 and at most a billion, with at most six decimals")
                };
                amount.map(|amount| Some(Some(amount))).ok_or_else(wrong)
            }
        }
    }

    /// A list of objects; null is an empty one.
    pub(crate) fn objects(&mut self, name: &str, most: usize) -> Result<Option<Vec<Self>>> {
        let list = match self.map.remove(name) {
            None => return Ok(None),
            Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) if list.len() <= most => list,
            Some(_) => return Err(self.wrong(name, format!("must be a list of at most {most} objects"))),
        };
        let object = |(n, value)| match value {
            Value::Object(map) => Ok(Self { path: self.name(&format!("{name}[{n}]")), map }),
            _ => Err(self.wrong(&format!("{name}[{n}]"), "must be an object")),
        };
        list.into_iter().enumerate().map(object).collect::<Result<_>>().map(Some)
    }

    /// True or false; null counts as absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// A moment that may be taken back by null: `Some(None)`.
    pub(crate) fn nullable_time(&mut self, name: &str) -> Result<Option<Option<Timestamp>>> {
        match self.nullable_text(name)? {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(text)) => match text.parse() {
                // Earlier ones may be more than a database can hold.
                Ok(time) if time >= Timestamp::UNIX_EPOCH => Ok(Some(Some(time))),
                _ => Err(self.wrong(name, "must be an RFC 3339 time from 1970 on, such as 2027-01-31T00:00:00Z")),
            },
        }
    }

    /// A list of texts; null is an empty one.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.map.remove(name) else { return Ok(None) };
        let texts: Vec<String> = match value {
            Value::Null => Vec::new(),
            value => serde_json::from_value(value).map_err(|_| self.wrong(name, "must be a list of strings"))?,
        };
        if texts.len() > LIST_LEN || texts.iter().any(|text| !is_short(text, TEXT_CHARS)) {
            let message =
                format!("must have at most {LIST_LEN} entries of 1 to {TEXT_CHARS} characters, none of them NUL");
            return Err(self.wrong(name, message));
        }
        Ok(Some(texts))
    }

    /// A list of globs, in which `*` and `?` are the only signs: what else a glob may have is spared everybody.
    pub(crate) fn globs(&mut self, name: &str) -> Result<Option<Vec<String>>> {
        let globs = self.texts(name)?;
        for glob in globs.iter().flatten() {
            if glob.contains(['[', ']', '{', '}', '\\']) {
                return Err(self.wrong(name, "may have `*` and `?`, and no other signs: write one entry for each"));
            }
        }
        Ok(globs)
    }

    /// An object of texts, at most `most` of them; null is an empty one.
    pub(crate) fn text_map(&mut self, name: &str, most: usize) -> Result<Option<BTreeMap<String, String>>> {
        let Some(value) = self.map.remove(name) else { return Ok(None) };
        let texts: BTreeMap<String, String> = match value {
            Value::Null => BTreeMap::new(),
            value => serde_json::from_value(value).map_err(|_| self.wrong(name, "must be an object of strings"))?,
        };
        if texts.len() > most || texts.iter().flat_map(|(k, v)| [k, v]).any(|text| !is_short(text, ENTRY_CHARS)) {
            let message =
                format!("must have at most {most} entries of 1 to {ENTRY_CHARS} characters, none of them NUL");
            return Err(self.wrong(name, message));
        }
        Ok(Some(texts))
    }

    /// The field's error.
    pub(crate) fn wrong(&self, name: &str, message: impl Display) -> Error {
        Error::invalid(self.name(name), message.to_string())
    }

    fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// A whole number, also where it is written with a point: to JSON 5.0 is 5.
fn whole(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the bounds are within an i64's, and there is no fraction")]
    let plain = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(plain))
}

fn is_short(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().count() <= most && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, take: impl Fn(&mut Fields) -> Result<()>, expect: Result<(), &str>) {
        let taken =
            Fields::read(body.as_bytes()).and_then(|mut fields| take(&mut fields).and_then(|()| fields.finish()));
        assert_eq!(taken.map_err(|error| error.to_string()), expect.map_err(str::to_owned), "{body}");
    }

    #[test]
    fn every_error_names_its_field() {
        let weight = |fields: &mut Fields| fields.integer("weight", 1..=100).map(drop);
        check(r#"{"weight": 5}"#, weight, Ok(()));
        check("", weight, Ok(()));
        for wrong in ["0", "101", "1.5", "\"5\"", "1e400", "99999999999999999999"] {
            let body = format!(r#"{{"weight": {wrong}}}"#);
            let error = Fields::read(body.as_bytes()).and_then(|mut fields| weight(&mut fields)).unwrap_err();
            assert!(error.param.as_deref() == Some("weight") || error.param.as_deref() == Some("body"), "{error}");
        }
        check(r#"{"wieght": 5}"#, weight, Err("wieght: there is no such field"));
        check("[]", weight, Err("body: must be a JSON object"));
    }

    #[test]
    fn a_field_within_is_named_with_its_path() {
        let inner = |fields: &mut Fields| match fields.object("limits")? {
            Some(mut limits) => limits.integer("max_in_flight", 1..=10).map(drop).and_then(|()| limits.finish()),
            None => Ok(()),
        };
        check(r#"{"limits": {"max_in_flight": 3}}"#, inner, Ok(()));
        check(
            r#"{"limits": {"max_in_flight": "x"}}"#,
            inner,
            Err("limits.max_in_flight: must be a whole number from 1 to 10"),
        );
        check(r#"{"limits": {"x": 1}}"#, inner, Err("limits.x: there is no such field"));
    }

    #[test]
    fn null_takes_back_and_absence_leaves() {
        let mut fields = Fields::read(br#"{"a": null, "b": "text"}"#).unwrap();
        assert_eq!(fields.nullable_text("a").unwrap(), Some(None));
        assert_eq!(fields.nullable_text("b").unwrap(), Some(Some("text".to_owned())));
        assert_eq!(fields.nullable_text("c").unwrap(), None);
    }
}
