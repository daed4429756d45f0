//! When keys and people were last seen, by the day. Kept in memory and written now and then: losing some is allowed, so
//! nobody waits for it. (server.md 1.5)

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Days that wait to be written; what comes beyond is dropped and counted.
const MAX_PENDING: usize = 200_000;

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LastUsedSubject {
    /// A key, to log in or to ask.
    Key(Id),
    /// A person, by reading a repository.
    User(Id),
    /// An agent's token.
    Agent(Id),
}

/// The days that are not written yet.
#[derive(Default)]
pub struct LastUsed {
    days: Mutex<LastUsedDays>,
}

#[derive(Default)]
struct LastUsedDays {
    pending: HashMap<LastUsedSubject, Time>,
    /// Written already; so that a busy key is written once a day and not once a request.
    persisted: HashMap<LastUsedSubject, Time>,
    dropped: u64,
}

impl LastUsed {
    /// Notes a use at this time; only its day is kept, and only if it is the latest.
    pub fn record(&self, used: LastUsedSubject, at: Time) {
        let day = start_of_day(at);
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        if days.persisted.get(&used).is_some_and(|written| *written >= day) {
            return;
        }
        if days.pending.len() >= MAX_PENDING && !days.pending.contains_key(&used) {
            days.dropped += 1;
            return;
        }
        let waiting = days.pending.entry(used).or_insert(day);
        *waiting = day.max(*waiting);
    }

    /// How many notes were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.days.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// Writes what waits. Blocks. What could not be written waits on.
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

/// The last day on which it was used, as `YYYY-MM-DD`; `None` if that is not known.
pub fn last_used_on(private_store: &PrivateStore, used: LastUsedSubject) -> Result<Option<String>, StoreError> {
    Ok(private_store.read(&store_key(used))?.and_then(|bytes| String::from_utf8(bytes).ok()))
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

fn store_key(used: LastUsedSubject) -> Vec<u8> {
    let (prefix, id) = match used {
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
