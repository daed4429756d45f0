//! A folder of generations: `generations/<n>/`, `CURRENT` naming the one in use, at most one in `quarantine/`.
//!
//! ```text
//! LOCK             held by the one process that may write here; says its number
//! CURRENT          the number of the generation in use, replaced whole
//! opening          the number of the generation being opened, once for each time: still there at a start, the process died meanwhile
//! instance         the random id of this store
//! generations/3/   a database; numbers only grow
//! quarantine/2/    the last one that could not be trusted, kept for whoever wants to know why
//! ```
//!
//! A generation without a name in `CURRENT` is unfinished or done with. One that cannot be opened never stops the service: it is
//! moved aside and a new one is built. Whoever keeps the only copy asks for [`Generations::current`] instead and decides itself.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::folder::{self, Refused, is_out_of_room};
use crate::store::generation::{Damage, Generation, Options};
use crate::store::opening::watched;
use crate::store::reserve;
use crate::store::whole_file;

/// The folder, locked against a second process.
pub struct Generations {
    folder: PathBuf,
    options: Options,
    /// One change of the folder at a time; holds the number being built, which no sweep may take.
    building: Mutex<Option<u64>>,
    _lock: File,
}

/// What was found in `CURRENT`.
pub enum Opened {
    /// There is none yet.
    Empty,
    /// It opened.
    Ready(Generation),
    /// It did not open, was of another format, or took too long: moved to quarantine.
    Quarantined(Damage),
}

enum Named {
    Nothing,
    Generation(u64),
    Nonsense,
}

impl Generations {
    /// Prepares and locks the folder.
    pub fn at(folder: &Path, options: Options) -> Result<Self, Refused> {
        folder::prepare(folder)?;
        let lock = lock(&folder.join("LOCK"))?;
        folder::prepare(&folder.join("generations"))?;
        Ok(Self { folder: folder.to_owned(), options, building: Mutex::new(None), _lock: lock })
    }

    /// Opens the current generation within a time limit, on a thread of its own.
    ///
    /// Blocks for at most about `limit`. A thread that took longer ends by itself and what it opened is closed.
    pub fn open_current(&self, limit: Duration) -> Result<Opened, Refused> {
        let _turn = self.turn();
        let number = match self.named()? {
            Named::Nothing => return Ok(Opened::Empty),
            Named::Generation(number) => number,
            Named::Nonsense => {
                whole_file::remove(&self.named_in())?;
                return Ok(Opened::Quarantined(self.damage("CURRENT does not name a generation; it is built anew")));
            }
        };
        let (folder, options) = (self.generation(number), self.options);
        let opened = if folder.exists() {
            folder::inspect(&folder)?;
            watched(&self.marker(), number, limit, move || Generation::open(&folder, &options))?.map_err(|why| why.to_string())
        } else {
            Err("it is in CURRENT but not in generations/".to_owned())
        };
        match opened {
            Ok(generation) => Ok(Opened::Ready(generation)),
            // A failure without room says nothing of what is there: it stays, and is not counted.
            Err(why) if reserve::is_disk_full(&self.folder) => {
                whole_file::remove(&self.marker())?;
                let reason = format!("generation {number} cannot be opened: {why}; this disk is full: make room and start again");
                Err(Refused::because(&self.folder, reason))
            }
            Err(why) => {
                self.set_aside(number)?;
                Ok(Opened::Quarantined(self.damage(&format!("generation {number}: {why}"))))
            }
        }
    }

    /// The folder of the current generation, for whoever opens it and bears with damage itself.
    pub fn current(&self) -> Result<Option<PathBuf>, Refused> {
        match self.named()? {
            Named::Nothing => Ok(None),
            Named::Generation(number) => Ok(Some(self.generation(number))),
            Named::Nonsense => {
                let remedy =
                    "this does not name a generation; write the number of a folder in generations/ into it, or remove it to begin anew";
                Err(Refused::because(&self.named_in(), remedy))
            }
        }
    }

    /// A free folder for the next generation; leftovers of unfinished ones are removed.
    pub fn next(&self) -> Result<PathBuf, Refused> {
        let mut building = self.turn();
        *building = None;
        self.clear(None)?;
        let number = self.highest()?.saturating_add(1);
        let path = self.generation(number);
        folder::prepare(&path)?;
        *building = Some(number);
        Ok(path)
    }

    /// Makes the generation in `folder` the current one: `CURRENT` written, synced, renamed. The one before is removed when
    /// nobody holds it (call [`Generations::sweep`] later).
    pub fn install(&self, folder: &Path) -> Result<(), Refused> {
        let mut building = self.turn();
        let number =
            folder.file_name().and_then(|name| number(&name.to_string_lossy())).filter(|number| self.generation(*number) == folder);
        let Some(number) = number else {
            return Err(Refused::because(folder, format!("not a generation of {}; install a folder that it gave", self.folder.display())));
        };
        folder::inspect(folder)?;
        folder::sync_tree(folder)?;
        folder::sync_folder(&self.all())?;
        whole_file::replace(&self.named_in(), format!("{number}\n").as_bytes())?;
        if *building == Some(number) {
            *building = None;
        }
        Ok(())
    }

