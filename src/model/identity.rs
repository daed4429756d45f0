//! What a record is called: its kind and its key fields, as a delete of the feed says it.
//!
//! `{"kind":"member","project_id":7,"user_id":1}` names one membership without carrying it. A kind that is not known has
//! no known key fields: it is named by its `id` if it has one, else by the whole object.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::directory::Container;
use crate::model::entry::{Entry, Object};
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::{NotARecord, Record};
use crate::model::text::control_byte;

/// Names one record of the directory without carrying it, as a delete does: `{"kind": …, key fields}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A key, by its id; its place is only known to who has it.
    Key(Id),
    /// Any other record, by its place, with the object that says so.
    At(Place, Arc<str>),
}

impl Identity {
    /// What an entry is called.
    pub fn of(entry: &Entry) -> Self {
        match entry.record().map(AsRef::as_ref) {
            Some(Record::Key(key)) => Self::Key(key.id),
            Some(record) => Self::At(entry.place().clone(), Name::of(record).to_string().into()),
            None => Self::At(entry.place().clone(), foreign_text(entry.text())),
        }
    }

    /// Reads `{"kind": …, key fields}`. A known kind has its key fields and no other.
    pub fn read(text: &str) -> Result<Self, NotARecord> {
        let name: Name<'_> = match serde_json::from_str(text) {
            Ok(name) => name,
            Err(unlike) => return Self::read_foreign(text, unlike),
        };
        name.identity()
    }

    fn read_foreign(text: &str, unlike: serde_json::Error) -> Result<Self, NotARecord> {
        match Object::read(text) {
            Ok(object) if object.is_foreign_kind() => Ok(Self::At(object.foreign_place(), foreign_text(text))),
            _ => Err(unlike.into()),
        }
    }
}

fn foreign_text(text: &str) -> Arc<str> {
    let named = Object::read(text).ok().and_then(|object| Some(object.kind_and_id(object.id()?)));
    named.map_or_else(|| text.into(), Into::into)
}

impl fmt::Display for Identity {
    /// The object of a delete.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => Name::Key { id: *id }.fmt(out),
            Self::At(_, text) => text.fmt(out),
        }
    }
}

/// The key fields of each kind, in the order of the directory's table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Name<'a> {
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

impl<'a> Name<'a> {
    pub(crate) fn of(record: &'a Record) -> Self {
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

    fn identity(&self) -> Result<Identity, NotARecord> {
        let place = match self {
            Self::Settings {} => Place::settings(),
            Self::Storage { name } => Place::storage(plain(name)?),
            Self::User { id } => Place::user(*id),
            Self::Namespace { id } => Place::namespace(*id),
            Self::Project { id } => Place::project(*id),
            Self::Snippet { id } => Place::snippet(*id),
            Self::Member { namespace_id, project_id, user_id } => Place::member(container("member", *namespace_id, *project_id)?, *user_id),
            Self::Share { project_id, namespace_id, with_namespace_id } => {
                Place::share(container("share", *namespace_id, *project_id)?, *with_namespace_id)
            }
            Self::DeployGrant { key_id, project_id } => Place::deploy_grant(*key_id, *project_id),
            Self::Redirect { from } => Place::redirect(plain(from)?),
            Self::ProtectedBranch { project_id, pattern } => Place::protected_branch(*project_id, plain(pattern)?),
            Self::ProtectedTag { project_id, pattern } => Place::protected_tag(*project_id, plain(pattern)?),
            Self::Agent { id } => Place::agent(*id),
            Self::ErrorTrackingKey { project_id, public_key } => Place::error_tracking_key(*project_id, plain(public_key)?),
            Self::Key { id } => return Ok(Identity::Key(*id)),
        };
        Ok(Identity::At(place, self.to_string().into()))
    }
}

fn plain(text: &str) -> Result<&str, NotARecord> {
    control_byte(text)?;
    Ok(text)
}

fn container(kind: &'static str, namespace: Option<Id>, project: Option<Id>) -> Result<Container, NotARecord> {
    match (namespace, project) {
        (Some(id), None) => Ok(Container::Namespace(id)),
        (None, Some(id)) => Ok(Container::Project(id)),
        _ => Err(NotARecord::Place(kind)),
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Identity;
    use crate::model::any_record;
    use crate::model::entry::Entry;

    proptest! {
        #[test]
        fn a_name_leads_to_the_place_of_its_record(record in any_record::record()) {
            let entry = Entry::of(record).unwrap();
            let identity = Identity::of(&entry);
            prop_assert_eq!(&Identity::read(&identity.to_string()).unwrap(), &identity);
            match identity {
                Identity::At(place, _) => prop_assert_eq!(&place, entry.place()),
                Identity::Key(_) => prop_assert!(entry.place().fingerprint().is_some()),
            }
        }
    }

    fn named(record: &str) -> String {
        let entry = Entry::read(record).unwrap();
        let identity = Identity::of(&entry);
        assert_eq!(Identity::read(&identity.to_string()).unwrap(), identity, "{record}");
        if let Identity::At(place, _) = &identity {
            assert_eq!(place, entry.place(), "{record}");
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
            assert_eq!(named(record), name);
        }
    }

    #[test]
    fn a_key_is_named_by_its_id() {
        let key = concat!(
            r#"{"kind":"key","id":5,"title":"t","key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti","#,
            r#""created_at":"2026-01-31T12:00:00.000Z"}"#
        );
        assert_eq!(named(key), r#"{"kind":"key","id":5}"#);
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
            assert!(Identity::read(wrong).is_err(), "{wrong}");
        }
    }
}
