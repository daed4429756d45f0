//! `primary.toml`: the configuration of a primary.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::config::ConfigFile;
use crate::cli::config::document::InvalidSetting;
use crate::cli::config::limits::LimitsConfig;
use crate::cli::config::log::LogConfig;
use crate::cli::config::loss_guard;
use crate::cli::config::parse;
use crate::cli::config::serve::{validate_caches, validate_socket_path};
use crate::model::loss_guard::LossGuard;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrimaryConfig {
    /// Where it answers on this host.
    pub socket: SocketConfig,
    /// Where it answers other hosts; `None`: nowhere.
    pub listen: Option<ListenConfig>,
    /// What callers show.
    pub auth: PrimaryAuthConfig,
    /// Where the directory is.
    pub store: StoreConfig,
    /// What it lets happen to the directory.
    pub sync: SyncConfig,
    /// The bounds of the sockets.
    pub limits: LimitsConfig,
    /// The log.
    pub log: LogConfig,
}

/// `[socket]`.
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
        Self { path: "/run/sidegate-primary/api.sock".into(), mode: 0o660, group: None }
    }
}

/// `[listen]`: TCP. Without a certificate only on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Address and port.
    pub address: SocketAddr,
    /// A chain in PEM.
    #[serde(default, deserialize_with = "parse::optional_path")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key in PEM.
    #[serde(default, deserialize_with = "parse::optional_path")]
    pub tls_key_file: Option<PathBuf>,
}

impl ListenConfig {
    /// Chain and key, if it speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_cert_file.as_ref().zip(self.tls_key_file.as_ref())
    }

    fn validate(&self) -> Result<(), InvalidSetting> {
        let pair = "`tls_cert_file` and `tls_key_file` are given together, or neither";
        InvalidSetting::ensure(self.tls_cert_file.is_some() || self.tls_key_file.is_none(), "listen.tls_key_file", pair)?;
        InvalidSetting::ensure(self.tls_key_file.is_some() || self.tls_cert_file.is_none(), "listen.tls_cert_file", pair)?;
        let open = "without TLS only a loopback address is listened on; give `tls_cert_file` and `tls_key_file`";
        InvalidSetting::ensure(self.tls().is_some() || self.address.ip().is_loopback(), "listen.address", open)
    }
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrimaryAuthConfig {
    /// gitlab-shell's secret.
    #[serde(deserialize_with = "parse::path")]
    pub shell_secret_file: PathBuf,
    /// Whether the shared secret of old callers counts, on the Unix socket.
    pub accept_shared_secret: bool,
    /// The followers' secret.
    #[serde(deserialize_with = "parse::path")]
    pub sync_secret_file: PathBuf,
    /// KAS's secret; without it the kubernetes endpoints answer 401.
    #[serde(deserialize_with = "parse::optional_path")]
    pub kas_secret_file: Option<PathBuf>,
    /// The token of subscriptions, minutes and reconciliations.
    #[serde(deserialize_with = "parse::optional_path")]
    pub admin_token_file: Option<PathBuf>,
    /// The token of error tracking.
    #[serde(deserialize_with = "parse::optional_path")]
    pub error_tracking_token_file: Option<PathBuf>,
}

impl Default for PrimaryAuthConfig {
    fn default() -> Self {
        Self {
            shell_secret_file: "/etc/sidegate/shell_secret".into(),
            accept_shared_secret: true,
            sync_secret_file: "/etc/sidegate/sync_secret".into(),
            kas_secret_file: None,
            admin_token_file: None,
            error_tracking_token_file: None,
        }
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
        Self { path: "/var/lib/sidegate-primary".into(), page_cache: 32 << 20, record_cache: 65_536 }
    }
}

/// `[sync]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// When `apply --prune` is refused.
    pub loss_guard: LossGuard,
}

impl ConfigFile for PrimaryConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        validate_socket_path(&self.socket.path)?;
        self.listen.as_ref().map_or(Ok(()), ListenConfig::validate)?;
        validate_caches(self.store.page_cache, self.store.record_cache)?;
        loss_guard::validate(self.sync.loss_guard, "sync.loss_guard")?;
        self.limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::PrimaryConfig;
    use crate::cli::config::parse_config;

    fn read(text: &str) -> Result<PrimaryConfig, String> {
        parse_config(Path::new("primary.toml"), text).map_err(|error| error.to_string())
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
            let said = listen(rest).unwrap_err();
            assert!(said.starts_with(begins), "{said}");
        }
    }

    #[test]
    fn what_only_a_sidecar_has_is_refused() {
        for text in ["host = \"x\"", "[primary]\nurl = \"\"", "[freshness]"] {
            assert!(read(text).unwrap_err().contains("unknown field"), "{text}");
        }
    }
}
