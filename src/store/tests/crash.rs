//! What remains after a `kill -9`: nothing that was reported as done is lost, and nothing keeps the next start from opening.
//!
//! The process that is killed is this test program, started again with the name of one test and with an environment variable that
//! makes this test write until it is killed.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::model::change::Change;
use crate::model::clock;
use crate::model::clock_reading::{BootId, ClockReading};
use crate::model::digest::Digest;
use crate::model::entry::Entry;
use crate::model::freshness::ProofTime;
use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptKind, KeptSubject, QuestionKey};
use crate::model::kept_body::KeptBody;
use crate::model::record_identity::RecordIdentity;
use crate::store::error::StoreError;
use crate::store::files::age_file::read_boot_id;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};
use crate::store::kept::kept_database::KeptDatabase;
use crate::store::primary::primary_store::{CommitsAfter, PrimaryStore};
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::store::tests::sample_records::{entry, key_line};

const FOLDER_VARIABLE: &str = "SIDEGATE_TEST_FOLDER";
const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 };
const LONG: Duration = Duration::from_secs(60);

/// A process that writes, killed at the latest when this is dropped.
struct CrashWorker {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl CrashWorker {
    /// Starts one test of this file in a process of its own.
    fn start(test: &str, folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("store::tests::crash::{test}"), "--nocapture"]).env(FOLDER_VARIABLE, folder);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let found = output.by_ref().map(Result::unwrap).find(|line| line.starts_with("running "));
        assert_eq!(found.as_deref(), Some("running 1 test"), "there is no test `{test}` in this file");
        Self { process, output }
    }

    /// Waits until it has printed so many numbers, then kills it. Returns the last number that it printed.
    fn kill_after(mut self, times: usize) -> u64 {
        let done = |line: String| line.split_once("done ").and_then(|(_, number)| number.parse().ok());
        let numbers = self.output.by_ref().map(Result::unwrap).filter_map(done).take(times);
        let last = numbers.last().expect("the worker ended by itself");
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        // What it printed between the last line that was waited for and the kill counts too.
        self.output.by_ref().map_while(Result::ok).filter_map(done).last().unwrap_or(last)
    }
}

impl Drop for CrashWorker {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// Prints a number for the parent. Fails when the parent has ended, so that no worker outlives its test.
fn print_done(number: u64) {
    writeln!(std::io::stdout(), "\ndone {number}").unwrap();
}

fn entries(generation: u64) -> impl Iterator<Item = Result<Entry, StoreError>> {
    let user = move |id| format!(r#"{{"kind":"user","id":{id},"username":"u{id}","name":"Of generation {generation}"}}"#);
    (1..=200_u64).map(move |id| Ok(Entry::parse(&user(id)).unwrap()))
}

#[test]
fn installs_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let generations = GenerationsFolder::open(Path::new(&folder), OPTIONS).unwrap();
    loop {
        let path = generations.create_next().unwrap();
        let number: u64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        drop(Generation::create(&path, &OPTIONS, entries(number)).unwrap());
        generations.install(&path).unwrap();
        print_done(number);
        generations.remove_unused().unwrap();
    }
}

#[test]
fn a_kill_while_installing_leaves_the_old_generation_or_the_new_one_intact() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=6 {
        let installed = CrashWorker::start("installs_until_killed", folder.path()).kill_after(round);
        let generations = GenerationsFolder::open(folder.path(), OPTIONS).unwrap();
        let current = generations.current_path().unwrap().unwrap();
        let number: u64 = current.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert!(number == installed || number == installed + 1, "{installed} was installed, {number} is there");
        match generations.open_current(LONG).unwrap() {
            OpenedGeneration::Ready(generation) => {
                assert_eq!(generation.recompute_state().unwrap(), generation.state());
                assert_eq!(generation.state().count, 200);
            }
            OpenedGeneration::Quarantined(error) => panic!("{error}"),
            OpenedGeneration::Empty => panic!("it was lost"),
        }
        generations.remove_unused().unwrap();
        assert_eq!(fs::read_dir(folder.path().join("generations")).unwrap().count(), 1);
    }
}

#[test]
fn opens_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let generations = GenerationsFolder::open(Path::new(&folder), OPTIONS).unwrap();
    for number in 1.. {
        match generations.open_current(LONG).unwrap() {
            OpenedGeneration::Ready(generation) => drop(generation),
            _ => return,
        }
        print_done(number);
    }
}

#[test]
fn a_kill_while_opening_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let generations = GenerationsFolder::open(folder.path(), OPTIONS).unwrap();
    let path = generations.create_next().unwrap();
    drop(Generation::create(&path, &OPTIONS, entries(1)).unwrap());
    generations.install(&path).unwrap();
    drop(generations);
    for round in 1..=6 {
        CrashWorker::start("opens_until_killed", folder.path()).kill_after(round);
        let generations = GenerationsFolder::open(folder.path(), OPTIONS).unwrap();
        let OpenedGeneration::Ready(generation) = generations.open_current(LONG).unwrap() else { panic!("it was thrown away") };
        assert_eq!(generation.state().count, 200);
    }
}

#[test]
fn writes_the_private_store_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let store = PrivateStore::open(&Path::new(&folder).join("ledger")).unwrap();
    loop {
        let next = store.update::<_, StoreError>(|store| {
            let next = last(store)? + 1;
            let entry = format!("entry/{next:08}").into_bytes();
            let entries = vec![(entry, Some(vec![b'x'; 2000])), (b"last".to_vec(), Some(next.to_be_bytes().to_vec()))];
            Ok((PrivateWrites { entries }, next))
        });
        print_done(next.unwrap());
    }
}

