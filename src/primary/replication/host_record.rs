//! What is known of one host that follows: what it acknowledged, when it last got a line, and for how long it may serve without the primary.
//!
//! A host may say yes until the largest of its bounds has passed since the primary last wrote it a line. That time is counted as in
//! [`ProvenElapsed`]; the wall clock is only for people. The bound is never taken to be smaller than what the host may use: it grows as
//! soon as a larger one is claimed, and shrinks only when no request that claimed the larger one can still be under way.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::request::RequestTime;
use crate::model::change::Epoch;
use crate::model::clock_reading::BootId;
use crate::model::digest::Digest;
use crate::model::time::{BootTime, Time};
use crate::primary::replication::host_report::HostReport;
use crate::primary::replication::proven_elapsed::{ProvenElapsed, SavedElapsed};
use crate::wire::directory::feed_lines::Ack;

/// How long a smaller bound is claimed before it counts. A request's token is refused after at most three minutes, so by then no request
/// that was sent before the host took the larger one can arrive any more.
const LOWER_BOUND_DELAY: Duration = Duration::from_secs(300);
/// A host that has been away for less is still stored as connected: most come back at once, and need no write then.
const RECONNECT_TIME: Duration = Duration::from_secs(60);
/// How often the time is stored for which a host has been away.
const ELAPSED_STORE_INTERVAL: Duration = Duration::from_secs(600);
/// The clocks of two machines differ in speed by less than one part in this many.
const CLOCK_DRIFT_DIVISOR: u32 = 1000;
/// What rounding to milliseconds and seconds may hide.
const ROUNDING_MARGIN: Duration = Duration::from_secs(1);

/// Names one host: by its name and the store it has there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostKey {
    /// The subject of its token.
    pub name: Arc<str>,
    /// The random id of its store; `None` for the streams of a version that does not name it.
    pub instance: Option<Arc<str>>,
}

/// What is known of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRecord {
    /// Its last acknowledgement.
    pub acked: Option<LastAck>,
    /// When it was last connected, or acknowledged something; for people.
    pub seen: Time,
    /// How many streams it has open now.
    pub open_streams: usize,
    /// Whether it names its instance and its bound when it opens a stream. Older versions only acknowledge the bound of keys.
    pub names_instance: bool,
    /// Whether the streams of a host without an instance are those of an instance that has acknowledged something.
    pub is_identified: bool,
    /// What it said last of its version and its alarms.
    pub report: HostReport,
    /// The largest bound that it may use, in seconds; `None` if it never said.
    max_stale: Option<u64>,
    /// When it last claimed that bound.
    claimed_at: BootTime,
    /// The time since it was last written to, or heard of.
    contact: ProvenElapsed,
    /// What is on disk.
    stored: Option<StoredHost>,
}

/// What a host acknowledged: in force in its answers, and on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAck {
    /// The epoch of `seq`.
    pub epoch: Epoch,
    /// The last commit that it applied.
    pub seq: u64,
    /// The digest of its directory.
    pub digest: Digest,
    /// For how many seconds it may answer without the primary: the largest of the bounds of all classes, rounded up. Versions before
    /// 2026-11-27 said the bound of keys only.
    pub max_stale: u64,
    /// Which store of the host acknowledged it.
    pub instance: String,
    /// When it acknowledged it.
    pub at: Time,
}

/// A host as it is stored. Earlier versions stored `acked` and `seen` only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHost {
    /// Its last acknowledgement.
    pub acked: Option<LastAck>,
    seen: Time,
    #[serde(default)]
    max_stale: Option<u64>,
    /// `None` if an earlier version stored it, which may have written to the host later than that.
    #[serde(default)]
    contact: Option<SavedElapsed>,
    /// Whether it may have been written to after this was stored.
    #[serde(default)]
    connected: bool,
    #[serde(default)]
    names_instance: bool,
    #[serde(default)]
    identified: bool,
}

impl HostRecord {
    /// Returns a host that was never seen before.
    #[must_use]
    pub const fn new(now: RequestTime) -> Self {
        Self {
            acked: None,
            seen: now.wall,
            open_streams: 0,
            names_instance: false,
            is_identified: false,
            report: HostReport::NONE,
            max_stale: None,
            claimed_at: now.boot,
            contact: ProvenElapsed::starting_at(now.boot),
            stored: None,
        }
    }

    /// Returns the largest bound that it may use, in seconds. For a host that does not name its bounds that is at least `longest`: what it
    /// acknowledges may be the bound of keys only.
    #[must_use]
    pub fn bound(&self, longest: u64) -> u64 {
        match self.max_stale {
            Some(max_stale) if self.names_instance => max_stale,
            Some(max_stale) => max_stale.max(longest),
            None => longest,
        }
    }

    /// Returns the bound that it said a moment ago, in seconds.
    #[must_use]
    pub fn recent_claim(&self, now: BootTime) -> Option<u64> {
        self.max_stale.filter(|_| now.since(self.claimed_at) < LOWER_BOUND_DELAY)
    }

