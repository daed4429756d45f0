//! The primary's store: the directory with its journal, one writer; the ledger beside it.

use std::path::Path;
use std::sync::Arc;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::digest::Digest;
use crate::model::entry::Entry;
use crate::store::folder::Refused;
use crate::store::generation::{Damage, Generation, Options};
use crate::store::ledger::Ledger;

/// Most changes of one commit.
pub const COMMIT_CHANGES: usize = 1_000;
/// Most bytes of one commit.
pub const COMMIT_BYTES: usize = 4 << 20;
/// Most commits that the journal keeps.
pub const JOURNAL_COMMITS: u64 = 100_000;
/// Most bytes that the journal keeps.
pub const JOURNAL_BYTES: u64 = 64 << 20;

/// The primary's store. Cheap to clone.
#[derive(Clone)]
pub struct PrimaryStore {
    _inner: Arc<()>,
}

/// Why a primary's store did not open.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the source says it")]
pub enum NotOpened {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// What the journal has after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The commits after it, at most as many as asked for; empty at the head.
    Commits(Vec<Arc<Commit>>),
    /// Older than the journal, or of another epoch.
    Gone,
    /// Beyond the head, or with another digest: somebody was restored from a backup.
    Unlike(Head),
}

impl PrimaryStore {
    /// Opens or makes the store (epoch, LFS secret and all). Blocks.
    pub fn open(_folder: &Path, _options: Options) -> Result<Self, NotOpened> {
        todo!()
    }

    /// Where it stands.
    #[must_use]
    pub fn head(&self) -> Head {
        todo!()
    }

    /// The records as they are now. Hold it no longer than one request: a large apply replaces it.
    #[must_use]
    pub fn directory(&self) -> Generation {
        todo!()
    }

    /// One writer: decides on the directory as it stands and commits what it decides, in one or (above the bounds of a commit) by a
    /// generation built beside with a new journal. On disk when it returns. No changes: nothing is committed. Blocks.
    pub fn commit<T, E: From<Damage>>(&self, _decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), E>) -> Result<(Head, T), E> {
        todo!()
    }

    /// A whole new directory at once: a generation built beside, visible at once, with a new journal. Blocks.
    pub fn replace<E: From<Damage>>(&self, _entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Head, E> {
        todo!()
    }

    /// The journal after (`epoch`, `seq`, `digest`), at most `limit` commits.
    pub fn after(&self, _epoch: Epoch, _seq: u64, _digest: Digest, _limit: usize) -> Result<After, Damage> {
        todo!()
    }

    /// Waits for the head to be another than `seen`: a watch of the head.
    #[must_use]
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Head> {
        todo!()
    }

    /// A new epoch, the journal begun anew. Blocks.
    pub fn new_epoch(&self) -> Result<Head, Damage> {
        todo!()
    }

    /// What is never published.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        todo!()
    }

    /// The 32 random bytes made with the store: LFS tokens are keyed with them.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        todo!()
    }
}
