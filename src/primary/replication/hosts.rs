//! The hosts that follow, with their open streams and acknowledgements, in memory and on disk.
//!
//! **A host is on disk before it is written a line**, and so is the largest bound that it may use before it uses it
//! ([`HostRegistry::store_before_line`]): a primary that is killed forgets no host that may still say yes. A host that is stored as
//! connected counts from the next start of the primary. What is not needed for that is stored now and then ([`HostRegistry::persist`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::api::request::RequestTime;
use crate::model::clock_reading::BootId;
use crate::model::time::BootTime;
use crate::primary::replication::host_record::{HostKey, HostRecord, StoredHost};
use crate::primary::replication::host_report::HostReport;
use crate::primary::replication::host_table::{HostClaim, HostTable, HostView, RegisterError};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::directory::feed_lines::Ack;

const KEY_PREFIX: &[u8] = b"host/";

/// The hosts that are known.
pub struct HostRegistry {
    hosts: Mutex<HostTable>,
    boot_id: Option<BootId>,
    /// Held while records are written: the keys of records of an earlier version, to be deleted with the next write.
    writing: Mutex<Vec<Vec<u8>>>,
    ack_events: watch::Sender<u64>,
}

impl HostRegistry {
    /// Loads the hosts that were stored. Blocks.
    pub fn load(
        private_store: &PrivateStore,
        longest_max_stale: Duration,
        now: RequestTime,
        boot_id: Option<&BootId>,
    ) -> Result<Self, StoreError> {
        let (mut hosts, mut obsolete) = (BTreeMap::new(), Vec::new());
        for (stored_key, value) in private_store.scan_prefix(KEY_PREFIX)? {
            let (Some(mut key), Ok(stored)) = (parse_key(&stored_key), serde_json::from_slice::<StoredHost>(&value)) else {
                tracing::warn!(bytes = stored_key.len(), "ignored the stored record of a host, which cannot be read");
                continue;
            };
            if let (None, Some(acked)) = (&key.instance, &stored.acked) {
                // An earlier version stored one record for each name.
                key.instance = Some(acked.instance.as_str().into());
                obsolete.push(stored_key);
            }
            hosts.insert(key, HostRecord::restore(stored, now, boot_id));
        }
        Ok(Self {
            hosts: Mutex::new(HostTable::new(hosts, whole_seconds(longest_max_stale))),
            boot_id: boot_id.cloned(),
            writing: Mutex::new(obsolete),
            ack_events: watch::Sender::new(0),
        })
    }

    /// Notes that a host opens a stream, which is open until the guard is dropped. The host must be on disk before it gets a line:
    /// [`HostRegistry::store_before_line`].
    pub fn open_stream(self: &Arc<Self>, claim: &HostClaim, now: RequestTime) -> Result<StreamGuard, RegisterError> {
        let key = self.hosts().open_stream(claim, now)?;
        Ok(StreamGuard { registry: Arc::clone(self), key })
    }

    /// Notes that there is a host, which gets no line now.
    pub fn note(&self, claim: &HostClaim, now: RequestTime) -> Result<(), RegisterError> {
        self.hosts().note(claim, now).map(|_key| ())
    }

    /// Notes what a host acknowledged; `is_known`: whether this primary is sure to have had that state. Returns its key.
    pub fn record_ack(&self, name: &Arc<str>, ack: Ack, is_known: bool, now: RequestTime) -> Result<HostKey, RegisterError> {
        let outcome = self.hosts().record_ack(name, ack, is_known, now);
        self.notify_waiting();
        outcome
    }

    /// Notes what a host says of its version and its alarms.
    pub fn record_report(&self, key: &HostKey, report: HostReport) {
        self.hosts().record_report(key, report);
    }

    /// Returns all hosts, by name.
    #[must_use]
    pub fn list(&self, now: BootTime) -> Vec<HostView> {
        self.hosts().views(now)
    }

    /// Returns whether two hosts that may still answer have this name.
    #[must_use]
    pub fn is_name_shared(&self, name: &str, now: BootTime) -> bool {
        self.hosts().is_name_shared(name, now)
    }

