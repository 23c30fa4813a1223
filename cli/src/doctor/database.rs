//! The database: whether it can be had, whether it is fit, and how far away it is.

use std::time::Duration;

use gateway::{
    Secret,
    config::{Environment, database_url, migration_url},
    store::{Examined, LATEST_SCHEMA, OLDEST_SERVER, Unfit, examine as look},
};

use super::Finding;

/// Every request waits for one round trip; beyond this it is felt.
const FAR: Duration = Duration::from_millis(20);
/// Leases and limits go by the database's clock, expiries and cooldowns by ours.
const CLOCK_NOTE: f64 = 1.0;
const CLOCK_FAULT: f64 = 5.0;

/// What was found, and whether the schema is one that this program can work on.
pub(super) async fn examine(env: &Environment) -> (Vec<Finding>, bool) {
    let url = match database_url(env) {
        Ok(url) => url,
        Err(error) => {
            let cure = "Set DATABASE_URL to postgresql://USER:PASSWORD@HOST/DATABASE, as your provider shows it";
            return (vec![Finding::fault("database", error.to_string(), cure)], false);
        }
    };
    let mut findings = Vec::new();
    let schema_fits = match look(&url).await {
        Err(unfit) => {
            findings.push(away("database", "DATABASE_URL", &unfit));
            false
        }
        Ok(database) => {
            findings.extend(server(&database));
            findings.push(schema(database.schema));
            findings.push(clock(database.clock_ahead));
            database.schema >= LATEST_SCHEMA
        }
    };
    findings.extend(around_the_pooler(env, &url).await);
    (findings, schema_fits)
}

fn server(database: &Examined) -> Vec<Finding> {
    let Examined { server, read_only, connected_in, round_trip, .. } = database;
    let mut findings = Vec::new();
    if *server < OLDEST_SERVER {
        let cure = format!("Move to PostgreSQL {OLDEST_SERVER} or newer");
        findings.push(Finding::fault("database", format!("it is PostgreSQL {server}, which is too old"), cure));
    } else {
        let found = format!("PostgreSQL {server} answers (connected in {})", millis(*connected_in));
        findings.push(Finding::good("database", found));
    }
    if *read_only {
        let cure = "Point DATABASE_URL to the primary, or lift default_transaction_read_only";
        findings.push(Finding::fault("database", "it only reads: a replica, or a database that is out of space", cure));
    }
    findings.push(if *round_trip > FAR {
        let cure =
            "Every request waits for one: run the gateway where the database is (on Vercel: the function region)";
        Finding::note("latency", format!("a statement takes {}", millis(*round_trip)), cure)
    } else {
        Finding::good("latency", format!("a statement takes {}", millis(*round_trip)))
    });
    findings
}

fn schema(version: i32) -> Finding {
    match version {
        LATEST_SCHEMA => Finding::good("schema", format!("at version {version}, the newest")),
        0 => Finding::note(
            "schema",
            "the database is empty",
            "Run `llm-gateway migrate`; `serve` does it with its first request",
        ),
        older if older < LATEST_SCHEMA => {
            let found = format!("at version {older}, behind {LATEST_SCHEMA}");
            Finding::fault("schema", found, "Run `llm-gateway migrate`; old programs go on working on the new schema")
        }
        newer => {
            let found = format!("at version {newer}, newer than the {LATEST_SCHEMA} that this program knows");
            Finding::note(
                "schema",
                found,
                "Upgrade this program to the version of those that serve; it works until then",
            )
        }
    }
}

fn clock(ahead: f64) -> Finding {
    let off = ahead.abs();
    let word = if ahead > 0.0 { "ahead of" } else { "behind" };
    let found = format!("the database's clock is {off:.1} s {word} this machine's");
    let cure = "Let both keep time by NTP (timedatectl set-ntp true): limits, cooldowns and expiries go by it";
    match off {
        off if off >= CLOCK_FAULT => Finding::fault("clock", found, cure),
        off if off >= CLOCK_NOTE => Finding::note("clock", found, cure),
        _ => Finding::good("clock", "this machine and the database agree on the time"),
    }
}

/// Migrations go around the pooler, where there is a way.
async fn around_the_pooler(env: &Environment, pooled: &Secret) -> Option<Finding> {
    let direct = migration_url(env).ok().filter(|direct| direct != pooled);
    let Some(direct) = direct else {
        let seems_pooled = ["-pooler.", ".pooler.", ":6543", ":6432", "pgbouncer=true"];
        let is_pooled = seems_pooled.iter().any(|sign| pooled.expose().contains(sign));
        return is_pooled.then(|| Finding::good("pooler", "DATABASE_URL goes through one, which is fine"));
    };
    Some(match look(&direct).await {
        Ok(_) => Finding::good("pooler", "DATABASE_URL_UNPOOLED leads around it"),
        Err(unfit) => away("pooler", "DATABASE_URL_UNPOOLED", &unfit),
    })
}

fn away(check: &'static str, variable: &str, unfit: &Unfit) -> Finding {
    let (found, cure) = match unfit {
        Unfit::Url(why) => (
            format!("{variable} is not a PostgreSQL URL: {why}"),
            format!("Set {variable} to postgresql://USER:PASSWORD@HOST/DATABASE, as your provider shows it"),
        ),
        Unfit::Away(why) => (
            format!("nothing answers at {variable}: {why}"),
            format!("Start the database; check host, port and sslmode in {variable}, and what is between"),
        ),
        Unfit::Refused => (
            "the user or the password is refused".to_owned(),
            format!("Correct user and password in {variable}; signs such as @ and / are written %40 and %2F in a URL"),
        ),
        Unfit::NoDatabase => (
            "the server has no database of this name".to_owned(),
            format!("Create it (createdb NAME), or correct the name in {variable}"),
        ),
        Unfit::Full => (
            "the server has no connection left".to_owned(),
            format!("Let {variable} go through a pooler, or raise max_connections"),
        ),
        Unfit::Fault(why) => {
            (format!("the database cannot be used: {why}"), format!("Give the user of {variable} what it needs"))
        }
    };
    Finding::fault(check, found, cure)
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
