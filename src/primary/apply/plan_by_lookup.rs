//! A small file beside a large directory: planned by looking up what it names, instead of walking all that stands.
//!
//! Only for a file from which nothing goes that another record could name; every other file takes the walk of [`plan`], which
//! judges the same. A commit of a few records then costs the same in a directory of ten as in one of a million.
//!
//! [`plan`]: crate::primary::apply::plan::plan

use crate::model::change::RecordIdentity;
use crate::model::directory::{Directory as _, DirectoryError};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::primary::apply::constraints::{Constraints, IntegrityError, RecordOrigin};
use crate::primary::apply::diff::{DiffError, RecordDiff, Unlisted};
use crate::primary::apply::plan::{ApplyPlan, ApplySummary, CommitBuilder};
use crate::primary::apply::staged_file::{StagedFile, StagedRecord, StagingError};
use crate::primary::refusal::ApiError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::MAX_COMMIT_CHANGES;
use crate::wire::directory::record_references::{ReferencedRecord, record_references};

/// Plans a small file; `None` if it has to be walked. The directory must not change meanwhile.
pub fn plan_by_lookup(
    standing: &Generation,
    spool: &StagedFile,
    claims: &Constraints,
    unnamed: Unlisted,
) -> Result<Option<ApplyPlan>, ApiError> {
    let small = spool.records.len() <= MAX_COMMIT_CHANGES && spool.unpublished.is_empty();
    if unnamed == Unlisted::Remove || !small {
        return Ok(None);
    }
    let mut steps = Vec::with_capacity(spool.records.len());
    for item in &spool.records {
        let Some(step) = diff_record(standing, spool, item)? else { return Ok(None) };
        steps.push(step);
    }
    for check in [check_unique, check_references] {
        for (line, record) in steps.iter().filter_map(added_or_changed) {
            check(standing, claims, line, record)?;
        }
    }
    let mut outcome = ApplySummary::default();
    let mut changes = CommitBuilder::default();
    for step in steps {
        outcome.record(&step);
        changes.push(step);
    }
    Ok(Some(ApplyPlan { summary: outcome, strategy: changes.into_strategy(), excessive_loss: None }))
}

/// The record of a line that brings something new.
fn added_or_changed(step: &RecordDiff) -> Option<(usize, &Record)> {
    match step {
        RecordDiff::Added(new, line) | RecordDiff::Changed { new, line, .. } => new.record().map(|record| (*line, record.as_ref())),
        RecordDiff::Unchanged(..) | RecordDiff::Removed(_) => None,
    }
}

/// What becomes of one record; `None` if something would go that others may name.
fn diff_record(standing: &Generation, spool: &StagedFile, item: &StagedRecord) -> Result<Option<RecordDiff>, ApiError> {
    let text = spool.text(item).map_err(DiffError::from)?;
    let new = Entry::parse(&text).map_err(DiffError::from)?;
    let old = match new.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => {
            let known = standing.key_by_fingerprint(&key.key.fingerprint()).map_err(store_error)?;
            let holder = standing.key(key.id).map_err(store_error)?;
            let moves = holder.as_ref().is_some_and(|holder| holder.key != key.key);
            if moves || known.as_ref().is_some_and(|known| known.id != key.id || known.deploy != key.deploy) {
                return Ok(None);
            }
            known
                .map(|known| Entry::from_record(Record::Key((*known).clone())))
                .transpose()
                .map_err(|error| store_error(DirectoryError(error.to_string())))?
        }
        Some(Record::Agent(_)) | None => return Ok(None),
        Some(_) => standing.entry(&RecordIdentity::from_entry(&new)).map_err(DiffError::from)?,
    };
    Ok(Some(match old {
        None => RecordDiff::Added(new, item.line),
        Some(old) if *old.text() == *new.text() => RecordDiff::Unchanged(old, RecordOrigin::Line(item.line)),
        Some(old) => RecordDiff::Changed { old, new, line: item.line },
    }))
}

