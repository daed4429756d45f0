//! A store that takes the place of another, in the same folder, so that a crash leaves one of them and never a part of each.
//!
//! ```text
//! restoring/          the new store, while it is built; removed at the next start if nothing came of it
//! REPLACING           what is under way, and the folder for the store that is replaced; the next start goes on with it
//! replaced-<time>/    a store that was replaced; nothing reads it, and whoever is sure removes it
//! ```
//! The new store is on disk whole before `REPLACING` is written. From then on the old files are moved aside, and once they are, the new ones
//! to their place. Each move is one rename, and each step can be done again.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::model::time::Time;
use crate::store::files::folder::{self, FileError, remove_tree, sync_folder};
use crate::store::files::{atomic_file, lock_file};

const BUILDING: &str = "restoring";
const MARKER: &str = "REPLACING";
const REPLACED_PREFIX: &str = "replaced-";
const LOCK: &str = "LOCK";

/// A store that is being built to take the place of another. Whoever has it holds the folder's lock.
pub struct Replacement {
    folder: PathBuf,
    building: PathBuf,
}

/// What is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The files of the old store are moved aside.
    MoveAside,
    /// Those of the new one are moved to their place.
    MoveIn,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::MoveAside => "move-aside",
            Self::MoveIn => "move-in",
        }
    }
}

impl Replacement {
    /// Begins to build a store in place of the one in `folder`, of which the caller holds the lock. What an earlier one left is finished or
    /// removed.
    pub fn begin(folder: &Path) -> Result<Self, FileError> {
        finish_locked(folder)?;
        let building = folder.join(BUILDING);
        folder::ensure_private(&building)?;
        Ok(Self { folder: folder.to_owned(), building })
    }

    /// Returns the folder in which the new store is built.
    #[must_use]
    pub fn building(&self) -> &Path {
        &self.building
    }

    /// Removes what was built.
    pub fn abandon(&self) -> Result<(), FileError> {
        remove_tree(&self.building)
    }

    /// Puts the new store, which is closed, in the place of the old one. Returns where the old one is then; `None` if there was none.
    pub fn install(self, now: Time) -> Result<Option<PathBuf>, FileError> {
        let _missing = fs::remove_file(self.building.join(LOCK));
        folder::sync_tree(&self.building)?;
        sync_folder(&self.folder)?;
        let name = format!("{REPLACED_PREFIX}{}", now.to_string().replace([':', '.'], "-"));
        let aside = self.folder.join(&name);
        write_marker(&self.folder, Step::MoveAside, &name)?;
        go_on(&self.folder, Step::MoveAside, &name)?;
        Ok(aside.exists().then_some(aside))
    }
}

/// Finishes a replacement that a crash cut off, and removes what was built for one that did not begin. Refused if another process uses the
/// store. Does nothing where there is neither.
pub fn finish(folder: &Path) -> Result<(), FileError> {
    if !folder.join(MARKER).exists() && !folder.join(BUILDING).exists() {
        return Ok(());
    }
    folder::check_private(folder)?;
    let _lock = lock_file::acquire_lock(&folder.join(LOCK))?;
    finish_locked(folder)
}

fn finish_locked(folder: &Path) -> Result<(), FileError> {
    let Some(text) = atomic_file::read(&folder.join(MARKER))? else { return remove_tree(&folder.join(BUILDING)) };
    let steps = [Step::MoveAside, Step::MoveIn];
    let parsed = text.trim_end().split_once(' ').and_then(|(step, name)| {
        let step = steps.into_iter().find(|known| known.as_str() == step)?;
        (name.starts_with(REPLACED_PREFIX) && !name.contains('/')).then(|| (step, name.to_owned()))
    });
    let Some((step, name)) = parsed else {
        let reason = "this does not say what is being replaced; move the folder away, and restore the backup again";
        return Err(FileError::invalid(&folder.join(MARKER), reason));
    };
    go_on(folder, step, &name)
}

fn go_on(folder: &Path, step: Step, name: &str) -> Result<(), FileError> {
    let (building, aside) = (folder.join(BUILDING), folder.join(name));
    if step == Step::MoveAside {
        move_all(folder, &aside)?;
        write_marker(folder, Step::MoveIn, name)?;
    }
    if building.exists() {
        move_all(&building, folder)?;
        remove_tree(&building)?;
    }
    atomic_file::remove(&folder.join(MARKER))
}

