//! Plans a small file by looking up the records that it names, instead of comparing it with the whole directory.
//!
//! Only for a file that removes nothing which another record may refer to; every other file is planned by
//! [`plan_by_diff`](crate::primary::apply::plan_by_diff::plan_by_diff), which decides the same.

use crate::api::error::ApiError;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::repository_place::RepositoryPlace;
use crate::model::sort_key::SortKey;
use crate::primary::apply::constraints::{Constraints, IntegrityError, RecordOrigin, sibling_paths};
use crate::primary::apply::diff::{DiffError, RecordDiff};
use crate::primary::apply::file_errors::FileErrors;
use crate::primary::apply::nesting::check_nesting;
use crate::primary::apply::plan::{ApplyPlan, ApplySummary, CommitBuilder, OwnerChanges};
use crate::primary::apply::staged_file::{StagedFile, StagedRecord, StagingError};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::pages::index::IndexKey;
use crate::wire::directory::record_references::{ReferencedRecord, record_references};

/// Plans a file of which the records that it does not name stay; `None` if a record that others may refer to would be removed. The
/// directory must not change meanwhile.
pub fn plan_by_lookup(directory: &Generation, staged: &StagedFile, constraints: &Constraints) -> Result<Option<ApplyPlan>, ApiError> {
    let mut steps = Vec::with_capacity(staged.records.len());
    for record in &staged.records {
        let Some(step) = diff_record(directory, staged, record)? else { return Ok(None) };
        steps.push(step);
    }
    let mut errors = FileErrors::default();
    for check in [check_unique, check_references] {
        for (line, record) in steps.iter().filter_map(added_or_changed) {
            check(directory, constraints, line, record).or_else(|error| error.collect(&mut errors))?;
        }
    }
    if steps.iter().any(claims_another_place) {
        check_repositories(directory, staged, constraints).or_else(|error| error.collect(&mut errors))?;
    }
    for sort_key in staged.taken_redirects.iter().filter(|sort_key| !staged.contains(sort_key)) {
        steps.extend(directory.load_entry(sort_key).map_err(DiffError::from)?.map(RecordDiff::Removed));
    }
    for step in &steps {
        check_nesting(directory, staged, step).or_else(|error| error.collect(&mut errors))?;
    }
    StagingError::of_all(errors)?;
    let mut summary = ApplySummary::default();
    let mut owners = OwnerChanges::default();
    let mut changes = CommitBuilder::default();
    for step in steps {
        summary.record(&step);
        owners.record(&step);
        changes.push(step);
    }
    Ok(Some(ApplyPlan { owners, summary, strategy: changes.into_strategy(), excessive_loss: None }))
}

/// Returns the record of a line that adds or changes one.
fn added_or_changed(step: &RecordDiff) -> Option<(usize, &Record)> {
    match step {
        RecordDiff::Added(new, line) | RecordDiff::Changed { new, line, .. } => new.record().map(|record| (*line, record.as_ref())),
        RecordDiff::Unchanged(..) | RecordDiff::Removed(_) => None,
    }
}

/// Compares one record with the directory; `None` if a record that others may refer to would be removed.
fn diff_record(directory: &Generation, staged: &StagedFile, record: &StagedRecord) -> Result<Option<RecordDiff>, ApiError> {
    let text = staged.text(record).map_err(DiffError::from)?;
    let new = Entry::parse(&text).map_err(DiffError::from)?;
    let old = match new.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => {
            let existing = directory.load_entry(new.sort_key()).map_err(DiffError::from)?;
            let holders = directory.find_keys_by_id(key.id).map_err(DiffError::from)?;
            let moves = holders.iter().any(|holder| holder != new.sort_key());
            let differs = |existing: &Record| matches!(existing, Record::Key(other) if other.id != key.id || other.deploy != key.deploy);
            if moves || existing.as_ref().and_then(Entry::record).is_some_and(|existing| differs(existing)) {
                return Ok(None);
            }
            existing
        }
        Some(Record::Agent(_)) | None => return Ok(None),
        Some(_) => directory.entry(&RecordIdentity::from_entry(&new)).map_err(DiffError::from)?,
    };
    Ok(Some(match old {
        None => RecordDiff::Added(new, record.line),
        Some(old) if *old.text() == *new.text() => RecordDiff::Unchanged(old, RecordOrigin::Line(record.line)),
        Some(old) => RecordDiff::Changed { old, new, line: record.line },
    }))
}

