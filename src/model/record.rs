//! One record of the directory, one JSON object on one line: parsed strictly, printed in one form.
//!
//! The canonical form is what feed, snapshot, export and digest use, byte for byte: `kind` first, then the fields in
//! the order declared here, fields equal to their default left out, no spaces. A field's place below is therefore part
//! of the format. The order of the kinds is the order of a snapshot.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::digest::Digest;
use crate::model::enums::{AccessLevel, FeatureAccess, KeyUsage, NamespaceType, ProjectCreation, Protection, UserState, Visibility};
use crate::model::id::Id;
use crate::model::key::{KEY_TYPES, PublicKey};
use crate::model::text::{ControlByte, Text};
use crate::model::time::Time;

/// A record of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is described at its struct")]
pub enum Record {
    Settings(Settings),
    Storage(Storage),
    User(User),
    Namespace(Namespace),
    Project(Project),
    Snippet(Snippet),
    Member(Member),
    Share(Share),
    DeployGrant(DeployGrant),
    Redirect(Redirect),
    ProtectedBranch(ProtectedBranch),
    ProtectedTag(ProtectedTag),
    Agent(Agent),
    ErrorTrackingKey(ErrorTrackingKey),
    Key(Key),
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// Not JSON, an unknown kind or field, a field twice, a missing field, or a value of the wrong form.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// A member or share must name exactly one place.
    #[error("a {0} names exactly one of `namespace_id` and `project_id`")]
    Container(&'static str),
    /// A rule for a type of key that there is not would bind nobody, in silence.
    #[error("`key_rules` names `{0}`; the types are rsa, dsa, ecdsa, ed25519, ecdsa_sk, ed25519_sk")]
    KeyType(String),
    /// A token's hash that is not one.
    #[error("`token_sha256` is 64 lower-case hex digits")]
    TokenHash,
    /// A broadcast that nobody would ever see.
    #[error("a broadcast ends after it starts")]
    BroadcastPeriod,
    /// Text with a control byte, in a name or between the words.
    #[error(transparent)]
    ControlByte(#[from] ControlByte),
}

impl Record {
    /// Reads one record. Unknown kinds and fields, fields given twice, and values of another form are refused by name.
    pub fn parse(line: &str) -> Result<Self, InvalidRecord> {
        let record = parse_kind_first(line).unwrap_or_else(|| serde_json::from_str(line))?;
        record.validate()?;
        Ok(record)
    }

    /// The one printed form of this record, without a line feed.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn validate(&self) -> Result<(), InvalidRecord> {
        match self {
            Self::Member(member) if member.namespace_id.is_some() == member.project_id.is_some() => Err(InvalidRecord::Container("member")),
            Self::Share(share) if share.namespace_id.is_some() == share.project_id.is_some() => Err(InvalidRecord::Container("share")),
            Self::Settings(settings) => match settings.key_rules.keys().find(|kind| !KEY_TYPES.contains(&kind.as_str())) {
                Some(unknown) => Err(InvalidRecord::KeyType(unknown.to_string())),
                None => Ok(()),
            },
            Self::Agent(agent) if agent.token_sha256.parse::<Digest>().is_err() => Err(InvalidRecord::TokenHash),
            _ => Ok(()),
        }
    }
}

/// Reads a record whose first field is its kind, as in the canonical form, without keeping its fields aside until the kind
/// is known, as the general way must. `None` if the kind is not first or not known.
fn parse_kind_first(line: &str) -> Option<Result<Record, serde_json::Error>> {
    let kind = line.strip_prefix(r#"{"kind":""#)?.split('"').next()?;
    let known = Record::field_names(kind).is_some();
    known.then(|| {
        let mut reader = serde_json::Deserializer::from_str(line);
        let record = reader.deserialize_map(KindFirstVisitor(kind))?;
        reader.end()?;
        Ok(record)
    })
}

/// Reads an object whose first field is known to be this kind.
struct KindFirstVisitor<'a>(&'a str);

impl<'de> Visitor<'de> for KindFirstVisitor<'_> {
    type Value = Record;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a record: an object with a `kind`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        map.next_entry::<IgnoredAny, IgnoredAny>()?;
        Ok(match self.0 {
            "settings" => Record::Settings(deserialize_fields(map)?),
            "storage" => Record::Storage(deserialize_fields(map)?),
            "user" => Record::User(deserialize_fields(map)?),
            "namespace" => Record::Namespace(deserialize_fields(map)?),
            "project" => Record::Project(deserialize_fields(map)?),
            "snippet" => Record::Snippet(deserialize_fields(map)?),
            "member" => Record::Member(deserialize_fields(map)?),
            "share" => Record::Share(deserialize_fields(map)?),
            "deploy_grant" => Record::DeployGrant(deserialize_fields(map)?),
            "redirect" => Record::Redirect(deserialize_fields(map)?),
            "protected_branch" => Record::ProtectedBranch(deserialize_fields(map)?),
            "protected_tag" => Record::ProtectedTag(deserialize_fields(map)?),
            "agent" => Record::Agent(deserialize_fields(map)?),
            "error_tracking_key" => Record::ErrorTrackingKey(deserialize_fields(map)?),
            "key" => Record::Key(deserialize_fields(map)?),
            other => return Err(A::Error::custom(format_args!("unknown kind `{other}`"))),
        })
    }
}

