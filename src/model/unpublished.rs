//! Records of the directory file that the primary does not publish: scan policies, their configuration, broadcasts.
//!
//! They are applied and exported like the others, but no feed, snapshot or digest contains them. No follower needs them, since only the
//! primary answers the requests that they are for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::model::id::Id;
use crate::model::record::InvalidRecord;
use crate::model::record_defaults::{default_true, is_default, is_true};
use crate::model::text::{ControlByte, Text, check_control_bytes};
use crate::model::time::Time;

/// A record that is not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is described at its struct")]
pub enum UnpublishedRecord {
    ScanExecutionPolicy(ScanExecutionPolicy),
    PolicyConfiguration(PolicyConfiguration),
    Broadcast(Broadcast),
}

/// When agents of a project scan, as YAML that this program does not interpret. One for each name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct ScanExecutionPolicy {
    pub project_id: Id,
    pub name: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: Text,
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub enabled: bool,
    pub yaml: Yaml,
    pub updated_at: Time,
}

/// How often agents of a project scan which namespaces. One for each cadence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct PolicyConfiguration {
    pub project_id: Id,
    pub cadence: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Text>,
    pub updated_at: Time,
}

/// A message to everybody who pushes. `target_path` is a path with `*` for any characters; empty: everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the directory's own term")]
pub struct Broadcast {
    pub id: Id,
    pub message: Text,
    #[serde(default, skip_serializing_if = "is_default")]
    pub target_path: Text,
    pub starts_at: Time,
    pub ends_at: Time,
    #[serde(default, skip_serializing_if = "is_default")]
    pub broadcast_type: BroadcastType,
}

/// Where a broadcast is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BroadcastType {
    /// On every page and to who pushes.
    #[default]
    Banner,
    /// On pages only.
    Notification,
}

/// Text of several lines. Of control bytes it has only line feeds and tabs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Yaml(Box<str>);

impl UnpublishedRecord {
    /// Returns whether a line of a directory file is of one of these kinds.
    #[must_use]
    pub fn is_unpublished_kind(line: &str) -> bool {
        #[derive(Deserialize)]
        struct KindOnly<'a> {
            #[serde(borrow)]
            kind: Cow<'a, str>,
        }
        let object = serde_json::from_str::<KindOnly<'_>>(line);
        object.is_ok_and(|object| matches!(&*object.kind, "scan_execution_policy" | "policy_configuration" | "broadcast"))
    }

    /// Parses one record, as strictly as [`crate::model::record::Record::parse`].
    pub fn parse(line: &str) -> Result<Self, InvalidRecord> {
        let record = serde_json::from_str(line)?;
        match &record {
            Self::Broadcast(broadcast) if broadcast.ends_at <= broadcast.starts_at => Err(InvalidRecord::BroadcastPeriod),
            _ => Ok(record),
        }
    }

    /// Returns the canonical form of this record, without a line feed.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Returns the name in the field `kind`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ScanExecutionPolicy(_) => "scan_execution_policy",
            Self::PolicyConfiguration(_) => "policy_configuration",
            Self::Broadcast(_) => "broadcast",
        }
    }

    /// Returns its sort key: the number of the kind, then the key fields. Text ends with a zero byte, which no [`Text`] has.
    #[must_use]
    pub fn sort_key(&self) -> Vec<u8> {
        match self {
            Self::ScanExecutionPolicy(policy) => [&[0][..], &policy.project_id.bytes(), policy.name.as_bytes(), &[0]].concat(),
            Self::PolicyConfiguration(of) => [&[1][..], &of.project_id.bytes(), of.cadence.as_bytes(), &[0]].concat(),
            Self::Broadcast(broadcast) => [&[2][..], &broadcast.id.bytes()].concat(),
        }
    }

    /// Returns the project that it names, which must exist.
    #[must_use]
    pub const fn project_id(&self) -> Option<Id> {
        match self {
            Self::ScanExecutionPolicy(policy) => Some(policy.project_id),
            Self::PolicyConfiguration(of) => Some(of.project_id),
            Self::Broadcast(_) => None,
        }
    }
}

impl TryFrom<String> for Yaml {
    type Error = ControlByte;

