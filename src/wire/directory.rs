//! The directory file: JSON Lines, one record a line, checked as a whole before anything is done with it.
//!
//! Every complaint names the line. A file is taken only if each record is understood, stands once, is unique where the
//! directory asks for it (username, paths, key id and fingerprint), and refers to records that are there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::{NotARecord, Record};

/// Why a directory file is refused. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A line that is not a record.
    #[error("line {line}: {reason}")]
    Line {
        /// Where.
        line: usize,
        /// What is wrong with it; names the field.
        reason: NotARecord,
    },
    /// A second record where there can be one.
    #[error("line {line}: {what} stands in line {first} already")]
    Twice {
        /// Where the second one stands.
        line: usize,
        /// Where the first one stands.
        first: usize,
        /// What both claim.
        what: String,
    },
    /// A record that names another which is not in the file.
    #[error("line {line}: {field} names {target}, which is not in the directory")]
    Dangling {
        /// Where.
        line: usize,
        /// The field that names it.
        field: &'static str,
        /// What it names.
        target: String,
    },
}

/// A whole directory that holds together, in the order of a snapshot.
#[derive(Debug, Default)]
pub struct Directory {
    records: Vec<Record>,
}

impl Directory {
    /// Reads a directory file. Blank lines are passed over. O(n log n) in the number of records.
    pub fn parse(file: &str) -> Result<Self, Refused> {
        let mut claims = Claims::default();
        let mut numbered = Vec::new();
        for (index, text) in file.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let line = index + 1;
            let record = Record::parse(text).map_err(|reason| Refused::Line { line, reason })?;
            claims.claim(line, &record)?;
            numbered.push((line, record));
        }
        for (line, record) in &numbered {
            claims.resolve(*line, record)?;
        }
        numbered.sort_by_cached_key(|(_, record)| record.place());
        Ok(Self { records: numbered.into_iter().map(|(_, record)| record).collect() })
    }

    /// The records, in the order of a snapshot.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// What may be claimed once in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Claim {
    Place(Place),
    Username(String),
    /// Namespaces and projects share one space of paths.
    Path(String),
    KeyId(Id),
    AgentToken(String),
}

/// What a field may name in another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant says it")]
pub enum Target<'a> {
    User(Id),
    Namespace(Id),
    Project(Id),
    DeployKey(Id),
    Storage(&'a str),
}

#[derive(Default)]
struct Claims {
    once: HashMap<Claim, usize>,
    users: HashSet<Id>,
    namespaces: HashSet<Id>,
    projects: HashSet<Id>,
    storages: HashSet<String>,
    deploy_keys: HashSet<Id>,
}

