//! On which day keys, users and agents were last seen. Held in memory and persisted now and then: losing some is allowed, so no request
//! waits for it. (server.md 1.5)

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Most uses that wait to be persisted; more are dropped and counted.
const MAX_PENDING: usize = 200_000;

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    pub fn persist(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut self.days.lock().unwrap_or_else(PoisonError::into_inner).pending);
        if waiting.is_empty() {
            return Ok(());
        }
        let outcome = write_days(private_store, &waiting);
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
}

/// Returns the last day of use, as `YYYY-MM-DD`; `None` if it is not known.
pub fn last_used_on(private_store: &PrivateStore, subject: LastUsedSubject) -> Result<Option<String>, StoreError> {
    Ok(private_store.read(&store_key(subject))?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn write_days(private_store: &PrivateStore, waiting: &HashMap<LastUsedSubject, Time>) -> Result<(), StoreError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        for (used, day) in waiting {
            let day = day.day();
            if last_used_on(private_store, *used)?.is_none_or(|known| known < day) {
                writes.entries.push((store_key(*used), Some(day.into_bytes())));
            }
        }
        Ok((writes, ()))
    })
}

fn store_key(subject: LastUsedSubject) -> Vec<u8> {
    let (prefix, id) = match subject {
        LastUsedSubject::Key(id) => (&b"used/key/"[..], id),
        LastUsedSubject::User(id) => (&b"used/user/"[..], id),
        LastUsedSubject::Agent(id) => (&b"used/agent/"[..], id),
    };
    [prefix, &id.bytes()].concat()
}

fn start_of_day(at: Time) -> Time {
    const DAY: i64 = 86_400_000;
    Time::from_milliseconds(at.milliseconds().div_euclid(DAY) * DAY).unwrap_or(Time::EPOCH)
}
