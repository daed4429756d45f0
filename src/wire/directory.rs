//! The directory file: JSON Lines, one record a line, checked as a whole before anything is done with it.
//!
//! Every complaint names the line. A file is taken only if each record is understood, stands once, is unique where the
//! directory asks for it (username, paths, key id and fingerprint), and refers to records that are there.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry as Spot};
use std::fmt;
use std::io::{self, BufRead};

use sha2::{Digest as _, Sha256};

use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::{NotARecord, Record};
use crate::model::withheld::Withheld;
use crate::wire::record_lines::{Filed, LINE_BYTES, RecordLines};

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
    /// A line that is longer than any record.
    #[error("line {line}: a line is at most {LINE_BYTES} bytes")]
    Long {
        /// Where.
        line: usize,
    },
    /// Bytes that are no text.
    #[error("line {line}: it is not UTF-8")]
    NotText {
        /// Where.
        line: usize,
    },
    /// The file could not be read further.
    #[error("line {line}: the file cannot be read: {error}")]
    Unread {
        /// Where.
        line: usize,
        /// Why.
        error: io::Error,
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
///
/// Kept as canonical text, some 350 bytes a key, and read again when it is given out: a million keys as records would
/// take two or three times that.
#[derive(Default)]
pub struct Directory {
    texts: Texts,
    placed: Vec<Placed>,
    withheld: BTreeMap<Vec<u8>, (usize, Withheld)>,
}

impl Directory {
    /// Reads a directory file. Blank lines are passed over. O(n log n) in the number of records.
    pub fn parse(file: &str) -> Result<Self, Refused> {
        Self::read(file.as_bytes())
    }

    /// Reads a directory file as it comes.
    pub fn read(file: impl BufRead) -> Result<Self, Refused> {
        let mut directory = Self::default();
        let mut claims = Vec::new();
        let mut known = Known::default();
        let mut open = Vec::new();
        for numbered in RecordLines::new(file) {
            let (line, record) = match numbered? {
                (line, Filed::Published(record)) => (line, record),
                (line, Filed::Withheld(record)) => {
                    directory.withhold(line, record)?;
                    continue;
                }
            };
            let text = record.canonical().map_err(|error| Refused::Line { line, reason: error.into() })?;
            let index = directory.placed.len();
            directory.placed.push(directory.texts.push(line, record.place().bytes(), &text));
            claims.extend(claims_of(&record).into_iter().map(|claim| (claim.hash(), index)));
            known.learn(&record);
            if !references(&record).into_iter().all(|(_, target)| known.holds(target)) {
                open.push(index);
            }
        }
        directory.refuse_twins(claims)?;
        directory.refuse_dangling(&open, &known)?;
        directory.refuse_dangling_withheld(&known)?;
        let Self { texts, placed, .. } = &mut directory;
        placed.sort_unstable_by(|one, other| texts.place(one).cmp(texts.place(other)));
        Ok(directory)
    }

    /// The records that the primary keeps for itself, with the lines they stood in, in the order of their places.
    pub fn withheld(&self) -> impl Iterator<Item = (usize, &Withheld)> {
        self.withheld.values().map(|(line, record)| (*line, record))
    }

    fn withhold(&mut self, line: usize, record: Withheld) -> Result<(), Refused> {
        match self.withheld.entry(record.place()) {
            Spot::Vacant(free) => {
                free.insert((line, record));
                Ok(())
            }
            Spot::Occupied(first) => Err(Refused::Twice { line, first: first.get().0, what: format!("this {}", record.kind()) }),
        }
    }

    fn refuse_dangling_withheld(&self, known: &Known) -> Result<(), Refused> {
        for (line, record) in self.withheld() {
            if let Some(target) = record.project().map(Target::Project).filter(|target| !known.holds(*target)) {
                return Err(Refused::Dangling { line, field: "project_id", target: target.to_string() });
            }
        }
        Ok(())
    }

    /// How many records there are that followers have too.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.placed.len()
    }

    /// Whether there is none of those.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// The records that followers have too, with the lines they stood in, in the order of a snapshot.
    pub fn entries(&self) -> impl Iterator<Item = Result<(usize, Entry), Refused>> {
        self.placed.iter().map(|placed| {
            let entry = Entry::read(self.texts.text(placed)).map_err(|reason| Refused::Line { line: placed.line, reason })?;
            Ok((placed.line, entry))
        })
    }

    fn record(&self, index: usize) -> Result<Record, Refused> {
        let placed = &self.placed[index];
        Record::parse(self.texts.text(placed)).map_err(|reason| Refused::Line { line: placed.line, reason })
    }

    /// Refuses the first line that claims what another has claimed before. The records still stand as they were read.
    fn refuse_twins(&self, mut claims: Vec<(u128, usize)>) -> Result<(), Refused> {
        claims.sort_unstable();
        let twins = claims.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let Some(pair) = twins.min_by_key(|pair| pair[1].1) else { return Ok(()) };
        let ((hash, first), (_, second)) = (pair[0], pair[1]);
        let record = self.record(second)?;
        let what = claims_of(&record).iter().find(|claim| claim.hash() == hash).map_or_else(String::new, ToString::to_string);
        Err(Refused::Twice { line: self.placed[second].line, first: self.placed[first].line, what })
    }

    /// Judges once more the records that named what had not been read yet.
    fn refuse_dangling(&self, open: &[usize], known: &Known) -> Result<(), Refused> {
        for &index in open {
            let record = self.record(index)?;
            if let Some((field, target)) = references(&record).into_iter().find(|(_, target)| !known.holds(*target)) {
                return Err(Refused::Dangling { line: self.placed[index].line, field, target: target.to_string() });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Directory").field("records", &self.placed.len()).finish_non_exhaustive()
    }
}

/// Where a record's place and text stand, one after the other.
struct Placed {
    line: usize,
    block: usize,
    start: usize,
    middle: usize,
    end: usize,
}

/// Places and texts in blocks that never move, so that growing copies nothing.
#[derive(Default)]
struct Texts(Vec<Vec<u8>>);

impl Texts {
    const BLOCK: usize = 1 << 20;

    fn push(&mut self, line: usize, place: &[u8], text: &str) -> Placed {
        let bytes = place.len() + text.len();
        if self.0.last().is_none_or(|block| block.capacity() - block.len() < bytes) {
            self.0.push(Vec::with_capacity(Self::BLOCK.max(bytes)));
        }
        let block = self.0.len() - 1;
        let start = self.0[block].len();
        self.0[block].extend_from_slice(place);
        self.0[block].extend_from_slice(text.as_bytes());
        Placed { line, block, start, middle: start + place.len(), end: start + bytes }
    }

    fn place(&self, placed: &Placed) -> &[u8] {
        &self.0[placed.block][placed.start..placed.middle]
    }

    fn text(&self, placed: &Placed) -> &str {
        std::str::from_utf8(&self.0[placed.block][placed.middle..placed.end]).unwrap_or_default()
    }
}

/// What may be claimed once in a directory.
enum Claim<'a> {
    Place(&'a Record),
    Username(&'a str),
    /// Namespaces and projects share one space of paths.
    Path(&'a str),
    KeyId(Id),
    AgentToken(&'a str),
}

impl Claim<'_> {
    /// 16 bytes of a SHA-256, which two different claims do not share.
    fn hash(&self) -> u128 {
        let (tag, said) = match self {
            Self::Place(record) => (0, record.place().bytes().to_vec()),
            Self::Username(name) => (1, name.to_ascii_lowercase().into_bytes()),
            Self::Path(path) => (2, path.to_ascii_lowercase().into_bytes()),
            Self::KeyId(id) => (3, id.bytes().to_vec()),
            Self::AgentToken(token) => (4, token.as_bytes().to_vec()),
        };
        let digest = Sha256::new().chain_update([tag]).chain_update(said).finalize();
        digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
    }
}

impl fmt::Display for Claim<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(Record::Key(key)) => write!(out, "the key {}", key.key.fingerprint()),
            Self::Place(record) => write!(out, "this {}", record.kind()),
            Self::Username(name) => write!(out, "the username `{name}`"),
            Self::Path(path) => write!(out, "the path `{path}`"),
            Self::KeyId(id) => write!(out, "the key id {id}"),
            Self::AgentToken(_) => out.write_str("the agent's token"),
        }
    }
}

fn claims_of(record: &Record) -> Vec<Claim<'_>> {
    let mut claims = vec![Claim::Place(record)];
    claims.extend(match record {
        Record::User(user) => Some(Claim::Username(&user.username)),
        Record::Namespace(namespace) => Some(Claim::Path(&namespace.path)),
        Record::Project(project) => Some(Claim::Path(&project.path)),
        Record::Agent(agent) => Some(Claim::AgentToken(&agent.token_sha256)),
        Record::Key(key) => Some(Claim::KeyId(key.id)),
        _ => None,
    });
    claims
}

