//! A new generation that has caught up with the primary and is to take over from the one that serves.

use std::path::PathBuf;

use tokio::sync::oneshot;

use crate::replica::feed::source::{ChangeLines, LineDate};
use crate::replica::generation::tracked::TrackedGeneration;
use crate::store::generations::generation::Generation;

/// A generation that is offered to the follower, and the lines it is to go on with.
pub struct Candidate {
    /// The generation, equal to the primary at its head.
    pub tracked: TrackedGeneration,
    /// The lines that follow its head.
    pub lines: ChangeLines,
    /// When it was proven equal to the primary.
    pub proven_at: LineDate,
    /// The folder it is in.
    pub folder: PathBuf,
    /// Takes the generation that served before, once it does not any more and the next start opens the candidate; or why it still serves.
    pub result_sender: oneshot::Sender<Result<Option<Generation>, AdoptError>>,
}

/// Why a candidate did not take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// It lacks commits that the serving generation has.
    #[error(
        "the primary is at {primary}, behind {ours} which this host has followed to; it was restored from a backup: keep it so and run `sidegate admin new-epoch` at the primary"
    )]
    Behind {
        /// The number of the primary's head.
        primary: u64,
        /// The number of the serving generation's head.
        ours: u64,
    },
    /// The primary began another epoch while it was loaded.
    #[error("the primary began a new epoch while its snapshot was loaded")]
    EpochChanged,
    /// Its feed or store failed in the last moment.
    #[error("{0}")]
    Failed(String),
}
