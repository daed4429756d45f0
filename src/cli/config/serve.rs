//! `sidegate.toml`: the configuration of a sidecar.

use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::config::ConfigFile;
use crate::cli::config::document::InvalidSetting;
use crate::cli::config::freshness::FreshnessConfig;
use crate::cli::config::limits::LimitsConfig;
use crate::cli::config::log::LogConfig;
use crate::cli::config::parse;
use crate::cli::config::peer::{self, PeerConfig};
use crate::cli::config::upstream::UpstreamConfig;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// How this host calls itself to its primary; `None`: by its host name.
    #[serde(deserialize_with = "parse::optional_text")]
    pub host: Option<String>,
    /// Where it answers.
    pub socket: SocketConfig,
    /// What callers show.
    pub auth: AuthConfig,
    /// Who may ask what; none: whoever can open the socket.
    pub peer: Vec<PeerConfig>,
    /// Whom it asks and follows.
    pub primary: UpstreamConfig,
    /// Where it keeps what it knows.
    pub store: StoreConfig,
    /// How old an answer may be.
    pub freshness: FreshnessConfig,
    /// The bounds of the socket.
    pub limits: LimitsConfig,
    /// The log.
    pub log: LogConfig,
}

/// `[socket]`: not used when systemd hands the socket over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketConfig {
    /// Where.
    #[serde(deserialize_with = "parse::absolute_path")]
    pub path: PathBuf,
    /// Its mode.
    #[serde(deserialize_with = "parse::mode")]
    pub mode: u32,
    /// Its group; `None`: the daemon's own.
    #[serde(deserialize_with = "parse::optional_text")]
    pub group: Option<String>,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self { path: "/run/sidegate/api.sock".into(), mode: 0o660, group: None }
    }
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// gitlab-shell's secret.
    #[serde(deserialize_with = "parse::path")]
    pub shell_secret_file: PathBuf,
    /// Whether the shared secret of old callers counts.
    pub accept_shared_secret: bool,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self { shell_secret_file: "/etc/sidegate/shell_secret".into(), accept_shared_secret: true }
    }
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Its folder.
    #[serde(deserialize_with = "parse::absolute_path")]
    pub path: PathBuf,
    /// The store's own memory, in bytes.
    #[serde(deserialize_with = "parse::size")]
    pub page_cache: usize,
    /// How many decoded records are kept.
    pub record_cache: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: "/var/lib/sidegate".into(), page_cache: 32 << 20, record_cache: 65_536 }
    }
}

/// A cache below this would only cost.
const MIN_PAGE_CACHE_BYTES: usize = 1 << 20;

pub(super) fn validate_caches(page_cache: usize, record_cache: usize) -> Result<(), InvalidSetting> {
    InvalidSetting::ensure(page_cache >= MIN_PAGE_CACHE_BYTES, "store.page_cache", "at least 1MiB")?;
    InvalidSetting::ensure((1..=100_000_000).contains(&record_cache), "store.record_cache", "from 1 to 100000000")
}

/// A path of a socket is at most 107 bytes long.
pub(super) fn validate_socket_path(path: &std::path::Path) -> Result<(), InvalidSetting> {
    InvalidSetting::ensure(path.as_os_str().len() <= 107, "socket.path", "a socket's path has at most 107 bytes")
}

impl ConfigFile for ServeConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        validate_socket_path(&self.socket.path)?;
        peer::validate(&self.peer)?;
        self.primary.validate()?;
        validate_caches(self.store.page_cache, self.store.record_cache)?;
        self.freshness.validate()?;
        self.limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ServeConfig;
    use crate::cli::config::parse_config;

    fn complaint(text: &str) -> String {
        parse_config::<ServeConfig>(Path::new("sidegate.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse_config(Path::new("x"), ""), Ok(ServeConfig::default()));
    }

    #[test]
    fn every_complaint_names_file_line_and_key() {
        for (text, begins) in [
            ("hots = \"x\"", "sidegate.toml:1: `hots`: unknown field `hots`, expected one of"),
            ("\n[socket]\nmode = 660", "sidegate.toml:3: `socket.mode`: invalid type: integer `660`, expected a mode of four octal digits"),
            ("[socket]\npath = \"api.sock\"", "sidegate.toml:2: `socket.path`: \"api.sock\" is not an absolute path"),
            ("[auth]\nshell_secret_file = \"\"", "sidegate.toml:2: `auth.shell_secret_file`: \"\" is not the path of a file"),
            ("[primary]\ntimeout = \"2\"", "sidegate.toml:2: `primary.timeout`: \"2\" is not a duration"),
            ("[primary]\nfeed = \"gitlab\"", "sidegate.toml:2: `primary.feed`: unknown variant `gitlab`, expected `sidegate` or `none`"),
            ("[freshness]\nkeys = { tll = \"1m\" }", "sidegate.toml:2: `freshness.keys.tll`: unknown field `tll`"),
            ("[freshness.keys]\n\nttl = \"48h\"", "sidegate.toml:3: `freshness.keys.ttl`: an answer cannot be fresh"),
            ("[store]\npage_cache = \"64MB\"", "sidegate.toml:2: `store.page_cache`: \"64MB\" is not a size"),
            ("[store]\nrecord_cache = 0", "sidegate.toml:2: `store.record_cache`: from 1"),
            ("[limits]\nconnections = -1", "sidegate.toml:2: `limits.connections`: invalid value"),
            ("[[peer]]\nuid = 1\nscopes = [\"keys\"]\n[[peer]]\nscopes = [\"keys\"]", "sidegate.toml:4: `peer.1`: names exactly one"),
            ("[[peer]]\nuid = 1\nscopes = [\"key\"]", "sidegate.toml:3: `peer.0.scopes`: unknown variant `key`"),
            ("[log]\ntarget = \"syslog\"", "sidegate.toml:2: `log.target`: unknown variant `syslog`"),
            ("[log]\nlevel = info", "sidegate.toml:2: "),
        ] {
            let said = complaint(text);
            assert!(said.starts_with(begins), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
