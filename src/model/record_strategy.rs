//! Random records of every kind, for tests of printing, parsing and storing.

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::enums::{AccessLevel, FeatureAccess, KeyUsage, NamespaceType, ProjectCreation, Protection, UserState, Visibility};
use crate::model::id::Id;
use crate::model::key::{KEY_TYPES, PublicKey};
use crate::model::record::{
    Agent, DeployGrant, ErrorTrackingKey, Forbidden, Key, KeyRule, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Record,
    Redirect, Settings, Share, Snippet, Storage, User,
};
use crate::model::record_kinds::record_kinds;
use crate::model::text::Text;
use crate::model::time::Time;

/// A kind of which records can be made at random.
trait Generate: Sized {
    fn strategy() -> BoxedStrategy<Self>;
}

macro_rules! generate_by {
    ($($kind:ident: $strategy:expr;)*) => {$(
        impl Generate for $kind {
            fn strategy() -> BoxedStrategy<Self> {
                $strategy.boxed()
            }
        }
    )*};
}

generate_by! {
    Settings: settings();
    Storage: storage();
    User: user();
    Namespace: namespace();
    Project: project();
    Snippet: snippet();
    Member: member();
    Share: share();
    DeployGrant: (id(), id(), any::<bool>()).prop_map(|(key_id, project_id, can_push)| Self { key_id, project_id, can_push });
    Redirect: (text(), id()).prop_map(|(from, project_id)| Self { from, project_id });
    ProtectedBranch: protected_branch();
    ProtectedTag: (id(), text(), protection()).prop_map(|(project_id, pattern, create)| Self { project_id, pattern, create });
    Agent: agent();
    ErrorTrackingKey: (id(), text(), any::<bool>()).prop_map(|(project_id, public_key, active)| Self { project_id, public_key, active });
    Key: key();
}

macro_rules! any_record {
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt gives $gives:tt)* ; $key:ident $($key_line:tt)*) => {
        /// Generates a record of any kind.
        pub fn record() -> impl Strategy<Value = Record> {
            prop_oneof![$($kind::strategy().prop_map(Record::$kind),)* $key::strategy().prop_map(Record::$key)]
        }
    };
}

record_kinds!(any_record);

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![1..=9_u64, 1..=i64::MAX as u64].prop_map(|number| Id::try_from(number).unwrap())
}

fn text() -> impl Strategy<Value = Text> {
    let any_text = any::<String>().prop_map(|text| text.chars().filter(|letter| !letter.is_ascii_control()).collect());
    let words = select(vec!["", "main", "default", "localhost", "a/b", "\"\\/", "Zoë", "\u{2028}"]).prop_map(str::to_owned);
    prop_oneof![any_text, words].prop_map(|text: String| Text::try_from(text).unwrap())
}

fn key_type() -> impl Strategy<Value = Text> {
    select(KEY_TYPES.to_vec()).prop_map(|word| Text::try_from(word).unwrap())
}

fn time() -> impl Strategy<Value = Time> {
    (0..=Time::LAST.milliseconds()).prop_map(|time| Time::from_milliseconds(time).unwrap())
}

fn public_key() -> impl Strategy<Value = PublicKey> {
    any::<[u8; 32]>().prop_map(|point| {
        use base64::Engine as _;
        let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &point].concat();
        format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob)).parse().unwrap()
    })
}

fn visibility() -> impl Strategy<Value = Visibility> {
    select(vec![Visibility::Private, Visibility::Internal, Visibility::Public])
}

fn protection() -> impl Strategy<Value = Protection> {
    select(vec![Protection::Maintainer, Protection::Noone, Protection::Developer])
}

fn access_level() -> impl Strategy<Value = AccessLevel> {
    use AccessLevel::{Developer, Guest, Maintainer, Owner, Planner, Reporter};
    select(vec![Guest, Planner, Reporter, Developer, Maintainer, Owner])
}

fn feature_access() -> impl Strategy<Value = FeatureAccess> {
    select(vec![FeatureAccess::Enabled, FeatureAccess::Private, FeatureAccess::Disabled])
}

/// A namespace or a project, in that order.
fn container_ids() -> impl Strategy<Value = (Option<Id>, Option<Id>)> {
    (id(), any::<bool>()).prop_map(|(id, namespace)| if namespace { (Some(id), None) } else { (None, Some(id)) })
}

