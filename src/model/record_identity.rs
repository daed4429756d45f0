//! The identity of a record: its kind and its key fields, as a delete of the feed names it.
//!
//! `{"kind":"member","project_id":7,"user_id":1}` names one membership without carrying it. The key fields of an unknown kind are unknown:
//! it is named by its `id` if it has one, else by the whole object.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::entry::{Entry, RawObject};
use crate::model::id::Id;
use crate::model::record::{self, InvalidRecord, Record};
use crate::model::record_kinds::record_kinds;
use crate::model::record_parse::require_one_container;
use crate::model::sort_key::{KindNumber, SortKey, SortKeyBuilder};
use crate::model::text::{Text, check_control_bytes};

/// Names one record of the directory without carrying it, as a delete does: `{"kind": …, key fields}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordIdentity {
    /// A key, by its id. Its sort key holds its fingerprint, which a delete does not name.
    Key(Id),
    /// Any other record, by its sort key, with the object that names it.
    Other(SortKey, Arc<str>),
}

impl RecordIdentity {
    /// Returns the identity of an entry.
    pub fn from_entry(entry: &Entry) -> Self {
        match entry.record().map(AsRef::as_ref) {
            Some(Record::Key(key)) => Self::Key(key.id),
            Some(record) => Self::Other(entry.sort_key().clone(), KeyFields::from_record(record).to_string().into()),
            None => Self::Other(entry.sort_key().clone(), unknown_kind_text(entry.text())),
        }
    }

    /// Parses `{"kind": …, key fields}`. A known kind has its key fields and no others.
    pub fn parse(text: &str) -> Result<Self, InvalidRecord> {
        match serde_json::from_str::<KeyFields<'_>>(text) {
            Ok(key_fields) => key_fields.to_identity(),
            Err(error) => Self::parse_unknown_kind(text, error),
        }
    }

    fn parse_unknown_kind(text: &str, error: serde_json::Error) -> Result<Self, InvalidRecord> {
        match RawObject::parse(text) {
            Ok(object) if object.is_unknown_kind() => Ok(Self::Other(object.unknown_kind_sort_key(), unknown_kind_text(text))),
            _ => Err(error.into()),
        }
    }
}

fn unknown_kind_text(text: &str) -> Arc<str> {
    let identity = RawObject::parse(text).ok().and_then(|object| Some(object.kind_and_id_json(object.id()?)));
    identity.map_or_else(|| text.into(), Into::into)
}

impl fmt::Display for RecordIdentity {
    /// Writes the object of a delete.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => KeyFields::Key { id: *id }.fmt(out),
            Self::Other(_, text) => text.fmt(out),
        }
    }
}

macro_rules! generate_key_fields {
    ($($kind:ident $name:literal $number:literal { $($field:ident: $field_type:ty),* } => { $($method:ident($($argument:expr),*))* } gives $gives:tt)*
     ; $key:ident $key_name:literal $key_number:literal { $key_field:ident: $key_type:ty } gives $key_gives:tt) => {
        /// The key fields of a record of each kind, as a delete names them.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        enum KeyFields<'a> {
            $(#[serde(rename = $name)] $kind {
                $(#[serde(skip_serializing_if = "KeyField::is_absent")] $field: $field_type,)*
            },)*
            #[serde(rename = $key_name)] $key { $key_field: $key_type },
        }

        impl<'a> KeyFields<'a> {
            fn from_record(record: &'a Record) -> Self {
                match record {
                    $(Record::$kind(record::$kind { $($field,)* .. }) => Self::$kind { $($field: FromField::from_field($field),)* },)*
                    Record::$key(record::$key { $key_field, .. }) => Self::$key { $key_field: *$key_field },
                }
            }

            fn to_identity(&self) -> Result<RecordIdentity, InvalidRecord> {
                let sort_key = match self {
                    $(Self::$kind { $($field,)* } => {
                        $(KeyField::validate($field)?;)*
                        SortKeyBuilder::new(KindNumber::$kind)$(.$method($($argument),*))*.finish()
                    })*
                    Self::$key { $key_field } => return Ok(RecordIdentity::Key(*$key_field)),
                };
                self.validate_container()?;
                Ok(RecordIdentity::Other(sort_key, self.to_string().into()))
            }
        }
    };
}

record_kinds!(generate_key_fields);

impl KeyFields<'_> {
    fn validate_container(&self) -> Result<(), InvalidRecord> {
        match self {
            Self::Member { namespace_id, project_id, .. } => require_one_container("member", *namespace_id, *project_id),
            Self::Share { namespace_id, project_id, .. } => require_one_container("share", *namespace_id, *project_id),
            _ => Ok(()),
        }
    }
}

/// A key field of a delete.
trait KeyField {
    /// Returns whether the field is left out.
    fn is_absent(&self) -> bool {
        false
    }

    /// Refuses a value that no record can have.
    fn validate(&self) -> Result<(), InvalidRecord> {
        Ok(())
    }
}

impl KeyField for Id {}

impl KeyField for Option<Id> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl KeyField for Cow<'_, str> {
    fn validate(&self) -> Result<(), InvalidRecord> {
        Ok(check_control_bytes(self)?)
    }
}

/// Makes a key field of a delete out of the field of a record.
trait FromField<'a, F> {
    fn from_field(field: &'a F) -> Self;
}

impl<T: Copy> FromField<'_, T> for T {
    fn from_field(field: &T) -> Self {
        *field
    }
}

impl<'a> FromField<'a, Text> for Cow<'a, str> {
    fn from_field(field: &'a Text) -> Self {
        Cow::Borrowed(field)
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
        fn an_identity_leads_to_the_sort_key_of_its_record(record in record_strategy::record()) {
            let entry = Entry::from_record(record).unwrap();
            let identity = RecordIdentity::from_entry(&entry);
            prop_assert_eq!(&RecordIdentity::parse(&identity.to_string()).unwrap(), &identity);
            match identity {
                RecordIdentity::Other(sort_key, _) => prop_assert_eq!(&sort_key, entry.sort_key()),
                RecordIdentity::Key(_) => prop_assert!(entry.sort_key().fingerprint().is_some()),
            }
        }
    }

    fn identity_text(record: &str) -> String {
        let entry = Entry::parse(record).unwrap();
        let identity = RecordIdentity::from_entry(&entry);
        assert_eq!(RecordIdentity::parse(&identity.to_string()).unwrap(), identity, "{record}");
        if let RecordIdentity::Other(sort_key, _) = &identity {
            assert_eq!(sort_key, entry.sort_key(), "{record}");
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
    fn an_identity_that_could_mean_two_records_is_refused() {
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
