//! `[socket]`: the Unix socket of a daemon, the same section in both configurations but for the default of its path, and for
//! `default_scopes`, which only a sidecar has.

use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer};

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::cli::config::peer::ScopeName;
use crate::helper::arguments::SIDECAR_SOCKET;

/// The path of the primary's socket if the configuration names none.
pub const PRIMARY_SOCKET: &str = "/run/sidegate-primary/api.sock";
/// The path of the mirror's socket if the configuration names none.
pub const MIRROR_SOCKET: &str = "/run/sidegate-mirror/api.sock";
/// `sockaddr_un` has room for 108 bytes; the last one is a zero.
const MAX_PATH_BYTES: usize = 107;
const DEFAULT_MODE: u32 = 0o660;
const DEFAULT_SCOPES: [ScopeName; 2] = [ScopeName::Keys, ScopeName::Shell];

/// The section, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketConfig {
    /// The path of the socket.
    pub path: PathBuf,
    /// The mode of the socket's file.
    pub mode: u32,
    /// The name of the group of the socket's file; `None` is the daemon's own group.
    pub group: Option<String>,
    /// What whoever can open the socket may ask, without being named in a `[[peer]]`. A primary's are always the default.
    pub default_scopes: Vec<ScopeName>,
}

/// The section of a sidecar as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSidecarSocket {
    #[serde(deserialize_with = "parse::optional_absolute_path")]
    path: Option<PathBuf>,
    #[serde(deserialize_with = "parse::optional_mode")]
    mode: Option<u32>,
    #[serde(deserialize_with = "parse::optional_text")]
    group: Option<String>,
    default_scopes: Option<Vec<ScopeName>>,
}

/// The section of a primary, or of a mirror, as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawPrimarySocket {
    #[serde(deserialize_with = "parse::optional_absolute_path")]
    path: Option<PathBuf>,
    #[serde(deserialize_with = "parse::optional_mode")]
    mode: Option<u32>,
    #[serde(deserialize_with = "parse::optional_text")]
    group: Option<String>,
}

impl From<RawSidecarSocket> for SocketConfig {
    fn from(raw: RawSidecarSocket) -> Self {
        Self {
            path: raw.path.unwrap_or_else(|| SIDECAR_SOCKET.into()),
            mode: raw.mode.unwrap_or(DEFAULT_MODE),
            group: raw.group,
            default_scopes: raw.default_scopes.unwrap_or_else(|| DEFAULT_SCOPES.to_vec()),
        }
    }
}

impl RawPrimarySocket {
    fn or_path(self, default: &str) -> SocketConfig {
        SocketConfig {
            path: self.path.unwrap_or_else(|| default.into()),
            mode: self.mode.unwrap_or(DEFAULT_MODE),
            group: self.group,
            default_scopes: DEFAULT_SCOPES.to_vec(),
        }
    }
}

impl SocketConfig {
    /// Returns the sidecar's section if none is written.
    pub fn sidecar_default() -> Self {
        RawSidecarSocket::default().into()
    }

    /// Returns the primary's section if none is written.
    pub fn primary_default() -> Self {
        RawPrimarySocket::default().or_path(PRIMARY_SOCKET)
    }

    /// Returns the mirror's section if none is written.
    pub fn mirror_default() -> Self {
        RawPrimarySocket::default().or_path(MIRROR_SOCKET)
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
    RawSidecarSocket::deserialize(from).map(SocketConfig::from)
}

/// Deserializes the section of a primary's configuration.
pub fn primary<'de, D: Deserializer<'de>>(from: D) -> Result<SocketConfig, D::Error> {
    RawPrimarySocket::deserialize(from).map(|section| section.or_path(PRIMARY_SOCKET))
}

/// Deserializes the section of a mirror's configuration.
pub fn mirror<'de, D: Deserializer<'de>>(from: D) -> Result<SocketConfig, D::Error> {
    RawPrimarySocket::deserialize(from).map(|section| section.or_path(MIRROR_SOCKET))
}
