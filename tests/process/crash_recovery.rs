//! `kill -9` at any moment, of either daemon, and damage on disk: what was answered is kept, and what is said is never wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::StopOnDrop;
use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line, user_line};
use crate::support::http::Request;
use crate::support::lookup::{assert_no_wrong_lookup, key_present, look_up_key};
use crate::support::random::pseudo_random;
use crate::support::scaled;

/// What a key was last told to be, and by which commit it was answered that it is so; `None` while no answer has come.
#[derive(Clone, Copy, Debug)]
struct KeyState {
    present: bool,
    acknowledged_seq: Option<u64>,
}

/// Changes one after another, as fast as they are answered: key n is added, and key n-3 revoked. Keeps what was answered.
struct ChangeStream {
    socket: PathBuf,
    key_states: Mutex<BTreeMap<u64, KeyState>>,
    answered_count: AtomicU64,
    stopped: AtomicBool,
}

impl ChangeStream {
    fn new(env: &TestEnv) -> Self {
        Self {
            socket: env.primary_socket(),
            key_states: Mutex::default(),
            answered_count: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    fn run(&self, first: u64) {
        for number in first.. {
            self.retry_until_answered(number, true, || Request::new("POST", "/-/admin/apply").body(generated_key_line(number, 1)));
            if number >= first + 3 {
                self.retry_until_answered(number - 3, false, || Request::post("/-/admin/revoke-key", &json!({"id": number - 3})));
            }
            if self.stopped.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Says it until it is answered; the primary may be dead for a while. A key that is gone already was revoked by an unanswered try.
    fn retry_until_answered(&self, id: u64, there: bool, request: impl Fn() -> Request) {
        self.key_states.lock().unwrap().insert(id, KeyState { present: there, acknowledged_seq: None });
        while !self.stopped.load(Ordering::Relaxed) {
            let Ok(answer) = request().try_send(&self.socket) else { continue };
            let gone = !there && answer.status == 404;
            assert!(answer.status == 200 || gone, "{}", answer.text());
            let seq = if gone { u64::MAX } else { answer.json()["head"]["seq"].as_u64().unwrap() };
            self.key_states.lock().unwrap().insert(id, KeyState { present: there, acknowledged_seq: Some(seq) });
            self.answered_count.fetch_add(1, Ordering::Relaxed);
            return;
        }
    }

    /// Waits until so many more changes are answered.
    fn wait_for_answers(&self, env: &TestEnv, more: u64) {
        let until = self.answered_count.load(Ordering::Relaxed) + more;
        env.wait_for("more changes to be answered", || self.answered_count.load(Ordering::Relaxed) >= until);
    }

    fn acknowledged_up_to(&self, seq: u64) -> Vec<(u64, bool)> {
        let states = self.key_states.lock().unwrap();
        states
            .iter()
            .filter(|(_, state)| state.acknowledged_seq.is_some_and(|at| at <= seq))
            .map(|(id, state)| (*id, state.present))
            .collect()
    }
}

fn acknowledged_seq(env: &TestEnv) -> u64 {
    let hosts = Request::get("/-/admin/hosts").send(&env.primary_socket()).json();
    hosts["hosts"][0]["acked"]["seq"].as_u64().unwrap_or(0)
}

#[test]
fn no_acknowledged_change_is_lost_when_the_sidecar_is_killed_during_bursts() {
    let rounds = scaled(4, 50);
    let mut env = TestEnv::running(&directory_of_keys(200));
    let burst = ChangeStream::new(&env);
    let mut checked = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| burst.run(100_000));
        let _ends = StopOnDrop(&burst.stopped);
        for round in 0..rounds {
            burst.wait_for_answers(&env, 5 + pseudo_random(round) % 20);
            let dead_primary = round % 4 == 3;
            if dead_primary {
                env.primary.as_mut().unwrap().kill();
            }
            // Read before the kill where it can be: what was acknowledged by now must survive.
            let acked =
                if dead_primary { env.status()["follower"]["acknowledged"]["seq"].as_u64().unwrap_or(0) } else { acknowledged_seq(&env) };
            env.sidecar.as_mut().unwrap().kill();
            env.start_sidecar();
            if dead_primary {
                env.wait_for("the store to be read through", || env.status()["follower"]["whole"] == true);
                for (id, there) in burst.acknowledged_up_to(acked) {
                    let found = key_present(&look_up_key(&env, id), id);
                    assert!(found.is_none_or(|found| found == there), "round {round}: key {id} should be {there}\n{}", env.logs());
                    assert!(found.is_some() || !there, "round {round}: key {id} is not known any more\n{}", env.logs());
                    checked += 1;
                }
                env.start_primary();
            }
            env.wait_for("the sidecar to have what it had acknowledged", || {
                let status = env.status();
                status["follower"]["cursor"]["seq"].as_u64().is_some_and(|seq| seq >= acked)
            });
        }
    });
    env.wait_until_fresh();
    assert_acknowledged_changes_present(&env, &burst);
    let verified = Request::post("/-/admin/verify", &json!({})).send(&env.sidecar_socket()).json();
    assert_eq!(verified["finding"], "equal", "{verified}");
    assert_eq!(env.status()["follower"]["counted"]["quarantines"], 0, "{}", env.logs());
    eprintln!(
        "sidecar killed {rounds} times during {} changes; {checked} lookups with the primary dead; digest equal at seq {}",
        burst.answered_count.load(Ordering::Relaxed),
        env.status()["follower"]["cursor"]["seq"],
    );
}

/// Each change that was answered is at the sidecar, which stands where the primary stands.
fn assert_acknowledged_changes_present(env: &TestEnv, burst: &ChangeStream) {
    for (id, there) in burst.acknowledged_up_to(u64::MAX) {
        assert_eq!(key_present(&look_up_key(env, id), id), Some(there), "key {id}\n{}", env.logs());
    }
}

#[test]
fn every_answered_commit_is_there_when_the_primary_is_killed_during_applies() {
    let rounds = scaled(4, 30);
    let mut env = TestEnv::running(&user_line(1));
    let burst = ChangeStream::new(&env);
    std::thread::scope(|scope| {
        scope.spawn(|| burst.run(100_000));
        let _ends = StopOnDrop(&burst.stopped);
        for round in 0..rounds {
            burst.wait_for_answers(&env, 3 + pseudo_random(round) % 15);
            env.primary.as_mut().unwrap().kill();
            env.start_primary();
        }
        burst.wait_for_answers(&env, 3);
    });
    let export = String::from_utf8(env.run_admin(&["export"]).stdout).unwrap();
    let held: BTreeSet<u64> = export
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["kind"] == "key")
        .map(|record| record["id"].as_u64().unwrap())
        .collect();
    for (id, there) in burst.acknowledged_up_to(u64::MAX) {
        assert_eq!(held.contains(&id), there, "key {id}\n{}", env.logs());
    }
    env.wait_until_fresh();
    assert_acknowledged_changes_present(&env, &burst);
    eprintln!("primary killed {rounds} times during {} changes: all there", burst.answered_count.load(Ordering::Relaxed));
}

