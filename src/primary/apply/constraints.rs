//! What must be unique in a directory (usernames, paths, key ids, agents' tokens, repositories on their storages), and that whatever a
//! record refers to exists.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::repository_place::RepositoryPlace;
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
    /// Two projects of which one has the path of the other's wiki or designs.
    #[error("line {line}: the path `{path}` and the path `{other}` in {first} name one repository")]
    SameRepository {
        /// The line of the file, from 1.
        line: usize,
        /// The path that the line gives its project, in lower case.
        path: String,
        /// The other path, in lower case.
        other: String,
        /// Where the other is.
        first: RecordOrigin,
    },
    /// A project or subgroup whose path is not below the one that it is in.
    #[error("line {line}: `path` is `{path}`, which is not directly below `{parent}`, the path of namespace {id} (`{field}`)")]
    Misplaced {
        /// The line of the file, from 1.
        line: usize,
        /// The path that the line gives.
        path: String,
        /// The path of the namespace that it is in.
        parent: String,
        /// That namespace.
        id: Id,
        /// The field that names it.
        field: &'static str,
    },
    /// A namespace gets another path, and something in it that the file does not name would stay below the old one.
    #[error("line {line}: `path` is `{path}`, but {kind} {id} stays at `{below}`; name it in the file too, with its new `path`")]
    LeftBehind {
        /// The line of the file, from 1.
        line: usize,
        /// The path that the line gives its namespace.
        path: String,
        /// The kind of the record that stays.
        kind: &'static str,
        /// Its id.
        id: Id,
        /// Its path.
        below: String,
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

impl IntegrityError {
    /// Returns the line that is to blame, from 1; `None` where none is.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match self {
            Self::Duplicate { line: 0, .. } | Self::Orphaned { .. } => None,
            Self::Duplicate { line, .. }
            | Self::Dangling { line, .. }
            | Self::SameRepository { line, .. }
            | Self::Misplaced { line, .. }
            | Self::LeftBehind { line, .. } => Some(*line),
        }
    }
}

/// What the records of the resulting directory claim.
#[derive(Default)]
pub struct Constraints {
    usernames: HashMap<Box<str>, RecordOrigin>,
    /// Namespaces and projects share one space of paths.
    paths: HashMap<Box<str>, RecordOrigin>,
    /// The paths of projects among them, each of which stands for a wiki and designs too.
    project_paths: HashMap<Box<str>, RecordOrigin>,
    agent_tokens: HashMap<Box<str>, RecordOrigin>,
    repositories: HashMap<PlaceHash, PlaceClaim>,
    highest_project_id: Option<Id>,
    keys: HashMap<Id, RecordOrigin>,
    users: HashSet<Id>,
    namespaces: HashSet<Id>,
    projects: HashSet<Id>,
    deploy_keys: HashSet<Id>,
    storages: HashSet<Box<str>>,
}

/// The first half of the SHA-256 of a storage and a stem on it; a file may name a million of them.
type PlaceHash = [u8; 16];