    fn try_from(text: String) -> Result<Self, ControlByte> {
        let mut offset = 0;
        for part in text.split(['\n', '\t']) {
            check_control_bytes(part).map_err(|found| ControlByte { offset: offset + found.offset, ..found })?;
            offset += part.len() + 1;
        }
        Ok(Self(text.into_boxed_str()))
    }
}

impl From<Yaml> for String {
    fn from(yaml: Yaml) -> Self {
        yaml.0.into_string()
    }
}

impl Deref for Yaml {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Yaml {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::UnpublishedRecord;

    const POLICY: &str =
        r#"{"kind":"scan_execution_policy","project_id":1,"name":"n","yaml":"---\na:\n\t- b\n","updated_at":"2022-06-02T05:36:26.000Z"}"#;
    const CONFIGURATION: &str = r#"{"kind":"policy_configuration","project_id":1,"cadence":"30 2 * * *","namespaces":["a","b"],"updated_at":"2022-06-02T05:36:26.000Z"}"#;
    const BROADCAST: &str =
        r#"{"kind":"broadcast","id":1,"message":"m","starts_at":"2026-01-31T12:00:00.000Z","ends_at":"2026-02-01T12:00:00.000Z"}"#;

    #[test]
    fn the_canonical_form_is_read_back_and_leaves_defaults_out() {
        for line in [POLICY, CONFIGURATION, BROADCAST] {
            assert!(UnpublishedRecord::is_unpublished_kind(line), "{line}");
            assert_eq!(UnpublishedRecord::parse(line).unwrap().canonical().unwrap(), line);
        }
        let with_defaults = BROADCAST.replace(r#""id":1,"#, r#""broadcast_type":"banner","target_path":"","id":1,"#);
        assert_eq!(UnpublishedRecord::parse(&with_defaults).unwrap().canonical().unwrap(), BROADCAST);
        assert!(!UnpublishedRecord::is_unpublished_kind(r#"{"kind":"user"}"#) && !UnpublishedRecord::is_unpublished_kind("x"));
    }

    #[test]
    fn unknown_and_wrong_values_are_refused_by_name() {
        for (line, named) in [
            (POLICY.replace(r#""name""#, r#""colour":1,"name""#), "unknown field `colour`"),
            (POLICY.replace(r#""name":"n""#, r#""name":"n","name":"n""#), "duplicate field `name`"),
            (POLICY.replace(r#""name":"n","#, ""), "missing field `name`"),
            (POLICY.replace(r#""name":"n""#, r#""name":"a\nb""#), "control byte 0x0a at offset 1"),
            (POLICY.replace(r"---\na", r"--\u001b\na"), "control byte 0x1b at offset 2"),
            (POLICY.replace(r"\t- b", r"\t-\rb"), "control byte 0x0d at offset 9"),
            (CONFIGURATION.replace(r#"["a","b"]"#, r#""a""#), "invalid type: string"),
            (BROADCAST.replace(r#""id":1"#, r#""id":0"#), "an id is a whole number"),
            (BROADCAST.replace(r#""id":1"#, r#""id":1,"broadcast_type":"song""#), "unknown variant `song`"),
            (BROADCAST.replace("2026-02-01", "2026-01-31"), "a broadcast ends after it starts"),
        ] {
            let message = UnpublishedRecord::parse(&line).unwrap_err().to_string();
            assert!(message.contains(named), "{line}: {message}");
        }
    }

    #[test]
    fn each_record_is_identified_by_its_key_fields() {
        let sort_key = |line: &str| UnpublishedRecord::parse(line).unwrap().sort_key();
        assert_eq!(sort_key(POLICY), sort_key(&POLICY.replace("---", "+++")));
        assert_ne!(sort_key(POLICY), sort_key(&POLICY.replace(r#""name":"n""#, r#""name":"m""#)));
        assert_ne!(sort_key(CONFIGURATION), sort_key(&CONFIGURATION.replace("30 2", "31 2")));
        assert!(sort_key(POLICY) < sort_key(CONFIGURATION) && sort_key(CONFIGURATION) < sort_key(BROADCAST));
    }
}
