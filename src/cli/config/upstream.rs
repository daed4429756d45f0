//! `[primary]` of a sidecar: whom it asks and follows, and how that is reached.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use crate::cli::config::document::InvalidSetting;
use crate::cli::config::parse;
use crate::helper::LOOKUP_TIMEOUT;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// `http+unix://`, `http://` or `https://`.
    pub url: String,
    /// Whether it publishes a feed.
    pub feed: FeedKind,
    /// The followers' secret.
    #[serde(deserialize_with = "parse::optional_path")]
    pub sync_secret_file: Option<PathBuf>,
    /// The secret that this primary's requests are signed with, if it is another than the callers'.
    #[serde(deserialize_with = "parse::optional_path")]
    pub shell_secret_file: Option<PathBuf>,
    /// Certificates to believe instead of the system's.
    #[serde(deserialize_with = "parse::optional_path")]
    pub ca_file: Option<PathBuf>,
    /// `http://` to another host.
    pub insecure_http: bool,
    /// All tries of one question together.
    #[serde(deserialize_with = "parse::duration")]
    pub timeout: Duration,
    /// A write, or a request that is passed through.
    #[serde(deserialize_with = "parse::duration")]
    pub forward_timeout: Duration,
}

/// What a primary publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedKind {
    /// Changes and snapshots: it is a sidegate primary.
    #[default]
    Sidegate,
    /// Nothing: it is a GitLab.
    None,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: "http+unix:///run/sidegate-primary/api.sock".to_owned(),
            feed: FeedKind::Sidegate,
            sync_secret_file: Some("/etc/sidegate/sync_secret".into()),
            shell_secret_file: None,
            ca_file: None,
            insecure_http: false,
            timeout: Duration::from_secs(2),
            forward_timeout: Duration::from_secs(60),
        }
    }
}

/// How a primary is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UrlKind {
    Unix,
    Loopback,
    PlainHttp,
    Https,
}

impl UpstreamConfig {
    pub(super) fn validate(&self) -> Result<(), InvalidSetting> {
        let unless = |holds, key: &str, reason: &str| InvalidSetting::ensure(holds, &format!("primary.{key}"), reason);
        let way =
            parse_url_kind(&self.url).map_err(|reason| InvalidSetting { key: "primary.url".to_owned(), reason: reason.to_owned() })?;
        let plain = "http:// to another host shows keys and tokens to the network; use https://, or say `insecure_http = true`";
        unless(way != UrlKind::PlainHttp || self.insecure_http, "url", plain)?;
        unless(way == UrlKind::Https || self.ca_file.is_none(), "ca_file", "is read only for an https:// `url`")?;
        let secret = "following a sidegate primary needs the followers' secret; in front of a GitLab say `feed = \"none\"`";
        unless(self.feed == FeedKind::None || self.sync_secret_file.is_some(), "sync_secret_file", secret)?;
        unless(
            !self.timeout.is_zero() && self.timeout < LOOKUP_TIMEOUT,
            "timeout",
            "more than 0 and less than the 5s that sshd's helper waits",
        )?;
        unless(self.timeout <= self.forward_timeout, "forward_timeout", "at least `primary.timeout`")?;
        unless(self.forward_timeout <= Duration::from_secs(3600), "forward_timeout", "at most 1h")
    }
}

fn parse_url_kind(url: &str) -> Result<UrlKind, &'static str> {
    const FORMS: &str = "is http+unix:///absolute/path.sock, http://host[:port][/root] or https://host[:port][/root]";
    if let Some(path) = url.strip_prefix("http+unix://") {
        let absolute = path.starts_with('/') || path.get(..3).is_some_and(|first| first.eq_ignore_ascii_case("%2f"));
        return if absolute && !path.contains(['?', '#']) { Ok(UrlKind::Unix) } else { Err(FORMS) };
    }
    let uri: Uri = url.parse().map_err(|_| FORMS)?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(FORMS)?;
    if authority.as_str().contains('@') {
        return Err("holds a user and a password, which would be logged; sidegate signs with its secret");
    }
    if uri.host().is_none_or(str::is_empty) || uri.query().is_some() || url.contains('#') {
        return Err(FORMS);
    }
    match scheme {
        "https" => Ok(UrlKind::Https),
        "http" if is_loopback(authority.host()) => Ok(UrlKind::Loopback),
        "http" => Ok(UrlKind::PlainHttp),
        _ => Err(FORMS),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FeedKind, UpstreamConfig, UrlKind, parse_url_kind};

    #[test]
    fn a_url_has_one_of_three_forms() {
        for url in ["http+unix:///run/x.sock", "http+unix://%2Frun%2fx.sock"] {
            assert_eq!(parse_url_kind(url), Ok(UrlKind::Unix), "{url}");
        }
        for url in ["http://localhost:8080", "http://127.0.0.2/gitlab", "http://[::1]:80/"] {
            assert_eq!(parse_url_kind(url), Ok(UrlKind::Loopback), "{url}");
        }
        assert_eq!(parse_url_kind("https://git.example/gitlab"), Ok(UrlKind::Https));
        assert_eq!(parse_url_kind("http://git.example"), Ok(UrlKind::PlainHttp));
        assert_eq!(parse_url_kind("http://localhost.git.example"), Ok(UrlKind::PlainHttp));
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
        ] {
            assert!(parse_url_kind(url).is_err(), "{url}");
        }
        assert!(parse_url_kind("https://user:word@git.example").unwrap_err().contains("password"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let complaint = |change: fn(&mut UpstreamConfig)| {
            let mut upstream = UpstreamConfig::default();
            change(&mut upstream);
            upstream.validate().unwrap_err().key
        };
        assert_eq!(complaint(|upstream| upstream.url = "http://git.example".to_owned()), "primary.url");
        assert_eq!(complaint(|upstream| upstream.ca_file = Some("/ca".into())), "primary.ca_file");
        assert_eq!(complaint(|upstream| upstream.sync_secret_file = None), "primary.sync_secret_file");
        assert_eq!(complaint(|upstream| upstream.timeout = Duration::ZERO), "primary.timeout");
        assert_eq!(complaint(|upstream| upstream.timeout = Duration::from_secs(5)), "primary.timeout");
        assert_eq!(complaint(|upstream| upstream.forward_timeout = Duration::from_secs(1)), "primary.forward_timeout");
    }

    #[test]
    fn a_gitlab_needs_no_secret_of_followers_and_plain_http_a_word() {
        let upstream = UpstreamConfig {
            url: "http://git.example".to_owned(),
            insecure_http: true,
            feed: FeedKind::None,
            sync_secret_file: None,
            ..UpstreamConfig::default()
        };
        assert_eq!(upstream.validate(), Ok(()));
    }
}
