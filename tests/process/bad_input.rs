//! Bad input of every sort: each is one clear message, and nothing is changed or lost by it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::fake::{Fake, Then, json as answer_json};
use crate::house::House;
use crate::http::Request;
use crate::keys::{blob, directory, in_query, key, made_key, user};

/// One line on standard error, that begins as every complaint does.
fn one_message(said: &str) -> &str {
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("sidegate: "), "{said}");
    said
}

fn known(house: &House, id: u64) -> bool {
    let answer = Request::get(&format!("/api/v4/internal/authorized_keys?key={}", in_query(&blob(id)))).to(&house.sidecar_socket());
    match answer.status {
        200 => answer.json()["id"].as_u64() == Some(id),
        404 => false,
        other => panic!("key {id}: {other} {}\n{}", answer.text(), house.logs()),
    }
}

fn alarms(house: &House) -> Vec<String> {
    let status = house.status();
    let standing = status["follower"]["alarms"].as_array().unwrap();
    standing.iter().map(|alarm| alarm["alarm"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_bad_line_in_a_directory_file_is_named_and_nothing_of_the_file_is_applied() {
    let house = House::running(&directory(8));
    let good: String = (101..=106).map(user).collect();
    let ed25519 = format!("ssh-ed25519 {}", blob(50));
    let before = house.primary_status()["head"].clone();
    let cases = [
        ("{\"kind\":\"user\",\"id\":107,\"username\":\"g\",\"name\":\"G\",\"nickname\":\"x\"}\n".to_owned(), "unknown field `nickname`"),
        ("{\"kind\":\"usr\",\"id\":107}\n".to_owned(), "usr"),
        (key(50, 101, &format!("no-pty {ed25519}")), "without options; `no-pty` is not a key type"),
        (key(50, 101, &format!("command=\\\"/bin/sh\\\" {ed25519}")), "without options"),
        (key(50, 101, &format!("{ed25519}\\n{ed25519}")), "a key is one line"),
        (key(50, 101, "ssh-ed25519 AAAA"), "not the Base64 of a key of its type"),
        ("{\"kind\":\"user\",\"id\":107,\"username\":\"g\",\"name\":\"G\\nH\"}\n".to_owned(), "control byte 0x0a at offset 1"),
        (user(0), "id"),
        (user(101), "stands in line 1 already"),
        (key(50, 999, &ed25519), "which is not in the directory"),
        ("not JSON\n".to_owned(), "expected"),
        ("{\"kind\":\"user\",\"id\":107,\"username\":\"g\",\"name\":\"G\"\n".to_owned(), "EOF"),
    ];
    for (line, says) in cases {
        let file = house.write("bad.jsonl", &format!("{good}{line}{}", made_key(60, 101)));
        let output = house.admin(&["apply", file.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}{said}");
        assert!(one_message(&said).contains("line 7") && said.contains(says) && said.contains("bad.jsonl"), "{line}{said}");
        assert!(output.stdout.is_empty());
        assert_eq!(house.primary_status()["head"], before, "{line}");
    }
    assert!(known(&house, 3) && !known(&house, 60));
}

#[test]
fn the_same_key_twice_in_a_file_is_refused_with_both_places() {
    let house = House::running(&user(1));
    let file = house.write("bad.jsonl", &format!("{}{}", made_key(5, 1), key(6, 1, &format!("ssh-ed25519 {}", blob(5)))));
    let output = house.admin(&["apply", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(one_message(&said).contains("line 2") && said.contains("line 1"), "{said}");
    assert!(!said.contains(&blob(5)), "a key is named by its fingerprint: {said}");
}

#[test]
fn a_prune_that_loses_a_large_share_is_refused_until_the_loss_is_accepted() {
    let house = House::running(&directory(400));
    let before = house.primary_status()["head"].clone();
    let file = house.write("half.jsonl", &directory(200));
    let output = house.admin(&["apply", file.to_str().unwrap(), "--prune"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(one_message(&said).contains("--accept-loss") && said.contains("200"), "{said}");
    assert_eq!(house.primary_status()["head"], before);
    let said = house.apply_with(&directory(200), &["--prune", "--accept-loss"]);
    assert!(said.contains("0 added, 0 changed") && said.contains("key: 0 added, 0 changed, 200 removed"), "{said}");
    house.wait_until_fresh();
    assert!(known(&house, 200) && !known(&house, 201));
}

#[test]
fn a_bad_secret_stops_the_start_with_its_file_and_the_remedy() {
    let house = House::new();
    let closed = |name: &str, mode: u32| fs::set_permissions(house.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    for (command, config) in [("serve", "sidegate.toml"), ("primary", "primary.toml")] {
        for name in ["shell_secret", "sync_secret"] {
            let secret = fs::read_to_string(house.path().join(name)).unwrap();
            house.write(name, "");
            let said = house.refused(command, config);
            assert!(one_message(&said).contains(name) && said.contains("this is empty; write the secret into it"), "{said}");
            house.write(name, &secret);
            closed(name, 0o644);
            let said = house.refused(command, config);
            assert!(one_message(&said).contains(name) && said.contains("mode 0644") && said.contains("LoadCredential="), "{said}");
            assert!(!said.contains(&secret), "{said}");
            let words: &[&str] = if command == "serve" { &["check", "--config"] } else { &["check", "--primary"] };
            let output = house.sidegate(&[words, &[house.path().join(config).to_str().unwrap()]].concat());
            assert_eq!(output.status.code(), Some(1), "`check` says the same");
            assert!(one_message(&String::from_utf8(output.stderr).unwrap()).contains("mode 0644"));
            fs::remove_file(house.path().join(name)).unwrap();
            let said = house.refused(command, config);
            assert!(one_message(&said).contains(name), "{said}");
            house.write(name, &secret);
        }
    }
}

#[test]
fn a_socket_path_that_cannot_be_is_refused_and_what_stands_there_is_left_alone() {
    let house = House::new();
    let target = house.write("target", "something else");
    symlink(&target, house.sidecar_socket()).unwrap();
    assert!(one_message(&house.refused("serve", "sidegate.toml")).contains("a symbolic link stands there; remove it"));
    assert_eq!(fs::read_to_string(&target).unwrap(), "something else");
    fs::remove_file(house.sidecar_socket()).unwrap();
    house.write("api.sock", "a file");
    assert!(one_message(&house.refused("serve", "sidegate.toml")).contains("a file that is no socket stands there"));
    assert_eq!(fs::read_to_string(house.sidecar_socket()).unwrap(), "a file");
    fs::remove_file(house.sidecar_socket()).unwrap();
    let long = format!("{}/{}.sock", house.path().display(), "x".repeat(100));
    house.edit("sidegate.toml", &format!("{}/api.sock", house.path().display()), &long);
    let said = house.refused("serve", "sidegate.toml");
    assert!(one_message(&said).contains("`socket.path`") && said.contains("107 bytes"), "{said}");
}

#[test]
fn a_second_daemon_on_one_socket_or_one_store_is_refused_and_the_first_goes_on() {
    let house = House::running(&directory(8));
    let said = house.refused("serve", "sidegate.toml");
    assert!(one_message(&said).contains("another process answers there"), "{said}");
    let other = fs::read_to_string(house.path().join("sidegate.toml")).unwrap().replace("api.sock", "other.sock");
    house.write("other.toml", &other);
    let said = house.refused("serve", "other.toml");
    assert!(one_message(&said).contains("uses this store; stop it"), "{said}");
    assert!(!house.path().join("other.sock").exists());
    assert!(known(&house, 3));
}

#[test]
fn an_unknown_configuration_key_is_refused_with_its_line() {
    let house = House::new();
    for (config, command) in [("sidegate.toml", "serve"), ("primary.toml", "primary")] {
        let text = fs::read_to_string(house.path().join(config)).unwrap();
        house.write(config, &format!("{text}\n[socket]\n"));
        let said = house.refused(command, config);
        assert!(one_message(&said).contains(config), "a table twice: {said}");
        house.write(config, &text.replace("[log]\n", "[log]\nlevels = \"info\"\n"));
        let line = text.lines().position(|line| line == "[log]").unwrap() + 2;
        let said = house.refused(command, config);
        assert!(one_message(&said).contains(&format!("{config}:{line}: `log.levels`: unknown field `levels`")), "{said}");
        house.write(config, &text);
    }
    let said = house.refused("serve", "no-such-file.toml");
    assert!(one_message(&said).contains("no-such-file.toml: the file cannot be read"), "{said}");
}

#[test]
fn a_snapshot_that_loses_half_the_keys_is_held_back_until_that_is_accepted() {
    let mut house = House::running(&directory(400));
    assert!(house.primary.as_mut().unwrap().stop().success());
    fs::rename(house.path().join("primary"), house.path().join("primary-before")).unwrap();
    house.start_primary();
    house.apply(&directory(200));
    house.wait_for("the alarm", || alarms(&house).iter().any(|alarm| alarm == "loss_held"));
    let message = house.status()["follower"]["alarms"].to_string();
    assert!(message.contains("lacks 200 of the 400 keys") && message.contains("sidegate admin accept-loss"), "{message}");
    assert!((1..=400).all(|id| known(&house, id)), "the keys go on being known");
    assert!(house.sidecar.as_mut().unwrap().stop().success());
    house.start_sidecar();
    house.wait_for("the alarm again", || alarms(&house).iter().any(|alarm| alarm == "loss_held"));
    assert!((1..=400).all(|id| known(&house, id)), "also after a restart");
    assert!(house.admin(&["accept-loss"]).status.success());
    let socket = house.sidecar_socket();
    assert!(house.sidegate(&["resync", "--socket", socket.to_str().unwrap()]).status.success());
    house.wait_until_fresh();
    assert!(known(&house, 200) && !known(&house, 201));
    assert_eq!(alarms(&house), Vec::<String>::new());
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_primary_restored_from_an_old_copy_is_not_believed_until_its_new_epoch() {
    let mut house = House::running(&directory(40));
    let (store, backup) = (house.path().join("primary"), house.path().join("backup"));
    assert!(house.primary.as_mut().unwrap().stop().success());
    copy(&store, &backup);
    house.start_primary();
    house.apply(&made_key(500, 1));
    // The host has not come back yet; it is waited for.
    let output = house.admin(&["revoke-key", "7", "--wait=30"]);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), house.logs());
    assert!(known(&house, 500) && !known(&house, 7));
    assert!(house.primary.as_mut().unwrap().stop().success());
    fs::remove_dir_all(&store).unwrap();
    copy(&backup, &store);
    house.start_primary();
    house.wait_for("the alarm", || alarms(&house).iter().any(|alarm| alarm == "primary_went_back"));
    let message = house.status()["follower"]["alarms"].to_string();
    assert!(message.contains("restored from a backup") && message.contains("sidegate admin new-epoch"), "{message}");
    assert!(known(&house, 500) && !known(&house, 7), "what was revoked stays so");
    // The restored primary goes its own way, past the number that the host has: still another past.
    for id in 600..610 {
        house.apply(&made_key(id, 1));
    }
    assert!(known(&house, 500) && !known(&house, 7) && !house.status()["follower"]["digest_equal"].is_null());
    assert!(house.logs().contains("restored from a backup"), "{}", house.logs());
    let said = house.admin(&["new-epoch"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    house.wait_until_fresh();
    assert!(!known(&house, 500) && known(&house, 7) && known(&house, 605), "now it is as the primary says");
    assert_eq!(alarms(&house), Vec::<String>::new());
}

#[test]
fn a_cut_or_lying_feed_is_never_taken_for_true() {
    let mut house = House::running(&directory(60));
    let snapshot = Request::get("/api/v4/internal/sidegate/snapshot")
        .header("Sidegate-Sync-Request", &house.sync_token("ssh-2"))
        .to(&house.primary_socket());
    assert_eq!(snapshot.status, 200);
    let head = house.primary_status()["head"].clone();
    assert!(house.primary.as_mut().unwrap().stop().success());
    house.primary = None;
    let stands = |seq: u64, digest: &str| format!("{{\"seq\":{seq},\"digest\":\"{digest}\",\"count\":61");
    let (seq, digest) = (head["seq"].as_u64().unwrap(), head["digest"].as_str().unwrap().to_owned());
    let lie = json!({"put": {"kind": "key", "id": 900, "user_id": 1, "title": "t", "key": format!("ssh-ed25519 {}", blob(900)),
        "created_at": "2026-01-31T12:00:00.000Z"}});
    let lines = format!("{},\"changes\":[{lie}]}}\n", stands(seq + 1, &digest));
    let cut = snapshot.body[..snapshot.body.len() * 2 / 3].to_vec();
    let fake = Fake::at(&house.primary_socket(), move |arrived| {
        if arrived.line.contains("/changes") {
            let mut stream = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n".to_vec();
            stream.extend(lines.as_bytes());
            return Then::SayAndClose(stream);
        }
        if arrived.line.contains("/snapshot") {
            let mut whole = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", cut.len()).into_bytes();
            whole.extend(&cut);
            return Then::Say(whole);
        }
        Then::Say(answer_json(500, "{}"))
    });
    house.wait_for("the drift to be seen, and the cut snapshot too", || {
        let counted = house.status()["follower"]["counted"].clone();
        counted["drifts"].as_u64() > Some(0) && counted["snapshots_tried"].as_u64() > Some(1)
    });
    let status = house.status();
    assert_eq!(status["follower"]["digest_equal"], Value::Bool(false), "{status}");
    assert!(alarms(&house).contains(&"drift".to_owned()), "{status}");
    assert_eq!(status["follower"]["counted"]["resyncs"], 1, "only the one of the beginning: {status}");
    assert!((1..=60).all(|id| known(&house, id)), "the keys go on being known");
    drop(fake);
    house.start_primary();
    // The true primary has come to the number of the lie, and past it.
    house.apply(&made_key(901, 1));
    house.apply(&made_key(902, 1));
    house.wait_until_fresh();
    assert!((1..=60).all(|id| known(&house, id)) && !known(&house, 900));
    assert_eq!(alarms(&house), Vec::<String>::new());
}
