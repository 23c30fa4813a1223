//! Plays Vercel's platform to one compiled function, for the benchmark: `platform serve SOCKET PROGRAM` keeps it running and
//! counts the invocations that it ends; `platform start SOCKET PROGRAM` times it from exec to the first byte of an answer.

mod function;

use std::{
    env,
    ffi::OsString,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use function::Function;

/// A function that takes longer for anything is a fault.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let given: Vec<OsString> = env::args_os().skip(1).collect();
    let done = match &given[..] {
        [word, socket, program] if word == "serve" => serve(Path::new(socket), Path::new(program)),
        [word, socket, program] if word == "start" => start(Path::new(socket), Path::new(program)),
        _ => Err(io::Error::other("say serve or start, the path for a socket, and a function's program")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is gone, the exit code has to do.
            let _ = writeln!(io::stderr(), "platform: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says where the function listens; then, for each line of standard input, how many invocations have ended. The end of standard
/// input is the function's end.
fn serve(socket: &Path, program: &Path) -> io::Result<()> {
    let function = Function::start(socket, program, PATIENCE)?;
    writeln!(io::stdout(), "platform listening on http://127.0.0.1:{}", function.port)?;
    for line in io::stdin().lines() {
        line?;
        writeln!(io::stdout(), "{}", function.ended())?;
    }
    Ok(())
}

/// Reads a whole HTTP request from standard input, and prints `{ started_micros, answered_micros, status }`, both counted from
/// exec. The function has then ended the invocation.
fn start(socket: &Path, program: &Path) -> io::Result<()> {
    let mut request = Vec::new();
    io::stdin().read_to_end(&mut request)?;
    let began = Instant::now();
    let function = Function::start(socket, program, PATIENCE)?;
    let started = began.elapsed();
    let mut wire = TcpStream::connect(("127.0.0.1", function.port))?;
    wire.set_nodelay(true)?;
    wire.set_read_timeout(Some(PATIENCE))?;
    wire.write_all(&request)?;
    let mut head = [0; 12];
    wire.read_exact(&mut head)?;
    let answered = began.elapsed();
    let status = String::from_utf8_lossy(&head[9..]).into_owned();
    function.wait_for_end(PATIENCE)?;
    let (started, answered) = (started.as_micros(), answered.as_micros());
    writeln!(io::stdout(), r#"{{"started_micros":{started},"answered_micros":{answered},"status":"{status}"}}"#)
}
