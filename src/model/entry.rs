//! One record as feed, snapshot and store carry it: its exact bytes, its sort key, and as much of it as this program understands.
//!
//! A newer primary may send kinds and fields that this program does not know. Their bytes are kept so that the digest stays right. What is
//! understood of them still answers who owns a key; decisions about access are left to the primary.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::record::{InvalidRecord, Record};
use crate::model::sort_key::SortKey;
use crate::model::text::check_control_bytes;

/// One record with its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    sort_key: SortKey,
    text: Arc<str>,
    record: Option<Arc<Record>>,
    has_unknown_parts: bool,
}

impl Entry {
    /// Returns the entry of a record in its canonical form.
    pub fn from_record(record: Record) -> Result<Self, serde_json::Error> {
        let text = record.canonical()?.into();
        Ok(Self { sort_key: record.sort_key(), text, record: Some(Arc::new(record)), has_unknown_parts: false })
    }

    /// Parses a record of the feed, one line without control bytes, and keeps its bytes. Unknown kinds and fields are kept and marked;
    /// everything else is as strict as [`Record::parse`].
    pub fn parse(text: &str) -> Result<Self, InvalidRecord> {
        check_control_bytes(text)?;
        match Record::parse(text) {
            Ok(record) => {
                Ok(Self { sort_key: record.sort_key(), text: text.into(), record: Some(Arc::new(record)), has_unknown_parts: false })
            }
            Err(error) => Self::parse_unknown(text, error),
        }
    }

    fn parse_unknown(text: &str, error: InvalidRecord) -> Result<Self, InvalidRecord> {
        let Ok(object) = RawObject::parse(text) else { return Err(error) };
        if object.is_unknown_kind() {
            return Ok(Self { sort_key: object.unknown_kind_sort_key(), text: text.into(), record: None, has_unknown_parts: true });
        }
        let Some(understood) = object.without_unknown_fields() else { return Err(error) };
        let record = Record::parse(&understood)?;
        Ok(Self { sort_key: record.sort_key(), text: text.into(), record: Some(Arc::new(record)), has_unknown_parts: true })
    }

    /// Returns its sort key.
    #[must_use]
    pub const fn sort_key(&self) -> &SortKey {
        &self.sort_key
    }

    /// Returns its bytes: one JSON object on one line, without a line feed. The digest is computed of them.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns what it adds to the digest of a directory.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// Returns the record without its unknown fields; `None` for an unknown kind.
    #[must_use]
    pub const fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Returns whether it is of an unknown kind or has unknown fields.
    #[must_use]
    pub const fn has_unknown_parts(&self) -> bool {
        self.has_unknown_parts
    }
}

/// A record of any kind, known or not: an object with a `kind`, its fields in their order, none of them twice.
pub(crate) struct RawObject<'a> {
    text: &'a str,
    kind: String,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> RawObject<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, InvalidRecord> {
        let RawFields(fields) = serde_json::from_str(text)?;
        let kind = fields.iter().find(|(name, _)| name == "kind").map(|(_, value)| value.get());
        let kind: String = serde_json::from_str(kind.ok_or_else(|| serde_json::Error::missing_field("kind"))?)?;
        check_control_bytes(&kind)?;
        Ok(Self { text, kind, fields })
    }

    pub(crate) fn is_unknown_kind(&self) -> bool {
        Record::field_names(&self.kind).is_none()
    }

    pub(crate) fn unknown_kind_sort_key(&self) -> SortKey {
        SortKey::unknown_kind(&self.kind, self.id(), self.text)
    }

    pub(crate) fn id(&self) -> Option<Id> {
        let (_, value) = self.fields.iter().find(|(name, _)| name == "id")?;
        serde_json::from_str(value.get()).ok()
    }

    pub(crate) fn kind_and_id_json(&self, id: Id) -> String {
        format!(r#"{{"kind":{},"id":{id}}}"#, serde_json::Value::from(self.kind.as_str()))
    }

    /// Returns the object without the fields that its kind does not have; `None` if it has no such fields.
    fn without_unknown_fields(&self) -> Option<String> {
        let known = Record::field_names(&self.kind)?;
        let is_known = |name: &str| name == "kind" || known.contains(&name);
        if self.fields.iter().all(|(name, _)| is_known(name)) {
            return None;
        }
        let understood = self.fields.iter().filter(|(name, _)| is_known(name));
        let understood: Vec<String> = understood.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        Some(format!("{{{}}}", understood.join(",")))
    }
}

