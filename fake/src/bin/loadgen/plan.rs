//! What the load generator is told to do.

use std::{net::SocketAddr, time::Duration};

use serde::Deserialize;

/// Stands for the number of the connection in the head of a request.
const CONNECTION: &str = "{connection}";
/// Stands for the connection's key.
const KEY: &str = "{key}";

/// One run against one server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// The path of every request, which is a POST.
    pub(crate) path: String,
    /// The headers besides `host` and `content-length`; `{connection}` in a value is the number of the connection, and `{key}`
    /// its key.
    pub(crate) headers: Vec<(String, String)>,
    /// The keys, which connections take in turn.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
    /// The body of every request.
    pub(crate) body: String,
    /// How the requests come.
    pub(crate) load: Load,
    /// What is sent in so many first milliseconds is checked, but not measured.
    #[serde(default)]
    pub(crate) warm_up_ms: u64,
    /// The body that every answer must have, in the pieces in which the upstream sends it.
    pub(crate) expect: Vec<String>,
}

/// How requests come.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Load {
    /// On each of so many connections the next one when the last is answered, for so long after the warm-up.
    Closed { connections: u32, measure_ms: u64 },
    /// So many a second, whether or not others are answered, for so long after the warm-up.
    Open { per_second: u32, measure_ms: u64 },
    /// So many, begun evenly over this time, each on a connection of its own.
    Together { count: u32, ramp_ms: u64 },
}

impl Plan {
    /// The request, ready to be written to this connection.
    pub(crate) fn request(&self, connection: u32) -> Vec<u8> {
        let mut head = format!("POST {} HTTP/1.1\r\nhost: {}\r\n", self.path, self.address);
        let key = self.keys.get(connection as usize % self.keys.len().max(1)).map_or("", String::as_str);
        for (name, value) in &self.headers {
            let value = value.replace(CONNECTION, &connection.to_string()).replace(KEY, key);
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), self.body.as_bytes()].concat()
    }

    /// Requests whose number and times are known beforehand: how many, and the time between two of them.
    pub(crate) fn schedule(&self) -> Option<(u32, Duration)> {
        match self.load {
            Load::Closed { .. } => None,
            Load::Open { per_second, measure_ms } => {
                let count = u64::from(per_second) * (self.warm_up_ms + measure_ms) / 1_000;
                Some((u32::try_from(count).unwrap_or(u32::MAX), Duration::from_secs(1) / per_second.max(1)))
            }
            Load::Together { count, ramp_ms } => Some((count, Duration::from_millis(ramp_ms) / count.max(1))),
        }
    }
}
