//! `[socket]`: the Unix socket of a daemon, the same section in both configurations but for the default of its path.

use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer};

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::helper::arguments::SIDECAR_SOCKET;

/// The path of the primary's socket if the configuration names none.
pub const PRIMARY_SOCKET: &str = "/run/sidegate-primary/api.sock";
/// `sockaddr_un` has room for 108 bytes; the last one is a zero.
const MAX_PATH_BYTES: usize = 107;

/// The section, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// The path of the socket.
    pub path: PathBuf,
    /// The mode of the socket's file.
    pub mode: u32,
    /// The name of the group of the socket's file; `None` is the daemon's own group.
    pub group: Option<String>,
}

/// The section as it is written.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSocket {
    #[serde(deserialize_with = "parse::optional_absolute_path")]
    path: Option<PathBuf>,
    #[serde(deserialize_with = "parse::mode")]
    mode: u32,
    #[serde(deserialize_with = "parse::optional_text")]
    group: Option<String>,
}

impl Default for RawSocket {
    fn default() -> Self {
        Self { path: None, mode: 0o660, group: None }
    }
}

impl RawSocket {
    fn or_path(self, default: &str) -> SocketConfig {
        SocketConfig { path: self.path.unwrap_or_else(|| default.into()), mode: self.mode, group: self.group }
    }
}

impl SocketConfig {
    /// Returns the sidecar's section if none is written.
    pub fn sidecar_default() -> Self {
        RawSocket::default().or_path(SIDECAR_SOCKET)
    }

    /// Returns the primary's section if none is written.
    pub fn primary_default() -> Self {
        RawSocket::default().or_path(PRIMARY_SOCKET)
    }

    pub fn validate(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::ensure(
            self.path.as_os_str().len() <= MAX_PATH_BYTES,
            "socket.path",
            format!("a socket's path has at most {MAX_PATH_BYTES} bytes"),
        )
    }
}

/// Deserializes the section of a sidecar's configuration.
pub fn sidecar<'de, D: Deserializer<'de>>(from: D) -> Result<SocketConfig, D::Error> {
    RawSocket::deserialize(from).map(|section| section.or_path(SIDECAR_SOCKET))
}

/// Deserializes the section of a primary's configuration.
pub fn primary<'de, D: Deserializer<'de>>(from: D) -> Result<SocketConfig, D::Error> {
    RawSocket::deserialize(from).map(|section| section.or_path(PRIMARY_SOCKET))
}