    /// Returns how many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.hosts().open_streams()
    }

    /// Returns the longest bound of any host, or the longest that is allowed, in seconds.
    #[must_use]
    pub fn longest_bound(&self) -> u64 {
        self.hosts().longest_bound()
    }

    /// Returns a receiver that changes whenever a host acknowledges something, closes a stream or is forgotten.
    #[must_use]
    pub fn ack_events(&self) -> watch::Receiver<u64> {
        self.ack_events.subscribe()
    }

    /// Returns how many wait for that.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.ack_events.receiver_count()
    }

    /// Returns whether what is on disk is known to cover a host's connection and its bound. While something is written it is not: that may
    /// be the host as it was a moment ago.
    #[must_use]
    pub fn is_covered_on_disk(&self, key: &HostKey) -> bool {
        match self.writing.try_lock() {
            Ok(_nobody_writes) => self.hosts().is_covered_on_disk(key),
            Err(_) => false,
        }
    }

    /// Stores a host, unless what is on disk covers its connection and its bound. All who wait for this get on disk with one write. Blocks.
    pub fn store_before_line(&self, key: &HostKey, private_store: &PrivateStore, now: BootTime) -> Result<(), StoreError> {
        let mut obsolete = self.lock_writing();
        if self.hosts().is_covered_on_disk(key) {
            return Ok(());
        }
        self.write_due(&mut obsolete, private_store, Some(key), now, false)
    }

    /// Stores the hosts that changed, and removes those that have lapsed beside another of their name. `at_end`: no host is written to any
    /// more. Blocks. What could not be written is tried again next time.
    pub fn persist(&self, private_store: &PrivateStore, now: BootTime, at_end: bool) -> Result<(), StoreError> {
        self.write_due(&mut self.lock_writing(), private_store, None, now, at_end)
    }

    fn write_due(
        &self,
        obsolete: &mut Vec<Vec<u8>>,
        private_store: &PrivateStore,
        required: Option<&HostKey>,
        now: BootTime,
        at_end: bool,
    ) -> Result<(), StoreError> {
        let (superseded, mut due) = {
            let hosts = self.hosts();
            (hosts.superseded(now), hosts.due(required, at_end, now, self.boot_id.as_ref()))
        };
        due.retain(|(key, _)| !superseded.contains(key));
        let mut writes = PrivateWrites::default();
        writes.entries.extend(obsolete.iter().map(|key| (key.clone(), None)));
        writes.entries.extend(superseded.iter().map(|key| (store_key(key), None)));
        for (key, stored) in &due {
            let value = serde_json::to_vec(stored).map_err(|error| StoreError(error.to_string()))?;
            writes.entries.push((store_key(key), Some(value)));
        }
        if writes.entries.is_empty() {
            return Ok(());
        }
        private_store.write(writes)?;
        obsolete.clear();
        let mut hosts = self.hosts();
        due.into_iter().for_each(|(key, stored)| hosts.set_stored(&key, stored));
        hosts.remove_unless_connected(&superseded);
        Ok(())
    }

    /// Forgets the hosts of a name that are not connected, or one instance of it. Blocks.
    pub fn forget(&self, name: &str, instance: Option<&str>, private_store: &PrivateStore) -> Result<ForgetOutcome, StoreError> {
        let _writing = self.lock_writing();
        let (away, connected) = self.hosts().not_connected(name, instance);
        if away.is_empty() {
            return Ok(if connected > 0 { ForgetOutcome::Connected } else { ForgetOutcome::Unknown });
        }
        private_store.write(PrivateWrites { entries: away.iter().map(|key| (store_key(key), None)).collect() })?;
        self.hosts().remove_unless_connected(&away);
        self.notify_waiting();
        Ok(ForgetOutcome::Forgotten { connected })
    }

    /// Wakes whoever waits for hosts.
    fn notify_waiting(&self) {
        self.ack_events.send_modify(|count| *count += 1);
    }

    fn hosts(&self) -> MutexGuard<'_, HostTable> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writing(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of forgetting a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ForgetOutcome {
    /// What was not connected is forgotten.
    Forgotten {
        /// How many hosts of that name are connected, and were not forgotten.
        connected: usize,
    },
    /// There is no host of that name.
    Unknown,
    /// The host is connected, and therefore not forgotten.
    Connected,
}

/// A stream that a host has open; dropped when the stream ends.
pub struct StreamGuard {
    registry: Arc<HostRegistry>,
    key: HostKey,
}

impl StreamGuard {
    /// Returns whose stream it is.
    #[must_use]
    pub const fn key(&self) -> &HostKey {
        &self.key
    }

    /// Notes that the host was written to.
    pub fn touch(&self, now: RequestTime) {
        self.registry.hosts().touch(&self.key, now);
    }

    /// Returns whether the host may go on: one of an older version says its bound only after the stream was opened.
    pub fn check_bound(&self, now: BootTime) -> Result<(), RegisterError> {
        self.registry.hosts().check_bound(&self.key, None, now)
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.registry.hosts().close_stream(&self.key, RequestTime::now());
        self.registry.notify_waiting();
    }
}

/// Returns where a host is stored. Neither names nor instances have a space in them.
fn store_key(key: &HostKey) -> Vec<u8> {
    let mut text = [KEY_PREFIX, key.name.as_bytes()].concat();
    if let Some(instance) = &key.instance {
        text.push(b' ');
        text.extend_from_slice(instance.as_bytes());
    }
    text
}

fn parse_key(key: &[u8]) -> Option<HostKey> {
    let text = std::str::from_utf8(key.get(KEY_PREFIX.len()..)?).ok()?;
    let (name, instance) = text.split_once(' ').map_or((text, None), |(name, instance)| (name, Some(instance)));
    Some(HostKey { name: name.into(), instance: instance.map(Arc::from) })
}

