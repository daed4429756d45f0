//! The sockets of a daemon, as systemd hands them over or as its configuration says.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::config::metrics::{MetricsConfig, WARNING_REMEDY};
use crate::cli::config::primary::ListenConfig;
use crate::cli::config::socket::SocketConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::ids;
use crate::net::server::certificate::ServerCertificate;
use crate::net::server::listen::{self, BoundSocket};

/// Returns the sockets that systemd handed over, or a Unix socket of our own; and a TCP socket if the configuration has a `[listen]`.
pub fn open(
    inherited: Vec<BoundSocket>,
    socket: &SocketConfig,
    network: Option<(&ListenConfig, Option<&Arc<ServerCertificate>>)>,
) -> Result<Vec<BoundSocket>, CommandError> {
    let mut sockets = inherited;
    if sockets.is_empty() {
        let group = socket.group.as_deref().map(ids::group_id).transpose()?;
        sockets.push(listen::bind_unix(&socket.path, socket.mode, group).map_err(CommandError::new)?);
    }
    if let Some((network, certificate)) = network {
        let tls = certificate.map(ServerCertificate::tls_config).transpose().map_err(CommandError::new)?;
        sockets.push(listen::bind_tcp(network.address, tls).map_err(CommandError::new)?);
    }
    Ok(sockets)
}

/// Loads the certificate of an address, if it speaks TLS.
pub fn load_certificate(tls: Option<(&PathBuf, &PathBuf)>) -> Result<Option<Arc<ServerCertificate>>, CommandError> {
    tls.map(|(chain, key)| ServerCertificate::load(chain, key)).transpose().map_err(CommandError::new)
}

/// Returns the socket at which metrics are read, if the configuration has one. Warns of one that others than this host reach.
pub fn open_metrics(metrics: &MetricsConfig) -> Result<Option<BoundSocket>, CommandError> {
    if let Some(warning) = metrics.warning() {
        tracing::warn!("{warning}; {WARNING_REMEDY}");
    }
    metrics.listen.map(listen::bind_public_tcp).transpose().map_err(|error| CommandError::with_context("metrics.listen", error))
}
