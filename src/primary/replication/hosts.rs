//! The hosts that follow, with their open streams and acknowledgements.
//!
//! They are held in memory and persisted now and then. When they are loaded, the time by which they may be late is added, so that a host
//! is never taken to have left earlier than it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::model::clock;
use crate::model::time::Time;
use crate::primary::replication::host_record::{HostRecord, InstanceCheck, PERSIST_DELAY};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::directory::feed_lines::Ack;

/// Most hosts that are known at once.
const MAX_HOSTS: usize = 10_000;

const KEY_PREFIX: &[u8] = b"host/";

/// Refuses a host beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_HOSTS} hosts are known already; `sidegate admin forget-host` forgets those that are no more")]
pub struct TooManyHosts;

/// The hosts that are known.
pub struct HostRegistry {
    hosts: Mutex<BTreeMap<Arc<str>, HostRecord>>,
    ack_events: watch::Sender<u64>,
}

impl HostRegistry {
    /// Loads the hosts that were persisted. Blocks.
    pub fn load(private_store: &PrivateStore, now: Time) -> Result<Self, StoreError> {
        let mut hosts = BTreeMap::new();
        for (key, value) in private_store.scan_prefix(KEY_PREFIX)? {
            let name = key.get(KEY_PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            match (name, serde_json::from_slice::<HostRecord>(&value)) {
                (Some(name), Ok(mut host)) => {
                    host.seen = host.seen.plus(PERSIST_DELAY).min(now.max(host.seen));
                    host.dirty = true;
                    hosts.insert(Arc::from(name), host);
                }
                _ => tracing::warn!(bytes = key.len(), "ignored the persisted record of a host, which cannot be read"),
            }
        }
        Ok(Self { hosts: Mutex::new(hosts), ack_events: watch::Sender::new(0) })
    }

    /// Notes that a host opens a stream, which is open until the guard is dropped.
    pub fn open_stream(self: &Arc<Self>, name: &Arc<str>, now: Time) -> Result<StreamGuard, TooManyHosts> {
        self.update(name, now, |host| host.open_streams += 1)?;
        Ok(StreamGuard { registry: Arc::clone(self), name: Arc::clone(name) })
    }

    /// Notes what a host acknowledged.
    pub fn record_ack(&self, name: &Arc<str>, ack: Ack, now: Time) -> Result<InstanceCheck, TooManyHosts> {
        let instance = self.update(name, now, |host| host.record_ack(ack, now))?;
        self.ack_events.send_modify(|count| *count += 1);
        Ok(instance)
    }

    /// Returns all hosts, by name.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, HostRecord)> {
        self.hosts().iter().map(|(name, host)| (Arc::clone(name), host.clone())).collect()
    }

    /// Returns how many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.hosts().values().map(|host| host.open_streams).sum()
    }

    /// Returns a receiver that changes whenever a host acknowledges something or closes a stream.
    #[must_use]
    pub fn ack_events(&self) -> watch::Receiver<u64> {
        self.ack_events.subscribe()
    }

    /// Forgets a host that is not connected. Blocks.
    pub fn forget(&self, name: &str, private_store: &PrivateStore) -> Result<ForgetOutcome, StoreError> {
        let mut hosts = self.hosts();
        match hosts.get(name) {
            None => return Ok(ForgetOutcome::Unknown),
            Some(host) if host.open_streams > 0 => return Ok(ForgetOutcome::Connected),
            Some(_) => {}
        }
        private_store.write(PrivateWrites { entries: vec![(store_key(name), None)] })?;
        hosts.remove(name);
        Ok(ForgetOutcome::Forgotten)
    }

    /// Persists the hosts that changed. Blocks. What could not be written is tried again next time.
    pub fn persist(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
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
        let outcome = private_store.write(writes);
        if outcome.is_err() {
            let mut hosts = self.hosts();
            for name in names {
                if let Some(host) = hosts.get_mut(&name) {
                    host.dirty = true;
                }
            }
        }
        outcome
    }

    fn update<T>(&self, name: &Arc<str>, now: Time, change: impl FnOnce(&mut HostRecord) -> T) -> Result<T, TooManyHosts> {
        let mut hosts = self.hosts();
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(name) {
            return Err(TooManyHosts);
        }
        let host = hosts.entry(Arc::clone(name)).or_insert_with(|| HostRecord::new(now));
        host.touch(now);
        Ok(change(host))
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, HostRecord>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of forgetting a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ForgetOutcome {
    /// The host is forgotten.
    Forgotten,
    /// There is no host of that name.
    Unknown,
    /// The host is connected, and therefore not forgotten.
    Connected,
}

/// A stream that a host has open; dropped when the stream ends.
pub struct StreamGuard {
    registry: Arc<HostRegistry>,
    name: Arc<str>,
}

impl StreamGuard {
    /// Notes that the host read from the stream.
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
        // Whoever waits for this host need not wait any longer.
        self.registry.ack_events.send_modify(|count| *count += 1);
    }
}

fn store_key(name: &str) -> Vec<u8> {
    [KEY_PREFIX, name.as_bytes()].concat()
}
