//! How many pushes to a repository are under way: counted up when one begins, down when it is written. Who moves a repository
//! waits until there are none. (server.md 2.8, 2.9)
//!
//! A push that is refused after its beginning is never counted down, so a counter ends some time after its last push began.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// For how long a counter counts after it was last counted up.
pub const COUNTS: Duration = Duration::from_secs(600);

const PREFIX: &[u8] = b"reference/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    count: u64,
    until: Time,
}

/// What counting down came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decreased {
    /// So many are left.
    To(u64),
    /// It was below zero: nobody had counted it up, or that is too long ago.
    BelowZero,
}

/// Counts one more, on disk when it returns. Counters that have ended go with it. Blocks.
pub fn increase(ledger: &Ledger, gl_repository: &str, now: Time) -> Result<u64, Damage> {
    ledger.update(|ledger| {
        let own = place(gl_repository);
        let mut writes = Writes::default();
        let mut before = 0;
        for (key, value) in ledger.scan(PREFIX)? {
            let counter = read(&value)?;
            match counter.until <= now {
                true => writes.entries.push((key, None)),
                false if key == own => before = counter.count,
                false => {}
            }
        }
        let counter = Counter { count: before.saturating_add(1), until: now.plus(COUNTS) };
        writes.entries.push((own, Some(written(counter)?)));
        Ok((writes, counter.count))
    })
}

/// Counts one less, by what is to be written for it. What would be less than one is gone.
pub fn decreasing(ledger: &Ledger, gl_repository: &str, now: Time) -> Result<(Writes, Decreased), Damage> {
    let own = place(gl_repository);
    let counter = ledger.read(&own)?.map(|value| read(&value)).transpose()?;
    let (value, outcome) = match counter {
        Some(counter) if counter.until > now && counter.count > 1 => {
            let left = Counter { count: counter.count - 1, ..counter };
            (Some(written(left)?), Decreased::To(left.count))
        }
        Some(counter) if counter.until > now => (None, Decreased::To(0)),
        Some(_) => (None, Decreased::BelowZero),
        None => return Ok((Writes::default(), Decreased::BelowZero)),
    };
    Ok((Writes { entries: vec![(own, value)] }, outcome))
}

/// The repositories with pushes under way, and how many.
pub fn under_way(ledger: &Ledger, now: Time) -> Result<Vec<(String, u64)>, Damage> {
    let mut counters = Vec::new();
    for (key, value) in ledger.scan(PREFIX)? {
        let counter = read(&value)?;
        if counter.until > now {
            counters.push((String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned(), counter.count));
        }
    }
    Ok(counters)
}

fn place(gl_repository: &str) -> Vec<u8> {
    [PREFIX, gl_repository.as_bytes()].concat()
}

fn read(value: &[u8]) -> Result<Counter, Damage> {
    serde_json::from_slice(value).map_err(|error| Damage(format!("a counter of pushes: {error}")))
}

fn written(counter: Counter) -> Result<Vec<u8>, Damage> {
    serde_json::to_vec(&counter).map_err(|error| Damage(error.to_string()))
}
