//! What is below a namespace: other namespaces, their projects, and the direct members of each. Reads bypass the cache and scan
//! whole kinds of records, because only the count of a subscription's seats needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::record::{Member, Record};
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::pages::index::IndexKey;
use crate::store::pages::page_map::{PageMap, for_each_item};
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

impl Generation {
    /// Returns the ids of a namespace and of all namespaces below it. Reads every namespace. Blocks.
    pub fn namespace_subtree(&self, root: Id) -> Result<BTreeSet<Id>, StoreError> {
        let mut children: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
        self.for_each_record_with_prefix(&SortKey::namespaces_prefix(), |record| {
            if let Record::Namespace(namespace) = record
                && let Some(parent) = namespace.parent_id
            {
                children.entry(parent).or_default().push(namespace.id);
            }
        })?;
        let mut found = BTreeSet::from([root]);
        let mut open = vec![root];
        while let Some(parent) = open.pop() {
            // One that was found before is part of a cycle.
            open.extend(children.remove(&parent).unwrap_or_default().into_iter().filter(|child| found.insert(*child)));
        }
        Ok(found)
    }

    /// Returns the ids of the projects directly in a namespace. Blocks.
    pub fn direct_project_ids(&self, namespace: Id) -> Result<Vec<Id>, StoreError> {
        let index_key = IndexKey::by_parent_namespace(namespace);
        let mut sort_keys = Vec::new();
        for_each_item(self.database(), PageMap::Index, index_key.prefix(), |entry, _| {
            let sort_key = index_key.decode_entry(entry);
            let more = sort_key.is_some();
            sort_keys.extend(sort_key);
            Ok(more)
        })?;
        let mut projects = Vec::with_capacity(sort_keys.len());
        for sort_key in sort_keys {
            if let Some(Record::Project(project)) = self.load_entry(&sort_key)?.as_ref().and_then(|entry| entry.record()).map(Arc::as_ref) {
                projects.push(project.id);
            }
        }
        Ok(projects)
    }

    /// Returns all direct members of a container, whatever their state. Blocks.
    pub fn direct_members(&self, container: Container) -> Result<Vec<Member>, StoreError> {
        let mut members = Vec::new();
        self.for_each_record_with_prefix(&SortKey::members_prefix(container), |record| {
            if let Record::Member(member) = record {
                members.push(member.clone());
            }
        })?;
        Ok(members)
    }

    /// Calls `visit` with each record whose sort key begins with `prefix`, past the cache. Blocks.
    pub fn for_each_record_with_prefix(&self, prefix: &SortKey, mut visit: impl FnMut(&Record)) -> Result<(), StoreError> {
        for_each_item(self.database(), PageMap::Records, prefix.as_bytes(), |sort_key, value| {
            let has_prefix = sort_key.starts_with(prefix.as_bytes());
            if has_prefix && let Some(record) = parse_entry(StoredRecord::decode(value)?.text)?.record() {
                visit(record);
            }
            Ok(has_prefix)
        })
    }
}
