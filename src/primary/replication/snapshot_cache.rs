//! The snapshot: one file, built once and sent to every host that asks while it is recent enough, to few hosts at a time.
//!
//! Its lines are a header, the records (read while commits go on), the commits of the journal made meanwhile, and an end line. The file
//! has no name, so nothing of it is left behind.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::model::change::Head;
use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::net::body::StreamAborted;
use crate::primary::replication::accepted_loss;
use crate::primary::replication::chunks::{ChunkSender, STALL_TIMEOUT};
use crate::primary::replication::feed_buffer::EncodedCommit;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};
use crate::wire::directory::feed_lines::{self, SNAPSHOT_FORMAT, SnapshotEnd, SnapshotHeader};

/// To how many hosts a snapshot is sent at a time.
const MAX_CONCURRENT_SENDS: usize = 4;
/// How long a host waits for a permit before it is told to retry.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How old a snapshot may be and still be sent.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How many commits a snapshot may be behind and still be sent.
const MAX_COMMITS_BEHIND: u64 = 10_000;
/// How many bytes of the file are sent at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// How often a build is attempted while large applies replace the directory under it.
const MAX_BUILD_ATTEMPTS: u32 = 3;
/// The fastest: a host receives it faster than it could decompress a smaller one.
const COMPRESSION_LEVEL: i32 = 1;
/// How many commits are read from the journal at a time.
const JOURNAL_BATCH: usize = 64;

/// The latest snapshot, and the permits of those who send it.
pub struct SnapshotCache {
    /// The kinds of records that the directory has, where these are not all.
    covers: Option<&'static [&'static str]>,
    cached: Arc<Mutex<Option<Arc<SnapshotFile>>>>,
    permits: Arc<Semaphore>,
}

/// A snapshot in a file.
pub struct SnapshotFile {
    /// The first line, compressed.
    header: Bytes,
    /// All others.
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
    /// Returns a cache that has no snapshot yet. The head of each names the kinds that it `covers`, where these are not all.
    #[must_use]
    pub fn new(covers: Option<&'static [&'static str]>) -> Self {
        Self { covers, cached: Arc::default(), permits: Arc::new(Semaphore::new(MAX_CONCURRENT_SENDS)) }
    }

    /// Returns the kinds of records that the head of each snapshot names; `None` for all.
    #[must_use]
    pub const fn covers(&self) -> Option<&'static [&'static str]> {
        self.covers
    }

    /// Waits for a permit to send; `None` if there is none in time.
    pub async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(PERMIT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await.ok()?.ok()
    }

    /// Returns the latest snapshot if it is recent enough, else a new one in a file below `temp_dir`; however many ask, one is built. A
    /// build goes on when its requester disconnects.
    pub async fn recent(&self, store: &PrimaryStore, temp_dir: &Path) -> Result<Arc<SnapshotFile>, ApiError> {
        let (cached, store, temp_dir, covers) = (Arc::clone(&self.cached), store.clone(), temp_dir.to_owned(), self.covers);
        let built = tokio::spawn(async move {
            let mut cached = cached.lock().await;
            let previous = cached.take();
            let (now, wall) = (clock::boot_time(), clock::wall_time());
            let snapshot = run_blocking(move || reuse_or_build(&store, &temp_dir, covers, previous, (now, wall))).await?;
            *cached = Some(Arc::clone(&snapshot));
            Ok(snapshot)
        });
        built.await.map_err(ApiError::internal)?
    }
}

fn reuse_or_build(
    store: &PrimaryStore,
    temp_dir: &Path,
    covers: Option<&[&str]>,
    previous: Option<Arc<SnapshotFile>>,
    (now, wall): (BootTime, Time),
) -> Result<Arc<SnapshotFile>, SnapshotBuildError> {
    let accept_loss = accepted_loss::accepted_until(store.private_store(), wall)?.is_some();
    if let Some(previous) = previous
        && previous.accept_loss == accept_loss
        && previous.is_usable(store, now)?
    {
        return Ok(previous);
    }
    let mut attempts = 1;
    loop {
        match build_snapshot(store, temp_dir, covers, accept_loss, now) {
            Err(SnapshotBuildError::Replaced) if attempts < MAX_BUILD_ATTEMPTS => attempts += 1,
            built => return built.map(Arc::new),
        }
    }
}

