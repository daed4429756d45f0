//! Applies a directory file: stages it, plans it against the present directory, checks the loss guard, and commits; or changes nothing.
//! A dry run goes as far as the loss guard, and says what would have been done.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::api::error::ApiError;
use crate::model::change::Head;
use crate::model::loss_guard::LossGuard;
use crate::model::time::Time;
use crate::primary::apply::constraints::Constraints;
use crate::primary::apply::diff::{DiffError, RecordDiff, Unlisted, diff};
use crate::primary::apply::emptiness::Emptiness;
use crate::primary::apply::held_revocations::{HeldRevocations, OnRevoked, RevocationPolicy, hold_revocations};
use crate::primary::apply::nesting::check_left_behind;
use crate::primary::apply::plan::{ApplyPlan, ApplyStrategy, ApplySummary, ExcessiveLoss, OwnerChanges};
use crate::primary::apply::plan_by_diff::plan_by_diff;
use crate::primary::apply::plan_by_lookup::plan_by_lookup;
use crate::primary::apply::plan_unpublished::plan_unpublished;
use crate::primary::apply::removed_users::{self, OwnersInMemory};
use crate::primary::apply::renames::{Renames, stage_redirects};
use crate::primary::apply::staged_file::StagedFile;
use crate::primary::directory::project_ids;
use crate::primary::directory::reserved_projects;
use crate::primary::directory::unpublished::{self, UnpublishedChanges};
use crate::primary::directory::writer::{DirectoryWriter, WriteGuard};
use crate::primary::replication::accepted_loss;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::{MAX_COMMIT_CHANGES, PrimaryStore};

/// What an apply works on.
pub struct ApplyTarget<'a> {
    /// The store whose directory and unpublished records change.
    pub store: &'a PrimaryStore,
    /// The writer of that directory.
    pub writer: &'a Arc<DirectoryWriter>,
    /// Where temporary files are made.
    pub temp_dir: &'a Path,
    /// From which loss on `accept_loss` is required.
    pub loss_guard: LossGuard,
    /// What is held in memory of users and keys.
    pub memory: OwnersInMemory<'a>,
}

/// What the operator chose besides the file.
#[derive(Clone, Copy)]
pub struct ApplyOptions {
    /// What becomes of the records that the file does not name.
    pub unlisted: Unlisted,
    /// Whether a loss beyond the guard is confirmed.
    pub accept_loss: bool,
    /// What becomes of revocations that the file would undo.
    pub on_revoked: OnRevoked,
    /// Whether to write.
    pub mode: ApplyMode,
    /// The wall clock.
    pub now: Time,
}

/// Whether an apply writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// It does.
    Commit,
    /// It only says what it would do.
    DryRun,
}

/// What an apply did, or would do.
pub struct Applied {
    /// The directory's head after it.
    pub head: Head,
    /// How it was written: `nothing`, `withheld` (unpublished records only, by the name that answers have for it), `commit` or `replaced`; `dry_run`
    /// if nothing was to be written.
    pub how: &'static str,
    /// The counts.
    pub summary: ApplySummary,
    /// How many projects got another path, and left a redirect at the old one.
    pub redirects: usize,
    /// What it did about revocations.
    pub revocations: HeldRevocations,
    /// Why the file would be refused, if it was a dry run.
    pub refusal: Option<ApiError>,
}

/// Applies a directory file whole or not at all. Blocks.
pub fn apply_file(target: &ApplyTarget<'_>, file: File, options: ApplyOptions) -> Result<Applied, ApiError> {
    let mut constraints = Constraints::default();
    let staged = StagedFile::read(file, target.temp_dir, &mut constraints)?;
    apply_staged(target, staged, constraints, options)
}

