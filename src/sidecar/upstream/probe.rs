//! The probe: a question of our own that finds out whether an address of the primary answers, so that nobody's login has to.
//!
//! It is asked in the background, on a connection of its own and outside the concurrency limit, so no caller can take its place. While
//! all is well it is hardly asked: it is woken by a request that failed, by one that is without an answer for a second, and by a feed
//! that is silent; where no feed says that the primary is there, once a minute while nobody asks. While it fails it is asked about every
//! second, and the next does not wait for the one before: so it notices that the primary is back also where what was sent before is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::model::clock;
use crate::model::freshness::DirectoryReplica;
use crate::model::key::decode_blob;
use crate::model::time::BootTime;
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::SendLimits;
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::upstream::addresses::PrimaryAddress;
use crate::sidecar::upstream::breaker::{FailedProbe, OutageKind};
use crate::sidecar::upstream::health::PrimaryHealth;
use crate::sidecar::upstream::query::{ExchangeError, QueryConnection, UpstreamQuery};
use crate::wire::auth::credentials::CredentialVerifier;

/// The key that is asked for, as sshd would: Ed25519, its point a hash, so that nobody holds its private half.
const PROBE_KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJ3v4pPzl/RH2u+y+zqItjOIbc/jXK3woxeuQWri1GnW";
/// The shortest time between two probes. While the primary fails it is twice that at most, jittered, so that the hosts of a fleet do not
/// ask at one moment.
const INTERVAL: Duration = Duration::from_millis(750);
/// Above this age the feed is silent: its heartbeats come every 5 s.
const SILENT_FEED: Duration = Duration::from_secs(6);
/// How often it is asked because the feed is silent, while it is answered.
const SILENT_FEED_INTERVAL: Duration = Duration::from_secs(5);

/// Without a feed it is asked once nobody was answered for so long: otherwise the first to hear of an outage is who logs in.
const IDLE_INTERVAL: Duration = Duration::from_secs(60);

/// Asks the probe's question.
pub struct PrimaryProbe {
    health: Arc<PrimaryHealth>,
    client: HttpClient,
    signer: Arc<CredentialVerifier>,
    replica: Arc<dyn DirectoryReplica>,
    follows_feed: bool,
    started_at: BootTime,
    time_limit: Duration,
    query: UpstreamQuery,
}

/// What the probe is woken by, at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Signals {
    is_failing: bool,
    failure_seen: bool,
    is_answer_overdue: bool,
    /// The age of the feed's last proof; nothing where no feed is followed.
    feed_age: Option<Duration>,
    /// The time since the primary answered last, whoever asked.
    since_answer: Option<Duration>,
    /// The time since this host was started.
    since_start: Duration,
}

impl PrimaryProbe {
    /// Creates a sidecar's probe of one address; nothing is sent yet.
    pub fn new(config: &SidecarConfig, address: &PrimaryAddress) -> Arc<Self> {
        Arc::new(Self {
            health: Arc::clone(&address.health),
            client: address.client.clone(),
            signer: Arc::clone(&config.token_signer),
            replica: Arc::clone(&config.replica),
            follows_feed: config.follows_feed,
            started_at: clock::boot_time(),
            time_limit: config.timeout,
            query: UpstreamQuery::authorized_keys(decode_blob(PROBE_KEY).unwrap_or_default(), PROBE_KEY),
        })
    }

