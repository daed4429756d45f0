//! What a directory file is made of: why a line of it is refused, and what its records name in others.
//!
//! Whether a whole file holds together is judged where it is applied, beside the directory that stands.

use std::fmt;
use std::io;

use crate::model::id::Id;
use crate::model::record::{InvalidRecord, Record};
use crate::wire::directory::record_lines::MAX_RECORD_LINE_BYTES;

/// Why a directory file is refused. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryFileError {
    /// A line that is not a record.
    #[error("line {line}: {reason}")]
    InvalidRecord {
        /// Where.
        line: usize,
        /// What is wrong with it; names the field.
        reason: InvalidRecord,
    },
    /// A line that is longer than any record.
    #[error("line {line}: a line is at most {MAX_RECORD_LINE_BYTES} bytes")]
    LineTooLong {
        /// Where.
        line: usize,
    },
    /// Bytes that are no text.
    #[error("line {line}: it is not UTF-8")]
    NotUtf8 {
        /// Where.
        line: usize,
    },
    /// The file could not be read further.
    #[error("line {line}: the file cannot be read: {error}")]
    ReadFailed {
        /// Where.
        line: usize,
        /// Why.
        error: io::Error,
    },
}

/// What a field may name in another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant says it")]
pub enum ReferencedRecord<'a> {
    User(Id),
    Namespace(Id),
    Project(Id),
    DeployKey(Id),
    Storage(&'a str),
}

impl fmt::Display for ReferencedRecord<'_> {
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
pub fn record_references(record: &Record) -> Vec<(&'static str, ReferencedRecord<'_>)> {
    let mut named = Vec::new();
    match record {
        Record::Settings(_) | Record::Storage(_) | Record::User(_) => {}
        Record::Namespace(namespace) => {
            named.extend(namespace.parent_id.map(|id| ("parent_id", ReferencedRecord::Namespace(id))));
            named.extend(namespace.owner_id.map(|id| ("owner_id", ReferencedRecord::User(id))));
        }
        Record::Project(project) => {
            named.push(("namespace_id", ReferencedRecord::Namespace(project.namespace_id)));
            named.push(("storage", ReferencedRecord::Storage(&project.storage)));
        }
        Record::Snippet(snippet) => {
            named.extend(snippet.project_id.map(|id| ("project_id", ReferencedRecord::Project(id))));
            named.push(("author_id", ReferencedRecord::User(snippet.author_id)));
            named.push(("storage", ReferencedRecord::Storage(&snippet.storage)));
        }
        Record::Member(member) => {
            named.extend(member.namespace_id.map(|id| ("namespace_id", ReferencedRecord::Namespace(id))));
            named.extend(member.project_id.map(|id| ("project_id", ReferencedRecord::Project(id))));
            named.push(("user_id", ReferencedRecord::User(member.user_id)));
        }
        Record::Share(share) => {
            named.extend(share.namespace_id.map(|id| ("namespace_id", ReferencedRecord::Namespace(id))));
            named.extend(share.project_id.map(|id| ("project_id", ReferencedRecord::Project(id))));
            named.push(("with_namespace_id", ReferencedRecord::Namespace(share.with_namespace_id)));
        }
        Record::DeployGrant(grant) => {
            named.push(("key_id", ReferencedRecord::DeployKey(grant.key_id)));
            named.push(("project_id", ReferencedRecord::Project(grant.project_id)));
        }
        Record::Redirect(redirect) => named.push(("project_id", ReferencedRecord::Project(redirect.project_id))),
        Record::ProtectedBranch(branch) => named.push(("project_id", ReferencedRecord::Project(branch.project_id))),
        Record::ProtectedTag(tag) => named.push(("project_id", ReferencedRecord::Project(tag.project_id))),
        Record::Agent(agent) => named.push(("project_id", ReferencedRecord::Project(agent.project_id))),
        Record::ErrorTrackingKey(key) => named.push(("project_id", ReferencedRecord::Project(key.project_id))),
        Record::Key(key) => named.extend(key.user_id.map(|id| ("user_id", ReferencedRecord::User(id)))),
    }
    named
}
