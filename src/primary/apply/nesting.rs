//! Checks that what a file names is below the namespace that it says it is in: `tools/gate` in the namespace `tools`.

use crate::api::error::ApiError;
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::model::path_grammar::is_directly_below;
use crate::model::record::Record;
use crate::primary::apply::constraints::{IntegrityError, RecordOrigin};
use crate::primary::apply::diff::RecordDiff;
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::store::generations::generation::Generation;

/// Refuses a project or subgroup of the file whose path is not its namespace's, a slash and one segment. One that the file names as it
/// is counts too: its namespace may get another path. A namespace that does not exist is another check's.
pub fn check_nesting(directory: &Generation, staged: &StagedFile, step: &RecordDiff) -> Result<(), ApiError> {
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
            Err(StagingError::from(misplaced).into())
        }
        _ => Ok(()),
    }
}

/// Returns the path that a namespace will have: the file's, else the directory's.
fn namespace_path(directory: &Generation, staged: &StagedFile, id: Id) -> Result<Option<String>, ApiError> {
    if let Some(path) = staged.namespace_paths.get(&id) {
        return Ok(Some(path.to_string()));
    }
    Ok(directory.namespace(id)?.map(|namespace| namespace.path.to_string()))
}
