//! What the primary keeps and never publishes: named bytes in a sled database of their own.
//!
//! Unlike a generation the ledger cannot be built anew, so a loss must be seen. One tree: `k` and the name hold a value;
//! `m/format` says the format and `m/state` the digest and count of all values, in the batch that changes them. sled opens some
//! damaged databases as if they were whole; then the two disagree, and the ledger does not open. A log that was cut short opens as
//! the whole database that it once was, so the writes are numbered, and the file `written` has the last number: 8 bytes, not synced,
//! so after an outage it may say less than the database, and must never say more.
//!
//! A write is one batch and one `flush()`. Readers wait for both, so that nobody acts on what a crash could take back. After the
//! first failure nothing more is read or written: what sled holds then is not what is on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::model::digest::{Digest, State};
use crate::store::database::{Database, Write};
use crate::store::folder::{self, Refused};
use crate::store::generation::Damage;
use crate::store::reserve;

const FORMAT: &[u8] = b"sidegate ledger 1";
const FORMAT_NAME: &[u8] = b"m/format";
const STATE_NAME: &[u8] = b"m/state";
const VALUE: u8 = b'k';
/// The ledger is small and seldom read.
const PAGE_CACHE: u64 = 16 << 20;
/// What a ledger that lost something leaves to do.
const RESTORE: &str = "restore the folder from a backup";

/// One write of several, all or none.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// Key and value; `None` deletes.
    pub entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A name and its value.
pub type Named = (Vec<u8>, Vec<u8>);

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    written: File,
    path: String,
    writer: Mutex<()>,
    /// Held by a writer from its batch to the end of its flush.
    unflushed: RwLock<()>,
    failed: OnceLock<Damage>,
}

impl Ledger {
    /// Opens the ledger in a folder of its own; makes it if the folder is missing or empty. Reads it through once. Blocks.
    pub(in crate::store) fn open(folder: &Path) -> Result<Self, Damage> {
        if fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none()) {
            Self::make(folder)?;
        }
        folder::prepare(folder).map_err(refused)?;
        let ledger = Self::attach(folder)?;
        ledger.check()?;
        Ok(ledger)
    }

    /// Made beside and renamed, so that one without its format was damaged, and never just begun.
    fn make(folder: &Path) -> Result<(), Damage> {
        let at = |error: io::Error| Damage(format!("{}: {error}", folder.display()));
        let mut beside = folder.as_os_str().to_owned();
        beside.push(".new");
        let beside = Path::new(&beside);
        match fs::remove_dir_all(beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
            _ => {}
        }
        folder::prepare(beside).map_err(refused)?;
        Self::attach(beside)?.found()?;
        folder::sync_tree(beside).map_err(refused)?;
        fs::rename(beside, folder).map_err(at)?;
        folder::sync_folder(folder::parent_of(folder)).map_err(refused)
    }

    fn attach(folder: &Path) -> Result<Self, Damage> {
        let path = folder.display().to_string();
        let database = Database::open(folder, PAGE_CACHE)
            .map_err(|Damage(reason)| Damage(format!("{reason}; {}", reserve::remedy(folder, RESTORE))))?;
        let written = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join("written"));
        let written = written.map_err(|error| Damage(format!("{path}: {error}")))?;
        let inner = Inner { database, written, path, writer: Mutex::default(), unflushed: RwLock::default(), failed: OnceLock::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// One value.
    pub fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Damage> {
        let _settled = self.inner.unflushed.read().unwrap_or_else(PoisonError::into_inner);
        self.kept(|database| Ok(database.read(&named(key))?.map(|value| value.to_vec())))
    }

    /// All entries whose keys begin so, in order: as they were between two writes.
    pub fn scan(&self, prefix: &[u8]) -> Result<Vec<Named>, Damage> {
        let _settled = self.inner.unflushed.read().unwrap_or_else(PoisonError::into_inner);
        let plain = |(name, value): (sled::IVec, sled::IVec)| (name.get(1..).unwrap_or_default().to_vec(), value.to_vec());
        self.kept(|database| database.prefixed(&named(prefix)).map(|entry| entry.map(plain)).collect())
    }

    /// All or none, on disk when it returns. Blocks.
    pub fn write(&self, writes: Writes) -> Result<(), Damage> {
        self.update(|_| Ok((writes, ())))
    }

    /// Reads, decides and writes with no other writer between; on disk when it returns. Blocks. `decide` may read, and must not write:
    /// it would wait for itself.
    pub fn update<T, E: From<Damage>>(&self, decide: impl FnOnce(&Self) -> Result<(Writes, T), E>) -> Result<T, E> {
        let _writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (writes, outcome) = decide(self)?;
        if !writes.entries.is_empty() {
            self.put(writes)?;
        }
        Ok(outcome)
    }

    fn put(&self, writes: Writes) -> Result<(), Damage> {
        let _unflushed = self.inner.unflushed.write().unwrap_or_else(PoisonError::into_inner);
        let Standing { mut state, writes: before } = self.standing()?;
        // The last word on a name counts, and only it enters the state.
        let last: BTreeMap<Vec<u8>, Option<Vec<u8>>> = writes.entries.into_iter().map(|(key, value)| (named(&key), value)).collect();
        for (name, value) in &last {
            if let Some(old) = self.kept(|database| database.read(name))? {
                state = state.without(&line(name, &old));
            }
            if let Some(value) = value {
                state = state.with(&line(name, value));
            }
        }
        self.commit(last.into_iter().collect(), Standing { state, writes: before + 1 })
    }

    fn commit(&self, mut writes: Vec<Write>, standing: Standing) -> Result<(), Damage> {
        writes.push((STATE_NAME.to_vec(), Some(standing.spelled())));
        self.kept(|database| {
            database.write(writes)?;
            database.flush()?;
            self.inner.written.write_all_at(&standing.writes.to_be_bytes(), 0).map_err(|error| Damage(error.to_string()))
        })
    }

    fn found(&self) -> Result<(), Damage> {
        self.commit(vec![(FORMAT_NAME.to_vec(), Some(FORMAT.to_vec()))], Standing::default())
    }

    fn check(&self) -> Result<(), Damage> {
        match self.kept(|database| database.read(FORMAT_NAME))? {
            Some(format) if format == FORMAT => {}
            Some(_) => return Err(self.damage("this ledger is of another version; start the version that made it")),
            None => return Err(self.damage(&format!("records are missing; {RESTORE}"))),
        }
        let holds = self.kept(|database| {
            database
                .prefixed(&[VALUE])
                .try_fold(State::default(), |state, entry| entry.map(|(name, value)| state.with(&line(&name, &value))))
        })?;
        let Standing { state: says, writes } = self.standing()?;
        if holds != says {
            let what = format!("it holds {} values, not the {} that were written; {RESTORE}", holds.count, says.count);
            return Err(self.damage(&what));
        }
        let mut number = [0; 8];
        let written = self.inner.written.read_exact_at(&mut number, 0).map_or(0, |()| u64::from_be_bytes(number));
        if writes < written {
            return Err(self.damage(&format!("its last {} writes are missing; {RESTORE}", written - writes)));
        }
        Ok(())
    }

    fn standing(&self) -> Result<Standing, Damage> {
        let kept = self.kept(|database| database.read(STATE_NAME))?;
        kept.as_deref().and_then(Standing::read).ok_or_else(|| self.damage(&format!("its state is missing; {RESTORE}")))
    }

    /// Calls the database; its first failure is the last call.
    fn kept<T>(&self, call: impl FnOnce(&Database) -> Result<T, Damage>) -> Result<T, Damage> {
        if let Some(damage) = self.inner.failed.get() {
            return Err(damage.clone());
        }
        call(&self.inner.database).map_err(|Damage(reason)| {
            let damage = || self.damage(&format!("{reason}; start again, with room on this disk, and if that does not help, {RESTORE}"));
            self.inner.failed.get_or_init(damage).clone()
        })
    }

    fn damage(&self, what: &str) -> Damage {
        Damage(format!("{}: {what}", self.inner.path))
    }
}

