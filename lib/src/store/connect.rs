//! Connections to Postgres: the URL made fit for the driver, TLS, and pools that answer in time.

use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use super::lanes::PATIENCE;
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    tls,
};

/// What the driver knows of a URL's query. Others, such as `pgbouncer=true`, are for other drivers and left out.
const KNOWN: [&str; 10] = [
    "sslmode",
    "channel_binding",
    "connect_timeout",
    "options",
    "application_name",
    "target_session_attrs",
    "sslnegotiation",
    "host",
    "user",
    "password",
];

/// A pool of at most `size` connections.
pub(crate) fn pool(url: &Secret, size: usize) -> Result<Pool> {
    let (config, tls) = read_url(url)?;
    let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    Pool::builder(manager)
        .max_size(size)
        // The one that was used last has its plans at hand.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .build()
        .map_err(Error::internal)
}

/// The driver's settings, and the TLS that certificates are checked with.
pub(crate) fn read_url(url: &Secret) -> Result<(tokio_postgres::Config, MakeRustlsConnect)> {
    let (base, query) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
    let mut root_file = None;
    let mut kept = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (name.as_ref(), value.as_ref()) {
            // The roots that browsers trust, which are there anyway.
            ("sslrootcert", "system") => {}
            ("sslrootcert", file) => root_file = Some(file.to_owned()),
            // The certificate and its host name are checked under every mode that uses TLS.
            ("sslmode", "verify-full" | "verify-ca") => drop(kept.append_pair("sslmode", "require")),
            ("sslmode", "allow") => drop(kept.append_pair("sslmode", "prefer")),
            (name, value) if KNOWN.contains(&name) => drop(kept.append_pair(name, value)),
            _ => {}
        }
    }
    let invalid = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Kind::Unavailable, "DATABASE_URL is not a PostgreSQL URL").with_source(source)
    };
    // The driver reads `+` as a plus sign, not as a space.
    let query = kept.finish().replace('+', "%20");
    let mut config: tokio_postgres::Config = format!("{base}?{query}").parse().map_err(|e| invalid(Box::new(e)))?;
    config.application_name("llm-gateway").connect_timeout(PATIENCE).tcp_user_timeout(PATIENCE);
    Ok((config, MakeRustlsConnect::new(certificates(root_file.as_deref())?)))
}

fn certificates(root_file: Option<&str>) -> Result<ClientConfig> {
    let mut roots = tls::web_roots();
    if let Some(file) = root_file {
        let unreadable = |source: rustls::pki_types::pem::Error| {
            Error::new(Kind::Unavailable, "the sslrootcert of DATABASE_URL cannot be read")
                .with_source(source.to_string())
        };
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?).map_err(Error::internal)?;
        }
    }
    Ok(tls::client_config(roots))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::*;

    fn check(url: &str, expect: SslMode) {
        let (config, _) = read_url(&Secret::new(url)).unwrap();
        assert_eq!(config.get_ssl_mode(), expect, "{url}");
        assert_eq!(config.get_dbname(), Some("gateway"), "{url}");
    }

    #[test]
    fn urls_of_other_drivers_are_understood() {
        check("postgres://u:p@db/gateway", SslMode::Prefer);
        check("postgresql://u:p@db/gateway?sslmode=require&channel_binding=require", SslMode::Require);
        check("postgres://u:p@db/gateway?sslmode=verify-full&pgbouncer=true&pool_timeout=20", SslMode::Require);
        check("postgres://u:p@db/gateway?sslmode=disable&supa=base-pooler.x", SslMode::Disable);
        check("postgresql://gateway@%2Ftmp%2Fsocket/gateway", SslMode::Prefer);
    }

    #[test]
    fn nonsense_is_told_without_the_url() {
        let error = read_url(&Secret::new("mysql://u:hunter2@db")).err().unwrap();
        assert_eq!(error.message, "DATABASE_URL is not a PostgreSQL URL");
    }
}
