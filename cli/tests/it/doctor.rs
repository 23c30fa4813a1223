//! `llm-gateway doctor` finds what was planted, one fault at a time, and names the cure.

use std::{fs, io, net::SocketAddr, os::unix::fs::PermissionsExt};

use fake_upstream::{Answer, Script};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{ADMIN_TOKEN, Database, Done, ENCRYPTION_KEY, Folder, Site, program, run, settings};

/// What a doctor is told: a sound gateway, but for the changes.
struct Patient {
    variables: Vec<(&'static str, String)>,
    folder: Folder,
}

impl Patient {
    fn on(database_url: &str) -> Self {
        let mut variables = settings(database_url);
        // No port of this machine is asked for, and the dashboard is where it is.
        variables.extend([("PORT", "0".to_owned())]);
        variables.push(("PUBLIC_DIR", concat!(env!("CARGO_MANIFEST_DIR"), "/../public").to_owned()));
        Self { variables, folder: Folder::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.variables.push((name, value.to_owned()));
        }
        self
    }

    fn examined(&self, more: &[&str]) -> Done {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (*name, &**value)).collect();
        let mut command = program(&variables, &[&["doctor"], more].concat());
        command.current_dir(&self.folder.0);
        run(command, "")
    }

    /// Expects exactly this to be wrong: a finding of `check` that holds `found`, with a cure that holds `cure`.
    #[track_caller]
    fn has(&self, (check, found, cure): (&str, &str, &str)) {
        let done = self.examined(&["--json"]);
        assert_eq!(done.code, 1, "{check} {found}: {}{}", done.out, done.err);
        let told: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(told["ok"], false);
        let faults: Vec<_> =
            told["findings"].as_array().unwrap().iter().filter(|one| one["grade"] == "fault").collect();
        let [fault] = faults.as_slice() else { panic!("{check} {found}: {told:#}") };
        assert_eq!(fault["check"], check, "{fault}");
        assert!(fault["found"].as_str().unwrap().contains(found), "{found}: {fault}");
        assert!(fault["cure"].as_str().unwrap().contains(cure), "{cure}: {fault}");
        // Whatever it says, it tells no secret.
        for secret in [ADMIN_TOKEN, ENCRYPTION_KEY, "hunter2"] {
            assert!(!format!("{}{}", done.out, done.err).contains(secret), "{}{}", done.out, done.err);
        }
    }
}

