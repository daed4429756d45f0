//! A directory in memory, for tests: plain maps that are obviously right.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::directory::{Container, Directory, DirectoryError, LookupResult};
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{
    DeployGrant, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Record, Settings, Share, Snippet, Storage, User,
};
use crate::model::record_grammar::is_answerable;
use crate::model::repository_place::RepositoryPlace;
use crate::model::sort_key::SortKey;

/// A directory as maps. A record that is put again replaces the one before.
#[derive(Clone, Debug, Default)]
pub struct MemoryDirectory {
    /// All records, in the order of a snapshot.
    records: BTreeMap<SortKey, Record>,
    settings: Option<Arc<Settings>>,
    storages: BTreeMap<String, Arc<Storage>>,
    users: BTreeMap<Id, Arc<User>>,
    usernames: BTreeMap<String, Id>,
    keys: BTreeMap<Id, Arc<Key>>,
    namespaces: BTreeMap<Id, Arc<Namespace>>,
    projects: BTreeMap<Id, Arc<Project>>,
    snippets: BTreeMap<Id, Arc<Snippet>>,
    paths: BTreeMap<String, Container>,
    redirects: BTreeMap<String, Id>,
    members: BTreeMap<(u8, Id, Id), Arc<Member>>,
    shares: BTreeMap<(u8, Id), Vec<Arc<Share>>>,
    grants: BTreeMap<(Id, Id), Arc<DeployGrant>>,
}

impl MemoryDirectory {
    /// Returns a directory of these lines of a directory file. Panics at a line that is no record.
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self::from_records(lines.into_iter().map(|line| Record::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))))
    }

    /// Returns a directory of these records.
    pub fn from_records(records: impl IntoIterator<Item = Record>) -> Self {
        let mut directory = Self::default();
        for record in records {
            directory.put(record);
        }
        directory
    }

    /// Returns the directory with these lines put.
    #[must_use]
    pub fn with_lines<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut directory = self.clone();
        for line in lines {
            directory.put(Record::parse(line).unwrap_or_else(|error| panic!("{line}: {error}")));
        }
        directory
    }

    /// Returns the directory with only the records that `keep` accepts.
    #[must_use]
    pub fn filter_records(&self, keep: impl Fn(&Record) -> bool) -> Self {
        Self::from_records(self.records.values().filter(|record| keep(record)).cloned())
    }

    /// Returns all records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Puts one record.
    pub fn put(&mut self, record: Record) {
        if !is_answerable(&record) {
            self.records.insert(record.sort_key(), record);
            return;
        }
        match &record {
            Record::Settings(settings) => self.settings = Some(Arc::new(settings.clone())),
            Record::Storage(storage) => {
                self.storages.insert(storage.name.to_string(), Arc::new(storage.clone()));
            }
            Record::User(user) => {
                self.usernames.insert(user.username.to_ascii_lowercase(), user.id);
                self.users.insert(user.id, Arc::new(user.clone()));
            }
            Record::Key(key) => {
                self.keys.insert(key.id, Arc::new(key.clone()));
            }
            Record::Namespace(namespace) => {
                self.paths.insert(namespace.path.to_ascii_lowercase(), Container::Namespace(namespace.id));
                self.namespaces.insert(namespace.id, Arc::new(namespace.clone()));
            }
            Record::Project(project) => {
                self.paths.insert(project.path.to_ascii_lowercase(), Container::Project(project.id));
                self.projects.insert(project.id, Arc::new(project.clone()));
            }
            Record::Snippet(snippet) => {
                self.snippets.insert(snippet.id, Arc::new(snippet.clone()));
            }
            Record::Redirect(redirect) => {
                self.redirects.insert(redirect.from.to_ascii_lowercase(), redirect.project_id);
            }
            Record::Member(member) => {
                let (kind, id) = container_key(member.namespace_id, member.project_id);
                self.members.insert((kind, id, member.user_id), Arc::new(member.clone()));
            }
            Record::Share(share) => {
                let shares = self.shares.entry(container_key(share.namespace_id, share.project_id)).or_default();
                shares.retain(|before| before.with_namespace_id != share.with_namespace_id);
                shares.push(Arc::new(share.clone()));
            }
            Record::DeployGrant(grant) => {
                self.grants.insert((grant.key_id, grant.project_id), Arc::new(grant.clone()));
            }
            _ => {}
        }
        self.records.insert(record.sort_key(), record);
    }

    fn collect_records<T>(&self, wanted: impl Fn(&Record) -> Option<T>) -> Vec<Arc<T>> {
        self.records.values().filter_map(|record| wanted(record).map(Arc::new)).collect()
    }
}

fn container_key(namespace: Option<Id>, project: Option<Id>) -> (u8, Id) {
    match (namespace, project) {
        (Some(id), None) => (0, id),
        (None, Some(id)) => (1, id),
        _ => panic!("a record that names both or neither of a namespace and a project"),
    }
}

const fn key_of_container(container: Container) -> (u8, Id) {
    match container {
        Container::Namespace(id) => (0, id),
        Container::Project(id) => (1, id),
    }
}

