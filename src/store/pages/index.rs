//! The index: for each record the keys it can be looked up by, each followed by the record's sort key.
//!
//! The index is a function of the records: every record adds its own entries and removes its own, and no other's. So an index
//! key that two records have (a snapshot read while commits are made may contain both for a while) leads to one of them and,
//! when that one is removed, to the other.
//!
//! An index key is a letter and an id (8 bytes) or text that ends with a zero byte; none is a prefix of another.

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::sort_key::SortKey;

/// The letters of index keys with a text.
const TEXT_LETTERS: &[u8] = b"unpa";

/// A key that a record is looked up by, besides its sort key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey(Vec<u8>);

impl IndexKey {
    /// The id of a key.
    pub fn by_key_id(id: Id) -> Self {
        Self::from_id(b'k', id)
    }

    /// A username, in any ASCII case.
    pub fn by_username(username: &str) -> Self {
        Self::from_text(b'u', &username.to_ascii_lowercase())
    }

    /// A namespace's full path, in any ASCII case.
    pub fn by_namespace_path(path: &str) -> Self {
        Self::from_text(b'n', &path.to_ascii_lowercase())
    }

    /// A project's full path, in any ASCII case.
    pub fn by_project_path(path: &str) -> Self {
        Self::from_text(b'p', &path.to_ascii_lowercase())
    }

    /// The namespace that a project is directly in.
    pub fn by_parent_namespace(namespace: Id) -> Self {
        Self::from_id(b'i', namespace)
    }

    /// The SHA-256 of an agent's token.
    pub fn by_agent_token(token_sha256: &str) -> Self {
        Self::from_text(b'a', token_sha256)
    }

    /// Returns what the entries of this index key begin with.
    pub fn prefix(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether a record may have this index key. Text from a request may contain a zero byte; the entries of other index keys begin
    /// with such text, and lead to no record.
    pub fn is_of_records(&self) -> bool {
        match self.0.split_last() {
            Some((0, [letter, text @ ..])) if TEXT_LETTERS.contains(letter) => !text.contains(&0),
            _ => true,
        }
    }

    /// Returns the entry that leads from this index key to a sort key.
    pub fn encode_entry(&self, sort_key: &SortKey) -> Vec<u8> {
        [&self.0, sort_key.as_bytes()].concat()
    }

    /// Returns the sort key that an entry leads to; `None` if the entry is of another index key.
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

/// Returns the index keys of a record.
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

/// Returns the prefix of sort keys under which a record is looked up together with others, if it is.
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
