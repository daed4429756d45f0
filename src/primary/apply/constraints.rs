//! What must be unique in a directory (usernames, paths, key ids, agents' tokens), and that whatever a record refers to exists.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::model::id::Id;
use crate::model::record::Record;
use crate::wire::directory::record_references::{ReferencedRecord, record_references};

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOrigin {
    /// A line of the file, from 1.
    Line(usize),
    /// The present directory.
    Directory,
}

impl fmt::Display for RecordOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(out, "line {line}"),
            Self::Directory => out.write_str("the directory"),
        }
    }
}

/// Why the resulting directory would be inconsistent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// Two records claim what only one may have.
    #[error("line {line}: {what} stands in {first} already")]
    Duplicate {
        /// The line of the file, from 1.
        line: usize,
        /// What both claim.
        what: String,
        /// Where the first of them is.
        first: RecordOrigin,
    },
    /// A record of the file refers to another which would not exist.
    #[error("line {line}: {field} names {target}, which is not in the directory")]
    Dangling {
        /// The line of the file, from 1.
        line: usize,
        /// The field that refers to it.
        field: &'static str,
        /// What it refers to.
        target: String,
    },
    /// A record that stays refers to another which would be removed.
    #[error("this file takes away {target}, which a {kind} that stays names in {field}: {record}")]
    Orphaned {
        /// The kind of the record that stays.
        kind: &'static str,
        /// The field that refers to it.
        field: &'static str,
        /// What it refers to.
        target: String,
        /// The identity of the record that stays.
        record: String,
    },
}

/// What the records of the resulting directory claim.
#[derive(Default)]
pub struct Constraints {
    usernames: HashMap<Box<str>, RecordOrigin>,
    /// Namespaces and projects share one space of paths.
    paths: HashMap<Box<str>, RecordOrigin>,
    agent_tokens: HashMap<Box<str>, RecordOrigin>,
    keys: HashMap<Id, RecordOrigin>,
    users: HashSet<Id>,
    namespaces: HashSet<Id>,
    projects: HashSet<Id>,
    deploy_keys: HashSet<Id>,
    storages: HashSet<Box<str>>,
}

impl Constraints {
    /// Adds what a record claims. The records of the file come first, then those of the directory that stay.
    pub fn insert(&mut self, origin: RecordOrigin, record: &Record) -> Result<(), IntegrityError> {
        match record {
            Record::User(user) => {
                self.users.insert(user.id);
                insert_unique(&mut self.usernames, lowercase(&user.username), origin, || format!("the username `{}`", user.username))
            }
            Record::Namespace(namespace) => {
                self.namespaces.insert(namespace.id);
                insert_unique(&mut self.paths, lowercase(&namespace.path), origin, || format!("the path `{}`", namespace.path))
            }
            Record::Project(project) => {
                self.projects.insert(project.id);
                insert_unique(&mut self.paths, lowercase(&project.path), origin, || format!("the path `{}`", project.path))
            }
            Record::Storage(storage) => {
                self.storages.insert(storage.name.as_str().into());
                Ok(())
            }
            Record::Agent(agent) => insert_unique(&mut self.agent_tokens, agent.token_sha256.as_str().into(), origin, || {
                format!("the token of agent {}", agent.id)
            }),
            Record::Key(key) => {
                if key.deploy {
                    self.deploy_keys.insert(key.id);
                }
                insert_unique(&mut self.keys, key.id, origin, || format!("the key id {}", key.id))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a record that refers to one which was not added. `identity` describes the record if it is one that stays.
    pub fn check_references(&self, origin: RecordOrigin, record: &Record, identity: impl FnOnce() -> String) -> Result<(), IntegrityError> {
        let Some((field, target)) = record_references(record).into_iter().find(|(_, target)| !self.contains(*target)) else {
            return Ok(());
        };
        let target = target.to_string();
        Err(match origin {
            RecordOrigin::Line(line) => IntegrityError::Dangling { line, field, target },
            RecordOrigin::Directory => IntegrityError::Orphaned { kind: record.kind(), field, target, record: identity() },
        })
    }

    /// Returns whether a record was added.
    #[must_use]
    pub fn contains(&self, target: ReferencedRecord<'_>) -> bool {
        match target {
            ReferencedRecord::User(id) => self.users.contains(&id),
            ReferencedRecord::Namespace(id) => self.namespaces.contains(&id),
            ReferencedRecord::Project(id) => self.projects.contains(&id),
            ReferencedRecord::DeployKey(id) => self.deploy_keys.contains(&id),
            ReferencedRecord::Storage(name) => self.storages.contains(name),
        }
    }
}

fn lowercase(text: &str) -> Box<str> {
    text.to_ascii_lowercase().into_boxed_str()
}

fn insert_unique<K: std::hash::Hash + Eq>(
    claimed: &mut HashMap<K, RecordOrigin>,
    claim: K,
    origin: RecordOrigin,
    what: impl FnOnce() -> String,
) -> Result<(), IntegrityError> {
    match claimed.entry(claim) {
        Entry::Vacant(free) => {
            free.insert(origin);
            Ok(())
        }
        Entry::Occupied(first) => Err(match (origin, *first.get()) {
            (RecordOrigin::Line(line), first) => IntegrityError::Duplicate { line, what: what(), first },
            (RecordOrigin::Directory, RecordOrigin::Line(line)) => {
                IntegrityError::Duplicate { line, what: what(), first: RecordOrigin::Directory }
            }
            // Only if the directory was inconsistent before; then no line is to blame.
            (RecordOrigin::Directory, RecordOrigin::Directory) => {
                IntegrityError::Duplicate { line: 0, what: what(), first: RecordOrigin::Directory }
            }
        }),
    }
}
