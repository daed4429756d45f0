//! One follower's stream: the commits after its cursor as they are made, and heartbeats in between.
//!
//! A stream reads at its own pace from the buffer that all share, so a slow follower costs a few chunks and no more; one that reads nothing
//! for [`STALL_TIMEOUT`] is cut off. A heartbeat is sent only of the head of the store itself, because it proves to the follower that it is
//! up to date.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::api::blocking::run_blocking;
use crate::api::request::{Follower, RequestTime};
use crate::model::change::Head;
use crate::model::clock;
use crate::model::clock_reading::ClockReading;
use crate::net::body::StreamAborted;
use crate::primary::metrics::PrimaryMetrics;
use crate::primary::replication::chunks::{ChunkSender, STALL_TIMEOUT};
use crate::primary::replication::feed_buffer::{EncodedCommit, FeedBuffer};
use crate::primary::replication::feed_clock::FeedClock;
use crate::primary::replication::follower_auth::FollowerAuth;
use crate::primary::replication::hosts::StreamGuard;
use crate::primary::replication::shutdown::ShutdownSignal;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};
use crate::wire::directory::feed_lines;

/// How often a heartbeat is sent; followers are promised one every 5 s.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(4);
/// Most bytes of commits that are sent in one chunk, if there is more than one.
const CHUNK_BYTES: usize = 256 << 10;
/// How many commits are read at a time from the journal for a follower that is behind; each may be 4 MiB.
const JOURNAL_BATCH: usize = 4;
/// For how many followers the journal is read at a time.
static JOURNAL_READ_PERMITS: Semaphore = Semaphore::const_new(8);

/// What a stream reads from: the parts of the primary that all streams share.
pub struct StreamSource {
    /// The journal, for followers that are further behind than the buffer reaches.
    pub store: PrimaryStore,
    /// The recent commits.
    pub feed: Arc<FeedBuffer>,
    /// What dates the lines.
    pub clock: FeedClock,
    /// Says when a rotated secret ends a stream.
    pub follower_auth: Arc<FollowerAuth>,
    /// Counts lines and stalled followers.
    pub metrics: Arc<PrimaryMetrics>,
    /// Ends the stream when the primary shuts down.
    pub shutdown: ShutdownSignal,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// The follower closed the connection.
    Disconnected,
    /// The follower read nothing for too long.
    Stalled,
    /// Its cursor is not in the journal any more, or the epoch has changed: it has to ask again.
    CursorLost,
    /// The journal could not be read.
    JournalError,
    /// Its secret was rotated.
    SecretRotated,
    /// It acknowledged a bound that is too long.
    BoundTooLong,
    /// The primary shuts down.
    Shutdown,
}

impl StreamEnd {
    /// Returns the reason in words, for the log.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "it closed the connection",
            Self::Stalled => "it read nothing for too long",
            Self::CursorLost => "its cursor is no longer in the journal",
            Self::JournalError => "the journal could not be read",
            Self::SecretRotated => "its secret was rotated",
            Self::BoundTooLong => "it may answer for longer without the primary than sync.longest_max_stale allows",
            Self::Shutdown => "the primary shuts down",
        }
    }
}

/// Streams to one follower from `cursor` on, until one of the two ends the stream. The journal must know `cursor`.
pub async fn stream_changes(source: StreamSource, follower: Follower, guard: StreamGuard, cursor: Head, chunks: ChunkSender) {
    let host = &follower.host;
    tracing::info!(%host, seq = cursor.seq, "follower {host} connected at seq {}", cursor.seq);
    let ended = FollowerStream { source: &source, guard: &guard, chunks: &chunks, cursor }.run(follower.secret_version).await;
    drop(guard);
    if ended == StreamEnd::Stalled {
        source.metrics.stalled_followers.inc();
    }
    let reason = ended.as_str();
    tracing::info!(%host, reason, "follower {host} disconnected: {reason}");
    drop(source);
    // The last chunk says that the stream did not end by itself; a follower that reads nothing never sees it.
    let _disconnected = chunks.send(Err(StreamAborted)).await;
}

struct FollowerStream<'a> {
    source: &'a StreamSource,
    guard: &'a StreamGuard,
    chunks: &'a ChunkSender,
    cursor: Head,
}

