//! A load generator that costs next to nothing itself: reads a plan from standard input, carries it out, and prints what it
//! measured, both as JSON. Every answer is compared with what the plan says it must be.

mod expected;
mod load;
mod plan;
mod report;
mod wire;

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

/// One thread: what it measures shares the machine with it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is gone, the exit code has to do.
            let _ = writeln!(io::stderr(), "loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> io::Result<()> {
    let mut plan = String::new();
    io::stdin().read_to_string(&mut plan)?;
    let report = load::carry_out(serde_json::from_str(&plan)?).await?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)
}
