//! What a record is called: its kind and its key fields, as a delete of the feed says it.
//!
//! `{"kind":"member","project_id":7,"user_id":1}` names one membership without carrying it. A kind that is not known has
//! no known key fields: it is named by its `id` if it has one, else by the whole object.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::directory::Container;
use crate::model::entry::{Entry, RawObject};
use crate::model::id::Id;
use crate::model::record::{InvalidRecord, Record};
use crate::model::sort_key::SortKey;
use crate::model::text::check_control_bytes;

/// Names one record of the directory without carrying it, as a delete does: `{"kind": …, key fields}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordIdentity {
    /// A key, by its id; its place is only known to who has it.
    Key(Id),
    /// Any other record, by its place, with the object that says so.
    Other(SortKey, Arc<str>),
}

impl RecordIdentity {
    /// What an entry is called.
    pub fn from_entry(entry: &Entry) -> Self {
        match entry.record().map(AsRef::as_ref) {
            Some(Record::Key(key)) => Self::Key(key.id),
            Some(record) => Self::Other(entry.sort_key().clone(), KeyFields::from_record(record).to_string().into()),
            None => Self::Other(entry.sort_key().clone(), unknown_kind_text(entry.text())),
        }
    }

    /// Reads `{"kind": …, key fields}`. A known kind has its key fields and no other.
    pub fn parse(text: &str) -> Result<Self, InvalidRecord> {
        let name: KeyFields<'_> = match serde_json::from_str(text) {
            Ok(name) => name,
            Err(unlike) => return Self::parse_unknown_kind(text, unlike),
        };
        name.to_identity()
    }

    fn parse_unknown_kind(text: &str, unlike: serde_json::Error) -> Result<Self, InvalidRecord> {
        match RawObject::parse(text) {
            Ok(object) if object.is_unknown_kind() => Ok(Self::Other(object.unknown_kind_sort_key(), unknown_kind_text(text))),
            _ => Err(unlike.into()),
        }
    }
}

fn unknown_kind_text(text: &str) -> Arc<str> {
    let named = RawObject::parse(text).ok().and_then(|object| Some(object.kind_and_id_json(object.id()?)));
    named.map_or_else(|| text.into(), Into::into)
}

impl fmt::Display for RecordIdentity {
    /// The object of a delete.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => KeyFields::Key { id: *id }.fmt(out),
            Self::Other(_, text) => text.fmt(out),
        }
    }
}

/// The key fields of each kind, in the order of the directory's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum KeyFields<'a> {
    Settings {},
    Storage {
        name: Cow<'a, str>,
    },
    User {
        id: Id,
    },
    Namespace {
        id: Id,
    },
    Project {
        id: Id,
    },
    Snippet {
        id: Id,
    },
    Member {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace_id: Option<Id>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project_id: Option<Id>,
        user_id: Id,
    },
    Share {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project_id: Option<Id>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace_id: Option<Id>,
        with_namespace_id: Id,
    },
    DeployGrant {
        key_id: Id,
        project_id: Id,
    },
    Redirect {
        from: Cow<'a, str>,
    },
    ProtectedBranch {
        project_id: Id,
        pattern: Cow<'a, str>,
    },
    ProtectedTag {
        project_id: Id,
        pattern: Cow<'a, str>,
    },
    Agent {
        id: Id,
    },
    ErrorTrackingKey {
        project_id: Id,
        public_key: Cow<'a, str>,
    },
    Key {
        id: Id,
    },
}

impl<'a> KeyFields<'a> {
    pub(crate) fn from_record(record: &'a Record) -> Self {
        match record {
            Record::Settings(_) => Self::Settings {},
            Record::Storage(storage) => Self::Storage { name: Cow::Borrowed(&storage.name) },
            Record::User(user) => Self::User { id: user.id },
            Record::Namespace(namespace) => Self::Namespace { id: namespace.id },
            Record::Project(project) => Self::Project { id: project.id },
            Record::Snippet(snippet) => Self::Snippet { id: snippet.id },
            Record::Member(member) => {
                Self::Member { namespace_id: member.namespace_id, project_id: member.project_id, user_id: member.user_id }
            }
            Record::Share(share) => {
                Self::Share { project_id: share.project_id, namespace_id: share.namespace_id, with_namespace_id: share.with_namespace_id }
            }
            Record::DeployGrant(grant) => Self::DeployGrant { key_id: grant.key_id, project_id: grant.project_id },
            Record::Redirect(redirect) => Self::Redirect { from: Cow::Borrowed(&redirect.from) },
            Record::ProtectedBranch(branch) => {
                Self::ProtectedBranch { project_id: branch.project_id, pattern: Cow::Borrowed(&branch.pattern) }
            }
            Record::ProtectedTag(tag) => Self::ProtectedTag { project_id: tag.project_id, pattern: Cow::Borrowed(&tag.pattern) },
            Record::Agent(agent) => Self::Agent { id: agent.id },
            Record::ErrorTrackingKey(key) => {
                Self::ErrorTrackingKey { project_id: key.project_id, public_key: Cow::Borrowed(&key.public_key) }
            }
            Record::Key(key) => Self::Key { id: key.id },
        }
    }

