//! What the records of a directory file name in others. Whether all that is named is there is decided where the file is applied.

use std::fmt;

use crate::model::id::Id;
use crate::model::record::Record;

/// A record that a field of another record may name.
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

/// Returns the records that a record names, each with the field that does.
#[must_use]
pub fn record_references(record: &Record) -> Vec<(&'static str, ReferencedRecord<'_>)> {
    let mut references = Vec::new();
    match record {
        Record::Settings(_) | Record::Storage(_) | Record::User(_) => {}
        Record::Namespace(namespace) => {
            references.extend(namespace.parent_id.map(|id| ("parent_id", ReferencedRecord::Namespace(id))));
            references.extend(namespace.owner_id.map(|id| ("owner_id", ReferencedRecord::User(id))));
        }
        Record::Project(project) => {
            references.push(("namespace_id", ReferencedRecord::Namespace(project.namespace_id)));
            references.push(("storage", ReferencedRecord::Storage(&project.storage)));
        }
        Record::Snippet(snippet) => {
            references.extend(snippet.project_id.map(|id| ("project_id", ReferencedRecord::Project(id))));
            references.push(("author_id", ReferencedRecord::User(snippet.author_id)));
            references.push(("storage", ReferencedRecord::Storage(&snippet.storage)));
        }
        Record::Member(member) => {
            references.extend(member.namespace_id.map(|id| ("namespace_id", ReferencedRecord::Namespace(id))));
            references.extend(member.project_id.map(|id| ("project_id", ReferencedRecord::Project(id))));
            references.push(("user_id", ReferencedRecord::User(member.user_id)));
        }
        Record::Share(share) => {
            references.extend(share.namespace_id.map(|id| ("namespace_id", ReferencedRecord::Namespace(id))));
            references.extend(share.project_id.map(|id| ("project_id", ReferencedRecord::Project(id))));
            references.push(("with_namespace_id", ReferencedRecord::Namespace(share.with_namespace_id)));
        }
        Record::DeployGrant(grant) => {
            references.push(("key_id", ReferencedRecord::DeployKey(grant.key_id)));
            references.push(("project_id", ReferencedRecord::Project(grant.project_id)));
        }
        Record::Redirect(redirect) => references.push(("project_id", ReferencedRecord::Project(redirect.project_id))),
        Record::ProtectedBranch(branch) => references.push(("project_id", ReferencedRecord::Project(branch.project_id))),
        Record::ProtectedTag(tag) => references.push(("project_id", ReferencedRecord::Project(tag.project_id))),
        Record::Agent(agent) => references.push(("project_id", ReferencedRecord::Project(agent.project_id))),
        Record::ErrorTrackingKey(key) => references.push(("project_id", ReferencedRecord::Project(key.project_id))),
        Record::Key(key) => references.extend(key.user_id.map(|id| ("user_id", ReferencedRecord::User(id)))),
    }
    references
}
