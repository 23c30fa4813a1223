//! One instance of a function: its process, its port, and the socket on which it tells how it is.

use std::{
    io::{self, BufRead, BufReader},
    net::TcpListener,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

/// A running instance; dropping it ends it.
pub(crate) struct Function {
    /// Where it listens, on the loopback interface.
    pub(crate) port: u16,
    process: Child,
    ended: Arc<AtomicU64>,
    /// Tells of each end.
    ends: Receiver<()>,
}

impl Function {
    /// Starts it, and waits until it says that it serves.
    pub(crate) fn start(socket: &Path, program: &Path, within: Duration) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let port = free_port()?;
        let (ready, started) = mpsc::channel();
        let (end, ends) = mpsc::channel();
        let ended = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&ended);
        thread::spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                hear(stream, &ready, &end, &counter);
            }
        });
        let mut command = Command::new(program);
        command.env("VERCEL", "1").env("VERCEL_REGION", "iad1").env("VERCEL_IPC_PATH", socket);
        // What it prints is not for whoever listens to the platform.
        let process = command.env("VERCEL_DEV_PORT", port.to_string()).stdout(Stdio::null()).spawn()?;
        // From here on it is ended with `function`.
        let function = Self { port, process, ended, ends };
        started.recv_timeout(within).map_err(|_| io::Error::other("the function did not start"))?;
        Ok(function)
    }

    /// How many invocations have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits for the next end of an invocation.
    pub(crate) fn wait_for_end(&self, within: Duration) -> io::Result<()> {
        self.ends.recv_timeout(within).map_err(|_| io::Error::other("the function did not end the invocation"))
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Frames are JSON, each ended by a NUL byte.
fn hear(stream: UnixStream, ready: &Sender<()>, end: &Sender<()>, counter: &AtomicU64) {
    let is = |frame: &[u8], kind: &[u8]| frame.starts_with(&[br#"{"type":""#, kind, b"\""].concat());
    for frame in BufReader::new(stream).split(0).map_while(Result::ok) {
        // Nobody need wait for either.
        if is(&frame, b"server-started") {
            let _ = ready.send(());
        } else if is(&frame, b"end") {
            counter.fetch_add(1, Ordering::Relaxed);
            let _ = end.send(());
        }
    }
}

/// Below the ephemeral ports, which any outgoing connection may take before the function does.
fn free_port() -> io::Result<u16> {
    let first = 10_000 + u16::try_from(std::process::id() % 20_000).unwrap_or(0);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..first + 1_000).find(free).ok_or_else(|| io::Error::other("no port is free"))
}
