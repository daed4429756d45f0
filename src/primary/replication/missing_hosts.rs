//! Since when hosts may be missing from those that are known: after the store was restored from a backup, which does not know the hosts
//! that came after it. Until the longest bound of any host has passed since then, nobody can say that a revocation binds everywhere.
//!
//! A restore is noticed by what the store's files say of themselves (a copy is another file), by a host that has a state which this
//! primary never had, and by the operator's `new-epoch`. What is not noticed: a file system or a virtual machine that was set back as a
//! whole, until a host connects or the operator says `new-epoch`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::request::RequestTime;
use crate::model::clock_reading::BootId;
use crate::model::time::{BootTime, Time};
use crate::primary::alarm_kinds::HOSTS_MISSING;
use crate::primary::backup::restored::{self, RestoredMark};
use crate::primary::replication::host_record::serving_time;
use crate::primary::replication::proven_elapsed::{ProvenElapsed, SavedElapsed};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Where the period is stored.
const PERIOD_KEY: &[u8] = b"missing-hosts";
/// Where it is stored which file the store was made as.
const ORIGIN_KEY: &[u8] = b"store-origin";
/// How often the time is stored that has passed.
const STORE_INTERVAL: Duration = Duration::from_secs(600);

/// Why hosts may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// The operator began a new epoch.
    NewEpoch,
    /// The store's files are copies.
    StoreCopied,
    /// The operator restored a backup.
    Restored,
    /// A host has a state that this primary never had.
    UnknownState,
}

impl MissingReason {
    /// Returns the reason in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewEpoch => "a new epoch was begun",
            Self::StoreCopied => "the store's files are copies, as after a restore from a backup",
            Self::Restored => "the store was restored from a backup",
            Self::UnknownState => "a host has a state that this primary never had, as after a restore from a backup",
        }
    }

    /// Returns what the operator is to do.
    const fn remedy(self) -> &'static str {
        match self {
            Self::NewEpoch | Self::StoreCopied | Self::Restored => HOSTS_MISSING.remedy,
            Self::UnknownState => {
                "if this primary was restored from a backup, run `sidegate admin new-epoch`, once; wait until then before a key is taken for dead: hosts that this primary does not know may still let it in; see `sidegate admin hosts`"
            }
        }
    }
}

/// A period in which hosts may be missing, as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingPeriod {
    /// Why.
    pub reason: &'static str,
    /// Since when.
    pub since: Time,
    /// Until when a host that is missing may still answer without the primary.
    pub until: Time,
    /// What the operator is to do.
    #[serde(skip)]
    pub remedy: &'static str,
}

#[derive(Clone, Copy)]
struct Period {
    reason: MissingReason,
    since: Time,
    lasts: Duration,
    elapsed: ProvenElapsed,
    stored_at: BootTime,
}

#[derive(Serialize, Deserialize)]
struct StoredPeriod {
    reason: MissingReason,
    since: Time,
    lasts_ms: u64,
    elapsed: SavedElapsed,
}

/// Knows whether hosts may be missing.
pub struct MissingHosts {
    period: Mutex<Option<Period>>,
    was_noticed: AtomicBool,
    boot_id: Option<BootId>,
}

