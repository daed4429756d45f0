//! The snapshot: one file, built once and sent to every host that asks while it is recent enough, to few at a time.
//!
//! Its lines are the head, the records read while commits go on, the journal from where the reading began to where it
//! ended, and the end. The file has no name, so nothing of it is left behind.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::api::blocking::run_blocking;
use crate::model::change::Head;
use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::net::body::StreamAborted;
use crate::primary::refusal::ApiError;
use crate::primary::replication::accepted_loss;
use crate::primary::replication::feed_buffer::EncodedCommit;
use crate::primary::replication::follower_stream::{ChunkSender, STALL_TIMEOUT};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};
use crate::wire::directory::feed_lines::{self, SNAPSHOT_FORMAT, SnapshotEnd, SnapshotHeader};

/// To how many hosts it is sent at a time.
pub const MAX_CONCURRENT_SENDS: usize = 4;
/// How long a host waits for its turn before it is told to come again.
pub const PERMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How old a snapshot may be that is sent again.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How many commits it may be behind.
const MAX_COMMITS_BEHIND: u64 = 10_000;
/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Builds that a large apply may spoil before the builder gives up.
const MAX_BUILD_ATTEMPTS: u32 = 3;
/// Speed before size: a host loads it faster than it could unpack a smaller one.
const COMPRESSION_LEVEL: i32 = 1;
const JOURNAL_BATCH: usize = 64;

/// The snapshot that is at hand, and the turns of those who take it.
pub struct SnapshotCache {
    cached: Arc<Mutex<Option<Arc<SnapshotFile>>>>,
    permits: Arc<Semaphore>,
}

impl Default for SnapshotCache {
    fn default() -> Self {
        Self { cached: Arc::default(), permits: Arc::new(Semaphore::new(MAX_CONCURRENT_SENDS)) }
    }
}

/// A snapshot.
pub struct SnapshotFile {
    file: File,
    head: Head,
    accept_loss: bool,
    built_at: BootTime,
}

