//! What the index holds: for each record the names it can be looked for by, each followed by the record's place.
//!
//! The index is a function of the records: every record puts its own entries and takes away its own, and no other's. So a
//! name that two records claim (a snapshot read while commits go on may hold both for a while) leads to one of them and,
//! when that one goes, to the other.
//!
//! A name is a letter and an id (8 bytes) or text that ends with a zero byte; none begins with another.

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::sort_key::SortKey;

/// A name that a record is looked for by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey(Vec<u8>);

impl IndexKey {
    /// A key's id.
    pub fn by_key_id(id: Id) -> Self {
        Self::from_id(b'k', id)
    }

    /// A username, whatever its ASCII case.
    pub fn by_username(username: &str) -> Self {
        Self::from_text(b'u', &username.to_ascii_lowercase())
    }

    /// A namespace's full path, whatever its ASCII case.
    pub fn by_namespace_path(path: &str) -> Self {
        Self::from_text(b'n', &path.to_ascii_lowercase())
    }

    /// A project's full path, whatever its ASCII case.
    pub fn by_project_path(path: &str) -> Self {
        Self::from_text(b'p', &path.to_ascii_lowercase())
    }

    /// Being a project directly in a namespace.
    pub fn by_parent_namespace(namespace: Id) -> Self {
        Self::from_id(b'i', namespace)
    }

    /// The hash of an agent's token.
    pub fn by_agent_token(token_sha256: &str) -> Self {
        Self::from_text(b'a', token_sha256)
    }

    /// What the entries of this name begin with.
    pub fn prefix(&self) -> &[u8] {
        &self.0
    }

    /// The entry that leads from this name to a place.
    pub fn encode_entry(&self, place: &SortKey) -> Vec<u8> {
        [&self.0, place.as_bytes()].concat()
    }

    /// Where an entry of this name leads.
    pub fn decode_entry(&self, entry: &[u8]) -> Option<SortKey> {
        entry.strip_prefix(self.0.as_slice()).map(SortKey::from_bytes)
    }

    fn from_id(letter: u8, id: Id) -> Self {
        Self([&[letter], id.bytes().as_slice()].concat())
    }

    fn from_text(letter: u8, text: &str) -> Self {
        Self([&[letter], text.as_bytes(), &[0]].concat())
    }
}

/// The names of a record.
pub fn index_keys(record: &Record) -> Vec<IndexKey> {
    match record {
        Record::User(user) => vec![IndexKey::by_username(&user.username)],
        Record::Namespace(namespace) => vec![IndexKey::by_namespace_path(&namespace.path)],
        Record::Project(project) => vec![IndexKey::by_project_path(&project.path), IndexKey::by_parent_namespace(project.namespace_id)],
        Record::Agent(agent) => vec![IndexKey::by_agent_token(&agent.token_sha256)],
        Record::Key(key) => vec![IndexKey::by_key_id(key.id)],
        _ => Vec::new(),
    }
}

/// What the places of a record and of those that are read together with it begin with, if it is read so.
pub fn list_prefix(record: &Record) -> Option<SortKey> {
    match record {
        Record::Share(share) => {
            let namespace = share.namespace_id.map(Container::Namespace);
            namespace.or(share.project_id.map(Container::Project)).map(SortKey::shares_prefix)
        }
        Record::DeployGrant(grant) => Some(SortKey::deploy_grants_prefix(grant.key_id)),
        Record::ProtectedBranch(branch) => Some(SortKey::protected_branches_prefix(branch.project_id)),
        Record::ProtectedTag(tag) => Some(SortKey::protected_tags_prefix(tag.project_id)),
        _ => None,
    }
}