    fn to_identity(&self) -> Result<RecordIdentity, InvalidRecord> {
        let place = match self {
            Self::Settings {} => SortKey::settings(),
            Self::Storage { name } => SortKey::storage(checked_text(name)?),
            Self::User { id } => SortKey::user(*id),
            Self::Namespace { id } => SortKey::namespace(*id),
            Self::Project { id } => SortKey::project(*id),
            Self::Snippet { id } => SortKey::snippet(*id),
            Self::Member { namespace_id, project_id, user_id } => {
                SortKey::member(parse_container("member", *namespace_id, *project_id)?, *user_id)
            }
            Self::Share { project_id, namespace_id, with_namespace_id } => {
                SortKey::share(parse_container("share", *namespace_id, *project_id)?, *with_namespace_id)
            }
            Self::DeployGrant { key_id, project_id } => SortKey::deploy_grant(*key_id, *project_id),
            Self::Redirect { from } => SortKey::redirect(checked_text(from)?),
            Self::ProtectedBranch { project_id, pattern } => SortKey::protected_branch(*project_id, checked_text(pattern)?),
            Self::ProtectedTag { project_id, pattern } => SortKey::protected_tag(*project_id, checked_text(pattern)?),
            Self::Agent { id } => SortKey::agent(*id),
            Self::ErrorTrackingKey { project_id, public_key } => SortKey::error_tracking_key(*project_id, checked_text(public_key)?),
            Self::Key { id } => return Ok(RecordIdentity::Key(*id)),
        };
        Ok(RecordIdentity::Other(place, self.to_string().into()))
    }
}

fn checked_text(text: &str) -> Result<&str, InvalidRecord> {
    check_control_bytes(text)?;
    Ok(text)
}

fn parse_container(kind: &'static str, namespace: Option<Id>, project: Option<Id>) -> Result<Container, InvalidRecord> {
    match (namespace, project) {
        (Some(id), None) => Ok(Container::Namespace(id)),
        (None, Some(id)) => Ok(Container::Project(id)),
        _ => Err(InvalidRecord::Container(kind)),
    }
}

impl fmt::Display for KeyFields<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RecordIdentity;
    use crate::model::entry::Entry;
    use crate::model::record_strategy;

    proptest! {
        #[test]
        fn a_name_leads_to_the_place_of_its_record(record in record_strategy::record()) {
            let entry = Entry::from_record(record).unwrap();
            let identity = RecordIdentity::from_entry(&entry);
            prop_assert_eq!(&RecordIdentity::parse(&identity.to_string()).unwrap(), &identity);
            match identity {
                RecordIdentity::Other(place, _) => prop_assert_eq!(&place, entry.sort_key()),
                RecordIdentity::Key(_) => prop_assert!(entry.sort_key().fingerprint().is_some()),
            }
        }
    }

    fn identity_text(record: &str) -> String {
        let entry = Entry::parse(record).unwrap();
        let identity = RecordIdentity::from_entry(&entry);
        assert_eq!(RecordIdentity::parse(&identity.to_string()).unwrap(), identity, "{record}");
        if let RecordIdentity::Other(place, _) = &identity {
            assert_eq!(place, entry.sort_key(), "{record}");
        }
        identity.to_string()
    }

    #[test]
    fn a_record_is_named_by_its_kind_and_key_fields() {
        for (record, name) in [
            (r#"{"kind":"settings","host":"x"}"#, r#"{"kind":"settings"}"#),
            (r#"{"kind":"user","id":7,"username":"zoe","name":"Z"}"#, r#"{"kind":"user","id":7}"#),
            (r#"{"kind":"member","project_id":7,"user_id":1,"access_level":30}"#, r#"{"kind":"member","project_id":7,"user_id":1}"#),
            (
                r#"{"kind":"share","namespace_id":2,"with_namespace_id":3,"access_level":30}"#,
                r#"{"kind":"share","namespace_id":2,"with_namespace_id":3}"#,
            ),
            (r#"{"kind":"redirect","from":"Old/\"p\"","project_id":1}"#, r#"{"kind":"redirect","from":"Old/\"p\""}"#),
            (r#"{"kind":"robot","id":7,"arms":2}"#, r#"{"kind":"robot","id":7}"#),
            (r#"{"kind":"robot","serial":"x"}"#, r#"{"kind":"robot","serial":"x"}"#),
        ] {
            assert_eq!(identity_text(record), name);
        }
    }

    #[test]
    fn a_key_is_named_by_its_id() {
        let key = concat!(
            r#"{"kind":"key","id":5,"title":"t","key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti","#,
            r#""created_at":"2026-01-31T12:00:00.000Z"}"#
        );
        assert_eq!(identity_text(key), r#"{"kind":"key","id":5}"#);
    }

    #[test]
    fn a_name_that_could_mean_two_records_is_refused() {
        for wrong in [
            r#"{"kind":"user"}"#,
            r#"{"kind":"user","id":1,"name":"x"}"#,
            r#"{"kind":"member","user_id":1}"#,
            r#"{"kind":"member","user_id":1,"project_id":1,"namespace_id":1}"#,
            r#"{"kind":"storage","name":"a\u0000b"}"#,
            r#"{"kind":"settings","id":1}"#,
            r#"{"id":1}"#,
            r#"{"kind":7,"id":1}"#,
            r#"{"kind":"robot","id":1,"id":2}"#,
            "[]",
        ] {
            assert!(RecordIdentity::parse(wrong).is_err(), "{wrong}");
        }
    }
}
