//! Looking things up in a generation: out of the cache, or else out of the pages and then kept.
//!
//! What is not there is not kept, lest questions for nothing push out what is asked often; except for memberships, grants
//! and lists of shares, where most questions on the way up from a project find nothing.

use std::sync::Arc;

use crate::model::directory::{Container, Directory, Fault, Found};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::order::Place;
use crate::model::record::{
    DeployGrant, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Record, Redirect, Settings, Share, Snippet, Storage, User,
};
use crate::store::generation::{Damage, Generation, read_entry};
use crate::store::index::{Name, names};
use crate::store::known::{Asked, Kind, Known};
use crate::store::pages::{Map, each};
use crate::store::tally::Line;

/// How often a name that led to another record is followed anew before it is a damage: each time a commit came between.
const FOLLOWED: usize = 8;

impl Generation {
    /// The record at a place.
    pub(in crate::store) fn at<T: Kind>(&self, place: Place) -> Result<Option<Arc<T>>, Damage> {
        self.answer(Asked::At(place.clone()), || Ok(self.entry_at(&place)?.as_ref().and_then(known)))
    }

    /// The record at a place, where there often is none.
    fn perhaps_at<T: Kind>(&self, place: Place) -> Result<Option<Arc<T>>, Damage> {
        self.answer(Asked::At(place.clone()), || Ok(Some(self.entry_at(&place)?.as_ref().and_then(known).unwrap_or(Known::None))))
    }

    /// The record of a name.
    pub(in crate::store) fn named<T: Kind>(&self, name: Name) -> Result<Option<Arc<T>>, Damage> {
        self.answer(Asked::Named(name.clone()), || Ok(self.entry_named(&name)?.as_ref().and_then(known)))
    }

    /// All records whose places begin so.
    pub(in crate::store) fn below<T: Kind>(&self, prefix: Place) -> Result<Vec<Arc<T>>, Damage> {
        let asked = Asked::Below(prefix.clone());
        if let Some(Known::All(found)) = self.known().recall(&asked) {
            return Ok(found.iter().filter_map(T::of).collect());
        }
        let ticket = self.known().ticket();
        let mut found = Vec::new();
        each(self.database(), Map::Records, prefix.bytes(), |place, value| {
            let below = place.starts_with(prefix.bytes());
            if below {
                found.extend(known(&read_entry(Line::of(value)?.text)?));
            }
            Ok(below)
        })?;
        let records = found.iter().filter_map(T::of).collect();
        self.known().keep(ticket, asked, Known::All(found.into()));
        Ok(records)
    }

    /// The record of a name, past the cache. Name and record are read one after the other, so a commit between them is
    /// found by looking whether the record still has the name.
    pub(in crate::store) fn entry_named(&self, name: &Name) -> Result<Option<Entry>, Damage> {
        for _ in 0..FOLLOWED {
            let Some(place) = self.place_named(name)? else { return Ok(None) };
            let entry = self.entry_at(&place)?;
            let has_name = |entry: &Entry| entry.record().is_some_and(|record| names(record).contains(name));
            if entry.as_ref().is_some_and(has_name) {
                return Ok(entry);
            }
        }
        Err(Damage("the index leads to a record that is not there".to_owned()))
    }

    fn answer<T: Kind>(&self, asked: Asked, read: impl FnOnce() -> Result<Option<Known>, Damage>) -> Result<Option<Arc<T>>, Damage> {
        if let Some(known) = self.known().recall(&asked) {
            return Ok(T::of(&known));
        }
        let ticket = self.known().ticket();
        let Some(known) = read()? else { return Ok(None) };
        let found = T::of(&known);
        self.known().keep(ticket, asked, known);
        Ok(found)
    }

    fn count_named(&self, name: &Name) -> Result<u64, Damage> {
        let mut count = 0;
        each(self.database(), Map::Index, name.bytes(), |entry, _| {
            let named = entry.starts_with(name.bytes());
            count += u64::from(named);
            Ok(named)
        })?;
        Ok(count)
    }
}

fn known(entry: &Entry) -> Option<Known> {
    entry.record().map(|record| Known::of(record))
}

/// The settings of a directory that has none.
fn unsaid() -> Result<Arc<Settings>, Damage> {
    match Record::parse(r#"{"kind":"settings"}"#) {
        Ok(Record::Settings(settings)) => Ok(Arc::new(settings)),
        _ => Err(Damage("the settings have no defaults".to_owned())),
    }
}

impl Directory for Generation {
    fn settings(&self) -> Result<Arc<Settings>, Fault> {
        let read = || match self.entry_at(&Place::settings())? {
            Some(entry) => Ok(known(&entry)),
            None => Ok(Some(Known::Settings(unsaid()?))),
        };
        self.answer(Asked::At(Place::settings()), read)?.ok_or_else(|| Fault("the settings are not understood".to_owned()))
    }

    fn storage(&self, name: &str) -> Found<Storage> {
        Ok(self.at(Place::storage(name))?)
    }

    fn user(&self, id: Id) -> Found<User> {
        Ok(self.at(Place::user(id))?)
    }

    fn user_named(&self, username: &str) -> Found<User> {
        Ok(self.named(Name::user(username))?)
    }

    fn key(&self, id: Id) -> Found<Key> {
        Ok(self.named(Name::key(id))?)
    }

    fn key_with(&self, fingerprint: &Fingerprint) -> Found<Key> {
        Ok(self.at(Place::key(fingerprint))?)
    }

    fn namespace(&self, id: Id) -> Found<Namespace> {
        Ok(self.at(Place::namespace(id))?)
    }

    fn namespace_at(&self, path: &str) -> Found<Namespace> {
        Ok(self.named(Name::namespace(path))?)
    }

    fn project(&self, id: Id) -> Found<Project> {
        Ok(self.at(Place::project(id))?)
    }

    fn project_at(&self, path: &str) -> Found<Project> {
        Ok(self.named(Name::project(path))?)
    }

    fn project_formerly_at(&self, path: &str) -> Found<Project> {
        match self.at::<Redirect>(Place::redirect(path))? {
            Some(redirect) => self.project(redirect.project_id),
            None => Ok(None),
        }
    }

    fn snippet(&self, id: Id) -> Found<Snippet> {
        Ok(self.at(Place::snippet(id))?)
    }

    fn member(&self, container: Container, user: Id) -> Found<Member> {
        Ok(self.perhaps_at(Place::member(container, user))?)
    }

    fn shares(&self, container: Container) -> Result<Vec<Arc<Share>>, Fault> {
        Ok(self.below(Place::shares(container))?)
    }

    fn deploy_grant(&self, key: Id, project: Id) -> Found<DeployGrant> {
        Ok(self.perhaps_at(Place::deploy_grant(key, project))?)
    }

    fn protected_branches(&self, project: Id) -> Result<Vec<Arc<ProtectedBranch>>, Fault> {
        Ok(self.below(Place::protected_branches(project))?)
    }

    fn protected_tags(&self, project: Id) -> Result<Vec<Arc<ProtectedTag>>, Fault> {
        Ok(self.below(Place::protected_tags(project))?)
    }

    fn projects_in(&self, namespace: Id) -> Result<u64, Fault> {
        Ok(self.count_named(&Name::project_in(namespace))?)
    }
}