async fn migrated() -> Database {
    let database = Database::create().await;
    run(program(&[("DATABASE_URL", &database.url)], &["migrate"]), "").good();
    database
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_gateway_has_no_fault() {
    let site = Site::start().await;
    site.account("team-1", "sk-ant-one-0123456789");
    site.key("maya");
    let patient = Patient::on(&site.database.url);
    let told = patient.examined(&[]).good();
    assert!(told.ends_with("\nnothing is wrong\n"), "{told}");
    for part in ["ok     configuration  complete", "PostgreSQL ", "the newest", "agree on the time", "team-1 (acc_"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\u{1b}') && !told.contains("note "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_configuration() {
    let database = migrated().await;
    for (name, value, found, cure) in [
        ("ADMIN_TOKEN", "", "ADMIN_TOKEN", "`serve`"),
        ("ADMIN_TOKEN", "hunter2-hunter2", "too short", "openssl rand -hex 32"),
        ("ENCRYPTION_KEY", "bm90IDMyIGJ5dGVz", "not 32 bytes", "openssl rand -base64 32"),
        ("ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "sample", "openssl rand -base64 32"),
        ("MAX_BODY_BYTES", "32MB", "MAX_BODY_BYTES", "33554432"),
        ("MAX_BODY_BYTES", "1024", "longer conversations", "33554432"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "TRUSTED_PROXIES", "10.0.0.0/8"),
        ("PASSTHROUGH_PATHS", "/v1/[", "PASSTHROUGH_PATHS", "globs"),
        ("ANTHROPIC_UPSTREAM", "not a url", "ANTHROPIC_UPSTREAM", ".env.example"),
        ("REDIS_URL", "localhost:6379", "REDIS_URL", "redis://HOST:6379"),
        ("WEBHOOK_URL", "https://hooks.example.com/in", "WEBHOOK_SECRET", "whsec_$(openssl rand -base64 32)"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
        ("PUBLIC_URL", "gateway.example.com", "PUBLIC_URL", "https://gateway.example.com"),
    ] {
        Patient::on(&database.url).with(name, value).has(("configuration", found, cure));
    }
    Patient::on(&database.url).with("LOG", "gateway=loud").has(("log", "LOG", "gateway=debug"));
    Patient::on(&database.url).with("HOST", "localhost").has(("port", "HOST", "IP address"));
    Patient::on(&database.url).with("PORT", "99999").has(("port", "PORT", "65535"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_place() {
    let database = migrated().await;
    // What listens there is no gateway: it hangs up.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    tokio::spawn(async move { while taken.accept().await.is_ok() {} });
    Patient::on(&database.url).with("PORT", &port).has(("port", "another program", "PORT="));
    // An address for documentation: no machine has it.
    Patient::on(&database.url).with("HOST", "192.0.2.1").has(("port", "192.0.2.1", "0.0.0.0"));
    for (file, rights, cure) in
        [(".data", 0o755, "chmod 700 .data"), (".data/admin-token", 0o644, "chmod 600 .data/admin-token")]
    {
        let patient = Patient::on(&database.url);
        patient.folder.write(".data/admin-token", "kept");
        for (path, sound) in [(".data", 0o700), (".data/admin-token", 0o600)] {
            let rights = if path == file { rights } else { sound };
            fs::set_permissions(patient.folder.0.join(path), fs::Permissions::from_mode(rights)).unwrap();
        }
        patient.has(("files", file, cure));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_where_a_gateway_serves_is_no_fault() {
    let site = Site::start().await;
    let port = site.url.rsplit(':').next().unwrap();
    let told = Patient::on(&site.database.url).with("PORT", port).examined(&[]).good();
    assert!(told.contains("a gateway (version "), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_the_database() {
    let database = migrated().await;
    Patient::on("postgresql://gateway:hunter2@127.0.0.1:1/gateway").has((
        "database",
        "nothing answers",
        "Start the database",
    ));
    Patient::on("mysql://gateway:hunter2@db/gateway").has(("database", "not a PostgreSQL URL", "postgresql://USER"));
    let name = |url: &str| url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let nowhere = database.url.replace(&name(&database.url), "no_such_database");
    Patient::on(&nowhere).has(("database", "no database of this name", "createdb"));
    // A database that only reads, as a replica does.
    let reads = database.with_options("-c%20default_transaction_read_only%3Don");
    Patient::on(&reads).has(("database", "only reads", "primary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_password() {
    let url = format!("postgresql://gateway:hunter2@{}/gateway", refusing().await);
    Patient::on(&url).has(("database", "the user or the password is refused", "%40"));
}

/// A server that refuses every password, in PostgreSQL's own words: the test server trusts everybody.
async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse(stream));
        }
    });
    address
}

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        let mut rest = vec![0; length as usize - 4];
        stream.read_exact(&mut rest).await?;
        // It is asked for TLS first, which it does not have.
        if rest == 80_877_103_u32.to_be_bytes() {
            stream.write_all(b"N").await?;
            continue;
        }
        let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"gateway\"\0\0";
        stream.write_u8(b'E').await?;
        stream.write_u32(fields.len() as u32 + 4).await?;
        return stream.write_all(fields).await;
    }
}

/// A server whose version is that of long ago, as far as it says so itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old() {
    let database = migrated().await;
    let old = "create schema aged; create function aged.current_setting(name text) returns text language sql as
               $$ select case name when 'server_version_num' then '130014' else pg_catalog.current_setting(name) end $$";
    database.client.batch_execute(old).await.unwrap();
    let url = database.with_options("-c%20search_path%3Daged%2Cpg_catalog%2Cpublic");
    Patient::on(&url).has(("database", "PostgreSQL 13, which is too old", "PostgreSQL 14 or newer"));
}

/// What works without, and was asked for: Redis, and the receiver of webhooks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_what_may_be_there() {
    let site = Site::start().await;
    site.account("team-1", "sk-ant-one-0123456789");
    site.key("maya");
    // Nothing listens there, and the secret is told to nobody.
    let patient = Patient::on(&site.database.url).with("REDIS_URL", "redis://:hunter2@127.0.0.1:1");
    patient.has(("redis", "Redis does not answer", "REDIS_URL"));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let waits = "insert into webhook_events (type, data, attempts, last_error) values ('test', '{}', 1, 'refused')";
    site.database.client.batch_execute(waits).await.unwrap();
    let patient = Patient::on(&site.database.url).with("WEBHOOK_URL", "http://127.0.0.1:1/in");
    patient.with("WEBHOOK_SECRET", secret).has(("webhooks", "does not take", "WEBHOOK_URL"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off() {
    let database = migrated().await;
    let ahead = "create schema skewed; create function skewed.clock_timestamp() returns timestamptz language sql as
                 $$ select pg_catalog.clock_timestamp() + interval '1 hour' $$";
    database.client.batch_execute(ahead).await.unwrap();
    let url = database.with_options("-c%20search_path%3Dskewed%2Cpg_catalog%2Cpublic");
    Patient::on(&url).has(("clock", "3600.0 s ahead", "NTP"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_another_version() {
    let database = migrated().await;
    database.client.batch_execute("insert into schema_migrations values (9999, 'of the future')").await.unwrap();
    let told = Patient::on(&database.url).examined(&[]).good();
    assert!(
        told.contains("note   schema") && told.contains("newer than") && told.contains("Upgrade this program"),
        "{told}"
    );
    let behind = "delete from schema_migrations where version > 3";
    database.client.batch_execute(behind).await.unwrap();
    Patient::on(&database.url).has(("schema", "at version 3, behind", "llm-gateway migrate"));
    let still = database.number("select max(version) from schema_migrations").await;
    assert_eq!(still, 3, "a doctor looks, and applies nothing");
    let empty = Database::create().await;
    let told = Patient::on(&empty.url).examined(&[]).good();
    assert!(told.contains("the database is empty") && told.contains("llm-gateway migrate"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_accounts() {
    let site = Site::start().await;
    site.key("maya");
    let patient = Patient::on(&site.database.url);
    let told = patient.examined(&[]).good();
    assert!(told.contains("there is none: nothing can be served") && told.contains("accounts add NAME"), "{told}");

    let account = site.account("team-1", "sk-ant-one-0123456789");
    let id = account["id"].as_str().unwrap();
    let other_key =
        Patient::on(&site.database.url).with("ENCRYPTION_KEY", "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=");
    other_key.has(("account", "ENCRYPTION_KEY does not open", "ENCRYPTION_KEY_PREVIOUS"));

    site.run(&["accounts", "set", "team-1", "--base-url", "http://127.0.0.1:1"]).good();
    patient.has(("account", "cannot be reached", &format!("accounts set {id} --base-url")));
    site.run(&["accounts", "set", "team-1", "--base-url", &site.fake.url()]).good();
    site.run(&["accounts", "reset", "team-1"]).good();

    site.fake.script(Script::always(Answer::unauthorized()).of("sk-ant-one-0123456789"));
    patient.has(("account", "is refused", &format!("accounts set {id} --credential-file")));
    site.run(&["accounts", "pause", "team-1"]).good();
    let told = patient.examined(&[]).good();
    assert!(told.contains("is paused") && told.contains(&format!("accounts resume {id}")), "{told}");
}
