//! What lives on accounts: files, batches, cached contents and uploads, each known only to the account that made it.

mod anthropic;
mod gemini;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::{
    call::{Call, Dialect},
    clock,
    scene::{Event, Scene},
};

/// A day, and how long Gemini keeps a file.
const DAY: Duration = Duration::from_secs(86_400);

/// Everything that was made, by account and name.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<(String, String), Thing>>);

/// One thing.
#[derive(Clone, Default)]
struct Thing {
    /// As it is described.
    description: Value,
    /// What is in it: a file's bytes, an upload's so far, or a batch's requests.
    content: Vec<u8>,
}

/// What is left of one account.
struct Account<'a> {
    books: MutexGuard<'a, BTreeMap<(String, String), Thing>>,
    credential: String,
}

impl Shelf {
    fn account(&self, call: &Call) -> Account<'_> {
        let books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Account { books, credential: call.credential().unwrap_or_default().to_owned() }
    }

    /// The answer to a call that is about things, or names one that is not there; `None` to any other.
    pub(crate) fn answer(&self, call: &Call) -> Option<Scene> {
        call.credential()?;
        let mut account = self.account(call);
        let mut scene = match call.dialect() {
            Dialect::Anthropic => anthropic::answer(&mut account, call),
            Dialect::Gemini => gemini::answer(&mut account, call),
        }?;
        scene.headers.extend(match call.dialect() {
            Dialect::Anthropic => crate::anthropic::headers(call, scene.status),
            Dialect::Gemini => crate::gemini::headers(call),
        });
        Some(scene)
    }
}

impl Account<'_> {
    fn put(&mut self, name: &str, thing: Thing) {
        self.books.insert((self.credential.clone(), name.to_owned()), thing);
    }

    fn get(&mut self, name: &str) -> Option<&mut Thing> {
        self.books.get_mut(&(self.credential.clone(), name.to_owned()))
    }

    fn remove(&mut self, name: &str) -> Option<Thing> {
        self.books.remove(&(self.credential.clone(), name.to_owned()))
    }

    /// Whether nobody has made anything: then no prompt has to be looked into.
    fn is_empty(&self) -> bool {
        self.books.is_empty()
    }

    /// All descriptions of this account's things whose name begins so, oldest first.
    fn all(&self, prefix: &str) -> Vec<Value> {
        let own = self.books.iter().filter(|((owner, name), _)| *owner == self.credential && name.starts_with(prefix));
        own.map(|(_, thing)| thing.description.clone()).collect()
    }
}

fn said(json: impl Into<String>) -> Scene {
    Scene::plain(StatusCode::OK, Event::new("", json))
}

fn told(json: &Value) -> Scene {
    said(json.to_string())
}

fn with(mut scene: Scene, name: &'static str, value: &str) -> Scene {
    if let Ok(value) = HeaderValue::from_str(value) {
        scene.headers.insert(HeaderName::from_static(name), value);
    }
    scene
}

/// The address of a path here, as the caller has reached it.
fn address(call: &Call, path: &str) -> String {
    let host = call.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    format!("http://{host}{path}")
}

fn now() -> String {
    clock::rfc3339(Duration::ZERO)
}

/// The texts that a body has under a name, wherever it stands.
fn texts(body: &Value, names: &[&str], found: &mut Vec<String>) {
    match body {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => found.push(text.clone()),
                    // What a tool is called with is the caller's own.
                    _ if name == "input" => {}
                    value => texts(value, names, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| texts(element, names, found)),
        _ => {}
    }
}

/// The first part of a multipart body that has these words in its head: its head and its content.
fn part<'b>(body: &'b [u8], word: &str) -> Option<(String, &'b [u8])> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let boundary = &body[..find(body, b"\r\n")?];
    let mut rest = &body[boundary.len()..];
    while let Some(head_end) = find(rest, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        let content = &rest[head_end + 4..];
        let end = find(content, boundary)?;
        if head.to_ascii_lowercase().contains(word) {
            return Some((head, content[..end].strip_suffix(b"\r\n").unwrap_or(&content[..end])));
        }
        rest = &content[end + boundary.len()..];
    }
    None
}
