//! `[primary]` of a sidecar: the primary that it asks and follows, and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::cli::config::auth::SYNC_SECRET_FILE;
use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::cli::config::socket::PRIMARY_SOCKET;
use crate::helper::LOOKUP_TIMEOUT;
use crate::net::client::http_client::{HttpClient, InvalidUrl};
use crate::net::client::primary_url::PrimaryUrl;

/// The most URLs of one primary. Each has a thread for its connections.
const MAX_URLS: usize = 8;
/// How often a minute one actor may do one thing to one repository, as a GitLab has it where nothing else is set.
const OPERATIONS_PER_MINUTE: u32 = 600;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// An `http+unix://`, `http://` or `https://` URL; in front of a GitLab also several of them, in the order in which they are tried.
    #[serde(deserialize_with = "parse::text_or_list")]
    pub url: Vec<String>,
    /// What the primary publishes.
    pub feed: FeedKind,
    /// The file of the secret that followers sign with.
    #[serde(deserialize_with = "parse::optional_path")]
    pub sync_secret_file: Option<PathBuf>,
    /// The file of the secret that requests to the primary are signed with; `None` for that of `auth.shell_secret_file`.
    #[serde(deserialize_with = "parse::optional_path")]
    pub shell_secret_file: Option<PathBuf>,
    /// A file of certificates that are trusted instead of the system's.
    #[serde(deserialize_with = "parse::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// Whether `http://` to another host is allowed.
    pub insecure_http: bool,
    /// How long a question may take, with all its attempts.
    #[serde(deserialize_with = "parse::duration")]
    pub timeout: Duration,
    /// How long a write, or a request that is passed through, may take.
    #[serde(deserialize_with = "parse::duration")]
    pub forward_timeout: Duration,
    /// Whether what is kept is only compared with the primary's answers, and never given.
    pub shadow: bool,
    /// In front of a GitLab: how often a minute a kept answer about access is given to one actor for one thing in one repository; 0 for no
    /// limit.
    pub operations_per_minute: u32,
}

/// What a primary publishes for followers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedKind {
    /// Changes and snapshots: the primary is a sidegate primary.
    #[default]
    Sidegate,
    /// Nothing: the primary is a GitLab.
    None,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: vec![format!("http+unix://{PRIMARY_SOCKET}")],
            feed: FeedKind::Sidegate,
            sync_secret_file: Some(SYNC_SECRET_FILE.into()),
            shell_secret_file: None,
            ca_file: None,
            insecure_http: false,
            timeout: Duration::from_secs(2),
            forward_timeout: Duration::from_secs(60),
            shadow: false,
            operations_per_minute: OPERATIONS_PER_MINUTE,
        }
    }
}

