//! What the index holds: for each record the names it can be looked for by, each followed by the record's place.
//!
//! The index is a function of the records: every record puts its own entries and takes away its own, and no other's. So a
//! name that two records claim (a snapshot read while commits go on may hold both for a while) leads to one of them and,
//! when that one goes, to the other.
//!
//! A name is a letter and an id (8 bytes) or text that ends with a zero byte; none begins with another.

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::Record;

/// A name that a record is looked for by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// A key's id.
    pub fn key(id: Id) -> Self {
        Self::id(b'k', id)
    }

    /// A username, whatever its ASCII case.
    pub fn user(username: &str) -> Self {
        Self::text(b'u', &username.to_ascii_lowercase())
    }

    /// A namespace's full path, whatever its ASCII case.
    pub fn namespace(path: &str) -> Self {
        Self::text(b'n', &path.to_ascii_lowercase())
    }

    /// A project's full path, whatever its ASCII case.
    pub fn project(path: &str) -> Self {
        Self::text(b'p', &path.to_ascii_lowercase())
    }

    /// Being a project directly in a namespace.
    pub fn project_in(namespace: Id) -> Self {
        Self::id(b'i', namespace)
    }

    /// The hash of an agent's token.
    pub fn agent(token_sha256: &str) -> Self {
        Self::text(b'a', token_sha256)
    }

    /// What the entries of this name begin with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The entry that leads from this name to a place.
    pub fn entry(&self, place: &Place) -> Vec<u8> {
        [&self.0, place.bytes()].concat()
    }

    /// Where an entry of this name leads.
    pub fn place(&self, entry: &[u8]) -> Option<Place> {
        entry.strip_prefix(self.0.as_slice()).map(Place::from_bytes)
    }

    fn id(letter: u8, id: Id) -> Self {
        Self([&[letter], id.bytes().as_slice()].concat())
    }

    fn text(letter: u8, text: &str) -> Self {
        Self([&[letter], text.as_bytes(), &[0]].concat())
    }
}

/// The names of a record.
pub fn names(record: &Record) -> Vec<Name> {
    match record {
        Record::User(user) => vec![Name::user(&user.username)],
        Record::Namespace(namespace) => vec![Name::namespace(&namespace.path)],
        Record::Project(project) => vec![Name::project(&project.path), Name::project_in(project.namespace_id)],
        Record::Agent(agent) => vec![Name::agent(&agent.token_sha256)],
        Record::Key(key) => vec![Name::key(key.id)],
        _ => Vec::new(),
    }
}

/// What the places of a record and of those that are read together with it begin with, if it is read so.
pub fn company(record: &Record) -> Option<Place> {
    match record {
        Record::Share(share) => {
            let namespace = share.namespace_id.map(Container::Namespace);
            namespace.or(share.project_id.map(Container::Project)).map(Place::shares)
        }
        Record::DeployGrant(grant) => Some(Place::deploy_grants(grant.key_id)),
        Record::ProtectedBranch(branch) => Some(Place::protected_branches(branch.project_id)),
        Record::ProtectedTag(tag) => Some(Place::protected_tags(tag.project_id)),
        _ => None,
    }
}
