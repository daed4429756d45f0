//! Counts the pushes to a repository that are under way: up when one begins, down when it is written. Whoever moves a repository waits
//! until there are none. (server.md 2.8, 2.9)
//!
//! A push that is refused after it began is never counted down, so a counter expires some time after its last push began.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// How long after it was last counted up a counter expires.
const COUNTER_LIFETIME: Duration = Duration::from_secs(600);

const KEY_PREFIX: &[u8] = b"reference/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ReferenceCount {
    count: u64,
    until: Time,
}

/// The outcome of counting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decrement {
    /// One less is counted.
    Counted,
    /// There was nothing to count down: nobody had counted up, or too long ago.
    BelowZero,
}

/// Counts one more; on disk when it returns. Removes expired counters too. Blocks.
pub fn increment(private_store: &PrivateStore, gl_repository: &str, now: Time) -> Result<(), StoreError> {
    private_store.update(|private_store| {
        let own_key = store_key(gl_repository);
        let mut writes = PrivateWrites::default();
        let mut count = 0;
        for (key, value) in private_store.scan_prefix(KEY_PREFIX)? {
            let counter = decode(&value)?;
            match counter.until <= now {
                true => writes.entries.push((key, None)),
                false if key == own_key => count = counter.count,
                false => {}
            }
        }
        let counter = ReferenceCount { count: count.saturating_add(1), until: now.plus(COUNTER_LIFETIME) };
        writes.entries.push((own_key, Some(encode(counter)?)));
        Ok((writes, ()))
    })
}

/// Returns the writes that count one less; a counter that reaches zero is removed.
pub fn prepare_decrement(private_store: &PrivateStore, gl_repository: &str, now: Time) -> Result<(PrivateWrites, Decrement), StoreError> {
    let own_key = store_key(gl_repository);
    let counter = private_store.read(&own_key)?.map(|value| decode(&value)).transpose()?;
    let (value, outcome) = match counter {
        Some(counter) if counter.until > now && counter.count > 1 => {
            let left = ReferenceCount { count: counter.count - 1, ..counter };
            (Some(encode(left)?), Decrement::Counted)
        }
        Some(counter) if counter.until > now => (None, Decrement::Counted),
        Some(_) => (None, Decrement::BelowZero),
        None => return Ok((PrivateWrites::default(), Decrement::BelowZero)),
    };
    Ok((PrivateWrites { entries: vec![(own_key, value)] }, outcome))
}

/// Returns the repositories with pushes under way, and how many.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{COUNTER_LIFETIME, Decrement, active_pushes, increment, prepare_decrement};
    use crate::model::time::Time;
    use crate::store::error::StoreError;
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    #[test]
    fn a_counter_expires_ten_minutes_after_its_last_push_began_and_never_is_below_zero() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let (private_store, started) = (store.private_store(), Time::EPOCH);
        let later = started.plus(Duration::from_secs(300));
        let active = |now| active_pushes(private_store, now).unwrap();
        let pushes = |repository: &str, count| vec![(repository.to_owned(), count)];
        let decrement =
            |repository: &str, now| private_store.update::<_, StoreError>(|store| prepare_decrement(store, repository, now)).unwrap();
        increment(private_store, "project-1", started).unwrap();
        increment(private_store, "project-2", started).unwrap();
        increment(private_store, "project-1", later).unwrap();
        assert_eq!(active(started.plus(COUNTER_LIFETIME)), pushes("project-1", 2));
        assert_eq!(decrement("project-1", later.plus(COUNTER_LIFETIME)), Decrement::BelowZero);
        increment(private_store, "project-3", started.plus(COUNTER_LIFETIME)).unwrap();
        assert_eq!(active(started), pushes("project-3", 1), "the expired ones are gone");
        assert_eq!(decrement("project-3", started), Decrement::Counted);
        assert_eq!(decrement("project-3", started), Decrement::BelowZero);
        increment(private_store, "project-3", started).unwrap();
        assert_eq!(active(started), pushes("project-3", 1), "it counts from zero again");
    }
}
