//! When keys and people were last seen, by the day. Kept in memory and written now and then: losing some is allowed, so
//! nobody waits for it. (server.md 1.5)

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// Days that wait to be written; what comes beyond is dropped and counted.
const WAITING: usize = 200_000;

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Used {
    /// A key, to log in or to ask.
    Key(Id),
    /// A person, by reading a repository.
    User(Id),
    /// An agent's token.
    Agent(Id),
}

/// The days that are not written yet.
#[derive(Default)]
pub struct Usage {
    days: Mutex<Days>,
}

#[derive(Default)]
struct Days {
    waiting: HashMap<Used, Time>,
    /// Written already; so that a busy key is written once a day and not once a request.
    written: HashMap<Used, Time>,
    dropped: u64,
}

impl Usage {
    /// Notes a use at this time; only its day is kept, and only if it is the latest.
    pub fn note(&self, used: Used, at: Time) {
        let day = start_of_day(at);
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        if days.written.get(&used).is_some_and(|written| *written >= day) {
            return;
        }
        if days.waiting.len() >= WAITING && !days.waiting.contains_key(&used) {
            days.dropped += 1;
            return;
        }
        let waiting = days.waiting.entry(used).or_insert(day);
        *waiting = day.max(*waiting);
    }

    /// How many notes were dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.days.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// Writes what waits. Blocks. What could not be written waits on.
    pub fn keep(&self, ledger: &Ledger) -> Result<(), Damage> {
        let waiting = std::mem::take(&mut self.days.lock().unwrap_or_else(PoisonError::into_inner).waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let outcome = write(ledger, &waiting);
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                if days.written.len() + waiting.len() > WAITING {
                    days.written.clear();
                }
                days.written.extend(waiting);
            }
            Err(_) => waiting.into_iter().for_each(|(used, day)| {
                days.waiting.entry(used).or_insert(day);
            }),
        }
        outcome
    }
}

/// The last day on which it was used, as `YYYY-MM-DD`; `None` if that is not known.
pub fn last(ledger: &Ledger, used: Used) -> Result<Option<String>, Damage> {
    Ok(ledger.read(&place(used))?.and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn write(ledger: &Ledger, waiting: &HashMap<Used, Time>) -> Result<(), Damage> {
    ledger.update(|ledger| {
        let mut writes = Writes::default();
        for (used, day) in waiting {
            let day = day.day();
            if last(ledger, *used)?.is_none_or(|known| known < day) {
                writes.entries.push((place(*used), Some(day.into_bytes())));
            }
        }
        Ok((writes, ()))
    })
}

fn place(used: Used) -> Vec<u8> {
    let (prefix, id) = match used {
        Used::Key(id) => (&b"used/key/"[..], id),
        Used::User(id) => (&b"used/user/"[..], id),
        Used::Agent(id) => (&b"used/agent/"[..], id),
    };
    [prefix, &id.bytes()].concat()
}

fn start_of_day(at: Time) -> Time {
    const DAY: i64 = 86_400_000;
    Time::from_milliseconds(at.milliseconds().div_euclid(DAY) * DAY).unwrap_or(Time::EPOCH)
}
