//! A primary whose disk fills, while it is idle or in the middle of a write: it says so, answers what is on its disk and nothing else, takes
//! changes again by itself, and ends in time.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob};
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;
use crate::support::random::Random;
use crate::support::small_disk::SmallDisk;

const KEYS: u64 = 400;
/// The exit status of a primary that wants to be started again.
const STORE_FAILED: i32 = 75;

/// Two daemons whose primary has its store on a small disk.
fn env_on_small_disk() -> Option<(TestEnv, SmallDisk)> {
    let mut env = TestEnv::new();
    let disk = SmallDisk::mount(&env.path().join("primary"), 24 << 10)?;
    env.start_primary();
    env.apply(&directory(KEYS));
    env.start_sidecar();
    env.wait_until_fresh();
    Some((env, disk))
}

/// Keys, and two projects of which every third person is a developer.
fn directory(keys: u64) -> String {
    let mut text = String::from(concat!(
        "{\"kind\":\"settings\",\"operations_per_minute\":0}\n",
        "{\"kind\":\"storage\",\"name\":\"default\",\"address\":\"unix:/g\"}\n",
        "{\"kind\":\"namespace\",\"id\":1,\"type\":\"group\",\"path\":\"tools\",\"name\":\"Tools\"}\n",
    ));
    for (id, path, visibility) in [(1, "gate", "private"), (2, "open", "public")] {
        text += &format!(
            "{{\"kind\":\"project\",\"id\":{id},\"namespace_id\":1,\"path\":\"tools/{path}\",\"name\":\"{path}\",\
             \"visibility\":\"{visibility}\",\"relative_path\":\"{path}.git\"}}\n"
        );
    }
    for user in (3..=keys / 4).step_by(3) {
        text += &format!("{{\"kind\":\"member\",\"project_id\":1,\"user_id\":{user},\"access_level\":30}}\n");
    }
    text + &directory_of_keys(keys)
}

/// A question whose answer a host has, or gets from the primary.
fn random_question(random: &mut Random, keys: u64) -> Request {
    let id = 1 + random.below(keys + keys / 4);
    match random.below(3) {
        0 => lookup_request(&key_blob(id)),
        1 => Request::get(&format!("/api/v4/internal/discover?key_id={id}")),
        _ => {
            let action = random.pick(&["git-upload-pack", "git-receive-pack"]);
            let project = random.pick(&["tools/gate", "tools/open", "tools/none"]);
            let body = json!({"action": action, "project": project, "key_id": id, "changes": "_any", "protocol": "ssh"});
            Request::post("/api/v4/internal/allowed", &body)
        }
    }
}

/// The host and the primary say the same to random questions.
fn assert_same_answers(env: &TestEnv, seed: u64, keys: u64) {
    let random = &mut Random::new(seed);
    for _ in 0..150 {
        let question = random_question(&mut random.clone(), keys);
        let again = random_question(random, keys);
        let (host, primary) = (env.request_sidecar(question), env.request_primary(again));
        assert_eq!((host.status, host.text()), (primary.status, primary.text()), "{}", env.logs());
    }
}

fn readiness(env: &TestEnv) -> Response {
    Request::get("/-/readiness").send(&env.primary_socket())
}

fn wait_until_disk_counts_as_full(env: &TestEnv) {
    env.wait_for("readiness to say that the disk is full", || {
        let ready = readiness(env);
        ready.status == 503 && ready.message().contains("disk is full")
    });
}

fn wait_until_writable(env: &TestEnv) {
    env.wait_for("readiness to say that the store can be written", || readiness(env).status == 200);
}

fn metric(env: &TestEnv) -> String {
    let metrics = Request::get("/-/metrics").send(&env.primary_socket()).text();
    metrics.lines().find(|line| line.starts_with("sidegate_store_writable ")).unwrap_or_default().to_owned()
}

/// Runs a command of the operator that the full disk refuses.
fn assert_refused(env: &TestEnv, words: &[&str]) {
    let output = env.run_admin(words);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {message}");
    assert!(message.contains("disk is full") && message.contains("room"), "{words:?}: {message}");
}

fn new_token(env: &TestEnv) -> Response {
    let token = json!({"key_id": 5, "name": "t", "scopes": ["read_api"], "expires_at": null});
    env.request_sidecar(Request::post("/api/v4/internal/personal_access_token", &token))
}

