//! Ledger rows that could not be written went to the log, one line each; here they come back from it.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client,
    types::{Json, Type},
};

use super::{Status, connect, fault, migrate};
use crate::{
    error::{Error, Kind, Result},
    protocol::Provider,
    secret::Secret,
};

/// What the log says of such a row.
const MARK: &str = "a ledger row was not written";
/// What stands before the row in a line of the log.
const FIELD: &str = "record=";
/// Logs are handed on within other logs: so many layers are looked through.
const LAYERS: u8 = 4;

/// A row that waits for being written.
#[derive(Debug, Clone)]
pub struct Unsettled(Value);

/// What a row cannot do without. The rest may be null, or is left to what the columns say.
#[derive(Deserialize)]
#[expect(dead_code, reason = "that they can be read is what matters")]
struct Needed {
    id: String,
    started_at: Timestamp,
    key_id: String,
    account_id: String,
    pool: String,
    provider: String,
    operation: String,
    stream: bool,
    status: Status,
    attempts: Vec<Value>,
    cost_micros: i64,
    estimated: bool,
    unpriced: bool,
    duration_ms: i32,
}

impl Unsettled {
    /// Reads a line: one of the log, the same within a JSON object as log services keep it, or the row alone. `None`: it
    /// holds no row; an error: it holds one that cannot be read.
    pub fn read(line: &str) -> Result<Option<Self>> {
        match find(line, LAYERS) {
            Found::Nothing => Ok(None),
            Found::Damaged => Err(damaged("it is cut or altered")),
            Found::Row(mut row) => {
                let needed: Needed = serde_json::from_value(row.clone()).map_err(|why| damaged(&why.to_string()))?;
                if Provider::parse(&needed.provider).is_none() {
                    return Err(damaged("its provider is not known"));
                }
                for value in row.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
                    // Postgres cannot hold them.
                    if let Value::String(text) = value {
                        text.retain(|c| c != '\0');
                    }
                }
                Ok(Some(Self(row)))
            }
        }
    }

    /// The request that it is of.
    pub fn id(&self) -> &str {
        self.0["id"].as_str().unwrap_or_default()
    }
}

enum Found {
    Nothing,
    Damaged,
    Row(Value),
}

fn find(line: &str, layers: u8) -> Found {
    let line = line.trim();
    if let Ok(Value::Object(fields)) = serde_json::from_str(line) {
        if fields.contains_key("started_at") && fields.contains_key("cost_micros") {
            return Found::Row(Value::Object(fields));
        }
        let Some(layers) = layers.checked_sub(1) else { return Found::Nothing };
        let texts = fields.values().filter_map(Value::as_str).map(|text| find(text, layers));
        return texts.into_iter().find(|found| !matches!(found, Found::Nothing)).unwrap_or(Found::Nothing);
    }
    if !line.contains(MARK) {
        return Found::Nothing;
    }
    let row = line.split_once(FIELD).and_then(|(_, rest)| unquoted(rest));
    match row.and_then(|row| serde_json::from_str(&row).ok()) {
        Some(row @ Value::Object(_)) => Found::Row(row),
        _ => Found::Damaged,
    }
}

/// The text that begins `quoted`, as `Debug` writes texts. `None` where it has no end.
fn unquoted(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = quoted.strip_prefix('"')?.chars();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                '0' => '\0',
                'u' => {
                    let (digits, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                    rest = after.chars();
                    char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                }
                itself => itself,
            }),
            plain => text.push(plain),
        }
    }
}

fn damaged(why: &str) -> Error {
    Error::new(Kind::InvalidRequest, format!("a ledger row that cannot be read: {why}"))
}

/// What became of rows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Rows that the ledger did not have, or only as lost.
    pub written: usize,
    /// Rows that it had; they are as they were.
    pub present: usize,
}

