//! Why work on the store, done on a thread that may block, has no result.

use crate::replica::blocking::ThreadFailed;
use crate::store::error::StoreError;
use crate::store::files::folder::FileError;

/// The failure of one piece of work on the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreTaskError {
    /// The records could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder of the store could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The thread failed.
    #[error(transparent)]
    Thread(#[from] ThreadFailed),
}