/// Moves the files of a store, and nothing that is about its replacement.
fn move_all(from: &Path, to: &Path) -> Result<(), FileError> {
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(from).map_err(FileError::io(from))? {
        names.push(entry.map_err(FileError::io(from))?.file_name());
    }
    names.retain(|name| is_of_store(&name.to_string_lossy()));
    if names.is_empty() {
        return Ok(());
    }
    folder::ensure_private(to)?;
    for name in names {
        let path = from.join(&name);
        fs::rename(&path, to.join(&name)).map_err(FileError::io(&path))?;
    }
    sync_folder(to)?;
    sync_folder(from)
}

fn is_of_store(name: &str) -> bool {
    ![LOCK, BUILDING].contains(&name) && !name.starts_with(MARKER) && !name.starts_with(REPLACED_PREFIX)
}

fn write_marker(folder: &Path, step: Step, name: &str) -> Result<(), FileError> {
    atomic_file::replace(&folder.join(MARKER), format!("{} {name}\n", step.as_str()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{BUILDING, MARKER, Replacement, Step, finish, move_all, write_marker};
    use crate::model::time::Time;
    use crate::store::files::folder;

    fn put(folder: &Path, text: &str) {
        folder::ensure_private(&folder.join("generations")).unwrap();
        fs::write(folder.join("CURRENT"), text).unwrap();
        fs::write(folder.join("generations/1"), text).unwrap();
    }

    fn content(folder: &Path) -> Vec<String> {
        ["CURRENT", "generations/1"].map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default()).to_vec()
    }

    fn begun(folder: &Path) -> Replacement {
        put(folder, "old");
        let replacement = Replacement::begin(folder).unwrap();
        put(replacement.building(), "new");
        replacement
    }

    #[test]
    fn the_new_store_is_in_the_place_of_the_old_one_and_that_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let replaced = begun(folder.path()).install(Time::EPOCH).unwrap().unwrap();
        assert_eq!((content(folder.path()), content(&replaced)), (vec!["new".to_owned(); 2], vec!["old".to_owned(); 2]));
        assert!(!folder.path().join(MARKER).exists() && !folder.path().join(BUILDING).exists());
        finish(folder.path()).unwrap();
        assert_eq!(content(folder.path()), ["new", "new"]);
    }

    #[test]
    fn a_crash_before_the_marker_leaves_the_old_store_and_one_after_it_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        drop(begun(folder.path()));
        finish(folder.path()).unwrap();
        assert_eq!((content(folder.path()), folder.path().join(BUILDING).exists()), (vec!["old".to_owned(); 2], false));
        // After each rename of both steps.
        for (step, moved) in
            [(Step::MoveAside, 0), (Step::MoveAside, 1), (Step::MoveAside, 2), (Step::MoveIn, 0), (Step::MoveIn, 1), (Step::MoveIn, 2)]
        {
            let folder = tempfile::tempdir().unwrap();
            let (name, path) = ("replaced-x", folder.path());
            let replacement = begun(path);
            let aside = path.join(name);
            write_marker(path, step, name).unwrap();
            let names = ["CURRENT", "generations"];
            folder::ensure_private(&aside).unwrap();
            if step == Step::MoveIn {
                move_all(path, &aside).unwrap();
            }
            let (from, to) = if step == Step::MoveAside { (path, aside.as_path()) } else { (replacement.building(), path) };
            names[..moved].iter().for_each(|name| fs::rename(from.join(name), to.join(name)).unwrap());
            finish(path).unwrap();
            assert_eq!(
                (content(path), content(&aside)),
                (vec!["new".to_owned(); 2], vec!["old".to_owned(); 2]),
                "{} {moved}",
                step.as_str()
            );
            assert!(!path.join(MARKER).exists() && !path.join(BUILDING).exists());
        }
    }

    #[test]
    fn a_marker_that_nobody_wrote_is_refused_and_nothing_is_moved() {
        for text in ["", "move-in", "move-in ../x", "move-in replaced-/../x", "other replaced-x"] {
            let folder = tempfile::tempdir().unwrap();
            put(folder.path(), "old");
            fs::write(folder.path().join(MARKER), text).unwrap();
            assert!(finish(folder.path()).unwrap_err().to_string().contains("restore the backup again"), "{text}");
            assert_eq!(content(folder.path()), ["old", "old"]);
        }
    }
}
