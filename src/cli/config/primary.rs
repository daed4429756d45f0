//! `primary.toml`: the configuration of a primary, with `[listen]`, `[sync]` and `[creation]`, which only a primary has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::auth::PrimaryAuthConfig;
use crate::cli::config::creation::CreationConfig;
use crate::cli::config::document::InvalidSetting;
use crate::cli::config::file::ConfigFile;
use crate::cli::config::limits::PrimaryLimits;
use crate::cli::config::log::LogConfig;
use crate::cli::config::loss_guard;
use crate::cli::config::metrics::MetricsConfig;
use crate::cli::config::parse;
use crate::cli::config::socket::{self, SocketConfig};
use crate::cli::config::store::{self, StoreConfig};
use crate::model::loss_guard::LossGuard;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrimaryConfig {
    /// The socket for callers on this host.
    #[serde(deserialize_with = "socket::primary")]
    pub socket: SocketConfig,
    /// The network address for other hosts; `None` for no network.
    pub listen: Option<ListenConfig>,
    /// The secrets of callers.
    pub auth: PrimaryAuthConfig,
    /// The folder of the directory, and its caches.
    #[serde(deserialize_with = "store::primary")]
    pub store: StoreConfig,
    /// What an apply may remove.
    pub sync: SyncConfig,
    /// The repositories of projects that pushes create.
    pub creation: CreationConfig,
    /// The bounds of the sockets.
    pub limits: PrimaryLimits,
    /// Where Prometheus reads the metrics.
    pub metrics: MetricsConfig,
    /// The log.
    pub log: LogConfig,
}

impl Default for PrimaryConfig {
    fn default() -> Self {
        Self {
            socket: SocketConfig::primary_default(),
            listen: None,
            auth: PrimaryAuthConfig::default(),
            store: StoreConfig::primary_default(),
            sync: SyncConfig::default(),
            creation: CreationConfig::default(),
            limits: PrimaryLimits::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// `[listen]`: TCP. Without a certificate only on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// The address and port.
    pub address: SocketAddr,
    /// The file of the chain of certificates, in PEM.
    #[serde(default, deserialize_with = "parse::optional_path")]
    pub tls_cert_file: Option<PathBuf>,
    /// The file of its private key, in PEM.
    #[serde(default, deserialize_with = "parse::optional_path")]
    pub tls_key_file: Option<PathBuf>,
}

impl ListenConfig {
    /// Returns the files of the chain and of its key, if this address speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_cert_file.as_ref().zip(self.tls_key_file.as_ref())
    }

    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let pair = "`tls_cert_file` and `tls_key_file` are given together, or neither";
        InvalidSetting::ensure(self.tls_cert_file.is_some() || self.tls_key_file.is_none(), "listen.tls_key_file", pair)?;
        InvalidSetting::ensure(self.tls_key_file.is_some() || self.tls_cert_file.is_none(), "listen.tls_cert_file", pair)?;
        let open = "without TLS only a loopback address is listened on; give `tls_cert_file` and `tls_key_file`";
        InvalidSetting::ensure(self.tls().is_some() || self.address.ip().is_loopback(), "listen.address", open)
    }
}

/// `[sync]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// How much `admin apply --prune` may remove without `--accept-loss`.
    pub loss_guard: LossGuard,
    /// The longest that a host may answer without the primary.
    #[serde(deserialize_with = "parse::duration")]
    pub longest_max_stale: Duration,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self { loss_guard: LossGuard::default(), longest_max_stale: Duration::from_secs(24 * 3600) }
    }
}

impl SyncConfig {
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        loss_guard::validate(self.loss_guard, "sync.loss_guard")?;
        InvalidSetting::ensure(!self.longest_max_stale.is_zero(), "sync.longest_max_stale", "must be more than 0")
    }
}

impl ConfigFile for PrimaryConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.socket.validate()?;
        self.listen.as_ref().map_or(Ok(()), ListenConfig::validate)?;
        self.store.validate()?;
        self.sync.validate()?;
        self.limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::PrimaryConfig;
    use crate::cli::config::file;

    fn read(text: &str) -> Result<PrimaryConfig, String> {
        file::parse(Path::new("primary.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_defaults_and_listens_on_no_network() {
        assert_eq!(read(""), Ok(PrimaryConfig::default()));
        assert_eq!(PrimaryConfig::default().listen, None);
    }

    #[test]
    fn a_network_address_needs_a_certificate_with_its_key() {
        let listen = |rest: &str| read(&format!("[listen]\n{rest}")).map(|config| config.listen.unwrap().tls().is_some());
        assert_eq!(listen("address = \"127.0.0.1:8181\""), Ok(false));
        assert_eq!(listen("address = \"[::1]:8181\"\ntls_cert_file = \"\"\ntls_key_file = \"\""), Ok(false));
        assert_eq!(listen("address = \"0.0.0.0:8181\"\ntls_cert_file = \"c.pem\"\ntls_key_file = \"k.pem\""), Ok(true));
        for (rest, begins) in [
            ("address = \"0.0.0.0:8181\"", "primary.toml:2: `listen.address`: without TLS"),
            ("address = \"127.0.0.1:1\"\ntls_cert_file = \"c.pem\"", "primary.toml:3: `listen.tls_cert_file`: "),
            ("address = \"127.0.0.1:1\"\ntls_key_file = \"k.pem\"", "primary.toml:3: `listen.tls_key_file`: "),
            ("address = \"localhost:8181\"", "primary.toml:2: `listen.address`: invalid socket address syntax"),
            ("tls_cert_file = \"\"", "primary.toml:1: `listen`: missing field `address`"),
        ] {
            let error = listen(rest).unwrap_err();
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn the_longest_bound_of_hosts_is_a_day_unless_something_else_is_said() {
        assert_eq!(PrimaryConfig::default().sync.longest_max_stale, std::time::Duration::from_secs(86_400));
        assert_eq!(read("[sync]\nlongest_max_stale = \"2d\"").unwrap().sync.longest_max_stale, std::time::Duration::from_secs(172_800));
        let error = read("[sync]\nlongest_max_stale = \"0s\"").unwrap_err();
        assert!(error.starts_with("primary.toml:2: `sync.longest_max_stale`: must be more than 0"), "{error}");
    }

    #[test]
    fn what_only_a_sidecar_has_is_refused() {
        for text in ["host = \"x\"", "[primary]\nurl = \"\"", "[freshness]", "[socket]\ndefault_scopes = []", "[[peer]]\nuid = 1"] {
            assert!(read(text).unwrap_err().contains("unknown field"), "{text}");
        }
        for key in ["passed_body_bytes", "forwards", "forwards_waiting"] {
            let error = read(&format!("[limits]\n{key} = 1")).unwrap_err();
            assert!(error.starts_with(&format!("primary.toml:2: `limits.{key}`: unknown field `{key}`, expected one of")), "{error}");
        }
    }
}
