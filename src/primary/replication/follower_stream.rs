//! One follower's stream: the lines after its cursor as they come, and a heartbeat when nothing came.
//!
//! A stream pulls at its own pace out of what all share, so a slow follower costs a few pieces and no more; one that takes
//! nothing for [`STALLED`] is cut off. A heartbeat is said only of the very head of the store, because it proves to the
//! follower that it is current.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use crate::api::blocking::run_blocking;
use crate::model::change::Head;
use crate::model::clock;
use crate::net::body::StreamAborted;
use crate::primary::call::Follower;
use crate::primary::replication::feed_buffer::EncodedCommit;
use crate::primary::replication::hosts::StreamGuard;
use crate::primary::state::PrimaryState;
use crate::store::primary::primary_store::CommitsAfter;
use crate::wire::directory::feed_lines;

/// How often a heartbeat is said; followers are promised one every 5 s.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(4);
/// How long a follower may take nothing.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Pieces that wait for a follower.
pub const QUEUED_CHUNKS: usize = 4;
/// Bytes of lines that go together, if there is more than one.
const CHUNK_BYTES: usize = 256 << 10;
/// Commits that a follower who is behind reads from the journal at a time; each may be 4 MiB.
const JOURNAL_BATCH: usize = 4;
/// Followers that may read the journal at a time.
static JOURNAL_READ_PERMITS: Semaphore = Semaphore::const_new(8);

/// The way to one follower.
pub type ChunkSender = mpsc::Sender<Result<Bytes, StreamAborted>>;

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// The follower went away.
    Disconnected,
    /// It took nothing for too long.
    Stalled,
    /// Its cursor is not in the journal any more, or the epoch is another: it has to ask again.
    CursorLost,
    /// The journal could not be read.
    JournalError,
    /// Its secret has changed.
    SecretRotated,
    /// The primary ends.
    Shutdown,
}

/// Streams to one follower from `at` on, until one of the two ends it. `at` is a cursor that the journal knows.
pub async fn stream_changes(house: Arc<PrimaryState>, follower: Follower, feeding: StreamGuard, at: Head, pieces: ChunkSender) {
    tracing::info!(host = %follower.host, seq = at.seq, "a follower came");
    let ended = FollowerStream { state: &house, guard: &feeding, chunks: &pieces, cursor: at }.run(follower.secret_version).await;
    drop(feeding);
    if ended == StreamEnd::Stalled {
        house.metrics.stalled_followers.inc();
    }
    tracing::info!(host = %follower.host, why = ?ended, "a follower went");
    drop(house);
    // Its last piece says that the stream did not end by itself; who takes nothing never reads it.
    let _gone = pieces.send(Err(StreamAborted)).await;
}

struct FollowerStream<'a> {
    state: &'a Arc<PrimaryState>,
    guard: &'a StreamGuard,
    chunks: &'a ChunkSender,
    cursor: Head,
}

impl FollowerStream<'_> {
    async fn run(mut self, era: u64) -> StreamEnd {
        match self.follow(era).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn follow(&mut self, era: u64) -> Result<std::convert::Infallible, StreamEnd> {
        let share = fastrand::f64();
        let mut newest = self.state.feed.head_changes();
        let mut eras = self.state.follower_auth.watch_versions();
        let mut ending = std::pin::pin!(self.state.shutdown_requested());
        let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            newest.borrow_and_update();
            while let Some(lines) = self.next_commits(false).await? {
                self.send_commits(lines).await?;
            }
            let lasts = self.state.follower_auth.remaining_lifetime(era, share, clock::wall_time());
            let end = async {
                match lasts {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = newest.changed() => changed.map_err(|_| StreamEnd::JournalError)?,
                _ = beat.tick() => self.send_heartbeat().await?,
                _ = eras.changed() => {}
                () = end => return Err(StreamEnd::SecretRotated),
                () = &mut ending => return Err(StreamEnd::Shutdown),
                () = self.chunks.closed() => return Err(StreamEnd::Disconnected),
            }
        }
    }

    /// The lines after the cursor, or `None` if there are none. The shared ones, unless they do not reach back so far or `journal` says
    /// not to wait for them.
    async fn next_commits(&self, journal: bool) -> Result<Option<Vec<EncodedCommit>>, StreamEnd> {
        match self.state.feed.commits_after(self.cursor.epoch, self.cursor.seq, CHUNK_BYTES) {
            Some(lines) if !lines.is_empty() => return Ok(Some(lines)),
            Some(_) if !journal => return Ok(None),
            _ => {}
        }
        let _turn = JOURNAL_READ_PERMITS.acquire().await.map_err(|_| StreamEnd::JournalError)?;
        let (store, at) = (self.state.store.clone(), self.cursor);
        let after = run_blocking(move || store.commits_after(at.epoch, at.seq, at.state.digest, JOURNAL_BATCH))
            .await
            .map_err(|_| StreamEnd::JournalError)?;
        match after {
            CommitsAfter::Commits(commits) if commits.is_empty() => Ok(None),
            CommitsAfter::Commits(commits) => Ok(Some(commits.iter().map(|commit| EncodedCommit::encode(commit)).collect())),
            CommitsAfter::Gone | CommitsAfter::Diverged(_) => Err(StreamEnd::CursorLost),
        }
    }

    async fn send_commits(&mut self, lines: Vec<EncodedCommit>) -> Result<(), StreamEnd> {
        let Some(last) = lines.last() else {
            return Ok(());
        };
        let at = Head { epoch: self.cursor.epoch, seq: last.seq, state: last.state };
        self.state.metrics.feed_lines.inc_by(lines.len() as u64);
        let piece = match &lines[..] {
            [one] => one.text.clone(),
            many => many.iter().map(|line| &line.text[..]).collect::<Vec<_>>().concat().into(),
        };
        self.send_chunk(piece).await?;
        self.cursor = at;
        Ok(())
    }

    async fn send_heartbeat(&mut self) -> Result<(), StreamEnd> {
        let head = self.state.store.head();
        if head.epoch != self.cursor.epoch {
            return Err(StreamEnd::CursorLost);
        }
        if head.seq != self.cursor.seq {
            // The shared lines are late; a follower must not wait for them.
            return match self.next_commits(true).await? {
                Some(lines) => self.send_commits(lines).await,
                None => Ok(()),
            };
        }
        let mut line = feed_lines::encode_heartbeat(head.seq, head.state);
        line.push('\n');
        self.send_chunk(line.into()).await
    }

    async fn send_chunk(&self, piece: Bytes) -> Result<(), StreamEnd> {
        match tokio::time::timeout(STALL_TIMEOUT, self.chunks.send(Ok(piece))).await {
            Ok(Ok(())) => {
                self.guard.touch(clock::wall_time());
                Ok(())
            }
            Ok(Err(_)) => Err(StreamEnd::Disconnected),
            Err(_) => Err(StreamEnd::Stalled),
        }
    }
}