fn last(store: &PrivateStore) -> Result<u64, StoreError> {
    Ok(store.read(b"last")?.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap())))
}

#[test]
fn a_kill_while_writing_the_private_store_loses_no_acknowledged_write_and_tears_none() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=6 {
        let written = CrashWorker::start("writes_the_private_store_until_killed", folder.path()).kill_after(round * 7);
        let store = PrivateStore::open(&folder.path().join("ledger")).unwrap();
        let last = last(&store).unwrap();
        assert!(last == written || last == written + 1, "{written} were written, {last} are there");
        assert_eq!(store.scan_prefix(b"entry/").unwrap().len() as u64, last);
    }
}

/// The changes of the commit with this number: every tenth is larger than a commit may be and builds a new generation.
fn sample_commit(number: u64) -> Vec<Change> {
    let puts = if number.is_multiple_of(10) { 1_001 } else { 3 };
    let keys = (0..puts).map(|key| number * 10_000 + key).map(|key| Change::Put(entry(&key_line(key, key, "t"))));
    let gone = number.saturating_sub(2) * 10_000;
    keys.chain(gone.try_into().map(|id| Change::Delete(RecordIdentity::Key(id)))).collect()
}

#[test]
fn commits_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let store = PrimaryStore::open(Path::new(&folder), OPTIONS).unwrap();
    loop {
        let (head, ()) = store.commit(|_| Ok::<_, StoreError>((sample_commit(store.head().seq + 1), ()))).unwrap();
        print_done(head.seq);
    }
}

#[test]
fn a_kill_while_committing_loses_no_acknowledged_commit_and_tears_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = std::collections::BTreeMap::new();
    let mut verified = 0;
    for round in 1..=8 {
        let acknowledged = CrashWorker::start("commits_until_killed", folder.path()).kill_after(round * 2);
        // Opening reads everything and refuses what does not add up.
        let store = PrimaryStore::open(folder.path(), OPTIONS).unwrap();
        let head = store.head();
        assert!(head.seq == acknowledged || head.seq == acknowledged + 1, "{acknowledged} was answered, {} is there", head.seq);
        for number in verified + 1..=head.seq {
            for change in sample_commit(number) {
                match change {
                    Change::Put(entry) => drop(expected.insert(entry.sort_key().clone(), entry)),
                    Change::Delete(RecordIdentity::Key(id)) => {
                        let place = entry(&key_line(id.number(), id.number(), "t")).sort_key().clone();
                        expected.remove(&place);
                    }
                    Change::Delete(_) => {}
                }
            }
        }
        verified = head.seq;
        assert!(store.directory().entries().map(Result::unwrap).eq(expected.values().cloned()));
        assert_eq!(store.commits_after(head.epoch, head.seq, head.state.digest, 10), Ok(CommitsAfter::Commits(Vec::new())));
    }
}

const QUESTIONS: u64 = 40;

fn question(number: u64) -> QuestionKey {
    QuestionKey(Digest::of(&number.to_be_bytes()))
}

fn clock_reading() -> ClockReading {
    let boot_id = BootId::parse(&read_boot_id().unwrap()).unwrap();
    ClockReading { boot_id, boot_time: clock::boot_time(), wall_time: clock::wall_time() }
}

/// An answer whose body says in which round it was kept, and when it was proven.
fn kept_answer(round: u64) -> KeptAnswer {
    let proven_at = ProofTime::at(clock::boot_time());
    let body = KeptBody::new(format!("{round} {}", proven_at.boot_milliseconds()).as_bytes()).unwrap();
    KeptAnswer {
        kind: KeptKind::Pull,
        body,
        proven_at,
        origin: AnswerOrigin::Primary,
        expires_at: None,
        subjects: [KeptSubject::Path("g/p".into())].into(),
    }
}

#[test]
fn keeps_answers_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let opened = KeptDatabase::open(Path::new(&folder), OPTIONS.page_cache_bytes, clock_reading()).unwrap();
    for round in 1.. {
        let write = |number| (question(number), (number != round % QUESTIONS).then(|| Arc::new(kept_answer(round))));
        opened.database.write(&(0..QUESTIONS).map(write).collect::<Vec<_>>(), &clock_reading()).unwrap();
        print_done(round);
    }
}

#[test]
fn a_kill_while_answers_are_kept_leaves_each_write_whole_or_absent_and_no_answer_younger() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=6 {
        let confirmed = CrashWorker::start("keeps_answers_until_killed", folder.path()).kill_after(3 * round);
        let opened = KeptDatabase::open(folder.path(), OPTIONS.page_cache_bytes, clock_reading()).unwrap();
        assert_eq!(opened.quarantined, None);
        assert_eq!(opened.answers.len() as u64, QUESTIONS - 1);
        let mut rounds = Vec::new();
        for (key, answer) in &opened.answers {
            let body = String::from_utf8(answer.body.expand().unwrap().to_vec()).unwrap();
            let (kept_in, proven_at) =
                body.split_once(' ').map(|(round, time)| (round.parse::<u64>().unwrap(), time.parse().unwrap())).unwrap();
            assert!(answer.proven_at <= ProofTime::from_boot_milliseconds(proven_at), "it became younger");
            assert_ne!(*key, question(kept_in % QUESTIONS), "it was removed in that write");
            rounds.push(kept_in);
        }
        rounds.dedup();
        assert!(rounds.len() == 1 && rounds[0] >= confirmed, "{rounds:?} after {confirmed}");
    }
}
