//! The enums of the records' fields: states, visibilities, access levels.

use serde::{Deserialize, Serialize};

/// Declares enums whose values are written in snake case, and whose first variant is the default.
macro_rules! closed_enums {
    ($($(#[$doc:meta])* $name:ident { $first:ident $(, $other:ident)* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "each variant is the directory's own term")]
        pub enum $name { #[default] $first $(, $other)* }
    )*};
}

closed_enums! {
    /// The state of an account; only `active` users and `internal` bots have access.
    UserState { Active, Blocked, PendingApproval, Deactivated, Banned, Unconfirmed, Internal }
    /// Who may see a namespace, project or snippet at all.
    Visibility { Private, Internal, Public }
    /// Who may use a feature of a project.
    FeatureAccess { Enabled, Private, Disabled }
    /// The lowest access level that may create projects in a group.
    ProjectCreation { Developer, Maintainer, Owner, Noone }
    /// The lowest access level that may change a protected ref.
    Protection { Maintainer, Noone, Developer }
    /// What a key may be used for.
    KeyUsage { AuthAndSigning, Auth, Signing }
}

/// Whether a namespace is a person's or a group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceType {
    /// A person's own namespace; its owner owns the projects in it.
    User,
    /// A group, perhaps within another.
    Group,
}

/// An access level, by its number: 10, 15, 20, 30, 40 or 50. A higher one may do everything that a lower one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[expect(missing_docs, reason = "each variant is the directory's own term")]
pub enum AccessLevel {
    Guest = 10,
    Planner = 15,
    Reporter = 20,
    Developer = 30,
    Maintainer = 40,
    Owner = 50,
}

/// The number is no access level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an access level is 10 (guest), 15 (planner), 20 (reporter), 30 (developer), 40 (maintainer) or 50 (owner)")]
pub struct InvalidAccessLevel;

impl TryFrom<u8> for AccessLevel {
    type Error = InvalidAccessLevel;

    fn try_from(number: u8) -> Result<Self, InvalidAccessLevel> {
        Ok(match number {
            10 => Self::Guest,
            15 => Self::Planner,
            20 => Self::Reporter,
            30 => Self::Developer,
            40 => Self::Maintainer,
            50 => Self::Owner,
            _ => return Err(InvalidAccessLevel),
        })
    }
}

impl From<AccessLevel> for u8 {
    fn from(level: AccessLevel) -> Self {
        level as Self
    }
}
