//! Parsing and printing of records: one JSON object on one line, parsed strictly, printed in one canonical form.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::key::KEY_TYPES;
use crate::model::record::{self, InvalidRecord, Record};
use crate::model::record_kinds::record_kinds;

impl Record {
    /// Parses one record. Refuses unknown kinds and fields, fields given twice, and values of another form, by their name.
    pub fn parse(line: &str) -> Result<Self, InvalidRecord> {
        let record = parse_kind_first(line).unwrap_or_else(|| serde_json::from_str(line))?;
        record.validate()?;
        Ok(record)
    }

    /// Returns the canonical form of this record, without a line feed.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn validate(&self) -> Result<(), InvalidRecord> {
        match self {
            Self::Member(member) => require_one_container(self.kind(), member.namespace_id, member.project_id),
            Self::Share(share) => require_one_container(self.kind(), share.namespace_id, share.project_id),
            Self::Settings(settings) => match settings.key_rules.keys().find(|kind| !KEY_TYPES.contains(&kind.as_str())) {
                Some(unknown) => Err(InvalidRecord::KeyType(unknown.to_string())),
                None => Ok(()),
            },
            Self::Agent(agent) if agent.token_sha256.parse::<Digest>().is_err() => Err(InvalidRecord::TokenHash),
            _ => Ok(()),
        }
    }
}

/// Refuses a record that names both or neither of a namespace and a project.
pub fn require_one_container(kind: &'static str, namespace: Option<Id>, project: Option<Id>) -> Result<(), InvalidRecord> {
    if namespace.is_some() == project.is_some() { Err(InvalidRecord::Container(kind)) } else { Ok(()) }
}

/// Parses a record whose first field is its kind, as in the canonical form. This is faster than serde's way, which has to buffer all
/// fields until it finds the kind. `None` if the kind is not first or not known.
fn parse_kind_first(line: &str) -> Option<Result<Record, serde_json::Error>> {
    let kind = line.strip_prefix(r#"{"kind":""#)?.split('"').next()?;
    let is_known = Record::field_names(kind).is_some();
    is_known.then(|| {
        let mut reader = serde_json::Deserializer::from_str(line);
        let record = reader.deserialize_map(KindFirstVisitor(kind))?;
        reader.end()?;
        Ok(record)
    })
}

/// Reads an object whose first field is known to name this kind.
struct KindFirstVisitor<'a>(&'a str);

impl<'de> Visitor<'de> for KindFirstVisitor<'_> {
    type Value = Record;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a record: an object with a `kind`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        map.next_entry::<IgnoredAny, IgnoredAny>()?;
        deserialize_kind(self.0, map)
    }
}

macro_rules! generate_parsing {
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt gives $gives:tt)* ; $key:ident $key_name:literal $($key_line:tt)*) => {
        /// Deserializes the fields of a record of the kind `kind`.
        fn deserialize_kind<'de, A: MapAccess<'de>>(kind: &str, map: A) -> Result<Record, A::Error> {
            Ok(match kind {
                $($name => Record::$kind(deserialize_fields(map)?),)*
                $key_name => Record::$key(deserialize_fields(map)?),
                other => return Err(A::Error::custom(format_args!("unknown kind `{other}`"))),
            })
        }

        impl Record {
            /// Returns the names of a kind's fields, as its struct declares them; `None` for an unknown kind.
            #[must_use]
            pub fn field_names(kind: &str) -> Option<&'static [&'static str]> {
                Some(match kind {
                    $($name => struct_field_names::<record::$kind>(),)*
                    $key_name => struct_field_names::<record::$key>(),
                    _ => return None,
                })
            }
        }
    };
}

record_kinds!(generate_parsing);

fn deserialize_fields<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: A) -> Result<T, A::Error> {
    T::deserialize(MapAccessDeserializer::new(map))
}