impl UpstreamConfig {
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let ensure = |holds, key: &str, reason: &str| InvalidSetting::ensure(holds, &format!("primary.{key}"), reason);
        let urls = self.parse_urls()?;
        ensure(urls.iter().any(PrimaryUrl::is_https) || self.ca_file.is_none(), "ca_file", "is read only for an https:// `url`")?;
        let secret = "following a sidegate primary needs the followers' secret; in front of a GitLab set `feed = \"none\"`";
        ensure(self.feed == FeedKind::None || self.sync_secret_file.is_some(), "sync_secret_file", secret)?;
        let shadow = "compares a GitLab's answers with what is kept of them; with `feed = \"sidegate\"` none are kept";
        ensure(self.feed == FeedKind::None || !self.shadow, "shadow", shadow)?;
        ensure(
            !self.timeout.is_zero() && self.timeout < LOOKUP_TIMEOUT,
            "timeout",
            "must be more than 0 and less than 5s, which is how long sshd's helper waits",
        )?;
        ensure(self.timeout <= self.forward_timeout, "forward_timeout", "must be at least `primary.timeout`")?;
        ensure(self.forward_timeout <= Duration::from_secs(3600), "forward_timeout", "must be at most 1h")
    }

    fn parse_urls(&self) -> Result<Vec<PrimaryUrl>, InvalidSetting> {
        let refuse = |reason: String| InvalidSetting { key: "primary.url".to_owned(), reason };
        let mut urls = Vec::new();
        for (index, url) in self.url.iter().enumerate() {
            let which = if self.url.len() > 1 { format!("URL {} of the list: ", index + 1) } else { String::new() };
            let url = PrimaryUrl::parse(url, self.insecure_http).map_err(|reason| refuse(format!("{which}{reason}")))?;
            if urls.contains(&url) {
                return Err(refuse(format!("{which}it is in the list twice; remove one")));
            }
            urls.push(url);
        }
        match urls.len() {
            0 => Err(refuse("the list is empty; name one URL at least".to_owned())),
            1 => Ok(urls),
            _ if self.feed == FeedKind::Sidegate => Err(refuse(
                "a list is for the addresses of one GitLab, with `feed = \"none\"`; a sidegate primary is one process, so name its URL"
                    .to_owned(),
            )),
            2..=MAX_URLS => Ok(urls),
            _ => Err(refuse(format!("the list has at most {MAX_URLS} URLs"))),
        }
    }

    /// Starts a client for each URL, in the order of the list.
    pub fn open_clients(&self) -> Result<Vec<HttpClient>, InvalidUrl> {
        self.url.iter().map(|url| HttpClient::new(url, self.ca_file.as_deref(), self.insecure_http)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FeedKind, UpstreamConfig};

    #[test]
    fn a_url_has_one_of_three_forms() {
        let validate = |url: &str| UpstreamConfig { url: vec![url.to_owned()], ..UpstreamConfig::default() }.validate();
        for url in [
            "http+unix:///run/x.sock",
            "http+unix://%2Frun%2fx.sock",
            "http://localhost:8080",
            "http://127.0.0.2/gitlab",
            "http://[::1]:80/",
            "http://[::ffff:127.0.0.1]:80/",
            "https://git.example/gitlab",
        ] {
            assert_eq!(validate(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "git.example",
            "/run/x.sock",
            "http+unix://run/x.sock",
            "ftp://x/",
            "https://",
            "https://x/?a=b",
            "https://x/#a",
            "http://a b/",
            "http://git.example",
            "http://localhost.git.example",
        ] {
            assert_eq!(validate(url).unwrap_err().key, "primary.url", "{url}");
        }
        assert!(validate("https://user:word@git.example").unwrap_err().reason.contains("password"));
    }

    #[test]
    fn a_list_names_up_to_eight_different_addresses_of_a_gitlab() {
        let validate = |feed: FeedKind, urls: &[&str]| {
            let upstream = UpstreamConfig { url: urls.iter().map(|url| (*url).to_owned()).collect(), feed, ..UpstreamConfig::default() };
            upstream.validate().map_err(|invalid| (invalid.key, invalid.reason))
        };
        let nine: Vec<String> = (1..=9).map(|number| format!("https://git-{number}")).collect();
        let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
        for urls in [&["https://a"][..], &["https://a", "http+unix:///run/b.sock"], &["https://a", "https://a/gitlab"], &nine[..8]] {
            assert_eq!(validate(FeedKind::None, urls), Ok(()), "{urls:?}");
        }
        assert_eq!(validate(FeedKind::Sidegate, &["https://a"]), Ok(()));
        for (feed, urls, says) in [
            (FeedKind::None, &[][..], "the list is empty"),
            (FeedKind::None, &["https://a", "https://a/"], "URL 2 of the list: it is in the list twice"),
            (FeedKind::None, &["https://a", "ftp://b"], "URL 2 of the list: ftp:// is not known"),
            (FeedKind::None, &nine, "at most 8 URLs"),
            (FeedKind::Sidegate, &["https://a", "https://b"], "a list is for the addresses of one GitLab"),
        ] {
            let (key, reason) = validate(feed, urls).unwrap_err();
            assert!(key == "primary.url" && reason.contains(says), "{urls:?}: {reason}");
        }
        let secret = validate(FeedKind::None, &["https://a", "https://me:word@b"]).unwrap_err();
        assert!(!secret.1.contains("word@") && secret.1.contains("password"), "{secret:?}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let invalid_key = |change: fn(&mut UpstreamConfig)| {
            let mut upstream = UpstreamConfig::default();
            change(&mut upstream);
            upstream.validate().unwrap_err().key
        };
        assert_eq!(invalid_key(|upstream| upstream.url = vec!["http://git.example".to_owned()]), "primary.url");
        assert_eq!(invalid_key(|upstream| upstream.ca_file = Some("/ca".into())), "primary.ca_file");
        assert_eq!(invalid_key(|upstream| upstream.sync_secret_file = None), "primary.sync_secret_file");
        assert_eq!(invalid_key(|upstream| upstream.shadow = true), "primary.shadow");
        assert_eq!(invalid_key(|upstream| upstream.timeout = Duration::ZERO), "primary.timeout");
        assert_eq!(invalid_key(|upstream| upstream.timeout = Duration::from_secs(5)), "primary.timeout");
        assert_eq!(invalid_key(|upstream| upstream.forward_timeout = Duration::from_secs(1)), "primary.forward_timeout");
    }

    #[test]
    fn a_gitlab_needs_no_sync_secret_and_plain_http_is_allowed_on_request() {
        let upstream = UpstreamConfig {
            url: vec!["http://git.example".to_owned()],
            insecure_http: true,
            feed: FeedKind::None,
            sync_secret_file: None,
            ..UpstreamConfig::default()
        };
        assert_eq!(upstream.validate(), Ok(()));
    }
}
