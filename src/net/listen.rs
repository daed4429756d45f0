//! Listening sockets: made without a moment in which they are open to the wrong people, or handed over by systemd.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A socket that listens. Its Unix path, if we made it, is removed when the daemon ends.
pub struct Listening {
    _inner: (),
}

/// Why a socket could not be made; each names it and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{socket}: {reason}")]
pub struct BindRefused {
    /// Its path or address.
    pub socket: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Binds a Unix socket: made in a private folder beside, given mode and group, then renamed into place. Refuses a symlink, a path
/// of more than 107 bytes, a file that is no socket, and a socket that somebody still answers on. Backlog 4096.
pub fn unix(_path: &Path, _mode: u32, _group: Option<u32>) -> Result<Listening, BindRefused> {
    todo!()
}

/// The sockets that systemd handed over (`LISTEN_FDS`), Unix or TCP. Call before any thread starts. Empty if there are none.
pub fn inherited() -> Result<Vec<Listening>, BindRefused> {
    todo!()
}

/// Binds TCP; without `tls` only on a loopback address.
pub fn tcp(_address: SocketAddr, _tls: Option<Arc<rustls::ServerConfig>>) -> Result<Listening, BindRefused> {
    todo!()
}

/// TLS 1.2 and 1.3 out of PEM files.
pub fn tls(_certificates: &Path, _key: &Path) -> Result<Arc<rustls::ServerConfig>, BindRefused> {
    todo!()
}

impl Listening {
    /// Where, for people.
    #[must_use]
    pub fn name(&self) -> String {
        todo!()
    }

    /// The Unix path, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        todo!()
    }

    /// The TCP address really bound (a port 0 was replaced).
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        todo!()
    }
}
