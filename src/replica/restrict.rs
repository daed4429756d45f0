//! Which puts take rights away. While the cursor is lost, only these and deletes bind at once: they are right whatever the
//! changes were that are missing here, and what gives rights waits for the snapshot.

use crate::model::level::{AccessLevel, FeatureAccess, KeyUsage, UserState, Visibility};
use crate::model::record::{DeployGrant, Key, Member, Namespace, Project, Record, Settings, Share, Snippet, User};
use crate::model::time::Time;

/// Whether putting `new` in the place of `old` takes something away.
#[must_use]
pub fn takes_away(old: &Record, new: &Record) -> bool {
    match (old, new) {
        (Record::Settings(old), Record::Settings(new)) => settings(old, new),
        (Record::User(old), Record::User(new)) => user(old, new),
        (Record::Namespace(old), Record::Namespace(new)) => namespace(old, new),
        (Record::Project(old), Record::Project(new)) => project(old, new),
        (Record::Snippet(old), Record::Snippet(new)) => snippet(old, new),
        (Record::Member(old), Record::Member(new)) => member(old, new),
        (Record::Share(old), Record::Share(new)) => share(old, new),
        (Record::DeployGrant(old), Record::DeployGrant(new)) => deploy_grant(old, new),
        (Record::Key(old), Record::Key(new)) => key(old, new),
        _ => false,
    }
}

fn settings(old: &Settings, new: &Settings) -> bool {
    falls(old.ssh_enabled, new.ssh_enabled)
        || rises(old.terms_required, new.terms_required)
        || rises(old.read_only, new.read_only)
        || rises(old.maintenance, new.maintenance)
        || old.key_rules != new.key_rules
}

fn user(old: &User, new: &User) -> bool {
    (old.state != new.state && !matches!(new.state, UserState::Active))
        || falls(old.admin, new.admin)
        || rises(old.external, new.external)
        || falls(old.terms_accepted, new.terms_accepted)
        || earlier(old.password_expires_at, new.password_expires_at)
}

fn namespace(old: &Namespace, new: &Namespace) -> bool {
    openness(new.visibility) < openness(old.visibility)
        || rises(old.archived, new.archived)
        || old.owner_id != new.owner_id
        || old.parent_id != new.parent_id
        || old.allowed_ips != new.allowed_ips
}

fn project(old: &Project, new: &Project) -> bool {
    openness(new.visibility) < openness(old.visibility)
        || reach(new.repository_access) < reach(old.repository_access)
        || reach(new.wiki_access) < reach(old.wiki_access)
        || rises(old.archived, new.archived)
        || rises(old.repository_read_only, new.repository_read_only)
        || old.namespace_id != new.namespace_id
}

fn snippet(old: &Snippet, new: &Snippet) -> bool {
    openness(new.visibility) < openness(old.visibility)
        || rises(old.repository_read_only, new.repository_read_only)
        || old.author_id != new.author_id
        || old.project_id != new.project_id
}

fn member(old: &Member, new: &Member) -> bool {
    lower(old.access_level, new.access_level) || earlier(old.expires_at, new.expires_at) || rises(old.pending, new.pending)
}

fn share(old: &Share, new: &Share) -> bool {
    lower(old.access_level, new.access_level) || earlier(old.expires_at, new.expires_at)
}

const fn deploy_grant(old: &DeployGrant, new: &DeployGrant) -> bool {
    falls(old.can_push, new.can_push)
}

fn key(old: &Key, new: &Key) -> bool {
    earlier(old.expires_at, new.expires_at)
        || (old.usage != new.usage && new.usage != KeyUsage::AuthAndSigning)
        || old.user_id != new.user_id
        || old.deploy != new.deploy
        || old.key != new.key
}

const fn falls(old: bool, new: bool) -> bool {
    old && !new
}

const fn rises(old: bool, new: bool) -> bool {
    !old && new
}

fn lower(old: AccessLevel, new: AccessLevel) -> bool {
    new < old
}

/// Whether something now ends that did not, or ends sooner.
fn earlier(old: Option<Time>, new: Option<Time>) -> bool {
    match (old, new) {
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
        (_, None) => false,
    }
}

const fn openness(visibility: Visibility) -> u8 {
    match visibility {
        Visibility::Private => 0,
        Visibility::Internal => 1,
        Visibility::Public => 2,
    }
}

const fn reach(access: FeatureAccess) -> u8 {
    match access {
        FeatureAccess::Disabled => 0,
        FeatureAccess::Private => 1,
        FeatureAccess::Enabled => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::takes_away;
    use crate::model::record::Record;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn taken(base: &str, old: &str, new: &str) -> bool {
        let read = |more: &str| Record::parse(&format!("{{{base}{more}}}")).unwrap();
        takes_away(&read(old), &read(new))
    }

    #[test]
    fn a_put_that_takes_rights_away_binds_and_its_reverse_does_not() {
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
            assert!(taken(base, more, less), "{base}: {more} to {less}");
            assert!(!taken(base, less, more), "{base}: {less} to {more}");
            assert!(!taken(base, more, more), "{base}: nothing changed");
        }
    }

    #[test]
    fn a_key_that_changes_hands_is_taken_from_its_owner() {
        let base = format!(r#""kind":"key","id":1,"title":"t","key":"{KEY}","created_at":"2026-01-31T12:00:00Z""#);
        assert!(taken(&base, r#","user_id":1"#, r#","user_id":2"#));
    }

    #[test]
    fn a_group_that_moves_is_taken_from_who_had_it_by_the_group_above() {
        let base = r#""kind":"namespace","id":3,"type":"group","path":"a","name":"a""#;
        assert!(taken(base, r#","parent_id":1"#, r#","parent_id":2"#));
    }
}
