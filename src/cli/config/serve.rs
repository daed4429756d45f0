//! `sidegate.toml`: the configuration of a sidecar.

use std::path::Path;

use serde::Deserialize;

use crate::cli::config::auth::AuthConfig;
use crate::cli::config::document::InvalidSetting;
use crate::cli::config::feed::FeedConfig;
use crate::cli::config::file::ConfigFile;
use crate::cli::config::freshness::FreshnessConfig;
use crate::cli::config::limits::SidecarLimits;
use crate::cli::config::log::LogConfig;
use crate::cli::config::metrics::MetricsConfig;
use crate::cli::config::parse;
use crate::cli::config::peer::{self, PeerConfig};
use crate::cli::config::socket::{self, SocketConfig};
use crate::cli::config::store::{self, SidecarStoreConfig};
use crate::cli::config::upstream::{FeedKind, UpstreamConfig};

/// Whose feed a host follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedOrigin {
    /// Its primary's, which has all records.
    Primary,
    /// That of a mirror of its primary, a GitLab: users and keys.
    Mirror,
    /// Nobody's: its primary is a GitLab.
    None,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// The name of this host at its primary; `None` for its host name.
    #[serde(deserialize_with = "parse::optional_text")]
    pub host: Option<String>,
    /// The socket; of it only the scopes are used when systemd hands a socket over.
    #[serde(deserialize_with = "socket::sidecar")]
    pub socket: SocketConfig,
    /// The secret of callers.
    pub auth: AuthConfig,
    /// Who may ask more than whoever can open the socket.
    pub peer: Vec<PeerConfig>,
    /// The primary that this host asks and follows.
    pub primary: UpstreamConfig,
    /// The feed that it follows, where that is not the primary's own.
    pub feed: FeedConfig,
    /// The folder of the copy of the directory, and its caches.
    #[serde(deserialize_with = "store::sidecar")]
    pub store: SidecarStoreConfig,
    /// How old an answer may be.
    pub freshness: FreshnessConfig,
    /// The bounds of the socket.
    pub limits: SidecarLimits,
    /// Where Prometheus reads the metrics.
    pub metrics: MetricsConfig,
    /// The log.
    pub log: LogConfig,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            host: None,
            socket: SocketConfig::sidecar_default(),
            auth: AuthConfig::default(),
            peer: Vec::new(),
            primary: UpstreamConfig::default(),
            feed: FeedConfig::default(),
            store: SidecarStoreConfig::sidecar_default(),
            freshness: FreshnessConfig::default(),
            limits: SidecarLimits::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl ServeConfig {
    /// Returns the files of the certificates by which the primary and the mirror are judged, where these are not the system's.
    pub fn trusted_certificates(&self) -> impl Iterator<Item = &Path> {
        [self.primary.ca_file.as_deref(), self.feed.ca_file.as_deref()].into_iter().flatten()
    }

    /// Returns whose feed is followed.
    #[must_use]
    pub const fn feed_origin(&self) -> FeedOrigin {
        match (self.primary.feed, &self.feed.url) {
            (FeedKind::Sidegate, _) => FeedOrigin::Primary,
            (FeedKind::None, Some(_)) => FeedOrigin::Mirror,
            (FeedKind::None, None) => FeedOrigin::None,
        }
    }
}

impl ConfigFile for ServeConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.socket.validate()?;
        peer::validate(&self.peer)?;
        self.primary.validate()?;
        self.feed.validate(&self.primary)?;
        self.store.validate()?;
        self.freshness.validate()?;
        self.limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ServeConfig;
    use crate::cli::config::file;
    use crate::cli::config::peer::ScopeName;

    fn config_error(text: &str) -> String {
        file::parse::<ServeConfig>(Path::new("sidegate.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(file::parse(Path::new("x"), ""), Ok(ServeConfig::default()));
    }

    #[test]
    fn scopes_of_everybody_are_keys_and_shell_unless_the_file_says_otherwise() {
        let scopes = |text: &str| file::parse::<ServeConfig>(Path::new("x"), text).unwrap().socket.default_scopes;
        assert_eq!(scopes(""), [ScopeName::Keys, ScopeName::Shell]);
        assert_eq!(scopes("[[peer]]\nuid = 1\nscopes = [\"metrics\"]"), [ScopeName::Keys, ScopeName::Shell]);
        assert_eq!(scopes("[socket]\ndefault_scopes = []"), []);
        assert_eq!(scopes("[socket]\ndefault_scopes = [\"keys\"]"), [ScopeName::Keys]);
    }

    #[test]
    fn every_error_names_file_line_and_key() {
        for (text, begins) in [
            ("hots = \"x\"", "sidegate.toml:1: `hots`: unknown field `hots`, expected one of"),
            ("\n[socket]\nmode = 660", "sidegate.toml:3: `socket.mode`: invalid type: integer `660`, expected a mode of four octal digits"),
            ("[socket]\npath = \"api.sock\"", "sidegate.toml:2: `socket.path`: \"api.sock\" is not an absolute path"),
            ("[socket]\ndefault_scopes = [\"key\"]", "sidegate.toml:2: `socket.default_scopes`: unknown variant `key`"),
            ("[auth]\nshell_secret_file = \"\"", "sidegate.toml:2: `auth.shell_secret_file`: \"\" is not the path of a file"),
            ("[primary]\ntimeout = \"2\"", "sidegate.toml:2: `primary.timeout`: \"2\" is not a duration"),
            ("[primary]\nfeed = \"gitlab\"", "sidegate.toml:2: `primary.feed`: unknown variant `gitlab`, expected `sidegate` or `none`"),
            ("[freshness]\nkeys = { tll = \"1m\" }", "sidegate.toml:2: `freshness.keys.tll`: unknown field `tll`"),
            ("[freshness.keys]\n\nttl = \"48h\"", "sidegate.toml:3: `freshness.keys.ttl`: must be at most"),
            ("[store]\npage_cache = \"64MB\"", "sidegate.toml:2: `store.page_cache`: \"64MB\" is not a size"),
            ("[store]\nrecord_cache = 0", "sidegate.toml:2: `store.record_cache`: must be from 1"),
            ("[store]\nkept_answers = 0", "sidegate.toml:2: `store.kept_answers`: must be from 1"),
            ("[store]\nkept_bytes = \"1KiB\"", "sidegate.toml:2: `store.kept_bytes`: must be at least 1MiB"),
            ("[freshness]\nnegative_ttl = \"61s\"", "sidegate.toml:2: `freshness.negative_ttl`: must be at most 1m"),
            ("[limits]\nconnections = -1", "sidegate.toml:2: `limits.connections`: invalid value"),
            ("[[peer]]\nuid = 1\nscopes = [\"keys\"]\n[[peer]]\nscopes = [\"keys\"]", "sidegate.toml:4: `peer.1`: must name exactly one"),
            ("[[peer]]\nuid = 1\nscopes = [\"key\"]", "sidegate.toml:3: `peer.0.scopes`: unknown variant `key`"),
            ("[log]\ntarget = \"syslog\"", "sidegate.toml:2: `log.target`: unknown variant `syslog`"),
            ("[log]\nlevel = info", "sidegate.toml:2: "),
        ] {
            let error = config_error(text);
            assert!(error.starts_with(begins), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
