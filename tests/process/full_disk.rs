//! A disk that is full: while it serves, when it starts, with the primary dead, with a damaged store, and at the primary.

use std::fs;

use serde_json::{Value, json};

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line};
use crate::support::http::Request;
use crate::support::lookup::{assert_no_wrong_lookup, key_present, look_up_key};
use crate::support::small_disk::SmallDisk;

/// An environment whose sidecar keeps its store on a small disk; both daemons run and the sidecar follows.
fn env_on_small_disk() -> Option<(TestEnv, SmallDisk)> {
    let mut env = TestEnv::new();
    let disk = SmallDisk::mount(&env.path().join("sidecar"), 8 << 10)?;
    env.start_primary();
    env.apply(&directory_of_keys(400));
    env.start_sidecar();
    env.wait_until_fresh();
    Some((env, disk))
}

#[test]
fn with_a_full_disk_serving_goes_on_and_nothing_is_acknowledged_that_is_not_on_disk() {
    let Some((env, disk)) = env_on_small_disk() else { return };
    disk.fill();
    // More than what sled still has room for in the files that it has.
    env.apply(&(1_000..2_900).map(|id| generated_key_line(id, 1)).collect::<String>());
    let output = env.run_admin(&["revoke-key", "17", "--wait=3"]);
    let waited = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("on a full disk: {}", waited.lines().last().unwrap_or_default());
    if output.status.success() {
        assert_eq!(key_present(&look_up_key(&env, 17), 17), Some(false), "said to be in force: {waited}\n{}", env.logs());
    } else {
        assert_eq!(output.status.code(), Some(3), "{waited}");
        assert!(waited.contains("not confirmed by ssh-1"), "{waited}");
    }
    for id in (1..=400).filter(|id| *id != 17) {
        assert_eq!(key_present(&look_up_key(&env, id), id), Some(true), "key {id}\n{}", env.logs());
    }
    disk.free_space();
    env.wait_until_fresh();
    assert_eq!(key_present(&look_up_key(&env, 17), 17), Some(false));
    assert_eq!(key_present(&look_up_key(&env, 2_899), 2_899), Some(true));
}

/// The number of changes that the sidecar's store could not take and that bind all the same.
fn unstored_changes(env: &TestEnv) -> u64 {
    env.status()["follower"]["unstored"]["changes"].as_u64().unwrap_or(0)
}

