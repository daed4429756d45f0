//! The hosts that follow: what each said that binds there, when it was last seen, and for how long it may go on without us.
//!
//! Kept in memory and written now and then. What was written is read at the start with the time it may be late by added,
//! so that a host is never thought to have gone earlier than it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::model::change::Epoch;
use crate::model::clock;
use crate::model::digest::Digest;
use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::directory::feed_lines::Ack;

/// Most hosts that are known at once.
pub const MAX_HOSTS: usize = 10_000;
/// How much later than written a host may have been seen.
const PERSIST_DELAY: Duration = Duration::from_secs(60);
/// For how long two instances of one host are worth an alarm after they were last seen.
const DUPLICATE_ALARM_TIME: Duration = Duration::from_secs(600);

const KEY_PREFIX: &[u8] = b"host/";

/// Said when one more host would be one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_HOSTS} hosts are known already; `sidegate admin forget-host` forgets those that are no more")]
pub struct TooManyHosts;

/// What is known of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// What it said last.
    pub acked: Option<LastAck>,
    /// When it was last in touch.
    pub seen: Time,
    /// When two instances of it were last seen at once.
    #[serde(default)]
    pub twice: Option<Time>,
    /// Streams that it has open now.
    #[serde(skip)]
    pub open_streams: usize,
    /// Whether it was in touch since the primary started.
    #[serde(skip)]
    pub seen_since_start: bool,
    /// The instance before the present one.
    #[serde(skip)]
    previous_instance: Option<String>,
    #[serde(skip)]
    dirty: bool,
    #[serde(skip)]
    persisted_seen: Option<Time>,
}

/// What a host said that it holds: binding in its answers, and flushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAck {
    /// The epoch of `seq`.
    pub epoch: Epoch,
    /// The last commit that binds there.
    pub seq: u64,
    /// What its directory adds up to.
    pub digest: Digest,
    /// Seconds for which it may answer keys without us.
    pub max_stale: u64,
    /// Which store of the host said so.
    pub instance: String,
    /// When it said so.
    pub at: Time,
}

/// What an ack showed besides itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum InstanceCheck {
    /// The one that is known, or the first, or one that takes the place of the one before.
    Single,
    /// Two take turns: two hosts of one name, or a copied store.
    Duplicate,
}

/// The hosts.
pub struct HostRegistry {
    hosts: Mutex<BTreeMap<Arc<str>, HostRecord>>,
    ack_events: watch::Sender<u64>,
}

impl HostRecord {
    fn new(now: Time) -> Self {
        Self {
            acked: None,
            seen: now,
            twice: None,
            open_streams: 0,
            seen_since_start: false,
            previous_instance: None,
            dirty: true,
            persisted_seen: None,
        }
    }

    /// Until when it may answer keys without us; `None` if it never said.
    #[must_use]
    pub fn may_serve_until(&self) -> Option<Time> {
        self.acked.as_ref().map(|acked| self.seen.plus(Duration::from_secs(acked.max_stale)))
    }

    /// Whether two instances of it were seen at once of late.
    #[must_use]
    pub fn is_duplicated(&self, now: Time) -> bool {
        self.twice.is_some_and(|at| now.since(at) < DUPLICATE_ALARM_TIME)
    }

    fn touch(&mut self, now: Time) {
        self.seen = self.seen.max(now);
        self.seen_since_start = true;
        self.dirty |= self.persisted_seen.is_none_or(|written| now.since(written) >= PERSIST_DELAY / 2);
    }
}

impl HostRegistry {
    /// Those that were written.
    pub fn load(ledger: &PrivateStore, now: Time) -> Result<Self, StoreError> {
        let mut known = BTreeMap::new();
        for (key, value) in ledger.scan_prefix(KEY_PREFIX)? {
            let name = key.get(KEY_PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            match (name, serde_json::from_slice::<HostRecord>(&value)) {
                (Some(name), Ok(mut host)) => {
                    host.seen = host.seen.plus(PERSIST_DELAY).min(now.max(host.seen));
                    host.dirty = true;
                    known.insert(Arc::from(name), host);
                }
                _ => tracing::warn!(bytes = key.len(), "what was written of a host is not understood, and is forgotten"),
            }
        }
        Ok(Self { hosts: Mutex::new(known), ack_events: watch::Sender::new(0) })
    }

    /// A host opens a stream; it is open until what is given here is dropped.
    pub fn open_stream(self: &Arc<Self>, name: &Arc<str>, now: Time) -> Result<StreamGuard, TooManyHosts> {
        self.update(name, now, |host| host.open_streams += 1)?;
        Ok(StreamGuard { registry: Arc::clone(self), name: Arc::clone(name) })
    }

    /// A host says what it holds.
    pub fn record_ack(&self, name: &Arc<str>, ack: Ack, now: Time) -> Result<InstanceCheck, TooManyHosts> {
        let instance = self.update(name, now, |host| host.record_ack(ack, now))?;
        self.ack_events.send_modify(|count| *count += 1);
        Ok(instance)
    }

    /// All, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, HostRecord)> {
        self.hosts().iter().map(|(name, host)| (Arc::clone(name), host.clone())).collect()
    }

