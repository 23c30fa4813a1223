//! Debian's pgbouncer in front of one test database, in transaction mode; with TLS where a test asks for it.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::net::TcpStream;

use super::{Chaos, Database, eventually};

/// A running pgbouncer.
pub(crate) struct Bouncer {
    pub(crate) port: u16,
    child: Child,
    /// pgbouncer may not enter the test server's folder; this carries its bytes.
    _wire: Chaos,
}

/// A certificate for `localhost`, and the authority that signed it.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Bouncer {
    /// Starts one; `certificates` make TLS the only way in.
    pub(crate) async fn before(database: &Database, certificates: Option<&Certificates>) -> Self {
        let wire = Chaos::before(database).await;
        let folder = temporary_folder("bouncer");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let tls = certificates.map_or_else(String::new, |of| {
            let (key, certificate) = (of.path("leaf.key"), of.path("leaf.pem"));
            format!("client_tls_sslmode = require\nclient_tls_key_file = {key}\nclient_tls_cert_file = {certificate}\n")
        });
        let users = folder.join("users.txt");
        let config: tokio_postgres::Config = database.url.parse().expect("a test URL");
        fs::write(&users, format!("\"{}\" \"\"\n", config.get_user().expect("a user"))).expect("a writable folder");
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 3\n{tls}",
            wire.address.port(),
            users.display(),
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, settings).expect("a writable folder");
        let mut child = command(&file).spawn().expect("pgbouncer is installed, such as by `apt-get install pgbouncer`");
        eventually("pgbouncer listens", || async { TcpStream::connect(("127.0.0.1", port)).await.ok() }).await;
        assert!(child.try_wait().expect("a child of ours").is_none(), "pgbouncer has ended; another took its port");
        Self { port, child, _wire: wire }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// pgbouncer refuses to run as root, and in a namespace of its own nobody is.
fn command(settings: &Path) -> Command {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut command = if root {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-user=1000", "--map-group=1000", "/usr/sbin/pgbouncer"]);
        unshare
    } else {
        Command::new("/usr/sbin/pgbouncer")
    };
    command.arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Certificates {
    /// Makes an authority, and a certificate that it gives to `localhost`.
    pub(crate) fn make() -> Self {
        let made = Self { folder: temporary_folder("certificates") };
        let (key, authority) = (made.path("ca.key"), made.path("ca.pem"));
        let common = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let openssl = |more: &[&str]| {
            let made = Command::new("openssl").args(common).args(more).output().expect("openssl is installed");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        let authority_of = ["-subj", "/CN=test authority", "-addext", "keyUsage=keyCertSign"];
        openssl(&[&["-keyout", &key, "-out", &authority], &authority_of[..]].concat());
        let (leaf_key, leaf) = (made.path("leaf.key"), made.path("leaf.pem"));
        openssl(&[
            "-keyout",
            &leaf_key,
            "-out",
            &leaf,
            "-CA",
            &authority,
            "-CAkey",
            &key,
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        made
    }

    /// The authority's own certificate.
    pub(crate) fn authority(&self) -> String {
        self.path("ca.pem")
    }

    /// The certificate for `localhost`.
    pub(crate) fn leaf(&self) -> String {
        self.path("leaf.pem")
    }

    /// The key of it.
    pub(crate) fn leaf_key(&self) -> String {
        self.path("leaf.key")
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a path of ours").to_owned()
    }
}

/// A folder under cargo's own place for what tests write.
fn temporary_folder(purpose: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{purpose}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("cargo's folder is writable");
    folder
}
