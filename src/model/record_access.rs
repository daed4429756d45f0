//! Whether a put of a record is known only to give access: then nobody who had access before lacks it afterwards.
//!
//! Generated from the table of kinds (`model/record_kinds.rs`). Whatever differs in a field that the table does not name, or in another
//! direction than it names, counts as a restriction. So does a record that the table does not know.

use crate::model::enums::{FeatureAccess, UserState, Visibility};
use crate::model::record::{self, Record};
use crate::model::record_kinds::record_kinds;
use crate::model::time::Time;

macro_rules! generate_access_checks {
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt gives $gives:tt)*
     ; $key:ident $key_name:literal $key_number:literal $key_key_fields:tt gives $key_gives:tt) => {
        generate_access_checks!(@ $($kind $gives)* $key $key_gives);
    };
    (@ $($kind:ident { new: $new:literal; $($field:ident: $direction:ident),* })*) => {
        /// Returns whether replacing `old` with `new` only gives access, or changes none.
        #[must_use]
        pub fn only_gives_access(old: &Record, new: &Record) -> bool {
            match (old, new) {
                $((Record::$kind(old), Record::$kind(new)) => {
                    let directions = [true, $($direction(old.$field, new.$field)),*];
                    let named_fields_from_new = record::$kind { $($field: new.$field,)* ..old.clone() };
                    directions.iter().all(|gives| *gives) && named_fields_from_new == *new
                })*
                _ => false,
            }
        }

        /// Returns whether a record that was not there before only gives access.
        #[must_use]
        pub const fn only_gives_access_if_new(new: &Record) -> bool {
            match new {
                $(Record::$kind(_) => $new,)*
            }
        }
    };
}

record_kinds!(generate_access_checks);

const fn switched_on(old: bool, new: bool) -> bool {
    new || !old
}

const fn switched_off(old: bool, new: bool) -> bool {
    !new || old
}

fn raised<T: PartialOrd>(old: T, new: T) -> bool {
    new >= old
}

/// An expiry that is later, or gone.
fn extended(old: Option<Time>, new: Option<Time>) -> bool {
    match (old, new) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(old), Some(new)) => new >= old,
    }
}

fn activated(old: UserState, new: UserState) -> bool {
    new == old || new == UserState::Active
}

fn widened<T: Audience>(old: T, new: T) -> bool {
    new.rank() >= old.rank()
}

/// A value that says to whom something is open.
trait Audience {
    /// Returns a greater number for a wider audience.
    fn rank(self) -> u8;
}

impl Audience for Visibility {
    fn rank(self) -> u8 {
        match self {
            Self::Private => 0,
            Self::Internal => 1,
            Self::Public => 2,
        }
    }
}

impl Audience for FeatureAccess {
    fn rank(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Private => 1,
            Self::Enabled => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{only_gives_access, only_gives_access_if_new};
    use crate::model::record::Record;
    use crate::model::record_strategy;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn only_gives(base: &str, old: &str, new: &str) -> bool {
        let read = |more: &str| Record::parse(&format!("{{{base}{more}}}")).unwrap();
        only_gives_access(&read(old), &read(new))
    }

    #[test]
    fn a_change_that_takes_access_away_is_detected_and_its_reverse_only_gives() {
        let user = r#""kind":"user","id":1,"username":"a","name":"A""#;
        let member = r#""kind":"member","project_id":1,"user_id":1"#;
        let key = format!(r#""kind":"key","id":1,"title":"t","key":"{KEY}","created_at":"2026-01-31T12:00:00Z""#);
        let project = r#""kind":"project","id":1,"namespace_id":1,"path":"a/b","name":"b","relative_path":"x""#;
        let snippet = r#""kind":"snippet","id":1,"author_id":1,"storage":"default","relative_path":"s""#;
        let settings = r#""kind":"settings""#;
        let late = r#","access_level":30,"expires_at":"2026-03-01T00:00:00Z""#;
        let soon = r#","access_level":30,"expires_at":"2026-02-01T00:00:00Z""#;
        for (base, more, less) in [
            (user, "", r#","state":"blocked""#),
            (user, r#","admin":true"#, ""),
            (user, "", r#","two_factor":true"#),
            (user, r#","ldap":true"#, ""),
            (member, r#","access_level":40"#, r#","access_level":30"#),
            (member, r#","access_level":30"#, late),
            (member, late, soon),
            (member, r#","access_level":30"#, r#","access_level":30,"pending":true"#),
            (&key, "", r#","expires_at":"2026-02-01T00:00:00Z""#),
            (r#""kind":"share","project_id":1,"with_namespace_id":2"#, r#","access_level":40"#, r#","access_level":10"#),
            (r#""kind":"deploy_grant","key_id":1,"project_id":2"#, r#","can_push":true"#, ""),
            (project, r#","visibility":"public""#, ""),
            (project, "", r#","repository_access":"disabled""#),
            (project, "", r#","repository_exists":false"#),
            (project, "", r#","lfs_enabled":false"#),
            (snippet, r#","visibility":"public""#, ""),
            (snippet, "", r#","repository_read_only":true"#),
            (settings, "", r#","ssh_enabled":false"#),
            (settings, "", r#","http_enabled":false"#),
            (settings, "", r#","two_factor_for_cli":true"#),
        ] {
            assert!(!only_gives(base, more, less), "{base}: {more} to {less}");
            assert!(only_gives(base, less, more), "{base}: {less} to {more}");
            assert!(only_gives(base, more, more), "{base}: nothing changed");
        }
    }

    #[test]
    fn a_change_of_a_field_that_the_table_does_not_name_never_only_gives() {
        let key = format!(r#""kind":"key","id":1,"title":"t","key":"{KEY}","created_at":"2026-01-31T12:00:00Z""#);
        let group = r#""kind":"namespace","id":3,"type":"group","path":"a","name":"a""#;
        let user = r#""kind":"user","id":1,"username":"a","name":"A""#;
        for (base, one, other) in [
            (key.as_str(), r#","user_id":1"#, r#","user_id":2"#),
            // A key for signing is nobody's, and nobody may read what is public.
            (key.as_str(), "", r#","usage":"signing""#),
            (group, r#","parent_id":1"#, r#","parent_id":2"#),
            (group, "", r#","allowed_ips":["10.0.0.0/8"]"#),
            (user, "", r#","bot":true"#),
            (user, "", r#","bot":true,"admin":true"#),
        ] {
            assert!(!only_gives(base, one, other) && !only_gives(base, other, one), "{base}: {one} {other}");
        }
    }

    proptest! {
        #[test]
        fn a_record_only_gives_what_it_gave_and_never_replaces_another_kind(
            one in record_strategy::record(),
            other in record_strategy::record(),
        ) {
            prop_assert!(only_gives_access(&one, &one));
            if one.kind() != other.kind() {
                prop_assert!(!only_gives_access(&one, &other));
            }
            // Only these kinds: each other one can stand in somebody's way.
            let gives = ["member", "share", "deploy_grant", "error_tracking_key", "key"].contains(&one.kind());
            prop_assert_eq!(only_gives_access_if_new(&one), gives);
        }
    }
}
