//! Minutes counted in Redis: by both ways to it, exactly, and with Postgres behind it.

mod away;
mod exact;
mod wire;
mod work;

use serde_json::json;

use crate::support::{App, Instance, Redis, TOKEN, Upstash, eventually};

/// What the gateway has Redis do.
const SCRIPT: &str = include_str!("../../../src/windows/minutes.lua");

/// A machine that has too much to do is not to be taken for a Redis that is away.
const PATIENT: (&str, &str) = ("REDIS_TIMEOUT_MS", "60000");

/// How the gateway reaches Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rest,
    Tcp,
}

/// A gateway with a redis-server, behind Upstash's API or without.
struct House {
    app: App,
    redis: Redis,
    upstash: Upstash,
    way: Way,
}

impl House {
    /// With one account of each provider.
    async fn ready(way: Way) -> Self {
        let house = Self::start(way).await;
        house.app.account("anthropic", "sk-ant-one", json!({})).await;
        house
    }

    async fn start(way: Way) -> Self {
        let redis = Redis::start().await;
        let upstash = Upstash::before(&redis).await;
        let variables = variables(way, &redis, &upstash);
        let borrowed: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self { app: App::start_with(&borrowed).await, redis, upstash, way }
    }

    /// Another instance on the same database and the same Redis.
    async fn neighbour(&self) -> Instance {
        self.neighbour_with(PATIENT).await
    }

    /// The same, with one more environment variable.
    async fn neighbour_with(&self, more: (&'static str, &str)) -> Instance {
        let mut variables = variables(self.way, &self.redis, &self.upstash);
        variables.push((more.0, more.1.to_owned()));
        let borrowed: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Instance::start(&self.app.database.url, &borrowed).await
    }

    /// So many instances, besides the first.
    async fn crowd(&self, instances: usize) -> Vec<Instance> {
        let mut crowd = Vec::new();
        for _ in 0..instances {
            crowd.push(self.neighbour().await);
        }
        crowd
    }

    /// How many requests and corrections Postgres has counted by the minute.
    async fn counted_in_postgres(&self) -> i64 {
        let sql = "(select count(*) from key_minutes) + (select count(*) from minutes)";
        self.app.database.number(sql).await
    }

    /// Waits until the key and the account count what the only request has really used, and tells it: the correction of
    /// an estimate reaches Redis after the row is written. Both must have a limit of tokens.
    async fn tokens_are_what_was_used(&self) -> i64 {
        let row = self.app.only_row().await;
        let used = row["input_tokens"].as_i64().unwrap() + row["output_tokens"].as_i64().unwrap();
        let corrected = || async { (self.redis.tokens().await == 2 * used).then_some(()) };
        eventually("the key and the account count what was used", corrected).await;
        used
    }
}

fn variables(way: Way, redis: &Redis, upstash: &Upstash) -> Vec<(&'static str, String)> {
    let mut variables = match way {
        Way::Tcp => vec![("REDIS_URL", redis.url())],
        Way::Rest => vec![
            ("UPSTASH_REDIS_REST_URL", format!("http://{}", upstash.address)),
            ("UPSTASH_REDIS_REST_TOKEN", TOKEN.to_owned()),
        ],
    };
    variables.push((PATIENT.0, PATIENT.1.to_owned()));
    variables
}
