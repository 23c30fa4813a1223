//! The fake as a process: `fake-upstream [--port N] [--quiet]`, controlled under `/_fake/`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use fake_upstream::{Fake, Keep};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is gone, the exit code has to do.
            let _ = writeln!(io::stderr(), "fake-upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let (port, keep) = arguments(std::env::args().skip(1))?;
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let fake = Fake::bind(([127, 0, 0, 1], port).into(), keep).await?;
    writeln!(io::stdout(), "fake-upstream listening on {}", fake.url())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    fake.stop().await;
    Ok(())
}

fn arguments(mut arguments: impl Iterator<Item = String>) -> io::Result<(u16, Keep)> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    let (mut port, mut keep) = (0, Keep::Requests);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => {
                let value = arguments.next().unwrap_or_default();
                port = value.parse().map_err(|_| wrong("--port wants a number below 65536"))?;
            }
            "--quiet" => keep = Keep::Counts,
            other => {
                return Err(wrong(&format!("unknown argument {other}; usage: fake-upstream [--port N] [--quiet]")));
            }
        }
    }
    Ok((port, keep))
}