    /// Moves the current generation to quarantine; there is none afterwards.
    pub fn quarantine(&self) -> Result<(), Refused> {
        let _turn = self.turn();
        match self.named()? {
            Named::Nothing => Ok(()),
            Named::Generation(number) => self.set_aside(number),
            Named::Nonsense => whole_file::remove(&self.named_in()),
        }
    }

    /// Removes generations that are neither current nor being built.
    pub fn sweep(&self) -> Result<(), Refused> {
        let building = self.turn();
        self.clear(*building)
    }

    /// The random id of this store, made with it.
    pub fn instance(&self) -> Result<String, Refused> {
        let _turn = self.turn();
        let path = self.folder.join("instance");
        let kept = match whole_file::read(&path) {
            Err(Refused::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => None,
            other => other?,
        };
        if let Some(id) = kept.as_deref().and_then(|text| uuid::Uuid::try_parse(text.trim_end()).ok()) {
            return Ok(id.to_string());
        }
        // A damaged id is replaced: two stores of one host are then seen once too often, never once too few.
        let id = uuid::Uuid::new_v4().to_string();
        match whole_file::replace(&path, format!("{id}\n").as_bytes()) {
            // Without room for a store this process serves by asking, under an id of its own.
            Err(Refused::Io { source, .. }) if is_out_of_room(&source) => {
                tracing::warn!("{}: {source}; another id is made at the next start, make room on this disk", path.display());
            }
            written => written?,
        }
        Ok(id)
    }

    fn set_aside(&self, number: u64) -> Result<(), Refused> {
        let (from, quarantine) = (self.generation(number), self.folder.join("quarantine"));
        remove_tree(&quarantine)?;
        folder::prepare(&quarantine)?;
        match fs::rename(&from, quarantine.join(number.to_string())) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Refused::io(&from)(error)),
            _ => {}
        }
        folder::sync_folder(&quarantine)?;
        folder::sync_folder(&self.all())?;
        whole_file::remove(&self.named_in())?;
        whole_file::remove(&self.marker())
    }

    fn clear(&self, building: Option<u64>) -> Result<(), Refused> {
        let current = match self.named()? {
            Named::Generation(number) => Some(number),
            Named::Nothing | Named::Nonsense => None,
        };
        for number in numbers_in(&self.all())? {
            if Some(number) != current && Some(number) != building {
                remove_tree(&self.generation(number))?;
            }
        }
        folder::sync_folder(&self.all())
    }

    /// The highest number ever used that can still be seen: a quarantined one may still be held open, so it counts.
    fn highest(&self) -> Result<u64, Refused> {
        let mut seen = numbers_in(&self.all())?;
        seen.extend(numbers_in(&self.folder.join("quarantine"))?);
        if let Named::Generation(number) = self.named()? {
            seen.push(number);
        }
        Ok(seen.into_iter().max().unwrap_or(0))
    }

    fn named(&self) -> Result<Named, Refused> {
        match whole_file::read(&self.named_in()) {
            Ok(None) => Ok(Named::Nothing),
            Ok(Some(text)) => Ok(text.strip_suffix('\n').and_then(number).map_or(Named::Nonsense, Named::Generation)),
            Err(Refused::Io { source, .. }) if source.kind() == ErrorKind::InvalidData => Ok(Named::Nonsense),
            Err(refused) => Err(refused),
        }
    }

    fn named_in(&self) -> PathBuf {
        self.folder.join("CURRENT")
    }

    fn marker(&self) -> PathBuf {
        self.folder.join("opening")
    }

    fn all(&self) -> PathBuf {
        self.folder.join("generations")
    }

    fn generation(&self, number: u64) -> PathBuf {
        self.all().join(number.to_string())
    }

    fn damage(&self, what: &str) -> Damage {
        Damage(format!("{}: {what}", self.folder.display()))
    }

    fn turn(&self) -> MutexGuard<'_, Option<u64>> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(path: &Path) -> Result<File, Refused> {
    let io = || Refused::io(path);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _unreadable = (&file).take(20).read_to_string(&mut holder);
            let reason = format!("process {} uses this store; stop it, or give each daemon a [store] path of its own", holder.trim_end());
            return Err(Refused::because(path, reason));
        }
        Err(TryLockError::Error(error)) => return Err(io()(error)),
    }
    // The lock is what counts; who holds it is said for people, where there is room.
    match file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        Err(error) if !is_out_of_room(&error) => Err(io()(error)),
        Ok(()) | Err(_) => Ok(file),
    }
}

fn numbers_in(folder: &Path) -> Result<Vec<u64>, Refused> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Refused::io(folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| number(&entry.file_name().to_string_lossy())).map_err(Refused::io(folder)));
    names.filter_map(Result::transpose).collect()
}

/// The number that a name spells; only the one spelling that we write.
fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