fn is_push_counted(env: &TestEnv) -> bool {
    let response = env.request_sidecar(Request::post("/api/v4/internal/pre_receive", &json!({"gl_repository": "project-1"})));
    response.json()["reference_counter_increased"] == true
}

/// The time after which systemd kills a daemon that has not ended.
fn stop_timeout(unit: &str) -> Duration {
    let path = format!("{}/systemd/{unit}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let seconds = text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')).unwrap();
    Duration::from_secs(seconds.parse().unwrap())
}

#[test]
fn a_primary_on_a_full_disk_says_so_refuses_changes_with_the_reason_and_takes_them_again_by_itself() {
    let Some((mut env, disk)) = env_on_small_disk() else { return };
    let more = env.write("more.jsonl", &(1_000..1_100).map(|id| generated_key_line(id, 1)).collect::<String>());
    let head = env.primary_status()["head"].clone();
    let process = env.primary.as_ref().unwrap().id();
    for round in 1..=2 {
        disk.fill();
        wait_until_disk_counts_as_full(&env);
        assert_same_answers(&env, round, KEYS);
        assert_refused(&env, &["apply", more.to_str().unwrap()]);
        assert_refused(&env, &["revoke-key", "17"]);
        assert_refused(&env, &["block-user", "person-3"]);
        let token = new_token(&env);
        assert!(token.status == 424 && token.message().contains("disk is full"), "{} {}", token.status, token.text());
        assert!(!is_push_counted(&env), "it cannot be counted");
        let status = env.primary_status();
        assert_eq!((&status["store"]["state"], &status["head"]), (&json!("disk_full"), &head), "{status}");
        assert!(status["store"]["since"].is_string() && status["kept"]["personal_access_tokens"].is_u64(), "{status}");
        assert_eq!(metric(&env), "sidegate_store_writable 0");
        assert_same_answers(&env, 10 + round, KEYS);
        disk.free_space();
        wait_until_writable(&env);
        assert!(is_push_counted(&env), "{}", env.logs());
        assert_eq!(metric(&env), "sidegate_store_writable 1");
    }
    assert_eq!(env.primary.as_ref().unwrap().id(), process);
    let log = env.primary.as_ref().unwrap().log();
    assert_eq!(log.matches("answers from what it has and takes no change").count(), 2, "once for each time\n{log}");
    env.apply(&(1_000..1_100).map(|id| generated_key_line(id, 1)).collect::<String>());
    let token = new_token(&env);
    assert_eq!(token.json()["success"], true, "{}", token.text());
    let revoked = env.run_admin(&["revoke-key", "17", "--wait"]);
    assert!(revoked.status.success(), "{}\n{}", String::from_utf8_lossy(&revoked.stdout), env.logs());
    assert_same_answers(&env, 99, KEYS);
    env.primary.as_mut().unwrap().kill();
    env.start_primary();
    env.wait_until_fresh();
    assert_same_answers(&env, 100, KEYS);
}

#[test]
fn on_a_full_disk_both_daemons_end_within_the_time_of_their_units() {
    let mut env = TestEnv::new();
    let Some(primary_disk) = SmallDisk::mount(&env.path().join("primary"), 24 << 10) else { return };
    let Some(sidecar_disk) = SmallDisk::mount(&env.path().join("sidecar"), 8 << 10) else { return };
    env.start_primary();
    env.apply(&directory(KEYS));
    env.start_sidecar();
    env.wait_until_fresh();
    // More than the host's store has room for in the files that it has.
    sidecar_disk.fill();
    env.apply(&(1_000..2_900).map(|id| generated_key_line(id, 1)).collect::<String>());
    let has_alarm = || env.status()["follower"]["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty());
    env.wait_for("the host to say that its store takes nothing", has_alarm);
    primary_disk.fill();
    wait_until_disk_counts_as_full(&env);
    assert_refused(&env, &["revoke-key", "17"]);
    for (unit, daemon) in [("sidegate.service", &mut env.sidecar), ("sidegate-primary.service", &mut env.primary)] {
        let asked = Instant::now();
        let status = daemon.as_mut().unwrap().stop();
        assert!(asked.elapsed() < stop_timeout(unit), "{unit}");
        assert!(status.success(), "{unit}: {status}");
    }
}

/// Waits until the primary says that its disk is full. If a write to its store fails, it ends and is started again, as systemd does; nothing
/// else may end it.
fn restart_until_disk_counts_as_full(env: &mut TestEnv) {
    let socket = env.primary_socket();
    let ready = || Request::get("/-/readiness").try_send(&socket);
    let is_full = |ready: &Response| ready.status == 503 && ready.message().contains("disk is full");
    loop {
        env.wait_for("the primary to say that its disk is full, or to end", || ready().map_or(true, |ready| is_full(&ready)));
        if ready().is_ok_and(|ready| is_full(&ready)) {
            return;
        }
        let status = env.primary.as_mut().unwrap().wait();
        assert_eq!(status.code(), Some(STORE_FAILED), "{}", env.logs());
        env.start_primary();
    }
}

#[test]
fn what_was_committed_while_the_disk_filled_is_there_afterwards_and_both_say_the_same_all_the_time() {
    let Some((mut env, disk)) = env_on_small_disk() else { return };
    let mut applied = Vec::new();
    for round in 0..3 {
        let seq = |env: &TestEnv| env.primary_status()["head"]["seq"].as_u64();
        let begun = seq(&env).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let batches = (0..).map(|batch| 10_000 * (round + 1) + 100 * batch);
                let apply = |first: &u64| {
                    let lines: String = (*first..first + 100).map(|id| generated_key_line(id, 1)).collect();
                    let file = env.write("batch.jsonl", &lines);
                    env.run_admin(&["apply", file.to_str().unwrap()]).status.success()
                };
                batches.take_while(apply).collect::<Vec<u64>>()
            });
            env.wait_for("two commits", || seq(&env).is_some_and(|seq| seq >= begun + 2));
            disk.fill();
            applied.extend(writer.join().unwrap());
        });
        restart_until_disk_counts_as_full(&mut env);
        env.wait_until_fresh();
        assert_same_answers(&env, round, KEYS);
        disk.free_space();
        wait_until_writable(&env);
        for first in &applied {
            let found = env.request_primary(lookup_request(&key_blob(first + 99)));
            assert_eq!(found.status, 200, "round {round}, key {}\n{}", first + 99, env.logs());
        }
    }
    env.wait_until_fresh();
    assert_same_answers(&env, 100, KEYS);
}