impl Claims {
    fn claim(&mut self, line: usize, record: &Record) -> Result<(), Refused> {
        let what = match record {
            Record::Key(key) => format!("the key {}", key.key.fingerprint()),
            other => format!("this {}", other.kind()),
        };
        self.take(line, Claim::Place(record.place()), what)?;
        match record {
            Record::User(user) => {
                self.users.insert(user.id);
                self.take(line, Claim::Username(user.username.to_ascii_lowercase()), format!("the username `{}`", user.username))
            }
            Record::Namespace(namespace) => {
                self.namespaces.insert(namespace.id);
                self.take(line, Claim::Path(namespace.path.to_ascii_lowercase()), format!("the path `{}`", namespace.path))
            }
            Record::Project(project) => {
                self.projects.insert(project.id);
                self.take(line, Claim::Path(project.path.to_ascii_lowercase()), format!("the path `{}`", project.path))
            }
            Record::Storage(storage) => {
                self.storages.insert(storage.name.to_string());
                Ok(())
            }
            Record::Agent(agent) => self.take(line, Claim::AgentToken(agent.token_sha256.to_string()), "the agent's token".to_owned()),
            Record::Key(key) => {
                if key.deploy {
                    self.deploy_keys.insert(key.id);
                }
                self.take(line, Claim::KeyId(key.id), format!("the key id {}", key.id))
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, line: usize, claim: Claim, what: String) -> Result<(), Refused> {
        match self.once.entry(claim) {
            Entry::Occupied(first) => Err(Refused::Twice { line, first: *first.get(), what }),
            Entry::Vacant(free) => {
                free.insert(line);
                Ok(())
            }
        }
    }

    fn resolve(&self, line: usize, record: &Record) -> Result<(), Refused> {
        for (field, target) in references(record) {
            if !self.holds(target) {
                return Err(Refused::Dangling { line, field, target: target.to_string() });
            }
        }
        Ok(())
    }

    fn holds(&self, target: Target<'_>) -> bool {
        match target {
            Target::User(id) => self.users.contains(&id),
            Target::Namespace(id) => self.namespaces.contains(&id),
            Target::Project(id) => self.projects.contains(&id),
            Target::DeployKey(id) => self.deploy_keys.contains(&id),
            Target::Storage(name) => self.storages.contains(name),
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(out, "user {id}"),
            Self::Namespace(id) => write!(out, "namespace {id}"),
            Self::Project(id) => write!(out, "project {id}"),
            Self::DeployKey(id) => write!(out, "deploy key {id}"),
            Self::Storage(name) => write!(out, "storage `{name}`"),
        }
    }
}

/// What a record names in others, each with the field that does.
#[must_use]
pub fn references(record: &Record) -> Vec<(&'static str, Target<'_>)> {
    let mut named = Vec::new();
    match record {
        Record::Settings(_) | Record::Storage(_) | Record::User(_) => {}
        Record::Namespace(namespace) => {
            named.extend(namespace.parent_id.map(|id| ("parent_id", Target::Namespace(id))));
            named.extend(namespace.owner_id.map(|id| ("owner_id", Target::User(id))));
        }
        Record::Project(project) => {
            named.push(("namespace_id", Target::Namespace(project.namespace_id)));
            named.push(("storage", Target::Storage(&project.storage)));
        }
        Record::Snippet(snippet) => {
            named.extend(snippet.project_id.map(|id| ("project_id", Target::Project(id))));
            named.push(("author_id", Target::User(snippet.author_id)));
            named.push(("storage", Target::Storage(&snippet.storage)));
        }
        Record::Member(member) => {
            named.extend(member.namespace_id.map(|id| ("namespace_id", Target::Namespace(id))));
            named.extend(member.project_id.map(|id| ("project_id", Target::Project(id))));
            named.push(("user_id", Target::User(member.user_id)));
        }
        Record::Share(share) => {
            named.extend(share.namespace_id.map(|id| ("namespace_id", Target::Namespace(id))));
            named.extend(share.project_id.map(|id| ("project_id", Target::Project(id))));
            named.push(("with_namespace_id", Target::Namespace(share.with_namespace_id)));
        }
        Record::DeployGrant(grant) => {
            named.push(("key_id", Target::DeployKey(grant.key_id)));
            named.push(("project_id", Target::Project(grant.project_id)));
        }
        Record::Redirect(redirect) => named.push(("project_id", Target::Project(redirect.project_id))),
        Record::ProtectedBranch(branch) => named.push(("project_id", Target::Project(branch.project_id))),
        Record::ProtectedTag(tag) => named.push(("project_id", Target::Project(tag.project_id))),
        Record::Agent(agent) => named.push(("project_id", Target::Project(agent.project_id))),
        Record::ErrorTrackingKey(key) => named.push(("project_id", Target::Project(key.project_id))),
        Record::Key(key) => named.extend(key.user_id.map(|id| ("user_id", Target::User(id)))),
    }
    named
}

#[cfg(test)]
mod tests {
    use super::Directory;

    const USER: &str = r#"{"kind":"user","id":1,"username":"zoe","name":"Zoë"}"#;
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn refusal(lines: &[&str]) -> String {
        Directory::parse(&lines.join("\n")).unwrap_err().to_string()
    }

    fn key(id: u32, user: u32) -> String {
        format!(r#"{{"kind":"key","id":{id},"user_id":{user},"title":"t","key":"{KEY}","created_at":"2026-01-31T12:00:00Z"}}"#)
    }

    #[test]
    fn a_directory_is_put_in_the_order_of_a_snapshot() {
        let directory = Directory::parse(&[&key(5, 1), USER, r#"{"kind":"settings"}"#].join("\n\n")).unwrap();
        let kinds: Vec<_> = directory.records().iter().map(|record| record.kind()).collect();
        assert_eq!(kinds, ["settings", "user", "key"]);
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_line_and_name() {
        let message = refusal(&[USER, "", r#"{"kind":"user","id":2,"username":"b","name":"B","colour":1}"#]);
        assert!(message.starts_with("line 3: unknown field `colour`"), "{message}");
    }

    #[test]
    fn what_may_stand_once_is_refused_the_second_time() {
        assert_eq!(refusal(&[USER, USER]), "line 2: this user stands in line 1 already");
        let same_name = r#"{"kind":"user","id":2,"username":"ZOE","name":"Z"}"#;
        assert_eq!(refusal(&[USER, same_name]), "line 2: the username `ZOE` stands in line 1 already");
        let twice = refusal(&[USER, &key(5, 1), &key(6, 1)]);
        assert!(twice.starts_with("line 3: the key SHA256:") && twice.ends_with("stands in line 2 already"), "{twice}");
    }

    #[test]
    fn a_grant_names_a_deploy_key_and_not_a_persons() {
        let namespace = r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#;
        let project = r#"{"kind":"project","id":1,"namespace_id":1,"path":"g/p","name":"p","relative_path":"p.git"}"#;
        let storage = r#"{"kind":"storage","name":"default","address":"unix:/run/gitaly"}"#;
        let grant = r#"{"kind":"deploy_grant","key_id":5,"project_id":1}"#;
        let message = refusal(&[USER, namespace, project, storage, grant, &key(5, 1)]);
        assert_eq!(message, "line 5: key_id names deploy key 5, which is not in the directory");
    }

    #[test]
    fn a_reference_to_nothing_is_refused_whatever_the_order_of_the_lines() {
        assert_eq!(refusal(&[&key(5, 9), USER]), "line 1: user_id names user 9, which is not in the directory");
        assert!(Directory::parse(&[&key(5, 1), USER].join("\n")).is_ok());
    }
}
