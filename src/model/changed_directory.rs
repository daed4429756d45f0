//! A directory with some changes on top of it, for changes that its store could not take.
//!
//! The changes are few, so what is looked up by a name is compared with each of them. A changed record that has a name takes it, whoever
//! else has it below: the primary gives each name once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::change::Change;
use crate::model::directory::{Container, Directory, DirectoryError, LookupResult};
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{
    DeployGrant, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Record, Settings, Share, Snippet, Storage, User,
};
use crate::model::record_grammar::is_answerable;
use crate::model::record_identity::RecordIdentity;
use crate::model::repository_place::RepositoryPlace;
use crate::model::sort_key::SortKey;

/// Changes by the record that they are of: the last one of each.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// Records other than keys; `None` for one that was deleted, is not understood, or may not be answered.
    records: BTreeMap<SortKey, Option<Arc<Record>>>,
    /// Keys by their id; `None` for one that was deleted, or may not be answered.
    keys: BTreeMap<Id, Option<Arc<Key>>>,
    has_unknown_parts: bool,
}

impl ChangeSet {
    /// Adds a change after those before.
    pub fn add(&mut self, change: &Change) {
        match change {
            Change::Delete(RecordIdentity::Key(id)) => {
                self.keys.insert(*id, None);
            }
            Change::Delete(RecordIdentity::Other(sort_key, _)) => {
                self.records.insert(sort_key.clone(), None);
            }
            Change::Put(entry) => {
                self.has_unknown_parts |= entry.has_unknown_parts();
                let answerable = entry.record().filter(|record| is_answerable(record));
                match entry.record().map(Arc::as_ref) {
                    Some(Record::Key(key)) => {
                        self.keys.insert(key.id, answerable.map(|_| Arc::new(key.clone())));
                    }
                    _ => {
                        self.records.insert(entry.sort_key().clone(), answerable.cloned());
                    }
                }
            }
        }
    }

    /// Returns whether a record among them is not wholly understood.
    #[must_use]
    pub const fn has_unknown_parts(&self) -> bool {
        self.has_unknown_parts
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().flatten().map(Arc::as_ref)
    }
}

/// A directory with a set of changes on top.
pub struct ChangedDirectory {
    base: Arc<dyn Directory + Send + Sync>,
    changes: Arc<ChangeSet>,
}

impl ChangedDirectory {
    /// Puts `changes` on top of `base`.
    #[must_use]
    pub fn new(base: Arc<dyn Directory + Send + Sync>, changes: Arc<ChangeSet>) -> Self {
        Self { base, changes }
    }

    /// Returns the record with this sort key: the changed one, or the one below.
    fn changed_or<T: RecordKind>(&self, sort_key: &SortKey, below: impl FnOnce() -> LookupResult<T>) -> LookupResult<T> {
        match self.changes.records.get(sort_key) {
            Some(changed) => Ok(changed.as_deref().and_then(T::of_record).cloned().map(Arc::new)),
            None => below(),
        }
    }

    /// Returns the record that has a name: the changed one that has it, or the one below unless that one was changed.
    fn named<T: RecordKind>(&self, has_name: impl Fn(&T) -> bool, below: LookupResult<T>) -> LookupResult<T> {
        if let Some(changed) = self.changes.records().filter_map(T::of_record).find(|record| has_name(record)) {
            return Ok(Some(Arc::new(changed.clone())));
        }
        Ok(below?.filter(|record| !self.changes.records.contains_key(&record.sort_key())))
    }

    /// Returns a list with its changed records replaced, and those added that belong to it.
    fn listed<T: RecordKind>(&self, belongs: impl Fn(&T) -> bool, below: Vec<Arc<T>>) -> Vec<Arc<T>> {
        let unchanged = below.into_iter().filter(|record| !self.changes.records.contains_key(&record.sort_key()));
        let changed = self.changes.records().filter_map(T::of_record).filter(|record| belongs(record));
        unchanged.chain(changed.cloned().map(Arc::new)).collect()
    }
}

impl Directory for ChangedDirectory {
    fn version(&self) -> Option<u64> {
        self.base.version()
    }

