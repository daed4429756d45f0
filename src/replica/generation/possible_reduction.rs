//! Which changes may take access away: all that are not known to do nothing but give it.
//!
//! Answers that the primary gave before such a change are not given after it. Asking once more for nothing costs little, so where it is
//! not certain, a change counts: every delete, every record that is replaced by another, every record that is not understood.

use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// Returns whether one of the changes may take access away from what the generation holds before any of them is applied. Blocks.
pub fn may_reduce_access(generation: &Generation, changes: &[Change]) -> Result<bool, StoreError> {
    for change in changes {
        let reduces = match change {
            Change::Delete(_) => true,
            Change::Put(entry) => put_may_reduce_access(generation, entry)?,
        };
        if reduces {
            return Ok(true);
        }
    }
    Ok(false)
}

fn put_may_reduce_access(generation: &Generation, entry: &Entry) -> Result<bool, StoreError> {
    let Some(record) = entry.record() else { return Ok(true) };
    if let Some(stored) = generation.load_entry(entry.sort_key())? {
        return Ok(stored.text() != entry.text());
    }
    Ok(match record.as_ref() {
        // The same id may have had another key.
        Record::Key(key) => !generation.find_keys_by_id(key.id)?.is_empty(),
        Record::Storage(_)
        | Record::User(_)
        | Record::Namespace(_)
        | Record::Member(_)
        | Record::Share(_)
        | Record::DeployGrant(_)
        | Record::Redirect(_)
        | Record::Agent(_)
        | Record::ErrorTrackingKey(_) => entry.has_unknown_parts(),
        Record::Settings(_) | Record::ProtectedBranch(_) | Record::ProtectedTag(_) => true,
        // It may lead to the repository of another record: then neither is answered.
        Record::Project(_) | Record::Snippet(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::may_reduce_access;
    use crate::model::change::Change;
    use crate::model::entry::Entry;
    use crate::model::id::Id;
    use crate::model::memory_directory::ed25519_public_key;
    use crate::model::record_identity::RecordIdentity;
    use crate::store::error::StoreError;
    use crate::store::generations::generation::{Generation, StoreOptions};

    fn key(id: u64, blob: u64, user: u64) -> String {
        let key = ed25519_public_key(blob);
        format!(r#"{{"kind":"key","id":{id},"user_id":{user},"title":"t","key":"{key}","created_at":"2026-01-01T00:00:00Z"}}"#)
    }

    #[test]
    fn every_change_counts_that_does_more_than_give_access() {
        let user = |more: &str| format!(r#"{{"kind":"user","id":1,"username":"zoe","name":"Zoe"{more}}}"#);
        let held = [user(""), key(11, 11, 1)];
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 };
        let entries = held.iter().map(|line| Ok::<_, StoreError>(Entry::parse(line).unwrap()));
        let generation = Generation::create(folder.path(), &options, entries).unwrap();
        let put = |line: &str| Change::Put(Entry::parse(line).unwrap());
        let counts = |changes: &[Change]| may_reduce_access(&generation, changes).unwrap();

        let member = r#"{"kind":"member","project_id":1,"user_id":1,"access_level":30}"#;
        let other_user = r#"{"kind":"user","id":2,"username":"max","name":"Max"}"#;
        for gives in [other_user, member, &key(12, 12, 1), &user(""), &key(11, 11, 1)] {
            assert!(!counts(&[put(gives)]), "{gives}");
        }
        for takes in [
            &user(r#","state":"blocked""#),
            &user(r#","two_factor":true"#),
            &user(r#","admin":true"#),
            &key(11, 12, 1),
            &key(12, 11, 1),
            &key(11, 11, 2),
            r#"{"kind":"settings","ssh_enabled":false}"#,
            r#"{"kind":"protected_branch","project_id":1,"pattern":"main"}"#,
            r#"{"kind":"project","id":1,"namespace_id":1,"path":"a/b","name":"b","relative_path":"x"}"#,
            r#"{"kind":"robot","id":7}"#,
            r#"{"kind":"member","project_id":1,"user_id":2,"access_level":30,"until_noon":true}"#,
        ] {
            assert!(counts(&[put(takes)]), "{takes}");
        }
        let delete = Change::Delete(RecordIdentity::Key(Id::try_from(99).unwrap()));
        assert!(counts(&[put(other_user), delete]), "whatever else is in the commit, and whatever it deletes");
        assert!(!counts(&[]));
    }
}
