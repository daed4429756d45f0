//! The sort key of a record: bytes that name it and sort as a snapshot does. Kinds come in the order of `model/record_kinds.rs`, then
//! unknown kinds, then keys by their fingerprint; within a kind records are sorted by their key fields.

use sha2::{Digest as _, Sha256};

use crate::model::directory::Container;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{self, Record};
use crate::model::record_kinds::record_kinds;

/// A record's place in the order of a snapshot, and its identity: two records with one sort key are the same record.
///
/// A key is sorted by the SHA-256 of its blob, so two keys of one fingerprint have one sort key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey(Vec<u8>);

impl SortKey {
    /// Returns the bytes of the sort key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the sort key of these bytes, which [`Self::as_bytes`] returned before.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the sort key of the settings.
    #[must_use]
    pub fn settings() -> Self {
        SortKeyBuilder::new(KindNumber::Settings).finish()
    }

    /// Returns the sort key of a storage.
    #[must_use]
    pub fn storage(name: &str) -> Self {
        SortKeyBuilder::new(KindNumber::Storage).text(name).finish()
    }

    /// Returns the sort key of a user.
    #[must_use]
    pub fn user(id: Id) -> Self {
        SortKeyBuilder::new(KindNumber::User).id(id).finish()
    }

    /// Returns the sort key of a namespace.
    #[must_use]
    pub fn namespace(id: Id) -> Self {
        SortKeyBuilder::new(KindNumber::Namespace).id(id).finish()
    }

    /// Returns the prefix of the sort keys of all namespaces.
    #[must_use]
    pub fn namespaces_prefix() -> Self {
        SortKeyBuilder::new(KindNumber::Namespace).finish()
    }

    /// Returns the sort key of a project.
    #[must_use]
    pub fn project(id: Id) -> Self {
        SortKeyBuilder::new(KindNumber::Project).id(id).finish()
    }

    /// Returns the prefix of the sort keys of all projects.
    #[must_use]
    pub fn projects_prefix() -> Self {
        SortKeyBuilder::new(KindNumber::Project).finish()
    }

    /// Returns the prefix of the sort keys of all snippets.
    #[must_use]
    pub fn snippets_prefix() -> Self {
        SortKeyBuilder::new(KindNumber::Snippet).finish()
    }

    /// Returns the prefix of the sort keys of all former paths.
    #[must_use]
    pub fn redirects_prefix() -> Self {
        SortKeyBuilder::new(KindNumber::Redirect).finish()
    }

    /// Returns the prefix of the sort keys of all keys.
    #[must_use]
    pub fn keys_prefix() -> Self {
        SortKeyBuilder::new(KindNumber::Key).finish()
    }

    /// Returns the sort key of a snippet.
    #[must_use]
    pub fn snippet(id: Id) -> Self {
        SortKeyBuilder::new(KindNumber::Snippet).id(id).finish()
    }

    /// Returns the prefix of the sort keys of all memberships in a container.
    #[must_use]
    pub fn members_prefix(container: Container) -> Self {
        SortKeyBuilder::new(KindNumber::Member).container(container).finish()
    }

    /// Returns the sort key of a user's membership in a container.
    #[must_use]
    pub fn member(container: Container, user: Id) -> Self {
        SortKeyBuilder(Self::members_prefix(container)).id(user).finish()
    }

    /// Returns the prefix of the sort keys of all shares of a container.
    #[must_use]
    pub fn shares_prefix(container: Container) -> Self {
        SortKeyBuilder::new(KindNumber::Share).container(container).finish()
    }

    /// Returns the sort key of a share of a container with a group.
    #[must_use]
    pub fn share(container: Container, with: Id) -> Self {
        SortKeyBuilder(Self::shares_prefix(container)).id(with).finish()
    }

    /// Returns the sort key of the grant of a deploy key in a project.
    #[must_use]
    pub fn deploy_grant(key: Id, project: Id) -> Self {
        SortKeyBuilder::new(KindNumber::DeployGrant).id(key).id(project).finish()
    }

