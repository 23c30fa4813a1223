//! `GET /api/openapi.json`: the description of the management API, and the one list of its paths, methods and parameters.

use std::{collections::BTreeSet, sync::LazyLock};

use http::{HeaderValue, Method, Uri, header};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{no_such_path, segments};
use crate::{
    error::{Error, Kind, Result},
    http::{Response, full},
};

const TEXT: &str = include_str!("openapi.json");

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(TEXT).expect("the document is read by a test"));

/// The parameter that stands for every `label.NAME`.
const LABELS: &str = "labels";

pub(super) fn answer() -> Response {
    let mut response = Response::new(full(TEXT));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Refuses a path or a method that the document does not have; gives what it says of them.
pub(super) fn must_take(method: &Method, uri: &Uri) -> Result<&'static Value> {
    let methods = methods_of(uri).ok_or_else(no_such_path)?;
    let operation = methods.get(&method.as_str().to_ascii_lowercase());
    operation.ok_or_else(|| Error::new(Kind::MethodNotAllowed, "this path does not take this method"))
}

/// Refuses a path, a method or a parameter that the document does not have, and a parameter that is empty or given twice.
pub(super) fn must_list(method: &Method, uri: &Uri) -> Result<()> {
    let operation = must_take(method, uri)?;
    let mut seen = BTreeSet::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let listed = if name.strip_prefix("label.").is_some_and(|name| !name.is_empty()) { LABELS } else { &name };
        if listed != name && !takes(operation, LABELS) || listed == name && (name == LABELS || !takes(operation, &name))
        {
            return Err(Error::invalid(name.into_owned(), "there is no such parameter"));
        }
        if value.is_empty() || value.contains('\0') {
            return Err(Error::invalid(name.into_owned(), "must not be empty or hold a NUL character"));
        }
        if !seen.insert(name.clone()) {
            return Err(Error::invalid(name.into_owned(), "is given twice"));
        }
    }
    Ok(())
}

/// What an `allow` header says of a path.
pub(super) fn allowed(uri: &Uri) -> Option<HeaderValue> {
    let methods = methods_of(uri)?.keys().map(|method| if method == "get" { "get, head" } else { method });
    let methods: Vec<_> = methods.map(str::to_ascii_uppercase).collect();
    HeaderValue::from_str(&methods.join(", ")).ok()
}

/// The methods of a path. One that is written out comes before one with a blank that would fit, too.
fn methods_of(uri: &Uri) -> Option<&'static Map<String, Value>> {
    let paths = DOCUMENT["paths"].as_object()?;
    let asked = segments(uri);
    let fits = |path: &str| {
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        parts.len() == asked.len()
            && parts.iter().zip(&asked).all(|(part, asked)| part == asked || part.starts_with('{') && !asked.is_empty())
    };
    let methods =
        paths.get(uri.path()).or_else(|| paths.iter().find(|(path, _)| fits(path)).map(|(_, methods)| methods));
    methods?.as_object()
}

fn takes(operation: &Value, name: &str) -> bool {
    operation["parameters"].as_array().into_iter().flatten().any(|parameter| {
        let shared = parameter["$ref"].as_str().and_then(|at| DOCUMENT.pointer(at.trim_start_matches('#')));
        let parameter = shared.unwrap_or(parameter);
        parameter["in"] == "query" && parameter["name"] == name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, target: &str, expect: Result<(), (Kind, Option<&str>)>) {
        let listed = must_list(method, &target.parse().unwrap());
        let listed = listed.map_err(|error| (error.kind, error.param.map(std::borrow::Cow::into_owned)));
        assert_eq!(listed, expect.map_err(|(kind, param)| (kind, param.map(str::to_owned))), "{method} {target}");
    }

    #[test]
    fn what_the_document_does_not_have_is_refused() {
        let (gone, not_so) = (Err((Kind::NotFound, None)), Err((Kind::MethodNotAllowed, None)));
        check(&Method::GET, "/api/keys", Ok(()));
        check(&Method::GET, "/api/keys/me", Ok(()));
        check(&Method::DELETE, "/api/keys/key_1", Ok(()));
        check(&Method::DELETE, "/api/keys/me", not_so);
        check(&Method::GET, "/api/keys/", gone);
        check(&Method::GET, "/api/keys/key_1/x", gone);
        check(&Method::POST, "/api/stats/summary", Err((Kind::MethodNotAllowed, None)));
        for (query, param) in [
            ("limit=5&cursor=x", None),
            ("x=1", Some("x")),
            ("limit=", Some("limit")),
            ("cursor=%00", Some("cursor")),
            ("limit=5&limit=5", Some("limit")),
            ("label.team=a", Some("label.team")),
        ] {
            let expect = param.map_or(Ok(()), |param| Err((Kind::InvalidRequest, Some(param))));
            check(&Method::GET, &format!("/api/keys?{query}"), expect);
        }
        check(&Method::GET, "/api/stats/summary?label.team=a&label.b=a", Ok(()));
        for name in ["label.", "labels"] {
            let target = format!("/api/stats/summary?{name}=a");
            check(&Method::GET, &target, Err((Kind::InvalidRequest, Some(name))));
        }
        assert_eq!(allowed(&Uri::from_static("/api/keys")).unwrap(), "GET, HEAD, POST");
    }
}
