//! `GET /api/stats/export.csv`: the ledger as a table, streamed page by page, with the filters of `/requests`.
//!
//! The first line names the columns. Text that a spreadsheet would take for a formula begins with an apostrophe. Should the database fail
//! on the way, the connection breaks off: a file that ended well is whole.

use std::{
    pin::Pin,
    task::{Context as Waiting, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::{query::Query, requests::which};
use crate::{
    access::Caller,
    error::{BoxError, Error, Result},
    gateway::Context,
    http::Response,
    id::RequestId,
    store::{Cursor, Filter, Only, RequestRow, TOKENS},
};

/// Rows that are in memory at once, twice.
const PAGE: i64 = 1_000;

const COLUMNS: [&str; 20] = [
    "id",
    "started_at",
    "key",
    "key_name",
    "account",
    "account_name",
    "pool",
    "provider",
    "operation",
    "model",
    "served_model",
    "stream",
    "session",
    "client",
    "affinity",
    "status",
    "http_status",
    "error",
    "upstream_request_id",
    "attempts",
];
const FIGURES: [&str; 5] = ["cost_usd", "estimated", "unpriced", "first_token_ms", "duration_ms"];

pub(super) async fn answer(cx: &Context, caller: &Caller, query: &Query) -> Result<Response> {
    let (filter, only) = which(query, caller)?;
    // The first page comes before the answer's head, so that what is wrong has a status.
    let first = cx.gateway.store.requests(&filter, &only, None, PAGE).await?;
    let (pages, body) = mpsc::channel(1);
    let beside = cx.clone();
    cx.background.spawn(async move {
        if let Err(error) = send(&beside, (&filter, &only), first, &pages).await {
            tracing::warn!(%error, "an export broke off");
            let _gone = pages.send(Err(error.into())).await;
        }
    });
    let mut response = Response::new(Pages(body).boxed());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let name = HeaderValue::from_static("attachment; filename=\"requests.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Sends every page, as fast as they are taken; ends early when nobody takes them any more.
async fn send(
    cx: &Context,
    (filter, only): (&Filter, &Only),
    first: Vec<RequestRow>,
    pages: &mpsc::Sender<Result<Bytes, BoxError>>,
) -> Result<()> {
    let mut rows = first;
    let tokens = TOKENS.map(|(word, _)| format!("{word}_tokens").replace("searches_tokens", "searches"));
    let head: Vec<&str> = COLUMNS.into_iter().chain(tokens.iter().map(String::as_str)).chain(FIGURES).collect();
    let mut head = Some(head);
    loop {
        let page = table(head.take().as_deref(), &rows)?;
        if pages.send(Ok(page)).await.is_err() {
            return Ok(());
        }
        let Some(last) = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|len| len == PAGE)) else {
            return Ok(());
        };
        let after = Cursor { started_at: last.started_at, id: RequestId::from(last.id.clone()) };
        rows = cx.gateway.store.requests(filter, only, Some(&after), PAGE).await?;
    }
}

fn table(head: Option<&[&str]>, rows: &[RequestRow]) -> Result<Bytes> {
    let mut table = csv::WriterBuilder::new().from_writer(Vec::new());
    if let Some(head) = head {
        table.write_record(head).map_err(Error::internal)?;
    }
    for row in rows {
        table.write_record(cells(row)).map_err(Error::internal)?;
    }
    Ok(table.into_inner().map_err(|error| Error::internal(error.to_string()))?.into())
}

fn cells(row: &RequestRow) -> Vec<String> {
    let text = |text: &Option<String>| inert(text.as_deref().unwrap_or_default());
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut cells = vec![
        inert(&row.id),
        row.started_at.to_string(),
        inert(&row.key),
        text(&row.key_name),
        inert(&row.account),
        text(&row.account_name),
        inert(&row.pool),
        inert(&row.provider),
        inert(&row.operation),
        text(&row.model),
        text(&row.served_model),
        row.stream.to_string(),
        text(&row.session),
        text(&row.client),
        text(&row.affinity),
        inert(&row.status),
        number(row.http_status.map(i64::from)),
        text(&row.error),
        text(&row.upstream_request_id),
        row.attempts.len().to_string(),
    ];
    cells.extend(TOKENS.map(|(word, _)| number(row.tokens.get(word).copied().flatten())));
    cells.extend([
        format!("{:.6}", row.cost_usd),
        row.estimated.to_string(),
        row.unpriced.to_string(),
        number(row.first_token_ms.map(i64::from)),
        row.duration_ms.to_string(),
    ]);
    cells
}

/// Text that no spreadsheet takes for a formula, and no terminal for a command.
fn inert(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{plain}") } else { plain }
}

/// A body whose pages are made while it is sent.
struct Pages(mpsc::Receiver<Result<Bytes, BoxError>>);

impl http_body::Body for Pages {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, waiting: &mut Waiting<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(waiting).map(|page| page.map(|page| page.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C10: names and errors from outside are inert in a spreadsheet and in a terminal.
    #[test]
    fn what_looks_like_a_formula_is_text() {
        for (text, expect) in [
            ("plain", "plain"),
            ("", ""),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@sum(a1)", "'@sum(a1)"),
            ("\tx", "'\tx"),
            ("\r=x", "' =x"),
            ("a=b", "a=b"),
            ("\u{1b}[31mred", " [31mred"),
        ] {
            assert_eq!(inert(text), expect, "{text:?}");
        }
    }
}
