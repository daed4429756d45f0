//! The records of the directory: one struct for each kind, with its fields in the order of the canonical form.
//!
//! The canonical form is what feed, snapshot, export and digest use, byte for byte: `kind` first, then the fields in the order declared
//! here, fields equal to their default left out, no spaces. The order of the fields below is therefore part of the format. The kinds and
//! their order are in `model/record_kinds.rs`; `model/record_parse.rs` parses and prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::enums::{AccessLevel, FeatureAccess, KeyUsage, NamespaceType, ProjectCreation, Protection, UserState, Visibility};
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::model::record_defaults::{
    default_branch_name, default_host, default_operations_per_minute, default_projects_limit, default_storage, default_token_lifetime_days,
    default_true, default_web_url, deserialize_unique_map, is_default, is_default_branch_name, is_default_host,
    is_default_operations_per_minute, is_default_projects_limit, is_default_storage, is_default_token_lifetime_days, is_default_web_url,
    is_true,
};
use crate::model::record_kinds::record_kinds;
use crate::model::text::{ControlByte, Text};
use crate::model::time::Time;

macro_rules! declare_record {
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt gives $gives:tt)* ; $key:ident $key_name:literal $($key_line:tt)*) => {
        /// A record of any kind.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[expect(missing_docs, reason = "each variant is described at its struct")]
        pub enum Record {
            $(#[serde(rename = $name)] $kind($kind),)*
            #[serde(rename = $key_name)] $key($key),
        }

        impl Record {
            /// Returns the name in the field `kind`.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)*
                    Self::$key(_) => $key_name,
                }
            }
        }
    };
}

record_kinds!(declare_record);

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRecord {
    /// It is not JSON, or has an unknown kind or field, a field twice, a missing field, or a value of the wrong form.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// A member or share names both or neither of a namespace and a project.
    #[error("a {0} names exactly one of `namespace_id` and `project_id`")]
    Container(&'static str),
    /// A rule for a key type that does not exist would silently have no effect.
    #[error("`key_rules` names `{0}`; the types are rsa, dsa, ecdsa, ed25519, ecdsa_sk, ed25519_sk")]
    KeyType(String),
    /// The hash of a token is not one.
    #[error("`token_sha256` is 64 lower-case hex digits")]
    TokenHash,
    /// The broadcast would never be shown.
    #[error("a broadcast ends after it starts")]
    BroadcastPeriod,
    /// A name or the line itself has a control byte.
    #[error(transparent)]
    ControlByte(#[from] ControlByte),
}

/// What an instance requires of keys of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a key rule is a least number of bits or \"forbidden\"")]
pub enum KeyRule {
    /// At least this many bits.
    Bits(u32),
    /// No key of the type at all.
    Forbidden(Forbidden),
}

/// The value `forbidden`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forbidden {
    /// The only value.
    Forbidden,
}

/// The settings of the whole instance. There is one such record.
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

/// A storage, and how its Gitaly is reached.
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

/// A user's namespace or a group; `path` is the full path.
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

/// A project; `path` is the full path.
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

/// A snippet, of a user or of a project.
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

/// A namespace or project shared with the members of a group.
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

/// Who may push to the branches that a pattern matches.
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

/// Who may create the tags that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct ProtectedTag {
    pub project_id: Id,
    pub pattern: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub create: Protection,
}

/// A Kubernetes agent; its token is stored as a SHA-256 in hex.
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