prop_compose! {
    fn settings()(
        host in text(), web_url in text(), ssh_enabled in any::<bool>(), http_enabled in any::<bool>(), receive_max_input_size_mib in 0..3_u32,
        terms_required in any::<bool>(), read_only in any::<bool>(), maintenance in any::<bool>(),
        key_rules in btree_map(key_type(), prop_oneof![Just(KeyRule::Forbidden(Forbidden::Forbidden)), any::<u32>().prop_map(KeyRule::Bits)], 0..3),
        operations_per_minute in prop_oneof![Just(600), any::<u32>()],
    )(
        two_factor_for_cli in any::<bool>(), error_tracking in any::<bool>(), saas in any::<bool>(), token_lifetime_days in prop_oneof![Just(365), any::<u32>()],
        host in Just(host), web_url in Just(web_url), ssh_enabled in Just(ssh_enabled), http_enabled in Just(http_enabled),
        rest in Just((receive_max_input_size_mib, terms_required, read_only, maintenance, key_rules, operations_per_minute)),
    ) -> Settings {
        let (receive_max_input_size_mib, terms_required, read_only, maintenance, key_rules, operations_per_minute) = rest;
        Settings {
            host, web_url, ssh_enabled, http_enabled, receive_max_input_size_mib, terms_required, read_only, maintenance, key_rules,
            operations_per_minute, two_factor_for_cli, error_tracking, saas, token_lifetime_days,
        }
    }
}

prop_compose! {
    fn storage()(name in text(), address in text(), token in text(), features in btree_map(text(), any::<bool>(), 0..3)) -> Storage {
        Storage { name, address, token, features }
    }
}

fn user_state() -> impl Strategy<Value = UserState> {
    use UserState::{Active, Banned, Blocked, Deactivated, Internal, PendingApproval, Unconfirmed};
    select(vec![Active, Blocked, PendingApproval, Deactivated, Banned, Unconfirmed, Internal])
}

prop_compose! {
    fn user()(
        id in id(), username in text(), name in text(), state in user_state(), flags in any::<[bool; 6]>(),
        password_expires_at in of(time()), projects_limit in prop_oneof![Just(100_000), any::<u32>()],
    ) -> User {
        let [admin, external, bot, two_factor, terms_accepted, ldap] = flags;
        User {
            id, username, name, state, admin, external, bot, two_factor, terms_accepted, password_expires_at, ldap, projects_limit,
        }
    }
}

prop_compose! {
    fn namespace()(
        id in id(), namespace_type in select(vec![NamespaceType::User, NamespaceType::Group]), path in text(), name in text(),
        parent_id in of(id()), owner_id in of(id()), visibility in visibility(),
        project_creation in select(vec![ProjectCreation::Developer, ProjectCreation::Maintainer, ProjectCreation::Owner, ProjectCreation::Noone]),
        archived in any::<bool>(), allowed_ips in vec(text(), 0..3),
    ) -> Namespace {
        Namespace { id, namespace_type, path, name, parent_id, owner_id, visibility, project_creation, archived, allowed_ips }
    }
}

prop_compose! {
    fn project()(
        id in id(), namespace_id in id(), path in text(), name in text(), visibility in visibility(),
        repository_access in feature_access(), wiki_access in feature_access(), flags in any::<[bool; 6]>(),
        default_branch in text(), storage in text(), relative_path in text(), print_merge_request_link in any::<bool>(),
    ) -> Project {
        let [archived, repository_read_only, repository_exists, wiki_repository_exists, lfs_enabled, _] = flags;
        Project {
            id, namespace_id, path, name, visibility, repository_access, wiki_access, archived, repository_read_only,
            repository_exists, wiki_repository_exists, lfs_enabled, print_merge_request_link, default_branch, storage, relative_path,
        }
    }
}

prop_compose! {
    fn snippet()(
        id in id(), project_id in of(id()), author_id in id(), visibility in visibility(), repository_exists in any::<bool>(),
        repository_read_only in any::<bool>(), storage in text(), relative_path in text(),
    ) -> Snippet {
        Snippet { id, project_id, author_id, visibility, repository_exists, repository_read_only, storage, relative_path }
    }
}

prop_compose! {
    fn member()(
        (namespace_id, project_id) in container_ids(), user_id in id(), access_level in access_level(), expires_at in of(time()), pending in any::<bool>(),
    ) -> Member {
        Member { namespace_id, project_id, user_id, access_level, expires_at, pending }
    }
}

prop_compose! {
    fn share()(
        (namespace_id, project_id) in container_ids(), with_namespace_id in id(), access_level in access_level(), expires_at in of(time()),
    ) -> Share {
        Share { project_id, namespace_id, with_namespace_id, access_level, expires_at }
    }
}

prop_compose! {
    fn protected_branch()(
        project_id in id(), pattern in text(), push in protection(), merge in protection(), allow_force_push in any::<bool>(),
    ) -> ProtectedBranch {
        ProtectedBranch { project_id, pattern, push, merge, allow_force_push }
    }
}

prop_compose! {
    fn agent()(id in id(), name in text(), project_id in id(), hash in any::<[u8; 32]>()) -> Agent {
        let token_sha256 = Text::try_from(hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()).unwrap();
        Agent { id, name, project_id, token_sha256 }
    }
}

prop_compose! {
    fn key()(
        id in id(), user_id in of(id()), title in text(), key in public_key(),
        usage in select(vec![KeyUsage::AuthAndSigning, KeyUsage::Auth, KeyUsage::Signing]), deploy in any::<bool>(), created_at in time(),
        expires_at in of(time()),
    ) -> Key {
        Key { id, user_id, title, key, usage, deploy, created_at, expires_at }
    }
}