    /// Returns the prefix of the sort keys of all grants of a deploy key.
    #[must_use]
    pub fn deploy_grants_prefix(key: Id) -> Self {
        SortKeyBuilder::new(KindNumber::DeployGrant).id(key).finish()
    }

    /// Returns the sort key of a former path, whatever its ASCII case.
    #[must_use]
    pub fn redirect(from: &str) -> Self {
        SortKeyBuilder::new(KindNumber::Redirect).text_ignoring_case(from).finish()
    }

    /// Returns the prefix of the sort keys of all protected branches of a project.
    #[must_use]
    pub fn protected_branches_prefix(project: Id) -> Self {
        SortKeyBuilder::new(KindNumber::ProtectedBranch).id(project).finish()
    }

    /// Returns the sort key of the protection of a pattern of branches.
    #[must_use]
    pub fn protected_branch(project: Id, pattern: &str) -> Self {
        SortKeyBuilder(Self::protected_branches_prefix(project)).text(pattern).finish()
    }

    /// Returns the prefix of the sort keys of all protected tags of a project.
    #[must_use]
    pub fn protected_tags_prefix(project: Id) -> Self {
        SortKeyBuilder::new(KindNumber::ProtectedTag).id(project).finish()
    }

    /// Returns the sort key of the protection of a pattern of tags.
    #[must_use]
    pub fn protected_tag(project: Id, pattern: &str) -> Self {
        SortKeyBuilder(Self::protected_tags_prefix(project)).text(pattern).finish()
    }

    /// Returns the sort key of an agent.
    #[must_use]
    pub fn agent(id: Id) -> Self {
        SortKeyBuilder::new(KindNumber::Agent).id(id).finish()
    }

    /// Returns the sort key of a client key of a project's error tracking.
    #[must_use]
    pub fn error_tracking_key(project: Id, public_key: &str) -> Self {
        SortKeyBuilder::new(KindNumber::ErrorTrackingKey).id(project).text(public_key).finish()
    }

    /// Returns the sort key of a key.
    #[must_use]
    pub fn key(fingerprint: &Fingerprint) -> Self {
        SortKeyBuilder::new(KindNumber::Key).bytes(&fingerprint.0).finish()
    }

    /// Returns the sort key of a record of an unknown kind: by its `id` if it has one, else by the whole object.
    #[must_use]
    pub fn unknown_kind(kind: &str, id: Option<Id>, object: &str) -> Self {
        let kind = SortKeyBuilder::new(KindNumber::UnknownKind).text(kind);
        match id {
            Some(id) => kind.bytes(&[0]).id(id).finish(),
            None => kind.bytes(&[1]).bytes(&Sha256::digest(object)).finish(),
        }
    }

    /// Returns the fingerprint if this is the sort key of a key.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match self.0.split_first() {
            Some((&number, fingerprint)) if number == KindNumber::Key as u8 => fingerprint.try_into().ok().map(Fingerprint),
            _ => None,
        }
    }
}

macro_rules! generate_sort_keys {
    ($($kind:ident $name:literal $number:literal { $($field:ident: $field_type:ty),* } => { $($method:ident($($argument:expr),*))* } gives $gives:tt)*
     ; $key:ident $key_name:literal $key_number:literal $key_fields:tt gives $key_gives:tt) => {
        /// The number of each kind in sort keys.
        #[derive(Clone, Copy)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is described at its struct")]
        pub enum KindNumber {
            $($kind = $number,)*
            /// Unknown kinds come after all known ones.
            UnknownKind = 0xfe,
            $key = $key_number,
        }

        impl Record {
            /// Returns the sort key of this record.
            #[must_use]
            pub fn sort_key(&self) -> SortKey {
                match self {
                    $(Self::$kind(record::$kind { $($field,)* .. }) =>
                        SortKeyBuilder::new(KindNumber::$kind)$(.$method($($argument),*))*.finish(),)*
                    Self::$key(key) => SortKey::key(&key.key.fingerprint()),
                }
            }
        }
    };
}

