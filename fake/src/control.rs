//! The same control over HTTP, under `/_fake/`, for tests that run the fake as a process.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde::{Deserialize, Serialize};

use crate::{call::Call, script::Script, state::State};

#[derive(Deserialize)]
#[serde(untagged)]
enum Scripts {
    Several(Vec<Script>),
    One(Box<Script>),
}

#[derive(Deserialize)]
struct Release {
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

/// Answers a request to `/_fake/…`; such requests are neither counted nor remembered.
pub(crate) fn answer(state: &Arc<State>, call: &Call) -> Response<Full<Bytes>> {
    match (call.method.as_str(), call.path()) {
        ("POST", "/_fake/script") => match read_scripts(&call.body) {
            Ok(scripts) => {
                scripts.into_iter().for_each(|script| state.script(script));
                done()
            }
            Err(error) => said(StatusCode::BAD_REQUEST, &serde_json::json!({"error": error.to_string()})),
        },
        // In the place of those that were: what an upstream does from now on, while its counts go on.
        ("PUT", "/_fake/script") => match read_scripts(&call.body) {
            Ok(scripts) => {
                state.replace_scripts(scripts);
                done()
            }
            Err(error) => said(StatusCode::BAD_REQUEST, &serde_json::json!({"error": error.to_string()})),
        },
        ("GET", "/_fake/seen") => said(StatusCode::OK, &state.seen()),
        ("GET", "/_fake/stats") => said(StatusCode::OK, &state.stats()),
        ("POST", "/_fake/clear") => {
            state.clear();
            done()
        }
        ("POST", "/_fake/release") => {
            let release = serde_json::from_slice(&call.body).unwrap_or(Release { count: 1 });
            state.release(release.count);
            done()
        }
        _ => said(StatusCode::NOT_FOUND, &serde_json::json!({"error": "no such control"})),
    }
}

/// One script is read by itself first, since only then does the error say what is wrong with it.
fn read_scripts(body: &[u8]) -> serde_json::Result<Vec<Script>> {
    match serde_json::from_slice::<Scripts>(body) {
        Ok(Scripts::Several(scripts)) => Ok(scripts),
        Ok(Scripts::One(script)) => Ok(vec![*script]),
        Err(_) => serde_json::from_slice::<Script>(body).map(|script| vec![script]),
    }
}

fn done() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn said(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let json = serde_json::to_vec(value).expect("what the fake remembers is JSON");
    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