/// Applies keys, few at a time so that the sidecar follows them, until its store has no room left in the files that it has.
fn fill_store(env: &TestEnv) {
    let is_failing = |status: &Value| status["follower"]["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty());
    for batch in 0..100 {
        env.apply(&(0..200).map(|id| generated_key_line(1_000 + 200 * batch + id, 1)).collect::<String>());
        let head = env.primary_status()["head"]["seq"].clone();
        env.wait_for("the batch to be stored or not", || {
            let status = env.status();
            is_failing(&status) || status["follower"]["flushed"]["seq"] == head
        });
        if is_failing(&env.status()) {
            return;
        }
    }
    panic!("the store takes all\n{}", env.logs());
}

/// Looks up every key that the sidecar knows, without a primary: the revoked ones must not be let in, all others must.
fn assert_only_revoked_are_refused(env: &TestEnv, revoked: &[u64], when: &str) {
    for id in 1..=400 {
        let found = key_present(&look_up_key(env, id), id);
        if revoked.contains(&id) {
            assert_ne!(found, Some(true), "{when}: key {id} was revoked\n{}", env.logs());
        } else {
            assert_eq!(found, Some(true), "{when}: key {id}\n{}", env.logs());
        }
    }
}

#[test]
fn a_revocation_on_a_full_disk_binds_at_once_survives_a_kill_and_is_stored_once_there_is_room() {
    let Some((mut env, disk)) = env_on_small_disk() else { return };
    disk.fill();
    fill_store(&env);
    let revoked = [17, 18, 19];
    for id in revoked {
        assert!(env.run_admin(&["revoke-key", &id.to_string()]).status.success());
    }
    env.wait_for("the revocations to bind though they are not stored", || unstored_changes(&env) >= 3);
    let output = env.run_admin(&["revoke-key", "20", "--wait=2"]);
    assert_eq!(output.status.code(), Some(3), "it is not on disk: {}", String::from_utf8_lossy(&output.stdout));
    env.primary.as_mut().unwrap().kill();
    let revoked = [17, 18, 19, 20];
    assert_only_revoked_are_refused(&env, &revoked, "at once");
    let status = env.status();
    assert_eq!(status["freshness"]["keys"]["state"], "stale", "{status}");
    assert!(status["follower"]["unstored"]["since"].is_string(), "{status}");
    assert!(status["follower"]["alarms"].to_string().contains("make room"), "{status}");
    let (printed, code) = env.status_screen();
    assert!(printed.contains("ALARM unstored since 20") && printed.contains("to do: make room on the disk of `store.path`"), "{printed}");
    assert_eq!(code, Some(1), "{printed}");
    let age = |env: &TestEnv| env.status()["freshness"]["keys"]["age_seconds"].as_f64().unwrap();
    let age_before = age(&env);
    for round in 0..2 {
        env.sidecar.as_mut().unwrap().kill();
        env.start_sidecar();
        assert_only_revoked_are_refused(&env, &revoked, &format!("after kill {round}"));
        assert!(age(&env) >= age_before, "never younger\n{}", env.logs());
        assert!(unstored_changes(&env) >= 4, "{}", env.status());
    }
    disk.free_space();
    env.start_primary();
    env.wait_until_fresh();
    env.wait_for("all to be stored", || env.status()["follower"]["unstored"].is_null());
    let output = env.run_admin(&["revoke-key", "21", "--wait"]);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), env.logs());
    env.primary.as_mut().unwrap().kill();
    env.sidecar.as_mut().unwrap().kill();
    env.start_sidecar();
    assert_only_revoked_are_refused(&env, &[17, 18, 19, 20, 21], "from the store");
}

#[test]
fn a_file_of_unstored_changes_that_is_damaged_leaves_nothing_to_be_answered_without_the_primary() {
    let mut env = TestEnv::running(&directory_of_keys(20));
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    env.primary.as_mut().unwrap().kill();
    let path = env.path().join("sidecar/unstored_changes");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    env.start_sidecar();
    assert_eq!(key_present(&look_up_key(&env, 7), 7), None, "{}", env.logs());
    assert_eq!(env.status()["follower"]["unstored"]["complete"], false, "{}", env.status());
    env.start_primary();
    env.wait_until_fresh();
    env.wait_for("the file to be whole again", || env.status()["follower"]["unstored"].is_null());
    env.primary.as_mut().unwrap().kill();
    assert_eq!(key_present(&look_up_key(&env, 7), 7), Some(true), "{}", env.logs());
}

#[test]
fn a_sidecar_that_starts_on_a_full_disk_with_the_primary_dead_lets_everybody_in_whom_it_knows() {
    let Some((mut env, disk)) = env_on_small_disk() else { return };
    for ends in ["as systemd ends it", "killed"] {
        // Changes since the store was opened: opening it again has something to do.
        env.apply(&(1_000..1_200).map(|id| generated_key_line(id, 1)).collect::<String>());
        env.apply(&(2_000..2_200).map(|id| generated_key_line(id, 1)).collect::<String>());
        env.wait_until_fresh();
        let sidecar = env.sidecar.as_mut().unwrap();
        if ends == "killed" {
            sidecar.kill();
        } else {
            assert!(sidecar.stop().success());
        }
        env.primary.as_mut().unwrap().kill();
        disk.fill();
        env.start_sidecar();
        for id in 1..=400 {
            assert_eq!(key_present(&look_up_key(&env, id), id), Some(true), "{ends}, key {id}\n{}", env.logs());
        }
        disk.free_space();
        env.start_primary();
        env.wait_until_fresh();
        assert_eq!(env.status()["follower"]["counted"]["quarantines"], 0, "{ends}\n{}", env.logs());
    }
}

