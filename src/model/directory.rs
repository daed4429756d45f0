//! The trait by which the rules read a directory: the primary's store, a sidecar's store, or a table in a test.

use std::sync::Arc;

use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{
    DeployGrant, Key, Member, Namespace, Project, ProtectedBranch, ProtectedTag, Settings, Share, Snippet, Storage, User,
};
use crate::model::repository_place::RepositoryPlace;

/// The directory could not be read: its store is damaged or unavailable. This never means that a record does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory cannot be read: {0}")]
pub struct DirectoryError(pub String);

/// The result of a lookup: the record, none, or the error that kept it from being read.
pub type LookupResult<T> = Result<Option<Arc<T>>, DirectoryError>;

/// The namespace or project that a membership or a share belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// A person's namespace or a group.
    Namespace(Id),
    /// A project.
    Project(Id),
}

/// So often several records are read again when changes come in between.
const MAX_READS: usize = 100;

/// Reads several records as they were at one moment: again, if a change came in between. Without that a decision could rest on a membership
/// from before a commit and a project from after it, and be right in neither.
pub fn read_at_one_moment<T>(directory: &dyn Directory, read: impl FnMut() -> Result<T, DirectoryError>) -> Result<T, DirectoryError> {
    read_between_changes(|| directory.version(), read)
}

fn read_between_changes<T>(
    version: impl Fn() -> Option<u64>,
    mut read: impl FnMut() -> Result<T, DirectoryError>,
) -> Result<T, DirectoryError> {
    for _ in 0..MAX_READS {
        let before = version();
        let found = read()?;
        if before.is_some() && version() == before {
            return Ok(found);
        }
        std::thread::yield_now();
    }
    Err(DirectoryError("it changed each time while it was read".to_owned()))
}

/// Reads a directory. Usernames and paths are matched without regard to ASCII case. A record with a field that breaks its grammar is not
/// found, whatever it is looked up by ([`crate::model::record_grammar::is_answerable`]).
pub trait Directory {
    /// Returns a number that is another after each change that can be read; `None` while one is being written.
    fn version(&self) -> Option<u64>;
    /// Returns the settings; the defaults if the directory has none.
    fn settings(&self) -> Result<Arc<Settings>, DirectoryError>;
    /// Finds a storage by its name.
    fn storage(&self, name: &str) -> LookupResult<Storage>;
    /// Finds a user by id.
    fn user(&self, id: Id) -> LookupResult<User>;
    /// Finds a user by username.
    fn user_by_username(&self, username: &str) -> LookupResult<User>;
    /// Finds a key by id.
    fn key(&self, id: Id) -> LookupResult<Key>;
    /// Finds a key by the SHA-256 of its blob.
    fn key_by_fingerprint(&self, fingerprint: &Fingerprint) -> LookupResult<Key>;
    /// Finds a namespace by id.
    fn namespace(&self, id: Id) -> LookupResult<Namespace>;
    /// Finds a namespace by its full path.
    fn namespace_by_path(&self, path: &str) -> LookupResult<Namespace>;
    /// Finds a project by id.
    fn project(&self, id: Id) -> LookupResult<Project>;
    /// Finds a project by its current full path.
    fn project_by_path(&self, path: &str) -> LookupResult<Project>;
    /// Finds the project that a former path redirects to.
    fn project_by_former_path(&self, path: &str) -> LookupResult<Project>;
    /// Finds a snippet by id.
    fn snippet(&self, id: Id) -> LookupResult<Snippet>;
    /// Returns whether another record leads to a repository of this place: then neither may be answered.
    fn is_shared_repository(&self, place: &RepositoryPlace<'_>) -> Result<bool, DirectoryError>;
    /// Returns whether a namespace or project with this path is stored and not found, because a field of it breaks its grammar: then nothing
    /// is created there. Called only where a push would create a project.
    fn is_path_unanswered(&self, path: &str) -> Result<bool, DirectoryError>;
    /// Finds a user's direct membership in a container, whatever its state.
    fn member(&self, container: Container, user: Id) -> LookupResult<Member>;
    /// Returns the shares of a container with groups.
    fn shares(&self, container: Container) -> Result<Vec<Arc<Share>>, DirectoryError>;
    /// Finds the grant of a deploy key in a project.
    fn deploy_grant(&self, key: Id, project: Id) -> LookupResult<DeployGrant>;
    /// Returns the protected branches of a project.
    fn protected_branches(&self, project: Id) -> Result<Vec<Arc<ProtectedBranch>>, DirectoryError>;
    /// Returns the protected tags of a project.
    fn protected_tags(&self, project: Id) -> Result<Vec<Arc<ProtectedTag>>, DirectoryError>;
    /// Returns the number of projects directly in a namespace. Called only when its owner's push would create another.
    fn count_projects_in(&self, namespace: Id) -> Result<u64, DirectoryError>;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{MAX_READS, read_between_changes};

    #[test]
    fn what_is_read_while_a_change_comes_is_read_again() {
        // The version at each look: read between the first two, and so on.
        for (versions, reads) in [
            (vec![Some(1), Some(1)], 1),
            (vec![Some(1), Some(2), Some(2), Some(2)], 2),
            (vec![None, None, Some(1), Some(1)], 3),
            (vec![Some(1), None, Some(2), Some(2)], 2),
        ] {
            let (looks, done) = (Cell::new(versions.iter()), Cell::new(0));
            let version = || {
                let mut rest = looks.take();
                let next = rest.next().copied().flatten();
                looks.set(rest);
                next
            };
            let read = || {
                done.set(done.get() + 1);
                Ok(done.get())
            };
            assert_eq!(read_between_changes(version, read), Ok(reads), "{versions:?}");
        }
    }

    #[test]
    fn what_changes_each_time_cannot_be_read() {
        let reads = Cell::new(0_u64);
        let read = || {
            reads.set(reads.get() + 1);
            Ok(())
        };
        assert!(read_between_changes(|| Some(reads.get()), read).is_err());
        assert_eq!(reads.get(), MAX_READS as u64);
    }
}
