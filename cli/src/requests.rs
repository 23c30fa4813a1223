//! `llm-gateway requests`: the ledger, row by row.

use clap::Args;
use gateway::Result;
use serde_json::Value;

use crate::{
    api::{Api, PAGE, Query},
    out::{Out, pretty},
    progress::Progress,
    show,
    stats::Only,
    table::{Column, figures, words},
};

/// Entries shown where nobody says how many.
const SHOWN: usize = 50;

/// Single requests: the ledger, row by row
///
/// Newest first. With an id: one request, with its attempts.
#[derive(Args)]
#[command(after_help = "\
Examples:
  llm-gateway requests --status failed --from 1h
  llm-gateway requests req_0192f3…
  llm-gateway requests --from 2026-11-01 --to 2026-12-01 --csv > november.csv
  llm-gateway requests --all --json | jq -r '.[].model' | sort | uniq -c
")]
pub(crate) struct Requests {
    /// One request, as x-request-id names it
    #[arg(conflicts_with_all = ["csv", "all", "limit"])]
    id: Option<String>,
    /// Since when: 2027-01-31T12:00:00Z, 2027-01-31, today, or 24h, 7d ago
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    only: Only,
    /// Only those that ended like this: completed, failed, refused, cancelled, lost
    #[arg(long)]
    status: Option<String>,
    /// At most so many; 50
    #[arg(long, value_name = "N", conflicts_with = "all")]
    limit: Option<usize>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// All of them as CSV; its texts are safe to open in a spreadsheet
    #[arg(long, conflicts_with_all = ["json", "limit"])]
    csv: bool,
}

impl Requests {
    pub(crate) async fn run(self, api: &Api, out: &Out) -> Result<()> {
        if let Some(id) = &self.id {
            return one(out, &api.get(&["stats", "requests", id], &[]).await?);
        }
        let mut query = self.only.query(self.from.as_deref(), self.to.as_deref())?;
        query.extend(self.status.map(|status| ("status", status)));
        if self.csv {
            return export(api, &query, out).await;
        }
        let most = self.limit.unwrap_or(if self.all { usize::MAX } else { SHOWN });
        let mut sink: Box<dyn Sink> = match out.is_for_scripts() {
            true => Box::new(Json { first: true }),
            false => Box::new(Shown(Vec::new())),
        };
        let (mut left, mut progress) = (most, Progress::new());
        let mut pages = api.pages(&["stats", "requests"], query);
        sink.begin(out)?;
        while left > 0
            && let Some(page) = pages.next(left.min(PAGE)).await?
        {
            left -= page.len();
            sink.page(out, page)?;
            progress.tell(&format!("{} rows", most - left));
        }
        progress.clear();
        sink.end(out)
    }
}

/// The gateway's own export, as it comes.
async fn export(api: &Api, query: &Query<'_>, out: &Out) -> Result<()> {
    let (mut lines, mut progress) = (0, Progress::new());
    let taken = api.download(&["stats", "export.csv"], query, |piece| {
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
        progress.tell(&format!("{} rows", lines.saturating_sub(1)));
        out.bytes(piece)
    });
    taken.await
}

/// Where rows go, page by page: however many there are, few are in memory.
trait Sink {
    fn begin(&mut self, _out: &Out) -> Result<()> {
        Ok(())
    }
    fn page(&mut self, out: &Out, rows: Vec<Value>) -> Result<()>;
    fn end(&mut self, _out: &Out) -> Result<()> {
        Ok(())
    }
}

/// A JSON array.
struct Json {
    first: bool,
}

impl Sink for Json {
    fn begin(&mut self, out: &Out) -> Result<()> {
        out.raw("[")
    }

    fn page(&mut self, out: &Out, rows: Vec<Value>) -> Result<()> {
        let mut text = String::new();
        for row in &rows {
            text += if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
            text += &pretty(row)?;
        }
        out.raw(&text)
    }

    fn end(&mut self, out: &Out) -> Result<()> {
        out.raw("\n]\n")
    }
}

/// A table: it needs every row before it knows how wide it is.
struct Shown(Vec<Value>);

impl Sink for Shown {
    fn page(&mut self, _out: &Out, rows: Vec<Value>) -> Result<()> {
        self.0.extend(rows);
        Ok(())
    }

    fn end(&mut self, out: &Out) -> Result<()> {
        out.list(&self.0, &columns())
    }
}

fn one(out: &Out, request: &Value) -> Result<()> {
    out.answer(request, || {
        let mut whole = request.clone();
        let attempts = whole["attempts"].take();
        if let Some(fields) = whole.as_object_mut() {
            fields.remove("attempts");
        }
        out.thing(&whole)?;
        out.line("")?;
        out.list(
            attempts.as_array().map(Vec::as_slice).unwrap_or_default(),
            &[
                words("ATTEMPT", |attempt| show::text(&attempt["account"])),
                words("VERDICT", |attempt| show::text(&attempt["verdict"]))
                    .toned(|attempt| show::tone(&attempt["verdict"])),
                figures("STATUS", |attempt| show::text(&attempt["status"])),
                figures("TOOK", |attempt| show::millis(&attempt["took_ms"])),
                figures("INPUT", |attempt| show::count(&attempt["tokens"]["input"])),
                figures("OUTPUT", |attempt| show::count(&attempt["tokens"]["output"])),
                figures("COST", |attempt| show::dollars(&attempt["cost_usd"])),
            ],
        )
    })
}

fn columns() -> [Column; 10] {
    [
        words("STARTED", |row| show::time(&row["started_at"])),
        words("ID", |row| show::text(&row["id"])),
        words("KEY", |row| named(row, "key")),
        words("ACCOUNT", |row| named(row, "account")),
        words("MODEL", |row| show::text(&row["model"])),
        words("STATUS", |row| show::text(&row["status"])).toned(|row| show::tone(&row["status"])),
        figures("INPUT", |row| show::count(&row["tokens"]["input"])),
        figures("OUTPUT", |row| show::count(&row["tokens"]["output"])),
        figures("COST", |row| show::dollars(&row["cost_usd"])),
        figures("TOOK", |row| show::millis(&row["duration_ms"])),
    ]
}

/// The name of the row's key or account; its id where it has gone.
fn named(row: &Value, what: &str) -> String {
    let name = &row[&*format!("{what}_name")];
    show::text(if name.is_null() { &row[what] } else { name })
}
