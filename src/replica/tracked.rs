//! One generation and how the feed relates to it: takes the lines of `changes`, one by one, and says what each proved.

use crate::model::change::{Change, Commit, Epoch, Head, Identity};
use crate::model::digest::State;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::replica::restrict::takes_away;
use crate::store::generation::{Damage, Generation};
use crate::wire::feed::FeedLine;

/// Most changes of one batch: while a batch is applied, every reader of the store waits.
pub const BATCH: usize = 50;
/// So many heartbeats in a row that are ahead of us, and no commit, are a gap.
const HEARTBEATS_AHEAD: u32 = 3;

/// What is known of a generation's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The store equals what the primary said at this head.
    True(Head),
    /// It does not; the primary's lines are followed from this head of theirs, and prove nothing.
    Drifted(Head),
    /// The primary no longer has what follows the cursor; from this head of theirs on, only what takes rights away is applied.
    Lost(Option<Head>),
}

/// What a line did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Took {
    /// Nothing new.
    Nothing,
    /// Changes bind; whether that is all there is, is not known yet.
    Applied,
    /// The store equals the primary, now.
    Proven,
    /// The sums differ for the first time.
    Drifted,
}

/// Why a line cannot be taken: the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Commits are missing.
    #[error("the feed goes from {after} to {seq}")]
    Gap {
        /// What was followed to.
        after: u64,
        /// What came.
        seq: u64,
    },
    /// The primary says less than it said before.
    #[error("the feed went back from {after} to {seq}")]
    Back {
        /// What was followed to.
        after: u64,
        /// What came.
        seq: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Damage),
    /// The thread that writes ended.
    #[error("the store's writer ended")]
    Stopped,
}

/// A generation that is followed. The only writer of its store.
pub struct Tracked {
    generation: Generation,
    track: Track,
    reached: bool,
    ahead: u32,
}

impl Tracked {
    /// Follows `generation` on `track`.
    #[must_use]
    pub const fn new(generation: Generation, track: Track) -> Self {
        Self { generation, track, reached: false, ahead: 0 }
    }

    /// The generation.
    #[must_use]
    pub const fn generation(&self) -> &Generation {
        &self.generation
    }

    /// What is known of its cursor.
    #[must_use]
    pub const fn track(&self) -> Track {
        self.track
    }

    /// Where the feed is to be read from; `None` if nowhere.
    #[must_use]
    pub const fn position(&self) -> Option<Head> {
        match self.track {
            Track::True(head) | Track::Drifted(head) => Some(head),
            Track::Lost(head) => head,
        }
    }

    /// Where the store equals the primary; `None` if it does not.
    #[must_use]
    pub const fn true_head(&self) -> Option<Head> {
        match self.track {
            Track::True(head) => Some(head),
            Track::Drifted(_) | Track::Lost(_) => None,
        }
    }

    /// A new connection: nothing is proven before its first heartbeat, for a backlog is not the present.
    pub const fn connected(&mut self) {
        self.reached = false;
        self.ahead = 0;
    }

    /// The cursor is lost; the primary's present head if it named one.
    pub const fn lose(&mut self, head: Option<Head>) {
        self.track = Track::Lost(head);
    }

    /// Whether a line takes more than one batch: until it is taken, the store holds neither what was nor what will be.
    #[must_use]
    pub fn takes_several_batches(line: &FeedLine) -> bool {
        matches!(line, FeedLine::Commit(commit) if commit.changes.len() > BATCH)
    }

    /// Takes one line: what must be next, is applied, and is equal.
    pub async fn take(&mut self, line: FeedLine) -> Result<Took, Broken> {
        let Some(after) = self.position() else { return Ok(Took::Nothing) };
        match line {
            FeedLine::Commit(commit) => self.take_commit(after, commit).await,
            FeedLine::Heartbeat { seq, state } => self.take_heartbeat(after, seq, state).await,
        }
    }

