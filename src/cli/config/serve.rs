//! `sidegate.toml`: the configuration of a sidecar.

use std::path::PathBuf;

use serde::Deserialize;

use crate::cli::config::Config;
use crate::cli::config::document::Fault;
use crate::cli::config::freshness::Freshness;
use crate::cli::config::limits::Limits;
use crate::cli::config::log::Log;
use crate::cli::config::peer::{self, Peer};
use crate::cli::config::spelling;
use crate::cli::config::upstream::Upstream;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeConfig {
    /// How this host calls itself to its primary; `None`: by its host name.
    #[serde(deserialize_with = "spelling::given")]
    pub host: Option<String>,
    /// Where it answers.
    pub socket: Socket,
    /// What callers show.
    pub auth: Auth,
    /// Who may ask what; none: whoever can open the socket.
    pub peer: Vec<Peer>,
    /// Whom it asks and follows.
    pub primary: Upstream,
    /// Where it keeps what it knows.
    pub store: Store,
    /// How old an answer may be.
    pub freshness: Freshness,
    /// The bounds of the socket.
    pub limits: Limits,
    /// The log.
    pub log: Log,
}

/// `[socket]`: not used when systemd hands the socket over.
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
        Self { path: "/run/sidegate/api.sock".into(), mode: 0o660, group: None }
    }
}

/// `[auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// gitlab-shell's secret.
    #[serde(deserialize_with = "spelling::file")]
    pub shell_secret_file: PathBuf,
    /// Whether the shared secret of old callers counts.
    pub accept_shared_secret: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self { shell_secret_file: "/etc/sidegate/shell_secret".into(), accept_shared_secret: true }
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
        Self { path: "/var/lib/sidegate".into(), page_cache: 32 << 20, record_cache: 65_536 }
    }
}

/// A cache below this would only cost.
const LEAST_PAGE_CACHE: usize = 1 << 20;

pub(super) fn check_caches(page_cache: usize, record_cache: usize) -> Result<(), Fault> {
    Fault::unless(page_cache >= LEAST_PAGE_CACHE, "store.page_cache", "at least 1MiB")?;
    Fault::unless((1..=100_000_000).contains(&record_cache), "store.record_cache", "from 1 to 100000000")
}

/// A path of a socket is at most 107 bytes long.
pub(super) fn check_socket_path(path: &std::path::Path) -> Result<(), Fault> {
    Fault::unless(path.as_os_str().len() <= 107, "socket.path", "a socket's path has at most 107 bytes")
}

impl Config for ServeConfig {
    fn check(&self) -> Result<(), Fault> {
        check_socket_path(&self.socket.path)?;
        peer::check(&self.peer)?;
        self.primary.check()?;
        check_caches(self.store.page_cache, self.store.record_cache)?;
        self.freshness.check()?;
        self.limits.check()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::ServeConfig;
    use crate::cli::config::parse;

    fn complaint(text: &str) -> String {
        parse::<ServeConfig>(Path::new("sidegate.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse(Path::new("x"), ""), Ok(ServeConfig::default()));
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
