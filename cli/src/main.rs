//! `llm-gateway serve`: the gateway as one local process. `llm-gateway migrate`: bring the database's schema up to date.
//! `llm-gateway rotate-encryption`: seal every credential with the present key.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use gateway::{
    Error, Kind, Result,
    config::{Environment, Local},
    gateway::Resealed,
    host::{Door, local::Server, log_to_stderr},
    store,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

const USAGE: &str = "\
Usage: llm-gateway <command>

Commands:
  serve    Serve the gateway and its dashboard (PORT, HOST, PUBLIC_DIR)
  migrate  Bring the schema of DATABASE_URL up to date
  rotate-encryption
           Seal every credential with ENCRYPTION_KEY, those of ENCRYPTION_KEY_PREVIOUS too; it may be broken off and repeated

Every setting is an environment variable; .env.example lists them.
";

#[tokio::main]
async fn main() -> ExitCode {
    let env = Environment::of_process();
    log_to_stderr(&env);
    let done = match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(&env).await,
        Some("migrate") => migrate(&env).await,
        Some("rotate-encryption") => rotate_encryption(&env).await,
        Some("--help" | "-h" | "help") => say(USAGE),
        _ => Err(Error::new(Kind::InvalidRequest, USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let _nobody_left_to_tell = writeln!(io::stderr(), "llm-gateway: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(env: &Environment) -> Result<()> {
    let local = Local::read(env)?;
    let (host, port) = (local.host, local.port);
    let listener = TcpListener::bind((host, port)).await.map_err(|source| {
        Error::new(Kind::Unavailable, format!("cannot listen on {host}:{port}")).with_source(source)
    })?;
    let address = listener.local_addr().map_err(Error::internal)?;
    let server = Server::new(Door::open(env), local);
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    say(&format!("llm-gateway listening on http://{address}\n"))?;
    server
        .serve(listener, async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await;
    Ok(())
}

async fn migrate(env: &Environment) -> Result<()> {
    let applied = store::migrate(&gateway::config::migration_url(env)?).await?;
    match applied.as_slice() {
        [] => say(&format!("the schema is up to date: version {}\n", store::LATEST_SCHEMA)),
        versions => {
            say(&format!("applied {} migrations; the schema is at version {}\n", versions.len(), store::LATEST_SCHEMA))
        }
    }
}

async fn rotate_encryption(env: &Environment) -> Result<()> {
    let gateway = Door::open(env).gateway()?;
    let mut unopened = 0;
    let resealing = gateway.reseal(|number, of, account, became| {
        unopened += usize::from(became == Resealed::Unopened);
        let word = match became {
            Resealed::Anew => "sealed anew",
            Resealed::Already => "sealed with this key before",
            Resealed::Unopened => "CANNOT BE OPENED with these keys: give the account a new credential",
            Resealed::Gone => "removed meanwhile",
        };
        let _shown_or_not = say(&format!("{number}/{of} {account}: {word}\n"));
    });
    resealing.await?;
    match unopened {
        0 => say("every credential is sealed with ENCRYPTION_KEY; ENCRYPTION_KEY_PREVIOUS is no longer needed\n"),
        count => Err(Error::new(Kind::Conflict, format!("{count} credentials cannot be opened with these keys"))),
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::internal)
}
