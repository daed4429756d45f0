//! Plans any file by comparing it with the whole directory, record by record.

use crate::api::error::ApiError;
use crate::model::loss_guard::LossGuard;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::primary::apply::constraints::{Constraints, IntegrityError, RecordOrigin};
use crate::primary::apply::diff::{RecordDiff, Unlisted, diff};
use crate::primary::apply::file_errors::FileErrors;
use crate::primary::apply::nesting::check_nesting;
use crate::primary::apply::plan::{ApplyPlan, ApplySummary, CommitBuilder, OwnerChanges};
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::store::generations::generation::Generation;

/// Plans a file. `constraints` are those of the file, and gain those of the records that stay. The directory must not change meanwhile.
pub fn plan_by_diff(
    directory: &Generation,
    staged: &StagedFile,
    constraints: &mut Constraints,
    unlisted: Unlisted,
    guard: LossGuard,
) -> Result<ApplyPlan, ApiError> {
    let mut summary = ApplySummary::default();
    let mut owners = OwnerChanges::default();
    let mut changes = CommitBuilder::default();
    let mut errors = FileErrors::default();
    for step in diff(directory, staged, unlisted) {
        let step = step?;
        summary.record(&step);
        owners.record(&step);
        if let RecordDiff::Unchanged(entry, RecordOrigin::Directory) = &step
            && let Some(record) = entry.record()
        {
            collect(constraints.insert(RecordOrigin::Directory, record), &mut errors)?;
        }
        if unlisted == Unlisted::Keep
            && let Some(conflict) = key_conflict(&step, staged)
        {
            collect(Err(conflict), &mut errors)?;
        }
        changes.push(step);
    }
    check_references(directory, staged, constraints, unlisted, changes.may_orphan, &mut errors)?;
    StagingError::of_all(errors)?;
    let excessive_loss = if unlisted == Unlisted::Remove { summary.excessive_loss(guard) } else { None };
    Ok(ApplyPlan { owners, summary, strategy: changes.into_strategy(), excessive_loss })
}

fn collect(outcome: Result<(), IntegrityError>, errors: &mut FileErrors) -> Result<(), StagingError> {
    outcome.or_else(|error| StagingError::from(error).collect(errors))
}

/// Refuses a key that the directory has under another id, unless the file gives that id another key: a key changes its owner only on purpose.
fn key_conflict(step: &RecordDiff, staged: &StagedFile) -> Option<IntegrityError> {
    let RecordDiff::Changed { old, new, line } = step else { return None };
    let (Some(Record::Key(old)), Some(Record::Key(new))) = (old.record().map(AsRef::as_ref), new.record().map(AsRef::as_ref)) else {
        return None;
    };
    let what = || format!("the key {} (key id {})", old.key.fingerprint(), old.id);
    (old.id != new.id && !staged.key_ids.contains(&old.id)).then(|| IntegrityError::Duplicate {
        line: *line,
        what: what(),
        first: RecordOrigin::Directory,
    })
}

/// Checks what the records refer to: always of the new ones; of those that stay only if something is removed that they may refer to.
fn check_references(
    directory: &Generation,
    staged: &StagedFile,
    constraints: &Constraints,
    unlisted: Unlisted,
    may_orphan: bool,
    errors: &mut FileErrors,
) -> Result<(), ApiError> {
    for step in diff(directory, staged, unlisted) {
        let step = step?;
        check_nesting(directory, staged, &step).or_else(|error| error.collect(errors))?;
        let (entry, origin) = match step {
            RecordDiff::Added(new, line) | RecordDiff::Changed { new, line, .. } => (new, RecordOrigin::Line(line)),
            RecordDiff::Unchanged(entry, origin) if may_orphan => (entry, origin),
            RecordDiff::Unchanged(..) | RecordDiff::Removed(_) => continue,
        };
        if let Some(record) = entry.record() {
            collect(constraints.check_references(origin, record, || RecordIdentity::from_entry(&entry).to_string()), errors)?;
        }
    }
    Ok(())
}
