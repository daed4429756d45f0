//! `primary.toml`: the configuration of a primary.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::config::Config;
use crate::cli::config::document::Fault;
use crate::cli::config::limits::Limits;
use crate::cli::config::log::Log;
use crate::cli::config::loss_guard;
use crate::cli::config::serve::{check_caches, check_socket_path};
use crate::cli::config::spelling;
use crate::model::loss_guard::LossGuard;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrimaryConfig {
    /// Where it answers on this host.
    pub socket: Socket,
    /// Where it answers other hosts; `None`: nowhere.
    pub listen: Option<Listen>,
    /// What callers show.
    pub auth: Auth,
    /// Where the directory is.
    pub store: Store,
    /// What it lets happen to the directory.
    pub sync: Sync,
    /// The bounds of the sockets.
    pub limits: Limits,
    /// The log.
    pub log: Log,
}

/// `[socket]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Socket {
    /// Where.
    #[serde(deserialize_with = "spelling::absolute")]
    pub path: PathBuf,
    /// Its mode.
    #[serde(deserialize_with = "spelling::mode")]
    pub mode: u32,
    /// Its group; `None`: the daemon's own.
    #[serde(deserialize_with = "spelling::given")]
    pub group: Option<String>,
}

impl Default for Socket {
    fn default() -> Self {
        Self { path: "/run/sidegate-primary/api.sock".into(), mode: 0o660, group: None }
    }
}

/// `[listen]`: TCP. Without a certificate only on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// A chain in PEM.
    #[serde(default, deserialize_with = "spelling::given_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// Its key in PEM.
    #[serde(default, deserialize_with = "spelling::given_file")]
    pub tls_key_file: Option<PathBuf>,
}

impl Listen {
    /// Chain and key, if it speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_cert_file.as_ref().zip(self.tls_key_file.as_ref())
    }

    fn check(&self) -> Result<(), Fault> {
        let pair = "`tls_cert_file` and `tls_key_file` are given together, or neither";
        Fault::unless(self.tls_cert_file.is_some() || self.tls_key_file.is_none(), "listen.tls_key_file", pair)?;
        Fault::unless(self.tls_key_file.is_some() || self.tls_cert_file.is_none(), "listen.tls_cert_file", pair)?;
        let open = "without TLS only a loopback address is listened on; give `tls_cert_file` and `tls_key_file`";
        Fault::unless(self.tls().is_some() || self.address.ip().is_loopback(), "listen.address", open)
    }
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// gitlab-shell's secret.
    #[serde(deserialize_with = "spelling::file")]
    pub shell_secret_file: PathBuf,
    /// Whether the shared secret of old callers counts, on the Unix socket.
    pub accept_shared_secret: bool,
    /// The followers' secret.
    #[serde(deserialize_with = "spelling::file")]
    pub sync_secret_file: PathBuf,
    /// KAS's secret; without it the kubernetes endpoints answer 401.
    #[serde(deserialize_with = "spelling::given_file")]
    pub kas_secret_file: Option<PathBuf>,
    /// The token of subscriptions, minutes and reconciliations.
    #[serde(deserialize_with = "spelling::given_file")]
    pub admin_token_file: Option<PathBuf>,
    /// The token of error tracking.
    #[serde(deserialize_with = "spelling::given_file")]
    pub error_tracking_token_file: Option<PathBuf>,
}

impl Default for Auth {
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
pub struct Store {
    /// Its folder.
    #[serde(deserialize_with = "spelling::absolute")]
    pub path: PathBuf,
    /// The store's own memory, in bytes.
    #[serde(deserialize_with = "spelling::size")]
    pub page_cache: usize,
    /// How many decoded records are kept.
    pub record_cache: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self { path: "/var/lib/sidegate-primary".into(), page_cache: 32 << 20, record_cache: 65_536 }
    }
}

/// `[sync]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// When `apply --prune` is refused.
    pub loss_guard: LossGuard,
}

impl Config for PrimaryConfig {
    fn check(&self) -> Result<(), Fault> {
        check_socket_path(&self.socket.path)?;
        self.listen.as_ref().map_or(Ok(()), Listen::check)?;
        check_caches(self.store.page_cache, self.store.record_cache)?;
        loss_guard::check(self.sync.loss_guard, "sync.loss_guard")?;
        self.limits.check()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::PrimaryConfig;
    use crate::cli::config::parse;

    fn read(text: &str) -> Result<PrimaryConfig, String> {
        parse(Path::new("primary.toml"), text).map_err(|error| error.to_string())
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