fn deserialize_fields<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: A) -> Result<T, A::Error> {
    T::deserialize(MapAccessDeserializer::new(map))
}

impl Record {
    /// The names of a kind's fields, as its struct declares them; `None` for a kind that is not known.
    #[must_use]
    pub fn field_names(kind: &str) -> Option<&'static [&'static str]> {
        Some(match kind {
            "settings" => struct_field_names::<Settings>(),
            "storage" => struct_field_names::<Storage>(),
            "user" => struct_field_names::<User>(),
            "namespace" => struct_field_names::<Namespace>(),
            "project" => struct_field_names::<Project>(),
            "snippet" => struct_field_names::<Snippet>(),
            "member" => struct_field_names::<Member>(),
            "share" => struct_field_names::<Share>(),
            "deploy_grant" => struct_field_names::<DeployGrant>(),
            "redirect" => struct_field_names::<Redirect>(),
            "protected_branch" => struct_field_names::<ProtectedBranch>(),
            "protected_tag" => struct_field_names::<ProtectedTag>(),
            "agent" => struct_field_names::<Agent>(),
            "error_tracking_key" => struct_field_names::<ErrorTrackingKey>(),
            "key" => struct_field_names::<Key>(),
            _ => return None,
        })
    }
}

/// Asks a struct's reader which fields it would look for, so that no second list has to be kept.
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
            Err(Self::Error::custom("only the names were asked for"))
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

/// What an instance asks of keys of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a key rule is a least number of bits or \"forbidden\"")]
pub enum KeyRule {
    /// At least this many bits.
    Bits(u32),
    /// No key of the type at all: the word `forbidden`.
    Forbidden(Forbidden),
}

/// The word `forbidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// The only word there is.
    Forbidden,
}

/// How the whole instance behaves. There is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Settings {
    #[serde(default = "default_host", skip_serializing_if = "is_default_host")]
    pub host: Text,
    #[serde(default = "default_web_url", skip_serializing_if = "is_default_web_url")]
    pub web_url: Text,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub ssh_enabled: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub http_enabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub receive_max_input_size_mib: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub terms_required: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub maintenance: bool,
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "deserialize_unique_map")]
    pub key_rules: BTreeMap<Text, KeyRule>,
    #[serde(default = "default_operations_per_minute", skip_serializing_if = "is_default_operations_per_minute")]
    pub operations_per_minute: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub two_factor_for_cli: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub error_tracking: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub saas: bool,
    #[serde(default = "default_token_lifetime_days", skip_serializing_if = "is_default_token_lifetime_days")]
    pub token_lifetime_days: u32,
}

/// Where a Gitaly is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Storage {
    pub name: Text,
    pub address: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub token: Text,
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "deserialize_unique_map")]
    pub features: BTreeMap<Text, bool>,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct User {
    pub id: Id,
    pub username: Text,
    pub name: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: UserState,
    #[serde(default, skip_serializing_if = "is_default")]
    pub admin: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub bot: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub two_factor: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub terms_accepted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub password_expires_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ldap: bool,
    #[serde(default = "default_projects_limit", skip_serializing_if = "is_default_projects_limit")]
    pub projects_limit: u32,
}

/// A person's namespace or a group; `path` is the full one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Namespace {
    pub id: Id,
    #[serde(rename = "type")]
    pub namespace_type: NamespaceType,
    pub path: Text,
    pub name: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub parent_id: Option<Id>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub owner_id: Option<Id>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub visibility: Visibility,
    #[serde(default, skip_serializing_if = "is_default")]
    pub project_creation: ProjectCreation,
    #[serde(default, skip_serializing_if = "is_default")]
    pub archived: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_ips: Vec<Text>,
}

/// A project; `path` is the full one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Project {
    pub id: Id,
    pub namespace_id: Id,
    pub path: Text,
    pub name: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub visibility: Visibility,
    #[serde(default, skip_serializing_if = "is_default")]
    pub repository_access: FeatureAccess,
    #[serde(default, skip_serializing_if = "is_default")]
    pub wiki_access: FeatureAccess,
    #[serde(default, skip_serializing_if = "is_default")]
    pub archived: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub repository_read_only: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub repository_exists: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub wiki_repository_exists: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub lfs_enabled: bool,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub print_merge_request_link: bool,
    #[serde(default = "default_branch_name", skip_serializing_if = "is_default_branch_name")]
    pub default_branch: Text,
    #[serde(default = "default_storage", skip_serializing_if = "is_default_storage")]
    pub storage: Text,
    pub relative_path: Text,
}

