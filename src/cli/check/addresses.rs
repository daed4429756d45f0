//! The TCP addresses at which a daemon is read or told: may it listen there, and who reaches it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::findings::Findings;
use crate::cli::config::metrics::{MetricsConfig, WARNING_REMEDY};

/// Finds an address of metrics that others than this host reach, or that the daemon may not use.
pub fn check_metrics(metrics: &MetricsConfig, daemon: &DaemonUser, found: &mut Findings) {
    let Some(address) = metrics.listen else { return };
    if let Some(warning) = metrics.warning() {
        found.warn(warning, WARNING_REMEDY);
    }
    daemon.act(|| check_free("metrics", "metrics.listen", address, found));
}

/// Finds an address that a daemon may not use. One that is taken is, while the daemon runs, its own.
pub fn check_free(what: &str, key: &str, address: SocketAddr, found: &mut Findings) {
    match TcpListener::bind(address) {
        Ok(_) => found.ok(format!("{what}: {address} is free; the daemon will listen there")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            found.ok(format!("{what}: {address} is taken, by the daemon if it runs; if it does not, `ss -ltnp` says by whom"));
        }
        Err(error) => found.fail(format!("{key}: {address}: {error}"), "give an address of this host, and a port that the daemon may use"),
    }
}