    fn settings(&self) -> Result<Arc<Settings>, DirectoryError> {
        match self.changes.records.get(&SortKey::settings()) {
            Some(Some(record)) => Ok(Arc::new(Settings::of_record(record).cloned().ok_or_else(no_settings)?)),
            Some(None) => Record::parse(r#"{"kind":"settings"}"#)
                .ok()
                .as_ref()
                .and_then(Settings::of_record)
                .cloned()
                .map(Arc::new)
                .ok_or_else(no_settings),
            None => self.base.settings(),
        }
    }

    fn storage(&self, name: &str) -> LookupResult<Storage> {
        self.changed_or(&SortKey::storage(name), || self.base.storage(name))
    }

    fn user(&self, id: Id) -> LookupResult<User> {
        self.changed_or(&SortKey::user(id), || self.base.user(id))
    }

    fn user_by_username(&self, username: &str) -> LookupResult<User> {
        self.named(|user: &User| user.username.eq_ignore_ascii_case(username), self.base.user_by_username(username))
    }

    fn key(&self, id: Id) -> LookupResult<Key> {
        match self.changes.keys.get(&id) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.base.key(id)?.filter(|key| !self.is_blob_taken(key))),
        }
    }

    fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> LookupResult<Key> {
        if let Some(changed) = self.changes.keys.values().flatten().find(|key| key.key.fingerprint() == *fingerprint) {
            return Ok(Some(Arc::clone(changed)));
        }
        Ok(self.base.key_by_fingerprint(fingerprint)?.filter(|key| !self.changes.keys.contains_key(&key.id)))
    }

    fn namespace(&self, id: Id) -> LookupResult<Namespace> {
        self.changed_or(&SortKey::namespace(id), || self.base.namespace(id))
    }

    fn namespace_by_path(&self, path: &str) -> LookupResult<Namespace> {
        self.named(|namespace: &Namespace| namespace.path.eq_ignore_ascii_case(path), self.base.namespace_by_path(path))
    }

    fn project(&self, id: Id) -> LookupResult<Project> {
        self.changed_or(&SortKey::project(id), || self.base.project(id))
    }

    fn project_by_path(&self, path: &str) -> LookupResult<Project> {
        self.named(|project: &Project| project.path.eq_ignore_ascii_case(path), self.base.project_by_path(path))
    }

    fn project_by_former_path(&self, path: &str) -> LookupResult<Project> {
        match self.changes.records.get(&SortKey::redirect(path)) {
            Some(Some(record)) => match record.as_ref() {
                Record::Redirect(redirect) => self.project(redirect.project_id),
                _ => Ok(None),
            },
            Some(None) => Ok(None),
            None => match self.base.project_by_former_path(path)? {
                Some(project) => self.project(project.id),
                None => Ok(None),
            },
        }
    }

    fn snippet(&self, id: Id) -> LookupResult<Snippet> {
        self.changed_or(&SortKey::snippet(id), || self.base.snippet(id))
    }

    /// As below: a primary gives each repository to one record, and what its store cannot take is not searched for a mistake.
    fn is_shared_repository(&self, place: &RepositoryPlace<'_>) -> Result<bool, DirectoryError> {
        self.base.is_shared_repository(place)
    }

    /// As below: only the primary creates projects, and decides again.
    fn is_path_unanswered(&self, path: &str) -> Result<bool, DirectoryError> {
        self.base.is_path_unanswered(path)
    }

    fn member(&self, container: Container, user: Id) -> LookupResult<Member> {
        self.changed_or(&SortKey::member(container, user), || self.base.member(container, user))
    }

    fn shares(&self, container: Container) -> Result<Vec<Arc<Share>>, DirectoryError> {
        Ok(self.listed(|share: &Share| share_container(share) == Some(container), self.base.shares(container)?))
    }

    fn deploy_grant(&self, key: Id, project: Id) -> LookupResult<DeployGrant> {
        self.changed_or(&SortKey::deploy_grant(key, project), || self.base.deploy_grant(key, project))
    }

    fn protected_branches(&self, project: Id) -> Result<Vec<Arc<ProtectedBranch>>, DirectoryError> {
        Ok(self.listed(|branch: &ProtectedBranch| branch.project_id == project, self.base.protected_branches(project)?))
    }

    fn protected_tags(&self, project: Id) -> Result<Vec<Arc<ProtectedTag>>, DirectoryError> {
        Ok(self.listed(|tag: &ProtectedTag| tag.project_id == project, self.base.protected_tags(project)?))
    }

    /// As below: only the primary creates projects, and decides again.
    fn count_projects_in(&self, namespace: Id) -> Result<u64, DirectoryError> {
        self.base.count_projects_in(namespace)
    }
}

impl ChangedDirectory {
    /// Returns whether a changed key has this key's blob: then it took its place.
    fn is_blob_taken(&self, key: &Key) -> bool {
        self.changes.keys.values().flatten().any(|changed| changed.id != key.id && changed.key == key.key)
    }
}

fn share_container(share: &Share) -> Option<Container> {
    share.namespace_id.map(Container::Namespace).or(share.project_id.map(Container::Project))
}

fn no_settings() -> DirectoryError {
    DirectoryError("the settings are not understood".to_owned())
}

/// A kind that is looked up in a set of changes.
trait RecordKind: Clone {
    /// Returns the record, if it is of this kind.
    fn of_record(record: &Record) -> Option<&Self>;
    /// Returns its sort key.
    fn sort_key(&self) -> SortKey;
}

macro_rules! record_kind {
    ($($kind:ident: |$record:ident| $sort_key:expr;)*) => {$(
        impl RecordKind for $kind {
            fn of_record(record: &Record) -> Option<&Self> {
                match record {
                    Record::$kind(found) => Some(found),
                    _ => None,
                }
            }

            fn sort_key(&self) -> SortKey {
                let $record = self;
                $sort_key
            }
        }
    )*};
}

record_kind! {
    Settings: |_settings| SortKey::settings();
    Storage: |storage| SortKey::storage(&storage.name);
    User: |user| SortKey::user(user.id);
    Namespace: |namespace| SortKey::namespace(namespace.id);
    Project: |project| SortKey::project(project.id);
    Snippet: |snippet| SortKey::snippet(snippet.id);
    Member: |member| SortKey::member(member_container(member), member.user_id);
    Share: |share| SortKey::share(share_container(share).unwrap_or(Container::Project(share.with_namespace_id)), share.with_namespace_id);
    DeployGrant: |grant| SortKey::deploy_grant(grant.key_id, grant.project_id);
    ProtectedBranch: |branch| SortKey::protected_branch(branch.project_id, &branch.pattern);
    ProtectedTag: |tag| SortKey::protected_tag(tag.project_id, &tag.pattern);
}

fn member_container(member: &Member) -> Container {
    let namespace = member.namespace_id.map(Container::Namespace);
    namespace.or(member.project_id.map(Container::Project)).unwrap_or(Container::Project(member.user_id))
}
