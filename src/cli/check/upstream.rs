//! Asks the primary of a host, and the mirror whose feed it follows, what the host will ask them: do they answer, do they take both
//! secrets, and is their clock ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_TYPE, DATE};

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::bounds;
use crate::cli::check::clock;
use crate::cli::check::findings::Findings;
use crate::cli::config::serve::{FeedOrigin, ServeConfig};
use crate::cli::ids;
use crate::model::clock as system_clock;
use crate::model::time::Time;
use crate::net::body::OutgoingBody;
use crate::net::client::http_client::HttpClient;
use crate::net::client::primary_url::PrimaryUrl;
use crate::wire::auth::credentials::{CredentialVerifier, SHELL_TOKEN_HEADER};
use crate::wire::auth::jwt::{Issuer, issue_token};
use crate::wire::auth::secret::Secret;

/// The header of a follower's token.
const SYNC_TOKEN_HEADER: &str = "Sidegate-Sync-Request";

/// Whom a host asks and follows.
pub struct Upstream {
    clients: Vec<HttpClient>,
    feed: Option<HttpClient>,
}

impl Upstream {
    /// Prepares to ask, as the daemon's user; `None`, with a finding, for a URL or a file of certificates that cannot be used.
    pub fn open(config: &ServeConfig, daemon: &DaemonUser, found: &mut Findings) -> Option<Self> {
        let opened = daemon.act(|| {
            let clients = config.primary.open_clients().map_err(|error| format!("primary: {error}"))?;
            let feed = config.feed.open_client(&config.primary).map_err(|error| format!("feed: {error}"))?;
            Ok::<_, String>(Self { clients, feed })
        });
        opened.map_err(|error| found.refuse(error, "name a file of certificates in PEM that the daemon's user may read")).ok()
    }

    /// Asks each address of the primary with the shell secret.
    pub fn ask_primary(&self, signing: Option<Secret>, config: &ServeConfig, daemon: &DaemonUser, found: &mut Findings) {
        let Some(signing) = signing else { return not_asked("primary", "shell", found) };
        let signer = CredentialVerifier::new(signing, 1);
        for client in &self.clients {
            let name = match self.clients.as_slice() {
                [_] => "primary".to_owned(),
                _ => format!("primary at {}", client.display_name()),
            };
            let token = signer.issue_shell_token(system_clock::wall_time());
            let request =
                Request::get("/api/v4/internal/check").header(SHELL_TOKEN_HEADER, token).body(OutgoingBody::from_bytes(Bytes::new()));
            let asked = daemon.act(|| send(client, request, config.primary.timeout));
            judge_primary(&name, &asked, config, found);
            judge_clock(&name, &asked, found);
        }
    }

    /// Asks whoever has the feed, with the sync secret, by a report of no use at all, which changes nothing there. `knows_following`: whether
    /// the daemon has said itself whether it follows, which that answer does not say.
    pub fn ask_feed(&self, sync: Option<Secret>, config: &ServeConfig, daemon: &DaemonUser, knows_following: bool, found: &mut Findings) {
        let Some(client) = self.feed.as_ref().or_else(|| self.clients.first()).filter(|_| config.feed_origin() != FeedOrigin::None) else {
            return;
        };
        let Some(secret) = sync else { return not_asked("feed", "sync", found) };
        let host = match config.host.clone().map_or_else(ids::hostname, Ok) {
            Ok(host) => host,
            Err(error) => return found.refuse(error, "say `host` in the configuration"),
        };
        let token = issue_token(Issuer::Follower, Some(&host), &secret, system_clock::wall_time());
        let request = Request::post("/api/v4/internal/sidegate/usage")
            .header(SYNC_TOKEN_HEADER, token)
            .header(CONTENT_TYPE, "application/json")
            .body(OutgoingBody::from_bytes("{}"));
        let asked = daemon.act(|| send(client, request, config.primary.timeout));
        judge_feed(&asked, knows_following, found);
    }
}

fn not_asked(whom: &str, secret: &str, found: &mut Findings) {
    found.warn(format!("{whom}: not asked, since the {secret} secret could not be read"), "see what is said of that secret here");
}

/// Finds a primary or feed that is the socket of this host itself: every question would come back as a question.
pub fn is_own_socket(config: &ServeConfig, found: &mut Findings) -> bool {
    let named = config.primary.url.iter().map(|url| ("primary.url", url)).chain(config.feed.url.iter().map(|url| ("feed.url", url)));
    let mut own = false;
    for (key, url) in named {
        if let Ok(PrimaryUrl::Unix(path)) = PrimaryUrl::parse(url, true)
            && is_same_file(&path, &config.socket.path)
        {
            own = true;
            let what = format!("{key}: {url} is this host's own socket, so its questions come back to itself and are never answered");
            found.fail(what, "name the primary's socket (http+unix:///run/sidegate-primary/api.sock) or its https:// URL");
        }
    }
    own
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// An answer, and this host's time before and after it.
struct Answered {
    status: u16,
    date: Option<Time>,
    before: Time,
    after: Time,
}

fn send(client: &HttpClient, request: Result<Request<OutgoingBody>, http::Error>, limit: Duration) -> Result<Answered, String> {
    let request = request.map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let before = system_clock::wall_time();
    let response = runtime.block_on(client.send(request, limit)).map_err(|error| error.to_string())?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(parse_http_date);
    Ok(Answered { status: response.status().as_u16(), date, before, after: system_clock::wall_time() })
}

fn parse_http_date(text: &str) -> Option<Time> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Time::from_milliseconds(parsed.as_millisecond())
}

