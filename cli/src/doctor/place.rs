//! Where a gateway runs: its port, and the files beside it.

use std::{fs, io, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

use gateway::config::{Environment, Local};

use super::Finding;
use crate::api;

/// What `npm run dev` keeps, and the rights that belong to it.
const KEPT: [(&str, u32); 3] = [(".data", 0o700), (".data/admin-token", 0o600), (".data/encryption-key", 0o600)];

/// Looks at the address to listen on, the dashboard's files and the kept secrets.
pub(super) async fn examine(env: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    match Local::read(env) {
        Err(error) => {
            let cure = "Set HOST to an IP address and PORT to a number up to 65535, or leave them out";
            findings.push(Finding::fault("port", error.to_string(), cure));
        }
        Ok(local) => {
            findings.push(port(&local).await);
            findings.push(dashboard(&local.public_dir));
        }
    }
    findings.extend(KEPT.iter().filter_map(|(path, rights)| kept(Path::new(path), *rights)));
    findings
}

async fn port(local: &Local) -> Finding {
    let Local { host, port, .. } = local;
    match TcpListener::bind((*host, *port)) {
        Ok(_) => Finding::good("port", format!("{host}:{port} is free")),
        Err(why) if why.kind() == io::ErrorKind::AddrInUse => match api::gateway_here(local).await {
            Some(version) => Finding::good("port", format!("a gateway (version {version}) serves on {host}:{port}")),
            None => {
                let cure =
                    format!("Stop it, or choose another: PORT={} llm-gateway serve", port.wrapping_add(1).max(1024));
                Finding::fault("port", format!("another program listens on {host}:{port}"), cure)
            }
        },
        Err(why) => {
            let cure =
                "Set HOST to an address of this machine (127.0.0.1, or 0.0.0.0 for all) and PORT to one from 1024 on";
            Finding::fault("port", format!("{host}:{port} cannot be listened on: {why}"), cure)
        }
    }
}

fn dashboard(folder: &Path) -> Finding {
    if folder.join("index.html").is_file() {
        return Finding::good("dashboard", format!("its files are in {}", folder.display()));
    }
    let cure = "Start where public/ is, or set PUBLIC_DIR to it";
    Finding::note("dashboard", format!("{} holds no index.html: there will be no dashboard", folder.display()), cure)
}

/// `None` where nothing is kept.
fn kept(path: &Path, rights: u32) -> Option<Finding> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let shown = path.display();
    Some(if mode & 0o077 == 0 {
        Finding::good("files", format!("{shown} is for its owner alone"))
    } else {
        let found = format!("others may open {shown} (its rights are {mode:03o}), and with it every account");
        Finding::fault(
            "files",
            found,
            format!("chmod {rights:o} {shown}; if others use this machine, change the secrets"),
        )
    })
}
