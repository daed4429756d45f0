//! How many pushes to a repository are under way: counted up when one begins, down when it is written. Who moves a repository
//! waits until there are none. (server.md 2.8, 2.9)
//!
//! A push that is refused after its beginning is never counted down, so a counter ends some time after its last push began.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// For how long a counter counts after it was last counted up.
pub const COUNTER_LIFETIME: Duration = Duration::from_secs(600);

const KEY_PREFIX: &[u8] = b"reference/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReferenceCount {
    count: u64,
    until: Time,
}

/// What counting down came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decrement {
    /// So many are left.
    Remaining(u64),
    /// It was below zero: nobody had counted it up, or that is too long ago.
    BelowZero,
}

/// Counts one more, on disk when it returns. Counters that have ended go with it. Blocks.
pub fn increment(private_store: &PrivateStore, gl_repository: &str, now: Time) -> Result<u64, StoreError> {
    private_store.update(|private_store| {
        let own = store_key(gl_repository);
        let mut writes = PrivateWrites::default();
        let mut before = 0;
        for (key, value) in private_store.scan_prefix(KEY_PREFIX)? {
            let counter = decode(&value)?;
            match counter.until <= now {
                true => writes.entries.push((key, None)),
                false if key == own => before = counter.count,
                false => {}
            }
        }
        let counter = ReferenceCount { count: before.saturating_add(1), until: now.plus(COUNTER_LIFETIME) };
        writes.entries.push((own, Some(encode(counter)?)));
        Ok((writes, counter.count))
    })
}

/// Counts one less, by what is to be written for it. What would be less than one is gone.
pub fn prepare_decrement(private_store: &PrivateStore, gl_repository: &str, now: Time) -> Result<(PrivateWrites, Decrement), StoreError> {
    let own = store_key(gl_repository);
    let counter = private_store.read(&own)?.map(|value| decode(&value)).transpose()?;
    let (value, outcome) = match counter {
        Some(counter) if counter.until > now && counter.count > 1 => {
            let left = ReferenceCount { count: counter.count - 1, ..counter };
            (Some(encode(left)?), Decrement::Remaining(left.count))
        }
        Some(counter) if counter.until > now => (None, Decrement::Remaining(0)),
        Some(_) => (None, Decrement::BelowZero),
        None => return Ok((PrivateWrites::default(), Decrement::BelowZero)),
    };
    Ok((PrivateWrites { entries: vec![(own, value)] }, outcome))
}

/// The repositories with pushes under way, and how many.
pub fn active_pushes(private_store: &PrivateStore, now: Time) -> Result<Vec<(String, u64)>, StoreError> {
    let mut counters = Vec::new();
    for (key, value) in private_store.scan_prefix(KEY_PREFIX)? {
        let counter = decode(&value)?;
        if counter.until > now {
            counters.push((String::from_utf8_lossy(&key[KEY_PREFIX.len()..]).into_owned(), counter.count));
        }
    }
    Ok(counters)
}

fn store_key(gl_repository: &str) -> Vec<u8> {
    [KEY_PREFIX, gl_repository.as_bytes()].concat()
}

fn decode(value: &[u8]) -> Result<ReferenceCount, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError(format!("a counter of pushes: {error}")))
}

fn encode(counter: ReferenceCount) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&counter).map_err(|error| StoreError(error.to_string()))
}