impl MissingHosts {
    /// Loads what was stored, and notices a store whose files are copies; `longest_bound`: of any host, in seconds. Blocks.
    pub fn load(private_store: &PrivateStore, longest_bound: u64, now: RequestTime, boot_id: Option<&BootId>) -> Result<Self, StoreError> {
        let stored = private_store.read(PERIOD_KEY)?.and_then(|value| serde_json::from_slice::<StoredPeriod>(&value).ok());
        let period = stored.map(|stored| Period {
            reason: stored.reason,
            since: stored.since,
            lasts: Duration::from_millis(stored.lasts_ms),
            elapsed: ProvenElapsed::restore(&stored.elapsed, now.boot, boot_id),
            stored_at: now.boot,
        });
        let hosts = Self { period: Mutex::new(period), was_noticed: AtomicBool::new(false), boot_id: boot_id.cloned() };
        let (origin, known) = (private_store.origin()?, private_store.read(ORIGIN_KEY)?);
        if known.as_deref() == Some(origin.as_bytes()) {
            return Ok(hosts);
        }
        let mut writes = PrivateWrites { entries: vec![(ORIGIN_KEY.to_vec(), Some(origin.into_bytes()))] };
        if let Some(RestoredMark { made_at }) = restored::read_mark(private_store)? {
            tracing::warn!(
                "this store was restored from the backup of {made_at}, and a new epoch has begun. Hosts that came after the backup are not \
                 known; until {longest_bound} s from now no revocation is said to be in force everywhere"
            );
            writes.entries.extend([(restored::RESTORED_KEY.to_vec(), None), hosts.set(MissingReason::Restored, longest_bound, now)?]);
        } else if known.is_some() {
            tracing::error!(
                "the store's files are copies: if it was restored from a backup, run `sidegate admin new-epoch`. Hosts that came after the \
                 copy was made are not known; until {longest_bound} s from now no revocation is said to be in force everywhere"
            );
            writes.entries.push(hosts.set(MissingReason::StoreCopied, longest_bound, now)?);
        }
        private_store.write(writes)?;
        Ok(hosts)
    }

    /// Says that hosts may be missing from now on, for as long as the longest bound of any host, in seconds. On disk when it returns.
    /// Blocks.
    pub fn begin(
        &self,
        reason: MissingReason,
        longest_bound: u64,
        private_store: &PrivateStore,
        now: RequestTime,
    ) -> Result<(), StoreError> {
        let entry = self.set(reason, longest_bound, now)?;
        private_store.write(PrivateWrites { entries: vec![entry] })
    }

    /// As [`MissingHosts::begin`], for what is noticed again and again: only the first time since the primary's start. A host that this
    /// primary does not know has got no line from it since. Returns whether it was the first time. Blocks.
    pub fn notice(
        &self,
        reason: MissingReason,
        longest_bound: u64,
        private_store: &PrivateStore,
        now: RequestTime,
    ) -> Result<bool, StoreError> {
        if self.was_noticed.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        self.begin(reason, longest_bound, private_store, now).map(|()| true)
    }

    /// Returns the period in which hosts may be missing, if it is now.
    #[must_use]
    pub fn current(&self, now: RequestTime) -> Option<MissingPeriod> {
        let period = (*self.lock())?;
        let left = period.lasts.saturating_sub(period.elapsed.elapsed(now.boot));
        (!left.is_zero()).then(|| MissingPeriod {
            reason: period.reason.as_str(),
            since: period.since,
            until: now.wall.plus(left),
            remedy: period.reason.remedy(),
        })
    }

    /// Stores now and then how much of the period has passed. Blocks.
    pub fn persist(&self, private_store: &PrivateStore, now: RequestTime) -> Result<(), StoreError> {
        let Some(period) = *self.lock() else { return Ok(()) };
        let is_over = self.current(now).is_none();
        if !is_over && now.boot.since(period.stored_at) < STORE_INTERVAL {
            return Ok(());
        }
        let value = if is_over { None } else { Some(self.encode(&period, now.boot)?) };
        private_store.write(PrivateWrites { entries: vec![(PERIOD_KEY.to_vec(), value)] })?;
        let mut current = self.lock();
        // Another may have begun meanwhile.
        if let Some(same) = current.as_mut().filter(|same| same.since == period.since) {
            same.stored_at = now.boot;
            if is_over {
                *current = None;
            }
        }
        Ok(())
    }

