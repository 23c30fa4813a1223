//! Reads what answers say of things, and turns their addresses back to the gateway.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use url::Url;

use super::{Kind, Thing};
use crate::protocol::{Form, Operation, Provider, Tier, Usage, headers::strip_key, meter, peek};

/// A thing that an answer tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) thing: Thing,
    /// When the provider forgets it; `None`: it does not say.
    pub(crate) expires_at: Option<Timestamp>,
}

/// Every spelling of what a description says that matters here.
#[derive(Deserialize)]
struct Description {
    #[serde(alias = "name")]
    id: Option<String>,
    #[serde(alias = "expireTime", alias = "expirationTime")]
    expires_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
    file: Option<Box<Self>>,
}

/// The thing of this kind that an answer describes.
pub(crate) fn made(kind: Kind, body: &[u8]) -> Option<Made> {
    let mut said: Description = serde_json::from_slice(body).ok()?;
    if let Some(file) = said.file.take() {
        said = *file;
    }
    let expires_at = match kind {
        // What a batch calls its expiry is when it gives up; its results are kept for 29 days.
        Kind::Batch => said.created_at.and_then(|at| at.checked_add((29 * 24).hours()).ok()),
        _ => said.expires_at,
    };
    Some(Made { thing: Thing::new(kind, said.id?), expires_at })
}

/// An upload's address at the upstream, turned into one at the gateway, and the upload itself. `None` for an address that
/// is not below the account's own.
fn upload_url(url: &str, base_url: &str, origin: &str) -> Option<(Thing, HeaderValue)> {
    let (url, base) = (Url::parse(url).ok()?, Url::parse(base_url).ok()?);
    let path =
        (url.origin() == base.origin()).then(|| url.path().strip_prefix(base.path().trim_end_matches('/')))??;
    let id = url.query_pairs().find(|(name, _)| name == "upload_id")?.1;
    let query = strip_key(url.query()?)?;
    Some((Thing::upload(&id), HeaderValue::from_str(&format!("{origin}{path}?{query}")).ok()?))
}

/// Turns the addresses of an upload back to the gateway; the upload that they are of. `None` where one cannot be.
pub(crate) fn upload_urls(headers: &mut HeaderMap, base_url: &str, origin: &str) -> Option<Thing> {
    let mut upload = None;
    for name in ["x-goog-upload-url", "x-goog-upload-control-url"].map(HeaderName::from_static) {
        if let Some(url) = headers.remove(&name) {
            let (thing, own) = upload_url(url.to_str().ok()?, base_url, origin)?;
            headers.insert(name, own);
            upload = Some(thing);
        }
    }
    upload
}

/// A description in which the addresses that want a credential are the gateway's own; nothing else is changed.
pub(crate) fn downloads(body: &Bytes, origin: &str) -> Bytes {
    let mut spans: Vec<(Range<usize>, String)> = Vec::new();
    let mut visit = |key: &str, span: Range<usize>| {
        if let Some(path) = peek::text_of(&body[span.clone()]).and_then(|url| own_path(key, &url)) {
            spans.push((span, serde_json::Value::from(format!("{origin}{path}")).to_string()));
        }
    };
    let read = peek::Scanner::run(body, |json| {
        json.object(|json, key| match key {
            "file" => json.object(|json, key| json.value().map(|span| visit(key, span))).map(drop),
            _ => json.value().map(|span| visit(key, span)),
        })
        .map(drop)
    });
    if read.is_err() || spans.is_empty() {
        return body.clone();
    }
    let mut changed = body.to_vec();
    for (span, text) in spans.into_iter().rev() {
        changed.splice(span, text.into_bytes());
    }
    changed.into()
}

/// The path below the gateway of an address in a description.
fn own_path(key: &str, url: &str) -> Option<String> {
    let from = match key {
        "results_url" => url.find("/v1/messages/batches/")?,
        "downloadUri" => url.find("/download/v1").map(|at| at + "/download".len()).or_else(|| url.find("/v1"))?,
        _ => return None,
    };
    let (path, query) = url[from..].split_once('?').unwrap_or((&url[from..], ""));
    Some(match strip_key(query) {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    })
}

/// A result of a batch: the answer to one request of it, if it has one.
#[derive(Deserialize)]
struct Inline<'a> {
    #[serde(borrow)]
    response: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Output<'a> {
    responses_file: Option<String>,
    #[serde(borrow, default)]
    inlined_responses: Inlined<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Inlined<'a> {
    #[serde(borrow, default)]
    inlined_responses: Vec<Inline<'a>>,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, default)]
    response: Output<'a>,
    #[serde(borrow, default)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize, Default)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    output: Output<'a>,
}

/// The file that a batch of Gemini's has put its results into.
pub(crate) fn made_by_batch(body: &[u8]) -> Option<Made> {
    let batch: Batch<'_> = serde_json::from_slice(body).ok()?;
    let name = batch.response.responses_file.or(batch.metadata.output.responses_file)?;
    // Files of results are kept longer than others; how long is not said.
    Some(Made { thing: Thing::new(Kind::File, name), expires_at: None })
}

/// What the results in the description of a Gemini batch say they used, and the model that served them.
pub(crate) fn results(body: &[u8]) -> Option<(Usage, Option<String>)> {
    let batch: Batch<'_> = serde_json::from_slice(body).ok()?;
    let inline = |output: Output<'_>| {
        let answers = output.inlined_responses.inlined_responses.into_iter().filter_map(|it| it.response);
        let mut sum = Sum::default();
        for answer in answers {
            sum.add(Provider::Gemini, answer.get().as_bytes());
        }
        sum.total()
    };
    inline(batch.response).or_else(|| inline(batch.metadata.output))
}

/// What the answers of a batch used, together; each is priced by itself.
#[derive(Default)]
pub(in crate::protocol) struct Sum {
    usage: Option<Usage>,
    model: Option<String>,
}

impl Sum {
    /// Adds one answer, whole.
    pub(in crate::protocol) fn add(&mut self, provider: Provider, answer: &[u8]) {
        let mut meter = meter(provider, Operation::Generate, Form::Json, None, 0);
        meter.see(answer);
        let tally = meter.tally();
        if let Some(usage) = tally.usage {
            self.model = self.model.take().or_else(|| tally.model.clone());
            self.usage.get_or_insert_default().join(usage, tally.model.as_deref());
        }
    }

    pub(in crate::protocol) fn total(&self) -> Option<(Usage, Option<String>)> {
        let mut usage = self.usage.clone()?;
        usage.terms.tier = Tier::Batch;
        Some((usage, self.model.clone()))
    }
}
