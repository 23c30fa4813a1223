//! Things that live on an account and outlast a request: which calls make, name and list them.

mod answer;
mod finder;
mod named;
mod page;

use http::Method;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::{Operation, Provider};

pub(super) use answer::Sum;
pub(crate) use answer::{Made, downloads, made, made_by_batch, results, upload_urls};
pub(crate) use finder::Finder;
pub(super) use named::{Names, code_file, search};
pub(crate) use page::{From as PageFrom, Page, page};

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests that are answered within a day, for half the price.
    Batch,
    /// Gemini's cached contents.
    Cache,
    /// Where Anthropic runs code.
    Container,
    /// A file.
    File,
    /// Gemini's upload of a file that is under way.
    Upload,
}

impl Kind {
    /// The word for it in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Cache => "cache",
            Self::Container => "container",
            Self::File => "file",
            Self::Upload => "upload",
        }
    }

    /// What the ledger calls a call that is about it.
    pub(super) fn operation(self) -> Operation {
        match self {
            Self::Batch => Operation::Batches,
            Self::Cache => Operation::Caches,
            Self::Container | Self::File | Self::Upload => Operation::Files,
        }
    }
}

/// One thing, by the name that its provider has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// `file_…`, `msgbatch_…`; Gemini's with their collection: `files/…`.
    pub name: String,
}

impl Thing {
    /// A thing of this name.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// An upload, whose own name lets anybody go on with it: so it is known by a hash.
    pub(super) fn upload(id: &str) -> Self {
        let hash = Sha256::digest(id);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::new(Kind::Upload, format!("uploads/{hex}"))
    }
}

/// What a call does with things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Makes one; which, the answer says.
    Make(Kind),
    /// Lists those of a kind.
    List(Kind),
    /// Asks for one's description, or changes it; the answer describes it.
    Describe(Thing),
    /// Fetches what is in it; the answer may be anything.
    Fetch(Thing),
    /// Fetches the results of a batch, which say what it used.
    Results(Thing),
    /// Deletes it.
    Remove(Thing),
}

impl Act {
    /// The thing that the path names.
    pub fn thing(&self) -> Option<&Thing> {
        match self {
            Self::Make(_) | Self::List(_) => None,
            Self::Describe(thing) | Self::Fetch(thing) | Self::Results(thing) | Self::Remove(thing) => Some(thing),
        }
    }

    /// What the ledger calls it.
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Make(kind) | Self::List(kind) => kind.operation(),
            Self::Results(_) => Operation::BatchResults,
            Self::Describe(thing) | Self::Fetch(thing) | Self::Remove(thing) => thing.kind.operation(),
        }
    }
}

/// A path that is about things, and what the method does there; `None`: it does not take this method.
pub(super) type Place = Option<Act>;

/// Reads a path; `None` when it is not about things.
pub(super) fn place(provider: Provider, method: &Method, segments: &[&str], query: Option<&str>) -> Option<Place> {
    let act = match (provider, segments) {
        (Provider::Anthropic, ["v1", "messages", "batches", rest @ ..]) => {
            anthropic(Kind::Batch, method.as_str(), rest)?
        }
        (Provider::Anthropic, ["v1", "files", rest @ ..]) => anthropic(Kind::File, method.as_str(), rest)?,
        (Provider::Gemini, ["upload", "v1" | "v1beta" | "v1alpha", "files"]) => {
            let id = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| name == "upload_id");
            match (method.as_str(), id) {
                ("POST", None) => Some(Act::Make(Kind::File)),
                ("POST" | "PUT", Some((_, id))) => Some(Act::Describe(Thing::upload(&id))),
                _ => None,
            }
        }
        (Provider::Gemini, ["v1" | "v1beta" | "v1alpha", rest @ ..]) => gemini(method.as_str(), rest)?,
        _ => return None,
    };
    Some(act)
}

fn anthropic(kind: Kind, method: &str, rest: &[&str]) -> Option<Place> {
    let thing = || rest.first().filter(|id| is_id(id)).map(|id| Thing::new(kind, *id));
    let act = match (rest, method, kind) {
        ([], "POST", _) => Some(Act::Make(kind)),
        ([], "GET", _) => Some(Act::List(kind)),
        ([_], "GET", _) => Some(Act::Describe(thing()?)),
        ([_], "DELETE", _) => Some(Act::Remove(thing()?)),
        ([_, "cancel"], "POST", Kind::Batch) => Some(Act::Describe(thing()?)),
        ([_, "results"], "GET", Kind::Batch) => Some(Act::Results(thing()?)),
        ([_, "content"], "GET", Kind::File) => Some(Act::Fetch(thing()?)),
        ([] | [_], _, _) | ([_, "cancel" | "results"], _, Kind::Batch) | ([_, "content"], _, Kind::File) => None,
        _ => return None,
    };
    Some(act)
}

fn gemini(method: &str, rest: &[&str]) -> Option<Place> {
    let (kind, item) = match rest {
        ["files", item @ ..] => (Kind::File, item),
        ["cachedContents", item @ ..] => (Kind::Cache, item),
        ["batches", item @ ..] => (Kind::Batch, item),
        ["models", call] if call.ends_with(":batchGenerateContent") || call.ends_with(":asyncBatchEmbedContent") => {
            return Some((method == "POST").then_some(Act::Make(Kind::Batch)));
        }
        _ => return None,
    };
    let act = match (item, method, kind) {
        ([], "POST", Kind::Cache) => Some(Act::Make(kind)),
        ([], "GET", _) => Some(Act::List(kind)),
        ([], _, _) => None,
        ([item], _, _) => {
            let (id, verb) = item.split_once(':').unwrap_or((item, ""));
            let thing = is_id(id).then(|| Thing::new(kind, format!("{}/{id}", rest[0])))?;
            match (verb, method, kind) {
                ("", "GET", _) | ("", "PATCH", Kind::Cache) | ("cancel", "POST", Kind::Batch) => {
                    Some(Act::Describe(thing))
                }
                ("", "DELETE", _) => Some(Act::Remove(thing)),
                ("download", "GET", Kind::File) => Some(Act::Fetch(thing)),
                ("", _, _) | ("cancel", _, Kind::Batch) | ("download", _, Kind::File) => None,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(act)
}

/// The names that the providers give; anything else names nothing.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests;
