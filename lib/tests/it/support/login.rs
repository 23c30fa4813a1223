//! Accounts with a login, and a token endpoint that the fake plays.

use fake_upstream::{Answer, Fake, Script, Seen};
use reqwest::Method;
use serde_json::json;

use super::{App, Database, Instance, eventually};

/// Where the fake gives tokens, for both providers.
pub(crate) const TOKEN_PATH: &str = "/oauth/token";

/// Locks that somebody waits for because this very connection holds what they need.
const WAITING: &str = "from pg_locks waits join pg_locks held using (transactionid)
                       where not waits.granted and held.granted and held.pid = pg_backend_pid()";

impl App {
    /// A gateway that renews logins at its fake upstream.
    pub(crate) async fn with_logins() -> Self {
        let (fake, database) = (Fake::start().await, Database::create().await);
        let instance = instance_with_logins(&fake.url(), &database.url).await;
        Self { database, fake, instance }
    }

    /// Adds an account with a login whose access token is `access-1` and whose refresh token is `refresh-1`; it ends in
    /// so many seconds.
    pub(crate) async fn login(&self, provider: &str, ends_in: i64) -> String {
        let body = json!({
            "provider": provider, "name": format!("{provider} login"), "base_url": self.fake.url(), "entitled": true,
            "credential": {
                "kind": "oauth", "access_token": "access-1", "refresh_token": "refresh-1", "expires_at": soon(ends_in),
            },
        });
        let account = self.instance.manage(Method::POST, "/api/accounts", Some(body)).await;
        account["id"].as_str().expect("an id").to_owned()
    }

    /// The token endpoint gives `access-2` and `refresh-2`, this once; after that the refresh token is used up.
    pub(crate) fn give_one_pair(&self) {
        self.fake.script(Script::once(pair()).on(TOKEN_PATH));
        self.give_nothing();
    }

    /// The token endpoint refuses every refresh token.
    pub(crate) fn give_nothing(&self) {
        let refusal = json!({ "error": "invalid_grant", "error_description": "Refresh token not found or invalid" });
        self.fake.script(Script::always(Answer::json(400, refusal)).on(TOKEN_PATH));
    }

    /// What the token endpoint was asked.
    pub(crate) fn token_calls(&self) -> Vec<Seen> {
        self.fake.seen().into_iter().filter(|seen| seen.path_and_query.starts_with(TOKEN_PATH)).collect()
    }

    /// The tokens that calls of the API were made with, in order.
    pub(crate) fn tokens_used(&self) -> Vec<String> {
        let seen = self.fake.seen().into_iter().filter(|seen| !seen.path_and_query.starts_with(TOKEN_PATH));
        seen.map(|seen| seen.credential.unwrap_or_default()).collect()
    }

    /// Holds every account, so that nothing is stored in one before `commit` or `rollback` is executed.
    pub(crate) async fn lock_accounts(&self) {
        self.database.execute("begin; select from accounts for update").await;
    }

    /// Waits until a gateway has a new pair of tokens, and a statement of its waits for what [`App::lock_accounts`] holds.
    pub(crate) async fn pair_waits_to_be_stored(&self) {
        self.until_so_many_wait(1).await;
    }

    /// Ends the connections that wait so, as the server does once it notices that a process is dead.
    pub(crate) async fn close_what_waits(&self) {
        self.database.rows(&format!("select pg_terminate_backend(waits.pid) {WAITING}")).await;
        self.until_so_many_wait(0).await;
    }

    async fn until_so_many_wait(&self, wanted: i64) {
        let count = format!("select count(*) {WAITING}");
        eventually("statements wait", || async { (self.database.number(&count).await == wanted).then_some(()) }).await;
    }

    /// How often the only account's credential was replaced, plus one.
    pub(crate) async fn version(&self) -> i64 {
        self.database.number("select credential_version from accounts").await
    }
}

/// Another instance on the same database.
pub(crate) async fn instance_with_logins(fake_url: &str, database_url: &str) -> Instance {
    let token_url = [fake_url, TOKEN_PATH].concat();
    let variables = [
        ("ANTHROPIC_OAUTH_TOKEN_URL", token_url.as_str()),
        ("ANTHROPIC_OAUTH_CLIENT_ID", "an-application"),
        ("GEMINI_OAUTH_TOKEN_URL", token_url.as_str()),
        ("GEMINI_OAUTH_CLIENT_ID", "a-google-application"),
        ("GEMINI_OAUTH_CLIENT_SECRET", "application-secret-0123"),
    ];
    Instance::start(database_url, &variables).await
}

/// The answer of a token endpoint that rotates refresh tokens.
pub(crate) fn pair() -> Answer {
    let pair = json!({
        "access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 28_800, "token_type": "Bearer",
    });
    Answer::json(200, pair)
}

/// So many seconds from now, as the API takes times.
pub(crate) fn soon(seconds: i64) -> String {
    (gateway::clock::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}
