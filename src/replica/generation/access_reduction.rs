//! Which puts take access away. While the cursor is lost, only these and deletes are applied: they are right whatever the changes
//! were that are missing here, and what grants access waits for the snapshot.

use crate::model::enums::{AccessLevel, FeatureAccess, KeyUsage, UserState, Visibility};
use crate::model::record::{DeployGrant, Key, Member, Namespace, Project, Record, Settings, Share, Snippet, User};
use crate::model::time::Time;

/// Returns whether replacing `old` with `new` takes any access away.
#[must_use]
pub fn reduces_access(old: &Record, new: &Record) -> bool {
    match (old, new) {
        (Record::Settings(old), Record::Settings(new)) => settings_reduced(old, new),
        (Record::User(old), Record::User(new)) => user_reduced(old, new),
        (Record::Namespace(old), Record::Namespace(new)) => namespace_reduced(old, new),
        (Record::Project(old), Record::Project(new)) => project_reduced(old, new),
        (Record::Snippet(old), Record::Snippet(new)) => snippet_reduced(old, new),
        (Record::Member(old), Record::Member(new)) => member_reduced(old, new),
        (Record::Share(old), Record::Share(new)) => share_reduced(old, new),
        (Record::DeployGrant(old), Record::DeployGrant(new)) => deploy_grant_reduced(old, new),
        (Record::Key(old), Record::Key(new)) => key_reduced(old, new),
        _ => false,
    }
}

fn settings_reduced(old: &Settings, new: &Settings) -> bool {
    turned_off(old.ssh_enabled, new.ssh_enabled)
        || turned_on(old.terms_required, new.terms_required)
        || turned_on(old.read_only, new.read_only)
        || turned_on(old.maintenance, new.maintenance)
        || old.key_rules != new.key_rules
}

fn user_reduced(old: &User, new: &User) -> bool {
    (old.state != new.state && !matches!(new.state, UserState::Active))
        || turned_off(old.admin, new.admin)
        || turned_on(old.external, new.external)
        || turned_off(old.terms_accepted, new.terms_accepted)
        || ends_earlier(old.password_expires_at, new.password_expires_at)
}

fn namespace_reduced(old: &Namespace, new: &Namespace) -> bool {
    visibility_rank(new.visibility) < visibility_rank(old.visibility)
        || turned_on(old.archived, new.archived)
        || old.owner_id != new.owner_id
        || old.parent_id != new.parent_id
        || old.allowed_ips != new.allowed_ips
}

fn project_reduced(old: &Project, new: &Project) -> bool {
    visibility_rank(new.visibility) < visibility_rank(old.visibility)
        || feature_access_rank(new.repository_access) < feature_access_rank(old.repository_access)
        || feature_access_rank(new.wiki_access) < feature_access_rank(old.wiki_access)
        || turned_on(old.archived, new.archived)
        || turned_on(old.repository_read_only, new.repository_read_only)
        || old.namespace_id != new.namespace_id
}

fn snippet_reduced(old: &Snippet, new: &Snippet) -> bool {
    visibility_rank(new.visibility) < visibility_rank(old.visibility)
        || turned_on(old.repository_read_only, new.repository_read_only)
        || old.author_id != new.author_id
        || old.project_id != new.project_id
}

fn member_reduced(old: &Member, new: &Member) -> bool {
    is_lower(old.access_level, new.access_level) || ends_earlier(old.expires_at, new.expires_at) || turned_on(old.pending, new.pending)
}

fn share_reduced(old: &Share, new: &Share) -> bool {
    is_lower(old.access_level, new.access_level) || ends_earlier(old.expires_at, new.expires_at)
}

const fn deploy_grant_reduced(old: &DeployGrant, new: &DeployGrant) -> bool {
    turned_off(old.can_push, new.can_push)
}

