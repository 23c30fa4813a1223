//! How single figures and things look to people. What nobody knows is a dash, never 0.

use jiff::Timestamp;
use serde_json::Value;

use crate::out::Tone;

const UNKNOWN: &str = "-";

/// A text, as it is.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => UNKNOWN.to_owned(),
        Value::String(text) if text.is_empty() => UNKNOWN.to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => UNKNOWN.to_owned(),
        Value::Array(list) if list.iter().all(|item| !item.is_object()) => {
            list.iter().map(text).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A whole number in groups of three digits.
pub(crate) fn count(value: &Value) -> String {
    let Some(number) = value.as_i64() else { return UNKNOWN.to_owned() };
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("-{grouped}") } else { grouped }
}

/// Dollars to the hundredth of a cent.
pub(crate) fn dollars(value: &Value) -> String {
    value.as_f64().map_or_else(|| UNKNOWN.to_owned(), |dollars| format!("${dollars:.4}"))
}

/// A part of one, in percent.
pub(crate) fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| UNKNOWN.to_owned(), |part| format!("{:.1} %", part * 100.0))
}

/// Milliseconds, as seconds where there are many.
pub(crate) fn millis(value: &Value) -> String {
    match value.as_f64() {
        None => UNKNOWN.to_owned(),
        Some(millis) if millis < 1_000.0 => format!("{millis:.0} ms"),
        Some(millis) => format!("{:.1} s", millis / 1_000.0),
    }
}

/// A time to the second, in UTC.
pub(crate) fn time(value: &Value) -> String {
    let time = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or_else(|| text(value), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A whole thing, field by field: `limits.max_in_flight  4`.
pub(crate) fn fields(thing: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    flatten("", thing, &mut lines);
    lines
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| flatten(&inner(name), value, lines));
        }
        Value::Object(_) => lines.push((path.to_owned(), UNKNOWN.to_owned())),
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().enumerate().for_each(|(place, value)| flatten(&format!("{path}[{place}]"), value, lines));
        }
        plain => lines.push((path.to_owned(), text(plain))),
    }
}

/// The colour of a state or a status.
pub(crate) fn tone(word: &Value) -> Tone {
    match word.as_str().unwrap_or_default() {
        "ready" | "active" | "completed" | "delivered" => Tone::Good,
        "cooling" | "paused" | "rotation_due" | "cancelled" | "refused" => Tone::Careful,
        "exhausted" | "needs_auth" | "failed" | "lost" => Tone::Bad,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_at_a_glance() {
        for (shown, expect) in [
            (count(&json!(1_234_567)), "1,234,567"),
            (count(&json!(-1_234)), "-1,234"),
            (count(&json!(123)), "123"),
            (count(&Value::Null), "-"),
            (dollars(&json!(0.05)), "$0.0500"),
            (percent(&json!(0.987)), "98.7 %"),
            (millis(&json!(999.4)), "999 ms"),
            (millis(&json!(61_500)), "61.5 s"),
            (time(&json!("2026-11-24T20:30:00.123456Z")), "2026-11-24 20:30:00Z"),
            (time(&Value::Null), "-"),
            (text(&json!(["a", "b"])), "a, b"),
            (text(&json!([])), "-"),
        ] {
            assert_eq!(shown, expect);
        }
    }

    #[test]
    fn a_thing_is_told_to_its_last_field() {
        let told = fields(&json!({ "a": { "b": 1, "c": [{ "d": null }] }, "e": {}, "f": ["x", "y"] }));
        let told: Vec<_> = told.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(told, ["a.b=1", "a.c[0].d=-", "e=-", "f=x, y"]);
    }
}
