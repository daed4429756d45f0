//! A store that takes the place of another, in the same folder, so that a crash leaves one of them and never a part of each.
//!
//! ```text
//! restoring/          the new store, while it is built; removed at the next start if nothing came of it
//! REPLACING           what is under way, and the folder for the store that is replaced; the next start goes on with it
//! replaced-<time>/    a store that was replaced; nothing reads it, and whoever is sure removes it
//! ```
//! The new store is on disk whole before `REPLACING` is written, and it was looked at whether the old one can be moved. From then on the old
//! files are moved aside, and once they are, the new ones to their place. Each move is one rename, and each step can be done again. Only the
//! names that a store knows are moved. Where the old files do not all follow, those that did are moved back.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::model::time::Time;
use crate::store::files::folder::{self, FileError, remove_tree, sync_folder};
use crate::store::files::{atomic_file, lock_file};

const BUILDING: &str = "restoring";
const MARKER: &str = "REPLACING";
const REPLACED_PREFIX: &str = "replaced-";
const LOCK: &str = "LOCK";
/// What a primary's store has in its folder beside its lock. Whatever else lies there is somebody else's, and stays.
const OWN_NAMES: [&str; 6] = ["CURRENT", "CURRENT.new", "generations", "ledger", "ledger.new", "tmp"];

/// A store that is being built to take the place of another. Whoever has it holds the folder's lock.
pub struct Replacement {
    folder: PathBuf,
    building: PathBuf,
}

/// A store that has taken the place of another, or that will at the next start.
#[derive(Debug)]
pub struct Installed {
    /// Where the old store is, or is being moved to; `None` if there was none.
    pub replaced: Option<PathBuf>,
    /// Why the switch, which has begun, is not finished: [`finish`] goes on with it.
    pub unfinished: Option<FileError>,
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

    /// Puts the new store, which is closed, in the place of the old one. After an error nothing has changed, and the old store is in its
    /// place. What cannot be gone on with after the switch has begun is in [`Installed::unfinished`].
    pub fn install(self, now: Time) -> Result<Installed, FileError> {
        let _missing = fs::remove_file(self.building.join(LOCK));
        folder::sync_tree(&self.building)?;
        let name = format!("{REPLACED_PREFIX}{}", now.to_string().replace([':', '.'], "-"));
        let aside = self.folder.join(&name);
        let replaced = if own_names(&self.folder)?.is_empty() {
            None
        } else {
            check_movable(&self.folder)?;
            DirBuilder::new().mode(0o700).create(&aside).map_err(FileError::io(&aside))?;
            Some(aside)
        };
        sync_folder(&self.folder)?;
        match start(&self.folder, &name) {
            Ok(()) => Ok(Installed { replaced, unfinished: go_on(&self.folder, Step::MoveIn, &name).err() }),
            Err(error) if go_back(&self.folder, &name).is_ok() => Err(error),
            Err(error) => Ok(Installed { replaced, unfinished: Some(error) }),
        }
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
    match read_marker(folder)? {
        Some((step, name)) => go_on(folder, step, &name),
        None => remove_tree(&folder.join(BUILDING)),
    }
}

/// Begins the switch: the old store is aside when this returns.
fn start(folder: &Path, name: &str) -> Result<(), FileError> {
    write_marker(folder, Step::MoveAside, name)?;
    move_own(folder, &folder.join(name))?;
    write_marker(folder, Step::MoveIn, name)
}

/// Moves the old store back that was not moved aside as a whole. Refused once the new one may be on its way in.
fn go_back(folder: &Path, name: &str) -> Result<(), FileError> {
    if let Some((Step::MoveIn, _)) = read_marker(folder)? {
        return Err(FileError::invalid(&folder.join(MARKER), "the new store is on its way in"));
    }
    let aside = folder.join(name);
    if aside.exists() {
        move_own(&aside, folder)?;
    }
    atomic_file::remove(&folder.join(MARKER))?;
    // An empty folder that stays does no harm.
    let _ = fs::remove_dir(&aside);
    Ok(())
}

fn go_on(folder: &Path, step: Step, name: &str) -> Result<(), FileError> {
    let (building, aside) = (folder.join(BUILDING), folder.join(name));
    if step == Step::MoveAside {
        move_own(folder, &aside)?;
        write_marker(folder, Step::MoveIn, name)?;
    }
    if building.exists() {
        move_own(&building, folder)?;
        remove_tree(&building)?;
    }
    atomic_file::remove(&folder.join(MARKER))
}

/// Moves what is the store's, and nothing else that lies in its folder: the root of a mount has a `lost+found`.
fn move_own(from: &Path, to: &Path) -> Result<(), FileError> {
    let names = own_names(from)?;
    if names.is_empty() {
        return Ok(());
    }
    folder::ensure_private(to)?;
    for name in names {
        let path = from.join(name);
        fs::rename(&path, to.join(name)).map_err(FileError::io(&path))?;
    }
    sync_folder(to)?;
    sync_folder(from)
}

/// Returns which of the store's own names are in a folder.
fn own_names(folder: &Path) -> Result<Vec<&'static str>, FileError> {
    let mut found = Vec::new();
    for name in OWN_NAMES {
        match fs::symlink_metadata(folder.join(name)) {
            Ok(_) => found.push(name),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io(&folder.join(name))(error)),
        }
    }
    Ok(found)
}