fn key_reduced(old: &Key, new: &Key) -> bool {
    ends_earlier(old.expires_at, new.expires_at)
        || (old.usage != new.usage && new.usage != KeyUsage::AuthAndSigning)
        || old.user_id != new.user_id
        || old.deploy != new.deploy
        || old.key != new.key
}

const fn turned_off(old: bool, new: bool) -> bool {
    old && !new
}

const fn turned_on(old: bool, new: bool) -> bool {
    !old && new
}

fn is_lower(old: AccessLevel, new: AccessLevel) -> bool {
    new < old
}

/// Returns whether an expiry was added, or is earlier than before.
fn ends_earlier(old: Option<Time>, new: Option<Time>) -> bool {
    match (old, new) {
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
        (_, None) => false,
    }
}

const fn visibility_rank(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Private => 0,
        Visibility::Internal => 1,
        Visibility::Public => 2,
    }
}

const fn feature_access_rank(access: FeatureAccess) -> u8 {
    match access {
        FeatureAccess::Disabled => 0,
        FeatureAccess::Private => 1,
        FeatureAccess::Enabled => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::reduces_access;
    use crate::model::record::Record;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn reduced(base: &str, old: &str, new: &str) -> bool {
        let read = |more: &str| Record::parse(&format!("{{{base}{more}}}")).unwrap();
        reduces_access(&read(old), &read(new))
    }

    #[test]
    fn a_put_that_reduces_access_is_detected_and_its_reverse_is_not() {
        let user = r#""kind":"user","id":1,"username":"a","name":"A""#;
        let member = r#""kind":"member","project_id":1,"user_id":1"#;
        let key = format!(r#""kind":"key","id":1,"title":"t","key":"{KEY}","created_at":"2026-01-31T12:00:00Z""#);
        let project = r#""kind":"project","id":1,"namespace_id":1,"path":"a/b","name":"b","relative_path":"x""#;
        let snippet = r#""kind":"snippet","id":1,"author_id":1,"storage":"default","relative_path":"s""#;
        let late = r#","access_level":30,"expires_at":"2026-03-01T00:00:00Z""#;
        let soon = r#","access_level":30,"expires_at":"2026-02-01T00:00:00Z""#;
        for (base, more, less) in [
            (user, "", r#","state":"blocked""#),
            (user, r#","admin":true"#, ""),
            (member, r#","access_level":40"#, r#","access_level":30"#),
            (member, r#","access_level":30"#, late),
            (member, late, soon),
            (member, r#","access_level":30"#, r#","access_level":30,"pending":true"#),
            (&key, "", r#","expires_at":"2026-02-01T00:00:00Z""#),
            (&key, "", r#","usage":"signing""#),
            (r#""kind":"share","project_id":1,"with_namespace_id":2"#, r#","access_level":40"#, r#","access_level":10"#),
            (r#""kind":"deploy_grant","key_id":1,"project_id":2"#, r#","can_push":true"#, ""),
            (project, r#","visibility":"public""#, ""),
            (project, "", r#","repository_access":"disabled""#),
            (snippet, r#","visibility":"public""#, ""),
            (snippet, "", r#","repository_read_only":true"#),
            (r#""kind":"settings""#, "", r#","ssh_enabled":false"#),
        ] {
            assert!(reduced(base, more, less), "{base}: {more} to {less}");
            assert!(!reduced(base, less, more), "{base}: {less} to {more}");
            assert!(!reduced(base, more, more), "{base}: nothing changed");
        }
    }

    #[test]
    fn a_key_that_changes_its_owner_reduces_access() {
        let base = format!(r#""kind":"key","id":1,"title":"t","key":"{KEY}","created_at":"2026-01-31T12:00:00Z""#);
        assert!(reduced(&base, r#","user_id":1"#, r#","user_id":2"#));
    }

    #[test]
    fn moving_a_group_reduces_access() {
        let base = r#""kind":"namespace","id":3,"type":"group","path":"a","name":"a""#;
        assert!(reduced(base, r#","parent_id":1"#, r#","parent_id":2"#));
    }
}
