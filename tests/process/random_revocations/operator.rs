//! The operator: takes something from somebody with one of the commands, as often as it needs to be said while the primary is in trouble.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Mutex;
use std::time::Duration;

use crate::random_revocations::directory::{People, Removal, username};
use crate::random_revocations::fleet::{Fleet, now};
use crate::support::generated_directory::generated_key_line;

/// How long a command may fail before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first id of the keys that only take room.
const FIRST_BALLAST_KEY: u64 = 1_000_000;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// One revocation. Times are boot time.
#[derive(Clone, Debug)]
pub struct Revocation {
    pub person: u64,
    pub removal: Removal,
    /// The name of the fault that it met.
    pub fault: &'static str,
    /// Before the first command was started.
    pub began: Duration,
    /// When it surely was committed; the log of the primary may show that it was so earlier.
    pub committed: Duration,
    /// After the last command ended.
    pub ended: Duration,
    /// What `--wait` exited with, if it was said and the command did what it says.
    pub wait_exit: Option<i32>,
    /// When the primary was restored from a copy that does not know of it.
    pub undone: Option<Duration>,
}

impl Revocation {
    /// From when on no host may say yes any more, because `--wait` has said so.
    pub fn binds_from(&self) -> Option<Duration> {
        (self.wait_exit == Some(0)).then_some(self.ended)
    }
}

/// The operator's memory.
pub struct Operator<'a> {
    pub fleet: &'a Fleet,
    pub people: &'a People,
    /// Held while a file is applied: no revocation begins meanwhile.
    files: Mutex<Files>,
    done: Mutex<Vec<Revocation>>,
}

/// What directory files say.
#[derive(Default)]
struct Files {
    /// Who has lost something, as the next file says it.
    gone: BTreeSet<u64>,
    /// Who has lost it by a command, which holds against an older file.
    held: BTreeSet<u64>,
}

impl<'a> Operator<'a> {
    pub fn new(fleet: &'a Fleet, people: &'a People) -> Self {
        Self { fleet, people, files: Mutex::default(), done: Mutex::default() }
    }

    /// Takes from somebody what is to be taken; `wait` in seconds.
    pub fn revoke(&self, person: u64, wait: Option<u64>, fault: &'static str) {
        let removal = self.people.removal(person).unwrap();
        let began = now();
        self.files.lock().unwrap().gone.insert(person);
        let id = person.to_string();
        let name = username(person);
        let wait = wait.map(|seconds| format!("--wait={seconds}"));
        let command: Vec<&str> = match removal {
            Removal::Key => vec!["revoke-key", &id],
            Removal::Block => vec!["block-user", &name],
            Removal::KeyByApply | Removal::MembershipByApply => Vec::new(),
        };
        let (committed, ended, wait_exit) = if command.is_empty() {
            let committed = self.apply_until_done();
            (committed, committed, None)
        } else {
            let words: Vec<&str> = command.into_iter().chain(wait.as_deref()).collect();
            let (exit, ended) = self.run_until_done(&words);
            if exit.is_some() {
                self.files.lock().unwrap().held.insert(person);
            }
            (ended, ended, exit.filter(|_| wait.is_some()))
        };
        let revocation = Revocation { person, removal, fault, began, committed, ended, wait_exit, undone: None };
        self.done.lock().unwrap().push(revocation);
    }

    /// Applies the file of now until the primary has taken it; returns when that was surely done.
    fn apply_until_done(&self) -> Duration {
        let begun = now();
        loop {
            {
                let files = self.files.lock().unwrap();
                let output = self.apply_file(&files, "");
                if output.status.success() {
                    return now();
                }
                assert!(now() - begun < PATIENCE, "apply: {}\n{}", stderr(&output), self.fleet.logs());
            }
            std::thread::park_timeout(BETWEEN_TRIES);
        }
    }

    /// Applies a file of before all revocations by a command. It undoes none of them.
    pub fn apply_older_file(&self) {
        let files = self.files.lock().unwrap();
        let known = files.gone.difference(&files.held).copied().collect();
        let output = self.apply_text(&self.people.file(&known));
        assert!(output.status.success(), "apply: {}", stderr(&output));
    }

    /// Applies the file of now with so many more keys, which the next file takes away again.
    pub fn apply_ballast(&self, keys: u64) {
        let more: String = (0..keys).map(|id| id + FIRST_BALLAST_KEY).map(|id| generated_key_line(id, 1)).collect();
        let output = self.apply_file(&self.files.lock().unwrap(), &more);
        assert!(output.status.success(), "apply: {}", stderr(&output));
    }

    /// Applies the file of now once, with more lines.
    fn apply_file(&self, files: &Files, more: &str) -> Output {
        self.apply_text(&(self.people.file(&files.gone) + more))
    }

    fn apply_text(&self, text: &str) -> Output {
        let path = self.fleet.env.write("directory.jsonl", text);
        self.fleet.admin(&["apply", path.to_str().unwrap(), "--prune", "--accept-loss"])
    }

    /// Says it until it is done. Returns the exit code, `None` if it had been done before, and when.
    fn run_until_done(&self, words: &[&str]) -> (Option<i32>, Duration) {
        let begun = now();
        loop {
            let output = self.fleet.admin(words);
            let ended = now();
            match output.status.code() {
                Some(code @ (0 | 3)) => return (Some(code), ended),
                // An earlier try was committed and its answer lost, or a file without the key came first.
                _ if stderr(&output).contains("Not Found") => return (None, ended),
                _ => assert!(ended - begun < PATIENCE, "{words:?}: {}\n{}", stderr(&output), self.fleet.logs()),
            }
            std::thread::park_timeout(BETWEEN_TRIES);
        }
    }

    /// Notes that the primary forgot, `at`, all that was revoked since a copy of it was taken; returns who has back what was taken.
    pub fn forget_since(&self, taken: Duration, at: Duration) -> Vec<u64> {
        let mut done = self.done.lock().unwrap();
        let mut back = Vec::new();
        for revocation in done.iter_mut().filter(|revocation| revocation.began >= taken && revocation.undone.is_none()) {
            revocation.undone = Some(at);
            back.push(revocation.person);
        }
        let mut files = self.files.lock().unwrap();
        for person in &back {
            files.gone.remove(person);
            files.held.remove(person);
        }
        back
    }

    /// All revocations so far.
    pub fn revocations(&self) -> Vec<Revocation> {
        self.done.lock().unwrap().clone()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