/// Applies a file that was staged, with what it claims: what was committed or revoked meanwhile counts. Blocks.
pub fn apply_staged(
    target: &ApplyTarget<'_>,
    mut staged: StagedFile,
    mut constraints: Constraints,
    options: ApplyOptions,
) -> Result<Applied, ApiError> {
    let private_store = target.store.private_store();
    let guard = target.writer.lock()?;
    let unpublished = unpublished::load_all(private_store)?;
    let directory = target.store.directory();
    let ApplyOptions { unlisted, on_revoked, now, .. } = options;
    let policy = RevocationPolicy { unlisted, on_revoked, now };
    let emptiness = Emptiness::of(&staged);
    let revocations = hold_revocations(&directory, private_store, &mut staged, &mut constraints, policy)?;
    let renames = stage_redirects(&directory, private_store, &mut staged, &constraints, options.unlisted)?;
    let mut plan = plan_published(&directory, &staged, &mut constraints, options.unlisted, target.loss_guard)?;
    let unpublished_changes = plan_unpublished(&unpublished, &staged, &constraints, options.unlisted, target.loss_guard, &mut plan)?;
    let ApplyPlan { owners, summary, strategy, excessive_loss } = plan;
    let emptied = if unlisted == Unlisted::Remove { emptiness.refusal(&summary) } else { None };
    let refusal = emptied.or_else(|| excessive_loss.as_ref().map(ExcessiveLoss::to_error)).filter(|_| !options.accept_loss);
    if options.mode == ApplyMode::DryRun {
        return Ok(Applied { head: target.store.head(), how: "dry_run", summary, redirects: renames.count(), revocations, refusal });
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if excessive_loss.is_some() {
        // The hosts have a loss guard too: their next snapshot must say that the loss is accepted.
        accepted_loss::accept(private_store, options.now)?;
    }
    // Before the commit: a crash in between leaves an id that is not given and a mark without a redirect.
    project_ids::remember(&directory, private_store, constraints.highest_project_id())?;
    reserved_projects::release_up_to(private_store, constraints.highest_project_id())?;
    renames.write_marks(private_store)?;
    revocations.write_losses(private_store)?;
    removed_users::prepare(target.memory, private_store, &target.store.head(), &owners)?;
    // A replaced directory is removed once nobody holds it.
    drop(directory);
    let (head, how) = write(target, &guard, &staged, options.unlisted, strategy, unpublished_changes)?;
    if let Err(error) = clean_up(target, &renames, &revocations, &owners) {
        // The file is applied. What is left of users who are gone must not be their successors'.
        guard.leave_repairs();
        tracing::warn!(%error, "apply could not remove from the private store what belongs to records that are gone; that comes before the next commit: {error}");
    }
    Ok(Applied { head, how, summary, redirects: renames.count(), revocations, refusal: None })
}

/// Removes from the private store what the commit has made meaningless: marks, and what belonged to users who are gone.
fn clean_up(target: &ApplyTarget<'_>, renames: &Renames, revocations: &HeldRevocations, owners: &OwnerChanges) -> Result<(), StoreError> {
    let (private_store, directory) = (target.store.private_store(), target.store.directory());
    revocations.write_marks(private_store)?;
    renames.remove_stale_marks(&directory, private_store)?;
    removed_users::finish_removed(target.memory, private_store, owners)
}

/// Plans the published records: a small file from which nothing is removed by looking up what it names, so that it costs the same in a
/// directory of ten records as of a million; any other by comparing it with the whole directory. The two plan the same.
fn plan_published(
    directory: &Generation,
    staged: &StagedFile,
    constraints: &mut Constraints,
    unlisted: Unlisted,
    guard: LossGuard,
) -> Result<ApplyPlan, ApiError> {
    if unlisted == Unlisted::Keep {
        check_left_behind(directory, staged)?;
    }
    let is_small = staged.records.len() <= MAX_COMMIT_CHANGES && staged.unpublished.is_empty() && unlisted == Unlisted::Keep;
    if is_small && let Some(plan) = plan_by_lookup(directory, staged, constraints)? {
        return Ok(plan);
    }
    plan_by_diff(directory, staged, constraints, unlisted, guard)
}

fn write(
    target: &ApplyTarget<'_>,
    guard: &WriteGuard<'_>,
    staged: &StagedFile,
    unlisted: Unlisted,
    strategy: ApplyStrategy,
    unpublished_changes: UnpublishedChanges,
) -> Result<(Head, &'static str), ApiError> {
    match strategy {
        ApplyStrategy::Commit(changes) if changes.is_empty() => {
            let how = if unpublished_changes.is_empty() { "nothing" } else { "withheld" };
            unpublished::write(target.store.private_store(), unpublished_changes)?;
            Ok((target.store.head(), how))
        }
        ApplyStrategy::Commit(changes) => {
            let commit = || Ok(guard.commit("apply", |_| Ok::<_, ApiError>((changes, ())))?.0);
            Ok((commit_with_unpublished(target.store, guard, unpublished_changes, commit)?, "commit"))
        }
        ApplyStrategy::Replace => {
            let replace = || replace_directory(target.store, guard, staged, unlisted);
            Ok((commit_with_unpublished(target.store, guard, unpublished_changes, replace)?, "replaced"))
        }
    }
}

/// Commits to the directory and changes the unpublished records with it, or neither: see [`unpublished`].
fn commit_with_unpublished(
    store: &PrimaryStore,
    guard: &WriteGuard<'_>,
    changes: UnpublishedChanges,
    commit: impl FnOnce() -> Result<Head, ApiError>,
) -> Result<Head, ApiError> {
    let private_store = store.private_store();
    if changes.is_empty() {
        return commit();
    }
    unpublished::write_intent(private_store, &store.head(), changes)?;
    match commit() {
        Ok(head) => {
            if let Err(error) = unpublished::apply_intent(private_store) {
                // The file is on disk, as the commit and the intent.
                guard.leave_intent();
                tracing::error!(%error, "the unpublished records of an apply follow before the next commit: {error}");
            }
            Ok(head)
        }
        Err(error) => {
            guard.leave_intent();
            if let Err(unresolved) = guard.resolve_intent() {
                tracing::error!(%unresolved, "an apply failed; its intent is resolved before the next commit: {unresolved}");
            }
            Err(error)
        }
    }
}

fn replace_directory(store: &PrimaryStore, guard: &WriteGuard<'_>, staged: &StagedFile, unlisted: Unlisted) -> Result<Head, ApiError> {
    let directory = store.directory();
    let entries = diff(&directory, staged, unlisted).filter_map(|step| match step {
        Ok(RecordDiff::Unchanged(entry, _) | RecordDiff::Added(entry, _) | RecordDiff::Changed { new: entry, .. }) => Some(Ok(entry)),
        Ok(RecordDiff::Removed(_)) => None,
        Err(error) => Some(Err(error)),
    });
    guard.replace("apply", entries).map_err(|error: DiffError| error.into())
}
