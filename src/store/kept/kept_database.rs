//! The database of kept answers: read as a whole when it is opened, then only written.
//!
//! It is disposable. What does not open within its time limit, or has one value that is damaged, is put aside as a whole, and a new
//! database takes its place. One that cannot be written is removed, because what could not be removed from it must not come back after a
//! restart, and because its disk is full, as a rule.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::clock_reading::ClockReading;
use crate::model::digest::Digest;
use crate::model::kept_answer::{KeptAnswer, QuestionKey};
use crate::model::time::BootTime;
use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::files::{atomic_file, folder};
use crate::store::generations::guarded_open::open_guarded;
use crate::store::kept::kept_clock::{KeptClock, SavedKeptClock};
use crate::store::kept::kept_record::{decode_answer, decode_proof, encode_answer, encode_proof};

/// How long opening and reading the database may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// The most questions that are written at once: every reader of every database of the process waits meanwhile.
const MAX_BATCH_QUESTIONS: usize = 50;
const CLOCK_KEY: &[u8] = b"c";
const ANSWER_PREFIX: u8 = b'b';
const PROOF_PREFIX: u8 = b'p';

/// A question, and its new answer; `None` if nothing is kept for it any more.
pub type KeptWrite<A> = (QuestionKey, Option<A>);

/// An open database of kept answers.
pub struct KeptDatabase {
    database: Database,
    clock: KeptClock,
}

/// What a database held when it was opened.
pub type LoadedAnswers = Vec<(QuestionKey, KeptAnswer)>;

/// A database, what it held, and why there is a new one if there was one before that could not be used.
pub struct OpenedDatabase {
    /// The database.
    pub database: KeptDatabase,
    /// What it held.
    pub answers: LoadedAnswers,
    /// Why the one before was put aside.
    pub quarantined: Option<StoreError>,
}

impl KeptDatabase {
    /// Opens the database below `folder` and reads it, or begins a new one. Fails if neither is possible. Blocks.
    pub fn open(folder: &Path, page_cache: u64, now: ClockReading) -> Result<OpenedDatabase, StoreError> {
        folder::ensure_private(folder)?;
        let path = database_path(folder);
        let marker = folder.join("opening");
        let first = {
            let (path, now) = (path.clone(), now.clone());
            open_guarded(&marker, 1, OPEN_TIMEOUT, move || Self::open_and_read(&path, page_cache, &now))?
        };
        let reason = match first {
            Ok((database, answers)) => return Ok(OpenedDatabase { database, answers, quarantined: None }),
            Err(error) => StoreError(error.to_string()),
        };
        quarantine(folder)?;
        let (database, answers) = Self::open_and_read(&path, page_cache, &now)?;
        Ok(OpenedDatabase { database, answers, quarantined: Some(reason) })
    }

    fn open_and_read(path: &Path, page_cache: u64, now: &ClockReading) -> Result<(Self, LoadedAnswers), StoreError> {
        folder::ensure_private(path)?;
        let database = Database::open(path, page_cache)?;
        let saved = database.read(CLOCK_KEY)?.map(|bytes| serde_json::from_slice::<SavedKeptClock>(&bytes));
        let proofs = read_proofs(&database)?;
        let clock = match saved {
            None if proofs.is_empty() => KeptClock::new(),
            None => return Err(StoreError("it does not say how old its answers are".to_owned())),
            Some(Ok(saved)) => KeptClock::resume(&saved, now).ok_or_else(|| StoreError("it is of another version".to_owned()))?,
            Some(Err(error)) => return Err(StoreError(format!("its clock is damaged: {error}"))),
        };
        let answers = read_answers(&database, clock, &proofs, now.boot_time)?;
        database.flush_and_sync_folder()?;
        Ok((Self { database, clock }, answers))
    }

