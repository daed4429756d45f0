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
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};
use crate::wire::feed::Ack;

/// Most hosts that are known at once.
pub const HOSTS: usize = 10_000;
/// How much later than written a host may have been seen.
const LATE: Duration = Duration::from_secs(60);
/// For how long two instances of one host are worth an alarm after they were last seen.
const TWICE: Duration = Duration::from_secs(600);

const PREFIX: &[u8] = b"host/";

/// Said when one more host would be one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{HOSTS} hosts are known already; `sidegate admin forget-host` forgets those that are no more")]
pub struct TooMany;

/// What is known of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// What it said last.
    pub acked: Option<Acked>,
    /// When it was last in touch.
    pub seen: Time,
    /// When two instances of it were last seen at once.
    #[serde(default)]
    pub twice: Option<Time>,
    /// Streams that it has open now.
    #[serde(skip)]
    pub open: usize,
    /// Whether it was in touch since the primary started.
    #[serde(skip)]
    pub heard: bool,
    /// The instance before the present one.
    #[serde(skip)]
    before: Option<String>,
    #[serde(skip)]
    unwritten: bool,
    #[serde(skip)]
    written_seen: Option<Time>,
}

/// What a host said that it holds: binding in its answers, and flushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
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
pub enum Instance {
    /// The one that is known, or the first, or one that takes the place of the one before.
    Alone,
    /// Two take turns: two hosts of one name, or a copied store.
    Twice,
}

/// The hosts.
pub struct Hosts {
    known: Mutex<BTreeMap<Arc<str>, Host>>,
    acks: watch::Sender<u64>,
}

impl Host {
    fn new(now: Time) -> Self {
        Self { acked: None, seen: now, twice: None, open: 0, heard: false, before: None, unwritten: true, written_seen: None }
    }

    /// Until when it may answer keys without us; `None` if it never said.
    #[must_use]
    pub fn until(&self) -> Option<Time> {
        self.acked.as_ref().map(|acked| self.seen.plus(Duration::from_secs(acked.max_stale)))
    }

    /// Whether two instances of it were seen at once of late.
    #[must_use]
    pub fn doubled(&self, now: Time) -> bool {
        self.twice.is_some_and(|at| now.since(at) < TWICE)
    }

    fn see(&mut self, now: Time) {
        self.seen = self.seen.max(now);
        self.heard = true;
        self.unwritten |= self.written_seen.is_none_or(|written| now.since(written) >= LATE / 2);
    }
}

impl Hosts {
    /// Those that were written.
    pub fn remembered(ledger: &Ledger, now: Time) -> Result<Self, Damage> {
        let mut known = BTreeMap::new();
        for (key, value) in ledger.scan(PREFIX)? {
            let name = key.get(PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            match (name, serde_json::from_slice::<Host>(&value)) {
                (Some(name), Ok(mut host)) => {
                    host.seen = host.seen.plus(LATE).min(now.max(host.seen));
                    host.unwritten = true;
                    known.insert(Arc::from(name), host);
                }
                _ => tracing::warn!(bytes = key.len(), "what was written of a host is not understood, and is forgotten"),
            }
        }
        Ok(Self { known: Mutex::new(known), acks: watch::Sender::new(0) })
    }

    /// A host opens a stream; it is open until what is given here is dropped.
    pub fn open(self: &Arc<Self>, name: &Arc<str>, now: Time) -> Result<Feeding, TooMany> {
        self.with(name, now, |host| host.open += 1)?;
        Ok(Feeding { hosts: Arc::clone(self), name: Arc::clone(name) })
    }

    /// A host says what it holds.
    pub fn ack(&self, name: &Arc<str>, ack: Ack, now: Time) -> Result<Instance, TooMany> {
        let instance = self.with(name, now, |host| host.take(ack, now))?;
        self.acks.send_modify(|count| *count += 1);
        Ok(instance)
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Host)> {
        self.known().iter().map(|(name, host)| (Arc::clone(name), host.clone())).collect()
    }

    /// Open streams.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.known().values().map(|host| host.open).sum()
    }

    /// Tells when a host said something.
    #[must_use]
    pub fn acks(&self) -> watch::Receiver<u64> {
        self.acks.subscribe()
    }

    /// Forgets a host that is not connected. Blocks. Gives it, if it was known and is gone now.
    pub fn forget(&self, name: &str, ledger: &Ledger) -> Result<Forgotten, Damage> {
        let mut known = self.known();
        match known.get(name) {
            None => return Ok(Forgotten::Unknown),
            Some(host) if host.open > 0 => return Ok(Forgotten::Connected),
            Some(_) => {}
        }
        ledger.write(Writes { entries: vec![(place(name), None)] })?;
        known.remove(name);
        Ok(Forgotten::Gone)
    }

