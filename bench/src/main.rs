//! The pieces that every request goes through, each by itself and always on the same input: `hot list` names them,
//! `hot run NAME TIMES` runs one, for a tool that counts its instructions, and `hot time` times all of them.

mod conversations;
mod pieces;
mod rows;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use pieces::{PIECES, Piece};

/// A piece is timed in so many bouts, each about so long; the median counts.
const BOUTS: usize = 15;
const BOUT: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let said = match words[..] {
        ["list"] => list(),
        ["run", name, times] => run(name, times),
        ["time"] => time(),
        _ => Err(io::Error::other("say list, run NAME TIMES or time")),
    };
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is gone, the exit code has to do.
            let _ = writeln!(io::stderr(), "hot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> io::Result<()> {
    PIECES.iter().try_for_each(|(name, _)| writeln!(io::stdout(), "{name}"))
}

fn run(name: &str, times: &str) -> io::Result<()> {
    let (_, make) = PIECES.iter().find(|(known, _)| *known == name).ok_or_else(|| io::Error::other("no such piece"))?;
    let times: u32 = times.parse().map_err(io::Error::other)?;
    let mut piece = make();
    (0..times).for_each(|_| piece());
    Ok(())
}

/// One JSON object: nanoseconds by the name of the piece.
fn time() -> io::Result<()> {
    let times: serde_json::Map<_, _> =
        PIECES.iter().map(|(name, make)| ((*name).to_owned(), nanoseconds(&mut make()).into())).collect();
    writeln!(io::stdout(), "{}", serde_json::Value::Object(times))
}

fn nanoseconds(piece: &mut Piece) -> u64 {
    let bout = |piece: &mut Piece, times: u32| {
        let began = Instant::now();
        (0..times).for_each(|_| piece());
        began.elapsed()
    };
    let first = bout(piece, 3) / 3;
    let times = u32::try_from(BOUT.as_nanos() / first.as_nanos().max(1)).unwrap_or(u32::MAX).max(1);
    let mut bouts: Vec<_> = (0..BOUTS).map(|_| bout(piece, times) / times).collect();
    bouts.sort_unstable();
    u64::try_from(bouts[BOUTS / 2].as_nanos()).unwrap_or(u64::MAX)
}