/// Checks that no record which stays has the same username or path. A holder that the file names too was checked with the file.
fn check_unique(directory: &Generation, constraints: &Constraints, line: usize, record: &Record) -> Result<(), StagingError> {
    let stored = StoredNames { directory, constraints };
    let conflict = match record {
        Record::User(user) => stored.username_holder(&user.username, user.id),
        Record::Namespace(namespace) => stored.path_holder(&namespace.path, ReferencedRecord::Namespace(namespace.id)),
        Record::Project(project) => stored.path_holder(&project.path, ReferencedRecord::Project(project.id)),
        _ => Ok(None),
    };
    if let Some(what) = conflict? {
        return Err(IntegrityError::Duplicate { line, what, first: RecordOrigin::Directory }.into());
    }
    match record {
        Record::Project(project) => check_siblings(&stored, line, &project.path),
        _ => Ok(()),
    }
}

/// Checks that no project which stays has the path of this one's wiki or designs, or the other way round.
fn check_siblings(stored: &StoredNames<'_>, line: usize, path: &str) -> Result<(), StagingError> {
    let path = path.to_ascii_lowercase();
    for other in sibling_paths(&path) {
        if stored.project_holder(&other, None)?.is_some() {
            let first = RecordOrigin::Directory;
            return Err(IntegrityError::SameRepository { line, path, other, first }.into());
        }
    }
    Ok(())
}

/// Returns whether a record of the file is new at the place of its repositories.
fn claims_another_place(step: &RecordDiff) -> bool {
    let place = |entry: &'_ Entry| entry.record().and_then(|record| RepositoryPlace::of_record(record).map(|place| place.to_key()));
    match step {
        RecordDiff::Added(new, _) => place(new).is_some(),
        RecordDiff::Changed { old, new, .. } => place(old) != place(new),
        RecordDiff::Unchanged(..) | RecordDiff::Removed(_) => false,
    }
}

/// Checks that no record which stays has a repository of one of the file. There is no index by place: reads all projects and snippets.
fn check_repositories(directory: &Generation, staged: &StagedFile, constraints: &Constraints) -> Result<(), StagingError> {
    for prefix in [SortKey::projects_prefix(), SortKey::snippets_prefix()] {
        let mut conflict = Ok(());
        directory.for_each_record_with_prefix(&prefix, |record| {
            if conflict.is_ok() && !staged.contains(&record.sort_key()) {
                conflict = constraints.check_repositories(RecordOrigin::Directory, record);
            }
        })?;
        conflict.map_err(StagingError::from)?;
    }
    Ok(())
}

/// The names of records that stay, read past the cache, which does not show a record with a field that breaks its grammar.
struct StoredNames<'a> {
    directory: &'a Generation,
    constraints: &'a Constraints,
}

impl StoredNames<'_> {
    fn username_holder(&self, username: &str, id: Id) -> Result<Option<String>, StoreError> {
        let holder = self.holder(&IndexKey::by_username(username), Some(ReferencedRecord::User(id)))?;
        Ok(holder.map(|name| format!("the username `{name}`")))
    }

    /// Namespaces and projects share one space of paths.
    fn path_holder(&self, path: &str, own: ReferencedRecord<'_>) -> Result<Option<String>, StoreError> {
        let holder = match self.holder(&IndexKey::by_namespace_path(path), Some(own))? {
            None => self.project_holder(path, Some(own))?,
            found => found,
        };
        Ok(holder.map(|path| format!("the path `{path}`")))
    }

    fn project_holder(&self, path: &str, own: Option<ReferencedRecord<'_>>) -> Result<Option<String>, StoreError> {
        self.holder(&IndexKey::by_project_path(path), own)
    }

    /// Returns the name of the record with this index key, unless it is the record itself or one that the file names too.
    fn holder(&self, index_key: &IndexKey, own: Option<ReferencedRecord<'_>>) -> Result<Option<String>, StoreError> {
        let entry = self.directory.load_entry_by_index(index_key)?;
        let (target, name) = match entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
            Some(Record::User(user)) => (ReferencedRecord::User(user.id), &user.username),
            Some(Record::Namespace(namespace)) => (ReferencedRecord::Namespace(namespace.id), &namespace.path),
            Some(Record::Project(project)) => (ReferencedRecord::Project(project.id), &project.path),
            _ => return Ok(None),
        };
        Ok((Some(target) != own && !self.constraints.contains(target)).then(|| name.to_string()))
    }
}

/// Checks that whatever the record refers to is in the file or in the directory.
fn check_references(directory: &Generation, constraints: &Constraints, line: usize, record: &Record) -> Result<(), StagingError> {
    for (field, target) in record_references(record) {
        if !constraints.contains(target) && !exists(directory, target)? {
            return Err(IntegrityError::Dangling { line, field, target: target.to_string() }.into());
        }
    }
    Ok(())
}

