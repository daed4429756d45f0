//! One generation and how the feed relates to it: takes the lines of `changes`, one by one, and says what each proved.

use crate::model::change::{Change, Commit, Epoch, Head, RecordIdentity};
use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::replica::access_reduction::reduces_access;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::FeedLine;

/// Most changes of one batch: while a batch is applied, every reader of the store waits.
pub const MAX_BATCH_CHANGES: usize = 50;
/// So many heartbeats in a row that are ahead of us, and no commit, are a gap.
const MAX_HEARTBEATS_AHEAD: u32 = 3;

/// What is known of a generation's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorState {
    /// The store equals what the primary said at this head.
    Synced(Head),
    /// It does not; the primary's lines are followed from this head of theirs, and prove nothing.
    Drifted(Head),
    /// The primary no longer has what follows the cursor; from this head of theirs on, only what takes rights away is applied.
    CursorLost(Option<Head>),
}

/// What a line did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum LineEffect {
    /// Nothing new.
    Unchanged,
    /// Changes bind; whether that is all there is, is not known yet.
    Applied,
    /// The store equals the primary, now.
    Proven,
    /// The sums differ for the first time.
    Drifted,
}

/// Why a line cannot be taken: the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyLineError {
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
    WentBack {
        /// What was followed to.
        after: u64,
        /// What came.
        seq: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that writes ended.
    #[error("the store's writer ended")]
    WriterStopped,
}

/// A generation that is followed. The only writer of its store.
pub struct TrackedGeneration {
    generation: Generation,
    cursor_state: CursorState,
    heartbeat_seen: bool,
    heartbeats_ahead: u32,
}

impl TrackedGeneration {
    /// Follows `generation` on `track`.
    #[must_use]
    pub const fn new(generation: Generation, track: CursorState) -> Self {
        Self { generation, cursor_state: track, heartbeat_seen: false, heartbeats_ahead: 0 }
    }

    /// The generation.
    #[must_use]
    pub const fn generation(&self) -> &Generation {
        &self.generation
    }

    /// What is known of its cursor.
    #[must_use]
    pub const fn cursor_state(&self) -> CursorState {
        self.cursor_state
    }

    /// Where the feed is to be read from; `None` if nowhere.
    #[must_use]
    pub const fn feed_position(&self) -> Option<Head> {
        match self.cursor_state {
            CursorState::Synced(head) | CursorState::Drifted(head) => Some(head),
            CursorState::CursorLost(head) => head,
        }
    }

    /// Where the store equals the primary; `None` if it does not.
    #[must_use]
    pub const fn synced_head(&self) -> Option<Head> {
        match self.cursor_state {
            CursorState::Synced(head) => Some(head),
            CursorState::Drifted(_) | CursorState::CursorLost(_) => None,
        }
    }

    /// A new connection: nothing is proven before its first heartbeat, for a backlog is not the present.
    pub const fn reset_connection(&mut self) {
        self.heartbeat_seen = false;
        self.heartbeats_ahead = 0;
    }

    /// The cursor is lost; the primary's present head if it named one.
    pub const fn mark_cursor_lost(&mut self, head: Option<Head>) {
        self.cursor_state = CursorState::CursorLost(head);
    }

    /// Whether a line takes more than one batch: until it is taken, the store holds neither what was nor what will be.
    #[must_use]
    pub fn needs_several_batches(line: &FeedLine) -> bool {
        matches!(line, FeedLine::Commit(commit) if commit.changes.len() > MAX_BATCH_CHANGES)
    }

    /// Takes one line: what must be next, is applied, and is equal.
    pub async fn apply_line(&mut self, line: FeedLine) -> Result<LineEffect, ApplyLineError> {
        let Some(after) = self.feed_position() else { return Ok(LineEffect::Unchanged) };
        match line {
            FeedLine::Commit(commit) => self.apply_commit(after, commit).await,
            FeedLine::Heartbeat { seq, state } => self.apply_heartbeat(after, seq, state).await,
        }
    }

