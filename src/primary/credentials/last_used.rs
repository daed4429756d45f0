//! On which day keys, users and agents were last seen. Held in memory and persisted now and then: losing some is allowed, so no request
//! waits for it. What the directory does not have any more is not persisted. (server.md 1.5)

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::id::Id;
use crate::model::sort_key::SortKey;
use crate::model::time::Time;
use crate::primary::user_data::{self, KEY_USED_PREFIX, USER_USED_PREFIX};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Most uses that wait to be persisted; more are dropped and counted.
const MAX_PENDING: usize = 200_000;
/// Up to how many uses are looked up one by one.
const MAX_SINGLE_READS: usize = 10_000;
const KEY_PREFIX: &[u8] = b"used/";
const AGENT_USED_PREFIX: &[u8] = b"used/agent/";

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LastUsedSubject {
    /// A key, by a login or a request.
    Key(Id),
    /// A user, by reading a repository.
    User(Id),
    /// A cluster agent, by its token.
    Agent(Id),
}

/// The uses that are not persisted yet.
#[derive(Default)]
pub struct LastUsed {
    days: Mutex<LastUsedDays>,
    /// Held while uses are persisted or forgotten: none that is on its way to the disk gets there after it was forgotten.
    persisting: Mutex<()>,
}

#[derive(Default)]
struct LastUsedDays {
    pending: HashMap<LastUsedSubject, Time>,
    /// Persisted already; so that a busy key is persisted once a day and not once a request.
    persisted: HashMap<LastUsedSubject, Time>,
    dropped: u64,
}

impl LastUsed {
    /// Notes a use; only its day is kept, and only if it is the latest.
    pub fn record(&self, subject: LastUsedSubject, at: Time) {
        let day = start_of_day(at);
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        if days.persisted.get(&subject).is_some_and(|persisted| *persisted >= day) {
            return;
        }
        if days.pending.len() >= MAX_PENDING && !days.pending.contains_key(&subject) {
            days.dropped += 1;
            return;
        }
        let waiting = days.pending.entry(subject).or_insert(day);
        *waiting = day.max(*waiting);
    }

    /// Returns how many uses were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.days.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// Persists the uses that wait. Blocks. What could not be written is tried again next time.
    pub fn persist(&self, store: &PrimaryStore) -> Result<(), StoreError> {
        let _no_other = self.persisting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::take(&mut self.days.lock().unwrap_or_else(PoisonError::into_inner).pending);
        if waiting.is_empty() {
            return Ok(());
        }
        let outcome = write_days(store, &waiting);
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                if days.persisted.len() + waiting.len() > MAX_PENDING {
                    days.persisted.clear();
                }
                days.persisted.extend(waiting);
            }
            Err(_) => waiting.into_iter().for_each(|(used, day)| {
                days.pending.entry(used).or_insert(day);
            }),
        }
        outcome
    }

    /// Forgets the uses of these, in memory and on disk: whoever has these ids from now on is somebody else. Blocks.
    pub fn forget(&self, private_store: &PrivateStore, mut subjects: Vec<LastUsedSubject>) -> Result<(), StoreError> {
        if subjects.is_empty() {
            return Ok(());
        }
        subjects.sort_unstable();
        let is_meant = |subject: &LastUsedSubject| subjects.binary_search(subject).is_ok();
        let _no_other = self.persisting.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
            if subjects.len() > MAX_SINGLE_READS {
                days.pending.retain(|subject, _| !is_meant(subject));
                days.persisted.retain(|subject, _| !is_meant(subject));
            } else {
                for subject in &subjects {
                    days.pending.remove(subject);
                    days.persisted.remove(subject);
                }
            }
        }
        private_store.update(|private_store| {
            let mut writes = PrivateWrites::default();
            if subjects.len() > MAX_SINGLE_READS {
                let stored = private_store.scan_prefix(KEY_PREFIX)?.into_iter().map(|(key, _)| key);
                let meant = stored.filter(|key| parse_store_key(key).is_some_and(|subject| is_meant(&subject)));
                writes.entries.extend(meant.map(|key| (key, None)));
                return Ok((writes, ()));
            }
            for key in subjects.iter().map(|subject| store_key(*subject)) {
                if private_store.read(&key)?.is_some() {
                    writes.entries.push((key, None));
                }
            }
            Ok((writes, ()))
        })
    }
}

/// Returns the last day of use, as `YYYY-MM-DD`; `None` if it is not known.
pub fn last_used_on(private_store: &PrivateStore, subject: LastUsedSubject) -> Result<Option<String>, StoreError> {
    Ok(private_store.read(&store_key(subject))?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn write_days(store: &PrimaryStore, waiting: &HashMap<LastUsedSubject, Time>) -> Result<(), StoreError> {
    store.private_store().update(|private_store| {
        let directory = store.directory();
        let mut writes = PrivateWrites::default();
        for (used, day) in waiting {
            let day = day.day();
            if !exists(&directory, *used)? {
                continue;
            }
            if last_used_on(private_store, *used)?.is_none_or(|known| known < day) {
                writes.entries.push((store_key(*used), Some(day.into_bytes())));
            }
        }
        Ok((writes, ()))
    })
}

fn exists(directory: &Generation, subject: LastUsedSubject) -> Result<bool, StoreError> {
    match subject {
        LastUsedSubject::Key(id) => user_data::key_exists(directory, id),
        LastUsedSubject::User(id) => user_data::user_exists(directory, id),
        LastUsedSubject::Agent(id) => directory.has_entry(&SortKey::agent(id)),
    }
}

fn store_key(subject: LastUsedSubject) -> Vec<u8> {
    let (prefix, id) = match subject {
        LastUsedSubject::Key(id) => (KEY_USED_PREFIX, id),
        LastUsedSubject::User(id) => (USER_USED_PREFIX, id),
        LastUsedSubject::Agent(id) => (AGENT_USED_PREFIX, id),
    };
    [prefix, &id.bytes()].concat()
}

fn parse_store_key(key: &[u8]) -> Option<LastUsedSubject> {
    let id = |prefix: &[u8]| Id::try_from(u64::from_be_bytes(key.strip_prefix(prefix)?.try_into().ok()?)).ok();
    let key_or_user = || id(KEY_USED_PREFIX).map(LastUsedSubject::Key).or_else(|| id(USER_USED_PREFIX).map(LastUsedSubject::User));
    key_or_user().or_else(|| id(AGENT_USED_PREFIX).map(LastUsedSubject::Agent))
}

fn start_of_day(at: Time) -> Time {
    const DAY: i64 = 86_400_000;
    Time::from_milliseconds(at.milliseconds().div_euclid(DAY) * DAY).unwrap_or(Time::EPOCH)
}
