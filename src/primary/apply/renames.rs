//! What a renamed project leaves behind: a redirect from its old path, so that a push there reaches it and creates nothing.
//!
//! The redirects are added to the staged file, at the line of the project, and are then planned, counted and written like lines of the
//! operator's. The private store remembers which they are (`redirect/<path in lower case>` has the project's id), because a file that is
//! the whole directory does not name them, and they stay until a record of a file takes the path. A mark without its redirect means
//! nothing; the next such file removes it.

use std::collections::{BTreeMap, HashMap};

use crate::api::error::ApiError;
use crate::model::id::Id;
use crate::model::record::{Project, Record, Redirect};
use crate::model::sort_key::SortKey;
use crate::model::text::Text;
use crate::primary::apply::constraints::{Constraints, IntegrityError, RecordOrigin};
use crate::primary::apply::diff::{DiffError, Unlisted};
use crate::primary::apply::staged_file::{StagedFile, StagingError};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::pages::index::IndexKey;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::wire::directory::record_references::ReferencedRecord;

const MARK_PREFIX: &[u8] = b"redirect/";

/// The redirects that an apply makes and keeps, and what the private store says of earlier ones.
#[derive(Default)]
pub struct Renames {
    /// The former paths that get a redirect, with the projects that had them.
    made: Vec<(Text, Id)>,
    marks: HashMap<Box<str>, Id>,
}

impl Renames {
    /// Returns how many projects leave a redirect behind.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.made.len()
    }

    /// Remembers the redirects that are about to be made. Blocks.
    pub fn write_marks(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        if self.made.is_empty() {
            return Ok(());
        }
        let mark = |(from, id): &(Text, Id)| (mark_key(&from.to_ascii_lowercase()), Some(id.bytes().to_vec()));
        private_store.write(PrivateWrites { entries: self.made.iter().map(mark).collect() })
    }

    /// Forgets the earlier redirects that are not in the directory any more. Blocks.
    pub fn remove_stale_marks(&self, directory: &Generation, private_store: &PrivateStore) -> Result<(), StoreError> {
        let mut writes = PrivateWrites::default();
        for (from, id) in &self.marks {
            if marked_redirect(directory, from, *id)?.is_none() {
                writes.entries.push((mark_key(from), None));
            }
        }
        if writes.entries.is_empty() { Ok(()) } else { private_store.write(writes) }
    }
}

/// Adds to a staged file the redirects that its renames leave and those of earlier renames that stay, and takes out of the directory
/// those whose path a record of the file takes. `constraints` are those of the file. The directory must not change meanwhile. Blocks.
pub fn stage_redirects(
    directory: &Generation,
    private_store: &PrivateStore,
    staged: &mut StagedFile,
    constraints: &Constraints,
    unlisted: Unlisted,
) -> Result<Renames, ApiError> {
    refuse_shadowed(directory, staged, constraints, unlisted)?;
    let mut renames = Renames { made: Vec::new(), marks: load_marks(private_store)? };
    let mut additions: BTreeMap<SortKey, (usize, Record)> = BTreeMap::new();
    for (line, project, old_path) in moved_projects(directory, staged)? {
        if unlisted == Unlisted::Keep && directory.has_entry(&SortKey::redirect(&project.path))? {
            staged.taken_redirects.insert(SortKey::redirect(&project.path));
        }
        let Some(from) = old_path else { continue };
        let sort_key = SortKey::redirect(&from);
        let is_free = constraints.path_origin(&from).is_none() && !staged.contains(&sort_key);
        if is_free {
            renames.made.push((from.clone(), project.id));
            additions.insert(sort_key, (line, Record::Redirect(Redirect { from, project_id: project.id })));
        }
    }
    if unlisted == Unlisted::Remove {
        for (from, id) in &renames.marks {
            let sort_key = SortKey::redirect(from);
            let stays = constraints.path_origin(from).is_none()
                && constraints.contains(ReferencedRecord::Project(*id))
                && !staged.contains(&sort_key)
                && !additions.contains_key(&sort_key);
            if stays && let Some(redirect) = marked_redirect(directory, from, *id)? {
                // No line of the file is to blame for it, and none can be: it stays as it is.
                additions.insert(sort_key, (0, Record::Redirect(redirect)));
            }
        }
    }
    staged.insert(additions.into_values())?;
    Ok(renames)
}