    async fn apply_commit(&mut self, after: Head, commit: Commit) -> Result<LineEffect, ApplyLineError> {
        if (commit.seq, commit.state) == (after.seq, after.state) {
            return Ok(LineEffect::Unchanged);
        }
        let claimed = next_head(after, &commit)?;
        self.heartbeats_ahead = 0;
        let generation = self.generation.clone();
        let track = self.cursor_state;
        let state = run_blocking(move || match track {
            CursorState::Synced(_) => apply_changes(&generation, commit.changes, Some((claimed.epoch, claimed.seq))),
            CursorState::Drifted(_) => apply_changes(&generation, commit.changes, None),
            CursorState::CursorLost(_) => apply_changes(&generation, retain_access_reductions(&generation, commit.changes)?, None),
        })
        .await?;
        self.update_cursor_state(claimed, state, self.heartbeat_seen).await
    }

    async fn apply_heartbeat(&mut self, after: Head, seq: u64, state: DirectoryDigest) -> Result<LineEffect, ApplyLineError> {
        if seq < after.seq {
            return Err(ApplyLineError::WentBack { after: after.seq, seq });
        }
        if seq > after.seq {
            self.heartbeats_ahead += 1;
            return if self.heartbeats_ahead < MAX_HEARTBEATS_AHEAD {
                Ok(LineEffect::Unchanged)
            } else {
                Err(ApplyLineError::Gap { after: after.seq, seq })
            };
        }
        self.heartbeats_ahead = 0;
        self.heartbeat_seen = true;
        let ours = self.generation.state();
        self.update_cursor_state(Head { state, ..after }, ours, true).await
    }

    /// Sets the track by whether the store equals what the primary says. Equal sums make any track true again.
    async fn update_cursor_state(&mut self, claimed: Head, ours: DirectoryDigest, present: bool) -> Result<LineEffect, ApplyLineError> {
        let was = self.cursor_state;
        if ours != claimed.state {
            self.cursor_state = match was {
                CursorState::Synced(_) | CursorState::Drifted(_) => CursorState::Drifted(claimed),
                CursorState::CursorLost(_) => CursorState::CursorLost(Some(claimed)),
            };
            return Ok(if matches!(was, CursorState::Synced(_)) { LineEffect::Drifted } else { LineEffect::Applied });
        }
        if !matches!(was, CursorState::Synced(_)) {
            let generation = self.generation.clone();
            run_blocking(move || generation.apply(&[], Some((claimed.epoch, claimed.seq)))).await?;
        }
        self.cursor_state = CursorState::Synced(claimed);
        Ok(if present { LineEffect::Proven } else { LineEffect::Applied })
    }
}

fn next_head(after: Head, commit: &Commit) -> Result<Head, ApplyLineError> {
    let seq = commit.seq;
    if seq <= after.seq {
        return Err(ApplyLineError::WentBack { after: after.seq, seq });
    }
    if seq != after.seq + 1 {
        return Err(ApplyLineError::Gap { after: after.seq, seq });
    }
    Ok(Head { epoch: after.epoch, seq, state: commit.state })
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, ApplyLineError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| ApplyLineError::WriterStopped)??)
}

/// Applies the changes of one commit: deletes first, in batches of at most [`BATCH`], the cursor only with the last.
pub fn apply_changes(generation: &Generation, changes: Vec<Change>, cursor: Option<(Epoch, u64)>) -> Result<DirectoryDigest, StoreError> {
    let (mut ordered, puts): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| matches!(change, Change::Delete(_)));
    ordered.extend(puts);
    let mut rest = ordered.as_slice();
    while rest.len() > MAX_BATCH_CHANGES {
        let (batch, more) = rest.split_at(MAX_BATCH_CHANGES);
        generation.apply(batch, None)?;
        rest = more;
    }
    if rest.is_empty() && cursor.is_none() {
        return Ok(generation.state());
    }
    generation.apply(rest, cursor)
}

fn retain_access_reductions(generation: &Generation, changes: Vec<Change>) -> Result<Vec<Change>, StoreError> {
    let mut taken = Vec::new();
    for change in changes {
        let binds = match &change {
            Change::Delete(_) => true,
            Change::Put(entry) => match (entry.record(), stored_entry(generation, entry)?) {
                (Some(new), Some(old)) => old.record().is_some_and(|old| reduces_access(old, new)),
                _ => false,
            },
        };
        if binds {
            taken.push(change);
        }
    }
    Ok(taken)
}

fn stored_entry(generation: &Generation, entry: &Entry) -> Result<Option<Entry>, StoreError> {
    let identity = match entry.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => RecordIdentity::Key(key.id),
        _ => RecordIdentity::Other(entry.sort_key().clone(), entry.text().into()),
    };
    generation.entry(&identity)
}