fn remove_tree(path: &Path) -> Result<(), Refused> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Refused::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Duration;

    use super::{Generations, Opened};
    use crate::store::folder::Refused;
    use crate::store::generation::Options;

    const OPTIONS: Options = Options { page_cache: 1 << 20, record_cache: 16 };
    const LONG: Duration = Duration::from_secs(60);

    fn at(folder: &Path) -> Generations {
        Generations::at(folder, OPTIONS).unwrap()
    }

    /// A generation that no sled can open.
    fn installed(generations: &Generations) -> u64 {
        let folder = generations.next().unwrap();
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

    fn quarantined(generations: &Generations) -> String {
        match generations.open_current(LONG).unwrap() {
            Opened::Quarantined(damage) => damage.to_string(),
            Opened::Empty => panic!("it was empty"),
            Opened::Ready(_) => panic!("it opened"),
        }
    }

    #[test]
    fn a_second_process_is_refused_by_path_holder_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let first = at(folder.path());
        let said = Generations::at(folder.path(), OPTIONS).err().unwrap().to_string();
        for part in [&*folder.path().to_string_lossy(), &format!("process {} uses", std::process::id()), "[store] path of its own"] {
            assert!(said.contains(part), "{said}");
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
            let said = Generations::at(folder.path(), OPTIONS).err().unwrap().to_string();
            assert!(said.contains(&*path.to_string_lossy()) && said.contains("chmod 0700"), "{said}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }

    #[test]
    fn there_is_nothing_until_something_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        assert!(matches!(generations.open_current(LONG).unwrap(), Opened::Empty));
        generations.next().unwrap();
        assert!(matches!(generations.open_current(LONG).unwrap(), Opened::Empty));
        assert_eq!(generations.current().unwrap(), None);
        generations.quarantine().unwrap();
    }

    #[test]
    fn unfinished_generations_are_cleared_and_the_current_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let first = installed(&generations);
        generations.next().unwrap();
        let third = generations.next().unwrap();
        assert_eq!(names(&folder.path().join("generations")), [first.to_string(), third.file_name().unwrap().to_str().unwrap().to_owned()]);
        generations.sweep().unwrap();
        assert!(third.exists(), "a sweep took the one being built");
        generations.install(&third).unwrap();
        generations.sweep().unwrap();
        assert_eq!(names(&folder.path().join("generations")).len(), 1);
        assert_eq!(generations.current().unwrap(), Some(third));
    }

    #[test]
    fn a_folder_from_elsewhere_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let elsewhere = tempfile::tempdir().unwrap();
        let stranger = elsewhere.path().join("7");
        fs::create_dir(&stranger).unwrap();
        for wrong in [stranger, folder.path().join("generations/01"), folder.path().join("generations")] {
            let said = generations.install(&wrong).unwrap_err().to_string();
            assert!(said.starts_with(&*wrong.to_string_lossy()) && said.contains("install a folder that it gave"), "{said}");
        }
        assert!(matches!(generations.install(&folder.path().join("generations/9")), Err(Refused::Io { .. })));
    }

    #[test]
    fn a_generation_that_does_not_open_goes_to_quarantine_and_the_next_one_gets_a_new_number() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let first = installed(&generations);
        let said = quarantined(&generations);
        assert!(said.contains(&*folder.path().to_string_lossy()) && said.contains(&format!("generation {first}")), "{said}");
        assert_eq!(names(&folder.path().join("quarantine")), [first.to_string()]);
        assert!(matches!(generations.open_current(LONG).unwrap(), Opened::Empty));
        assert!(!folder.path().join("opening").exists());
        let second = installed(&generations);
        assert!(second > first);
        quarantined(&generations);
        assert_eq!(names(&folder.path().join("quarantine")), [second.to_string()], "only one is kept");
    }

    #[test]
    fn a_generation_that_processes_died_of_goes_to_quarantine_unopened() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        let number = installed(&generations);
        fs::write(folder.path().join("opening"), format!("{number}\n").repeat(2)).unwrap();
        assert!(quarantined(&generations).contains("died 2 times in a row"));
        assert!(!folder.path().join("opening").exists());
    }

    #[test]
    fn a_current_that_names_nothing_begins_anew_or_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let generations = at(folder.path());
        for nonsense in ["", "1", "one\n", "-1\n", "01\n", "1\n2\n"] {
            fs::write(folder.path().join("CURRENT"), nonsense).unwrap();
            let said = generations.current().unwrap_err().to_string();
            assert!(said.contains("CURRENT: ") && said.contains("write the number of a folder"), "{said}");
            assert!(quarantined(&generations).contains("built anew"));
            assert!(matches!(generations.open_current(LONG).unwrap(), Opened::Empty));
        }
        fs::write(folder.path().join("CURRENT"), "5\n").unwrap();
        assert!(quarantined(&generations).contains("not in generations/"));
        assert!(matches!(generations.open_current(LONG).unwrap(), Opened::Empty));
    }

    #[test]
    fn the_instance_is_made_once_and_made_again_only_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let first = at(folder.path()).instance().unwrap();
        assert_eq!(at(folder.path()).instance().unwrap(), first);
        for damaged in [&b"half"[..], &[0xff; 5000]] {
            fs::write(folder.path().join("instance"), damaged).unwrap();
            let other = at(folder.path()).instance().unwrap();
            assert_ne!(other, first);
            assert_eq!(at(folder.path()).instance().unwrap(), other);
        }
    }
}
