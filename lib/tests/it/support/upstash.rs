//! Upstash's REST API in front of a real redis-server, as far as a script needs it, and as strict: the token on every path,
//! Redis's own error texts with 400, and a script that touches no key but those it was given.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use redis::aio::MultiplexedConnection;
use ring::digest;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Mutex as AsyncMutex, task::JoinSet};

use super::Redis;

/// The token of every such database, which no log may hold.
pub(crate) const TOKEN: &str = "planted-upstash-token-9f8e7d6c5b4a";

/// What a script begins with, lest it lock the whole database; plain Redis does not know it.
const LOCK_KEYS_ONLY: &str = "#!lua flags=allow-key-locking\n";
/// Holds a script to its keys.
const GUARD: &str = "local known, real = {}, redis
for _, key in ipairs(KEYS) do known[key] = true end
local redis = { pcall = real.pcall, call = function(name, key, ...)
  assert(known[key], 'ERR Dynamic keys are not allowed in Lua scripts')
  return real.call(name, key, ...)
end }
";
/// Besides, tells it no time.
const NO_CLOCK: &str = "redis.pcall = function() return { err = 'ERR This command is not allowed from script' } end\n";

/// What is wrong with the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It takes requests and never answers.
    Silent,
    /// The next command is carried out, and its connection ends before the answer.
    LosesOneAnswer,
    /// An edge in front of it answers with a page.
    Page,
    /// The month's requests are used up.
    Quota,
    /// It answers with an error that holds the token.
    RepeatsToken,
    /// Scripts are told no time; only those that it does not know yet.
    NoClock,
}

/// A running service.
pub(crate) struct Upstash {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _server: JoinSet<()>,
}

struct State {
    redis: String,
    /// Shared by all who ask, until it breaks.
    connection: AsyncMutex<Option<MultiplexedConnection>>,
    trouble: Mutex<Trouble>,
    /// The digests of the scripts as they were sent, and as they were loaded.
    scripts: Mutex<HashMap<String, String>>,
    commands: Mutex<Vec<String>>,
}

impl Upstash {
    /// Serves a redis-server.
    pub(crate) async fn before(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let state = Arc::new(State {
            redis: redis.url(),
            connection: AsyncMutex::default(),
            trouble: Mutex::new(Trouble::None),
            scripts: Mutex::default(),
            commands: Mutex::default(),
        });
        let (mut server, shared) = (JoinSet::new(), Arc::clone(&state));
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(request, Arc::clone(&state)));
                connections.spawn(async move {
                    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state, _server: server }
    }

    /// From now on this is wrong with it.
    pub(crate) fn has(&self, trouble: Trouble) {
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The commands that came with the right token, by name.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.state.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl State {
    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let mut shared = self.connection.lock().await;
        if let Some(open) = &*shared {
            return Ok(open.clone());
        }
        let open = super::redis::connect(&redis::Client::open(self.redis.as_str())?).await?;
        *shared = Some(open.clone());
        Ok(open)
    }
}

/// The answer was lost on the way.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lost")
    }
}

impl std::error::Error for Lost {}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Lost> {
    let said = request.headers().get("authorization").and_then(|said| said.to_str().ok());
    if said != Some(&format!("Bearer {TOKEN}")) {
        return Ok(reply(StatusCode::UNAUTHORIZED, &json!({ "error": "Unauthorized" })));
    }
    if request.method() != Method::POST || request.uri().path() != "/" {
        return Ok(reply(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method not allowed" })));
    }
    let body = request.into_body().collect().await.map_err(|_| Lost)?.to_bytes();
    let Ok(words) = serde_json::from_slice::<Vec<String>>(&body) else {
        return Ok(reply(StatusCode::BAD_REQUEST, &json!({ "error": "ERR failed to parse command" })));
    };
    state.commands.lock().unwrap_or_else(PoisonError::into_inner).extend(words.first().cloned());
    let trouble = *state.trouble.lock().unwrap_or_else(PoisonError::into_inner);
    match trouble {
        Trouble::Silent => std::future::pending().await,
        Trouble::Page => {
            let page = Response::builder().status(502).body(Full::from("<html>bad gateway</html>"));
            return Ok(page.expect("a good response"));
        }
        Trouble::Quota => {
            let error = json!({ "error": "ERR max requests limit exceeded. Limit: 500000, Usage: 500000" });
            return Ok(reply(StatusCode::BAD_REQUEST, &error));
        }
        Trouble::RepeatsToken => {
            let error = json!({ "error": format!("ERR your token {TOKEN} is too good for us") });
            return Ok(reply(StatusCode::BAD_REQUEST, &error));
        }
        Trouble::None | Trouble::LosesOneAnswer | Trouble::NoClock => {}
    }
    let result = carry_out(&state, words, trouble == Trouble::NoClock).await;
    if trouble == Trouble::LosesOneAnswer {
        *state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Trouble::None;
        return Err(Lost);
    }
    Ok(match result {
        Ok(result) => reply(StatusCode::OK, &json!({ "result": result })),
        Err(error) => reply(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    })
}

/// Scripts are loaded without what only Upstash knows, and found by the digest of what was sent.
async fn carry_out(state: &State, mut words: Vec<String>, no_clock: bool) -> Result<Value, String> {
    match words[0].as_str() {
        "EVAL" => {
            let text = words[1].strip_prefix(LOCK_KEYS_ONLY).ok_or("ERR this script would lock the whole database")?;
            let loaded = [GUARD, if no_clock { NO_CLOCK } else { "" }, text].concat();
            let mut scripts = state.scripts.lock().unwrap_or_else(PoisonError::into_inner);
            scripts.insert(sha1(&words[1]), sha1(&loaded));
            words[1] = loaded;
        }
        "EVALSHA" => {
            let scripts = state.scripts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(loaded) = scripts.get(&words[1]) {
                words[1].clone_from(loaded);
            }
        }
        other => return Err(format!("ERR {other} is not played here")),
    }
    let mut connection = state.connect().await.map_err(|error| error.to_string())?;
    let error = match redis::cmd(&words[0]).arg(&words[1..]).query_async::<Vec<i64>>(&mut connection).await {
        Ok(figures) => return Ok(json!(figures)),
        Err(error) => error,
    };
    let Some(code) = error.code() else {
        *state.connection.lock().await = None;
        return Err(format!("ERR {error}"));
    };
    Err(format!("{code} {}", error.detail().unwrap_or_default()))
}

fn sha1(text: &str) -> String {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(body.to_string())).expect("a good response")
}