fn refused(refused: Refused) -> Damage {
    Damage(refused.to_string())
}

fn named(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 1);
    name.push(VALUE);
    name.extend_from_slice(key);
    name
}

/// What enters the digest: the name with its length first, so that no two entries spell the same line.
fn line(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut line = (name.len() as u64).to_be_bytes().to_vec();
    line.extend_from_slice(name);
    line.extend_from_slice(value);
    line
}

/// What all values add up to, after how many writes.
#[derive(Clone, Copy, Default)]
struct Standing {
    state: State,
    writes: u64,
}

impl Standing {
    fn spelled(self) -> Vec<u8> {
        let mut bytes = self.state.digest.bytes().to_vec();
        bytes.extend_from_slice(&self.state.count.to_be_bytes());
        bytes.extend_from_slice(&self.writes.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (digest, numbers) = bytes.split_first_chunk::<32>()?;
        let (count, writes) = numbers.split_first_chunk::<8>()?;
        let state = State { digest: Digest::from_bytes(digest), count: u64::from_be_bytes(*count) };
        Some(Self { state, writes: u64::from_be_bytes(writes.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::{FORMAT_NAME, Ledger, Named, Writes, named};
    use crate::store::generation::Damage;

    fn writes(entries: &[(&str, Option<&str>)]) -> Writes {
        let owned = |text: &str| text.as_bytes().to_vec();
        Writes { entries: entries.iter().map(|(key, value)| (owned(key), value.map(owned))).collect() }
    }

    fn names(entries: Vec<Named>) -> Vec<String> {
        entries.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn what_was_written_is_there_after_a_restart_and_what_was_deleted_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = Ledger::open(&path).unwrap();
        ledger.write(writes(&[("a/1", Some("one")), ("a/2", Some("two")), ("b/1", Some("three"))])).unwrap();
        ledger.write(writes(&[("a/1", None), ("a/2", Some("again")), ("c", None)])).unwrap();
        drop(ledger);
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.read(b"a/1").unwrap(), None);
        assert_eq!(ledger.read(b"a/2").unwrap().as_deref(), Some(&b"again"[..]));
        assert_eq!(names(ledger.scan(b"").unwrap()), ["a/2", "b/1"]);
        assert_eq!(names(ledger.scan(b"b").unwrap()), ["b/1"]);
        assert!(ledger.scan(b"m/").unwrap().is_empty(), "its own notes are not entries");
    }

    #[test]
    fn the_last_word_on_a_name_counts_and_the_state_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.write(writes(&[("a", Some("1")), ("a", None), ("a", Some("2")), ("b", Some("1")), ("b", None)])).unwrap();
        assert_eq!(names(ledger.scan(b"").unwrap()), ["a"]);
        ledger.check().unwrap();
    }

    #[test]
    fn no_writer_comes_between_reading_and_writing() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let add = |ledger: &Ledger| {
            ledger.update::<_, Damage>(|ledger| {
                let count = ledger.read(b"count")?.map_or(0, |bytes| bytes[0]);
                Ok((Writes { entries: vec![(b"count".to_vec(), Some(vec![count + 1]))] }, ()))
            })
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).try_for_each(|_| add(&ledger)).unwrap());
            }
        });
        assert_eq!(ledger.read(b"count").unwrap(), Some(vec![40]));
    }

    #[test]
    fn a_decision_that_fails_writes_nothing_and_its_error_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let refused = ledger.update::<(), Damage>(|_| Err(Damage("no".to_owned())));
        assert_eq!(refused, Err(Damage("no".to_owned())));
        ledger.write(writes(&[("a", Some("1"))])).unwrap();
    }

    #[test]
    fn a_ledger_whose_making_was_cut_off_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let begun = folder.path().join("ledger.new");
        fs::create_dir(&begun).unwrap();
        drop(Ledger::attach(&begun).unwrap());
        Ledger::open(&path).unwrap().write(writes(&[("a", Some("1"))])).unwrap();
        assert!(Ledger::open(&path).unwrap().read(b"a").unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_snapshot_that_a_kill_left_half_written_does_not_stop_it() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::open(folder.path()).unwrap().write(writes(&[("a", Some("1"))])).unwrap();
        fs::write(folder.path().join("snap.FFFFFFFFFFFFFFFF.generating"), "half").unwrap();
        assert!(Ledger::open(folder.path()).unwrap().read(b"a").unwrap().is_some());
    }

    #[test]
    fn a_loss_that_sled_does_not_see_is_refused_by_path_and_remedy() {
        for lost in [named(b"a"), FORMAT_NAME.to_vec()] {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::open(folder.path()).unwrap();
            ledger.write(writes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
            ledger.inner.database.write(vec![(lost, None)]).unwrap();
            ledger.inner.database.flush().unwrap();
            drop(ledger);
            let said = Ledger::open(folder.path()).err().unwrap().to_string();
            assert!(said.contains(&*folder.path().to_string_lossy()) && said.contains("restore the folder from a backup"), "{said}");
        }
    }

    #[test]
    fn a_truncated_database_is_refused_and_no_panic_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        for round in 0..50 {
            ledger.write(writes(&[(&format!("{round}"), Some(&"x".repeat(20_000)))])).unwrap();
        }
        drop(ledger);
        let file = fs::OpenOptions::new().write(true).open(folder.path().join("db")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        for with_snapshot in [true, false] {
            if !with_snapshot {
                let snapshots = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
                snapshots.filter(|path| path.to_string_lossy().contains("snap.")).for_each(|path| fs::remove_file(path).unwrap());
            }
            let said = Ledger::open(folder.path()).err().unwrap().to_string();
            assert!(said.contains(&*folder.path().to_string_lossy()) && said.contains("from a backup"), "{said}");
        }
    }

    #[test]
    fn the_number_beside_the_database_may_be_behind_and_never_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        ledger.write(writes(&[("a", Some("1"))])).unwrap();
        ledger.write(writes(&[("a", Some("2"))])).unwrap();
        drop(ledger);
        for fine in [&[][..], &[0, 0], &1_u64.to_be_bytes(), &2_u64.to_be_bytes()] {
            fs::write(folder.path().join("written"), fine).unwrap();
            Ledger::open(folder.path()).unwrap();
        }
        fs::write(folder.path().join("written"), 3_u64.to_be_bytes()).unwrap();
        let said = Ledger::open(folder.path()).err().unwrap().to_string();
        assert!(said.contains("its last 1 writes are missing; restore the folder from a backup"), "{said}");
    }

    #[test]
    fn after_a_failure_nothing_more_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let said = ledger.kept::<()>(|_| Err(Damage("no room".to_owned()))).unwrap_err();
        assert!(
            said.to_string().contains(&*folder.path().to_string_lossy()) && said.to_string().contains("no room; start again"),
            "{said}"
        );
        assert_eq!(ledger.read(b"a"), Err(said.clone()));
        assert_eq!(ledger.write(writes(&[("a", Some("1"))])), Err(said));
    }
}
