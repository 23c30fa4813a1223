//! Rows as CSV, with the columns of the API's own export. No text in it is a formula or a command.

use csv::WriterBuilder;
use gateway::{Error, Result};
use serde_json::Value;

use super::Sink;
use crate::out::Out;

/// The columns, and where the API has them in a row.
const COLUMNS: [(&str, &str); 33] = [
    ("id", "/id"),
    ("started_at", "/started_at"),
    ("key", "/key"),
    ("key_name", "/key_name"),
    ("account", "/account"),
    ("account_name", "/account_name"),
    ("pool", "/pool"),
    ("provider", "/provider"),
    ("operation", "/operation"),
    ("model", "/model"),
    ("served_model", "/served_model"),
    ("stream", "/stream"),
    ("session", "/session"),
    ("client", "/client"),
    ("affinity", "/affinity"),
    ("status", "/status"),
    ("http_status", "/http_status"),
    ("error", "/error"),
    ("upstream_request_id", "/upstream_request_id"),
    ("attempts", "/attempts"),
    ("input_tokens", "/tokens/input"),
    ("output_tokens", "/tokens/output"),
    ("cache_read_tokens", "/tokens/cache_read"),
    ("cache_write_5m_tokens", "/tokens/cache_write_5m"),
    ("cache_write_1h_tokens", "/tokens/cache_write_1h"),
    ("thinking_tokens", "/tokens/thinking"),
    ("tool_use_tokens", "/tokens/tool_use"),
    ("searches", "/tokens/searches"),
    ("cost_usd", "/cost_usd"),
    ("estimated", "/estimated"),
    ("unpriced", "/unpriced"),
    ("first_token_ms", "/first_token_ms"),
    ("duration_ms", "/duration_ms"),
];

/// A CSV file.
pub(super) struct Csv;

impl Sink for Csv {
    fn begin(&mut self, out: &Out) -> Result<()> {
        write(out, [COLUMNS.map(|(name, _)| name.to_owned())])
    }

    fn page(&mut self, out: &Out, rows: Vec<Value>) -> Result<()> {
        write(out, rows.iter().map(|row| COLUMNS.map(|(_, path)| cell(row.pointer(path).unwrap_or(&Value::Null)))))
    }
}

fn write(out: &Out, records: impl IntoIterator<Item = [String; COLUMNS.len()]>) -> Result<()> {
    let mut table = WriterBuilder::new().from_writer(Vec::new());
    for record in records {
        table.write_record(record).map_err(Error::internal)?;
    }
    let table = table.into_inner().map_err(|why| Error::internal(why.to_string()))?;
    out.raw(&String::from_utf8_lossy(&table))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => inert(text),
        Value::Array(attempts) => attempts.len().to_string(),
        Value::Number(number) if number.is_f64() => format!("{:.6}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

/// Text that no spreadsheet takes for a formula, and no terminal for a command.
fn inert(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// C10: names and errors from outside are inert in a spreadsheet and in a terminal.
    #[test]
    fn what_looks_like_a_formula_is_text() {
        for (value, expect) in [
            (json!("plain"), "plain"),
            (json!("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0"),
            (json!("+1"), "'+1"),
            (json!("@sum(a1)"), "'@sum(a1)"),
            (json!("\r=x"), "' =x"),
            (json!("a=b"), "a=b"),
            (json!("\u{1b}[31mred\u{9b}"), " [31mred "),
            (json!(null), ""),
            (json!(-5), "-5"),
            (json!(0.000_012), "0.000012"),
            (json!([1, 2]), "2"),
            (json!(true), "true"),
        ] {
            assert_eq!(cell(&value), expect, "{value}");
        }
    }
}