impl Directory for MemoryDirectory {
    fn version(&self) -> Option<u64> {
        Some(0)
    }

    fn is_path_unanswered(&self, path: &str) -> Result<bool, DirectoryError> {
        let has_path = |record: &Record| match record {
            Record::Namespace(namespace) => namespace.path.eq_ignore_ascii_case(path),
            Record::Project(project) => project.path.eq_ignore_ascii_case(path),
            _ => false,
        };
        Ok(self.records.values().any(|record| has_path(record) && !is_answerable(record)))
    }

    fn is_shared_repository(&self, place: &RepositoryPlace<'_>) -> Result<bool, DirectoryError> {
        let stems = place.overlapping_stems();
        let overlaps = |other: RepositoryPlace<'_>| {
            let by_side = other.has_sides && stems.project == Some(other.stem);
            other.storage == place.storage && (by_side || stems.any.iter().any(|stem| stem == other.stem))
        };
        // One of them is the record itself.
        Ok(self.records.values().filter_map(RepositoryPlace::of_record).filter(|other| overlaps(*other)).count() > 1)
    }

    fn settings(&self) -> Result<Arc<Settings>, DirectoryError> {
        match (&self.settings, Record::parse(r#"{"kind":"settings"}"#)) {
            (Some(settings), _) => Ok(Arc::clone(settings)),
            (None, Ok(Record::Settings(settings))) => Ok(Arc::new(settings)),
            (None, other) => Err(DirectoryError(format!("{other:?}"))),
        }
    }

    fn storage(&self, name: &str) -> LookupResult<Storage> {
        Ok(self.storages.get(name).cloned())
    }

    fn user(&self, id: Id) -> LookupResult<User> {
        Ok(self.users.get(&id).cloned())
    }

    fn user_by_username(&self, username: &str) -> LookupResult<User> {
        Ok(self.usernames.get(&username.to_ascii_lowercase()).and_then(|id| self.users.get(id)).cloned())
    }

    fn key(&self, id: Id) -> LookupResult<Key> {
        Ok(self.keys.get(&id).cloned())
    }

    fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> LookupResult<Key> {
        Ok(self.keys.values().find(|key| key.key.fingerprint() == *fingerprint).cloned())
    }

    fn namespace(&self, id: Id) -> LookupResult<Namespace> {
        Ok(self.namespaces.get(&id).cloned())
    }

    fn namespace_by_path(&self, path: &str) -> LookupResult<Namespace> {
        match self.paths.get(&path.to_ascii_lowercase()) {
            Some(Container::Namespace(id)) => self.namespace(*id),
            _ => Ok(None),
        }
    }

    fn project(&self, id: Id) -> LookupResult<Project> {
        Ok(self.projects.get(&id).cloned())
    }

    fn project_by_path(&self, path: &str) -> LookupResult<Project> {
        match self.paths.get(&path.to_ascii_lowercase()) {
            Some(Container::Project(id)) => self.project(*id),
            _ => Ok(None),
        }
    }

    fn project_by_former_path(&self, path: &str) -> LookupResult<Project> {
        self.redirects.get(&path.to_ascii_lowercase()).map_or(Ok(None), |id| self.project(*id))
    }

    fn snippet(&self, id: Id) -> LookupResult<Snippet> {
        Ok(self.snippets.get(&id).cloned())
    }

    fn member(&self, container: Container, user: Id) -> LookupResult<Member> {
        let (kind, id) = key_of_container(container);
        Ok(self.members.get(&(kind, id, user)).cloned())
    }

    fn shares(&self, container: Container) -> Result<Vec<Arc<Share>>, DirectoryError> {
        Ok(self.shares.get(&key_of_container(container)).cloned().unwrap_or_default())
    }

    fn deploy_grant(&self, key: Id, project: Id) -> LookupResult<DeployGrant> {
        Ok(self.grants.get(&(key, project)).cloned())
    }

    fn protected_branches(&self, project: Id) -> Result<Vec<Arc<ProtectedBranch>>, DirectoryError> {
        Ok(self.collect_records(|record| match record {
            Record::ProtectedBranch(branch) if branch.project_id == project => Some(branch.clone()),
            _ => None,
        }))
    }

    fn protected_tags(&self, project: Id) -> Result<Vec<Arc<ProtectedTag>>, DirectoryError> {
        Ok(self.collect_records(|record| match record {
            Record::ProtectedTag(tag) if tag.project_id == project => Some(tag.clone()),
            _ => None,
        }))
    }

    fn count_projects_in(&self, namespace: Id) -> Result<u64, DirectoryError> {
        Ok(self.projects.values().filter(|project| project.namespace_id == namespace).count() as u64)
    }
}

/// Returns an OpenSSH line of an Ed25519 key, another one for each number.
#[must_use]
pub fn ed25519_public_key(number: u64) -> String {
    use base64::Engine as _;
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([7; 24]);
    blob.extend(number.to_be_bytes());
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob))
}
