//! What was read and written over SSH, as whoever serves it tells: appended, never changed, the oldest dropped beyond
//! [`EVENTS`]. (server.md 7: `shellhorse/git_audit_event`; client.md 2.10)
//!
//! ```text
//! audit/span        number of the first event that is kept, and of the next: 8 bytes each
//! audit/event/<n>   one event
//! ```

use serde_json::Value;

use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Most events that are kept. The private_store is read through at every start, so this is no archive: read it regularly.
pub const MAX_EVENTS: u64 = 100_000;

const RANGE_KEY: &[u8] = b"audit/span";
const EVENT_KEY_PREFIX: &[u8] = b"audit/event/";

/// Which events are kept: from the first to before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventRange {
    /// The number of the first that is kept.
    pub first: u64,
    /// The number that the next one will have.
    pub next: u64,
}

/// Appends one, on disk when it returns; gives its number. Blocks.
pub fn append(private_store: &PrivateStore, event: &Value) -> Result<u64, StoreError> {
    append_with_limit(private_store, event, MAX_EVENTS)
}

fn append_with_limit(private_store: &PrivateStore, event: &Value, most: u64) -> Result<u64, StoreError> {
    private_store.update(|private_store| {
        let EventRange { mut first, next } = event_range(private_store)?;
        let mut writes = PrivateWrites { entries: vec![(event_key(next), Some(event.to_string().into_bytes()))] };
        while next - first >= most {
            writes.entries.push((event_key(first), None));
            first += 1;
        }
        let kept = [first.to_be_bytes(), (next + 1).to_be_bytes()].concat();
        writes.entries.push((RANGE_KEY.to_vec(), Some(kept)));
        Ok((writes, next))
    })
}

/// Which are kept.
pub fn event_range(private_store: &PrivateStore) -> Result<EventRange, StoreError> {
    let Some(kept) = private_store.read(RANGE_KEY)? else { return Ok(EventRange::default()) };
    let numbers = kept.split_first_chunk::<8>().and_then(|(first, next)| Some((*first, <[u8; 8]>::try_from(next).ok()?)));
    let (first, next) = numbers.ok_or_else(|| StoreError("the span of the audit log cannot be read".to_owned()))?;
    Ok(EventRange { first: u64::from_be_bytes(first), next: u64::from_be_bytes(next) })
}

/// At most so many from a number on, with their numbers, oldest first.
pub fn read_events(private_store: &PrivateStore, from: u64, most: u64) -> Result<Vec<(u64, Value)>, StoreError> {
    let EventRange { first, next } = event_range(private_store)?;
    let from = from.max(first);
    let mut events = Vec::new();
    for number in from..next.min(from.saturating_add(most)) {
        // One may have been dropped since the span was read.
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
            assert_eq!(append_with_limit(private_store, &json!({"n": number}), 3).unwrap(), number);
        }
        assert_eq!(event_range(private_store).unwrap(), EventRange { first: 4, next: 7 });
        assert_eq!(read_events(private_store, 0, 2).unwrap(), [(4, json!({"n": 4})), (5, json!({"n": 5}))]);
        assert_eq!(read_events(private_store, 6, 100).unwrap(), [(6, json!({"n": 6}))]);
        assert_eq!(private_store.scan_prefix(b"audit/event/").unwrap().len(), 3);
    }
}
