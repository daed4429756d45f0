//! What a directory may hold once, and what its records refer to: usernames, paths, key ids and agents' tokens are unique,
//! and whoever is named is there.

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
    /// The directory as it stands.
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

/// Why a directory would not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// Two records where there can be one.
    #[error("line {line}: {what} stands in {first} already")]
    Duplicate {
        /// The line of the file.
        line: usize,
        /// What both claim.
        what: String,
        /// Who claims it already.
        first: RecordOrigin,
    },
    /// A record of the file that names another which would not be there.
    #[error("line {line}: {field} names {target}, which is not in the directory")]
    Dangling {
        /// The line of the file.
        line: usize,
        /// The field that names it.
        field: &'static str,
        /// What it names.
        target: String,
    },
    /// A record that stays and names another which would go.
    #[error("this file takes away {target}, which a {kind} that stays names in {field}: {record}")]
    Orphaned {
        /// The kind of the record that stays.
        kind: &'static str,
        /// The field that names it.
        field: &'static str,
        /// What it names.
        target: String,
        /// What the record that stays is called.
        record: String,
    },
}

/// What is claimed in the directory that would come out.
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
    /// Claims what a record claims. Those of the file come first; then those of the directory that stay.
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

    /// Whether all that a record names was claimed. `called` says what it is called, if it stays.
    pub fn check_references(&self, origin: RecordOrigin, record: &Record, called: impl FnOnce() -> String) -> Result<(), IntegrityError> {
        let Some((field, target)) = record_references(record).into_iter().find(|(_, target)| !self.contains(*target)) else {
            return Ok(());
        };
        let target = target.to_string();
        Err(match origin {
            RecordOrigin::Line(line) => IntegrityError::Dangling { line, field, target },
            RecordOrigin::Directory => IntegrityError::Orphaned { kind: record.kind(), field, target, record: called() },
        })
    }

    /// Whether there is what a record names.
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
            // The directory held together before; if it did not, no file is to blame, and saying so is still right.
            (RecordOrigin::Directory, RecordOrigin::Directory) => {
                IntegrityError::Duplicate { line: 0, what: what(), first: RecordOrigin::Directory }
            }
        }),
    }
}
