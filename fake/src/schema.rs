//! Makes an instance of a JSON schema, for the calls in which a client asks for JSON and parses what comes.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves; below this depth everything is null.
const MAX_DEPTH: usize = 12;

/// A value that the schema allows: JSON Schema, or Google's dialect with its types in capitals.
pub(crate) fn instance(schema: &Value) -> Value {
    Root(schema).instance(schema, 0)
}

struct Root<'a>(&'a Value);

impl Root<'_> {
    fn instance(&self, schema: &Value, depth: usize) -> Value {
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(value) = schema["enum"].get(0) {
            return value.clone();
        }
        if let Some(target) = self.referred(schema) {
            return self.instance(target, depth + 1);
        }
        if let Some(choice) = ["anyOf", "any_of", "oneOf"].iter().find_map(|word| schema.get(word)?.get(0)) {
            return self.instance(choice, depth + 1);
        }
        match kind(schema).as_str() {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "boolean" => json!(true),
            "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "number" => schema.get("minimum").cloned().unwrap_or(json!(1.5)),
            "null" => Value::Null,
            _ => json!(text(schema)),
        }
    }

    fn referred(&self, schema: &Value) -> Option<&Value> {
        self.0.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let none = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&none);
        properties.iter().map(|(name, schema)| (name.clone(), self.instance(schema, depth + 1))).collect()
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let least = number(schema, "minItems").unwrap_or(1);
        (0..least).map(|_| self.instance(&schema["items"], depth + 1)).collect()
    }
}

/// The type in small letters; of several the first that is not null; told by its words where it is missing.
fn kind(schema: &Value) -> String {
    let named = match &schema["type"] {
        Value::String(name) => Some(name.as_str()),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| !name.eq_ignore_ascii_case("null")),
        _ => None,
    };
    match named {
        Some(name) => name.to_ascii_lowercase(),
        None if schema.get("properties").is_some() => "object".to_owned(),
        None if schema.get("items").is_some() => "array".to_owned(),
        None => "string".to_owned(),
    }
}

/// Google writes `"minItems": "2"`, JSON Schema writes `2`.
fn number(schema: &Value, word: &str) -> Option<u64> {
    let value = schema.get(word)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn text(schema: &Value) -> String {
    let text = match schema["format"].as_str() {
        Some("date-time") => "2026-11-23T15:04:05Z",
        Some("date") => "2026-11-23",
        Some("time") => "15:04:05Z",
        Some("email") => "someone@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "0b0e0a52-6f1c-4d8a-9f63-0d2f4c1f7a11",
        _ => "A made up text",
    };
    let least = number(schema, "minLength").unwrap_or(0) as usize;
    let most = number(schema, "maxLength").map_or(usize::MAX, |most| most as usize);
    format!("{text:.<least$}").chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_conform() {
        let cases = [
            (
                json!({"type": "object", "properties": {
                    "reasoning": {"type": "string"}, "model_choice": {"type": "string", "enum": ["flash", "pro"]}}}),
                json!({"reasoning": "A made up text", "model_choice": "flash"}),
            ),
            (
                json!({"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}, "a": {
                    "type": "ARRAY", "minItems": "2", "items": {"type": "BOOLEAN"}}}}),
                json!({"n": 1, "a": [true, true]}),
            ),
            (
                json!({"$defs": {"t": {"type": ["null", "string"], "maxLength": 3}}, "properties": {
                    "title": {"$ref": "#/$defs/t"}, "x": {"anyOf": [{"const": 7}, {"type": "null"}]}}}),
                json!({"title": "A m", "x": 7}),
            ),
            (json!({"type": "string", "minLength": 16}), json!("A made up text..")),
            (json!({"type": "array", "minItems": 0, "items": {}}), json!([])),
        ];
        for (schema, expect) in cases {
            assert_eq!(instance(&schema), expect, "{schema}");
        }
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}});
        assert!(instance(&schema).is_object());
    }
}