/// Who claims the repositories of a place.
#[derive(Clone, Copy)]
struct PlaceClaim {
    origin: RecordOrigin,
    has_sides: bool,
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
                if matches!(origin, RecordOrigin::Line(_)) {
                    self.highest_project_id = self.highest_project_id.max(Some(project.id));
                }
                insert_unique(&mut self.paths, lowercase(&project.path), origin, || format!("the path `{}`", project.path))?;
                self.insert_project_path(origin, lowercase(&project.path))?;
                self.insert_repositories(origin, record)
            }
            Record::Snippet(_) => self.insert_repositories(origin, record),
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

    /// Takes back what a key of the file claims, because it is left out.
    pub fn remove_key(&mut self, id: Id) {
        self.keys.remove(&id);
        self.deploy_keys.remove(&id);
    }

    /// Returns whether a key with this id was added.
    #[must_use]
    pub fn has_key(&self, id: Id) -> bool {
        self.keys.contains_key(&id)
    }

    /// Refuses a record of which a repository is another's: the members of each would be let into the other's.
    pub fn check_repositories(&self, origin: RecordOrigin, record: &Record) -> Result<(), IntegrityError> {
        let Some(place) = RepositoryPlace::of_record(record) else { return Ok(()) };
        let stems = place.overlapping_stems();
        let claim_of = |stem: &str| self.repositories.get(&place_hash(place.storage, stem));
        let project_claim = || stems.project.and_then(claim_of).filter(|claim| claim.has_sides);
        let Some(claim) = stems.any.iter().find_map(|stem| claim_of(stem)).or_else(project_claim) else { return Ok(()) };
        match (origin, claim.origin) {
            // Only an earlier version, which did not check this, left both; no line is to blame, and other files must go on.
            (RecordOrigin::Directory, RecordOrigin::Directory) => Ok(()),
            (RecordOrigin::Line(line), first) => Err(IntegrityError::Duplicate { line, what: place_description(record), first }),
            (RecordOrigin::Directory, RecordOrigin::Line(line)) => {
                Err(IntegrityError::Duplicate { line, what: place_description(record), first: RecordOrigin::Directory })
            }
        }
    }

    fn insert_repositories(&mut self, origin: RecordOrigin, record: &Record) -> Result<(), IntegrityError> {
        self.check_repositories(origin, record)?;
        if let Some(place) = RepositoryPlace::of_record(record) {
            self.repositories.insert(place_hash(place.storage, place.stem), PlaceClaim { origin, has_sides: place.has_sides });
        }
        Ok(())
    }

    /// Returns where the namespace or project with this path comes from, if one was added. Paths match in any ASCII case.
    #[must_use]
    pub fn path_origin(&self, path: &str) -> Option<RecordOrigin> {
        self.paths.get(&lowercase(path)).copied()
    }

    /// Returns the highest id of a project of the file.
    #[must_use]
    pub const fn highest_project_id(&self) -> Option<Id> {
        self.highest_project_id
    }

    /// Two projects that the directory has are left as they are: no line is to blame.
    fn insert_project_path(&mut self, origin: RecordOrigin, path: Box<str>) -> Result<(), IntegrityError> {
        for other in sibling_paths(&path) {
            let Some(first) = self.project_paths.get(other.as_str()) else { continue };
            let path = path.clone().into_string();
            return Err(match (origin, *first) {
                (RecordOrigin::Line(line), first) => IntegrityError::SameRepository { line, path, other, first },
                (RecordOrigin::Directory, RecordOrigin::Line(line)) => {
                    IntegrityError::SameRepository { line, path: other, other: path, first: RecordOrigin::Directory }
                }
                (RecordOrigin::Directory, RecordOrigin::Directory) => continue,
            });
        }
        self.project_paths.insert(path, origin);
        Ok(())
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

fn place_hash(storage: &str, stem: &str) -> PlaceHash {
    // Text has no zero byte.
    let hash = Sha256::new().chain_update(storage).chain_update([0]).chain_update(stem).finalize();
    let mut half = PlaceHash::default();
    half.copy_from_slice(&hash[..16]);
    half
}

fn place_description(record: &Record) -> String {
    let (relative_path, storage) = match record {
        Record::Project(project) => (&*project.relative_path, &*project.storage),
        Record::Snippet(snippet) => (&*snippet.relative_path, &*snippet.storage),
        _ => ("", ""),
    };
    format!("a repository of `relative_path` `{relative_path}` on the storage `{storage}` (code, wiki, designs or snippet)")
}

/// Returns the paths that name a wiki or designs of this path's project, or whose wiki or designs this path would name.
pub fn sibling_paths(path: &str) -> Vec<String> {
    let mut paths = Vec::with_capacity(3);
    for suffix in [".wiki", ".design"] {
        paths.push(format!("{path}{suffix}"));
        paths.extend(path.strip_suffix(suffix).map(str::to_owned));
    }
    paths
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