/// Refuses a store of which a part would not follow when it is moved.
fn check_movable(folder: &Path) -> Result<(), FileError> {
    let device = fs::metadata(folder).map_err(FileError::io(folder))?.dev();
    for name in own_names(folder)? {
        let path = folder.join(name);
        let metadata = fs::symlink_metadata(&path).map_err(FileError::io(&path))?;
        if metadata.dev() != device {
            let reason = "this is on another file system than the store's folder, so it cannot be put aside with the store; unmount it, or \
                          restore to another folder with --store and name that in `store.path`";
            return Err(FileError::invalid(&path, reason));
        }
        let (owner, us) = (metadata.uid(), geteuid().as_raw());
        if metadata.is_dir() && owner != us && us != 0 {
            let reason = format!("uid {owner} owns this, so uid {us} cannot put it aside; `chown -R {us}` it");
            return Err(FileError::invalid(&path, reason));
        }
    }
    Ok(())
}

fn read_marker(folder: &Path) -> Result<Option<(Step, String)>, FileError> {
    let Some(text) = atomic_file::read(&folder.join(MARKER))? else { return Ok(None) };
    let steps = [Step::MoveAside, Step::MoveIn];
    let parsed = text.trim_end().split_once(' ').and_then(|(step, name)| {
        let step = steps.into_iter().find(|known| known.as_str() == step)?;
        (name.starts_with(REPLACED_PREFIX) && !name.contains('/')).then(|| (step, name.to_owned()))
    });
    let reason = "this does not say what is being replaced; move the folder away, and restore the backup again";
    parsed.map(Some).ok_or_else(|| FileError::invalid(&folder.join(MARKER), reason))
}

fn write_marker(folder: &Path, step: Step, name: &str) -> Result<(), FileError> {
    atomic_file::replace(&folder.join(MARKER), format!("{} {name}\n", step.as_str()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::{BUILDING, MARKER, Replacement, Step, finish, move_own, write_marker};
    use crate::model::time::Time;
    use crate::store::files::folder;
    use crate::store::tests::small_disk::SmallDisk;

    /// The folder for a store that is replaced at the epoch.
    const AT_EPOCH: &str = "replaced-1970-01-01T00-00-00-000Z";

    /// A folder that is mounted on itself: on the same file system, and not to be renamed.
    struct SelfMount(PathBuf);

    impl SelfMount {
        fn at(folder: &Path) -> Option<Self> {
            let mounted = Command::new("mount").arg("--bind").args([folder, folder]).output();
            mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
        }
    }

    impl Drop for SelfMount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        }
    }

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
        let replaced = begun(folder.path()).install(Time::EPOCH).unwrap().replaced.unwrap();
        assert_eq!((content(folder.path()), content(&replaced)), (vec!["new".to_owned(); 2], vec!["old".to_owned(); 2]));
        assert!(!folder.path().join(MARKER).exists() && !folder.path().join(BUILDING).exists());
        finish(folder.path()).unwrap();
        assert_eq!(content(folder.path()), ["new", "new"]);
    }

    #[test]
    fn what_is_not_the_stores_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let replacement = begun(folder.path());
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        fs::write(folder.path().join("notes"), "of an operator").unwrap();
        replacement.install(Time::EPOCH).unwrap();
        assert!(folder.path().join("lost+found").is_dir() && folder.path().join("notes").is_file());
        assert_eq!(content(folder.path()), ["new", "new"]);
    }

    #[test]
    fn a_store_of_which_a_part_cannot_be_moved_is_refused_and_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let replacement = begun(folder.path());
        let Some(_disk) = SmallDisk::mount(&folder.path().join("ledger"), 64) else { return };
        let refused = replacement.install(Time::EPOCH).unwrap_err().to_string();
        assert!(refused.contains("ledger") && refused.contains("--store"), "{refused}");
        assert_eq!((content(folder.path()), folder.path().join(MARKER).exists()), (vec!["old".to_owned(); 2], false));
        assert!(!folder.path().join(AT_EPOCH).exists());
        finish(folder.path()).unwrap();
        assert_eq!(content(folder.path()), ["old", "old"]);
    }

    #[test]
    fn what_cannot_be_moved_although_it_seemed_so_leaves_the_old_store_whole() {
        let folder = tempfile::tempdir().unwrap();
        let replacement = begun(folder.path());
        let Some(_mount) = SelfMount::at(&folder.path().join("generations")) else { return };
        let refused = replacement.install(Time::EPOCH).unwrap_err().to_string();
        assert!(refused.contains("generations"), "{refused}");
        assert_eq!((content(folder.path()), folder.path().join(MARKER).exists()), (vec!["old".to_owned(); 2], false));
        assert!(!folder.path().join(AT_EPOCH).exists());
    }

    #[test]
    fn a_switch_that_begins_and_cannot_end_says_so_and_the_next_start_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "old");
        let replacement = Replacement::begin(folder.path()).unwrap();
        let Some(disk) = SmallDisk::mount(replacement.building(), 256) else { return };
        put(replacement.building(), "new");
        let installed = replacement.install(Time::EPOCH).unwrap();
        let replaced = installed.replaced.unwrap();
        assert!(installed.unfinished.is_some());
        assert_eq!((content(&replaced), replaced.file_name().unwrap().to_str().unwrap()), (vec!["old".to_owned(); 2], AT_EPOCH));
        drop(disk);
        put(&folder.path().join(BUILDING), "new");
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
                move_own(path, &aside).unwrap();
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
