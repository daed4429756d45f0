//! A folder of generations: `generations/<n>/`, `CURRENT` naming the one in use, at most one in `quarantine/`.
//!
//! ```text
//! LOCK             locked by the one process that may write here; holds its process id
//! CURRENT          the number of the generation in use, replaced whole
//! opening          the number of the generation being opened, one line for each process that died while it opened it
//! instance         the random id of this store
//! instance-origin  which file that was made as: in a copy it is another, and the copy gets another id
//! confirmed-bound  for how long a sidecar's store may be answered from without the primary, as the primary has it on disk
//! unstored_changes what a full disk kept out of the store; space that is reserved for it (files/change_log.rs)
//! generations/3/   a database; numbers only grow
//! quarantine/2/    the last one that could not be trusted, kept for diagnosis
//! ```
//!
//! A generation that `CURRENT` does not name is unfinished or out of use. One that cannot be opened never stops the service: it is
//! moved to quarantine and a new one is built. The primary, which has the only copy, calls [`GenerationsFolder::current_path`]
//! instead and opens it itself.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::error::StoreError;
use crate::store::files::folder::{self, FileError, remove_tree};
use crate::store::files::lock_file::acquire_lock;
use crate::store::files::{atomic_file, instance_file, reserved_space};
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::guarded_open::open_guarded;

/// An open folder, locked against a second process.
pub struct GenerationsFolder {
    folder: PathBuf,
    options: StoreOptions,
    /// Held while the folder is changed; the number of the generation being built, which must not be removed.
    building: Mutex<Option<u64>>,
    _lock: File,
}

/// What became of the generation that `CURRENT` names.
pub enum OpenedGeneration {
    /// There is none.
    Empty,
    /// It is open.
    Ready(Generation),
    /// It did not open, has another format, or took too long: it was moved to quarantine.
    Quarantined(StoreError),
}

enum CurrentFile {
    Missing,
    Generation(u64),
    Invalid,
}