    async fn take_commit(&mut self, after: Head, commit: Commit) -> Result<Took, Broken> {
        if (commit.seq, commit.state) == (after.seq, after.state) {
            return Ok(Took::Nothing);
        }
        let claimed = next(after, &commit)?;
        self.ahead = 0;
        let generation = self.generation.clone();
        let track = self.track;
        let state = blocking(move || match track {
            Track::True(_) => apply(&generation, commit.changes, Some((claimed.epoch, claimed.seq))),
            Track::Drifted(_) => apply(&generation, commit.changes, None),
            Track::Lost(_) => apply(&generation, only_what_takes_away(&generation, commit.changes)?, None),
        })
        .await?;
        self.compare(claimed, state, self.reached).await
    }

    async fn take_heartbeat(&mut self, after: Head, seq: u64, state: State) -> Result<Took, Broken> {
        if seq < after.seq {
            return Err(Broken::Back { after: after.seq, seq });
        }
        if seq > after.seq {
            self.ahead += 1;
            return if self.ahead < HEARTBEATS_AHEAD { Ok(Took::Nothing) } else { Err(Broken::Gap { after: after.seq, seq }) };
        }
        self.ahead = 0;
        self.reached = true;
        let ours = self.generation.state();
        self.compare(Head { state, ..after }, ours, true).await
    }

    /// Sets the track by whether the store equals what the primary says. Equal sums make any track true again.
    async fn compare(&mut self, claimed: Head, ours: State, present: bool) -> Result<Took, Broken> {
        let was = self.track;
        if ours != claimed.state {
            self.track = match was {
                Track::True(_) | Track::Drifted(_) => Track::Drifted(claimed),
                Track::Lost(_) => Track::Lost(Some(claimed)),
            };
            return Ok(if matches!(was, Track::True(_)) { Took::Drifted } else { Took::Applied });
        }
        if !matches!(was, Track::True(_)) {
            let generation = self.generation.clone();
            blocking(move || generation.apply(&[], Some((claimed.epoch, claimed.seq)))).await?;
        }
        self.track = Track::True(claimed);
        Ok(if present { Took::Proven } else { Took::Applied })
    }
}

fn next(after: Head, commit: &Commit) -> Result<Head, Broken> {
    let seq = commit.seq;
    if seq <= after.seq {
        return Err(Broken::Back { after: after.seq, seq });
    }
    if seq != after.seq + 1 {
        return Err(Broken::Gap { after: after.seq, seq });
    }
    Ok(Head { epoch: after.epoch, seq, state: commit.state })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Damage> + Send + 'static) -> Result<T, Broken> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Broken::Stopped)??)
}

/// Applies the changes of one commit: deletes first, in batches of at most [`BATCH`], the cursor only with the last.
pub fn apply(generation: &Generation, changes: Vec<Change>, cursor: Option<(Epoch, u64)>) -> Result<State, Damage> {
    let (mut ordered, puts): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| matches!(change, Change::Delete(_)));
    ordered.extend(puts);
    let mut rest = ordered.as_slice();
    while rest.len() > BATCH {
        let (batch, more) = rest.split_at(BATCH);
        generation.apply(batch, None)?;
        rest = more;
    }
    if rest.is_empty() && cursor.is_none() {
        return Ok(generation.state());
    }
    generation.apply(rest, cursor)
}

fn only_what_takes_away(generation: &Generation, changes: Vec<Change>) -> Result<Vec<Change>, Damage> {
    let mut taken = Vec::new();
    for change in changes {
        let binds = match &change {
            Change::Delete(_) => true,
            Change::Put(entry) => match (entry.record(), standing(generation, entry)?) {
                (Some(new), Some(old)) => old.record().is_some_and(|old| takes_away(old, new)),
                _ => false,
            },
        };
        if binds {
            taken.push(change);
        }
    }
    Ok(taken)
}

fn standing(generation: &Generation, entry: &Entry) -> Result<Option<Entry>, Damage> {
    let identity = match entry.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => Identity::Key(key.id),
        _ => Identity::At(entry.place().clone(), entry.text().into()),
    };
    generation.entry(&identity)
}
