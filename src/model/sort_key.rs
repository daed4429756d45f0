//! What names a record within its kind, as bytes that sort as a snapshot does: kinds in the order of the directory's
//! table, then kinds that are not known, keys last and by their fingerprint, all others by their key fields.

use sha2::{Digest as _, Sha256};

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::Record;

/// A record's place in the order of a snapshot, and its identity: two records with one `Place` are the same record.
///
/// A key stands by the SHA-256 of its blob, so a fingerprint that two keys would share is one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey(Vec<u8>);

impl SortKey {
    /// The place as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The place that these bytes are, as [`Place::bytes`] gave them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Where the settings stand.
    #[must_use]
    pub fn settings() -> Self {
        SortKeyBuilder::new(SETTINGS).0
    }

    /// Where a storage stands.
    #[must_use]
    pub fn storage(name: &str) -> Self {
        SortKeyBuilder::new(STORAGE).text(name).0
    }

    /// Where a user stands.
    #[must_use]
    pub fn user(id: Id) -> Self {
        SortKeyBuilder::new(USER).id(id).0
    }

    /// Where a namespace stands.
    #[must_use]
    pub fn namespace(id: Id) -> Self {
        SortKeyBuilder::new(NAMESPACE).id(id).0
    }

    /// What the places of all namespaces begin with.
    #[must_use]
    pub fn namespaces_prefix() -> Self {
        SortKeyBuilder::new(NAMESPACE).0
    }

    /// Where a project stands.
    #[must_use]
    pub fn project(id: Id) -> Self {
        SortKeyBuilder::new(PROJECT).id(id).0
    }

    /// Where a snippet stands.
    #[must_use]
    pub fn snippet(id: Id) -> Self {
        SortKeyBuilder::new(SNIPPET).id(id).0
    }

    /// What the places of all memberships in a container begin with.
    #[must_use]
    pub fn members_prefix(container: Container) -> Self {
        SortKeyBuilder::new(MEMBER).container(container).0
    }

    /// Where a user's membership in a container stands.
    #[must_use]
    pub fn member(container: Container, user: Id) -> Self {
        SortKeyBuilder(Self::members_prefix(container)).id(user).0
    }

    /// What the places of all shares of a container begin with.
    #[must_use]
    pub fn shares_prefix(container: Container) -> Self {
        SortKeyBuilder::new(SHARE).container(container).0
    }

    /// Where a share of a container with a group stands.
    #[must_use]
    pub fn share(container: Container, with: Id) -> Self {
        SortKeyBuilder(Self::shares_prefix(container)).id(with).0
    }

    /// Where what a deploy key may do in a project stands.
    #[must_use]
    pub fn deploy_grant(key: Id, project: Id) -> Self {
        SortKeyBuilder::new(DEPLOY_GRANT).id(key).id(project).0
    }

    /// What the places of all grants of a deploy key begin with.
    #[must_use]
    pub fn deploy_grants_prefix(key: Id) -> Self {
        SortKeyBuilder::new(DEPLOY_GRANT).id(key).0
    }

    /// Where a former path stands, whatever its ASCII case.
    #[must_use]
    pub fn redirect(from: &str) -> Self {
        SortKeyBuilder::new(REDIRECT).text(&from.to_ascii_lowercase()).0
    }

    /// What the places of all protected branches of a project begin with.
    #[must_use]
    pub fn protected_branches_prefix(project: Id) -> Self {
        SortKeyBuilder::new(PROTECTED_BRANCH).id(project).0
    }

    /// Where the protection of a pattern of branches stands.
    #[must_use]
    pub fn protected_branch(project: Id, pattern: &str) -> Self {
        SortKeyBuilder(Self::protected_branches_prefix(project)).text(pattern).0
    }

    /// What the places of all protected tags of a project begin with.
    #[must_use]
    pub fn protected_tags_prefix(project: Id) -> Self {
        SortKeyBuilder::new(PROTECTED_TAG).id(project).0
    }

    /// Where the protection of a pattern of tags stands.
    #[must_use]
    pub fn protected_tag(project: Id, pattern: &str) -> Self {
        SortKeyBuilder(Self::protected_tags_prefix(project)).text(pattern).0
    }

    /// Where an agent stands.
    #[must_use]
    pub fn agent(id: Id) -> Self {
        SortKeyBuilder::new(AGENT).id(id).0
    }

    /// Where a client key of a project's error tracking stands.
    #[must_use]
    pub fn error_tracking_key(project: Id, public_key: &str) -> Self {
        SortKeyBuilder::new(ERROR_TRACKING_KEY).id(project).text(public_key).0
    }

    /// Where a key stands.
    #[must_use]
    pub fn key(fingerprint: &Fingerprint) -> Self {
        SortKeyBuilder::new(KEY).bytes(&fingerprint.0).0
    }

    /// Where a record of a kind that is not known stands: by its `id` if it has one, else by all that is said of it.
    #[must_use]
    pub fn unknown_kind(kind: &str, id: Option<Id>, object: &str) -> Self {
        let kind = SortKeyBuilder::new(UNKNOWN_KIND).text(kind);
        match id {
            Some(id) => kind.bytes(&[0]).id(id).0,
            None => kind.bytes(&[1]).bytes(&Sha256::digest(object)).0,
        }
    }

    /// The fingerprint, if it is a key's place.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self.0.split_first() {
            Some((&KEY, fingerprint)) => fingerprint.try_into().ok().map(Fingerprint),
            _ => None,
        }
    }
}