/// Returns the seconds of a duration, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{ForgetOutcome, HostRegistry};
    use crate::primary::replication::host_record::serving_time;
    use crate::primary::replication::host_record::tests::{ack, at};
    use crate::primary::replication::host_table::HostClaim;
    use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

    const DAY: Duration = Duration::from_secs(86_400);

    fn load(store: &PrivateStore, seconds: u64) -> Arc<HostRegistry> {
        Arc::new(HostRegistry::load(store, DAY, at(seconds), None).unwrap())
    }

    fn claim(name: &str, instance: &str, max_stale: u64) -> HostClaim {
        HostClaim { name: name.into(), instance: Some((instance.into(), max_stale)) }
    }

    #[test]
    fn a_host_and_its_larger_bound_survive_a_kill_from_the_moment_they_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        for (seconds, bound) in [(0, 60), (1, 3600)] {
            let registry = load(&store, seconds);
            let stream = registry.open_stream(&claim("ssh-1", "a", bound), at(seconds)).unwrap();
            assert!(!registry.is_covered_on_disk(stream.key()));
            registry.store_before_line(stream.key(), &store, at(seconds).boot).unwrap();
            assert!(registry.is_covered_on_disk(stream.key()));
            // Killed here: nothing is stored at the end.
            let after = load(&store, 500_000).list(at(500_000).boot);
            assert_eq!((after.len(), after[0].name.as_ref(), after[0].max_stale), (1, "ssh-1", bound));
            assert_eq!(after[0].may_serve_for, serving_time(bound), "it may have got a line until the kill");
        }
    }

    #[test]
    fn a_clean_stop_stores_since_when_each_host_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let registry = load(&store, 0);
        let stream = registry.open_stream(&claim("ssh-1", "a", 3600), at(0)).unwrap();
        registry.store_before_line(stream.key(), &store, at(0).boot).unwrap();
        let key = stream.key().clone();
        std::mem::forget(stream);
        registry.hosts().close_stream(&key, at(100));
        registry.persist(&store, at(130).boot, true).unwrap();
        let after = load(&store, 0).list(at(0).boot);
        assert_eq!(after[0].may_serve_for, serving_time(3600) - Duration::from_secs(30));
    }

    #[test]
    fn a_record_of_an_earlier_version_becomes_that_of_its_instance() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let zeros = "0".repeat(64);
        let acked = format!(
            r#"{{"acked":{{"epoch":"{}1","seq":9,"digest":"{zeros}","max_stale":60,"instance":"i","at":"2026-01-31T12:00:00.000Z"}},"seen":"2026-01-31T12:00:00.000Z"}}"#,
            &zeros[..31]
        );
        let silent = r#"{"acked":null,"seen":"2026-01-31T12:00:00.000Z","twice":"2026-01-31T12:00:00.000Z"}"#;
        let entries = [("host/ssh-1", acked.as_str()), ("host/ssh-2", silent), ("host/ssh-3", "{")];
        let entries = entries.map(|(key, value)| (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec())));
        store.write(PrivateWrites { entries: entries.into() }).unwrap();
        for _ in 0..2 {
            let registry = load(&store, 5);
            let hosts = registry.list(at(5).boot);
            let rows: Vec<_> = hosts.iter().map(|host| (host.name.as_ref(), host.instance.as_deref(), host.max_stale)).collect();
            assert_eq!(rows, [("ssh-1", Some("i"), DAY.as_secs()), ("ssh-2", None, DAY.as_secs())]);
            registry.persist(&store, at(5).boot, false).unwrap();
            assert_eq!(store.read(b"host/ssh-1").unwrap(), None);
        }
    }

    #[test]
    fn a_host_that_is_forgotten_is_forgotten_on_disk_and_the_connected_instance_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let registry = load(&store, 0);
        let stream = registry.open_stream(&claim("ssh-1", "a", 60), at(0)).unwrap();
        registry.record_ack(&Arc::from("ssh-1"), ack(1, "b", 60), true, at(0)).unwrap();
        registry.persist(&store, at(0).boot, false).unwrap();
        assert_eq!(registry.forget("ssh-2", None, &store), Ok(ForgetOutcome::Unknown));
        assert_eq!(registry.forget("ssh-1", None, &store), Ok(ForgetOutcome::Forgotten { connected: 1 }));
        assert_eq!(registry.forget("ssh-1", None, &store), Ok(ForgetOutcome::Connected));
        assert_eq!(load(&store, 0).list(at(0).boot).len(), 1);
        drop(stream);
        assert_eq!(registry.forget("ssh-1", Some("a"), &store), Ok(ForgetOutcome::Forgotten { connected: 0 }));
        assert!(load(&store, 0).list(at(0).boot).is_empty());
    }
}