    /// Writes what changed. Blocks. What could not be written is tried again next time.
    pub fn keep(&self, ledger: &Ledger) -> Result<(), Damage> {
        let mut writes = Writes::default();
        let mut names = Vec::new();
        for (name, host) in self.known().iter_mut().filter(|(_, host)| host.unwritten) {
            let value = serde_json::to_vec(host).map_err(|error| Damage(error.to_string()))?;
            writes.entries.push((place(name), Some(value)));
            names.push(Arc::clone(name));
            host.unwritten = false;
            host.written_seen = Some(host.seen);
        }
        if names.is_empty() {
            return Ok(());
        }
        let outcome = ledger.write(writes);
        if outcome.is_err() {
            let mut known = self.known();
            for name in names {
                if let Some(host) = known.get_mut(&name) {
                    host.unwritten = true;
                }
            }
        }
        outcome
    }

    fn with<T>(&self, name: &Arc<str>, now: Time, act: impl FnOnce(&mut Host) -> T) -> Result<T, TooMany> {
        let mut known = self.known();
        if known.len() >= HOSTS && !known.contains_key(name) {
            return Err(TooMany);
        }
        let host = known.entry(Arc::clone(name)).or_insert_with(|| Host::new(now));
        host.see(now);
        Ok(act(host))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Host>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of forgetting a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Forgotten {
    /// It is forgotten.
    Gone,
    /// There was none of that name.
    Unknown,
    /// It is connected now, so it is not gone.
    Connected,
}

impl Host {
    fn take(&mut self, ack: Ack, now: Time) -> Instance {
        self.unwritten = true;
        let other = self.acked.as_ref().map(|acked| acked.instance.clone()).filter(|instance| *instance != ack.instance);
        let twice = other.is_some() && self.before.as_ref() == Some(&ack.instance);
        if let Some(other) = other {
            self.before = Some(other);
        }
        if twice {
            self.twice = Some(now);
        }
        let Ack { epoch, seq, digest, max_stale, instance } = ack;
        self.acked = Some(Acked { epoch, seq, digest, max_stale, instance, at: now });
        if twice { Instance::Twice } else { Instance::Alone }
    }
}

/// A stream that a host has open; dropped when it ends.
pub struct Feeding {
    hosts: Arc<Hosts>,
    name: Arc<str>,
}

impl Feeding {
    /// It took something.
    pub fn seen(&self, now: Time) {
        if let Some(host) = self.hosts.known().get_mut(&self.name) {
            host.see(now);
        }
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        if let Some(host) = self.hosts.known().get_mut(&self.name) {
            host.open = host.open.saturating_sub(1);
            host.see(clock::wall());
        }
        // Who waits for this host need not wait any longer.
        self.hosts.acks.send_modify(|count| *count += 1);
    }
}

fn place(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Host, Instance};
    use crate::model::change::Epoch;
    use crate::model::digest::Digest;
    use crate::model::time::Time;
    use crate::wire::feed::Ack;

    pub fn ack(seq: u64, instance: &str) -> Ack {
        Ack { epoch: Epoch(1), seq, digest: Digest::default(), max_stale: 3600, instance: instance.to_owned() }
    }

    pub fn host(seq: u64, open: usize) -> (Arc<str>, Host) {
        let mut host = Host::new(Time::EPOCH);
        host.open = open;
        assert_eq!(host.take(ack(seq, "a"), Time::EPOCH), Instance::Alone);
        (format!("host-{seq}-{open}").into(), host)
    }

    #[test]
    fn a_new_store_is_no_alarm_but_two_that_take_turns_are() {
        let (_, mut host) = host(1, 1);
        assert_eq!(host.take(ack(2, "b"), Time::EPOCH), Instance::Alone);
        assert_eq!(host.take(ack(3, "b"), Time::EPOCH), Instance::Alone);
        assert!(!host.doubled(Time::EPOCH));
        assert_eq!(host.take(ack(3, "a"), Time::EPOCH), Instance::Twice);
        assert!(host.doubled(Time::EPOCH));
        assert!(!host.doubled(Time::EPOCH.plus(Duration::from_secs(600))));
    }

    #[test]
    fn a_host_may_go_on_for_its_own_bound_after_it_was_last_seen() {
        let (_, mut host) = host(1, 1);
        host.see(Time::EPOCH.plus(Duration::from_secs(100)));
        host.see(Time::EPOCH);
        assert_eq!(host.until(), Some(Time::EPOCH.plus(Duration::from_secs(3700))));
        assert_eq!(Host::new(Time::EPOCH).until(), None);
    }
}
