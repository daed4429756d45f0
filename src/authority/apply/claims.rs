//! What a directory may hold once, and what its records refer to: usernames, paths, key ids and agents' tokens are unique,
//! and whoever is named is there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::model::id::Id;
use crate::model::record::Record;
use crate::wire::directory::{Target, references};

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// The directory as it stands.
    Standing,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(out, "line {line}"),
            Self::Standing => out.write_str("the directory"),
        }
    }
}

/// Why a directory would not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Two records where there can be one.
    #[error("line {line}: {what} stands in {first} already")]
    Twice {
        /// The line of the file.
        line: usize,
        /// What both claim.
        what: String,
        /// Who claims it already.
        first: Origin,
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
pub struct Claims {
    usernames: HashMap<Box<str>, Origin>,
    /// Namespaces and projects share one space of paths.
    paths: HashMap<Box<str>, Origin>,
    agent_tokens: HashMap<Box<str>, Origin>,
    keys: HashMap<Id, Origin>,
    users: HashSet<Id>,
    namespaces: HashSet<Id>,
    projects: HashSet<Id>,
    deploy_keys: HashSet<Id>,
    storages: HashSet<Box<str>>,
}

impl Claims {
    /// Claims what a record claims. Those of the file come first; then those of the directory that stay.
    pub fn claim(&mut self, origin: Origin, record: &Record) -> Result<(), Conflict> {
        match record {
            Record::User(user) => {
                self.users.insert(user.id);
                take(&mut self.usernames, lower(&user.username), origin, || format!("the username `{}`", user.username))
            }
            Record::Namespace(namespace) => {
                self.namespaces.insert(namespace.id);
                take(&mut self.paths, lower(&namespace.path), origin, || format!("the path `{}`", namespace.path))
            }
            Record::Project(project) => {
                self.projects.insert(project.id);
                take(&mut self.paths, lower(&project.path), origin, || format!("the path `{}`", project.path))
            }
            Record::Storage(storage) => {
                self.storages.insert(storage.name.as_str().into());
                Ok(())
            }
            Record::Agent(agent) => {
                take(&mut self.agent_tokens, agent.token_sha256.as_str().into(), origin, || format!("the token of agent {}", agent.id))
            }
            Record::Key(key) => {
                if key.deploy {
                    self.deploy_keys.insert(key.id);
                }
                take(&mut self.keys, key.id, origin, || format!("the key id {}", key.id))
            }
            _ => Ok(()),
        }
    }

    /// Whether all that a record names was claimed. `called` says what it is called, if it stays.
    pub fn resolve(&self, origin: Origin, record: &Record, called: impl FnOnce() -> String) -> Result<(), Conflict> {
        let Some((field, target)) = references(record).into_iter().find(|(_, target)| !self.holds(*target)) else {
            return Ok(());
        };
        let target = target.to_string();
        Err(match origin {
            Origin::Line(line) => Conflict::Dangling { line, field, target },
            Origin::Standing => Conflict::Orphaned { kind: record.kind(), field, target, record: called() },
        })
    }

    /// Whether there is what a record names.
    #[must_use]
    pub fn holds(&self, target: Target<'_>) -> bool {
        match target {
            Target::User(id) => self.users.contains(&id),
            Target::Namespace(id) => self.namespaces.contains(&id),
            Target::Project(id) => self.projects.contains(&id),
            Target::DeployKey(id) => self.deploy_keys.contains(&id),
            Target::Storage(name) => self.storages.contains(name),
        }
    }
}

fn lower(text: &str) -> Box<str> {
    text.to_ascii_lowercase().into_boxed_str()
}

fn take<K: std::hash::Hash + Eq>(
    claimed: &mut HashMap<K, Origin>,
    claim: K,
    origin: Origin,
    what: impl FnOnce() -> String,
) -> Result<(), Conflict> {
    match claimed.entry(claim) {
        Entry::Vacant(free) => {
            free.insert(origin);
            Ok(())
        }
        Entry::Occupied(first) => Err(match (origin, *first.get()) {
            (Origin::Line(line), first) => Conflict::Twice { line, what: what(), first },
            (Origin::Standing, Origin::Line(line)) => Conflict::Twice { line, what: what(), first: Origin::Standing },
            // The directory held together before; if it did not, no file is to blame, and saying so is still right.
            (Origin::Standing, Origin::Standing) => Conflict::Twice { line: 0, what: what(), first: Origin::Standing },
        }),
    }
}
