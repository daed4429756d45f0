//! One record as feed, snapshot and store carry it: its exact bytes, its place, and as much of it as is understood.
//!
//! A newer primary may send kinds and fields that this program does not know. Their bytes are kept so that the digest
//! holds; what is understood of them answers keys and names; deciding access asks the primary.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::{NotARecord, Record};
use crate::model::text::control_byte;

/// One record with its canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    place: Place,
    text: Arc<str>,
    record: Option<Arc<Record>>,
    foreign: bool,
}

impl Entry {
    /// A record of our own, in its canonical form.
    pub fn of(record: Record) -> Result<Self, serde_json::Error> {
        let text = record.canonical()?.into();
        Ok(Self { place: record.place(), text, record: Some(Arc::new(record)), foreign: false })
    }

    /// Reads a record of the feed, keeping its bytes. Unknown kinds and fields are kept and marked foreign; everything
    /// else is as strict as [`Record::parse`]. One line without control bytes.
    pub fn read(text: &str) -> Result<Self, NotARecord> {
        control_byte(text)?;
        match Record::parse(text) {
            Ok(record) => Ok(Self { place: record.place(), text: text.into(), record: Some(Arc::new(record)), foreign: false }),
            Err(unlike) => Self::read_foreign(text, unlike),
        }
    }

    fn read_foreign(text: &str, unlike: NotARecord) -> Result<Self, NotARecord> {
        let Ok(object) = Object::read(text) else { return Err(unlike) };
        if object.is_foreign_kind() {
            return Ok(Self { place: object.foreign_place(), text: text.into(), record: None, foreign: true });
        }
        let Some(understood) = object.without_unknown_fields() else { return Err(unlike) };
        let record = Record::parse(&understood)?;
        Ok(Self { place: record.place(), text: text.into(), record: Some(Arc::new(record)), foreign: true })
    }

    /// Where it stands, and its identity.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// Its bytes: one JSON object on one line, without a line feed. What the digest sums.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it adds to the digest of a directory.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// What is understood of it; `None` for a kind that is not known.
    #[must_use]
    pub const fn record(&self) -> Option<&Arc<Record>> {
        self.record.as_ref()
    }

    /// Whether it is of an unknown kind or has unknown fields.
    #[must_use]
    pub const fn foreign(&self) -> bool {
        self.foreign
    }
}

/// A record of whatever kind: an object with a `kind`, its fields in their order, none of them twice.
pub(crate) struct Object<'a> {
    text: &'a str,
    kind: String,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, NotARecord> {
        let Fields(fields) = serde_json::from_str(text)?;
        let kind = fields.iter().find(|(name, _)| name == "kind").map(|(_, value)| value.get());
        let kind: String = serde_json::from_str(kind.ok_or_else(|| serde_json::Error::missing_field("kind"))?)?;
        control_byte(&kind)?;
        Ok(Self { text, kind, fields })
    }

    pub(crate) fn is_foreign_kind(&self) -> bool {
        Record::fields_of(&self.kind).is_none()
    }

    pub(crate) fn foreign_place(&self) -> Place {
        Place::foreign(&self.kind, self.id(), self.text)
    }

    pub(crate) fn id(&self) -> Option<Id> {
        let (_, value) = self.fields.iter().find(|(name, _)| name == "id")?;
        serde_json::from_str(value.get()).ok()
    }

    pub(crate) fn kind_and_id(&self, id: Id) -> String {
        format!(r#"{{"kind":{},"id":{id}}}"#, serde_json::Value::from(self.kind.as_str()))
    }

    /// The object with the fields of its kind only; `None` if it has no others.
    fn without_unknown_fields(&self) -> Option<String> {
        let known = Record::fields_of(&self.kind)?;
        let is_known = |name: &str| name == "kind" || known.contains(&name);
        if self.fields.iter().all(|(name, _)| is_known(name)) {
            return None;
        }
        let understood = self.fields.iter().filter(|(name, _)| is_known(name));
        let understood: Vec<String> = understood.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        Some(format!("{{{}}}", understood.join(",")))
    }
}

/// The fields of an object in their order; one that stands twice is refused.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
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

        reader.deserialize_map(InOrder).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Entry;
    use crate::model::any_record;
    use crate::model::record::Record;

    proptest! {
        #[test]
        fn an_unknown_field_costs_nothing_that_is_understood(record in any_record::record(), first: bool, value in "[a-z\\[\\]{}:, ]{0,9}") {
            let ours = Entry::of(record).unwrap();
            let field = format!(r#""x-new":{{"é":[{},null]}}"#, serde_json::Value::from(value));
            let newer = if first {
                ours.text().replacen('{', &format!("{{{field},"), 1)
            } else {
                format!("{},{field}}}", ours.text().strip_suffix('}').unwrap())
            };
            let entry = Entry::read(&newer).unwrap();
            prop_assert_eq!(entry.text(), newer);
            prop_assert!(entry.foreign() && !ours.foreign());
            prop_assert_eq!((entry.record(), entry.place()), (ours.record(), ours.place()));
            prop_assert_eq!(Entry::read(ours.text()).unwrap(), ours);
        }
    }

    #[test]
    fn what_a_newer_primary_sends_is_kept_to_the_byte_and_marked() {
        let user = r#"{"kind":"user","id":7,"username":"zoe","shoe":{"size":[38]},"name":"Zoë"}"#;
        let entry = Entry::read(user).unwrap();
        assert_eq!(entry.text(), user);
        assert!(entry.foreign());
        assert!(matches!(entry.record().map(AsRef::as_ref), Some(Record::User(user)) if &*user.username == "zoe"));

        let robot = r#"{"kind":"robot","id":7,"arms":2}"#;
        let entry = Entry::read(robot).unwrap();
        assert_eq!((entry.text(), entry.record(), entry.foreign()), (robot, None, true));
        let repainted = Entry::read(r#"{"kind":"robot","id":7,"arms":3}"#).unwrap();
        assert_eq!(repainted.place(), entry.place(), "a newer form of the same record replaces it");
    }

    #[test]
    fn a_record_of_ours_is_not_foreign() {
        let record = Record::parse(r#"{"kind":"user","id":7,"username":"zoe","name":"Zoë"}"#).unwrap();
        let entry = Entry::of(record).unwrap();
        assert!(!entry.foreign());
        assert_eq!(Entry::read(entry.text()).unwrap(), entry);
    }

    #[test]
    fn all_else_is_as_strict_as_in_the_operators_file() {
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
            let message = Entry::read(wrong).unwrap_err().to_string();
            assert!(message.contains(named), "{wrong}: {message}");
        }
    }
}