// The kinds, in the order of the directory's table.
const SETTINGS: u8 = 0;
const STORAGE: u8 = 1;
const USER: u8 = 2;
const NAMESPACE: u8 = 3;
const PROJECT: u8 = 4;
const SNIPPET: u8 = 5;
const MEMBER: u8 = 6;
const SHARE: u8 = 7;
const DEPLOY_GRANT: u8 = 8;
const REDIRECT: u8 = 9;
const PROTECTED_BRANCH: u8 = 10;
const PROTECTED_TAG: u8 = 11;
const AGENT: u8 = 12;
const ERROR_TRACKING_KEY: u8 = 13;
/// Kinds that are not known, after all that are.
const UNKNOWN_KIND: u8 = 0xfe;
/// Keys are last, whatever kinds are added.
const KEY: u8 = 0xff;

impl Record {
    /// The word that the field `kind` says.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Storage(_) => "storage",
            Self::User(_) => "user",
            Self::Namespace(_) => "namespace",
            Self::Project(_) => "project",
            Self::Snippet(_) => "snippet",
            Self::Member(_) => "member",
            Self::Share(_) => "share",
            Self::DeployGrant(_) => "deploy_grant",
            Self::Redirect(_) => "redirect",
            Self::ProtectedBranch(_) => "protected_branch",
            Self::ProtectedTag(_) => "protected_tag",
            Self::Agent(_) => "agent",
            Self::ErrorTrackingKey(_) => "error_tracking_key",
            Self::Key(_) => "key",
        }
    }

    /// Where this record stands in a snapshot.
    #[must_use]
    pub fn sort_key(&self) -> SortKey {
        match self {
            Self::Settings(_) => SortKey::settings(),
            Self::Storage(storage) => SortKey::storage(&storage.name),
            Self::User(user) => SortKey::user(user.id),
            Self::Namespace(namespace) => SortKey::namespace(namespace.id),
            Self::Project(project) => SortKey::project(project.id),
            Self::Snippet(snippet) => SortKey::snippet(snippet.id),
            Self::Member(member) => {
                SortKeyBuilder::new(MEMBER).namespace_or_project(member.namespace_id, member.project_id).id(member.user_id).0
            }
            Self::Share(share) => {
                SortKeyBuilder::new(SHARE).namespace_or_project(share.namespace_id, share.project_id).id(share.with_namespace_id).0
            }
            Self::DeployGrant(grant) => SortKey::deploy_grant(grant.key_id, grant.project_id),
            Self::Redirect(redirect) => SortKey::redirect(&redirect.from),
            Self::ProtectedBranch(branch) => SortKey::protected_branch(branch.project_id, &branch.pattern),
            Self::ProtectedTag(tag) => SortKey::protected_tag(tag.project_id, &tag.pattern),
            Self::Agent(agent) => SortKey::agent(agent.id),
            Self::ErrorTrackingKey(key) => SortKey::error_tracking_key(key.project_id, &key.public_key),
            Self::Key(key) => SortKey::key(&key.key.fingerprint()),
        }
    }
}

/// A place being spelled. Text ends with a zero byte, which no [`crate::model::Text`] holds, so that a prefix sorts first.
struct SortKeyBuilder(SortKey);

impl SortKeyBuilder {
    fn new(kind: u8) -> Self {
        Self(SortKey(vec![kind]))
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.0.extend_from_slice(bytes);
        self
    }

    fn id(self, id: Id) -> Self {
        self.bytes(&id.bytes())
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes()).bytes(&[0])
    }

    fn container(self, container: Container) -> Self {
        match container {
            Container::Namespace(id) => self.namespace_or_project(Some(id), None),
            Container::Project(id) => self.namespace_or_project(None, Some(id)),
        }
    }

    fn namespace_or_project(self, namespace: Option<Id>, project: Option<Id>) -> Self {
        let self_with_tag = self.bytes(&[u8::from(namespace.is_none())]);
        match namespace.or(project) {
            Some(id) => self_with_tag.id(id),
            None => self_with_tag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SortKey;
    use crate::model::key::Fingerprint;
    use crate::model::record::Record;

    fn sort_key(line: &str) -> SortKey {
        Record::parse(line).unwrap().sort_key()
    }

    #[test]
    fn ids_sort_as_numbers_and_kinds_as_the_table() {
        let settings = sort_key(r#"{"kind":"settings"}"#);
        let ninth = sort_key(r#"{"kind":"user","id":9,"username":"a","name":"A"}"#);
        let tenth = sort_key(r#"{"kind":"user","id":10,"username":"b","name":"B"}"#);
        let member = sort_key(r#"{"kind":"member","namespace_id":1,"user_id":9,"access_level":10}"#);
        assert!(settings < ninth && ninth < tenth && tenth < member);
    }

    #[test]
    fn a_namespace_and_a_project_of_one_number_are_two_places() {
        let namespace = sort_key(r#"{"kind":"member","namespace_id":1,"user_id":9,"access_level":10}"#);
        let project = sort_key(r#"{"kind":"member","project_id":1,"user_id":9,"access_level":10}"#);
        assert_ne!(namespace, project);
    }

    #[test]
    fn an_unknown_kind_stands_after_those_known_and_before_keys() {
        let id = "7".parse().unwrap();
        let robot = SortKey::unknown_kind("robot", Some(id), "");
        assert!(SortKey::error_tracking_key(id, "z") < robot && robot < SortKey::key(&Fingerprint([0; 32])));
        assert_ne!(robot, SortKey::unknown_kind("robot", None, r#"{"kind":"robot"}"#));
        assert_ne!(robot, SortKey::unknown_kind("robo", Some(id), ""));
    }
}