record_kinds!(generate_sort_keys);

/// Builds a sort key out of key fields. Text ends with a zero byte, which no [`crate::model::text::Text`] holds, so that a prefix sorts
/// first.
pub struct SortKeyBuilder(SortKey);

impl SortKeyBuilder {
    /// Begins the sort key of a record of this kind.
    #[must_use]
    pub fn new(kind: KindNumber) -> Self {
        Self(SortKey(vec![kind as u8]))
    }

    /// Returns the sort key.
    #[must_use]
    pub fn finish(self) -> SortKey {
        self.0
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.0.extend_from_slice(bytes);
        self
    }

    /// Appends an id: 8 bytes, big-endian.
    #[must_use]
    pub fn id(self, id: Id) -> Self {
        self.bytes(&id.bytes())
    }

    /// Appends text and a zero byte.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes()).bytes(&[0])
    }

    /// Appends text in lower-case ASCII and a zero byte.
    #[must_use]
    pub fn text_ignoring_case(self, text: &str) -> Self {
        self.text(&text.to_ascii_lowercase())
    }

    fn container(self, container: Container) -> Self {
        match container {
            Container::Namespace(id) => self.namespace_or_project(Some(id), None),
            Container::Project(id) => self.namespace_or_project(None, Some(id)),
        }
    }

    /// Appends which of the two it is (0: a namespace, 1: a project), and its id.
    #[must_use]
    pub fn namespace_or_project(self, namespace: Option<Id>, project: Option<Id>) -> Self {
        let tagged = self.bytes(&[u8::from(namespace.is_none())]);
        match namespace.or(project) {
            Some(id) => tagged.id(id),
            None => tagged,
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
    fn the_bytes_are_those_that_every_store_holds() {
        let id = |number: u8| [0, 0, 0, 0, 0, 0, 0, number];
        let share = sort_key(r#"{"kind":"share","project_id":2,"with_namespace_id":3,"access_level":30}"#);
        assert_eq!(share.as_bytes(), [&[7, 1][..], &id(2), &id(3)].concat());
        let member = sort_key(r#"{"kind":"member","namespace_id":1,"user_id":9,"access_level":10}"#);
        assert_eq!(member.as_bytes(), [&[6, 0][..], &id(1), &id(9)].concat());
        assert_eq!(sort_key(r#"{"kind":"redirect","from":"Old/A","project_id":1}"#).as_bytes(), b"\x09old/a\0");
        assert_eq!(SortKey::unknown_kind("robot", "7".parse().ok(), "").as_bytes(), [&b"\xferobot\0\0"[..], &id(7)].concat());
        assert_eq!(SortKey::key(&Fingerprint([1; 32])).as_bytes(), [&[0xff][..], &[1; 32]].concat());
    }

    #[test]
    fn memberships_of_a_namespace_and_a_project_of_one_id_differ() {
        let namespace = sort_key(r#"{"kind":"member","namespace_id":1,"user_id":9,"access_level":10}"#);
        let project = sort_key(r#"{"kind":"member","project_id":1,"user_id":9,"access_level":10}"#);
        assert_ne!(namespace, project);
    }

    #[test]
    fn an_unknown_kind_sorts_after_known_ones_and_before_keys() {
        let id = "7".parse().unwrap();
        let robot = SortKey::unknown_kind("robot", Some(id), "");
        assert!(SortKey::error_tracking_key(id, "z") < robot && robot < SortKey::key(&Fingerprint([0; 32])));
        assert_ne!(robot, SortKey::unknown_kind("robot", None, r#"{"kind":"robot"}"#));
        assert_ne!(robot, SortKey::unknown_kind("robo", Some(id), ""));
    }
}
