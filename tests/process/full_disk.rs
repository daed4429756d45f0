//! A disk that is full: while it serves, when it starts, with the primary dead, with a damaged store, and at the primary.

use std::fs;

use serde_json::json;

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
fn a_primary_on_a_full_disk_answers_what_it_holds_and_says_that_it_can_take_nothing() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("primary"), 16 << 10) else { return };
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
        env.primary.as_mut().unwrap().stop();
        env.start_primary();
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
