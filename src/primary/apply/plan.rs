//! What an apply would do, judged before anything is done: the counts, whether so much may go, and the way to do it.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;

use crate::model::change::{Change, RecordIdentity};
use crate::model::loss_guard::{Loss, LossGuard};
use crate::model::record::Record;
use crate::primary::apply::constraints::{Constraints, IntegrityError, RecordOrigin};
use crate::primary::apply::diff::{DiffError, RecordDiff, Unlisted, diff};
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::primary::refusal::ApiError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::{MAX_COMMIT_BYTES, MAX_COMMIT_CHANGES};

/// The kind of a record that is not understood.
const UNKNOWN_KIND: &str = "not_understood";

/// What would become of the directory, kind by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplySummary {
    /// The counts of each kind of which there is, or will be, a record.
    pub kinds: BTreeMap<&'static str, KindCounts>,
}

/// What would become of the records of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindCounts {
    /// New ones.
    pub added: u64,
    /// Those that take the place of others.
    pub changed: u64,
    /// Those that the file names as they stand.
    pub unchanged: u64,
    /// Those that go.
    pub removed: u64,
    /// How many there were.
    #[serde(skip)]
    pub(super) existing: u64,
}

impl ApplySummary {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> KindCounts {
        self.kinds.values().fold(KindCounts::default(), |sum, kind| KindCounts {
            added: sum.added + kind.added,
            changed: sum.changed + kind.changed,
            unchanged: sum.unchanged + kind.unchanged,
            removed: sum.removed + kind.removed,
            existing: sum.existing + kind.existing,
        })
    }

    pub(super) fn record(&mut self, step: &RecordDiff) {
        let (RecordDiff::Unchanged(entry, _)
        | RecordDiff::Added(entry, _)
        | RecordDiff::Changed { new: entry, .. }
        | RecordDiff::Removed(entry)) = step;
        let counts = self.kinds.entry(entry.record().map_or(UNKNOWN_KIND, |record| record.kind())).or_default();
        counts.existing += u64::from(!matches!(step, RecordDiff::Added(..)));
        match step {
            RecordDiff::Unchanged(_, RecordOrigin::Line(_)) => counts.unchanged += 1,
            RecordDiff::Unchanged(_, RecordOrigin::Directory) => {}
            RecordDiff::Added(..) => counts.added += 1,
            RecordDiff::Changed { .. } => counts.changed += 1,
            RecordDiff::Removed(_) => counts.removed += 1,
        }
    }

    /// The largest loss that the guard holds.
    pub(super) fn excessive_loss(&self, guard: LossGuard) -> Option<ExcessiveLoss> {
        let losses =
            self.kinds.iter().map(|(kind, counts)| ExcessiveLoss { kind, loss: Loss { lost: counts.removed, total: counts.existing } });
        losses.filter(|loss| guard.requires_confirmation(loss.loss)).max_by_key(|loss| loss.loss.lost)
    }
}

/// How to do it.
#[derive(Debug)]
pub enum ApplyStrategy {
    /// One commit, deletes first; nothing at all if there are none.
    Commit(Vec<Change>),
    /// More than a commit may carry: a whole new directory.
    Replace,
}

/// A plan.
#[derive(Debug)]
pub struct ApplyPlan {
    /// The counts.
    pub summary: ApplySummary,
    /// The way.
    pub strategy: ApplyStrategy,
    /// The loss that somebody has to mean, if there is one.
    pub excessive_loss: Option<ExcessiveLoss>,
}

/// A loss beyond the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcessiveLoss {
    kind: &'static str,
    loss: Loss,
}

/// Plans. `claims` are those of the file, and gain those of what stays. The directory must not change meanwhile.
pub fn plan_by_diff(
    standing: &Generation,
    spool: &StagedFile,
    claims: &mut Constraints,
    unnamed: Unlisted,
    guard: LossGuard,
) -> Result<ApplyPlan, ApiError> {
    let mut outcome = ApplySummary::default();
    let mut changes = CommitBuilder::default();
    for step in diff(standing, spool, unnamed) {
        let step = step?;
        outcome.record(&step);
        if let RecordDiff::Unchanged(entry, RecordOrigin::Directory) = &step
            && let Some(record) = entry.record()
        {
            claims.insert(RecordOrigin::Directory, record).map_err(StagingError::from)?;
        }
        if unnamed == Unlisted::Keep
            && let Some(conflict) = key_conflict(&step, spool)
        {
            return Err(StagingError::from(conflict).into());
        }
        changes.push(step);
    }
    check_references(standing, spool, claims, unnamed, changes.may_orphan)?;
    let loss = if unnamed == Unlisted::Remove { outcome.excessive_loss(guard) } else { None };
    Ok(ApplyPlan { summary: outcome, strategy: changes.into_strategy(), excessive_loss: loss })
}

