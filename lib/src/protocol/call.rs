//! What a method and a path ask for, and in which dialect.

use http::{HeaderMap, Method, Uri};
use url::form_urlencoded;

use super::{Api, Form, Operation, Protocol, Provider, gemini::code_assist, path, thing, thing::Act};
use crate::{
    error::{Error, Kind, Result},
    glob::matches_path,
};

/// A request as its first line tells it; the body may say more ([`super::Demand`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The caller's dialect.
    pub protocol: Protocol,
    /// Whose account can serve it.
    pub provider: Provider,
    /// In whose words it is made.
    pub api: Api,
    /// What is asked.
    pub operation: Operation,
    /// How the answer will be laid out, as far as the path tells.
    pub form: Form,
    /// The model, where the path names it. A tuned model keeps its `tunedModels/`.
    pub model: Option<String>,
    /// What is done with things that live on an account.
    pub act: Option<Act>,
}

impl Protocol {
    /// The dialect of a path, known or not, so that a refusal can be read by whoever asked.
    ///
    /// `/v1` belongs to three APIs. A verb tells Gemini; for the rest, whose way of showing a key is used.
    pub fn of(path: &str, query: Option<&str>, headers: &HeaderMap) -> Self {
        let mut segments = path.trim_start_matches('/').splitn(3, '/');
        let (version, thing) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let rest = segments.next().unwrap_or_default().to_ascii_lowercase();
        if version.starts_with("v1beta") || version.starts_with("v1alpha") || version.starts_with("v1internal") {
            return Self::Gemini;
        }
        match (version, thing) {
            ("upload", _) | ("v1", "cachedContents" | "tunedModels" | "operations" | "interactions") => Self::Gemini,
            ("v1", "chat" | "responses" | "embeddings" | "completions") => Self::OpenAi,
            ("v1", "models") if rest.contains(':') || rest.contains("%3a") => Self::Gemini,
            ("v1", "models" | "files" | "batches") if shows_gemini_key(query, headers) => Self::Gemini,
            ("v1", "models") => {
                let anthropic = headers.contains_key("anthropic-version") || headers.contains_key("x-api-key");
                if anthropic { Self::Anthropic } else { Self::OpenAi }
            }
            _ => Self::Anthropic,
        }
    }
}

fn shows_gemini_key(query: Option<&str>, headers: &HeaderMap) -> bool {
    headers.contains_key("x-goog-api-key") || pairs(query).any(|(name, _)| name == "key")
}

