//! How many questions may be on their way to the primary, and how many may wait; key misses at most a quarter of each.

use tokio::sync::OwnedSemaphorePermit;

/// The budget of forwards.
#[derive(Clone)]
pub struct Budget {
    _inner: (),
}

/// What a forward is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// An attacker can cause it: a key nobody knows.
    KeyMiss,
    /// Anything else.
    Other,
}

/// No room, not even to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting for the primary")]
pub struct Full;

/// Leave for one forward; dropped when it has ended.
pub struct Permit {
    _held: Vec<OwnedSemaphorePermit>,
}

impl Budget {
    /// So many at once, so many waiting.
    #[must_use]
    pub fn new(_at_once: usize, _waiting: usize) -> Self {
        todo!()
    }

    /// Waits for a turn.
    pub async fn turn(&self, _sort: Sort) -> Result<Permit, Full> {
        todo!()
    }

    /// Now under way, and waiting.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        todo!()
    }
}
