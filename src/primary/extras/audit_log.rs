//! The audit log: what was read and written over SSH, as the SSH servers report it. Events are appended and never changed; beyond
//! `MAX_EVENTS` the oldest are removed. (server.md 7: `shellhorse/git_audit_event`; client.md 2.10)
//!
//! ```text
//! audit/span        numbers of the first event that is stored, and of the next one: 8 bytes each
//! audit/event/<n>   one event
//! ```

use serde_json::Value;

use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Most events that are stored. The private store is read whole at every start, so this is no archive: read it regularly.
const MAX_EVENTS: u64 = 100_000;

const RANGE_KEY: &[u8] = b"audit/span";
const EVENT_KEY_PREFIX: &[u8] = b"audit/event/";

/// Which events are stored: from `first` to before `next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventRange {
    /// The number of the oldest event.
    pub first: u64,
    /// The number of the next event.
    pub next: u64,
}

/// Appends an event; on disk when it returns. Blocks.
pub fn append(private_store: &PrivateStore, event: &Value) -> Result<(), StoreError> {
    append_with_limit(private_store, event, MAX_EVENTS)
}

fn append_with_limit(private_store: &PrivateStore, event: &Value, limit: u64) -> Result<(), StoreError> {
    private_store.update(|private_store| {
        let EventRange { mut first, next } = event_range(private_store)?;
        let mut writes = PrivateWrites { entries: vec![(event_key(next), Some(event.to_string().into_bytes()))] };
        while next - first >= limit {
            writes.entries.push((event_key(first), None));
            first += 1;
        }
        let range = [first.to_be_bytes(), (next + 1).to_be_bytes()].concat();
        writes.entries.push((RANGE_KEY.to_vec(), Some(range)));
        Ok((writes, ()))
    })
}

/// Returns which events are stored.
pub fn event_range(private_store: &PrivateStore) -> Result<EventRange, StoreError> {
    let Some(range) = private_store.read(RANGE_KEY)? else { return Ok(EventRange::default()) };
    let numbers = range.split_first_chunk::<8>().and_then(|(first, next)| Some((*first, <[u8; 8]>::try_from(next).ok()?)));
    let (first, next) = numbers.ok_or_else(|| StoreError("the span of the audit log cannot be read".to_owned()))?;
    Ok(EventRange { first: u64::from_be_bytes(first), next: u64::from_be_bytes(next) })
}

/// Returns at most `limit` events from number `from` on, with their numbers, oldest first.
pub fn read_events(private_store: &PrivateStore, from: u64, limit: u64) -> Result<Vec<(u64, Value)>, StoreError> {
    let EventRange { first, next } = event_range(private_store)?;
    let from = from.max(first);
    let mut events = Vec::new();
    for number in from..next.min(from.saturating_add(limit)) {
        // An event may have been removed since the range was read.
        if let Some(event) = private_store.read(&event_key(number))? {
            events.push((number, serde_json::from_slice(&event).map_err(|error| StoreError(format!("an audit event: {error}")))?));
        }
    }
    Ok(events)
}

fn event_key(number: u64) -> Vec<u8> {
    [EVENT_KEY_PREFIX, &number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{EventRange, append_with_limit, event_range, read_events};
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    #[test]
    fn the_oldest_events_are_dropped_and_numbers_continue() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let private_store = store.private_store();
        assert_eq!(event_range(private_store).unwrap(), EventRange::default());
        for number in 0..7 {
            append_with_limit(private_store, &json!({"n": number}), 3).unwrap();
        }
        assert_eq!(event_range(private_store).unwrap(), EventRange { first: 4, next: 7 });
        assert_eq!(read_events(private_store, 0, 2).unwrap(), [(4, json!({"n": 4})), (5, json!({"n": 5}))]);
        assert_eq!(read_events(private_store, 6, 100).unwrap(), [(6, json!({"n": 6}))]);
        assert_eq!(private_store.scan_prefix(b"audit/event/").unwrap().len(), 3);
    }
}