fn build_snapshot(
    store: &PrimaryStore,
    temp_dir: &Path,
    covers: Option<&[&str]>,
    accept_loss: bool,
    now: BootTime,
) -> Result<SnapshotFile, SnapshotBuildError> {
    let file = tempfile::tempfile_in(temp_dir)?;
    let mut encoder = zstd::stream::write::Encoder::new(io::BufWriter::with_capacity(CHUNK_BYTES, file), COMPRESSION_LEVEL)?;
    encoder.include_checksum(true)?;
    let mut out = CountingWriter { inner: encoder, bytes: 0 };
    let from = store.head();
    for line in store.directory().record_lines() {
        write_line(&mut out, &line?)?;
    }
    let head = write_journal(&mut out, store, from)?;
    write_line(&mut out, &feed_lines::encode_snapshot_end(&SnapshotEnd { seq: head.seq, state: head.state, accept_loss }))?;
    let bytes = Some(out.bytes);
    let covers = covers.map(|kinds| kinds.iter().map(|kind| (*kind).to_owned()).collect());
    let header = SnapshotHeader { format: SNAPSHOT_FORMAT, epoch: from.epoch, from_seq: from.seq, bytes, covers };
    // A frame of its own, which any decoder reads on from: only now is it known how much follows.
    let header = zstd::encode_all(format!("{}\n", feed_lines::encode_snapshot_header(&header)).as_bytes(), COMPRESSION_LEVEL)?.into();
    let file = out.inner.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    let (seq, records) = (head.seq, head.state.count);
    tracing::info!(from = from.seq, seq, records, "built a snapshot of {records} records at seq {seq}");
    Ok(SnapshotFile { header, file, head, accept_loss, built_at: now })
}

/// Writes the commits of the journal after `from` up to the present head, and returns that head.
fn write_journal(out: &mut impl io::Write, store: &PrimaryStore, from: Head) -> Result<Head, SnapshotBuildError> {
    let to = store.head_after_pending_commit()?;
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

/// Counts what is written.
struct CountingWriter<W> {
    inner: W,
    bytes: u64,
}

impl<W: io::Write> io::Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write_line(out: &mut impl io::Write, line: &str) -> io::Result<()> {
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")
}

impl SnapshotFile {
    /// Returns whether a host that installs the snapshot can follow from its end.
    fn is_usable(&self, store: &PrimaryStore, now: BootTime) -> Result<bool, StoreError> {
        let head = store.head();
        let is_recent = now.since(self.built_at) <= MAX_AGE
            && head.epoch == self.head.epoch
            && head.seq.saturating_sub(self.head.seq) <= MAX_COMMITS_BEHIND;
        let commits_after = || store.commits_after(self.head.epoch, self.head.seq, self.head.state.digest, 1);
        Ok(is_recent && matches!(commits_after()?, CommitsAfter::Commits(_)))
    }
}

/// Sends a snapshot, holding a permit. A snapshot that cannot be sent whole leaves a stream that is cut off.
pub async fn send_snapshot(snapshot: Arc<SnapshotFile>, permit: OwnedSemaphorePermit, chunks: ChunkSender) {
    let outcome = send_chunks(&snapshot, &chunks).await;
    drop((snapshot, permit));
    if let Err(reason) = outcome {
        tracing::info!(%reason, "sending a snapshot failed: {reason}");
        let _disconnected = chunks.send(Err(StreamAborted)).await;
    }
}

async fn send_chunks(snapshot: &Arc<SnapshotFile>, chunks: &ChunkSender) -> Result<(), &'static str> {
    let mut offset = 0;
    send_chunk(chunks, snapshot.header.clone()).await?;
    loop {
        let shared = Arc::clone(snapshot);
        let chunk = tokio::task::spawn_blocking(move || read_chunk(&shared.file, offset)).await;
        let chunk = chunk.ok().and_then(Result::ok).ok_or("its file could not be read")?;
        if chunk.is_empty() {
            return Ok(());
        }
        offset += chunk.len() as u64;
        send_chunk(chunks, chunk).await?;
    }
}

async fn send_chunk(chunks: &ChunkSender, chunk: Bytes) -> Result<(), &'static str> {
    match tokio::time::timeout(STALL_TIMEOUT, chunks.send(Ok(chunk))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("the host disconnected"),
        Err(_) => Err("the host read nothing for too long"),
    }
}

fn read_chunk(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let length = file.read_at(&mut chunk, offset)?;
    chunk.truncate(length);
    Ok(chunk.into())
}
