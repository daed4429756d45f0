//! What is known of one host that follows: what it acknowledged, when it was last seen, and for how long it may serve without the primary.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::change::Epoch;
use crate::model::digest::Digest;
use crate::model::time::Time;
use crate::wire::directory::feed_lines::Ack;

/// How much later than persisted a host may have been seen.
pub const PERSIST_DELAY: Duration = Duration::from_secs(60);
/// For how long after two instances of one host were last seen that is an alarm.
const DUPLICATE_ALARM_TIME: Duration = Duration::from_secs(600);

/// What an operator is told of a host under whose name two stores follow.
pub const DUPLICATE_HOST: &str = "two hosts use this name, or a store was copied: what one of them confirms says nothing about the other";

/// What is known of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its last acknowledgement.
    pub acked: Option<LastAck>,
    /// When it was last connected, or acknowledged something.
    pub seen: Time,
    /// When two instances of it were last seen at the same time.
    #[serde(default)]
    pub twice: Option<Time>,
    /// How many streams it has open now.
    #[serde(skip)]
    pub open_streams: usize,
    /// The instance before the present one.
    #[serde(skip)]
    previous_instance: Option<String>,
    /// Whether it changed since it was persisted.
    #[serde(skip)]
    pub dirty: bool,
    /// The persisted `seen`.
    #[serde(skip)]
    pub persisted_seen: Option<Time>,
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
    /// For how many seconds it may answer keys without the primary.
    pub max_stale: u64,
    /// Which store of the host acknowledged it.
    pub instance: String,
    /// When it acknowledged it.
    pub at: Time,
}

/// Whether a host is one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum InstanceCheck {
    /// The known instance, the first one, or one that replaces the known one.
    Single,
    /// Two instances alternate: two hosts of one name, or a copied store.
    Duplicate,
}

impl HostRecord {
    /// Returns a host that was never seen before.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self { acked: None, seen: now, twice: None, open_streams: 0, previous_instance: None, dirty: true, persisted_seen: None }
    }

    /// Returns until when it may answer keys without the primary; `None` if it never said.
    #[must_use]
    pub fn may_serve_until(&self) -> Option<Time> {
        self.acked.as_ref().map(|acked| self.seen.plus(Duration::from_secs(acked.max_stale)))
    }

    /// Returns whether two instances of it were seen at the same time lately.
    #[must_use]
    pub fn is_duplicated(&self, now: Time) -> bool {
        self.twice.is_some_and(|at| now.since(at) < DUPLICATE_ALARM_TIME)
    }

    /// Notes that the host was seen.
    pub fn touch(&mut self, now: Time) {
        self.seen = self.seen.max(now);
        self.dirty |= self.persisted_seen.is_none_or(|persisted| now.since(persisted) >= PERSIST_DELAY / 2);
    }

    /// Notes an acknowledgement.
    pub fn record_ack(&mut self, ack: Ack, now: Time) -> InstanceCheck {
        self.dirty = true;
        let other = self.acked.as_ref().map(|acked| acked.instance.clone()).filter(|instance| *instance != ack.instance);
        let alternates = other.is_some() && self.previous_instance.as_ref() == Some(&ack.instance);
        if let Some(other) = other {
            self.previous_instance = Some(other);
        }
        if alternates {
            self.twice = Some(now);
        }
        let Ack { epoch, seq, digest, max_stale, instance } = ack;
        self.acked = Some(LastAck { epoch, seq, digest, max_stale, instance, at: now });
        if alternates { InstanceCheck::Duplicate } else { InstanceCheck::Single }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{HostRecord, InstanceCheck};
    use crate::model::change::Epoch;
    use crate::model::digest::Digest;
    use crate::model::time::Time;
    use crate::wire::directory::feed_lines::Ack;

    pub fn ack(seq: u64, instance: &str) -> Ack {
        Ack { epoch: Epoch(1), seq, digest: Digest::default(), max_stale: 3600, instance: instance.to_owned() }
    }

    pub fn host(seq: u64, open: usize) -> (Arc<str>, HostRecord) {
        let mut host = HostRecord::new(Time::EPOCH);
        host.open_streams = open;
        assert_eq!(host.record_ack(ack(seq, "a"), Time::EPOCH), InstanceCheck::Single);
        (format!("host-{seq}-{open}").into(), host)
    }

    #[test]
    fn a_replaced_store_is_no_alarm_but_two_alternating_ones_are() {
        let (_, mut host) = host(1, 1);
        assert_eq!(host.record_ack(ack(2, "b"), Time::EPOCH), InstanceCheck::Single);
        assert_eq!(host.record_ack(ack(3, "b"), Time::EPOCH), InstanceCheck::Single);
        assert!(!host.is_duplicated(Time::EPOCH));
        assert_eq!(host.record_ack(ack(3, "a"), Time::EPOCH), InstanceCheck::Duplicate);
        assert!(host.is_duplicated(Time::EPOCH));
        assert!(!host.is_duplicated(Time::EPOCH.plus(Duration::from_secs(600))));
    }

    #[test]
    fn a_host_may_serve_for_its_max_stale_after_it_was_last_seen() {
        let (_, mut host) = host(1, 1);
        host.touch(Time::EPOCH.plus(Duration::from_secs(100)));
        host.touch(Time::EPOCH);
        assert_eq!(host.may_serve_until(), Some(Time::EPOCH.plus(Duration::from_secs(3700))));
        assert_eq!(HostRecord::new(Time::EPOCH).may_serve_until(), None);
    }
}
