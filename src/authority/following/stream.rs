//! One follower's stream: the lines after its cursor as they come, and a heartbeat when nothing came.
//!
//! A stream pulls at its own pace out of what all share, so a slow follower costs a few pieces and no more; one that takes
//! nothing for [`STALLED`] is cut off. A heartbeat is said only of the very head of the store, because it proves to the
//! follower that it is current.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Follower;
use crate::authority::following::hosts::Feeding;
use crate::authority::following::lines::Line;
use crate::model::change::Head;
use crate::model::clock;
use crate::net::message::CutOff;
use crate::store::primary::After;
use crate::wire::feed;

/// How often a heartbeat is said; followers are promised one every 5 s.
pub const HEARTBEAT: Duration = Duration::from_secs(4);
/// How long a follower may take nothing.
pub const STALLED: Duration = Duration::from_secs(15);
/// Pieces that wait for a follower.
pub const PIECES: usize = 4;
/// Bytes of lines that go together, if there is more than one.
const PIECE_BYTES: usize = 256 << 10;
/// Commits that a follower who is behind reads from the journal at a time; each may be 4 MiB.
const JOURNAL_AT_ONCE: usize = 4;
/// Followers that may read the journal at a time.
static JOURNAL_READERS: Semaphore = Semaphore::const_new(8);

/// The way to one follower.
pub type Pieces = mpsc::Sender<Result<Bytes, CutOff>>;

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The follower went away.
    Gone,
    /// It took nothing for too long.
    Stalled,
    /// Its cursor is not in the journal any more, or the epoch is another: it has to ask again.
    Behind,
    /// The journal could not be read.
    Fault,
    /// Its secret has changed.
    Secret,
    /// The primary ends.
    Ending,
}

/// Streams to one follower from `at` on, until one of the two ends it. `at` is a cursor that the journal knows.
pub async fn stream(house: Arc<Authority>, follower: Follower, feeding: Feeding, at: Head, pieces: Pieces) {
    tracing::info!(host = %follower.host, seq = at.seq, "a follower came");
    let ended = Stream { house: &house, feeding: &feeding, pieces: &pieces, at }.run(follower.era).await;
    drop(feeding);
    if ended == Ended::Stalled {
        house.counters.cut_off.inc();
    }
    tracing::info!(host = %follower.host, why = ?ended, "a follower went");
    drop(house);
    // Its last piece says that the stream did not end by itself; who takes nothing never reads it.
    let _gone = pieces.send(Err(CutOff)).await;
}

struct Stream<'a> {
    house: &'a Arc<Authority>,
    feeding: &'a Feeding,
    pieces: &'a Pieces,
    at: Head,
}

impl Stream<'_> {
    async fn run(mut self, era: u64) -> Ended {
        match self.follow(era).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn follow(&mut self, era: u64) -> Result<std::convert::Infallible, Ended> {
        let share = fastrand::f64();
        let mut newest = self.house.lines.newest();
        let mut eras = self.house.sync.eras();
        let mut ending = std::pin::pin!(self.house.ending());
        let mut beat = tokio::time::interval(HEARTBEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            newest.borrow_and_update();
            while let Some(lines) = self.next(false).await? {
                self.send_lines(lines).await?;
            }
            let lasts = self.house.sync.lasts(era, share, clock::wall());
            let end = async {
                match lasts {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = newest.changed() => changed.map_err(|_| Ended::Fault)?,
                _ = beat.tick() => self.beat().await?,
                _ = eras.changed() => {}
                () = end => return Err(Ended::Secret),
                () = &mut ending => return Err(Ended::Ending),
                () = self.pieces.closed() => return Err(Ended::Gone),
            }
        }
    }

    /// The lines after the cursor, or `None` if there are none. The shared ones, unless they do not reach back so far or `journal` says
    /// not to wait for them.
    async fn next(&self, journal: bool) -> Result<Option<Vec<Line>>, Ended> {
        match self.house.lines.after(self.at.epoch, self.at.seq, PIECE_BYTES) {
            Some(lines) if !lines.is_empty() => return Ok(Some(lines)),
            Some(_) if !journal => return Ok(None),
            _ => {}
        }
        let _turn = JOURNAL_READERS.acquire().await.map_err(|_| Ended::Fault)?;
        let (store, at) = (self.house.store.clone(), self.at);
        let after = blocking(move || store.after(at.epoch, at.seq, at.state.digest, JOURNAL_AT_ONCE)).await.map_err(|_| Ended::Fault)?;
        match after {
            After::Commits(commits) if commits.is_empty() => Ok(None),
            After::Commits(commits) => Ok(Some(commits.iter().map(|commit| Line::of(commit)).collect())),
            After::Gone | After::Unlike(_) => Err(Ended::Behind),
        }
    }

    async fn send_lines(&mut self, lines: Vec<Line>) -> Result<(), Ended> {
        let Some(last) = lines.last() else {
            return Ok(());
        };
        let at = Head { epoch: self.at.epoch, seq: last.seq, state: last.state };
        self.house.counters.lines.inc_by(lines.len() as u64);
        let piece = match &lines[..] {
            [one] => one.text.clone(),
            many => many.iter().map(|line| &line.text[..]).collect::<Vec<_>>().concat().into(),
        };
        self.send(piece).await?;
        self.at = at;
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        let head = self.house.store.head();
        if head.epoch != self.at.epoch {
            return Err(Ended::Behind);
        }
        if head.seq != self.at.seq {
            // The shared lines are late; a follower must not wait for them.
            return match self.next(true).await? {
                Some(lines) => self.send_lines(lines).await,
                None => Ok(()),
            };
        }
        let mut line = feed::heartbeat(head.seq, head.state);
        line.push('\n');
        self.send(line.into()).await
    }

    async fn send(&self, piece: Bytes) -> Result<(), Ended> {
        match tokio::time::timeout(STALLED, self.pieces.send(Ok(piece))).await {
            Ok(Ok(())) => {
                self.feeding.seen(clock::wall());
                Ok(())
            }
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Stalled),
        }
    }
}
