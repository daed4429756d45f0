//! Bad input of every sort: each is one clear message, and nothing is changed or lost by it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, json_response as answer_json};
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob, key_line, user_line};
use crate::support::http::Request;
use crate::support::lookup::look_up_key;

/// One line on standard error, that begins as every complaint does.
fn assert_single_error_line(message: &str) -> &str {
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("sidegate: "), "{message}");
    message
}

fn key_is_known(env: &TestEnv, id: u64) -> bool {
    let answer = look_up_key(env, id);
    match answer.status {
        200 => answer.json()["id"].as_u64() == Some(id),
        404 => false,
        other => panic!("key {id}: {other} {}\n{}", answer.text(), env.logs()),
    }
}

fn active_alarms(env: &TestEnv) -> Vec<String> {
    let status = env.status();
    let standing = status["follower"]["alarms"].as_array().unwrap();
    standing.iter().map(|alarm| alarm["alarm"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bad_line_in_a_directory_file_is_named_and_nothing_of_the_file_is_applied() {
    let env = TestEnv::running(&directory_of_keys(8));
    let good: String = (101..=106).map(user_line).collect();
    let ed25519 = format!("ssh-ed25519 {}", key_blob(50));
    let before = env.primary_status()["head"].clone();
    let cases = [
        ("{\"kind\":\"user\",\"id\":107,\"username\":\"g\",\"name\":\"G\",\"nickname\":\"x\"}\n".to_owned(), "unknown field `nickname`"),
        ("{\"kind\":\"usr\",\"id\":107}\n".to_owned(), "usr"),
        (key_line(50, 101, &format!("no-pty {ed25519}")), "without options; `no-pty` is not a key type"),
        (key_line(50, 101, &format!("command=\\\"/bin/sh\\\" {ed25519}")), "without options"),
        (key_line(50, 101, &format!("{ed25519}\\n{ed25519}")), "a key is one line"),
        (key_line(50, 101, "ssh-ed25519 AAAA"), "not the Base64 of a key of its type"),
        ("{\"kind\":\"user\",\"id\":107,\"username\":\"g\",\"name\":\"G\\nH\"}\n".to_owned(), "control byte 0x0a at offset 1"),
        (user_line(0), "id"),
        (user_line(101), "stands in line 1 already"),
        (key_line(50, 999, &ed25519), "which is not in the directory"),
        ("not JSON\n".to_owned(), "expected"),
        ("{\"kind\":\"user\",\"id\":107,\"username\":\"g\",\"name\":\"G\"\n".to_owned(), "EOF"),
    ];
    for (line, says) in cases {
        let file = env.write("bad.jsonl", &format!("{good}{line}{}", generated_key_line(60, 101)));
        let output = env.run_admin(&["apply", file.to_str().unwrap()]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}{message}");
        assert!(
            assert_single_error_line(&message).contains("line 7") && message.contains(says) && message.contains("bad.jsonl"),
            "{line}{message}"
        );
        assert!(output.stdout.is_empty());
        assert_eq!(env.primary_status()["head"], before, "{line}");
    }
    assert!(key_is_known(&env, 3) && !key_is_known(&env, 60));
}

#[test]
fn the_same_key_twice_in_a_file_is_refused_with_both_places() {
    let env = TestEnv::running(&user_line(1));
    let file = env.write("bad.jsonl", &format!("{}{}", generated_key_line(5, 1), key_line(6, 1, &format!("ssh-ed25519 {}", key_blob(5)))));
    let output = env.run_admin(&["apply", file.to_str().unwrap()]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(assert_single_error_line(&message).contains("line 2") && message.contains("line 1"), "{message}");
    assert!(!message.contains(&key_blob(5)), "a key is named by its fingerprint: {message}");
}

#[test]
fn a_prune_that_loses_a_large_share_is_refused_until_the_loss_is_accepted() {
    let env = TestEnv::running(&directory_of_keys(400));
    let before = env.primary_status()["head"].clone();
    let file = env.write("half.jsonl", &directory_of_keys(200));
    let output = env.run_admin(&["apply", file.to_str().unwrap(), "--prune"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(assert_single_error_line(&message).contains("--accept-loss") && message.contains("200"), "{message}");
    assert_eq!(env.primary_status()["head"], before);
    let message = env.apply_with_args(&directory_of_keys(200), &["--prune", "--accept-loss"]);
    assert!(message.contains("0 added, 0 changed") && message.contains("key: 0 added, 0 changed, 200 removed"), "{message}");
    env.wait_until_fresh();
    assert!(key_is_known(&env, 200) && !key_is_known(&env, 201));
}

#[test]
fn a_bad_secret_stops_the_start_with_its_file_and_the_remedy() {
    let env = TestEnv::new();
    let closed = |name: &str, mode: u32| fs::set_permissions(env.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    for (command, config) in [("serve", "sidegate.toml"), ("primary", "primary.toml")] {
        for name in ["shell_secret", "sync_secret"] {
            let secret = fs::read_to_string(env.path().join(name)).unwrap();
            env.write(name, "");
            let message = env.start_expecting_failure(command, config);
            assert!(
                assert_single_error_line(&message).contains(name) && message.contains("this is empty; write the secret into it"),
                "{message}"
            );
            env.write(name, &secret);
            closed(name, 0o644);
            let message = env.start_expecting_failure(command, config);
            assert!(
                assert_single_error_line(&message).contains(name) && message.contains("mode 0644") && message.contains("LoadCredential="),
                "{message}"
            );
            assert!(!message.contains(&secret), "{message}");
            let words: &[&str] = if command == "serve" { &["check", "--config"] } else { &["check", "--primary"] };
            let output = env.run_sidegate(&[words, &[env.path().join(config).to_str().unwrap()]].concat());
            assert_eq!(output.status.code(), Some(2), "`check` says the same");
            let said = String::from_utf8(output.stdout).unwrap();
            let finding = said.lines().position(|line| line.starts_with("ERROR: ") && line.contains("mode 0644")).expect("it is named");
            assert!(said.lines().nth(finding + 1).unwrap().contains("LoadCredential=") && !said.contains(&secret), "{said}");
            fs::remove_file(env.path().join(name)).unwrap();
            let message = env.start_expecting_failure(command, config);
            assert!(assert_single_error_line(&message).contains(name), "{message}");
            env.write(name, &secret);
        }
    }
}

#[test]
fn a_socket_path_that_cannot_be_is_refused_and_what_stands_there_is_left_alone() {
    let env = TestEnv::new();
    let target = env.write("target", "something else");
    symlink(&target, env.sidecar_socket()).unwrap();
    assert!(
        assert_single_error_line(&env.start_expecting_failure("serve", "sidegate.toml")).contains("a symbolic link is there; remove it")
    );
    assert_eq!(fs::read_to_string(&target).unwrap(), "something else");
    fs::remove_file(env.sidecar_socket()).unwrap();
    env.write("api.sock", "a file");
    assert!(assert_single_error_line(&env.start_expecting_failure("serve", "sidegate.toml")).contains("a file that is no socket is there"));
    assert_eq!(fs::read_to_string(env.sidecar_socket()).unwrap(), "a file");
    fs::remove_file(env.sidecar_socket()).unwrap();
    let long = format!("{}/{}.sock", env.path().display(), "x".repeat(100));
    env.replace_in_file("sidegate.toml", &format!("{}/api.sock", env.path().display()), &long);
    let message = env.start_expecting_failure("serve", "sidegate.toml");
    assert!(assert_single_error_line(&message).contains("`socket.path`") && message.contains("107 bytes"), "{message}");
}

#[test]
fn a_second_daemon_on_one_socket_or_one_store_is_refused_and_the_first_goes_on() {
    let env = TestEnv::running(&directory_of_keys(8));
    let message = env.start_expecting_failure("serve", "sidegate.toml");
    assert!(assert_single_error_line(&message).contains("another process listens there"), "{message}");
    let other = fs::read_to_string(env.path().join("sidegate.toml")).unwrap().replace("api.sock", "other.sock");
    env.write("other.toml", &other);
    let message = env.start_expecting_failure("serve", "other.toml");
    assert!(assert_single_error_line(&message).contains("uses this store; stop it"), "{message}");
    assert!(!env.path().join("other.sock").exists());
    assert!(key_is_known(&env, 3));
}

#[test]
fn an_unknown_configuration_key_is_refused_with_its_line() {
    let env = TestEnv::new();
    for (config, command) in [("sidegate.toml", "serve"), ("primary.toml", "primary")] {
        let text = fs::read_to_string(env.path().join(config)).unwrap();
        env.write(config, &format!("{text}\n[socket]\n"));
        let message = env.start_expecting_failure(command, config);
        assert!(assert_single_error_line(&message).contains(config), "a table twice: {message}");
        env.write(config, &text.replace("[log]\n", "[log]\nlevels = \"info\"\n"));
        let line = text.lines().position(|line| line == "[log]").unwrap() + 2;
        let message = env.start_expecting_failure(command, config);
        assert!(
            assert_single_error_line(&message).contains(&format!("{config}:{line}: `log.levels`: unknown field `levels`")),
            "{message}"
        );
        env.write(config, &text);
    }
    let message = env.start_expecting_failure("serve", "no-such-file.toml");
    assert!(assert_single_error_line(&message).contains("no-such-file.toml: the file cannot be read"), "{message}");
}

#[test]
fn a_snapshot_that_loses_half_the_keys_is_held_back_until_that_is_accepted() {
    let mut env = TestEnv::running(&directory_of_keys(400));
    assert!(env.primary.as_mut().unwrap().stop().success());
    fs::rename(env.path().join("primary"), env.path().join("primary-before")).unwrap();
    env.start_primary();
    env.apply(&directory_of_keys(200));
    env.wait_for("the alarm", || active_alarms(&env).iter().any(|alarm| alarm == "loss_held"));
    let message = env.status()["follower"]["alarms"].to_string();
    assert!(message.contains("lacks 200 of the 400 keys") && message.contains("sidegate admin accept-loss"), "{message}");
    assert!((1..=400).all(|id| key_is_known(&env, id)), "the keys go on being known");
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    env.start_sidecar();
    env.wait_for("the alarm again", || active_alarms(&env).iter().any(|alarm| alarm == "loss_held"));
    assert!((1..=400).all(|id| key_is_known(&env, id)), "also after a restart");
    assert!(env.run_admin(&["accept-loss"]).status.success());
    let socket = env.sidecar_socket();
    assert!(env.run_sidegate(&["resync", "--socket", socket.to_str().unwrap()]).status.success());
    env.wait_until_fresh();
    assert!(key_is_known(&env, 200) && !key_is_known(&env, 201));
    assert_eq!(active_alarms(&env), Vec::<String>::new());
}

fn copy_store(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_primary_restored_from_an_old_copy_is_not_followed_until_its_new_epoch() {
    let mut env = TestEnv::running(&directory_of_keys(40));
    let (store, backup) = (env.path().join("primary"), env.path().join("backup"));
    assert!(env.primary.as_mut().unwrap().stop().success());
    copy_store(&store, &backup);
    env.start_primary();
    env.apply(&generated_key_line(500, 1));
    // The host has not come back yet; it is waited for.
    let output = env.run_admin(&["revoke-key", "7", "--wait=30"]);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), env.logs());
    assert!(key_is_known(&env, 500) && !key_is_known(&env, 7));
    // A no needs a feed that was caught up when the contact was lost; what was confirmed may not be proven to be the last yet.
    env.wait_until_caught_up();
    assert!(env.primary.as_mut().unwrap().stop().success());
    fs::remove_dir_all(&store).unwrap();
    copy_store(&backup, &store);
    env.start_primary();
    env.wait_for("the alarm", || active_alarms(&env).iter().any(|alarm| alarm == "primary_went_back"));
    let message = env.status()["follower"]["alarms"].to_string();
    assert!(message.contains("restored from a backup") && message.contains("sidegate admin new-epoch"), "{message}");
    assert!(key_is_known(&env, 500) && !key_is_known(&env, 7), "what was revoked stays so");
    // The restored primary goes its own way, past the number that the host has: still another past.
    for id in 600..610 {
        env.apply(&generated_key_line(id, 1));
    }
    assert!(key_is_known(&env, 500) && !key_is_known(&env, 7) && !env.status()["follower"]["digest_equal"].is_null());
    assert!(env.logs().contains("restored from a backup"), "{}", env.logs());
    let printed = env.run_admin(&["new-epoch"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    env.wait_until_fresh();
    assert!(!key_is_known(&env, 500) && key_is_known(&env, 7) && key_is_known(&env, 605), "now it is as the primary says");
    assert_eq!(active_alarms(&env), Vec::<String>::new());
}

#[test]
fn a_truncated_or_inconsistent_feed_is_never_applied() {
    let mut env = TestEnv::running(&directory_of_keys(60));
    let snapshot = Request::get("/api/v4/internal/sidegate/snapshot")
        .header("Sidegate-Sync-Request", &env.sync_token("ssh-2"))
        .send(&env.primary_socket());
    assert_eq!(snapshot.status, 200);
    let head = env.primary_status()["head"].clone();
    assert!(env.primary.as_mut().unwrap().stop().success());
    env.primary = None;
    let stands = |seq: u64, digest: &str| format!("{{\"seq\":{seq},\"digest\":\"{digest}\",\"count\":61");
    let (seq, digest) = (head["seq"].as_u64().unwrap(), head["digest"].as_str().unwrap().to_owned());
    let lie = json!({"put": {"kind": "key", "id": 900, "user_id": 1, "title": "t", "key": format!("ssh-ed25519 {}", key_blob(900)),
        "created_at": "2026-01-31T12:00:00.000Z"}});
    let lines = format!("{},\"changes\":[{lie}]}}\n", stands(seq + 1, &digest));
    let cut = snapshot.body[..snapshot.body.len() * 2 / 3].to_vec();
    let fake = FakePrimary::listen(&env.primary_socket(), move |arrived| {
        if arrived.request_line.contains("/changes") {
            let mut stream = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n".to_vec();
            stream.extend(lines.as_bytes());
            return FakeReply::RespondAndClose(stream);
        }
        if arrived.request_line.contains("/snapshot") {
            let mut whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", cut.len()).into_bytes();
            whole.extend(&cut);
            return FakeReply::Respond(whole);
        }
        FakeReply::Respond(answer_json(500, "{}"))
    });
    env.wait_for("the drift to be seen, and the cut snapshot too", || {
        let counted = env.status()["follower"]["counted"].clone();
        counted["drifts"].as_u64() > Some(0) && counted["snapshots_tried"].as_u64() > Some(1)
    });
    let status = env.status();
    assert_eq!(status["follower"]["digest_equal"], Value::Bool(false), "{status}");
    assert!(active_alarms(&env).contains(&"drift".to_owned()), "{status}");
    assert_eq!(status["follower"]["counted"]["resyncs"], 1, "only the one of the beginning: {status}");
    assert!((1..=60).all(|id| key_is_known(&env, id)), "the keys go on being known");
    drop(fake);
    env.start_primary();
    // The true primary has come to the number of the lie, and past it.
    env.apply(&generated_key_line(901, 1));
    env.apply(&generated_key_line(902, 1));
    env.wait_until_fresh();
    assert!((1..=60).all(|id| key_is_known(&env, id)) && !key_is_known(&env, 900));
    assert_eq!(active_alarms(&env), Vec::<String>::new());
}