/// What it claims is claimed by nobody else who stays: a holder that the file names too has said there what it holds now.
fn check_unique(standing: &Generation, claims: &Constraints, line: usize, record: &Record) -> Result<(), ApiError> {
    let held = match record {
        Record::User(user) => username_conflict(standing, claims, &user.username, user.id),
        Record::Namespace(namespace) => path_conflict(standing, claims, &namespace.path, ReferencedRecord::Namespace(namespace.id)),
        Record::Project(project) => path_conflict(standing, claims, &project.path, ReferencedRecord::Project(project.id)),
        _ => Ok(None),
    };
    match held.map_err(store_error)? {
        Some(what) => Err(StagingError::from(IntegrityError::Duplicate { line, what, first: RecordOrigin::Directory }).into()),
        None => Ok(()),
    }
}

fn username_conflict(standing: &Generation, claims: &Constraints, username: &str, id: Id) -> Result<Option<String>, DirectoryError> {
    let holder =
        standing.user_by_username(username)?.filter(|holder| holder.id != id && !claims.contains(ReferencedRecord::User(holder.id)));
    Ok(holder.map(|holder| format!("the username `{}`", holder.username)))
}

/// Namespaces and projects share one space of paths.
fn path_conflict(
    standing: &Generation,
    claims: &Constraints,
    path: &str,
    own: ReferencedRecord<'_>,
) -> Result<Option<String>, DirectoryError> {
    let another = |target: ReferencedRecord<'_>| target != own && !claims.contains(target);
    let namespace = standing
        .namespace_by_path(path)?
        .filter(|holder| another(ReferencedRecord::Namespace(holder.id)))
        .map(|holder| holder.path.clone());
    let project =
        standing.project_by_path(path)?.filter(|holder| another(ReferencedRecord::Project(holder.id))).map(|holder| holder.path.clone());
    Ok(namespace.or(project).map(|path| format!("the path `{path}`")))
}

/// What it names is in the file or in the directory.
fn check_references(standing: &Generation, claims: &Constraints, line: usize, record: &Record) -> Result<(), ApiError> {
    for (field, target) in record_references(record) {
        if !claims.contains(target) && !exists(standing, target).map_err(store_error)? {
            return Err(StagingError::from(IntegrityError::Dangling { line, field, target: target.to_string() }).into());
        }
    }
    Ok(())
}

fn exists(standing: &Generation, target: ReferencedRecord<'_>) -> Result<bool, DirectoryError> {
    Ok(match target {
        ReferencedRecord::User(id) => standing.user(id)?.is_some(),
        ReferencedRecord::Namespace(id) => standing.namespace(id)?.is_some(),
        ReferencedRecord::Project(id) => standing.project(id)?.is_some(),
        ReferencedRecord::DeployKey(id) => standing.key(id)?.is_some_and(|key| key.deploy),
        ReferencedRecord::Storage(name) => standing.storage(name)?.is_some(),
    })
}