/// A key that another id holds, of which the file does not say what it holds now: whose it is does not change by the way.
fn key_conflict(step: &RecordDiff, spool: &StagedFile) -> Option<IntegrityError> {
    let RecordDiff::Changed { old, new, line } = step else { return None };
    let (Some(Record::Key(old)), Some(Record::Key(new))) = (old.record().map(AsRef::as_ref), new.record().map(AsRef::as_ref)) else {
        return None;
    };
    let what = || format!("the key {} (key id {})", old.key.fingerprint(), old.id);
    (old.id != new.id && !spool.key_ids.contains(&old.id)).then(|| IntegrityError::Duplicate {
        line: *line,
        what: what(),
        first: RecordOrigin::Directory,
    })
}

/// Checks what the records name: of the new ones always, of those that stay if anything goes that they could name.
fn check_references(
    standing: &Generation,
    spool: &StagedFile,
    claims: &Constraints,
    unnamed: Unlisted,
    takes_away: bool,
) -> Result<(), ApiError> {
    for step in diff(standing, spool, unnamed) {
        let (entry, origin) = match step? {
            RecordDiff::Added(new, line) | RecordDiff::Changed { new, line, .. } => (new, RecordOrigin::Line(line)),
            RecordDiff::Unchanged(entry, origin) if takes_away => (entry, origin),
            RecordDiff::Unchanged(..) | RecordDiff::Removed(_) => continue,
        };
        if let Some(record) = entry.record() {
            claims.check_references(origin, record, || RecordIdentity::from_entry(&entry).to_string()).map_err(StagingError::from)?;
        }
    }
    Ok(())
}

/// The changes, as long as one commit can carry them.
#[derive(Default)]
pub(super) struct CommitBuilder {
    deletes: Vec<Change>,
    puts: Vec<Change>,
    bytes: usize,
    over_limit: bool,
    /// Whether anything goes, or changes into something else, that another record may name.
    may_orphan: bool,
}

impl CommitBuilder {
    pub(super) fn push(&mut self, step: RecordDiff) {
        match step {
            RecordDiff::Unchanged(..) => return,
            RecordDiff::Removed(old) => {
                self.may_orphan = true;
                self.bytes += old.text().len();
                self.deletes.push(Change::Delete(RecordIdentity::from_entry(&old)));
            }
            RecordDiff::Added(new, _) => {
                self.bytes += new.text().len();
                self.puts.push(Change::Put(new));
            }
            RecordDiff::Changed { old, new, .. } => {
                self.may_orphan |= old.record().is_some_and(|record| record.kind() == "key");
                self.bytes += new.text().len();
                // A key that changes its id goes under the old one first, so that nobody who follows keeps that.
                let called = RecordIdentity::from_entry(&old);
                if called != RecordIdentity::from_entry(&new) {
                    self.deletes.push(Change::Delete(called));
                }
                self.puts.push(Change::Put(new));
            }
        }
        // A line says a little more than its records; half of the bound leaves room for it.
        if self.deletes.len() + self.puts.len() > MAX_COMMIT_CHANGES || self.bytes > MAX_COMMIT_BYTES / 2 {
            self.over_limit = true;
            self.deletes = Vec::new();
            self.puts = Vec::new();
            self.bytes = 0;
        }
    }

    pub(super) fn into_strategy(mut self) -> ApplyStrategy {
        if self.over_limit {
            return ApplyStrategy::Replace;
        }
        self.deletes.append(&mut self.puts);
        ApplyStrategy::Commit(self.deletes)
    }
}

impl ExcessiveLoss {
    /// The refusal that says how to mean it.
    #[must_use]
    pub fn to_error(&self) -> ApiError {
        let Self { kind, loss: Loss { lost, total: held } } = self;
        ApiError::conflict(format!(
            "This file would remove {lost} of {held} records of the kind {kind}. Nothing was applied; if it is meant, say --accept-loss."
        ))
    }
}

impl From<StagingError> for ApiError {
    fn from(refused: StagingError) -> Self {
        match refused {
            StagingError::Io(error) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, format!("{}. Nothing was applied.", StagingError::Io(error)))
            }
            refused => Self::new(StatusCode::UNPROCESSABLE_ENTITY, refused.to_string()),
        }
    }
}

impl From<DiffError> for ApiError {
    fn from(stopped: DiffError) -> Self {
        Self::internal(stopped)
    }
}
