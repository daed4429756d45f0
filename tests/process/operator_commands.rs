//! The commands with which an operator changes the directory and looks at it, as they are typed: what they print, and how they exit.

use std::process::Output;

use serde_json::Value;

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line, key_blob};
use crate::support::lookup::look_up_key;

const STORAGE: &str = "{\"kind\":\"storage\",\"name\":\"default\",\"address\":\"unix:/run/gitaly.sock\",\"token\":\"s3cret-of-gitaly\"}\n";

fn with_primary(directory: &str) -> TestEnv {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(directory);
    env
}

/// Runs a command that must exit with this code; what it printed, and what it complained of.
fn run(env: &TestEnv, words: &[&str], code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = env.run_admin(words);
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{words:?}: {out}{err}");
    (out, err)
}

#[test]
fn a_dry_run_prints_what_an_apply_would_and_exits_with_1_where_that_would_be_refused() {
    let env = with_primary(&directory_of_keys(8));
    let before = run(&env, &["export"], 0).0;
    let file = env.write("next.jsonl", &(directory_of_keys(4) + &generated_key_line(90, 1)));
    let path = file.to_str().unwrap();
    let (said, _) = run(&env, &["apply", "--dry-run", "--prune", path], 0);
    assert!(said.starts_with("would be: 1 added, 0 changed, 6 unchanged, 5 removed\n"), "{said}");
    assert!(said.contains("  key: 1 added, 0 changed, 4 removed\n") && said.ends_with("at seq 1\n"), "{said}");
    let empty = env.write("empty.jsonl", "\n");
    let (said, error) = run(&env, &["apply", "--dry-run", "--prune", empty.to_str().unwrap()], 1);
    assert!(said.contains("11 removed") && error.contains("would be refused: This file has no records"), "{said}{error}");
    let (_, error) = run(&env, &["apply", "--prune", empty.to_str().unwrap()], 1);
    assert!(error.contains("with --prune it would remove the whole directory") && error.contains("--accept-loss"), "{error}");
    assert_eq!(run(&env, &["export"], 0).0, before);
    let (_, error) = run(&env, &["apply", "--progress", path], 0);
    assert!(error.starts_with("sent ") && error.contains("the primary reads and compares it"), "{error}");
}

#[test]
fn a_file_as_an_editor_of_another_system_writes_it_is_taken_and_all_its_errors_are_named() {
    let mut env = TestEnv::new();
    env.start_primary();
    let key = format!("ssh-ed25519 {} zoe@laptop\\n", key_blob(11));
    let lines = [
        r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#.to_owned(),
        format!(r#"{{"kind":"key","id":11,"user_id":1,"title":"t","key":"{key}","created_at":"2026-01-31T12:00:00Z"}}"#),
    ];
    env.apply(&format!("\u{feff}{}\r\n", lines.join("\r\n")));
    assert!(!run(&env, &["export"], 0).0.contains("zoe@laptop"));
    let wrong = lines.join("\n") + "\n{\"kind\":\"user\",\"id\":\"x\",\"username\":\"b\",\"name\":\"B\"}\n" + &lines[0] + "\nnonsense\n";
    let file = env.write("wrong.jsonl", &wrong);
    let (_, error) = run(&env, &["apply", file.to_str().unwrap()], 1);
    assert!(
        error.contains("3 lines are wrong, and nothing was applied:\nline 3: `id`: invalid type: string \"x\", expected a whole number\n"),
        "{error}"
    );
    assert!(error.contains("\nline 4: the username `zoe` stands in line 1 already\nline 5: this is not a JSON object"), "{error}");
}

#[test]
fn records_are_listed_and_shown_by_every_name_and_without_tokens() {
    let env = with_primary(&(STORAGE.to_owned() + &directory_of_keys(4)));
    let (said, _) = run(&env, &["list", "users"], 0);
    assert_eq!(said, "1\tperson-1\tname=Person 1\tstate=active\n2\tperson-2\tname=Person 2\tstate=active\n");
    let listed: Value = serde_json::from_str(&run(&env, &["list", "key", "--json"], 0).0).unwrap();
    let fingerprint = listed[0]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(listed.as_array().unwrap().len(), 4);
    let (said, _) = run(&env, &["show", "user", "PERSON-1"], 0);
    assert!(said.contains("username: person-1\n") && said.contains("state: active\n") && said.matches("\nkey: ").count() == 3, "{said}");
    assert!(run(&env, &["show", "key", &fingerprint], 0).0.contains(&format!("fingerprint: {fingerprint}\n")));
    for words in [&["show", "storage", "default"][..], &["list", "storages", "--json"]] {
        let (said, _) = run(&env, words, 0);
        assert!(said.contains("[hidden]") && !said.contains("s3cret"), "{said}");
    }
    assert!(run(&env, &["show", "user", "nobody"], 1).1.contains("`nobody`"));
    assert!(run(&env, &["list", "robots"], 1).1.contains("kind `robots` is not known; it is one of `settings`"));
}

#[test]
fn a_key_is_revoked_by_fingerprint_and_a_user_is_blocked_and_unblocked_on_the_hosts() {
    let env = TestEnv::running(&directory_of_keys(8));
    let key: Value = serde_json::from_str(&run(&env, &["show", "key", "8", "--json"], 0).0).unwrap();
    let fingerprint = key["fingerprint"].as_str().unwrap();
    let (said, _) = run(&env, &["revoke-key", "--fingerprint", fingerprint, "--wait"], 0);
    assert!(said.contains(&format!("key 8 ({fingerprint}) is revoked at seq 2\n")) && said.contains("in force on ssh-1"), "{said}");
    assert_eq!(look_up_key(&env, 8).status, 404);
    run(&env, &["block-user", "person-1", "--wait"], 0);
    assert!(run(&env, &["show", "user", "person-1"], 0).0.contains("held against files: user person-1"));
    let (said, _) = run(&env, &["unblock-user", "person-1", "--wait"], 0);
    assert!(said.contains("person-1 is active at seq 4") && said.contains("in force on ssh-1"), "{said}");
    assert_eq!(run(&env, &["revocations"], 0).0.lines().count(), 1, "the key alone");
    let (said, _) = run(&env, &["revoke-key", "--username", "person-2", "--wait"], 0);
    assert_eq!(said.matches("is revoked at seq 5").count(), 4, "{said}");
    assert!([4, 5, 6, 7].into_iter().all(|id| look_up_key(&env, id).status == 404) && look_up_key(&env, 1).status == 200);
    assert!(!env.run_admin(&["revoke-key"]).status.success() && !env.run_admin(&["revoke-key", "1", "--username", "x"]).status.success());
}