impl GenerationsFolder {
    /// Creates the folder if it is missing, checks and locks it.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, FileError> {
        folder::ensure_private(folder)?;
        let lock = acquire_lock(&folder.join("LOCK"))?;
        folder::ensure_private(&folder.join("generations"))?;
        Ok(Self { folder: folder.to_owned(), options, building: Mutex::new(None), _lock: lock })
    }

    /// Opens the current generation within a time limit, on a thread of its own.
    ///
    /// Blocks for at most about `limit`. A thread that took longer ends by itself and what it opened is closed.
    pub fn open_current(&self, limit: Duration) -> Result<OpenedGeneration, FileError> {
        let _guard = self.lock_building();
        let number = match self.read_current()? {
            CurrentFile::Missing => return Ok(OpenedGeneration::Empty),
            CurrentFile::Generation(number) => number,
            CurrentFile::Invalid => {
                atomic_file::remove(&self.current_file_path())?;
                return Ok(OpenedGeneration::Quarantined(self.store_error("CURRENT does not name a generation; it is built anew")));
            }
        };
        let (folder, options) = (self.generation_path(number), self.options);
        let opened = if folder.exists() {
            folder::check_private(&folder)?;
            open_guarded(&self.opening_marker_path(), number, limit, move || Generation::open(&folder, &options))?
                .map_err(|error| error.to_string())
        } else {
            Err("it is in CURRENT but not in generations/".to_owned())
        };
        match opened {
            Ok(generation) => Ok(OpenedGeneration::Ready(generation)),
            // On a full disk the failure says nothing about the generation: it stays, and the attempt is not counted.
            Err(error) if reserved_space::is_disk_full(&self.folder) => {
                atomic_file::remove(&self.opening_marker_path())?;
                let reason = format!("generation {number} cannot be opened: {error}; this disk is full: make room and start again");
                Err(FileError::invalid(&self.folder, reason))
            }
            Err(error) => {
                self.move_to_quarantine(number)?;
                Ok(OpenedGeneration::Quarantined(self.store_error(&format!("generation {number}: {error}"))))
            }
        }
    }

    /// Returns the folder of the current generation, for a caller that opens it and handles damage itself.
    pub fn current_path(&self) -> Result<Option<PathBuf>, FileError> {
        current_generation(&self.folder)
    }

    /// Creates the folder of the next generation; removes unfinished ones first.
    pub fn create_next(&self) -> Result<PathBuf, FileError> {
        let mut building = self.lock_building();
        *building = None;
        self.remove_all_except(None)?;
        let number = self.highest_number()?.saturating_add(1);
        let path = self.generation_path(number);
        folder::ensure_private(&path)?;
        *building = Some(number);
        Ok(path)
    }

    /// Removes a generation that was begun and will not be finished, so that it takes no room.
    pub fn abandon(&self, folder: &Path) -> Result<(), FileError> {
        let mut building = self.lock_building();
        *building = None;
        remove_tree(folder)
    }

    /// Makes the generation in `folder` the current one. The one before is removed by [`GenerationsFolder::remove_unused`], once
    /// nobody reads it.
    pub fn install(&self, folder: &Path) -> Result<(), FileError> {
        let mut building = self.lock_building();
        let number = folder
            .file_name()
            .and_then(|name| parse_number(&name.to_string_lossy()))
            .filter(|number| self.generation_path(*number) == folder);
        let Some(number) = number else {
            return Err(FileError::invalid(
                folder,
                format!("not a generation of {}; install a folder that it gave", self.folder.display()),
            ));
        };
        folder::check_private(folder)?;
        folder::sync_tree(folder)?;
        folder::sync_folder(&self.generations_path())?;
        atomic_file::replace(&self.current_file_path(), format!("{number}\n").as_bytes())?;
        if *building == Some(number) {
            *building = None;
        }
        Ok(())
    }

    /// Moves the current generation to quarantine; afterwards there is none.
    pub fn quarantine_current(&self) -> Result<(), FileError> {
        let _guard = self.lock_building();
        match self.read_current()? {
            CurrentFile::Missing => Ok(()),
            CurrentFile::Generation(number) => self.move_to_quarantine(number),
            CurrentFile::Invalid => atomic_file::remove(&self.current_file_path()),
        }
    }

    /// Removes generations that are neither current nor being built.
    pub fn remove_unused(&self) -> Result<(), FileError> {
        let building = self.lock_building();
        self.remove_all_except(*building)
    }

    /// Returns the random id of this store; makes it if there is none, or if the store is a copy.
    pub fn instance_id(&self) -> Result<String, FileError> {
        let _guard = self.lock_building();
        instance_file::load_or_create(&self.folder)
    }

    fn move_to_quarantine(&self, number: u64) -> Result<(), FileError> {
        let (from, quarantine) = (self.generation_path(number), self.folder.join("quarantine"));
        remove_tree(&quarantine)?;
        folder::ensure_private(&quarantine)?;
        match fs::rename(&from, quarantine.join(number.to_string())) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(FileError::io(&from)(error)),
            _ => {}
        }
        folder::sync_folder(&quarantine)?;
        folder::sync_folder(&self.generations_path())?;
        atomic_file::remove(&self.current_file_path())?;
        atomic_file::remove(&self.opening_marker_path())
    }

    fn remove_all_except(&self, building: Option<u64>) -> Result<(), FileError> {
        let current = match self.read_current()? {
            CurrentFile::Generation(number) => Some(number),
            CurrentFile::Missing | CurrentFile::Invalid => None,
        };
        for number in list_numbers(&self.generations_path())? {
            if Some(number) != current && Some(number) != building {
                remove_tree(&self.generation_path(number))?;
            }
        }
        folder::sync_folder(&self.generations_path())
    }

    /// Returns the highest number in use; a quarantined generation may still be open, so it counts.
    fn highest_number(&self) -> Result<u64, FileError> {
        let mut seen = list_numbers(&self.generations_path())?;
        seen.extend(list_numbers(&self.folder.join("quarantine"))?);
        if let CurrentFile::Generation(number) = self.read_current()? {
            seen.push(number);
        }
        Ok(seen.into_iter().max().unwrap_or(0))
    }

    fn read_current(&self) -> Result<CurrentFile, FileError> {
        read_current(&self.folder)
    }

    fn current_file_path(&self) -> PathBuf {
        current_file_path(&self.folder)
    }

    fn opening_marker_path(&self) -> PathBuf {
        self.folder.join("opening")
    }

    fn generations_path(&self) -> PathBuf {
        self.folder.join("generations")
    }

    fn generation_path(&self, number: u64) -> PathBuf {
        generation_path(&self.folder, number)
    }

    fn store_error(&self, what: &str) -> StoreError {
        StoreError(format!("{}: {what}", self.folder.display()))
    }

    fn lock_building(&self) -> MutexGuard<'_, Option<u64>> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the folder of the current generation of the store in `folder`, which is not opened for it, and may be another process's.
