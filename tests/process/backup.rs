//! A backup of a primary that works, and what is restored from it: no login waits for it, tokens work on, hosts follow, and a `kill -9` at any
//! moment leaves the old or the new.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::StopOnDrop;
use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, generated_key_line};
use crate::support::http::Request;
use crate::support::lookup::look_up_key;
use crate::support::random::pseudo_random;
use crate::support::scaled;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn backup_path(env: &TestEnv) -> PathBuf {
    env.path().join("primary.backup")
}

fn store_path(env: &TestEnv) -> PathBuf {
    env.path().join("primary")
}

fn back_up(env: &TestEnv) -> String {
    let output = env.run_admin(&["backup", backup_path(env).to_str().unwrap()]);
    assert!(output.status.success(), "{}\n{}", text(&output), env.logs());
    text(&output)
}

fn restore(env: &TestEnv) -> std::process::Output {
    env.run_admin(&["restore", backup_path(env).to_str().unwrap(), "--store", store_path(env).to_str().unwrap()])
}

fn key_is_known(env: &TestEnv, id: u64) -> bool {
    look_up_key(env, id).status == 200
}

/// A new personal access token of the owner of a key.
fn create_token(env: &TestEnv) -> String {
    let body = json!({"key_id": 1, "name": "t", "scopes": ["read_api"]});
    let answer = env.request_primary(Request::post("/api/v4/internal/personal_access_token", &body)).json();
    answer["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn token_works(env: &TestEnv, token: &str) -> bool {
    let request = Request::get("/api/v4/personal_access_tokens/self").header("private-token", token);
    env.request_primary(request).status == 200
}

fn export(env: &TestEnv) -> String {
    let output = env.run_admin(&["export"]);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_primary_that_is_lost_is_restored_from_a_backup_that_was_made_while_it_worked() {
    let mut env = TestEnv::running(&directory_of_keys(40));
    let token = create_token(&env);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopOnDrop(&is_over);
        scope.spawn(|| {
            let socket = env.primary_socket();
            for id in 1000.. {
                let applied = Request::new("POST", "/-/admin/apply").body(generated_key_line(id, 1)).send(&socket);
                assert_eq!(applied.status, 200);
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..5 {
            let said = back_up(&env);
            assert!(said.contains("backed up") && said.contains("private entries"), "{said}");
            assert!(key_is_known(&env, 3), "logins are answered meanwhile");
        }
    });
    assert_eq!(fs::metadata(backup_path(&env)).unwrap().permissions().mode() & 0o777, 0o600);
    env.wait_until_fresh();
    let said = back_up(&env);
    let (exported, head) = (export(&env), env.primary_status()["head"].clone());
    let refused = restore(&env);
    assert!(!refused.status.success() && text(&refused).contains("uses this store; stop it"), "{}", text(&refused));
    env.primary.as_mut().unwrap().kill();
    fs::remove_dir_all(store_path(&env)).unwrap();
    let restored = restore(&env);
    assert!(restored.status.success(), "{said}{}", text(&restored));
    assert!(text(&restored).contains("is not revoked in this store"), "{}", text(&restored));
    env.start_primary();
    env.wait_until_fresh();
    let after = env.primary_status();
    assert!(after["head"]["epoch"] != head["epoch"] && after["head"]["digest"] == head["digest"], "{after}");
    assert_eq!(after["missing_hosts"]["reason"], "the store was restored from a backup");
    assert_eq!(export(&env), exported);
    assert!(token_works(&env, &token) && key_is_known(&env, 3) && !token_works(&env, "glpat-another"));
    let output = env.run_admin(&["revoke-key", "3", "--wait=1"]);
    assert_eq!(output.status.code(), Some(3), "hosts that came after the backup may be missing: {}", text(&output));
    env.wait_for("the host to refuse the key", || !key_is_known(&env, 3));
}

#[test]
fn what_was_revoked_after_the_backup_is_revoked_in_the_restored_store_and_named() {
    let mut env = TestEnv::running(&directory_of_keys(9));
    back_up(&env);
    env.apply(&generated_key_line(500, 1));
    for words in [&["revoke-key", "3", "--wait=30"][..], &["revoke-key", "--username", "person-2"]] {
        let output = env.run_admin(words);
        assert!(output.status.success(), "{}", text(&output));
    }
    assert!(env.primary.as_mut().unwrap().stop().success());
    let restored = restore(&env);
    let said = text(&restored);
    assert!(restored.status.success() && said.contains("revoked since the backup") && said.contains("key 3 (SHA256:"), "{said}");
    assert!(said.contains("the store before is in "), "{said}");
    env.start_primary();
    env.wait_until_fresh();
    assert!(!key_is_known(&env, 3) && !key_is_known(&env, 500) && !key_is_known(&env, 5) && key_is_known(&env, 8));
}

#[test]
fn a_file_that_is_no_whole_backup_is_refused_and_the_store_stays() {
    let mut env = TestEnv::running(&directory_of_keys(9));
    back_up(&env);
    assert!(env.primary.as_mut().unwrap().stop().success());
    let whole = fs::read(backup_path(&env)).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(backup_path(&env), &whole[..length]).unwrap();
        let refused = restore(&env);
        assert_eq!(refused.status.code(), Some(1), "{length}: {}", text(&refused));
        assert!(text(&refused).contains("nothing was restored"), "{}", text(&refused));
    }
    env.start_primary();
    env.wait_until_fresh();
    assert!(key_is_known(&env, 3));
}

#[test]
fn who_took_a_backup_is_in_the_log() {
    let env = TestEnv::running(&directory_of_keys(9));
    back_up(&env);
    let uid = nix::unistd::Uid::effective();
    let who = nix::unistd::User::from_uid(uid).unwrap().map_or_else(|| format!("uid {uid}"), |user| format!("{} (uid {uid})", user.name));
    env.wait_for("the line", || env.primary.as_ref().unwrap().log().contains(&format!("{who} did `backup`")));
}

#[test]
fn kill_9_during_a_backup_leaves_the_file_before_or_a_whole_one() {
    let env = TestEnv::running(&directory_of_keys(scaled(2_000, 100_000)));
    back_up(&env);
    let before = fs::read(backup_path(&env)).unwrap();
    for round in 0..scaled(8, 60) {
        env.apply(&generated_key_line(900_000 + round, 1));
        let mut child = spawn(&env, &["backup", backup_path(&env).to_str().unwrap()]);
        std::thread::park_timeout(Duration::from_micros(pseudo_random(round) % 60_000));
        let _ = child.kill();
        child.wait().unwrap();
        let now = fs::read(backup_path(&env)).unwrap();
        let is_whole = sidegate::wire::directory::backup_lines::verify(now.as_slice()).is_ok();
        assert!(now == before || is_whole, "round {round}: the file is the one before or a whole one");
    }
    assert!(key_is_known(&env, 3), "the primary goes on");
    back_up(&env);
}

#[test]
fn kill_9_during_a_restore_leaves_the_old_store_or_the_new_one() {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(scaled(300, 20_000)));
    back_up(&env);
    // What tells the two apart.
    env.apply(&generated_key_line(700_000, 1));
    assert!(env.primary.as_mut().unwrap().stop().success());
    let (old, mut seen) = (env.path().join("old"), [0, 0]);
    copy(&store_path(&env), &old);
    for round in 0..scaled(12, 100) {
        copy(&old, &store_path(&env));
        let mut child = spawn(&env, &["restore", backup_path(&env).to_str().unwrap(), "--store", store_path(&env).to_str().unwrap()]);
        std::thread::park_timeout(Duration::from_micros(pseudo_random(round) % 400_000));
        let _ = child.kill();
        child.wait().unwrap();
        env.start_primary();
        let exported = export(&env);
        assert!(exported.contains(r#""id":299,"#) || exported.contains(r#""id":19999,"#), "round {round}: all of it is there");
        seen[usize::from(!exported.contains(r#""id":700000,"#))] += 1;
        assert!(!store_path(&env).join("restoring").exists() && !store_path(&env).join("REPLACING").exists());
        env.apply(&generated_key_line(800_000, 1));
        assert!(env.primary.as_mut().unwrap().stop().success());
    }
    eprintln!("the old store {} times, the new one {} times", seen[0], seen[1]);
}

fn spawn(env: &TestEnv, words: &[&str]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["admin", "--socket"]).arg(env.primary_socket()).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