/// A connection that rows are written over.
pub struct Replay {
    client: Client,
    connection: JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Replay {
    /// Connects. A schema that is not the one of this code is refused: the rows would not fit it.
    pub async fn open(url: &Secret) -> Result<Self> {
        let (config, tls) = connect::read_url(url)?;
        let (client, connection) = config.connect(tls).await.map_err(fault)?;
        let connection = tokio::spawn(connection);
        let schema = migrate::present(&client).await?.version;
        if schema < migrate::LATEST {
            let message =
                format!("the schema is at version {schema}, not {}: run `llm-gateway migrate`", migrate::LATEST);
            return Err(Error::new(Kind::Conflict, message));
        }
        Ok(Self { client, connection })
    }

    /// Writes rows, all of them or none. Writing a row again changes nothing.
    pub async fn write(&self, rows: &[Unsettled]) -> Result<Replayed> {
        let batch: Vec<_> = rows.iter().map(|row| &row.0).collect();
        let sql = "
            select count(*) from (
                select distinct l.started_at, l.id
                from jsonb_array_elements($1) r
                join ledger l on l.started_at = (r->>'started_at')::timestamptz and l.id = r->>'id'
                where l.status <> 'lost'
            ) present";
        let present = self.client.query_typed(sql, &[(&Json(&batch), Type::JSONB)]).await.map_err(fault)?;
        let present = usize::try_from(present[0].get::<_, i64>(0)).unwrap_or_default();
        self.client.query_typed("select settle($1)", &[(&Json(&batch), Type::JSONB)]).await.map_err(fault)?;
        let mut ids: Vec<_> = rows.iter().map(Unsettled::id).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(Replayed { written: ids.len() - present, present: present + rows.len() - ids.len() })
    }

    /// Hangs up.
    pub async fn close(self) {
        drop(self.client);
        // Its end has nothing to tell: a fault has already reached the statement that met it.
        let _ended = self.connection.await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({
            "id": "req_1", "started_at": "2026-11-24T20:30:00.123456Z", "key_id": "key_1", "account_id": "acc_1",
            "pool": "default", "provider": "anthropic", "operation": "messages", "stream": true, "status": "failed",
            "attempts": [], "cost_micros": 12, "estimated": false, "unpriced": false, "duration_ms": 5,
            "error": "said \"no\" \\ \u{9b}31m\u{0} and \u{7f}, in 中文",
        })
    }

    fn logged(row: &Value) -> String {
        format!("2026-11-24T20:30:01Z ERROR gateway::unsettled: {MARK} request=req_1 record={:?}", row.to_string())
    }

    #[test]
    fn a_row_is_found_however_its_line_was_kept() {
        let mut expect = row();
        expect["error"] = json!("said \"no\" \\ \u{9b}31m and \u{7f}, in 中文");
        let line = logged(&row());
        let service = json!({ "level": "error", "message": line }).to_string();
        let of_a_service = json!({ "stream": "stderr", "log": service }).to_string();
        for line in [row().to_string(), line.clone(), format!("gateway-1  | {line}\n"), service, of_a_service] {
            assert_eq!(Unsettled::read(&line).unwrap().unwrap().0, expect, "{line}");
        }
    }

    #[test]
    fn other_lines_are_none_and_cut_ones_are_told() {
        for line in ["", "llm-gateway listening", "{\"level\":\"info\"}", "[1, 2]", "request settled record=\"x\""] {
            assert!(Unsettled::read(line).unwrap().is_none(), "{line}");
        }
        let line = logged(&row());
        for line in [&line[..line.len() - 9], &format!("{MARK} record={{}}"), &format!("{MARK} record=\"[]\"")] {
            assert!(Unsettled::read(line).is_err(), "{line}");
        }
        for (field, wrong) in [("provider", json!("openai")), ("status", json!("gone")), ("cost_micros", json!("1"))] {
            let mut row = row();
            row[field] = wrong;
            assert!(Unsettled::read(&row.to_string()).is_err(), "{field}");
        }
        let mut row = row();
        row.as_object_mut().unwrap().remove("key_id");
        assert!(Unsettled::read(&row.to_string()).unwrap_err().message.contains("key_id"));
    }
}
