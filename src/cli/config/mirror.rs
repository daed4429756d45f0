//! `mirror.toml`: the configuration of a mirror, with `[gitlab]`, `[hooks]` and `[walk]`, which only a mirror has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::auth::MirrorAuthConfig;
use crate::cli::config::document::InvalidSetting;
use crate::cli::config::file::ConfigFile;
use crate::cli::config::limits::PrimaryLimits;
use crate::cli::config::log::LogConfig;
use crate::cli::config::metrics::MetricsConfig;
use crate::cli::config::parse;
use crate::cli::config::primary::{ListenConfig, SyncConfig};
use crate::cli::config::socket::{self, SocketConfig};
use crate::cli::config::store::{self, StoreConfig};
use crate::net::client::primary_url::PrimaryUrl;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MirrorConfig {
    /// The socket for operators, and for a sidecar on this host.
    #[serde(deserialize_with = "socket::mirror")]
    pub socket: SocketConfig,
    /// The network address for other hosts; `None` for no network.
    pub listen: Option<ListenConfig>,
    /// The secrets of callers.
    pub auth: MirrorAuthConfig,
    /// The GitLab.
    pub gitlab: GitlabConfig,
    /// The address that GitLab sends its hooks to; `None` for no hooks.
    pub hooks: Option<HooksConfig>,
    /// How often GitLab is walked.
    pub walk: WalkConfig,
    /// The folder of the directory, and its caches.
    #[serde(deserialize_with = "store::mirror")]
    pub store: StoreConfig,
    /// What may be removed at once, and the bound of hosts.
    pub sync: SyncConfig,
    /// The bounds of the sockets.
    pub limits: PrimaryLimits,
    /// Where Prometheus reads the metrics.
    pub metrics: MetricsConfig,
    /// The log.
    pub log: LogConfig,
}

impl Default for MirrorConfig {
    fn default() -> Self {
        Self {
            socket: SocketConfig::mirror_default(),
            listen: None,
            auth: MirrorAuthConfig::default(),
            gitlab: GitlabConfig::default(),
            hooks: None,
            walk: WalkConfig::default(),
            store: StoreConfig::mirror_default(),
            sync: SyncConfig::default(),
            limits: PrimaryLimits::default(),
            metrics: MetricsConfig::default(),
            log: LogConfig::default(),
        }
    }
}

/// `[gitlab]`: where the GitLab is, and what shows that we may ask.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GitlabConfig {
    /// An `https://` or `http+unix://` URL, or `http://` to this host.
    pub url: String,
    /// A file of certificates that are trusted instead of the system's.
    #[serde(deserialize_with = "parse::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// The file of an administrator's personal access token, which needs the scope `read_api` only.
    #[serde(deserialize_with = "parse::path")]
    pub token_file: PathBuf,
    /// The file of the secret that questions to the internal API are signed with; `None` for that of `auth.shell_secret_file`.
    #[serde(deserialize_with = "parse::optional_path")]
    pub shell_secret_file: Option<PathBuf>,
    /// How many questions a second GitLab is asked, of all kinds together.
    pub requests_per_second: u32,
}

impl Default for GitlabConfig {
    fn default() -> Self {
        Self {
            url: "https://gitlab.example.com".to_owned(),
            ca_file: None,
            token_file: "/etc/sidegate/gitlab_token".into(),
            shell_secret_file: None,
            requests_per_second: 20,
        }
    }
}

impl GitlabConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        let ensure = |holds, key: &str, reason: &str| InvalidSetting::ensure(holds, &format!("gitlab.{key}"), reason);
        let url = PrimaryUrl::parse(&self.url, false).map_err(|reason| InvalidSetting { key: "gitlab.url".to_owned(), reason })?;
        ensure(url.is_https() || self.ca_file.is_none(), "ca_file", "is read only for an https:// `url`")?;
        ensure((1..=10_000).contains(&self.requests_per_second), "requests_per_second", "must be from 1 to 10000")
    }
}

/// `[hooks]`: where GitLab sends its system hooks. Without a certificate only on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HooksConfig {
    /// The address and port.
    pub listen: SocketAddr,
    /// The file of the chain of certificates, in PEM.
    #[serde(default, deserialize_with = "parse::optional_path")]
    pub tls_cert_file: Option<PathBuf>,
    /// The file of its private key, in PEM.
    #[serde(default, deserialize_with = "parse::optional_path")]
    pub tls_key_file: Option<PathBuf>,
    /// The file of the token that GitLab sends with each hook.
    #[serde(default = "hook_token_file", deserialize_with = "parse::path")]
    pub token_file: PathBuf,
}

