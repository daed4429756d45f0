//! What was read and written over SSH, as whoever serves it tells: appended, never changed, the oldest dropped beyond
//! [`EVENTS`]. (server.md 7: `shellhorse/git_audit_event`; client.md 2.10)
//!
//! ```text
//! audit/span        number of the first event that is kept, and of the next: 8 bytes each
//! audit/event/<n>   one event
//! ```

use serde_json::Value;

use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// Most events that are kept. The ledger is read through at every start, so this is no archive: read it regularly.
pub const EVENTS: u64 = 100_000;

const SPAN: &[u8] = b"audit/span";
const EVENT: &[u8] = b"audit/event/";

/// Which events are kept: from the first to before the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The number of the first that is kept.
    pub first: u64,
    /// The number that the next one will have.
    pub next: u64,
}

/// Appends one, on disk when it returns; gives its number. Blocks.
pub fn append(ledger: &Ledger, event: &Value) -> Result<u64, Damage> {
    append_within(ledger, event, EVENTS)
}

fn append_within(ledger: &Ledger, event: &Value, most: u64) -> Result<u64, Damage> {
    ledger.update(|ledger| {
        let Span { mut first, next } = span(ledger)?;
        let mut writes = Writes { entries: vec![(place(next), Some(event.to_string().into_bytes()))] };
        while next - first >= most {
            writes.entries.push((place(first), None));
            first += 1;
        }
        let kept = [first.to_be_bytes(), (next + 1).to_be_bytes()].concat();
        writes.entries.push((SPAN.to_vec(), Some(kept)));
        Ok((writes, next))
    })
}

/// Which are kept.
pub fn span(ledger: &Ledger) -> Result<Span, Damage> {
    let Some(kept) = ledger.read(SPAN)? else { return Ok(Span::default()) };
    let numbers = kept.split_first_chunk::<8>().and_then(|(first, next)| Some((*first, <[u8; 8]>::try_from(next).ok()?)));
    let (first, next) = numbers.ok_or_else(|| Damage("the span of the audit log cannot be read".to_owned()))?;
    Ok(Span { first: u64::from_be_bytes(first), next: u64::from_be_bytes(next) })
}

/// At most so many from a number on, with their numbers, oldest first.
pub fn read(ledger: &Ledger, from: u64, most: u64) -> Result<Vec<(u64, Value)>, Damage> {
    let Span { first, next } = span(ledger)?;
    let from = from.max(first);
    let mut events = Vec::new();
    for number in from..next.min(from.saturating_add(most)) {
        // One may have been dropped since the span was read.
        if let Some(event) = ledger.read(&place(number))? {
            events.push((number, serde_json::from_slice(&event).map_err(|error| Damage(format!("an audit event: {error}")))?));
        }
    }
    Ok(events)
}

fn place(number: u64) -> Vec<u8> {
    [EVENT, &number.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Span, append_within, read, span};
    use crate::store::generation::Options;
    use crate::store::primary::PrimaryStore;

    #[test]
    fn the_newest_are_kept_and_numbers_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), Options { page_cache: 1 << 20, record_cache: 16 }).unwrap();
        let ledger = store.ledger();
        assert_eq!(span(ledger).unwrap(), Span::default());
        for number in 0..7 {
            assert_eq!(append_within(ledger, &json!({"n": number}), 3).unwrap(), number);
        }
        assert_eq!(span(ledger).unwrap(), Span { first: 4, next: 7 });
        assert_eq!(read(ledger, 0, 2).unwrap(), [(4, json!({"n": 4})), (5, json!({"n": 5}))]);
        assert_eq!(read(ledger, 6, 100).unwrap(), [(6, json!({"n": 6}))]);
        assert_eq!(ledger.scan(b"audit/event/").unwrap().len(), 3);
    }
}
