//! Plans what an apply does with the records that are never published, by the same rules as for the others.

use std::collections::BTreeMap;

use crate::api::error::ApiError;
use crate::model::loss_guard::LossGuard;
use crate::model::unpublished::UnpublishedRecord;
use crate::primary::apply::constraints::{Constraints, IntegrityError};
use crate::primary::apply::diff::Unlisted;
use crate::primary::apply::file_errors::FileErrors;
use crate::primary::apply::plan::ApplyPlan;
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::primary::directory::unpublished::UnpublishedChanges;
use crate::wire::directory::record_references::ReferencedRecord;

/// Plans the changes and counts them in `plan`. `constraints` are those of the directory that would result. `existing` must not change
/// meanwhile.
pub fn plan_unpublished(
    existing: &[UnpublishedRecord],
    staged: &StagedFile,
    constraints: &Constraints,
    unlisted: Unlisted,
    guard: LossGuard,
    plan: &mut ApplyPlan,
) -> Result<UnpublishedChanges, ApiError> {
    let mut changes = UnpublishedChanges::default();
    let mut errors = FileErrors::default();
    let mut old = BTreeMap::new();
    for record in existing {
        plan.summary.kinds.entry(record.kind()).or_default().existing += 1;
        old.insert(record.sort_key(), record);
    }
    for (sort_key, (line, record)) in &staged.unpublished {
        if let Some(target) = record.project_id().map(ReferencedRecord::Project).filter(|target| !constraints.contains(*target)) {
            let dangling = IntegrityError::Dangling { line: *line, field: "project_id", target: target.to_string() };
            StagingError::from(dangling).collect(&mut errors)?;
            continue;
        }
        let counts = plan.summary.kinds.entry(record.kind()).or_default();
        match old.remove(sort_key) {
            Some(before) if before == record => {
                counts.unchanged += 1;
                continue;
            }
            Some(_) => counts.changed += 1,
            None => counts.added += 1,
        }
        changes.0.push((sort_key.clone(), Some(record.canonical()?)));
    }
    StagingError::of_all(errors)?;
    if unlisted == Unlisted::Remove {
        for (sort_key, record) in old {
            plan.summary.kinds.entry(record.kind()).or_default().removed += 1;
            changes.0.push((sort_key, None));
        }
        plan.excessive_loss = plan.summary.excessive_loss(guard);
    }
    Ok(changes)
}
