//! A gateway to look after: its database, its server, its upstream; and the program that does it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use fake_upstream::Fake;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

pub(crate) const ADMIN_TOKEN: &str = "test-operator-0123456789abcdefghijk";
pub(crate) const ENCRYPTION_KEY: &str = "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=";

/// The program, with these variables and no others.
pub(crate) fn program(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-gateway"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// What a run came to.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Done {
    /// What it printed, where it went well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The JSON that it printed, where it went well.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).expect("JSON")
    }

    /// What it complained of, where it ended with this code.
    #[track_caller]
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self.err
    }
}

/// Runs it to its end, with this on its standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    // It may well end without reading.
    let _unread = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends").into()
}

/// A database of one test.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Database {
    pub(crate) async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server_url();
        let name = format!("test_cli_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server).await;
        admin.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
        admin.batch_execute(&format!("create database {name}")).await.unwrap();
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let url = format!("{}/{name}?{query}", &base[..base.rfind('/').expect("a URL names a database")]);
        let client = connect(&url).await;
        Self { url, client }
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("select ({sql})::bigint"), &[]).await.unwrap().get(0)
    }

    /// Its URL, with these settings of its sessions.
    pub(crate) fn with_options(&self, options: &str) -> String {
        let separator = if self.url.ends_with('?') { "" } else { "&" };
        format!("{}{separator}options={options}", self.url)
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told their server by the environment")]
fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL").expect("set TEST_DATABASE_URL, as `npm test` does")
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

/// Starts a server on a free port; answers where it is.
pub(crate) fn serve(variables: &[(&str, &str)]) -> (String, Child) {
    let mut command = program(variables, &["serve"]);
    command.env("PORT", "0").stdout(Stdio::piped());
    let mut server = command.spawn().expect("the program runs");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says where it is");
    let url = line.trim().strip_prefix("llm-gateway listening on ").expect("its address").to_owned();
    (url, server)
}

/// A running gateway.
pub(crate) struct Site {
    pub(crate) database: Database,
    pub(crate) fake: Fake,
    pub(crate) url: String,
    pub(crate) folder: Folder,
    server: Child,
}

impl Site {
    /// With nothing set up in it.
    pub(crate) async fn start() -> Self {
        let database = Database::create().await;
        let variables = settings(&database.url);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
        let (url, server) = serve(&variables);
        Self { database, fake: Fake::start().await, url, folder: Folder::new(), server }
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "")
    }

    /// The same, with this on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = program(&[("GATEWAY_URL", &self.url), ("ADMIN_TOKEN", ADMIN_TOKEN)], arguments);
        command.current_dir(&self.folder.0);
        run(command, input)
    }

    /// What a command answers to a script.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).json()
    }

    /// Adds an account of the fake upstream.
    pub(crate) fn account(&self, name: &str, credential: &str) -> Value {
        let arguments = ["accounts", "add", name, "--provider", "anthropic", "--base-url", &self.fake.url()];
        self.run_with(&[&arguments[..], &["--credential-file", "-", "--json"]].concat(), credential).json()
    }

    /// Issues a key; answers its secret.
    pub(crate) fn key(&self, name: &str) -> String {
        self.run(&["keys", "issue", name]).good().trim().to_owned()
    }

    /// A message that is answered.
    pub(crate) async fn message(&self, key: &str, say: &str) {
        let body = serde_json::json!({
            "model": "claude-sonnet-4-5", "max_tokens": 100,
            "messages": [{ "role": "user", "content": format!("[[say {say}]]") }],
        });
        let tls = gateway::tls::client_config(gateway::tls::web_roots());
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build();
        let request = client.expect("a client").post(format!("{}/v1/messages", self.url));
        let request = request.header("x-api-key", key).header("anthropic-version", "2023-06-01").body(body.to_string());
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{text}");
        // The row is written after the last byte.
        while self.database.number("select count(*) from leases").await > 0 {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _gone = self.server.wait();
    }
}

/// What a gateway on this database is told.
pub(crate) fn settings(database_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("DATABASE_URL", database_url.to_owned()),
        ("ADMIN_TOKEN", ADMIN_TOKEN.to_owned()),
        ("ENCRYPTION_KEY", ENCRYPTION_KEY.to_owned()),
        ("ALLOW_INSECURE_UPSTREAMS", "1".to_owned()),
        ("LOG", "warn".to_owned()),
    ]
}

/// An empty folder; it goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }

    /// Writes a file into it; answers its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder can be made");
        fs::write(&path, text).expect("a file can be written");
        path.to_str().expect("a plain name").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _stays = fs::remove_dir_all(&self.0);
    }
}
