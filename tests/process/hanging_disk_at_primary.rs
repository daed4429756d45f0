//! A primary whose disk hangs, or takes no writes: it is seen and said since when, what is known is answered, and it goes on by itself.

use std::fs;

use serde_json::{Value, json};

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob};
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;
use crate::support::loop_disk::{LoopDisk, ReadOnlyMount};

/// As many as make a commit that sled keeps in a file of its own.
const KEYS: u64 = 700;
const DISK_MIB: u64 = 48;

fn env_on_loop_disk() -> Option<(TestEnv, LoopDisk)> {
    let mut env = TestEnv::new();
    let disk = LoopDisk::mount(&env.path().join("disk.image"), &env.path().join("primary"), DISK_MIB)?;
    let _never_used = fs::remove_dir(env.path().join("primary/lost+found"));
    env.start_primary();
    env.apply(&directory_of_keys(KEYS));
    Some((env, disk))
}

fn readiness(env: &TestEnv) -> Response {
    Request::get("/-/readiness").send(&env.primary_socket())
}

fn metric(env: &TestEnv, name: &str) -> u64 {
    let metrics = Request::get("/-/metrics").send(&env.primary_socket()).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("sidegate_{name} ")));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

fn store_of(env: &TestEnv) -> Value {
    env.primary_status()["store"].clone()
}

fn is_known(env: &TestEnv, id: u64) -> bool {
    env.request_primary(lookup_request(&key_blob(id))).status == 200
}

fn wait_until_writable(env: &TestEnv) {
    env.wait_for("readiness to say that the store can be written", || readiness(env).status == 200);
}

#[test]
fn a_disk_that_hangs_is_seen_without_a_write_and_while_one_hangs_everything_says_since_when() {
    let Some((env, disk)) = env_on_loop_disk() else { return };
    disk.freeze();
    env.wait_for("the status to say that the disk hangs", || store_of(&env)["state"] == "hanging");
    let since = store_of(&env)["since"].as_str().unwrap().to_owned();
    std::thread::scope(|scope| {
        let revoking = scope.spawn(|| env.run_admin(&["revoke-key", "17"]));
        env.wait_for("the revocation to wait for the disk", || env.primary_status()["revocations"] == Value::Null);
        let status = env.primary_status();
        assert_eq!((&status["store"], &status["records"]["key"]), (&json!({"state": "hanging", "since": since}), &json!(KEYS)), "{status}");
        let ready = readiness(&env);
        assert!(ready.status == 503 && ready.message().contains(&since), "{}", ready.text());
        assert_eq!(metric(&env, "store_writable"), 0);
        assert!(metric(&env, "store_unwritable_seconds") >= 5, "since it was asked");
        assert!(is_known(&env, 1) && is_known(&env, 17), "what is on disk is answered");
        disk.thaw();
        let revoked = revoking.join().unwrap();
        assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    });
    wait_until_writable(&env);
    assert_eq!((metric(&env, "store_writable"), metric(&env, "store_unwritable_seconds")), (1, 0));
    assert_eq!(env.primary_status()["revocations"]["keys"], 1);
    assert!(is_known(&env, 1) && !is_known(&env, 17));
}

/// Runs a command of the operator that the file system refuses.
fn assert_refused(env: &TestEnv, words: &[&str]) {
    let output = env.run_admin(words);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {message}");
    for word in ["read-only", "since 2", "writable", "this was not"] {
        assert!(message.contains(word), "{words:?}: {message}");
    }
    assert!(!message.contains("full") && !message.contains("  "), "{message}");
}

#[test]
fn a_file_system_that_takes_no_writes_refuses_changes_with_its_own_words_and_takes_them_once_it_is_writable() {
    let Some((mut env, _disk)) = env_on_loop_disk() else { return };
    env.start_sidecar();
    env.wait_until_fresh();
    let process = env.primary.as_ref().unwrap().id();
    for round in 0..2 {
        let closed = ReadOnlyMount::over(&env.path().join("primary"));
        assert_refused(&env, &["revoke-key", &(20 + round).to_string()]);
        env.wait_for("readiness to say that it is read-only", || readiness(&env).message().contains("read-only"));
        let store = store_of(&env);
        assert!(store["state"] == "read_only" && store["since"].is_string(), "{store}");
        assert_eq!(metric(&env, "store_writable"), 0);
        let file = env.write("more.jsonl", &generated_key_line(100 + round, 1));
        assert_refused(&env, &["apply", file.to_str().unwrap()]);
        assert_refused(&env, &["block-user", "person-3"]);
        assert!(is_known(&env, 20 + round) && env.request_sidecar(lookup_request(&key_blob(20 + round))).status == 200);
        drop(closed);
        wait_until_writable(&env);
        let revoked = env.run_admin(&["revoke-key", &(20 + round).to_string(), "--wait"]);
        assert!(revoked.status.success(), "{}\n{}", String::from_utf8_lossy(&revoked.stderr), env.logs());
        env.apply(&generated_key_line(100 + round, 1));
    }
    assert_eq!(env.primary.as_ref().unwrap().id(), process);
}

#[test]
fn after_an_error_of_the_disk_the_primary_answers_on_and_its_store_is_sound_once_the_disk_is_mounted_anew() {
    let Some((mut env, disk)) = env_on_loop_disk() else { return };
    env.start_sidecar();
    env.wait_until_fresh();
    if !disk.break_down() {
        return;
    }
    for id in 1..=3 {
        assert_refused(&env, &["revoke-key", &id.to_string()]);
    }
    env.wait_for("the status to say that it is read-only", || store_of(&env)["state"] == "read_only");
    assert!((1..=KEYS).all(|id| is_known(&env, id)));
    assert!(env.status()["follower"]["connected"] != false, "the feed goes on: {}", env.status());
    let ended = env.primary.as_mut().unwrap().stop();
    assert!(ended.success(), "{ended}\n{}", env.logs());
    let said = env.start_expecting_failure("primary", "primary.toml");
    assert!(said.contains("read-only") && said.contains("mount it writable") && !said.contains("backup"), "{said}");
    disk.unmount_and_check();
    assert!(disk.mount_again());
    env.start_primary();
    wait_until_writable(&env);
    env.wait_until_fresh();
    let revoked = env.run_admin(&["revoke-key", "1", "--wait"]);
    assert!(revoked.status.success(), "{}\n{}", String::from_utf8_lossy(&revoked.stderr), env.logs());
    assert!((2..=KEYS).all(|id| is_known(&env, id)) && !is_known(&env, 1));
}