#[test]
fn a_new_host_whose_disk_is_full_serves_by_asking_and_follows_once_there_is_room() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("sidecar"), 8 << 10) else { return };
    disk.fill();
    env.start_primary();
    env.apply(&directory_of_keys(400));
    env.start_sidecar();
    for id in 1..=400 {
        assert_eq!(key_present(&look_up_key(&env, id), id), Some(true), "key {id}\n{}", env.logs());
    }
    disk.free_space();
    env.wait_until_fresh();
    assert_eq!(look_up_key(&env, 7).header("x-sidegate-answer"), Some("local"));
}

#[test]
fn a_damaged_store_on_a_full_disk_serves_by_asking_and_is_built_anew_once_there_is_room() {
    let Some((mut env, disk)) = env_on_small_disk() else { return };
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    fs::write(env.active_generation_dir().join("db"), [7; 4096]).unwrap();
    disk.fill();
    env.start_sidecar();
    assert_no_wrong_lookup(&env, 400, true);
    disk.free_space();
    env.wait_until_fresh();
    assert_eq!(look_up_key(&env, 7).header("x-sidegate-answer"), Some("local"));
    assert_no_wrong_lookup(&env, 400, true);
}

#[test]
fn a_primary_on_a_full_disk_answers_what_it_holds_also_from_its_start_on_and_goes_on_by_itself() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("primary"), 32 << 10) else { return };
    env.start_primary();
    env.apply(&directory_of_keys(400));
    env.start_sidecar();
    env.wait_until_fresh();
    let file = env.write("more.jsonl", &(1_000..9_000).map(|id| generated_key_line(id, 1)).collect::<String>());
    for ends in ["it filled while it ran", "it is started on it"] {
        disk.fill();
        if ends == "it is started on it" {
            env.primary.as_mut().unwrap().kill();
            env.start_primary();
        }
        let head = env.primary_status()["head"].clone();
        let applied = env.run_admin(&["apply", file.to_str().unwrap()]);
        let message = String::from_utf8_lossy(&applied.stderr).into_owned();
        assert!(!applied.status.success() && !message.trim().is_empty(), "{ends}: {message}");
        assert_eq!(env.primary_status()["head"], head, "{ends}: {message}");
        for id in 1..=400 {
            let request =
                Request::get(&format!("/api/v4/internal/discover?key_id={id}")).header("Gitlab-Shell-Api-Request", &env.shell_token());
            let found = request.send(&env.primary_socket());
            assert_eq!((found.status, found.json()["id"].is_u64()), (200, true), "{ends}: {}\n{}", found.text(), env.logs());
        }
        disk.free_space();
        env.wait_for("the primary to take changes again", || Request::get("/-/readiness").send(&env.primary_socket()).status == 200);
        assert_eq!(env.primary_status()["head"], head, "{ends}");
        env.wait_until_fresh();
        let pushed = env.request_sidecar(Request::post("/api/v4/internal/pre_receive", &json!({"gl_repository": "project-1"})));
        assert_eq!(pushed.json()["reference_counter_increased"], true, "{ends}: {}", pushed.text());
    }
    let applied = env.run_admin(&["apply", file.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
}

#[test]
fn a_sound_store_that_cannot_be_opened_for_want_of_room_stays_where_it_is() {
    let Some((mut env, disk)) = env_on_small_disk() else { return };
    env.apply(&(1_000..1_200).map(|id| generated_key_line(id, 1)).collect::<String>());
    env.wait_until_fresh();
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    env.primary.as_mut().unwrap().kill();
    fs::remove_file(env.active_generation_dir().join("reserve")).unwrap();
    disk.fill();
    for _ in 0..3 {
        env.start_sidecar();
        assert_eq!(key_present(&look_up_key(&env, 7), 7), None, "an outage, and no wrong no");
        assert_eq!(env.status()["follower"]["counted"]["quarantines"], 0, "{}", env.logs());
        assert!(env.sidecar.as_mut().unwrap().stop().success());
    }
    assert!(env.logs().contains("this disk is full: make room and start again"), "{}", env.logs());
    disk.free_space();
    env.start_sidecar();
    for id in (1..=400).chain(1_000..1_200) {
        assert_eq!(key_present(&look_up_key(&env, id), id), Some(true), "key {id}\n{}", env.logs());
    }
}
