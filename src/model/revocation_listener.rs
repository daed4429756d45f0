//! Joins who follows a directory with who keeps answers beside it: what the directory takes back, the kept answers lose.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::model::directory::Directory;
use crate::model::kept_answer::KeptSubject;

/// A future that completes once nothing of what was taken back comes back after a restart, or after a second.
pub type TakenBack<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Keeps answers beside a directory that somebody else follows.
pub trait RevocationListener: Send + Sync {
    /// Removes everything about these subjects, and what is being asked about them does not count. Called before the directory itself
    /// changes.
    fn revoke(&self, subjects: Vec<KeptSubject>) -> TakenBack<'_>;
    /// Removes everything about whom a directory does not know, or knows as refused; it has taken the place of another, and what was taken
    /// back in between is not known one by one.
    fn replace(&self, directory: Arc<dyn Directory + Send + Sync>) -> TakenBack<'_>;
}