fn pairs(query: Option<&str>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

impl Call {
    /// Reads the first line. `passthrough` holds the globs of further paths that the operator lets through.
    pub fn read(protocol: Protocol, method: &Method, uri: &Uri, passthrough: &[String]) -> Result<Self> {
        let path = path::plain(uri)?;
        let provider = match protocol {
            Protocol::Anthropic => Provider::Anthropic,
            Protocol::Gemini => Provider::Gemini,
            Protocol::OpenAi => {
                return Err(Error::new(Kind::NotFound, "this gateway speaks the Anthropic and Gemini APIs"));
            }
        };
        let segments: Vec<_> = path.split('/').skip(1).collect();
        let api = match provider {
            Provider::Anthropic => Api::Anthropic,
            Provider::Gemini if path.starts_with("/v1internal") => Api::CodeAssist,
            Provider::Gemini => Api::Gemini,
        };
        let act = thing::place(provider, method, &segments, uri.query());
        let known = match (api, &act) {
            (_, Some(Some(act))) => {
                let (method, operation) = (method.clone(), act.operation());
                Some(Known { method, operation, model: named_model(&segments) })
            }
            // A place of things that does not take this method.
            (_, Some(None)) => return Err(no_such_method(&path, method)),
            (Api::Anthropic, None) => anthropic(&segments),
            (Api::Gemini, None) => gemini(&segments),
            (Api::CodeAssist, None) => {
                code_assist::method(&segments).map(|(method, operation)| Known { method, operation, model: None })
            }
        };
        let (operation, model) = match known {
            Some(known) if known.method == method => (known.operation, known.model),
            Some(_) => return Err(no_such_method(&path, method)),
            None if manages_accounts(&segments) => {
                return Err(Error::new(Kind::NotFound, "this gateway does not forward the management of accounts"));
            }
            None if passthrough.iter().any(|glob| matches_path(glob, &path)) => {
                (Operation::Other, named_model(&segments))
            }
            None => return Err(Error::new(Kind::NotFound, format!("{path} is not supported by this gateway yet"))),
        };
        let streams = path.ends_with(":streamGenerateContent");
        let act = act.flatten();
        let form = match (provider, &act) {
            // A file's own bytes.
            (Provider::Anthropic, _) | (_, Some(Act::Fetch(_))) => Form::Json,
            (Provider::Gemini, None) => gemini_form(streams, uri.query())?,
            (Provider::Gemini, Some(_)) => match gemini_form(streams, uri.query())? {
                Form::Json => Form::Json,
                _ => return Err(Error::invalid("alt", "must be json")),
            },
        };
        Ok(Self { protocol, provider, api, operation, form, model, act })
    }
}

fn no_such_method(path: &str, method: &Method) -> Error {
    Error::new(Kind::MethodNotAllowed, format!("{path} does not take {method}"))
}

/// A path that is served.
struct Known {
    method: Method,
    operation: Operation,
    model: Option<String>,
}

fn anthropic(segments: &[&str]) -> Option<Known> {
    let (method, operation, model) = match segments {
        ["v1", "messages"] => (Method::POST, Operation::Generate, None),
        ["v1", "messages", "count_tokens"] => (Method::POST, Operation::CountTokens, None),
        ["v1", "models"] => (Method::GET, Operation::Models, None),
        ["v1", "models", id] if !id.is_empty() => (Method::GET, Operation::Models, Some((*id).to_owned())),
        _ => return None,
    };
    Some(Known { method, operation, model })
}

fn gemini(segments: &[&str]) -> Option<Known> {
    let ["v1" | "v1beta" | "v1alpha", rest @ ..] = segments else { return None };
    let (method, operation) = match rest {
        ["models"] => (Method::GET, Operation::Models),
        ["models", id] if !id.is_empty() && !id.contains(':') => (Method::GET, Operation::Models),
        ["models" | "tunedModels", call] => {
            let operation = match call.rsplit_once(':')? {
                ("", _) => return None,
                (_, "generateContent" | "streamGenerateContent") => Operation::Generate,
                (_, "countTokens") => Operation::CountTokens,
                (_, "embedContent" | "batchEmbedContents") => Operation::Embed,
                _ => return None,
            };
            (Method::POST, operation)
        }
        _ => return None,
    };
    Some(Known { method, operation, model: named_model(segments) })
}

/// The model in `…/models/{m}`, `…/models/{m}:verb` and the same under `tunedModels`.
fn named_model(segments: &[&str]) -> Option<String> {
    let [_, kind @ ("models" | "tunedModels"), call, ..] = segments else { return None };
    let name = call.rsplit_once(':').map_or(*call, |(name, _)| name);
    match *kind {
        _ if name.is_empty() => None,
        "models" => Some(name.to_owned()),
        kind => Some(format!("{kind}/{name}")),
    }
}

/// Paths that act on the owner of an account, or hand out credentials: no glob lets them through.
fn manages_accounts(segments: &[&str]) -> bool {
    let managing = ["organizations", "oauth", "auth_tokens"];
    segments.iter().any(|segment| {
        let thing = segment.split(':').next().unwrap_or_default();
        managing.iter().any(|word| word.eq_ignore_ascii_case(thing))
    })
}

/// Google's `alt` chooses the layout. A layout that we could not count is refused, and so is an ambiguous one.
fn gemini_form(streams: bool, query: Option<&str>) -> Result<Form> {
    let mut form = None;
    for (name, value) in pairs(query) {
        let asked = match (name.as_ref(), value.as_ref()) {
            ("alt" | "$alt", "sse") => Form::Sse,
            ("alt" | "$alt", "json") if streams => Form::JsonArray,
            ("alt" | "$alt", "json") => Form::Json,
            ("alt" | "$alt", _) => return Err(Error::invalid("alt", "must be sse or json")),
            ("callback" | "$callback", _) => return Err(Error::invalid("callback", "is not supported")),
            _ => continue,
        };
        if form.replace(asked).is_some_and(|before| before != asked) {
            return Err(Error::invalid("alt", "is given twice, with different values"));
        }
    }
    Ok(form.unwrap_or(if streams { Form::JsonArray } else { Form::Json }))
}

#[cfg(test)]
mod tests;