pub fn current_generation(folder: &Path) -> Result<Option<PathBuf>, FileError> {
    match read_current(folder)? {
        CurrentFile::Missing => Ok(None),
        CurrentFile::Generation(number) => Ok(Some(generation_path(folder, number))),
        CurrentFile::Invalid => {
            let remedy =
                "this does not name a generation; write the number of a folder in generations/ into it, or remove it to begin anew";
            Err(FileError::invalid(&current_file_path(folder), remedy))
        }
    }
}

fn read_current(folder: &Path) -> Result<CurrentFile, FileError> {
    match atomic_file::read(&current_file_path(folder)) {
        Ok(None) => Ok(CurrentFile::Missing),
        Ok(Some(text)) => Ok(text.strip_suffix('\n').and_then(parse_number).map_or(CurrentFile::Invalid, CurrentFile::Generation)),
        Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => Ok(CurrentFile::Invalid),
        Err(refused) => Err(refused),
    }
}

fn current_file_path(folder: &Path) -> PathBuf {
    folder.join("CURRENT")
}

fn generation_path(folder: &Path, number: u64) -> PathBuf {
    folder.join("generations").join(number.to_string())
}

fn list_numbers(folder: &Path) -> Result<Vec<u64>, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileError::io(folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| parse_number(&entry.file_name().to_string_lossy())).map_err(FileError::io(folder)));
    names.filter_map(Result::transpose).collect()
}

