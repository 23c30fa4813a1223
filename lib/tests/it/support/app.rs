//! A gateway under test: the local server, in this process.

use std::net::SocketAddr;

use fake_upstream::{Fake, Seen};
use gateway::{
    config::{Environment, Local},
    host::{Door, local::Server},
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::{Database, eventually, logs};

/// The operator's token of every gateway under test.
pub(crate) const ADMIN_TOKEN: &str = "test-operator-0123456789abcdefghijk";
const ENCRYPTION_KEY: &str = "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=";

/// One gateway, its database and its fake upstream.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) fake: Fake,
    pub(crate) instance: Instance,
}

/// One running server.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl App {
    /// A gateway with nothing set up in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with further environment variables.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::on(Database::create().await, variables).await
    }

    /// The same, on a database that is there.
    pub(crate) async fn on(database: Database, variables: &[(&str, &str)]) -> Self {
        let instance = Instance::start(&database.url, variables).await;
        Self { database, fake: Fake::start().await, instance }
    }

    /// A gateway with one account of each provider, and a key.
    pub(crate) async fn ready() -> (Self, String) {
        let app = Self::start().await;
        app.account("anthropic", "sk-ant-one", json!({})).await;
        app.account("gemini", "AIza-one", json!({})).await;
        let key = app.key(json!({})).await;
        (app, key)
    }

    /// Adds an account of the fake upstream; `more` are further fields. Answers its id.
    pub(crate) async fn account(&self, provider: &str, credential: &str, more: Value) -> String {
        let mut body = json!({
            "provider": provider, "name": format!("{provider} {credential}"), "base_url": self.fake.url(),
            "credential": { "kind": "api_key", "api_key": credential },
        });
        merge(&mut body, more);
        let account = self.instance.manage(Method::POST, "/api/accounts", Some(body)).await;
        account["id"].as_str().expect("an id").to_owned()
    }

    /// Issues a key; `more` are further fields. Answers the key itself.
    pub(crate) async fn key(&self, more: Value) -> String {
        let mut body = json!({ "name": "test" });
        merge(&mut body, more);
        let key = self.instance.manage(Method::POST, "/api/keys", Some(body)).await;
        key["key"].as_str().expect("a key").to_owned()
    }

    /// Another instance on the same database.
    pub(crate) async fn neighbour(&self) -> Instance {
        Instance::start(&self.database.url, &[]).await
    }

    /// An account as the management API shows it.
    pub(crate) async fn shown(&self, account: &str) -> Value {
        self.instance.manage(Method::GET, &format!("/api/accounts/{account}"), None).await
    }

    /// Has accounts forgiven, however often they fail in a row.
    pub(crate) async fn forgive(&self) {
        for provider in ["anthropic", "gemini"] {
            let policy = json!({ "cooldown": { "failure_threshold": 1_000 } });
            self.instance.manage(Method::PUT, &format!("/api/routing/default/{provider}"), Some(policy)).await;
        }
    }

    /// Waits until an account is in this state, and gives it as it is shown.
    pub(crate) async fn comes_to(&self, account: &str, state: &str) -> Value {
        eventually(&format!("{account} is {state}"), || async {
            let shown = self.shown(account).await;
            (shown["state"] == state).then_some(shown)
        })
        .await
    }

    /// Credentials in the order in which the fake upstream saw them.
    pub(crate) fn credentials(&self) -> Vec<String> {
        self.fake.seen().into_iter().map(|seen| seen.credential.unwrap_or_default()).collect()
    }

    /// Waits until no request is open and everything is written, and gives the ledger, oldest first.
    pub(crate) async fn ledger(&self) -> Vec<Value> {
        eventually("every lease is freed", || async {
            (self.database.number("select count(*) from leases").await == 0).then_some(())
        })
        .await;
        self.database.rows("select * from ledger order by started_at, id").await
    }

    /// Gives every request under way up as lost, in one go: its instance may renew its lease at any moment.
    pub(crate) async fn give_up(&self) {
        self.database.execute("update leases set expires_at = now() - interval '1 second'; select reap()").await;
    }

    /// The only row of the ledger.
    pub(crate) async fn only_row(&self) -> Value {
        let mut rows = self.ledger().await;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }

    /// The only request that the fake upstream has seen.
    pub(crate) fn only_seen(&self) -> Seen {
        let mut seen = self.fake.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }
}

impl Instance {
    /// A server on a free port.
    pub(crate) async fn start(database_url: &str, variables: &[(&str, &str)]) -> Self {
        logs::listen();
        let mut env = Environment::from([
            ("DATABASE_URL", database_url.to_owned()),
            ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
            ("ENCRYPTION_KEY", ENCRYPTION_KEY.to_owned()),
            ("ALLOW_INSECURE_UPSTREAMS", "1".to_owned()),
            ("PUBLIC_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../public").to_owned()),
            // What clients without manners call it.
            ("ALLOWED_HOSTS", "g".to_owned()),
        ]);
        for (name, value) in variables {
            env.set(name, value);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let server = Server::new(Door::open(&env), Local::read(&env).expect("a place to listen"));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(listener, async {
            let _dropped_counts_too = stopped.await;
        }));
        // The client wants one even where it speaks plain HTTP; another test may have been first.
        let _first_wins = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { address, client, stop: Some(stop), serving: Some(serving) }
    }

    /// Stops accepting, and waits until streams have ended and rows are written.
    pub(crate) async fn drain(&mut self) {
        self.stop.take();
        if let Some(serving) = self.serving.take() {
            serving.await.expect("the server ends well");
        }
    }

    /// A request to this server.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// A request of the operator.
    pub(crate) async fn operator(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self.request(method, path).bearer_auth(ADMIN_TOKEN);
        let request = match body {
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        request.send().await.expect("an answer")
    }

    /// A request of the operator that must succeed; gives the JSON of the answer.
    pub(crate) async fn manage(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let response = self.operator(method, path, body).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// A call of the Messages API.
    pub(crate) fn messages(&self, key: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, "/v1/messages")
            .header("x-api-key", key)
            .header("anthropic-version", "2023-06-01")
            .header("content-type", "application/json")
            .body(body)
    }

    /// A call of the Gemini API; `verb` may carry a query: `gemini-2.5-pro:streamGenerateContent?alt=sse`.
    pub(crate) fn gemini(&self, key: &str, verb: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, &format!("/v1beta/models/{verb}"))
            .header("x-goog-api-key", key)
            .header("content-type", "application/json")
            .body(body)
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