    /// Returns for how much longer it may answer without the primary, if it is not written to again; zero once it may not any more.
    #[must_use]
    pub fn may_serve_for(&self, longest: u64, now: BootTime) -> Duration {
        serving_time(self.bound(longest)).saturating_sub(self.contact.elapsed(now))
    }

    /// Notes that the host was written to, or heard of.
    pub const fn touch(&mut self, now: RequestTime) {
        self.seen = now.wall;
        self.contact = ProvenElapsed::starting_at(now.boot);
    }

    /// Notes the bound that the host claims, in seconds.
    pub fn claim(&mut self, max_stale: u64, now: BootTime) {
        let is_lower = self.max_stale.is_some_and(|known| max_stale < known);
        if !is_lower || now.since(self.claimed_at) >= LOWER_BOUND_DELAY {
            self.max_stale = Some(max_stale);
            self.claimed_at = now;
        }
    }

    /// Notes an acknowledgement of a state that this primary had.
    pub fn record_ack(&mut self, ack: Ack, now: Time) {
        let Ack { epoch, seq, digest, max_stale, instance } = ack;
        self.acked = Some(LastAck { epoch, seq, digest, max_stale, instance, at: now });
    }

    // On disk

    /// Returns a host that was stored. One that may have been written to until the primary ended counts from now: when it was last written
    /// to is not known.
    #[must_use]
    pub fn restore(stored: StoredHost, now: RequestTime, boot_id: Option<&BootId>) -> Self {
        let known_contact = stored.contact.as_ref().filter(|_| !stored.connected);
        let contact = known_contact.map(|saved| ProvenElapsed::restore(saved, now.boot, boot_id));
        Self {
            acked: stored.acked.clone(),
            seen: if stored.connected { now.wall } else { stored.seen },
            open_streams: 0,
            names_instance: stored.names_instance,
            is_identified: stored.identified,
            report: HostReport::NONE,
            max_stale: stored.max_stale.or_else(|| stored.acked.as_ref().map(|acked| acked.max_stale)),
            claimed_at: now.boot,
            contact: contact.unwrap_or_else(|| ProvenElapsed::starting_at(now.boot)),
            stored: Some(stored),
        }
    }

    /// Returns it as it is to be stored. `connected`: whether it may be written to from now on without another store.
    #[must_use]
    pub fn to_stored(&self, connected: bool, now: BootTime, boot_id: Option<&BootId>) -> StoredHost {
        StoredHost {
            acked: self.acked.clone(),
            seen: self.seen,
            max_stale: self.max_stale,
            contact: Some(self.contact.save(now, boot_id)),
            connected,
            names_instance: self.names_instance,
            identified: self.is_identified,
        }
    }

    /// Remembers what is on disk.
    pub fn set_stored(&mut self, stored: Option<StoredHost>) {
        self.stored = stored;
    }

    /// Returns whether what is on disk is enough for the host to be written to, and to use the bound that it claims.
    #[must_use]
    pub fn is_covered_on_disk(&self) -> bool {
        self.stored
            .as_ref()
            .is_some_and(|stored| stored.connected && stored.max_stale >= self.max_stale && (stored.names_instance == self.names_instance))
    }

    /// Returns whether it is to be stored as connected. A host that comes back soon needs no write for that.
    #[must_use]
    pub fn is_stored_as_connected(&self, connected: bool, now: BootTime) -> bool {
        let was = self.stored.as_ref().is_none_or(|stored| stored.connected);
        connected || (was && self.contact.elapsed(now) < RECONNECT_TIME)
    }

    /// Returns whether the record is to be stored anew now and then: it changed, or what it counts has gone on for a while.
    #[must_use]
    pub fn is_store_due(&self, connected: bool, longest: u64, now: BootTime) -> bool {
        let Some(stored) = &self.stored else { return true };
        let counted = stored.contact.as_ref().map_or(Duration::ZERO, SavedElapsed::elapsed);
        let is_lapsed_on_disk = counted >= serving_time(self.bound(longest));
        stored.acked != self.acked
            || stored.max_stale != self.max_stale
            || stored.names_instance != self.names_instance
            || stored.identified != self.is_identified
            || stored.contact.is_none()
            || stored.connected != connected
            || (!connected && !is_lapsed_on_disk && self.contact.elapsed(now) >= counted.saturating_add(ELAPSED_STORE_INTERVAL))
    }
}

