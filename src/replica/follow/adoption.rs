//! A candidate that is about to take over: it reads on until it has every commit of the generation that serves, which is followed
//! meanwhile as before, so that whatever restricts binds there at once.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::model::change::Head;
use crate::net::client::backoff::Backoff;
use crate::replica::feed::connection::{ConnectionEvent, FeedConnection};
use crate::replica::feed::source::{FeedError, FeedSource, LineDate, ReceivedLine};
use crate::replica::generation::candidate::{AdoptError, Candidate};
use crate::replica::generation::tracked::TrackedGeneration;
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::FeedLine;

/// What a candidate has to reach before it takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdoptionTarget {
    /// The head that the serving generation has followed to; `None` if none serves.
    pub head: Option<Head>,
    /// Whether that head is one of a primary whose history the serving generation has lost.
    pub is_cursor_lost: bool,
}

/// A candidate with its connection, between the offer and the switch.
pub struct Adoption {
    /// The generation.
    pub tracked: TrackedGeneration,
    /// The connection that it is followed with.
    pub connection: FeedConnection,
    /// When it was proven equal to the primary.
    pub proven_at: LineDate,
    /// The folder it is in.
    pub folder: PathBuf,
    /// Takes the outcome.
    pub result_sender: oneshot::Sender<Result<Option<Generation>, AdoptError>>,
    /// What the serving generation had reached when the primary was asked again.
    asked_again_at: Option<u64>,
    silence_timeout: Duration,
    silence: Pin<Box<Sleep>>,
}

impl Adoption {
    /// Begins with a candidate that was offered.
    pub fn new(candidate: Candidate, backoff: Backoff, silence_timeout: Duration) -> Self {
        let Candidate { tracked, lines, proven_at, folder, result_sender } = candidate;
        let mut connection = FeedConnection::new(backoff);
        connection.adopt_lines(lines);
        let silence = Box::pin(sleep(silence_timeout));
        Self { tracked, connection, proven_at, folder, result_sender, asked_again_at: None, silence_timeout, silence }
    }

    /// Waits for the next event of the candidate's connection. May be dropped and called again at any time.
    pub async fn next_event<F: FeedSource>(&mut self, feed: &Arc<F>) -> ConnectionEvent {
        tokio::select! {
            event = self.connection.next_event(feed, self.tracked.feed_position()) => event,
            () = self.silence.as_mut() => ConnectionEvent::Lost(FeedError::Silent(self.silence_timeout)),
        }
    }

    /// Takes in an event.
    pub async fn advance(&mut self, event: ConnectionEvent, target: AdoptionTarget) -> Result<(), AdoptError> {
        self.silence = Box::pin(sleep(self.silence_timeout));
        match event {
            ConnectionEvent::Connected => {
                self.tracked.reset_connection();
                Ok(())
            }
            ConnectionEvent::Line(ReceivedLine { line, .. }) => self.take_line(line, target).await,
            ConnectionEvent::Lost(FeedError::CursorGone(_)) => Err(AdoptError::EpochChanged),
            ConnectionEvent::Lost(error) => Err(AdoptError::Failed(error.to_string())),
        }
    }

    /// A heartbeat that names the candidate's own head may be older than the serving generation's last commit, however late it comes. So
    /// the primary is asked again, and is behind only if it still says so on a stream that was opened for this.
    async fn take_line(&mut self, line: FeedLine, target: AdoptionTarget) -> Result<(), AdoptError> {
        let head = self.head()?;
        let behind = target.head.filter(|target| target.epoch == head.epoch && head.seq < target.seq);
        if let Some(behind) = behind
            && matches!(line, FeedLine::Heartbeat { seq, .. } if seq == head.seq)
        {
            match self.asked_again_at {
                Some(ours) if head.seq < ours => return Err(AdoptError::Behind { primary: head.seq, ours }),
                _ => {
                    self.asked_again_at = Some(behind.seq);
                    self.connection.reconnect_now();
                    return Ok(());
                }
            }
        }
        let applied = self.tracked.apply_line(line).await;
        applied.map(drop).map_err(|error| AdoptError::Failed(error.to_string()))
    }

    /// Returns the candidate's head, if it has every commit of the serving generation.
    pub fn head_if_caught_up(&self, target: AdoptionTarget) -> Result<Option<Head>, AdoptError> {
        let head = self.head()?;
        match target.head {
            Some(target_head) if head.epoch != target_head.epoch && target.is_cursor_lost => Err(AdoptError::EpochChanged),
            Some(target_head) if head.epoch == target_head.epoch && head.seq < target_head.seq => Ok(None),
            _ => Ok(Some(head)),
        }
    }

    fn head(&self) -> Result<Head, AdoptError> {
        self.tracked.synced_head().ok_or_else(|| AdoptError::Failed("the candidate drifted".to_owned()))
    }
}