#[test]
fn a_whole_directory_that_is_being_replaced_when_the_primary_is_killed_is_the_old_one_or_the_new_one() {
    let mut env = TestEnv::running(&directory_of_keys(100));
    for round in 0..scaled(3, 20) {
        let before = env.primary_status()["head"]["count"].as_u64().unwrap();
        let file = env.write("large.jsonl", &directory_of_keys(3_000 + 1_000 * round));
        let apply = env.spawn_sidegate(&["admin", "--socket", env.primary_socket().to_str().unwrap(), "apply", file.to_str().unwrap()]);
        let bytes = || dir_size(&env.path().join("primary"));
        let begun = bytes();
        env.wait_for("something to be written", || bytes() > begun + (pseudo_random(round) % 8) * 20_000);
        env.primary.as_mut().unwrap().kill();
        let answered = apply.wait_with_output().unwrap().status.success();
        env.start_primary();
        let now = env.primary_status()["head"]["count"].as_u64().unwrap();
        let whole = directory_of_keys(3_000 + 1_000 * round).lines().count() as u64;
        assert!(now == whole || (now == before && !answered), "{before} records, then {now}, of {whole}\n{}", env.logs());
        env.wait_until_fresh();
    }
}

fn dir_size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| if entry.path().is_dir() { dir_size(&entry.path()) } else { entry.metadata().map_or(0, |found| found.len()) })
        .sum()
}

/// Writes 512 bytes of anything over a block of a file in which something stands.
fn corrupt_block(database: &Path, round: u64) {
    let bytes = fs::read(database).unwrap();
    let used: Vec<usize> = (0..bytes.len() / 512).filter(|block| bytes[block * 512..][..512].iter().any(|byte| *byte != 0)).collect();
    let block = used[usize::try_from(pseudo_random(round)).unwrap() % used.len()];
    let anything: Vec<u8> = (0..64).flat_map(|word| pseudo_random(round * 1000 + word).to_be_bytes()).collect();
    fs::OpenOptions::new().write(true).open(database).unwrap().write_all_at(&anything, block as u64 * 512).unwrap();
}

#[test]
fn a_damaged_store_is_never_a_wrong_answer_and_is_built_anew() {
    let (keys, rounds) = (300, scaled(6, 60));
    let mut env = TestEnv::running(&directory_of_keys(keys));
    let (mut noticed, mut rebuilt) = (0, 0);
    for round in 0..rounds {
        let alone = round % 2 == 1;
        assert!(env.sidecar.as_mut().unwrap().stop().success());
        let database = env.active_generation_dir().join("db");
        corrupt_block(&database, round);
        if alone {
            env.primary.as_mut().unwrap().kill();
        }
        env.start_sidecar();
        assert_no_wrong_lookup(&env, keys, !alone);
        if alone {
            env.start_primary();
        }
        env.wait_until_fresh();
        assert_no_wrong_lookup(&env, keys, true);
        let counted = env.status()["follower"]["counted"].clone();
        noticed += counted["quarantines"].as_u64().unwrap();
        rebuilt += counted["resyncs"].as_u64().unwrap();
    }
    eprintln!("{rounds} wounds of 512 bytes: {noticed} quarantines, {rebuilt} rebuilt, no wrong answer");
}

#[test]
fn a_torn_current_and_a_leftover_of_sled_do_not_stop_the_service() {
    let mut env = TestEnv::running(&directory_of_keys(40));
    for torn in ["", "1", "no-such-generation\n", "\0\0\0\0\0\0\0\0", "../../../etc\n"] {
        assert!(env.sidecar.as_mut().unwrap().stop().success());
        env.write("sidecar/CURRENT", torn);
        env.start_sidecar();
        assert_no_wrong_lookup(&env, 40, true);
        env.wait_until_fresh();
    }
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    let leftover = env.active_generation_dir().join("snap.0000000000000001.generating");
    fs::write(&leftover, [0; 100]).unwrap();
    let quarantines = |env: &TestEnv| env.status()["follower"]["counted"]["quarantines"].as_u64().unwrap();
    env.start_sidecar();
    env.wait_until_fresh();
    assert_no_wrong_lookup(&env, 40, true);
    assert_eq!(quarantines(&env), 0, "{}", env.logs());
    assert!(!leftover.exists());
}
