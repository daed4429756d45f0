//! What an apply would do, decided before anything is written: the counts, the changes, and the loss that has to be confirmed.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::api::error::ApiError;
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::loss_guard::{Loss, LossGuard};
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::primary::apply::constraints::RecordOrigin;
use crate::primary::apply::diff::{DiffError, RecordDiff};
use crate::primary::apply::file_errors::FileErrors;
use crate::primary::apply::receive::describe_storage_error;
use crate::primary::apply::staged_file::StagingError;
use crate::store::primary::primary_store::{MAX_COMMIT_BYTES, MAX_COMMIT_CHANGES};

/// The kind under which records are counted that this version does not know.
const UNKNOWN_KIND: &str = "not_understood";

/// How many records of each kind an apply adds, changes and removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplySummary {
    /// The counts by kind, of each kind of which there is or will be a record.
    pub kinds: BTreeMap<&'static str, KindCounts>,
}

/// How many records of one kind an apply adds, changes and removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindCounts {
    /// Records that are new.
    pub added: u64,
    /// Records that replace another.
    pub changed: u64,
    /// Records that the file names as they are.
    pub unchanged: u64,
    /// Records that are removed.
    pub removed: u64,
    /// Records that there were before.
    #[serde(skip)]
    pub existing: u64,
}

impl ApplySummary {
    /// Returns the sum over all kinds.
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

    /// Counts one step.
    pub fn record(&mut self, step: &RecordDiff) {
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

    /// Returns the largest loss that the guard wants confirmed.
    pub fn excessive_loss(&self, guard: LossGuard) -> Option<ExcessiveLoss> {
        let losses =
            self.kinds.iter().map(|(kind, counts)| ExcessiveLoss { kind, loss: Loss { lost: counts.removed, total: counts.existing } });
        losses.filter(|loss| guard.requires_confirmation(loss.loss)).max_by_key(|loss| loss.loss.lost)
    }
}

/// How the directory is written.
#[derive(Debug)]
pub enum ApplyStrategy {
    /// In one commit of these changes, deletes first; not at all if there are none.
    Commit(Vec<Change>),
    /// As a whole new directory: there are more changes than one commit may carry.
    Replace,
}

/// The users and keys that an apply adds and removes, whose other data comes and goes with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerChanges {
    /// Ids of users that there will be and were not before.
    pub added_users: Vec<Id>,
    /// Ids of keys that there will be, and of which another key or none was before.
    pub added_keys: Vec<Id>,
    /// Ids of users that there will not be any more.
    pub removed_users: Vec<Id>,
    /// Ids of keys that there will not be any more, or that another key will have.
    pub removed_keys: Vec<Id>,
}

impl OwnerChanges {
    /// Adds one step.
    pub fn record(&mut self, step: &RecordDiff) {
        let record = |entry: &Entry| entry.record().map(Arc::clone);
        match step {
            RecordDiff::Added(new, _) => match record(new).as_deref() {
                Some(Record::User(user)) => self.added_users.push(user.id),
                Some(Record::Key(key)) => self.added_keys.push(key.id),
                _ => {}
            },
            RecordDiff::Changed { old, new, .. } => {
                if let (Some(Record::Key(old)), Some(Record::Key(new))) = (record(old).as_deref(), record(new).as_deref())
                    && old.id != new.id
                {
                    self.added_keys.push(new.id);
                    self.removed_keys.push(old.id);
                }
            }
            RecordDiff::Removed(old) => match record(old).as_deref() {
                Some(Record::User(user)) => self.removed_users.push(user.id),
                Some(Record::Key(key)) => self.removed_keys.push(key.id),
                _ => {}
            },
            RecordDiff::Unchanged(..) => {}
        }
    }
}

/// What an apply would do.
#[derive(Debug)]
pub struct ApplyPlan {
    /// The users and keys that come and go.
    pub owners: OwnerChanges,
    /// The counts.
    pub summary: ApplySummary,
    /// How the directory is written.
    pub strategy: ApplyStrategy,
    /// The loss that the operator has to confirm, if there is one.
    pub excessive_loss: Option<ExcessiveLoss>,
}

/// A loss that the guard wants confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExcessiveLoss {
    kind: &'static str,
    loss: Loss,
}

/// Collects the changes, as long as one commit can carry them.
#[derive(Default)]
pub struct CommitBuilder {
    deletes: Vec<Change>,
    puts: Vec<Change>,
    bytes: usize,
    over_limit: bool,
    /// Whether a record is removed, or changes its nature, that another record may refer to.
    pub may_orphan: bool,
}

impl CommitBuilder {
    /// Adds the change that one step makes, if it makes one.
    pub fn push(&mut self, step: RecordDiff) {
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
                // A key that changes its id is deleted under the old one first, so that no follower keeps that one.
                let old_identity = RecordIdentity::from_entry(&old);
                if old_identity != RecordIdentity::from_entry(&new) {
                    self.deletes.push(Change::Delete(old_identity));
                }
                self.puts.push(Change::Put(new));
            }
        }
        // A commit's line is a little longer than its records; half of the bound leaves room for that.
        if self.deletes.len() + self.puts.len() > MAX_COMMIT_CHANGES || self.bytes > MAX_COMMIT_BYTES / 2 {
            self.over_limit = true;
            self.deletes = Vec::new();
            self.puts = Vec::new();
            self.bytes = 0;
        }
    }

    /// Returns how to write what was collected.
    pub fn into_strategy(mut self) -> ApplyStrategy {
        if self.over_limit {
            return ApplyStrategy::Replace;
        }
        self.deletes.append(&mut self.puts);
        ApplyStrategy::Commit(self.deletes)
    }
}

impl ExcessiveLoss {
    /// Returns the refusal that says how to confirm the loss.
    #[must_use]
    pub fn to_error(&self) -> ApiError {
        let Self { kind, loss: Loss { lost, total } } = self;
        ApiError::conflict(format!(
            "This file would remove {lost} of {total} records of the kind {kind}. Nothing was applied; if it is meant, say --accept-loss."
        ))
    }
}

impl From<StagingError> for ApiError {
    fn from(error: StagingError) -> Self {
        match error {
            StagingError::Io(error) => Self::new(StatusCode::INSUFFICIENT_STORAGE, describe_storage_error(&error)),
            StagingError::Store(error) => error.into(),
            StagingError::Several(errors) => {
                let body =
                    json!({"message": errors.to_string(), "errors": errors.named().collect::<Vec<_>>(), "more_errors": errors.more()});
                Self { body: Some(Box::new(body)), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, errors.to_string()) }
            }
            one => {
                let mut errors = FileErrors::default();
                match one.collect(&mut errors) {
                    Ok(()) => StagingError::Several(errors).into(),
                    Err(other) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, other.to_string()),
                }
            }
        }
    }
}

impl From<DiffError> for ApiError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Damage(error) => error.into(),
            other => Self::internal(other),
        }
    }
}
