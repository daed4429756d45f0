//! Checks that what is in a namespace is below its path: `tools/gate` in the namespace `tools`.

use std::collections::HashMap;

use crate::model::id::Id;
use crate::model::path_grammar::is_directly_below;
use crate::model::record::{Namespace, Project, Record};
use crate::model::sort_key::SortKey;
use crate::model::text::Text;
use crate::primary::apply::constraints::{IntegrityError, RecordOrigin};
use crate::primary::apply::diff::RecordDiff;
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::store::generations::generation::Generation;

/// Refuses a project or subgroup of the file whose path is not its namespace's, a slash and one segment. One that the file names as it
/// is counts too: its namespace may get another path. A namespace that does not exist is another check's.
pub fn check_nesting(directory: &Generation, staged: &StagedFile, step: &RecordDiff) -> Result<(), StagingError> {
    let (entry, line) = match step {
        RecordDiff::Added(entry, line)
        | RecordDiff::Changed { new: entry, line, .. }
        | RecordDiff::Unchanged(entry, RecordOrigin::Line(line)) => (entry, *line),
        RecordDiff::Unchanged(_, RecordOrigin::Directory) | RecordDiff::Removed(_) => return Ok(()),
    };
    let (path, field, id) = match entry.record().map(AsRef::as_ref) {
        Some(Record::Project(project)) => (&project.path, "namespace_id", project.namespace_id),
        Some(Record::Namespace(namespace)) => match namespace.parent_id {
            Some(parent) => (&namespace.path, "parent_id", parent),
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    match namespace_path(directory, staged, id)? {
        Some(parent) if !is_directly_below(path, &parent) => {
            let misplaced = IntegrityError::Misplaced { line, path: path.to_string(), parent, id, field };
            Err(misplaced.into())
        }
        _ => Ok(()),
    }
}

/// Refuses a file that gives a namespace another path and does not name a project or subgroup in it: that would stay below the old path,
/// where others may come. For a file whose unlisted records stay.
pub fn check_left_behind(directory: &Generation, staged: &StagedFile) -> Result<(), StagingError> {
    let moved = moved_namespaces(directory, staged)?;
    if moved.is_empty() {
        return Ok(());
    }
    let mut left = None;
    for prefix in [SortKey::namespaces_prefix(), SortKey::projects_prefix()] {
        let visit = |record: &Record| {
            if left.is_none() && !staged.contains(&record.sort_key()) {
                left = left_behind(&moved, record);
            }
        };
        directory.for_each_record_with_prefix(&prefix, visit)?;
    }
    left.map_or(Ok(()), |left| Err(left.into()))
}

/// Returns the namespaces of the file that have another path in the directory, with their lines and their new paths.
fn moved_namespaces(directory: &Generation, staged: &StagedFile) -> Result<HashMap<Id, (usize, Text)>, StagingError> {
    let mut moved = HashMap::new();
    for (id, path) in &staged.namespace_paths {
        let sort_key = SortKey::namespace(*id);
        let old = directory.load_entry(&sort_key)?;
        if let (Some(Record::Namespace(old)), Some(staged)) =
            (old.as_ref().and_then(|old| old.record()).map(AsRef::as_ref), staged.find(&sort_key))
            && !old.path.eq_ignore_ascii_case(path)
        {
            moved.insert(*id, (staged.line, path.clone()));
        }
    }
    Ok(moved)
}

/// Returns the error for a record that stays, if it is in a namespace that moves away from its path.
fn left_behind(moved: &HashMap<Id, (usize, Text)>, record: &Record) -> Option<IntegrityError> {
    let (kind, parent, id, below) = match record {
        Record::Project(Project { namespace_id, id, path, .. }) => ("project", *namespace_id, *id, path),
        Record::Namespace(Namespace { parent_id: Some(parent), id, path, .. }) => ("namespace", *parent, *id, path),
        _ => return None,
    };
    let (line, path) = moved.get(&parent).filter(|(_, path)| !is_directly_below(below, path))?;
    Some(IntegrityError::LeftBehind { line: *line, path: path.to_string(), kind, id, below: below.to_string() })
}

/// Returns the path that a namespace will have: the file's, else the directory's.
fn namespace_path(directory: &Generation, staged: &StagedFile, id: Id) -> Result<Option<String>, StagingError> {
    if let Some(path) = staged.namespace_paths.get(&id) {
        return Ok(Some(path.to_string()));
    }
    let entry = directory.load_entry(&SortKey::namespace(id))?;
    Ok(match entry.as_ref().and_then(|entry| entry.record()).map(AsRef::as_ref) {
        Some(Record::Namespace(namespace)) => Some(namespace.path.to_string()),
        _ => None,
    })
}
