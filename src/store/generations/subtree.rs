//! What lies below a namespace: other namespaces, their projects, and who is a member of what. Read past the cache and without
//! an index of their own, because only the count of a subscription's seats asks for it.

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
    /// A namespace and all that have it above them. Reads every namespace. Blocks.
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
            // One that was found before stands in a circle.
            open.extend(children.remove(&parent).unwrap_or_default().into_iter().filter(|child| found.insert(*child)));
        }
        Ok(found)
    }

    /// The projects that stand directly in a namespace. Blocks.
    pub fn direct_project_ids(&self, namespace: Id) -> Result<Vec<Id>, StoreError> {
        let name = IndexKey::by_parent_namespace(namespace);
        let mut places = Vec::new();
        for_each_item(self.database(), PageMap::Index, name.prefix(), |entry, _| {
            let place = name.decode_entry(entry);
            let more = place.is_some();
            places.extend(place);
            Ok(more)
        })?;
        let mut projects = Vec::with_capacity(places.len());
        for place in places {
            if let Some(Record::Project(project)) = self.load_entry(&place)?.as_ref().and_then(|entry| entry.record()).map(Arc::as_ref) {
                projects.push(project.id);
            }
        }
        Ok(projects)
    }

    /// All direct members of a container, whatever their state. Blocks.
    pub fn direct_members(&self, container: Container) -> Result<Vec<Member>, StoreError> {
        let mut members = Vec::new();
        self.for_each_record_with_prefix(&SortKey::members_prefix(container), |record| {
            if let Record::Member(member) = record {
                members.push(member.clone());
            }
        })?;
        Ok(members)
    }

    fn for_each_record_with_prefix(&self, prefix: &SortKey, mut seen: impl FnMut(&Record)) -> Result<(), StoreError> {
        for_each_item(self.database(), PageMap::Records, prefix.as_bytes(), |place, value| {
            let below = place.starts_with(prefix.as_bytes());
            if below && let Some(record) = parse_entry(StoredRecord::decode(value)?.text)?.record() {
                seen(record);
            }
            Ok(below)
        })
    }
}