fn hook_token_file() -> PathBuf {
    "/etc/sidegate/hook_token".into()
}

impl HooksConfig {
    /// Returns the files of the chain and of its key, if this address speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.tls_cert_file.as_ref().zip(self.tls_key_file.as_ref())
    }

    fn validate(&self) -> Result<(), InvalidSetting> {
        let pair = "`tls_cert_file` and `tls_key_file` are given together, or neither";
        InvalidSetting::ensure(self.tls_cert_file.is_some() || self.tls_key_file.is_none(), "hooks.tls_key_file", pair)?;
        InvalidSetting::ensure(self.tls_key_file.is_some() || self.tls_cert_file.is_none(), "hooks.tls_cert_file", pair)?;
        let open = "without TLS only a loopback address is listened on; give `tls_cert_file` and `tls_key_file`";
        InvalidSetting::ensure(self.tls().is_some() || self.listen.ip().is_loopback(), "hooks.listen", open)
    }
}

/// `[walk]`: how often GitLab is walked, and keys are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalkConfig {
    /// How often all users and keys are walked.
    #[serde(deserialize_with = "parse::duration")]
    pub full: Duration,
    /// How often the users that changed last are.
    #[serde(deserialize_with = "parse::duration")]
    pub recent: Duration,
    /// How often a key that hosts use is verified, at most.
    #[serde(deserialize_with = "parse::duration")]
    pub verify_every: Duration,
}

impl Default for WalkConfig {
    fn default() -> Self {
        Self { full: Duration::from_secs(6 * 3600), recent: Duration::from_secs(30), verify_every: Duration::from_secs(600) }
    }
}

impl WalkConfig {
    fn validate(self) -> Result<(), InvalidSetting> {
        for (key, value) in [("full", self.full), ("recent", self.recent), ("verify_every", self.verify_every)] {
            let fits = value >= Duration::from_millis(100) && value <= Duration::from_secs(30 * 86_400);
            InvalidSetting::ensure(fits, &format!("walk.{key}"), "must be from 100ms to 30d")?;
        }
        Ok(())
    }
}

impl ConfigFile for MirrorConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        self.socket.validate()?;
        self.listen.as_ref().map_or(Ok(()), ListenConfig::validate)?;
        self.gitlab.validate()?;
        self.hooks.as_ref().map_or(Ok(()), HooksConfig::validate)?;
        self.walk.validate()?;
        self.store.validate()?;
        self.sync.validate()?;
        self.limits.validate()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::MirrorConfig;
    use crate::cli::config::file;

    fn read(text: &str) -> Result<MirrorConfig, String> {
        file::parse(Path::new("mirror.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_defaults_and_listens_to_no_hooks() {
        assert_eq!(read(""), Ok(MirrorConfig::default()));
        assert_eq!(MirrorConfig::default().hooks, None);
    }

    #[test]
    fn what_would_show_tokens_to_the_network_or_ask_nobody_is_refused() {
        for (text, begins) in [
            ("[gitlab]\nurl = \"http://gitlab.example.com\"", "mirror.toml:2: `gitlab.url`: http:// to another host"),
            ("[gitlab]\nurl = \"http://127.0.0.1:80\"\nca_file = \"x\"", "mirror.toml:3: `gitlab.ca_file`: is read only"),
            ("[gitlab]\nrequests_per_second = 0", "mirror.toml:2: `gitlab.requests_per_second`: must be from 1 to 10000"),
            ("[hooks]\nlisten = \"0.0.0.0:1\"", "mirror.toml:2: `hooks.listen`: without TLS only a loopback address"),
            ("[hooks]\nlisten = \"127.0.0.1:1\"\ntls_cert_file = \"c\"", "mirror.toml:3: `hooks.tls_cert_file`: "),
            ("[walk]\nrecent = \"0s\"", "mirror.toml:2: `walk.recent`: must be from 100ms to 30d"),
            ("[creation]", "mirror.toml:1: `creation`: unknown field `creation`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(begins), "{error}");
        }
        assert!(read("[gitlab]\nurl = \"http://localhost:8080/gitlab\"\n[hooks]\nlisten = \"127.0.0.1:8182\"").is_ok());
    }
}
