//! Why a resync failed, and which alarm that raises.

use crate::replica::blocking::ThreadFailed;
use crate::replica::feed::source::FeedError;
use crate::replica::generation::candidate::AdoptError;
use crate::replica::generation::load_snapshot::LoadError;
use crate::replica::state::alarm::Alarm;
use crate::store::error::StoreError;
use crate::store::files::folder::FileError;

/// Why there is no new generation.
#[derive(Debug, thiserror::Error)]
pub enum ResyncError {
    /// The snapshot could not be fetched or loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The folder of the generation could not be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Too many keys are missing.
    #[error(
        "the snapshot lacks {lost} of the {total} keys that this host has; it is held back: if that is meant, run `sidegate admin accept-loss` at the primary"
    )]
    LossHeld {
        /// The keys that the serving generation has.
        total: u64,
        /// How many of them the new one lacks.
        lost: u64,
    },
    /// The new generation could not follow on from the snapshot.
    #[error("the new generation could not catch up: {0}")]
    CatchUp(String),
    /// The follower refused the new generation.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// A thread of the resync failed.
    #[error("the new generation could not be built: {0}")]
    Thread(#[from] ThreadFailed),
    /// The replica is being stopped.
    #[error("the replica is stopping")]
    Stopping,
}

impl ResyncError {
    /// Returns the alarm that this failure raises; `None` if the next try will likely do.
    #[must_use]
    pub const fn alarm(&self) -> Option<Alarm> {
        match self {
            Self::LossHeld { .. } => Some(Alarm::LossHeld),
            Self::Adopt(AdoptError::Behind { .. }) => Some(Alarm::PrimaryWentBack),
            Self::File(_) | Self::Load(LoadError::Store(_)) => Some(Alarm::Store),
            Self::Load(LoadError::Feed(FeedError::Forbidden(_) | FeedError::Refused(_))) => Some(Alarm::Forbidden),
            Self::Load(LoadError::Malformed(_) | LoadError::DigestMismatch | LoadError::Feed(FeedError::Malformed(_))) => {
                Some(Alarm::Garbled)
            }
            Self::Load(LoadError::Feed(_)) | Self::CatchUp(_) | Self::Adopt(_) | Self::Thread(_) | Self::Stopping => None,
        }
    }
}

impl From<StoreError> for ResyncError {
    fn from(error: StoreError) -> Self {
        Self::Load(error.into())
    }
}

impl From<FeedError> for ResyncError {
    fn from(error: FeedError) -> Self {
        Self::Load(error.into())
    }
}
