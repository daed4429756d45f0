//! What deciding needs to read of a directory, whoever keeps it: the primary's store, a sidecar's, a table in a test.

use std::sync::Arc;

use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{
    DeployGrant, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Settings, Share, Snippet, Storage, User,
};

/// A directory could not be read: its store is damaged or away. Never the same as "there is none".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory cannot be read: {0}")]
pub struct DirectoryError(pub String);

/// One answer out of a directory: the record, none, or the fault that kept it from being read.
pub type LookupResult<T> = Result<Option<Arc<T>>, DirectoryError>;

/// A namespace or a project: where a membership or a share stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// A person's namespace or a group.
    Namespace(Id),
    /// A project.
    Project(Id),
}

/// Reading a directory. Usernames and paths are found whatever their ASCII case.
pub trait Directory {
    /// The settings; their defaults where the directory has none.
    fn settings(&self) -> Result<Arc<Settings>, DirectoryError>;
    /// Where a Gitaly is.
    fn storage(&self, name: &str) -> LookupResult<Storage>;
    /// A user by id.
    fn user(&self, id: Id) -> LookupResult<User>;
    /// A user by username.
    fn user_by_username(&self, username: &str) -> LookupResult<User>;
    /// A key by id.
    fn key(&self, id: Id) -> LookupResult<Key>;
    /// A key by the SHA-256 of its blob.
    fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> LookupResult<Key>;
    /// A namespace by id.
    fn namespace(&self, id: Id) -> LookupResult<Namespace>;
    /// A namespace by its full path.
    fn namespace_by_path(&self, path: &str) -> LookupResult<Namespace>;
    /// A project by id.
    fn project(&self, id: Id) -> LookupResult<Project>;
    /// A project by its full path, not by a path that it had before.
    fn project_by_path(&self, path: &str) -> LookupResult<Project>;
    /// The project that a former path leads to.
    fn project_by_former_path(&self, path: &str) -> LookupResult<Project>;
    /// A snippet by id.
    fn snippet(&self, id: Id) -> LookupResult<Snippet>;
    /// A user's own membership in one container, whatever its state.
    fn member(&self, container: Container, user: Id) -> LookupResult<Member>;
    /// The groups that one container is shared with.
    fn shares(&self, container: Container) -> Result<Vec<Arc<Share>>, DirectoryError>;
    /// What a deploy key may do in a project.
    fn deploy_grant(&self, key: Id, project: Id) -> LookupResult<DeployGrant>;
    /// The patterns that protect a project's branches.
    fn protected_branches(&self, project: Id) -> Result<Vec<Arc<ProtectedBranch>>, DirectoryError>;
    /// The patterns that protect a project's tags.
    fn protected_tags(&self, project: Id) -> Result<Vec<Arc<ProtectedTag>>, DirectoryError>;
    /// How many projects stand directly in a namespace. Asked only when its owner's push would make another.
    fn count_projects_in(&self, namespace: Id) -> Result<u64, DirectoryError>;
}