    /// Open streams.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.hosts().values().map(|host| host.open_streams).sum()
    }

    /// Tells when a host said something.
    #[must_use]
    pub fn ack_events(&self) -> watch::Receiver<u64> {
        self.ack_events.subscribe()
    }

    /// Forgets a host that is not connected. Blocks. Gives it, if it was known and is gone now.
    pub fn forget(&self, name: &str, ledger: &PrivateStore) -> Result<ForgetOutcome, StoreError> {
        let mut known = self.hosts();
        match known.get(name) {
            None => return Ok(ForgetOutcome::Unknown),
            Some(host) if host.open_streams > 0 => return Ok(ForgetOutcome::Connected),
            Some(_) => {}
        }
        ledger.write(PrivateWrites { entries: vec![(store_key(name), None)] })?;
        known.remove(name);
        Ok(ForgetOutcome::Forgotten)
    }

    /// Writes what changed. Blocks. What could not be written is tried again next time.
    pub fn persist(&self, ledger: &PrivateStore) -> Result<(), StoreError> {
        let mut writes = PrivateWrites::default();
        let mut names = Vec::new();
        for (name, host) in self.hosts().iter_mut().filter(|(_, host)| host.dirty) {
            let value = serde_json::to_vec(host).map_err(|error| StoreError(error.to_string()))?;
            writes.entries.push((store_key(name), Some(value)));
            names.push(Arc::clone(name));
            host.dirty = false;
            host.persisted_seen = Some(host.seen);
        }
        if names.is_empty() {
            return Ok(());
        }
        let outcome = ledger.write(writes);
        if outcome.is_err() {
            let mut known = self.hosts();
            for name in names {
                if let Some(host) = known.get_mut(&name) {
                    host.dirty = true;
                }
            }
        }
        outcome
    }

    fn update<T>(&self, name: &Arc<str>, now: Time, act: impl FnOnce(&mut HostRecord) -> T) -> Result<T, TooManyHosts> {
        let mut known = self.hosts();
        if known.len() >= MAX_HOSTS && !known.contains_key(name) {
            return Err(TooManyHosts);
        }
        let host = known.entry(Arc::clone(name)).or_insert_with(|| HostRecord::new(now));
        host.touch(now);
        Ok(act(host))
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, HostRecord>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of forgetting a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ForgetOutcome {
    /// It is forgotten.
    Forgotten,
    /// There was none of that name.
    Unknown,
    /// It is connected now, so it is not gone.
    Connected,
}

impl HostRecord {
    fn record_ack(&mut self, ack: Ack, now: Time) -> InstanceCheck {
        self.dirty = true;
        let other = self.acked.as_ref().map(|acked| acked.instance.clone()).filter(|instance| *instance != ack.instance);
        let twice = other.is_some() && self.previous_instance.as_ref() == Some(&ack.instance);
        if let Some(other) = other {
            self.previous_instance = Some(other);
        }
        if twice {
            self.twice = Some(now);
        }
        let Ack { epoch, seq, digest, max_stale, instance } = ack;
        self.acked = Some(LastAck { epoch, seq, digest, max_stale, instance, at: now });
        if twice { InstanceCheck::Duplicate } else { InstanceCheck::Single }
    }
}

/// A stream that a host has open; dropped when it ends.
pub struct StreamGuard {
    registry: Arc<HostRegistry>,
    name: Arc<str>,
}

impl StreamGuard {
    /// It took something.
    pub fn touch(&self, now: Time) {
        if let Some(host) = self.registry.hosts().get_mut(&self.name) {
            host.touch(now);
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        if let Some(host) = self.registry.hosts().get_mut(&self.name) {
            host.open_streams = host.open_streams.saturating_sub(1);
            host.touch(clock::wall_time());
        }
        // Who waits for this host need not wait any longer.
        self.registry.ack_events.send_modify(|count| *count += 1);
    }
}

fn store_key(name: &str) -> Vec<u8> {
    [KEY_PREFIX, name.as_bytes()].concat()
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
