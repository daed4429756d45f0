//! What names a record within its kind, as bytes that sort as a snapshot does: kinds in the order of the directory's
//! table, keys last and by their fingerprint, all others by their key fields.

use crate::model::id::Id;
use crate::model::record::Record;

/// A record's place in the order of a snapshot, and its identity: two records with one `Place` are the same record.
///
/// A key stands by the SHA-256 of its blob, so a fingerprint that two keys would share is one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(Vec<u8>);

impl Place {
    /// The place as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

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
    pub fn place(&self) -> Place {
        match self {
            Self::Settings(_) => Spelling::of(0),
            Self::Storage(storage) => Spelling::of(1).text(&storage.name),
            Self::User(user) => Spelling::of(2).id(user.id),
            Self::Namespace(namespace) => Spelling::of(3).id(namespace.id),
            Self::Project(project) => Spelling::of(4).id(project.id),
            Self::Snippet(snippet) => Spelling::of(5).id(snippet.id),
            Self::Member(member) => Spelling::of(6).either(member.namespace_id, member.project_id).id(member.user_id),
            Self::Share(share) => Spelling::of(7).either(share.namespace_id, share.project_id).id(share.with_namespace_id),
            Self::DeployGrant(grant) => Spelling::of(8).id(grant.key_id).id(grant.project_id),
            Self::Redirect(redirect) => Spelling::of(9).text(&redirect.from.to_ascii_lowercase()),
            Self::ProtectedBranch(branch) => Spelling::of(10).id(branch.project_id).text(&branch.pattern),
            Self::ProtectedTag(tag) => Spelling::of(11).id(tag.project_id).text(&tag.pattern),
            Self::Agent(agent) => Spelling::of(12).id(agent.id),
            Self::ErrorTrackingKey(key) => Spelling::of(13).id(key.project_id).text(&key.public_key),
            Self::Key(key) => Spelling::of(14).raw(&key.key.fingerprint().0),
        }
        .0
    }
}

/// A place being spelled. Text ends with a zero byte, which no [`crate::model::Text`] holds, so that a prefix sorts first.
struct Spelling(Place);

impl Spelling {
    fn of(kind: u8) -> Self {
        Self(Place(vec![kind]))
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.0.extend_from_slice(bytes);
        self
    }

    fn id(self, id: Id) -> Self {
        self.raw(&id.bytes())
    }

    fn text(self, text: &str) -> Self {
        self.raw(text.as_bytes()).raw(&[0])
    }

    fn either(self, namespace: Option<Id>, project: Option<Id>) -> Self {
        let self_with_tag = self.raw(&[u8::from(namespace.is_none())]);
        match namespace.or(project) {
            Some(id) => self_with_tag.id(id),
            None => self_with_tag,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::record::Record;

    fn place(line: &str) -> super::Place {
        Record::parse(line).unwrap().place()
    }

    #[test]
    fn ids_sort_as_numbers_and_kinds_as_the_table() {
        let settings = place(r#"{"kind":"settings"}"#);
        let ninth = place(r#"{"kind":"user","id":9,"username":"a","name":"A"}"#);
        let tenth = place(r#"{"kind":"user","id":10,"username":"b","name":"B"}"#);
        let member = place(r#"{"kind":"member","namespace_id":1,"user_id":9,"access_level":10}"#);
        assert!(settings < ninth && ninth < tenth && tenth < member);
    }

    #[test]
    fn a_namespace_and_a_project_of_one_number_are_two_places() {
        let namespace = place(r#"{"kind":"member","namespace_id":1,"user_id":9,"access_level":10}"#);
        let project = place(r#"{"kind":"member","project_id":1,"user_id":9,"access_level":10}"#);
        assert_ne!(namespace, project);
    }
}