/// Why a snapshot was not built.
#[derive(Debug, thiserror::Error)]
enum SnapshotBuildError {
    #[error(transparent)]
    Damage(#[from] StoreError),
    #[error("the file of the snapshot: {0}")]
    Io(#[from] io::Error),
    #[error("the whole directory was replaced while its snapshot was built")]
    Replaced,
}

impl From<SnapshotBuildError> for ApiError {
    fn from(reason: SnapshotBuildError) -> Self {
        Self::internal(reason)
    }
}

impl SnapshotCache {
    /// A turn to send; `None` if it did not come in time.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(PERMIT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await.ok()?.ok()
    }

    /// The one at hand if it is recent enough, else a new one; however many ask, one is built. A build goes on when its asker hangs up.
    pub async fn load_or_build(&self, house: &Arc<PrimaryState>) -> Result<Arc<SnapshotFile>, ApiError> {
        let (at_hand, house) = (Arc::clone(&self.cached), Arc::clone(house));
        let built = tokio::spawn(async move {
            let mut at_hand = at_hand.lock().await;
            let before = at_hand.take();
            let (store, workshop) = (house.store.clone(), house.temp_dir.clone());
            let (now, wall) = (clock::boot_time(), clock::wall_time());
            let snapshot = run_blocking(move || reuse_or_build(&store, &workshop, before, now, wall)).await?;
            *at_hand = Some(Arc::clone(&snapshot));
            Ok(snapshot)
        });
        built.await.map_err(ApiError::internal)?
    }
}

fn reuse_or_build(
    store: &PrimaryStore,
    workshop: &Path,
    before: Option<Arc<SnapshotFile>>,
    now: BootTime,
    wall: Time,
) -> Result<Arc<SnapshotFile>, SnapshotBuildError> {
    let accept_loss = accepted_loss::accepted_until(store.private_store(), wall)?.is_some();
    if let Some(before) = before
        && before.accept_loss == accept_loss
        && before.is_usable(store, now)?
    {
        return Ok(before);
    }
    let mut tries = 1;
    loop {
        match build_snapshot(store, workshop, accept_loss, now) {
            Err(SnapshotBuildError::Replaced) if tries < MAX_BUILD_ATTEMPTS => tries += 1,
            built => return built.map(Arc::new),
        }
    }
}

fn build_snapshot(store: &PrimaryStore, workshop: &Path, accept_loss: bool, now: BootTime) -> Result<SnapshotFile, SnapshotBuildError> {
    let file = tempfile::tempfile_in(workshop)?;
    let mut out = zstd::stream::write::Encoder::new(io::BufWriter::with_capacity(CHUNK_BYTES, file), COMPRESSION_LEVEL)?;
    out.include_checksum(true)?;
    let from = store.head();
    write_line(
        &mut out,
        &feed_lines::encode_snapshot_header(&SnapshotHeader { format: SNAPSHOT_FORMAT, epoch: from.epoch, from_seq: from.seq }),
    )?;
    for line in store.directory().record_lines() {
        write_line(&mut out, &line?)?;
    }
    let head = write_journal(&mut out, store, from)?;
    write_line(&mut out, &feed_lines::encode_snapshot_end(&SnapshotEnd { seq: head.seq, state: head.state, accept_loss }))?;
    let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    tracing::info!(from = from.seq, seq = head.seq, records = head.state.count, "a snapshot was built");
    Ok(SnapshotFile { file, head, accept_loss, built_at: now })
}

/// The journal from `from` to where the store stands now.
fn write_journal(out: &mut impl io::Write, store: &PrimaryStore, from: Head) -> Result<Head, SnapshotBuildError> {
    let to = store.head_after_pending_commit();
    let mut at = from;
    while at.seq < to.seq || at.epoch != to.epoch {
        let CommitsAfter::Commits(commits) = store.commits_after(at.epoch, at.seq, at.state.digest, JOURNAL_BATCH)? else {
            return Err(SnapshotBuildError::Replaced);
        };
        if commits.is_empty() {
            return Err(SnapshotBuildError::Replaced);
        }
        for commit in commits {
            let line = EncodedCommit::encode(&commit);
            out.write_all(&line.text)?;
            at = Head { epoch: at.epoch, seq: line.seq, state: line.state };
        }
    }
    Ok(at)
}

fn write_line(out: &mut impl io::Write, line: &str) -> io::Result<()> {
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")
}

impl SnapshotFile {
    /// Whether a host that loads it can go on from its end.
    fn is_usable(&self, store: &PrimaryStore, now: BootTime) -> Result<bool, StoreError> {
        let head = store.head();
        let near = now.since(self.built_at) <= MAX_AGE
            && head.epoch == self.head.epoch
            && head.seq.saturating_sub(self.head.seq) <= MAX_COMMITS_BEHIND;
        let known = || store.commits_after(self.head.epoch, self.head.seq, self.head.state.digest, 1);
        Ok(near && matches!(known()?, CommitsAfter::Commits(_)))
    }
}

/// Sends it, holding a turn. Whatever keeps it from being sent whole leaves a stream that is cut off.
pub async fn send_snapshot(snapshot: Arc<SnapshotFile>, turn: OwnedSemaphorePermit, pieces: ChunkSender) {
    let outcome = send_chunks(&snapshot, &pieces).await;
    drop((snapshot, turn));
    if let Err(reason) = outcome {
        tracing::info!(%reason, "a snapshot was not sent whole");
        let _gone = pieces.send(Err(StreamAborted)).await;
    }
}

async fn send_chunks(snapshot: &Arc<SnapshotFile>, pieces: &ChunkSender) -> Result<(), &'static str> {
    let mut offset = 0;
    loop {
        let from = Arc::clone(snapshot);
        let piece = tokio::task::spawn_blocking(move || read_chunk(&from.file, offset)).await;
        let piece = piece.ok().and_then(Result::ok).ok_or("its file could not be read")?;
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u64;
        match tokio::time::timeout(STALL_TIMEOUT, pieces.send(Ok(piece))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err("the host went away"),
            Err(_) => return Err("the host took nothing for too long"),
        }
    }
}

fn read_chunk(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; CHUNK_BYTES];
    let length = file.read_at(&mut piece, offset)?;
    piece.truncate(length);
    Ok(piece.into())
}
