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

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::following::lines::Line;
use crate::authority::following::loss;
use crate::authority::following::stream::{Pieces, STALLED};
use crate::authority::refusal::Refusal;
use crate::model::change::Head;
use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::net::message::CutOff;
use crate::store::generation::Damage;
use crate::store::primary::{After, PrimaryStore};
use crate::wire::feed::{self, FORMAT, SnapshotEnd, SnapshotHead};

/// To how many hosts it is sent at a time.
pub const SENT_AT_ONCE: usize = 4;
/// How long a host waits for its turn before it is told to come again.
pub const TURN: Duration = Duration::from_secs(30);
/// How old a snapshot may be that is sent again.
const RECENT: Duration = Duration::from_secs(300);
/// How many commits it may be behind.
const BEHIND: u64 = 10_000;
/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
/// Builds that a large apply may spoil before the builder gives up.
const TRIES: u32 = 3;
/// Speed before size: a host loads it faster than it could unpack a smaller one.
const COMPRESSION: i32 = 1;
const JOURNAL_AT_ONCE: usize = 64;

/// The snapshot that is at hand, and the turns of those who take it.
pub struct Snapshots {
    at_hand: Arc<Mutex<Option<Arc<Snapshot>>>>,
    turns: Arc<Semaphore>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { at_hand: Arc::default(), turns: Arc::new(Semaphore::new(SENT_AT_ONCE)) }
    }
}

/// A snapshot.
pub struct Snapshot {
    file: File,
    head: Head,
    accept_loss: bool,
    built: BootTime,
}

/// Why a snapshot was not built.
#[derive(Debug, thiserror::Error)]
enum NotBuilt {
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("the file of the snapshot: {0}")]
    Io(#[from] io::Error),
    #[error("the whole directory was replaced while its snapshot was built")]
    Replaced,
}

impl From<NotBuilt> for Refusal {
    fn from(reason: NotBuilt) -> Self {
        Self::fault(reason)
    }
}

impl Snapshots {
    /// A turn to send; `None` if it did not come in time.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()
    }

    /// The one at hand if it is recent enough, else a new one; however many ask, one is built. A build goes on when its asker hangs up.
    pub async fn recent(&self, house: &Arc<Authority>) -> Result<Arc<Snapshot>, Refusal> {
        let (at_hand, house) = (Arc::clone(&self.at_hand), Arc::clone(house));
        let built = tokio::spawn(async move {
            let mut at_hand = at_hand.lock().await;
            let before = at_hand.take();
            let (store, workshop) = (house.store.clone(), house.workshop.clone());
            let (now, wall) = (clock::boot(), clock::wall());
            let snapshot = blocking(move || recent_or_new(&store, &workshop, before, now, wall)).await?;
            *at_hand = Some(Arc::clone(&snapshot));
            Ok(snapshot)
        });
        built.await.map_err(Refusal::fault)?
    }
}

fn recent_or_new(
    store: &PrimaryStore,
    workshop: &Path,
    before: Option<Arc<Snapshot>>,
    now: BootTime,
    wall: Time,
) -> Result<Arc<Snapshot>, NotBuilt> {
    let accept_loss = loss::accepted(store.ledger(), wall)?.is_some();
    if let Some(before) = before
        && before.accept_loss == accept_loss
        && before.serves(store, now)?
    {
        return Ok(before);
    }
    let mut tries = 1;
    loop {
        match build(store, workshop, accept_loss, now) {
            Err(NotBuilt::Replaced) if tries < TRIES => tries += 1,
            built => return built.map(Arc::new),
        }
    }
}

fn build(store: &PrimaryStore, workshop: &Path, accept_loss: bool, now: BootTime) -> Result<Snapshot, NotBuilt> {
    let file = tempfile::tempfile_in(workshop)?;
    let mut out = zstd::stream::write::Encoder::new(io::BufWriter::with_capacity(PIECE, file), COMPRESSION)?;
    out.include_checksum(true)?;
    let from = store.head();
    write_line(&mut out, &feed::snapshot_head(&SnapshotHead { format: FORMAT, epoch: from.epoch, from_seq: from.seq }))?;
    for line in store.directory().lines() {
        write_line(&mut out, &line?)?;
    }
    let head = write_journal(&mut out, store, from)?;
    write_line(&mut out, &feed::snapshot_end(&SnapshotEnd { seq: head.seq, state: head.state, accept_loss }))?;
    let file = out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    tracing::info!(from = from.seq, seq = head.seq, records = head.state.count, "a snapshot was built");
    Ok(Snapshot { file, head, accept_loss, built: now })
}

/// The journal from `from` to where the store stands now.
fn write_journal(out: &mut impl io::Write, store: &PrimaryStore, from: Head) -> Result<Head, NotBuilt> {
    let to = store.settled_head();
    let mut at = from;
    while at.seq < to.seq || at.epoch != to.epoch {
        let After::Commits(commits) = store.after(at.epoch, at.seq, at.state.digest, JOURNAL_AT_ONCE)? else {
            return Err(NotBuilt::Replaced);
        };
        if commits.is_empty() {
            return Err(NotBuilt::Replaced);
        }
        for commit in commits {
            let line = Line::of(&commit);
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

impl Snapshot {
    /// Whether a host that loads it can go on from its end.
    fn serves(&self, store: &PrimaryStore, now: BootTime) -> Result<bool, Damage> {
        let head = store.head();
        let near = now.since(self.built) <= RECENT && head.epoch == self.head.epoch && head.seq.saturating_sub(self.head.seq) <= BEHIND;
        let known = || store.after(self.head.epoch, self.head.seq, self.head.state.digest, 1);
        Ok(near && matches!(known()?, After::Commits(_)))
    }
}

/// Sends it, holding a turn. Whatever keeps it from being sent whole leaves a stream that is cut off.
pub async fn send(snapshot: Arc<Snapshot>, turn: OwnedSemaphorePermit, pieces: Pieces) {
    let outcome = send_all(&snapshot, &pieces).await;
    drop((snapshot, turn));
    if let Err(reason) = outcome {
        tracing::info!(%reason, "a snapshot was not sent whole");
        let _gone = pieces.send(Err(CutOff)).await;
    }
}

async fn send_all(snapshot: &Arc<Snapshot>, pieces: &Pieces) -> Result<(), &'static str> {
    let mut offset = 0;
    loop {
        let from = Arc::clone(snapshot);
        let piece = tokio::task::spawn_blocking(move || read(&from.file, offset)).await;
        let piece = piece.ok().and_then(Result::ok).ok_or("its file could not be read")?;
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u64;
        match tokio::time::timeout(STALLED, pieces.send(Ok(piece))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err("the host went away"),
            Err(_) => return Err("the host took nothing for too long"),
        }
    }
}

fn read(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE];
    let length = file.read_at(&mut piece, offset)?;
    piece.truncate(length);
    Ok(piece.into())
}