/// Parses the name of a generation, only in the form that we write.
fn parse_number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Duration;

    use super::{GenerationsFolder, OpenedGeneration};
    use crate::store::files::folder::FileError;
    use crate::store::generations::generation::StoreOptions;

    const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 };
    const LONG: Duration = Duration::from_secs(60);

    fn at(folder: &Path) -> GenerationsFolder {
        GenerationsFolder::open(folder, OPTIONS).unwrap()
    }

    /// A generation that no sled can open.
    fn installed(generations: &GenerationsFolder) -> u64 {
        let folder = generations.create_next().unwrap();
        fs::write(folder.join("db"), "not a database").unwrap();
        fs::write(folder.join("snap.0000000000000001"), "not a snapshot").unwrap();
        generations.install(&folder).unwrap();
        folder.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn quarantined(generations: &GenerationsFolder) -> String {
        match generations.open_current(LONG).unwrap() {
            OpenedGeneration::Quarantined(error) => error.to_string(),
            OpenedGeneration::Empty => panic!("it was empty"),
            OpenedGeneration::Ready(_) => panic!("it opened"),
        }
    }

    #[test]
    fn a_second_process_is_refused_by_path_holder_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let first = at(folder.path());
        let message = GenerationsFolder::open(folder.path(), OPTIONS).err().unwrap().to_string();
        for part in [&*folder.path().to_string_lossy(), &format!("process {} uses", std::process::id()), "[store] path of its own"] {
            assert!(message.contains(part), "{message}");
        }
        drop(first);
        at(folder.path());
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_at_each_depth() {
        let folder = tempfile::tempdir().unwrap();
        drop(at(folder.path()));
        for path in [folder.path().to_owned(), folder.path().join("generations")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            let message = GenerationsFolder::open(folder.path(), OPTIONS).err().unwrap().to_string();
            assert!(message.contains(&*path.to_string_lossy()) && message.contains("chmod 0700"), "{message}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn there_is_nothing_until_something_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        assert!(matches!(generations.open_current(LONG).unwrap(), OpenedGeneration::Empty));
        generations.create_next().unwrap();
        assert!(matches!(generations.open_current(LONG).unwrap(), OpenedGeneration::Empty));
        assert_eq!(generations.current_path().unwrap(), None);
        generations.quarantine_current().unwrap();
    }

    #[test]
    fn unfinished_generations_are_cleared_and_the_current_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let first = installed(&generations);
        generations.create_next().unwrap();
        let third = generations.create_next().unwrap();
        assert_eq!(names(&folder.path().join("generations")), [first.to_string(), third.file_name().unwrap().to_str().unwrap().to_owned()]);
        generations.remove_unused().unwrap();
        assert!(third.exists(), "a sweep took the one being built");
        generations.install(&third).unwrap();
        generations.remove_unused().unwrap();
        assert_eq!(names(&folder.path().join("generations")).len(), 1);
        assert_eq!(generations.current_path().unwrap(), Some(third));
    }

    #[test]
    fn a_folder_from_elsewhere_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = elsewhere.path().join("7");
        fs::create_dir(&foreign).unwrap();
        for wrong in [foreign, folder.path().join("generations/01"), folder.path().join("generations")] {
            let message = generations.install(&wrong).unwrap_err().to_string();
            assert!(message.starts_with(&*wrong.to_string_lossy()) && message.contains("install a folder that it gave"), "{message}");
        }
        assert!(matches!(generations.install(&folder.path().join("generations/9")), Err(FileError::Io { .. })));
    }

    #[test]
    fn a_generation_that_does_not_open_goes_to_quarantine_and_the_next_one_gets_a_new_number() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let first = installed(&generations);
        let message = quarantined(&generations);
        assert!(message.contains(&*folder.path().to_string_lossy()) && message.contains(&format!("generation {first}")), "{message}");
        assert_eq!(names(&folder.path().join("quarantine")), [first.to_string()]);
        assert!(matches!(generations.open_current(LONG).unwrap(), OpenedGeneration::Empty));
        assert!(!folder.path().join("opening").exists());
        let second = installed(&generations);
        assert!(second > first);
        quarantined(&generations);
        assert_eq!(names(&folder.path().join("quarantine")), [second.to_string()], "only one is kept");
    }

    #[test]
    fn a_generation_that_processes_died_of_is_quarantined_unopened() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let number = installed(&generations);
        fs::write(folder.path().join("opening"), format!("{number}\n").repeat(2)).unwrap();
        assert!(quarantined(&generations).contains("died 2 times in a row"));
        assert!(!folder.path().join("opening").exists());
    }

    #[test]
    fn a_current_file_without_a_number_is_quarantined_or_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        for nonsense in ["", "1", "one\n", "-1\n", "01\n", "1\n2\n"] {
            fs::write(folder.path().join("CURRENT"), nonsense).unwrap();
            let message = generations.current_path().unwrap_err().to_string();
            assert!(message.contains("CURRENT: ") && message.contains("write the number of a folder"), "{message}");
            assert!(quarantined(&generations).contains("built anew"));
            assert!(matches!(generations.open_current(LONG).unwrap(), OpenedGeneration::Empty));
        }
        fs::write(folder.path().join("CURRENT"), "5\n").unwrap();
        assert!(quarantined(&generations).contains("not in generations/"));
        assert!(matches!(generations.open_current(LONG).unwrap(), OpenedGeneration::Empty));
    }
}