/// What there is to be named.
#[derive(Default)]
struct Known {
    users: HashSet<Id>,
    namespaces: HashSet<Id>,
    projects: HashSet<Id>,
    deploy_keys: HashSet<Id>,
    storages: HashSet<String>,
}

impl Known {
    fn learn(&mut self, record: &Record) {
        match record {
            Record::User(user) => self.users.insert(user.id),
            Record::Namespace(namespace) => self.namespaces.insert(namespace.id),
            Record::Project(project) => self.projects.insert(project.id),
            Record::Key(key) => key.deploy && self.deploy_keys.insert(key.id),
            Record::Storage(storage) => self.storages.insert(storage.name.to_string()),
            _ => false,
        };
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
        let kinds: Vec<_> =
            directory.entries().map(|entry| entry.map(|(line, entry)| (line, entry.record().unwrap().kind())).unwrap()).collect();
        assert_eq!(kinds, [(5, "settings"), (3, "user"), (1, "key")]);
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_line_and_name() {
        let message = refusal(&[USER, "", r#"{"kind":"user","id":2,"username":"b","name":"B","colour":1}"#]);
        assert!(message.starts_with("line 3: unknown field `colour`"), "{message}");
    }

    #[test]
    fn what_the_primary_keeps_for_itself_is_read_beside_and_as_strictly() {
        let broadcast = r#"{"kind":"broadcast","id":1,"message":"m","starts_at":"2026-01-31T12:00:00Z","ends_at":"2026-02-01T12:00:00Z"}"#;
        let policy = r#"{"kind":"scan_execution_policy","project_id":1,"name":"n","yaml":"a:\n","updated_at":"2026-01-31T12:00:00Z"}"#;
        let directory = Directory::parse(&[broadcast, USER].join("\n")).unwrap();
        let beside: Vec<_> = directory.withheld().map(|(line, record)| (line, record.kind())).collect();
        assert_eq!((directory.len(), beside), (1, vec![(1, "broadcast")]));
        assert_eq!(refusal(&[broadcast, USER, broadcast]), "line 3: this broadcast stands in line 1 already");
        assert_eq!(refusal(&[USER, policy]), "line 2: project_id names project 1, which is not in the directory");
        let message = refusal(&[USER, &broadcast.replace(r#""id""#, r#""colour":1,"id""#)]);
        assert!(message.starts_with("line 2: unknown field `colour`"), "{message}");
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