fn exists(directory: &Generation, target: ReferencedRecord<'_>) -> Result<bool, StoreError> {
    match target {
        ReferencedRecord::User(id) => directory.has_entry(&SortKey::user(id)),
        ReferencedRecord::Namespace(id) => directory.has_entry(&SortKey::namespace(id)),
        ReferencedRecord::Project(id) => directory.has_entry(&SortKey::project(id)),
        ReferencedRecord::Storage(name) => directory.has_entry(&SortKey::storage(name)),
        ReferencedRecord::DeployKey(id) => {
            let entry = directory.load_entry_by_index(&IndexKey::by_key_id(id))?;
            Ok(matches!(entry.as_ref().and_then(Entry::record).map(AsRef::as_ref), Some(Record::Key(key)) if key.deploy))
        }
    }
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
    use crate::primary::apply::plan::{ApplyPlan, ApplyStrategy};
    use crate::primary::apply::plan_by_diff::plan_by_diff;
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

    /// Plans a file by lookup and by diff, as text: the counts and changes, or the refusal; `None` where the lookup leaves it to the diff.
    fn plan_both_ways(lines: &[&str]) -> (Option<String>, String) {
        let folder = tempfile::tempdir().unwrap();
        let mut entries: Vec<Entry> =
            existing_records().iter().map(|line| Entry::from_record(Record::parse(line).unwrap()).unwrap()).collect();
        entries.sort_by(|one, other| one.sort_key().cmp(other.sort_key()));
        let options = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 100 };
        let directory = Generation::create::<StoreError>(&folder.path().join("g"), &options, entries.into_iter().map(Ok)).unwrap();
        let stage = || {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(lines.join("\n").as_bytes()).unwrap();
            file.rewind().unwrap();
            let mut constraints = Constraints::default();
            (StagedFile::read(file, folder.path(), &mut constraints).unwrap(), constraints)
        };
        let describe = |plan: ApplyPlan| {
            let ApplyStrategy::Commit(changes) = plan.strategy else { return "replaced".to_owned() };
            let total = plan.summary.total();
            format!("{} added, {} changed, {} unchanged: {changes:?}", total.added, total.changed, total.unchanged)
        };
        let (staged, constraints) = stage();
        let by_lookup = match plan_by_lookup(&directory, &staged, &constraints) {
            Ok(found) => found.map(describe),
            Err(error) => Some(error.message),
        };
        let (staged, mut constraints) = stage();
        let by_diff = plan_by_diff(&directory, &staged, &mut constraints, Unlisted::Keep, LossGuard::default())
            .map_or_else(|error| error.message, describe);
        (by_lookup, by_diff)
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
            vec![r#"{"kind":"project","id":2,"namespace_id":1,"path":"a/q","name":"q","relative_path":"p.wiki.git"}"#],
            vec![r#"{"kind":"project","id":2,"namespace_id":1,"path":"a/q","name":"q","relative_path":"q.git"}"#],
            vec![r#"{"kind":"snippet","id":2,"author_id":1,"storage":"default","relative_path":"p.design.git"}"#],
            vec![r#"{"kind":"namespace","id":2,"type":"group","path":"A/P","name":"p","parent_id":1}"#],
            vec![r#"{"kind":"project","id":2,"namespace_id":1,"path":"A/p.wiki","name":"p","relative_path":"q.git"}"#],
            vec![r#"{"kind":"project","id":2,"namespace_id":1,"path":"b/q","name":"p","relative_path":"q.git"}"#],
            vec![r#"{"kind":"namespace","id":2,"type":"group","path":"b/sub","name":"p","parent_id":1}"#],
            vec![r#"{"kind":"deploy_grant","key_id":2,"project_id":1}"#],
            vec![r#"{"kind":"deploy_grant","key_id":1,"project_id":1}"#],
            vec![
                r#"{"kind":"user","id":4,"username":"new","name":"N"}"#,
                r#"{"kind":"member","namespace_id":1,"user_id":4,"access_level":50}"#,
            ],
        ];
        for lines in files {
            let (by_lookup, by_diff) = plan_both_ways(&lines);
            assert_eq!(by_lookup, Some(by_diff), "{lines:?}");
        }
        let (same, other) = (key(1, 1, ""), key(3, 3, ""));
        let (by_lookup, by_diff) = plan_both_ways(&[&same, &other]);
        assert_eq!(by_lookup, Some(by_diff));
    }

    #[test]
    fn a_key_that_replaces_another_is_left_to_the_full_diff() {
        for line in [key(1, 3, ""), key(5, 1, ""), key(2, 2, "")] {
            assert_eq!(plan_both_ways(&[&line]).0, None, "{line}");
        }
    }
}