/// Returns for how long after its last line a host with this bound may serve, on the primary's clock.
#[must_use]
pub fn serving_time(bound: u64) -> Duration {
    let bound = Duration::from_secs(bound);
    bound.saturating_add(bound / CLOCK_DRIFT_DIVISOR).saturating_add(ROUNDING_MARGIN)
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::{HostRecord, LOWER_BOUND_DELAY, RECONNECT_TIME, StoredHost, serving_time};
    use crate::api::request::RequestTime;
    use crate::model::change::Epoch;
    use crate::model::clock_reading::BootId;
    use crate::model::digest::Digest;
    use crate::model::time::{BootTime, Time};
    use crate::wire::directory::feed_lines::Ack;

    const DAY: u64 = 86_400;

    pub fn at(seconds: u64) -> RequestTime {
        RequestTime { wall: Time::EPOCH.plus(Duration::from_secs(seconds)), boot: BootTime(Duration::from_secs(seconds)) }
    }

    pub fn ack(seq: u64, instance: &str, max_stale: u64) -> Ack {
        Ack { epoch: Epoch(1), seq, digest: Digest::default(), max_stale, instance: instance.to_owned() }
    }

    fn host(max_stale: u64) -> HostRecord {
        let mut host = HostRecord::new(at(0));
        host.names_instance = true;
        host.claim(max_stale, at(0).boot);
        host
    }

    fn boot() -> BootId {
        BootId::parse("a").unwrap()
    }

    #[test]
    fn a_wall_clock_that_is_ahead_for_a_moment_makes_no_host_lapse() {
        let mut host = host(3600);
        host.touch(RequestTime { wall: Time::LAST, boot: at(10).boot });
        assert_eq!(host.may_serve_for(DAY, at(10).boot), serving_time(3600));
        host.touch(at(20));
        assert_eq!(host.seen, at(20).wall, "and what people are shown is right again");
        assert!(host.may_serve_for(DAY, at(20 + 3600).boot) > Duration::ZERO);
        assert_eq!(host.may_serve_for(DAY, at(20 + 3600 + 5).boot), Duration::ZERO);
    }

    #[test]
    fn a_bound_grows_at_once_and_shrinks_only_when_no_request_of_before_can_be_under_way() {
        let mut host = host(60);
        host.claim(3600, at(1).boot);
        assert_eq!(host.bound(DAY), 3600);
        host.claim(60, at(2).boot);
        assert_eq!(host.bound(DAY), 3600, "it may have been sent before the other");
        host.claim(60, BootTime(at(1).boot.0 + LOWER_BOUND_DELAY));
        assert_eq!(host.bound(DAY), 60);
    }

    #[test]
    fn a_host_that_does_not_say_its_bounds_may_serve_for_as_long_as_any() {
        let mut host = HostRecord::new(at(0));
        assert_eq!(host.bound(DAY), DAY);
        host.claim(3600, at(0).boot);
        assert_eq!(host.bound(DAY), DAY, "an older version says the bound of keys only");
        host.names_instance = true;
        assert_eq!(host.bound(DAY), 3600);
    }

    #[test]
    fn a_host_that_was_connected_when_the_primary_was_killed_counts_from_the_start() {
        let host = host(3600);
        let stored = host.to_stored(true, at(100).boot, Some(&boot()));
        let restored = HostRecord::restore(stored, at(50_000), Some(&boot()));
        assert_eq!(restored.may_serve_for(DAY, at(50_000).boot), serving_time(3600));
        let stored = host.to_stored(false, at(100).boot, Some(&boot()));
        let restored = HostRecord::restore(stored, at(1_000), Some(&boot()));
        assert_eq!(restored.may_serve_for(DAY, at(1_000).boot), serving_time(3600) - Duration::from_secs(1_000));
    }

    #[test]
    fn what_is_on_disk_covers_a_host_only_with_its_connection_and_its_bound() {
        let mut host = host(3600);
        assert!(!host.is_covered_on_disk() && host.is_store_due(false, DAY, at(0).boot));
        host.set_stored(Some(host.to_stored(false, at(0).boot, None)));
        assert!(!host.is_covered_on_disk());
        host.set_stored(Some(host.to_stored(true, at(0).boot, None)));
        assert!(host.is_covered_on_disk() && !host.is_store_due(true, DAY, at(1_000_000).boot));
        assert!(host.is_stored_as_connected(false, at(1).boot), "it may be back in a moment");
        assert!(!host.is_stored_as_connected(false, at(RECONNECT_TIME.as_secs()).boot));
        host.claim(7200, at(1).boot);
        assert!(!host.is_covered_on_disk() && host.is_store_due(true, DAY, at(1).boot));
    }

    #[test]
    fn a_record_of_an_earlier_version_is_read_and_counts_from_now() {
        let text = r#"{"acked":{"epoch":"00000000000000000000000000000001","seq":9,
            "digest":"0000000000000000000000000000000000000000000000000000000000000000","max_stale":3600,"instance":"i",
            "at":"2026-01-31T12:00:00.000Z"},"seen":"2026-01-31T12:00:00.000Z","twice":null}"#;
        let stored: StoredHost = serde_json::from_str(text).unwrap();
        let host = HostRecord::restore(stored, at(500), Some(&boot()));
        assert_eq!((host.acked.as_ref().unwrap().seq, host.max_stale, host.names_instance), (9, Some(3600), false));
        assert_eq!(host.may_serve_for(DAY, at(500).boot), serving_time(DAY));
        assert!(host.is_store_due(false, DAY, at(500).boot), "it is stored in the present form");
    }
}
