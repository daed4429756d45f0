//! One generation and how the feed relates to it: applies the lines of `changes`, one by one, and says what each proved.

use crate::model::change::{Commit, Head};
use crate::model::coverage::Coverage;
use crate::model::digest::DirectoryDigest;
use crate::replica::blocking::{ThreadFailed, run_blocking};
use crate::replica::generation::apply::{MAX_BATCH_CHANGES, apply_changes};
use crate::replica::generation::restrictions::restrictions;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::FeedLine;

/// So many heartbeats in a row that are ahead of the cursor, and no commit, are a gap.
const MAX_HEARTBEATS_AHEAD: u32 = 3;

/// What is known of a generation's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorState {
    /// The store equals what the primary said at this head.
    Synced(Head),
    /// It does not; the feed is followed from this head of the primary, and proves nothing.
    Drifted(Head),
    /// The primary no longer has what follows the cursor; from this head of its on, only what restricts is applied.
    CursorLost(Option<Head>),
    /// The store takes no more changes. The feed is followed from this head of the primary; nothing is applied, and nothing is proven.
    StoreFailed(Head),
}

/// What applying a line did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum LineEffect {
    /// It changed nothing.
    Unchanged,
    /// Its changes are applied; whether more are to come is not known yet.
    Applied,
    /// The store equals the primary at this moment.
    Proven,
    /// Count or digest differ, for the first time.
    Drifted,
    /// The store takes no more changes; its head is behind this line.
    NotStored,
}

/// Why a line cannot be applied: the connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyLineError {
    /// Commits are missing.
    #[error("the feed goes from {after} to {seq}")]
    Gap {
        /// The number that was followed to.
        after: u64,
        /// The number of the line.
        seq: u64,
    },
    /// The primary is behind what it said before.
    #[error("the feed went back from {after} to {seq}")]
    WentBack {
        /// The number that was followed to.
        after: u64,
        /// The number of the line.
        seq: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that writes failed.
    #[error(transparent)]
    Thread(#[from] ThreadFailed),
}

/// A generation that follows the feed. The only writer of its store.
pub struct TrackedGeneration {
    generation: Generation,
    coverage: Coverage,
    cursor_state: CursorState,
    heartbeat_seen: bool,
    heartbeats_ahead: u32,
}

impl TrackedGeneration {
    /// Follows the feed with `generation`, which has the kinds of records that its snapshot's head named.
    #[must_use]
    pub const fn new(generation: Generation, coverage: Coverage, cursor_state: CursorState) -> Self {
        Self { generation, coverage, cursor_state, heartbeat_seen: false, heartbeats_ahead: 0 }
    }

    /// Returns the generation.
    #[must_use]
    pub const fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Returns the kinds of records that its snapshot's head named.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Returns what is known of its cursor.
    #[must_use]
    pub const fn cursor_state(&self) -> CursorState {
        self.cursor_state
    }

    /// Returns where the feed is to be read from; `None` if nowhere.
    #[must_use]
    pub const fn feed_position(&self) -> Option<Head> {
        match self.cursor_state {
            CursorState::Synced(head) | CursorState::Drifted(head) | CursorState::StoreFailed(head) => Some(head),
            CursorState::CursorLost(head) => head,
        }
    }

    /// Returns the head at which the store equals the primary; `None` if it does not.
    #[must_use]
    pub const fn synced_head(&self) -> Option<Head> {
        match self.cursor_state {
            CursorState::Synced(head) => Some(head),
            CursorState::Drifted(_) | CursorState::CursorLost(_) | CursorState::StoreFailed(_) => None,
        }
    }

    /// Begins with a new connection: nothing is proven before its first heartbeat, for a backlog is not the present.
    pub const fn reset_connection(&mut self) {
        self.heartbeat_seen = false;
        self.heartbeats_ahead = 0;
    }

    /// Records that the cursor is lost, and the primary's present head if it named one.
    pub const fn mark_cursor_lost(&mut self, head: Option<Head>) {
        self.cursor_state = CursorState::CursorLost(head);
    }

    /// Records that the store takes no more changes; the primary was at `claimed`.
    pub const fn mark_store_failed(&mut self, claimed: Head) {
        self.cursor_state = CursorState::StoreFailed(claimed);
    }

    /// Returns the head that a commit leads to, if it is the next one.
    #[must_use]
    pub fn next_head(&self, commit: &Commit) -> Option<Head> {
        next_head(self.feed_position()?, commit).ok()
    }

    /// Returns whether a line takes more than one batch: while it is applied, the store equals no state of the primary.
    #[must_use]
    pub fn needs_several_batches(line: &FeedLine) -> bool {
        matches!(line, FeedLine::Commit(commit) if commit.changes.len() > MAX_BATCH_CHANGES)
    }

    /// Applies one line: checks that it is the next, applies its changes, and compares the sums.
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
        if matches!(self.cursor_state, CursorState::StoreFailed(_)) {
            self.cursor_state = CursorState::StoreFailed(claimed);
            return Ok(LineEffect::NotStored);
        }
        let generation = self.generation.clone();
        let cursor_state = self.cursor_state;
        let state = run_blocking(move || {
            Ok::<_, ApplyLineError>(match cursor_state {
                CursorState::Synced(_) => apply_changes(&generation, commit.changes, Some((claimed.epoch, claimed.seq)))?,
                CursorState::Drifted(_) => apply_changes(&generation, commit.changes, None)?,
                CursorState::CursorLost(_) | CursorState::StoreFailed(_) => {
                    apply_changes(&generation, restrictions(&generation, &commit.changes), None)?
                }
            })
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
        if matches!(self.cursor_state, CursorState::StoreFailed(_)) {
            return Ok(LineEffect::NotStored);
        }
        self.heartbeat_seen = true;
        let ours = self.generation.state();
        self.update_cursor_state(Head { state, ..after }, ours, true).await
    }

    /// Sets the cursor's state by whether the store equals what the primary says. Equal sums make any cursor a good one again.
    async fn update_cursor_state(&mut self, claimed: Head, ours: DirectoryDigest, present: bool) -> Result<LineEffect, ApplyLineError> {
        let previous = self.cursor_state;
        if ours != claimed.state {
            self.cursor_state = match previous {
                CursorState::Synced(_) | CursorState::Drifted(_) => CursorState::Drifted(claimed),
                CursorState::CursorLost(_) => CursorState::CursorLost(Some(claimed)),
                CursorState::StoreFailed(_) => CursorState::StoreFailed(claimed),
            };
            return Ok(if matches!(previous, CursorState::Synced(_)) { LineEffect::Drifted } else { LineEffect::Applied });
        }
        if !matches!(previous, CursorState::Synced(_)) {
            let generation = self.generation.clone();
            run_blocking(move || Ok::<_, ApplyLineError>(generation.apply(&[], Some((claimed.epoch, claimed.seq)))?)).await?;
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