impl FollowerStream<'_> {
    async fn run(mut self, secret_version: u64) -> StreamEnd {
        match self.follow(secret_version).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn follow(&mut self, secret_version: u64) -> Result<std::convert::Infallible, StreamEnd> {
        let spread = fastrand::f64();
        let mut head_changes = self.source.feed.head_changes();
        let mut secret_versions = self.source.follower_auth.watch_versions();
        let mut shutdown = std::pin::pin!(self.source.shutdown.requested());
        let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            head_changes.borrow_and_update();
            while let Some(commits) = self.next_commits(false).await? {
                self.send_commits(commits).await?;
            }
            let lifetime = self.source.follower_auth.remaining_lifetime(secret_version, spread, clock::wall_time());
            let expired = async {
                match lifetime {
                    Some(lifetime) => tokio::time::sleep(lifetime).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = head_changes.changed() => changed.map_err(|_| StreamEnd::Shutdown)?,
                _ = heartbeat.tick() => self.send_heartbeat().await?,
                _ = secret_versions.changed() => {}
                () = expired => return Err(StreamEnd::SecretRotated),
                () = &mut shutdown => return Err(StreamEnd::Shutdown),
                () = self.chunks.closed() => return Err(StreamEnd::Disconnected),
            }
        }
    }

    /// Returns the commits after the cursor, or `None` if there are none: from the buffer, unless it does not reach back so far or
    /// `from_journal` says not to wait for it.
    async fn next_commits(&self, from_journal: bool) -> Result<Option<Vec<EncodedCommit>>, StreamEnd> {
        match self.source.feed.commits_after(self.cursor.epoch, self.cursor.seq, CHUNK_BYTES) {
            Some(commits) if !commits.is_empty() => return Ok(Some(commits)),
            Some(_) if !from_journal => return Ok(None),
            _ => {}
        }
        let _permit = JOURNAL_READ_PERMITS.acquire().await.map_err(|_| StreamEnd::JournalError)?;
        let (store, cursor) = (self.source.store.clone(), self.cursor);
        let after = run_blocking(move || store.commits_after(cursor.epoch, cursor.seq, cursor.state.digest, JOURNAL_BATCH))
            .await
            .map_err(|_| StreamEnd::JournalError)?;
        match after {
            CommitsAfter::Commits(commits) if commits.is_empty() => Ok(None),
            CommitsAfter::Commits(commits) => Ok(Some(commits.iter().map(EncodedCommit::encode).collect())),
            CommitsAfter::Gone | CommitsAfter::Diverged(_) => Err(StreamEnd::CursorLost),
        }
    }

    async fn send_commits(&mut self, commits: Vec<EncodedCommit>) -> Result<(), StreamEnd> {
        let Some(last) = commits.last() else {
            return Ok(());
        };
        let cursor = Head { epoch: self.cursor.epoch, seq: last.seq, state: last.state };
        let clock = self.source.clock.read().filter(|_| self.source.store.head() == cursor);
        self.source.metrics.feed_lines.inc_by(commits.len() as u64);
        let chunk = encode_chunk(&commits, clock.as_ref());
        self.send_chunk(chunk).await?;
        self.cursor = cursor;
        Ok(())
    }

    async fn send_heartbeat(&mut self) -> Result<(), StreamEnd> {
        let clock = self.source.clock.read();
        let head = self.source.store.head();
        if head.epoch != self.cursor.epoch {
            return Err(StreamEnd::CursorLost);
        }
        if head.seq != self.cursor.seq {
            // The buffer is late; a follower must not wait for it.
            return match self.next_commits(true).await? {
                Some(commits) => self.send_commits(commits).await,
                None => Ok(()),
            };
        }
        let mut line = feed_lines::encode_heartbeat(head.seq, head.state);
        if let Some(clock) = &clock {
            line = feed_lines::with_clock(&line, clock);
        }
        line.push('\n');
        self.send_chunk(line.into()).await
    }

    async fn send_chunk(&self, chunk: Bytes) -> Result<(), StreamEnd> {
        self.guard.check_bound(clock::boot_time()).map_err(|_| StreamEnd::BoundTooLong)?;
        match tokio::time::timeout(STALL_TIMEOUT, self.chunks.send(Ok(chunk))).await {
            Ok(Ok(())) => {
                self.guard.touch(RequestTime::now());
                Ok(())
            }
            Ok(Err(_)) => Err(StreamEnd::Disconnected),
            Err(_) => Err(StreamEnd::Stalled),
        }
    }
}

/// Returns the lines of some commits in one piece; the last one with the clock, where it is the head's.
fn encode_chunk(commits: &[EncodedCommit], clock: Option<&ClockReading>) -> Bytes {
    if let ([commit], None) = (commits, clock) {
        return commit.text.clone();
    }
    let mut chunk = commits.iter().map(|commit| &commit.text[..]).collect::<Vec<_>>().concat();
    if let (Some(clock), Some(last)) = (clock, commits.last()) {
        let line = std::str::from_utf8(&last.text).unwrap_or_default().trim_end_matches('\n');
        chunk.truncate(chunk.len() - last.text.len());
        chunk.extend_from_slice(feed_lines::with_clock(line, clock).as_bytes());
        chunk.push(b'\n');
    }
    chunk.into()
}