    /// Writes all of it, and the clock; it is on disk when this returns. A body that is there already is not written again. Blocks.
    pub fn write<A: AsRef<KeptAnswer>>(&self, writes: &[KeptWrite<A>], now: &ClockReading) -> Result<(), StoreError> {
        let saved = serde_json::to_vec(&self.clock.save(now)).map_err(|error| StoreError(error.to_string()))?;
        let clock_write = || (CLOCK_KEY.to_vec(), Some(saved.clone()));
        for chunk in writes.chunks(MAX_BATCH_QUESTIONS) {
            let mut batch: Vec<KeyWrite> = vec![clock_write()];
            for (key, answer) in chunk {
                self.add_writes(&mut batch, *key, answer.as_ref().map(AsRef::as_ref))?;
            }
            self.database.write_batch(batch)?;
        }
        if writes.is_empty() {
            self.database.write_batch(vec![clock_write()])?;
        }
        self.database.flush()
    }

    fn add_writes(&self, batch: &mut Vec<KeyWrite>, key: QuestionKey, answer: Option<&KeptAnswer>) -> Result<(), StoreError> {
        let (answer_key, proof_key) = (record_key(ANSWER_PREFIX, key), record_key(PROOF_PREFIX, key));
        let Some((answer, record)) = answer.and_then(|answer| Some((answer, encode_answer(answer)?))) else {
            batch.extend([(answer_key, None), (proof_key, None)]);
            return Ok(());
        };
        if self.database.read(&answer_key)?.as_deref() != Some(record.as_slice()) {
            batch.push((answer_key, Some(record)));
        }
        batch.push((proof_key, Some(encode_proof(self.clock.date(answer.proven_at)))));
        Ok(())
    }

    /// Returns the size on disk, in bytes.
    pub fn size_on_disk(&self) -> u64 {
        self.database.size_on_disk()
    }
}

/// Puts the database below `folder` aside, in place of what was put aside before. Where there is no room for that, it is removed.
pub fn quarantine(folder: &Path) -> Result<(), StoreError> {
    let (from, aside) = (database_path(folder), folder.join("quarantine"));
    let moved = folder::remove_tree(&aside).and_then(|()| fs::rename(&from, &aside).map_err(folder::FileError::io(&from)));
    if moved.is_ok() { clear_marker(folder) } else { discard(folder) }
}

/// Removes the database below `folder`, which also gives its room back.
pub fn discard(folder: &Path) -> Result<(), StoreError> {
    folder::remove_tree(&database_path(folder))?;
    clear_marker(folder)
}

fn clear_marker(folder: &Path) -> Result<(), StoreError> {
    atomic_file::remove(&folder.join("opening"))?;
    Ok(folder::sync_folder(folder)?)
}

fn database_path(folder: &Path) -> PathBuf {
    folder.join("database")
}

fn record_key(prefix: u8, QuestionKey(digest): QuestionKey) -> Vec<u8> {
    [&[prefix][..], &digest.bytes()].concat()
}

fn question_of(key: &[u8]) -> Result<QuestionKey, StoreError> {
    let digest = key.get(1..).and_then(|digest| digest.try_into().ok()).map(Digest::from_bytes);
    digest.map(QuestionKey).ok_or_else(|| StoreError("it has a key that is none of ours".to_owned()))
}

fn read_proofs(database: &Database) -> Result<HashMap<QuestionKey, i64>, StoreError> {
    let records = database.scan_prefix(&[PROOF_PREFIX]).map(|record| {
        let (key, value) = record?;
        let time = decode_proof(&value).ok_or_else(|| StoreError("the age of an answer is damaged".to_owned()))?;
        Ok((question_of(&key)?, time))
    });
    records.collect()
}

/// Reads the answers that have a proof that can be dated; others are as good as not there.
fn read_answers(
    database: &Database,
    clock: KeptClock,
    proofs: &HashMap<QuestionKey, i64>,
    now: BootTime,
) -> Result<LoadedAnswers, StoreError> {
    let mut answers = Vec::with_capacity(proofs.len());
    for record in database.scan_prefix(&[ANSWER_PREFIX]) {
        let (key, value) = record?;
        let question = question_of(&key)?;
        let Some(proven_at) = proofs.get(&question).and_then(|time| clock.proof(*time, now)) else { continue };
        let answer = decode_answer(&value, proven_at).ok_or_else(|| StoreError("an answer is damaged".to_owned()))?;
        answers.push((question, answer));
    }
    Ok(answers)
}
