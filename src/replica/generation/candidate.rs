//! A new generation that has caught up with the primary and is to take over from the one that serves.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::change::Head;
use crate::replica::feed::source::{ChangeLines, FeedError, FeedSource, LineDate};
use crate::replica::generation::tracked::{CursorState, TrackedGeneration};
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::FeedLine;

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
    /// Takes the generation that served before, once it does not any more; or why it still does.
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

impl Candidate {
    /// Reads on until the candidate has every commit that the serving generation has, which meanwhile takes no more. Returns the
    /// head it has then.
    ///
    /// A heartbeat that names the candidate's own head may be older than the serving generation's last commit, however late it
    /// comes. So the primary is asked again, and is behind only if it still says so on a stream that was opened for this.
    pub async fn catch_up_with<F: FeedSource>(
        &mut self,
        serving: Option<&TrackedGeneration>,
        feed: &F,
        silence_timeout: Duration,
    ) -> Result<Head, AdoptError> {
        let target = serving.and_then(|serving| serving.feed_position().or_else(|| serving.generation().head()));
        let cursor_is_lost = serving.is_some_and(|serving| matches!(serving.cursor_state(), CursorState::CursorLost(Some(_))));
        let mut has_asked_again = false;
        loop {
            let head = self.tracked.synced_head().ok_or_else(|| AdoptError::Failed("the candidate drifted".to_owned()))?;
            match target {
                Some(target) if head.epoch != target.epoch && cursor_is_lost => return Err(AdoptError::EpochChanged),
                Some(target) if head.epoch == target.epoch && head.seq < target.seq => {
                    let line = self.next_line(silence_timeout).await?;
                    if !matches!(line, FeedLine::Heartbeat { seq, .. } if seq == head.seq) {
                        let _effect = self.tracked.apply_line(line).await.map_err(|error| AdoptError::Failed(error.to_string()))?;
                    } else if has_asked_again {
                        return Err(AdoptError::Behind { primary: head.seq, ours: target.seq });
                    } else {
                        self.lines = feed.changes(head).await.map_err(|error| reopen_error(&error))?;
                        has_asked_again = true;
                    }
                }
                _ => return Ok(head),
            }
        }
    }

    async fn next_line(&mut self, silence_timeout: Duration) -> Result<FeedLine, AdoptError> {
        match tokio::time::timeout(silence_timeout, self.lines.recv()).await {
            Ok(Some(Ok(received))) => Ok(received.line),
            Ok(Some(Err(error))) => Err(AdoptError::Failed(error.to_string())),
            Ok(None) | Err(_) => Err(AdoptError::Failed("the feed ended".to_owned())),
        }
    }
}

fn reopen_error(error: &FeedError) -> AdoptError {
    match error {
        FeedError::CursorGone(_) => AdoptError::EpochChanged,
        error => AdoptError::Failed(error.to_string()),
    }
}