    /// Asks whenever there is reason to, until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut rest = Duration::ZERO;
        loop {
            sleep(rest).await;
            let longest = INTERVAL.mul_f64(1.0 + fastrand::f64()).saturating_sub(rest);
            tokio::select! {
                () = self.health.wait_for_failure() => {}
                () = sleep(longest) => {}
            }
            let is_due = self.signals(clock::boot_time()).is_due();
            if is_due {
                tokio::spawn(Arc::clone(&self).ask());
            }
            rest = if is_due { INTERVAL } else { Duration::ZERO };
        }
    }

    fn signals(&self, now: BootTime) -> Signals {
        let feed_age = || self.replica.read().age(now).unwrap_or(Duration::MAX);
        Signals {
            is_failing: self.health.outage().is_some(),
            failure_seen: self.health.take_failure(),
            is_answer_overdue: self.health.is_answer_overdue(now),
            feed_age: self.follows_feed.then(feed_age),
            since_answer: self.health.last_answer().map(|answer| now.since(answer)),
            since_start: now.since(self.started_at),
        }
    }

    async fn ask(self: Arc<Self>) {
        let (sent_at, sent_at_wall) = (clock::boot_time(), clock::wall_time());
        let limits = SendLimits::total(self.time_limit);
        let exchange = self.query.send(&self.client, &self.signer, QueryConnection::Dedicated, limits, sent_at_wall);
        let failed = match timeout(self.time_limit, exchange).await {
            Ok(Ok(_decision)) => return self.health.record_answered_probe(),
            // It is asked too often: by somebody who is there.
            Ok(Err(ExchangeError::NoDecision { status, .. })) if status.as_u16() == 429 => return self.health.record_answered_probe(),
            Ok(Err(ExchangeError::NoDecision { status, reason, .. })) if matches!(status.as_u16(), 401 | 403) => {
                (OutageKind::Refusal, reason)
            }
            Ok(Err(ExchangeError::NoDecision { reason, .. })) => (OutageKind::NoDecision, reason),
            Ok(Err(ExchangeError::NoResponse { reason, .. })) => (OutageKind::Silence, reason),
            Ok(Err(ExchangeError::Unwritable)) => return tracing::error!("the probe cannot be written as a request"),
            Err(_late) => (OutageKind::Silence, format!("no answer within {:?}", self.time_limit)),
        };
        let (kind, reason) = failed;
        self.health.record_failed_probe(FailedProbe { sent_at, sent_at_wall, kind, reason: reason.into() });
    }
}

impl Signals {
    /// Returns whether there is reason to ask.
    fn is_due(self) -> bool {
        let is_feed_silent = self.feed_age.is_some_and(|age| age > SILENT_FEED);
        let was_answered = self.since_answer.is_some_and(|passed| passed < SILENT_FEED_INTERVAL);
        let is_idle = self.feed_age.is_none() && self.since_answer.unwrap_or(self.since_start) >= IDLE_INTERVAL;
        self.is_failing || self.failure_seen || self.is_answer_overdue || (is_feed_silent && !was_answered) || is_idle
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{IDLE_INTERVAL, PROBE_KEY, SILENT_FEED, SILENT_FEED_INTERVAL, Signals};
    use crate::model::key::{PublicKey, decode_blob};

    #[test]
    fn the_key_that_is_asked_for_is_one_that_any_primary_can_read() {
        let key: PublicKey = format!("ssh-ed25519 {PROBE_KEY}").parse().unwrap();
        assert_eq!(decode_blob(PROBE_KEY).as_deref(), Some(key.blob()));
    }

    #[test]
    fn it_is_asked_for_a_reason_and_about_a_silent_feed_not_more_often_than_the_feed_speaks() {
        let due = |change: fn(&mut Signals)| {
            let mut signals = Signals { feed_age: Some(Duration::from_secs(5)), since_answer: Some(Duration::ZERO), ..Signals::default() };
            change(&mut signals);
            signals.is_due()
        };
        assert!(!due(|_| {}));
        assert!(due(|signals| signals.is_failing = true));
        assert!(due(|signals| signals.failure_seen = true));
        assert!(due(|signals| signals.is_answer_overdue = true));
        assert!(!due(|signals| signals.feed_age = Some(SILENT_FEED * 2)), "it answered a moment ago");
        assert!(due(|signals| (signals.feed_age, signals.since_answer) = (Some(SILENT_FEED * 2), Some(SILENT_FEED_INTERVAL))));
        assert!(due(|signals| (signals.feed_age, signals.since_answer) = (Some(Duration::MAX), None)), "never heard of");
        assert!(!due(|signals| (signals.feed_age, signals.since_answer) = (None, None)), "in front of a GitLab");
    }

    #[test]
    fn without_a_feed_it_is_asked_once_nobody_was_answered_for_a_minute() {
        let due = |since_answer: Option<Duration>, since_start: Duration, feed_age: Option<Duration>| {
            Signals { feed_age, since_answer, since_start, ..Signals::default() }.is_due()
        };
        let moment = Duration::from_secs(1);
        assert!(due(None, IDLE_INTERVAL, None), "nobody has asked since the start");
        assert!(!due(None, IDLE_INTERVAL - moment, None), "the start was a moment ago");
        assert!(due(Some(IDLE_INTERVAL), 10 * IDLE_INTERVAL, None), "nobody has asked for a minute");
        assert!(!due(Some(IDLE_INTERVAL - moment), 10 * IDLE_INTERVAL, None), "somebody was answered");
        assert!(!due(Some(10 * IDLE_INTERVAL), 10 * IDLE_INTERVAL, Some(moment)), "the feed says that the primary is there");
    }
}
