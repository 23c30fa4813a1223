//! `llm-gateway`: the gateway as one local process, and the commands that look after one, here or elsewhere.
//!
//! `arguments.rs` is the map: every command has its line there and a file of its name. Those that manage a gateway are
//! clients of its management API (`api.rs`); `migrate`, `replay`, `doctor` and `rotate-encryption` speak to the database.

mod accounts;
mod api;
mod arguments;
mod ask;
mod doctor;
mod find;
mod given;
mod health;
mod keys;
mod migrate;
mod out;
mod progress;
mod replay;
mod requests;
mod rotate_encryption;
mod serve;
mod show;
mod stats;
mod table;
mod version;

use std::{error::Error as _, io, process::ExitCode};

use gateway::{
    Error, Kind, Result,
    config::{Environment, Terminal, asked_log_filter},
    host::log_to_stderr,
};

use crate::{
    api::Api,
    arguments::{Arguments, Command},
    out::{Out, remark},
};

/// Its workers do not wait for each other where one frees what another took, and what a crowd of streams has taken is given
/// back to the system within seconds.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let env = Environment::of_process();
    let done = match serve::is_all_that_is_asked() {
        true => serve::run(&env).await.map(|()| ExitCode::SUCCESS),
        false => match arguments::read() {
            Ok(arguments) => obey(arguments, &env).await,
            Err(code) => return code,
        },
    };
    done.unwrap_or_else(|error| told(&error))
}

async fn obey(arguments: Arguments, env: &Environment) -> Result<ExitCode> {
    let Arguments { shared, command } = arguments;
    // Only a server's log is worth reading unasked.
    if asked_log_filter(env).is_some() && !matches!(command, Command::Serve) {
        log_to_stderr(env);
    }
    let out = Out::new(shared.json, &Terminal::read(env));
    let api = || Api::open(&shared, env);
    let done = match command {
        Command::Serve => serve::run(env).await,
        // A container's health check knows two codes.
        Command::Health => {
            let healthy = health::health(env).inspect_err(|error| _ = told(error));
            return Ok(if healthy.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Migrate => migrate::run(env, &out).await,
        Command::Keys(command) => command.run(&api()?, &out).await,
        Command::Accounts(command) => return command.run(&api()?, &out).await,
        Command::Stats(command) => command.run(&api()?, &out).await,
        Command::Requests(command) => command.run(&api()?, &out).await,
        Command::Replay(command) => return command.run(env, &out).await,
        Command::RotateEncryption => rotate_encryption::run(env, &out).await,
        Command::Doctor => return doctor::run(&shared, env, &out).await,
        Command::Completions { shell } => out.raw(&arguments::completions(shell)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Says what went wrong, and chooses the exit code that `--help` explains.
fn told(error: &Error) -> ExitCode {
    let cause = error.source();
    let closed = |cause: &&(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    };
    // Whoever read has read enough, as `head` does.
    if cause.as_ref().is_some_and(closed) {
        return ExitCode::SUCCESS;
    }
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    remark(&format!("llm-gateway: {error}{cause}"));
    ExitCode::from(match error.kind {
        Kind::Unavailable => 3,
        Kind::Unauthenticated | Kind::PermissionDenied => 4,
        Kind::NotFound => 5,
        _ => 1,
    })
}
