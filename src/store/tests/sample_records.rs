//! Records, changes and a reference model that the tests of the store share.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::model::change::Change;
use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::memory_directory::ed25519_public_key;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;

/// Returns the line of a key record.
pub fn key_line(number: u64, key: u64, title: &str) -> String {
    let key = ed25519_public_key(key);
    format!(r#"{{"kind":"key","id":{number},"user_id":1,"title":"{title}","key":"{key}","created_at":"2026-01-31T12:00:00.000Z"}}"#)
}

/// Returns the entry of a line.
pub fn entry(line: &str) -> Entry {
    Entry::from_record(Record::parse(line).unwrap()).unwrap()
}

/// Generates the line of any record out of few ids and names.
pub fn any_record_line() -> impl Strategy<Value = String> {
    let small_id = || 1..6_u64;
    let name = || prop::sample::select(vec!["a", "A", "b", "bb", "c/d", "C/d"]);
    prop_oneof![
        3 => (small_id(), name(), any::<bool>()).prop_map(|(id, name, admin)| format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"N","admin":{admin}}}"#)),
        6 => (1..12_u64, 1..16_u64, name()).prop_map(|(id, key, title)| key_line(id, key, title)),
        2 => (small_id(), name()).prop_map(|(id, path)| format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"n"}}"#)),
        3 => (small_id(), small_id(), name()).prop_map(|(id, space, path)| format!(
            r#"{{"kind":"project","id":{id},"namespace_id":{space},"path":"{path}","name":"n","relative_path":"r"}}"#)),
        2 => (any::<bool>(), small_id(), small_id(), prop::sample::select(vec![10, 30])).prop_map(|(project, sort_key, user, level)| {
            let field = if project { "project_id" } else { "namespace_id" };
            format!(r#"{{"kind":"member","{field}":{sort_key},"user_id":{user},"access_level":{level}}}"#)
        }),
        2 => (any::<bool>(), small_id(), small_id()).prop_map(|(project, sort_key, with)| {
            let field = if project { "project_id" } else { "namespace_id" };
            format!(r#"{{"kind":"share","{field}":{sort_key},"with_namespace_id":{with},"access_level":30}}"#)
        }),
        2 => (small_id(), small_id(), any::<bool>()).prop_map(|(key, project, push)| format!(r#"{{"kind":"deploy_grant","key_id":{key},"project_id":{project},"can_push":{push}}}"#)),
        1 => (name(), small_id()).prop_map(|(from, project)| format!(r#"{{"kind":"redirect","from":"{from}","project_id":{project}}}"#)),
        1 => (small_id(), name()).prop_map(|(project, pattern)| format!(r#"{{"kind":"protected_branch","project_id":{project},"pattern":"{pattern}"}}"#)),
        1 => (small_id(), name()).prop_map(|(project, pattern)| format!(r#"{{"kind":"protected_tag","project_id":{project},"pattern":"{pattern}"}}"#)),
        1 => any::<bool>().prop_map(|ssh| format!(r#"{{"kind":"settings","ssh_enabled":{ssh}}}"#)),
    ]
}

/// Generates a put of such a record, or a delete of it.
pub fn any_change() -> impl Strategy<Value = Change> {
    (any_record_line(), 0..5).prop_map(|(line, kind)| {
        let entry = entry(&line);
        match (kind, entry.record().map(Arc::as_ref)) {
            (0 | 1, Some(Record::Key(key))) => Change::Delete(RecordIdentity::Key(key.id)),
            (0 | 1, _) => Change::Delete(RecordIdentity::Other(entry.sort_key().clone(), "{}".into())),
            _ => Change::Put(entry),
        }
    })
}

/// The map that a generation is compared with.
#[derive(Clone, Default)]
pub struct ReferenceModel(pub BTreeMap<SortKey, Entry>);

impl ReferenceModel {
    /// Applies one change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(entry) => {
                if let Some(Record::Key(key)) = entry.record().map(Arc::as_ref) {
                    self.delete_keys(key.id);
                }
                self.0.insert(entry.sort_key().clone(), entry.clone());
            }
            Change::Delete(RecordIdentity::Key(id)) => self.delete_keys(*id),
            Change::Delete(RecordIdentity::Other(sort_key, _)) => drop(self.0.remove(sort_key)),
        }
    }

    fn delete_keys(&mut self, id: Id) {
        self.0.retain(|_, entry| !matches!(entry.record().map(Arc::as_ref), Some(Record::Key(key)) if key.id == id));
    }

    /// Returns what the records add up to.
    pub fn state(&self) -> DirectoryDigest {
        self.0.values().fold(DirectoryDigest::default(), |state, entry| state.with_record(entry.text().as_bytes()))
    }

    /// Returns the records that `wanted` picks, in the order of a snapshot.
    pub fn records<T: Clone>(&self, wanted: impl Fn(&Record) -> Option<&T>) -> Vec<T> {
        self.0.values().filter_map(|entry| wanted(entry.record()?).cloned()).collect()
    }
}