    /// Begins a period in memory, and returns what is to be written. One that lasts longer still goes on.
    fn set(&self, reason: MissingReason, longest_bound: u64, now: RequestTime) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
        let lasts = serving_time(longest_bound);
        let period = Period { reason, since: now.wall, lasts, elapsed: ProvenElapsed::starting_at(now.boot), stored_at: now.boot };
        let mut current = self.lock();
        let is_longer = current.is_none_or(|current| current.lasts.saturating_sub(current.elapsed.elapsed(now.boot)) <= lasts);
        let period = if is_longer { *current.insert(period) } else { current.unwrap_or(period) };
        drop(current);
        Ok((PERIOD_KEY.to_vec(), Some(self.encode(&period, now.boot)?)))
    }

    fn encode(&self, period: &Period, now: BootTime) -> Result<Vec<u8>, StoreError> {
        let stored = StoredPeriod {
            reason: period.reason,
            since: period.since,
            lasts_ms: u64::try_from(period.lasts.as_millis()).unwrap_or(u64::MAX),
            elapsed: period.elapsed.save(now, self.boot_id.as_ref()),
        };
        serde_json::to_vec(&stored).map_err(|error| StoreError(error.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Period>> {
        self.period.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MissingHosts, MissingReason};
    use crate::model::clock_reading::BootId;
    use crate::primary::replication::host_record::tests::at;
    use crate::store::primary::private_store::PrivateStore;

    const HOUR: u64 = 3600;

    fn boot() -> BootId {
        BootId::parse("a").unwrap()
    }

    fn load(store: &PrivateStore, seconds: u64) -> MissingHosts {
        MissingHosts::load(store, HOUR, at(seconds), Some(&boot())).unwrap()
    }

    #[test]
    fn a_period_lasts_for_the_longest_bound_over_restarts_and_a_wall_clock_that_jumps() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let hosts = load(&store, 0);
        assert_eq!(hosts.current(at(0)), None, "a new store misses nobody");
        hosts.begin(MissingReason::NewEpoch, HOUR, &store, at(10)).unwrap();
        let period = hosts.current(at(20)).unwrap();
        assert_eq!((period.reason, period.since), ("a new epoch was begun", at(10).wall));
        assert!(period.until > at(10 + HOUR).wall);
        let ahead = crate::api::request::RequestTime { wall: crate::model::time::Time::LAST, boot: at(30).boot };
        assert!(load(&store, 30).current(ahead).is_some());
        let hosts = load(&store, HOUR);
        assert!(hosts.current(at(HOUR)).is_some() && hosts.current(at(HOUR + 20)).is_none());
        hosts.persist(&store, at(HOUR + 20)).unwrap();
        assert_eq!(load(&store, 0).current(at(0)), None, "and when it is over it is forgotten");
    }

    #[test]
    fn what_is_noticed_again_and_again_begins_one_period() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let hosts = load(&store, 0);
        assert_eq!(hosts.notice(MissingReason::UnknownState, HOUR, &store, at(0)), Ok(true));
        assert_eq!(hosts.notice(MissingReason::UnknownState, HOUR, &store, at(HOUR)), Ok(false));
        let remedy = hosts.current(at(0)).unwrap().remedy;
        assert!(
            remedy.starts_with("if this primary was restored from a backup, run `sidegate admin new-epoch`, once; wait until "),
            "{remedy}"
        );
        assert!(MissingReason::NewEpoch.remedy().starts_with("wait until then"), "not once it was begun");
        assert!(hosts.current(at(HOUR + 20)).is_none());
    }

    #[test]
    fn a_copy_of_the_store_may_miss_hosts_and_the_store_itself_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
        let open = |path: &std::path::Path| PrivateStore::open(path).unwrap();
        drop(load(&open(&original), 0));
        assert_eq!(load(&open(&original), 1).current(at(1)), None);
        assert!(std::process::Command::new("cp").arg("-a").args([&original, &copy]).status().unwrap().success());
        fs::remove_dir_all(&original).unwrap();
        fs::rename(&copy, &original).unwrap();
        let period = load(&open(&original), 2).current(at(2)).unwrap();
        assert!(period.reason.contains("copies"));
        assert_eq!(load(&open(&original), 3).current(at(3)).map(|again| again.since), Some(period.since), "noticed once");
    }
}