/// The fields of an object in their order. Refuses a field that is given twice.
struct RawFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawFields<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct RawFieldsVisitor;

        impl<'de> Visitor<'de> for RawFieldsVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with a `kind`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    fields.push((name, value));
                }
                Ok(fields)
            }
        }

        reader.deserialize_map(RawFieldsVisitor).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Entry;
    use crate::model::record::Record;
    use crate::model::record_strategy;

    proptest! {
        #[test]
        fn an_unknown_field_does_not_affect_the_known_ones(record in record_strategy::record(), first: bool, value in "[a-z\\[\\]{}:, ]{0,9}") {
            let known = Entry::from_record(record).unwrap();
            let field = format!(r#""x-new":{{"é":[{},null]}}"#, serde_json::Value::from(value));
            let newer = if first {
                known.text().replacen('{', &format!("{{{field},"), 1)
            } else {
                format!("{},{field}}}", known.text().strip_suffix('}').unwrap())
            };
            let entry = Entry::parse(&newer).unwrap();
            prop_assert_eq!(entry.text(), newer);
            prop_assert!(entry.has_unknown_parts() && !known.has_unknown_parts());
            prop_assert_eq!((entry.record(), entry.sort_key()), (known.record(), known.sort_key()));
            prop_assert_eq!(Entry::parse(known.text()).unwrap(), known);
        }
    }

    #[test]
    fn what_a_newer_primary_sends_is_kept_to_the_byte_and_marked() {
        let user = r#"{"kind":"user","id":7,"username":"zoe","shoe":{"size":[38]},"name":"Zoë"}"#;
        let entry = Entry::parse(user).unwrap();
        assert_eq!(entry.text(), user);
        assert!(entry.has_unknown_parts());
        assert!(matches!(entry.record().map(AsRef::as_ref), Some(Record::User(user)) if &*user.username == "zoe"));

        let robot = r#"{"kind":"robot","id":7,"arms":2}"#;
        let entry = Entry::parse(robot).unwrap();
        assert_eq!((entry.text(), entry.record(), entry.has_unknown_parts()), (robot, None, true));
        let repainted = Entry::parse(r#"{"kind":"robot","id":7,"arms":3}"#).unwrap();
        assert_eq!(repainted.sort_key(), entry.sort_key(), "a newer form of the same record replaces it");
    }

    #[test]
    fn a_record_without_unknown_parts_is_not_marked() {
        let record = Record::parse(r#"{"kind":"user","id":7,"username":"zoe","name":"Zoë"}"#).unwrap();
        let entry = Entry::from_record(record).unwrap();
        assert!(!entry.has_unknown_parts());
        assert_eq!(Entry::parse(entry.text()).unwrap(), entry);
    }

    #[test]
    fn everything_else_is_as_strict_as_in_the_directory_file() {
        for (wrong, named) in [
            (r#"{"kind":"user","id":7,"username":"zoe"}"#, "missing field `name`"),
            (r#"{"kind":"user","id":7,"username":"zoe","shoe":1}"#, "missing field `name`"),
            (r#"{"kind":"user","id":0,"username":"zoe","name":"Z","shoe":1}"#, "an id is a whole number"),
            (r#"{"kind":"user","id":7,"username":"zoe","name":"Z","shoe":1,"shoe":2}"#, "unknown field `shoe`"),
            (r#"{"kind":"robot","id":7,"id":8}"#, "unknown variant `robot`"),
            (r#"{"kind":"agent","id":1,"name":"a","project_id":1,"token_sha256":"x","shoe":1}"#, "`token_sha256` is 64"),
            ("{\"kind\":\"user\",\n\"id\":7,\"username\":\"zoe\",\"name\":\"Z\"}", "control byte 0x0a"),
            (r#"{"kind":"rob\u0000ot"}"#, "unknown variant"),
            (r#"{"id":7}"#, "missing field `kind`"),
            ("7", "invalid type"),
        ] {
            let message = Entry::parse(wrong).unwrap_err().to_string();
            assert!(message.contains(named), "{wrong}: {message}");
        }
    }
}