fn store_error(fault: DirectoryError) -> ApiError {
    DiffError::Damage(crate::store::error::StoreError(fault.to_string())).into()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::plan_by_lookup;
    use crate::model::entry::Entry;
    use crate::model::loss_guard::LossGuard;
    use crate::model::memory_directory::ed25519_public_key;
    use crate::model::record::Record;
    use crate::primary::apply::constraints::Constraints;
    use crate::primary::apply::diff::Unlisted;
    use crate::primary::apply::plan::{ApplyStrategy, plan_by_diff};
    use crate::primary::apply::staged_file::StagedFile;
    use crate::store::error::StoreError;
    use crate::store::generations::generation::{Generation, StoreOptions};

    fn key(id: u64, of: u64, more: &str) -> String {
        let key = ed25519_public_key(of);
        format!(r#"{{"kind":"key","id":{id},"user_id":1,"title":"t","key":"{key}","created_at":"2026-01-31T12:00:00Z"{more}}}"#)
    }

    fn existing_records() -> Vec<String> {
        let mut lines: Vec<String> = [
            r#"{"kind":"storage","name":"default","address":"unix:/g"}"#,
            r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#,
            r#"{"kind":"user","id":2,"username":"ben","name":"Ben"}"#,
            r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a"}"#,
            r#"{"kind":"project","id":1,"namespace_id":1,"path":"a/p","name":"p","relative_path":"p.git"}"#,
        ]
        .map(str::to_owned)
        .to_vec();
        lines.push(key(1, 1, ""));
        lines.push(key(2, 2, r#","deploy":true"#));
        lines
    }

    /// What both ways of planning say of a file: the counts and changes, or the refusal; `None` where the short way passes.
    fn plan_both_ways(lines: &[&str]) -> (Option<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut entries: Vec<Entry> =
            existing_records().iter().map(|line| Entry::from_record(Record::parse(line).unwrap()).unwrap()).collect();
        entries.sort_by(|one, other| one.sort_key().cmp(other.sort_key()));
        let options = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 100 };
        let directory = Generation::create::<StoreError>(&folder.path().join("g"), &options, entries.into_iter().map(Ok)).unwrap();
        let spooled = || {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(lines.join("\n").as_bytes()).unwrap();
            file.rewind().unwrap();
            let mut claims = Constraints::default();
            (StagedFile::read(file, folder.path(), &mut claims).unwrap(), claims)
        };
        let spell = |plan: crate::primary::apply::plan::ApplyPlan| {
            let ApplyStrategy::Commit(changes) = plan.strategy else { return "replaced".to_owned() };
            let all = plan.summary.total();
            format!("{} added, {} changed, {} unchanged: {changes:?}", all.added, all.changed, all.unchanged)
        };
        let (spool, claims) = spooled();
        let short = match plan_by_lookup(&directory, &spool, &claims, Unlisted::Keep) {
            Ok(found) => found.map(spell),
            Err(refusal) => Some(refusal.message),
        };
        let (spool, mut claims) = spooled();
        let long = plan_by_diff(&directory, &spool, &mut claims, Unlisted::Keep, LossGuard::default())
            .map_or_else(|refusal| refusal.message, spell);
        (short, long)
    }

    #[test]
    fn a_small_file_is_planned_as_the_full_diff_plans_it() {
        let zoe_is_ben = r#"{"kind":"user","id":1,"username":"ben","name":"Zoe"}"#;
        let ben_is_zoe = r#"{"kind":"user","id":2,"username":"Zoe","name":"Ben"}"#;
        let files: Vec<Vec<&str>> = vec![
            vec![],
            vec![r#"{"kind":"member","project_id":1,"user_id":2,"access_level":30}"#],
            vec![r#"{"kind":"member","project_id":9,"user_id":2,"access_level":30}"#],
            vec![r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#],
            vec![r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe Z"}"#],
            vec![r#"{"kind":"user","id":3,"username":"BEN","name":"B"}"#],
            vec![zoe_is_ben],
            vec![zoe_is_ben, ben_is_zoe],
            vec![r#"{"kind":"namespace","id":2,"type":"group","path":"A/P","name":"p"}"#],
            vec![r#"{"kind":"project","id":2,"namespace_id":1,"path":"a","name":"p","relative_path":"q.git"}"#],
            vec![r#"{"kind":"deploy_grant","key_id":2,"project_id":1}"#],
            vec![r#"{"kind":"deploy_grant","key_id":1,"project_id":1}"#],
            vec![
                r#"{"kind":"user","id":4,"username":"new","name":"N"}"#,
                r#"{"kind":"member","namespace_id":1,"user_id":4,"access_level":50}"#,
            ],
        ];
        for lines in files {
            let (short, long) = plan_both_ways(&lines);
            assert_eq!(short, Some(long), "{lines:?}");
        }
        let (same, other) = (key(1, 1, ""), key(3, 3, ""));
        let (short, long) = plan_both_ways(&[&same, &other]);
        assert_eq!(short, Some(long));
    }

    #[test]
    fn a_key_that_replaces_another_is_left_to_the_full_diff() {
        for line in [key(1, 3, ""), key(5, 1, ""), key(2, 2, "")] {
            assert_eq!(plan_both_ways(&[&line]).0, None, "{line}");
        }
    }
}