/// A snippet, a person's or a project's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Snippet {
    pub id: Id,
    #[serde(default, skip_serializing_if = "is_default")]
    pub project_id: Option<Id>,
    pub author_id: Id,
    #[serde(default, skip_serializing_if = "is_default")]
    pub visibility: Visibility,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub repository_exists: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub repository_read_only: bool,
    pub storage: Text,
    pub relative_path: Text,
}

/// A user's role in one namespace or one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Member {
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespace_id: Option<Id>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub project_id: Option<Id>,
    pub user_id: Id,
    pub access_level: AccessLevel,
    #[serde(default, skip_serializing_if = "is_default")]
    pub expires_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub pending: bool,
}

/// A namespace or project opened to the members of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Share {
    #[serde(default, skip_serializing_if = "is_default")]
    pub project_id: Option<Id>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub namespace_id: Option<Id>,
    pub with_namespace_id: Id,
    pub access_level: AccessLevel,
    #[serde(default, skip_serializing_if = "is_default")]
    pub expires_at: Option<Time>,
}

/// A deploy key attached to a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct DeployGrant {
    pub key_id: Id,
    pub project_id: Id,
    #[serde(default, skip_serializing_if = "is_default")]
    pub can_push: bool,
}

/// A path that a project had before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Redirect {
    pub from: Text,
    pub project_id: Id,
}

/// Who may push to the branches that a pattern names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct ProtectedBranch {
    pub project_id: Id,
    pub pattern: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub push: Protection,
    #[serde(default, skip_serializing_if = "is_default")]
    pub merge: Protection,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_force_push: bool,
}

/// Who may create the tags that a pattern names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct ProtectedTag {
    pub project_id: Id,
    pub pattern: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub create: Protection,
}

/// A Kubernetes agent; its token is kept as a SHA-256 in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Agent {
    pub id: Id,
    pub name: Text,
    pub project_id: Id,
    pub token_sha256: Text,
}

/// A client key of a project's error tracking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct ErrorTrackingKey {
    pub project_id: Id,
    pub public_key: Text,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub active: bool,
}

/// A public key of a user, or a deploy key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Key {
    pub id: Id,
    #[serde(default, skip_serializing_if = "is_default")]
    pub user_id: Option<Id>,
    pub title: Text,
    pub key: PublicKey,
    #[serde(default, skip_serializing_if = "is_default")]
    pub usage: KeyUsage,
    #[serde(default, skip_serializing_if = "is_default")]
    pub deploy: bool,
    pub created_at: Time,
    #[serde(default, skip_serializing_if = "is_default")]
    pub expires_at: Option<Time>,
}

/// Reads a map in which no key stands twice; JSON readers otherwise keep the last in silence.
fn deserialize_unique_map<'de, D, V>(reader: D) -> Result<BTreeMap<Text, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct UniqueMapVisitor<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueMapVisitor<V> {
        type Value = BTreeMap<Text, V>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("an object in which no key stands twice")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<Text, V>()? {
                if let Some(_first) = map.insert(key.clone(), value) {
                    return Err(A::Error::custom(format_args!("`{key}` stands twice")));
                }
            }
            Ok(map)
        }
    }

    reader.deserialize_map(UniqueMapVisitor(PhantomData))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares a default that is not the type's own, and the question whether a value is that default.
macro_rules! defaults {
    ($($name:ident, $is:ident: $type:ty = $value:expr;)*) => {$(
        fn $name() -> $type {
            $value
        }

        fn $is(value: &$type) -> bool {
            *value == $name()
        }
    )*};
}

defaults! {
    default_true, is_true: bool = true;
    default_operations_per_minute, is_default_operations_per_minute: u32 = 600;
    default_projects_limit, is_default_projects_limit: u32 = 100_000;
    default_token_lifetime_days, is_default_token_lifetime_days: u32 = 365;
    default_host, is_default_host: Text = text_literal("localhost");
    default_web_url, is_default_web_url: Text = text_literal("http://localhost");
    default_branch_name, is_default_branch_name: Text = text_literal("main");
    default_storage, is_default_storage: Text = text_literal("default");
}

fn text_literal(word: &str) -> Text {
    Text::try_from(word).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Record;
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
    fn settings_that_say_nothing_new_are_one_word() {
        assert_eq!(
            reprint(r#"{"kind":"settings","host":"localhost","ssh_enabled":true,"operations_per_minute":600}"#),
            r#"{"kind":"settings"}"#
        );
        let ruled = r#"{"kind":"settings","key_rules":{"dsa":"forbidden","rsa":3072}}"#;
        assert_eq!(reprint(ruled), ruled);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
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
