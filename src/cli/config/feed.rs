//! `[feed]` of a sidecar: whose feed it follows where that is not its primary's, as the mirror of a GitLab.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::cli::config::upstream::{FeedKind, UpstreamConfig};
use crate::net::client::http_client::{HttpClient, InvalidUrl};
use crate::net::client::primary_url::PrimaryUrl;

/// The section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedConfig {
    /// An `http+unix://`, `https://` or, for a loopback address, `http://` URL; `None` for what `[primary]` says.
    #[serde(deserialize_with = "parse::optional_text")]
    pub url: Option<String>,
    /// The file of the secret that followers sign with; `None` for that of `primary.sync_secret_file`.
    #[serde(deserialize_with = "parse::optional_path")]
    pub sync_secret_file: Option<PathBuf>,
    /// A file of certificates that are trusted instead of the system's; `None` for that of `primary.ca_file`.
    #[serde(deserialize_with = "parse::optional_path")]
    pub ca_file: Option<PathBuf>,
}

impl FeedConfig {
    pub fn validate(&self, primary: &UpstreamConfig) -> Result<(), InvalidSetting> {
        let ensure = |holds, key: &str, reason: &str| InvalidSetting::ensure(holds, &format!("feed.{key}"), reason);
        let Some(url) = &self.url else {
            let reason = "is read only with a `url`; the feed of `[primary]` has its own";
            ensure(self.sync_secret_file.is_none(), "sync_secret_file", reason)?;
            return ensure(self.ca_file.is_none(), "ca_file", reason);
        };
        let url = parse_url(url).map_err(|reason| InvalidSetting { key: "feed.url".to_owned(), reason })?;
        let own_feed = "is for a host in front of a GitLab: set `primary.feed = \"none\"`, or remove it to follow the primary's own feed";
        ensure(primary.feed == FeedKind::None, "url", own_feed)?;
        let shadow = "shadow mode compares what is kept of a GitLab's answers; with a feed users and keys are answered from that: set \
                      `primary.shadow = false`, or remove the feed until the comparison is done";
        ensure(!primary.shadow, "url", shadow)?;
        ensure(url.is_https() || self.ca_file.is_none(), "ca_file", "is read only for an https:// `url`")?;
        let secret = "following a feed needs the followers' secret; `primary.sync_secret_file` names none either";
        ensure(self.sync_secret_file(primary).is_some(), "sync_secret_file", secret)
    }

    /// Returns the file of the secret that followers of this feed sign with, with the setting that names it.
    #[must_use]
    pub fn sync_secret_file<'a>(&'a self, primary: &'a UpstreamConfig) -> Option<(&'static str, &'a Path)> {
        let own = self.sync_secret_file.as_deref().map(|file| ("feed.sync_secret_file", file));
        own.or_else(|| primary.sync_secret_file.as_deref().map(|file| ("primary.sync_secret_file", file)))
    }

    /// Starts a client for the feed; `None` without a URL.
    pub fn open_client(&self, primary: &UpstreamConfig) -> Result<Option<HttpClient>, InvalidUrl> {
        let ca_file = self.ca_file.as_deref().or(primary.ca_file.as_deref());
        self.url.as_deref().map(|url| HttpClient::new(url, ca_file, false)).transpose()
    }
}

fn parse_url(url: &str) -> Result<PrimaryUrl, String> {
    if ["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err("a feed over NATS is not supported yet; name the mirror itself, as https://mirror.example:8181".to_owned());
    }
    PrimaryUrl::parse(url, false).map_err(|reason| reason.replace(", or set insecure_http = true", ""))
}

#[cfg(test)]
mod tests {
    use super::FeedConfig;
    use crate::cli::config::upstream::{FeedKind, UpstreamConfig};

    fn gitlab() -> UpstreamConfig {
        UpstreamConfig { url: vec!["https://git.example".to_owned()], feed: FeedKind::None, ..UpstreamConfig::default() }
    }

    fn feed(url: &str) -> FeedConfig {
        FeedConfig { url: Some(url.to_owned()), ..FeedConfig::default() }
    }

    #[test]
    fn a_feed_has_one_of_three_forms_of_url() {
        for url in
            ["https://mirror.example:8181", "http+unix:///run/sidegate-mirror/api.sock", "http://127.0.0.1:8181", "http://localhost:1"]
        {
            assert_eq!(feed(url).validate(&gitlab()), Ok(()), "{url}");
        }
        for (url, says) in [
            ("http://mirror.example", "use https://"),
            ("nats://n1:4222", "NATS is not supported yet"),
            ("tls://n1:4222", "NATS is not supported yet"),
            ("ftp://mirror.example", "ftp:// is not known"),
            ("mirror.example", "a URL begins with"),
        ] {
            let invalid = feed(url).validate(&gitlab()).unwrap_err();
            assert!(invalid.key == "feed.url" && invalid.reason.contains(says), "{url}: {invalid:?}");
            assert!(!invalid.reason.contains("insecure_http"), "there is no such setting: {invalid:?}");
        }
    }

    #[test]
    fn what_contradicts_the_primary_is_refused_with_what_to_do() {
        let url = "https://mirror.example";
        let own_feed = feed(url).validate(&UpstreamConfig::default()).unwrap_err();
        assert!(own_feed.key == "feed.url" && own_feed.reason.contains("set `primary.feed = \"none\"`"), "{own_feed:?}");
        let shadow = feed(url).validate(&UpstreamConfig { shadow: true, ..gitlab() }).unwrap_err();
        assert!(shadow.key == "feed.url" && shadow.reason.contains("`primary.shadow = false`"), "{shadow:?}");
        let no_secret = feed(url).validate(&UpstreamConfig { sync_secret_file: None, ..gitlab() }).unwrap_err();
        assert_eq!(no_secret.key, "feed.sync_secret_file");
        let own_secret = FeedConfig { sync_secret_file: Some("/s".into()), ..feed(url) };
        assert_eq!(own_secret.validate(&UpstreamConfig { sync_secret_file: None, ..gitlab() }), Ok(()));
        let on_unix = FeedConfig { ca_file: Some("/ca".into()), ..feed("http+unix:///run/x.sock") };
        assert_eq!(on_unix.validate(&gitlab()).unwrap_err().key, "feed.ca_file");
        let without_url = FeedConfig { ca_file: Some("/ca".into()), ..FeedConfig::default() };
        assert_eq!(without_url.validate(&gitlab()).unwrap_err().key, "feed.ca_file");
        assert_eq!(FeedConfig::default().validate(&UpstreamConfig::default()), Ok(()));
    }
}
