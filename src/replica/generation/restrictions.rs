//! Which changes of a commit restrict: every delete, and every put that is not known only to give access
//! ([`crate::model::record_access`]).
//!
//! While the cursor is lost only these are applied: they are right whatever the changes were that are missing here. What only gives access
//! waits for the snapshot, since records that it depends on may be missing. What the store could not take is kept of these only.

use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::model::record_access::{only_gives_access, only_gives_access_if_new};
use crate::model::record_identity::RecordIdentity;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// Returns those changes that restrict, compared with what `generation` holds before any of them. What cannot be compared restricts.
/// Blocks.
pub fn restrictions(generation: &Generation, changes: &[Change]) -> Vec<Change> {
    changes.iter().filter(|change| may_restrict(generation, change)).cloned().collect()
}

fn may_restrict(generation: &Generation, change: &Change) -> bool {
    match change {
        Change::Delete(_) => true,
        Change::Put(entry) => !only_gives(generation, entry).unwrap_or(false),
    }
}

fn only_gives(generation: &Generation, entry: &Entry) -> Result<bool, StoreError> {
    let Some(new) = entry.record().filter(|_| !entry.has_unknown_parts()) else { return Ok(false) };
    let replaced = replaced_entries(generation, entry)?;
    Ok(match replaced.as_slice() {
        [] => only_gives_access_if_new(new),
        replaced => replaced.iter().all(|old| replaces_and_only_gives(old, new)),
    })
}

/// Returns the entries that a put takes the place of: for a key the one with its id, and the one with its blob.
fn replaced_entries(generation: &Generation, entry: &Entry) -> Result<Vec<Entry>, StoreError> {
    let same_place = generation.load_entry(entry.sort_key())?;
    let same_id = match RecordIdentity::from_entry(entry) {
        identity @ RecordIdentity::Key(_) => generation.entry(&identity)?,
        RecordIdentity::Other(..) => None,
    };
    Ok(same_place.into_iter().chain(same_id).collect())
}

fn replaces_and_only_gives(old: &Entry, new: &Record) -> bool {
    !old.has_unknown_parts() && old.record().is_some_and(|old| only_gives_access(old, new))
}

#[cfg(test)]
mod tests {
    use super::restrictions;
    use crate::model::change::Change;
    use crate::model::entry::Entry;
    use crate::replica::tests::test_replica::{STORE_OPTIONS, delete_key, key_entry, put_entry, user_and_keys, user_entry};
    use crate::store::error::StoreError;
    use crate::store::generations::generation::Generation;

    fn entry(line: &str) -> Entry {
        Entry::parse(line).unwrap()
    }

    #[test]
    fn what_is_not_known_only_to_give_access_restricts() {
        let folder = tempfile::tempdir().unwrap();
        let mut entries = user_and_keys(1..=3);
        entries.sort_by(|one, other| one.sort_key().cmp(other.sort_key()));
        let generation = Generation::create(folder.path(), &STORE_OPTIONS, entries.into_iter().map(Ok::<_, StoreError>)).unwrap();
        let with_id = |number: u64, id: u64| {
            let (from, to) = (format!(r#""id":{number},"#), format!(r#""id":{id},"#));
            entry(&key_entry(number, "t").text().replacen(&from, &to, 1))
        };
        let restricting = [
            delete_key(1),
            delete_key(99),
            put_entry(user_entry(r#","state":"blocked""#)),
            put_entry(user_entry(r#","shoe":38"#)),
            put_entry(entry(r#"{"kind":"robot","id":7,"arms":2}"#)),
            put_entry(entry(r#"{"kind":"settings","http_enabled":false}"#)),
            put_entry(entry(r#"{"kind":"redirect","from":"a/b","project_id":7}"#)),
            put_entry(entry(r#"{"kind":"protected_branch","project_id":7,"pattern":"main"}"#)),
            put_entry(entry(r#"{"kind":"namespace","id":7,"type":"group","path":"g","name":"g","allowed_ips":["10.0.0.0/8"]}"#)),
            // The key of blob 2 gets another id, and the key of id 2 another blob.
            put_entry(with_id(2, 70)),
            put_entry(with_id(71, 2)),
        ];
        let giving = [
            put_entry(user_entry(r#","admin":true"#)),
            put_entry(user_entry("")),
            put_entry(key_entry(72, "new")),
            put_entry(key_entry(1, "laptop")),
            put_entry(entry(r#"{"kind":"member","project_id":7,"user_id":1,"access_level":30}"#)),
        ];
        let all: Vec<Change> = giving.iter().chain(&restricting).cloned().collect();
        assert_eq!(restrictions(&generation, &all), restricting);
    }
}
