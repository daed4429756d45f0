//! What lies below a namespace: other namespaces, their projects, and who is a member of what. Read past the cache and without
//! an index of their own, because only the count of a subscription's seats asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::{Member, Record};
use crate::store::generation::{Damage, Generation, read_entry};
use crate::store::index::Name;
use crate::store::pages::{Map, each};
use crate::store::tally::Line;

impl Generation {
    /// A namespace and all that have it above them. Reads every namespace. Blocks.
    pub fn namespaces_below(&self, root: Id) -> Result<BTreeSet<Id>, Damage> {
        let mut children: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
        self.records_below(&Place::namespaces(), |record| {
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
    pub fn projects_of(&self, namespace: Id) -> Result<Vec<Id>, Damage> {
        let name = Name::project_in(namespace);
        let mut places = Vec::new();
        each(self.database(), Map::Index, name.bytes(), |entry, _| {
            let place = name.place(entry);
            let more = place.is_some();
            places.extend(place);
            Ok(more)
        })?;
        let mut projects = Vec::with_capacity(places.len());
        for place in places {
            if let Some(Record::Project(project)) = self.entry_at(&place)?.as_ref().and_then(|entry| entry.record()).map(Arc::as_ref) {
                projects.push(project.id);
            }
        }
        Ok(projects)
    }

    /// All direct members of a container, whatever their state. Blocks.
    pub fn members(&self, container: Container) -> Result<Vec<Member>, Damage> {
        let mut members = Vec::new();
        self.records_below(&Place::members(container), |record| {
            if let Record::Member(member) = record {
                members.push(member.clone());
            }
        })?;
        Ok(members)
    }

    fn records_below(&self, prefix: &Place, mut seen: impl FnMut(&Record)) -> Result<(), Damage> {
        each(self.database(), Map::Records, prefix.bytes(), |place, value| {
            let below = place.starts_with(prefix.bytes());
            if below && let Some(record) = read_entry(Line::of(value)?.text)?.record() {
                seen(record);
            }
            Ok(below)
        })
    }
}