/// Refuses a redirect of the file from the path of a project, which would never be followed.
fn refuse_shadowed(directory: &Generation, staged: &StagedFile, constraints: &Constraints, unlisted: Unlisted) -> Result<(), ApiError> {
    for record in staged.with_prefix(&SortKey::redirects_prefix()) {
        let Record::Redirect(redirect) = staged.record(record)? else { continue };
        let mut first = constraints.path_origin(&redirect.from);
        if first.is_none() && unlisted == Unlisted::Keep {
            let holder = directory.load_entry_by_index(&IndexKey::by_project_path(&redirect.from)).map_err(DiffError::from)?;
            let stays = match holder.as_ref().and_then(|holder| holder.record()).map(AsRef::as_ref) {
                Some(Record::Project(holder)) => !constraints.contains(ReferencedRecord::Project(holder.id)),
                _ => false,
            };
            first = stays.then_some(RecordOrigin::Directory);
        }
        if let Some(first) = first {
            let what = format!("the path `{}`", redirect.from);
            return Err(StagingError::from(IntegrityError::Duplicate { line: record.line, what, first }).into());
        }
    }
    Ok(())
}

/// Returns the projects of the file that are new or have another path than in the directory, with their lines and, of the latter, the
/// path there.
fn moved_projects(directory: &Generation, staged: &StagedFile) -> Result<Vec<(usize, Project, Option<Text>)>, ApiError> {
    let mut moved = Vec::new();
    let counts = directory.counts_by_kind();
    if !counts.contains_key("project") && !counts.contains_key("redirect") {
        return Ok(moved);
    }
    for record in staged.with_prefix(&SortKey::projects_prefix()) {
        let old = directory.load_entry(&record.sort_key).map_err(DiffError::from)?;
        if old.as_ref().is_some_and(|old| staged.text(record).is_ok_and(|text| *old.text() == text)) {
            continue;
        }
        let Record::Project(new) = staged.record(record)? else { continue };
        match old.as_ref().and_then(|old| old.record()).map(AsRef::as_ref) {
            Some(Record::Project(old)) if old.path.eq_ignore_ascii_case(&new.path) => {}
            Some(Record::Project(old)) => moved.push((record.line, new, Some(old.path.clone()))),
            _ => moved.push((record.line, new, None)),
        }
    }
    Ok(moved)
}

/// Returns the redirect from a path, if it is still the one that was marked.
fn marked_redirect(directory: &Generation, from: &str, id: Id) -> Result<Option<Redirect>, StoreError> {
    let entry = directory.load_entry(&SortKey::redirect(from))?;
    Ok(match entry.as_ref().and_then(|entry| entry.record()).map(AsRef::as_ref) {
        Some(Record::Redirect(redirect)) if redirect.project_id == id => Some(redirect.clone()),
        _ => None,
    })
}

fn load_marks(private_store: &PrivateStore) -> Result<HashMap<Box<str>, Id>, StoreError> {
    let parse = |(key, value): (Vec<u8>, Vec<u8>)| {
        let from = String::from_utf8(key.get(MARK_PREFIX.len()..)?.to_vec()).ok()?;
        let id = Id::try_from(u64::from_be_bytes(value.try_into().ok()?)).ok()?;
        Some((from.into_boxed_str(), id))
    };
    Ok(private_store.scan_prefix(MARK_PREFIX)?.into_iter().filter_map(parse).collect())
}

fn mark_key(from: &str) -> Vec<u8> {
    [MARK_PREFIX, from.as_bytes()].concat()
}
