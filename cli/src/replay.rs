//! `llm-gateway replay`: write the ledger rows that a settlement without a database left in the log.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use gateway::{
    Error, Kind, Result,
    config::{Environment, database_url},
    store::{Replay as Writer, Replayed, Unsettled},
};
use serde_json::json;

use crate::{
    out::{Out, remark},
    progress::Progress,
};

/// Rows that are written together.
const BATCH: usize = 100;

/// Write the ledger rows that are still in a log
///
/// While the database is away, a request's row waits; if it cannot be written in the end, it goes to the log as one line
/// ("a ledger row was not written"). This finds those lines in any log, whatever else is in it, and writes their rows to
/// the database of `DATABASE_URL`. A row that is there is left as it is, so the same log can be replayed again; one that was
/// given up as `lost` is put right.
#[derive(Args)]
#[command(after_help = "\
Examples:
  llm-gateway replay gateway.log
  journalctl -u llm-gateway | llm-gateway replay -
")]
pub(crate) struct Replay {
    /// The log; `-` reads standard input
    file: PathBuf,
}

/// What is done so far.
#[derive(Default)]
struct Tally {
    lines: usize,
    replayed: Replayed,
    /// Lines whose row could not be read or written.
    refused: usize,
}

impl Replay {
    pub(crate) async fn run(self, env: &Environment, out: &Out) -> Result<ExitCode> {
        let lines = open(&self.file)?;
        let writer = Writer::open(&database_url(env)?).await?;
        let mut tally = Tally::default();
        let done = all(lines, &writer, &mut tally).await;
        writer.close().await;
        let Tally { lines, replayed: Replayed { written, present }, refused } = tally;
        let told = json!({ "lines": lines, "written": written, "present": present, "refused": refused });
        out.answer(&told, || {
            out.line(&format!(
                "{written} rows written, {present} were there already, {refused} refused ({lines} lines read)"
            ))
        })?;
        done?;
        Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn all(lines: Box<dyn BufRead>, writer: &Writer, tally: &mut Tally) -> Result<()> {
    let mut progress = Progress::new();
    let mut batch = Vec::with_capacity(BATCH);
    for line in lines.split(b'\n') {
        let line = line.map_err(|why| Error::new(Kind::Internal, "the log cannot be read on").with_source(why))?;
        tally.lines += 1;
        match Unsettled::read(&String::from_utf8_lossy(&line)) {
            Ok(None) => {}
            Ok(Some(row)) => batch.push((tally.lines, row)),
            Err(why) => refuse(tally, tally.lines, &why),
        }
        if batch.len() == BATCH {
            write(&mut batch, writer, tally).await?;
        }
        if tally.lines.is_multiple_of(1_000) || batch.is_empty() {
            progress.tell(&format!("{} lines read, {} rows written", tally.lines, tally.replayed.written));
        }
    }
    write(&mut batch, writer, tally).await
}

/// Writes a batch; if it is not taken, its rows one by one, so that each that is refused is named.
async fn write(batch: &mut Vec<(usize, Unsettled)>, writer: &Writer, tally: &mut Tally) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = batch.iter().map(|(_, row)| row.clone()).collect();
    match writer.write(&rows).await {
        Ok(replayed) => add(tally, replayed),
        Err(away) if away.kind == Kind::Unavailable => return Err(away),
        Err(_) => {
            for (line, row) in batch.iter() {
                match writer.write(std::slice::from_ref(row)).await {
                    Ok(replayed) => add(tally, replayed),
                    Err(away) if away.kind == Kind::Unavailable => return Err(away),
                    Err(why) => refuse(tally, *line, &why),
                }
            }
        }
    }
    batch.clear();
    Ok(())
}

fn add(tally: &mut Tally, more: Replayed) {
    tally.replayed.written += more.written;
    tally.replayed.present += more.present;
}

fn refuse(tally: &mut Tally, line: usize, why: &Error) {
    let cause = std::error::Error::source(why).map(|cause| format!(": {cause}")).unwrap_or_default();
    tally.refused += 1;
    remark(&format!("llm-gateway: line {line}: {why}{cause}"));
}

fn open(file: &Path) -> Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let open = File::open(file)
        .map_err(|why| Error::new(Kind::InvalidRequest, format!("{} cannot be read", file.display())).with_source(why));
    Ok(Box::new(BufReader::new(open?)))
}