#[test]
fn a_write_that_fails_in_the_store_is_never_answered_from_and_ends_the_primary_so_that_it_is_started_again() {
    let mut env = TestEnv::new();
    // A file-size limit makes real writes fail at a moment of our choice; the signal that comes with it is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" primary --config \"$1\"", env!("CARGO_BIN_EXE_sidegate")]);
    command.arg(env.path().join("primary.toml"));
    env.primary = Some(env.spawn_daemon(command, "primary.toml"));
    env.apply(&directory(4_000));
    env.start_sidecar();
    env.wait_until_fresh();
    let process = env.primary.as_ref().unwrap().id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &process, "--fsize=131072"]).status().unwrap();
    assert!(limited.success());
    let (socket, token) = (env.primary_socket(), env.shell_token());
    let question = || lookup_request(&key_blob(17)).header("Gitlab-Shell-Api-Request", &token);
    let (revoked, seen_revoked) = std::thread::scope(|scope| {
        let revoking = scope.spawn(|| env.run_admin(&["revoke-key", "17"]));
        let mut seen = false;
        while let Ok(answer) = question().try_send(&socket) {
            seen |= answer.status == 404;
            assert!(matches!(answer.status, 200 | 404 | 503), "{}", answer.text());
        }
        (revoking.join().unwrap(), seen)
    });
    let message = String::from_utf8_lossy(&revoked.stderr).into_owned();
    assert!(revoked.status.code() == Some(1) && message.contains("starts again"), "{message}\n{}", env.logs());
    let ended = env.primary.as_mut().unwrap().wait();
    assert_eq!(ended.code(), Some(STORE_FAILED), "{}", env.logs());
    assert!(env.logs().contains("to be started again"), "{}", env.logs());
    env.start_primary();
    wait_until_writable(&env);
    let is_revoked = question().send(&socket).status == 404;
    assert!(is_revoked || !seen_revoked, "it was answered from what is in no store\n{}", env.logs());
    env.wait_until_fresh();
    assert_same_answers(&env, 1, 4_000);
    let revoked = env.run_admin(&["revoke-key", "17", "--wait"]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    assert_same_answers(&env, 2, 4_000);
}
