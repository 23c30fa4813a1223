//! Debian's redis-server for one test, which can be killed and comes back empty at the same address.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use redis::{AsyncConnectionConfig, FromRedisValue, aio::MultiplexedConnection};

use super::{Certificates, Instance, eventually};

/// The password of every server under test, which no log may hold.
pub(crate) const PASSWORD: &str = "planted-redis-password-0a1b2c3d";

/// A running redis-server.
pub(crate) struct Redis {
    port: u16,
    child: Child,
    /// The certificate that it shows; then it speaks nothing but TLS.
    tls: Option<Certificates>,
}

impl Redis {
    /// Starts one. A missing program fails the test: it never skips.
    pub(crate) async fn start() -> Self {
        let port = free_port();
        let mut redis = Self { port, child: spawn(port, None), tls: None };
        redis.answers().await;
        redis
    }

    /// Starts one that speaks nothing but TLS.
    pub(crate) async fn with_tls(certificates: Certificates) -> Self {
        let port = free_port();
        let mut redis = Self { port, child: spawn(port, Some(&certificates)), tls: Some(certificates) };
        redis.answers().await;
        redis
    }

    /// What `REDIS_URL` is set to.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://:{PASSWORD}@localhost:{}", self.port)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child of ours");
    }

    /// Starts it again, with nothing in it.
    pub(crate) async fn revive(&mut self) {
        self.child = spawn(self.port, self.tls.as_ref());
        self.answers().await;
    }

    /// Asks it something, past the gateway.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection().await.expect("redis-server answers");
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.expect("a good command")
    }

    /// The keys that hold the requests or the tokens of anybody.
    pub(crate) async fn keys(&self, what: &str) -> Vec<String> {
        self.ask(&["KEYS", &format!("llm-gateway:*:{what}")]).await
    }

    /// How many requests are counted now, of all keys and accounts.
    pub(crate) async fn requests(&self) -> usize {
        let mut requests = 0;
        for key in self.keys("requests").await {
            requests += self.ask::<usize>(&["ZCARD", &key]).await;
        }
        requests
    }

    /// How many tokens are counted now, of all keys and accounts.
    pub(crate) async fn tokens(&self) -> i64 {
        let mut tokens = 0;
        for key in self.keys("tokens").await {
            tokens += self.ask::<Vec<i64>>(&["HVALS", &key]).await.into_iter().sum::<i64>();
        }
        tokens
    }

    /// Moves all that is counted so many seconds into the past.
    pub(crate) async fn age(&self, seconds: u32) {
        for key in self.keys("requests").await {
            for id in self.ask::<Vec<String>>(&["ZRANGE", &key, "0", "-1"]).await {
                let _score: f64 = self.ask(&["ZINCRBY", &key, &format!("-{seconds}000"), &id]).await;
            }
        }
    }

    /// A connection of its own; `None`: it does not answer.
    pub(crate) async fn connection(&self) -> Option<MultiplexedConnection> {
        let client = match &self.tls {
            None => redis::Client::open(self.url()),
            Some(certificates) => {
                let root_cert = std::fs::read(certificates.authority()).ok();
                let trusted = redis::TlsCertificates { client_tls: None, root_cert };
                redis::Client::build_with_tls(self.url(), trusted)
            }
        };
        connect(&client.expect("a good URL")).await.ok()
    }

    async fn answers(&mut self) {
        eventually("redis-server answers", || async { self.connection().await }).await;
        assert!(self.child.try_wait().expect("a child of ours").is_none(), "redis-server has ended");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Without the client's own limits: whoever waits for it has one.
pub(super) async fn connect(client: &redis::Client) -> redis::RedisResult<MultiplexedConnection> {
    let unlimited = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&unlimited).await
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

fn spawn(port: u16, tls: Option<&Certificates>) -> Child {
    let port = port.to_string();
    let mut command = Command::new("redis-server");
    match tls {
        None => command.args(["--port", &port]),
        Some(certificates) => {
            let (certificate, key, authority) =
                (certificates.leaf(), certificates.leaf_key(), certificates.authority());
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &authority])
        }
    };
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", PASSWORD]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("redis-server is installed, such as by `apt-get install redis-server`")
}

/// What an instance's health says of Redis.
pub(crate) async fn said_of_redis(instance: &Instance) -> String {
    super::health(instance).await["redis"].as_str().expect("a word").to_owned()
}