/// Returns the names of a struct's fields by asking its deserializer for them, so that no second list has to be kept.
fn struct_field_names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct FieldNameProbe<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for FieldNameProbe<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(Self::Error::custom("only the names are wanted"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("only a struct has named fields"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
            tuple_struct map enum identifier ignored_any
        }
    }

    let mut fields: &'static [&'static str] = &[];
    match T::deserialize(FieldNameProbe(&mut fields)) {
        Ok(_) | Err(_) => fields,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::record::Record;
    use crate::model::record_strategy;

    proptest! {
        #[test]
        fn print_and_parse_are_inverse_for_every_kind(record in record_strategy::record()) {
            let printed = record.canonical().unwrap();
            let again = Record::parse(&printed).unwrap();
            prop_assert_eq!(&again, &record);
            prop_assert_eq!(again.canonical().unwrap(), printed.clone());
            prop_assert!(!printed.bytes().any(|byte| byte < 0x20 || byte == 0x7f));
            prop_assert!(printed.starts_with(&format!(r#"{{"kind":"{}""#, record.kind())), "{}", printed);
        }

        #[test]
        fn a_record_is_the_same_wherever_its_kind_stands(record in record_strategy::record()) {
            let printed = record.canonical().unwrap();
            let kind = format!(r#""kind":"{}""#, record.kind());
            let fields = printed.trim_start_matches('{').trim_end_matches('}');
            prop_assume!(fields.len() < printed.len() - 1 && printed.ends_with('}') && !printed.ends_with("}}"));
            let fields = fields.strip_prefix(&kind).unwrap().trim_start_matches(',');
            let comma = if fields.is_empty() { "" } else { "," };
            prop_assert_eq!(Record::parse(&format!("{{{fields}{comma}{kind}}}")).unwrap(), record);
        }
    }

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn reprint(line: &str) -> String {
        Record::parse(line).unwrap().canonical().unwrap()
    }

    #[test]
    fn the_canonical_form_leaves_defaults_out_and_orders_the_fields() {
        let line = format!(
            r#"{{ "title":"laptop", "created_at":"2026-01-31T12:00:00Z", "deploy":false, "expires_at":null, "key":"{KEY} zoe@x", "user_id":7, "id":11, "kind":"key"}}"#
        );
        let canonical =
            format!(r#"{{"kind":"key","id":11,"user_id":7,"title":"laptop","key":"{KEY}","created_at":"2026-01-31T12:00:00.000Z"}}"#);
        assert_eq!(reprint(&line), canonical);
        assert_eq!(reprint(&canonical), canonical);
    }

    #[test]
    fn settings_equal_to_the_defaults_print_only_their_kind() {
        assert_eq!(
            reprint(r#"{"kind":"settings","host":"localhost","ssh_enabled":true,"operations_per_minute":600}"#),
            r#"{"kind":"settings"}"#
        );
        let ruled = r#"{"kind":"settings","key_rules":{"dsa":"forbidden","rsa":3072}}"#;
        assert_eq!(reprint(ruled), ruled);
    }

    #[test]
    fn unknown_and_wrong_values_are_refused_by_name() {
        for (line, named) in [
            (r#"{"kind":"user","id":1,"username":"a","name":"A","colour":"red"}"#, "unknown field `colour`"),
            (r#"{"kind":"settings","key_rules":{"rsa":2048,"rsa":3072}}"#, "`rsa` stands twice"),
            (r#"{"kind":"settings","key_rules":{"rsa":"no"}}"#, "a key rule is"),
            (r#"{"kind":"settings","key_rules":{"rsaa":"forbidden"}}"#, "`key_rules` names `rsaa`"),
            (r#"{"kind":"robot","id":1}"#, "unknown variant `robot`"),
            (r#"{"kind":"user","id":0,"username":"a","name":"A"}"#, "an id is a whole number"),
            (r#"{"kind":"user","id":1,"username":"a","name":"A\nB"}"#, "control byte 0x0a"),
            (r#"{"kind":"user","id":1,"id":2,"username":"a","name":"A"}"#, "duplicate field `id`"),
            (r#"{"kind":"user","id":1,"name":"A"}"#, "missing field `username`"),
            (r#"{"kind":"member","user_id":1,"access_level":30}"#, "exactly one of"),
            (r#"{"kind":"member","project_id":1,"user_id":1,"access_level":31}"#, "an access level is"),
            (r#"{"kind":"agent","id":1,"name":"a","project_id":1,"token_sha256":"x"}"#, "`token_sha256` is 64"),
            (r#"{"kind":"key","id":1,"title":"","key":"no-pty ssh-rsa AAAA","created_at":"2026-01-31T12:00:00Z"}"#, "without options"),
        ] {
            let message = Record::parse(line).unwrap_err().to_string();
            assert!(message.contains(named), "{line}: {message}");
        }
    }
}