fn judge_primary(name: &str, asked: &Result<Answered, String>, config: &ServeConfig, found: &mut Findings) {
    match asked.as_ref().map(|answered| answered.status) {
        Ok(200) => found.ok(format!("{name}: answers, and takes our token")),
        Ok(401) => found.fail(
            format!("{name}: refuses our token (401): its shell secret is another, or a clock is wrong"),
            "write the primary's shell secret into the file of auth.shell_secret_file, or of primary.shell_secret_file; compare both clocks",
        ),
        Ok(status @ (500.. | 429)) => {
            let what = format!("{name}: answers `check` with status {status}; {}", bounds::outage_consequence(config));
            found.warn(what, "see its log, and that of a proxy before it");
        }
        Ok(status) => {
            let what = format!("{name}: answers `check` with status {status}, as no primary does");
            found.fail(what, "correct primary.url: does it name the primary itself, and the path that GitLab is installed below?");
        }
        Err(reason) => {
            let what = format!("{name}: {reason}; {}", bounds::outage_consequence(config));
            found.warn(what, "start it, or correct primary.url; see whether this host reaches it");
        }
    }
}

fn judge_feed(asked: &Result<Answered, String>, knows_following: bool, found: &mut Findings) {
    match asked.as_ref().map(|answered| answered.status) {
        Ok(200 | 204) if knows_following => found.ok("feed: answers, and takes our token"),
        Ok(200 | 204) => found.ok("feed: its usage endpoint takes our token; `sidegate status` says whether this host follows"),
        Ok(status @ (401 | 403)) => found.fail(
            format!("feed: refuses our token ({status}): its sync secret is another, or a clock is wrong, so this host does not follow"),
            "write the sync secret of the primary, or of the mirror, into the file of sync_secret_file; compare both clocks",
        ),
        Ok(status @ (500.. | 429)) => {
            found.warn(
                format!("feed: answers with status {status}; keys that this host has followed are given"),
                "see the log of what has the feed",
            );
        }
        Ok(status) => found.fail(
            format!("feed: answers with status {status}, as nothing does that has a feed"),
            "name the primary or the mirror itself, in primary.url or feed.url; a GitLab has no feed: primary.feed = \"none\"",
        ),
        Err(reason) => found.warn(
            format!("feed: {reason}; keys that this host has followed are given as freshness.keys says"),
            "start what has the feed, or correct its URL; see whether this host reaches it",
        ),
    }
}

fn judge_clock(name: &str, asked: &Result<Answered, String>, found: &mut Findings) {
    if let Ok(Answered { date: Some(theirs), before, after, .. }) = asked {
        clock::check_difference(name, *before, *theirs, *after, found);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Answered, is_own_socket, judge_feed, judge_primary, parse_http_date};
    use crate::cli::check::findings::{Findings, Level};
    use crate::cli::config::file;
    use crate::cli::config::serve::ServeConfig;
    use crate::model::time::Time;

    fn config(text: &str) -> ServeConfig {
        file::parse(Path::new("sidegate.toml"), text).unwrap()
    }

    fn answered(status: u16) -> Result<Answered, String> {
        Ok(Answered { status, date: None, before: Time::EPOCH, after: Time::EPOCH })
    }

    #[test]
    fn a_refused_token_is_an_error_and_an_outage_a_warning_that_says_what_goes_on() {
        let levels = |asked: &dyn Fn() -> Result<Answered, String>| {
            let mut found = Findings::default();
            judge_primary("primary", &asked(), &config(""), &mut found);
            judge_feed(&asked(), true, &mut found);
            [found.as_slice()[0].level, found.as_slice()[1].level]
        };
        assert_eq!(levels(&|| answered(401)), [Level::Error; 2]);
        assert_eq!(levels(&|| answered(502)), [Level::Warning; 2]);
        assert_eq!(levels(&|| answered(404)), [Level::Error; 2]);
        assert_eq!(levels(&|| Err("cannot connect".to_owned())), [Level::Warning; 2]);
        let mut found = Findings::default();
        judge_primary("primary", &Err("cannot connect to /p".to_owned()), &config("[primary]\nfeed = \"none\""), &mut found);
        assert_eq!(
            found.as_slice()[0].what,
            "primary: cannot connect to /p; the sidecar will answer from what it keeps, and what was not asked here before gets 424"
        );
    }

    #[test]
    fn that_the_feed_takes_the_token_is_not_said_to_be_following() {
        let said = |knows_following| {
            let mut found = Findings::default();
            judge_feed(&answered(204), knows_following, &mut found);
            found.as_slice()[0].what.clone()
        };
        assert_eq!(said(true), "feed: answers, and takes our token");
        assert_eq!(said(false), "feed: its usage endpoint takes our token; `sidegate status` says whether this host follows");
    }

    #[test]
    fn a_host_that_asks_itself_is_found_however_the_socket_is_written() {
        let own = |text: &str| {
            let mut found = Findings::default();
            is_own_socket(&config(text), &mut found) && found.count(Level::Error) == 1
        };
        assert!(own("[primary]\nurl = \"http+unix:///run/sidegate/api.sock\""));
        assert!(own("[primary]\nurl = \"http+unix://%2Frun%2Fsidegate%2Fapi.sock\"\nfeed = \"none\""));
        assert!(own("[primary]\nurl = \"https://git\"\nfeed = \"none\"\n[feed]\nurl = \"http+unix:///run/sidegate/api.sock\""));
        assert!(!own("") && !own("[primary]\nurl = \"https://git\""));
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        assert_eq!(parse_http_date("Sat, 28 Nov 2026 12:00:00 GMT"), Some("2026-11-28T12:00:00Z".parse().unwrap()));
        assert_eq!([parse_http_date(""), parse_http_date("yesterday")], [None; 2]);
    }
}
