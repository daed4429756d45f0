//! `--wait` that exits with 0 means that no host can still say yes: also after the primary was killed or restored, a host changed its
//! bounds, or a second host took its name. Where a host is cut off here, it goes on answering, and the test asks it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::model::time::Time;

use crate::support::TIMEOUT;
use crate::support::env::{Daemon, TestEnv};
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::http::Request;
use crate::support::link::Link;
use crate::support::lookup::{look_up_key, lookup_request};
use crate::support::small_disk::SmallDisk;

const NOT_EVERYWHERE: Option<i32> = Some(3);

/// A primary that runs with its directory, and a host that is to follow over a link.
fn prepared(primary_more: &str, sidecar_more: &str) -> (TestEnv, Link) {
    let mut env = TestEnv::with_config(primary_more, sidecar_more);
    let path = env.path().join("link.sock");
    env.replace_in_file("sidegate.toml", &env.primary_socket().display().to_string(), &path.display().to_string());
    env.start_primary();
    env.apply(&directory_of_keys(9));
    let link = Link::start(&path, &env.primary_socket());
    (env, link)
}

fn follow(env: &mut TestEnv) {
    env.start_sidecar();
    env.wait_until_fresh();
}

/// The same with a host that follows with these limits of keys, reads and push pre-checks, of which it has acknowledged the largest.
fn following_with_bound(keys: &str, reads: &str, push_precheck: &str, seconds: u64) -> (TestEnv, Link) {
    let limits = format!("[freshness]\nkeys = {{ {keys} }}\nreads = {{ {reads} }}\npush_precheck = {{ {push_precheck} }}\n");
    let (mut env, link) = prepared("", &limits);
    follow(&mut env);
    env.wait_for("the acknowledgement", || hosts(&env)[0]["acked"]["max_stale"] == seconds);
    (env, link)
}

/// Runs a command of the operator's; its exit status and what it printed.
fn admin(env: &TestEnv, words: &[&str]) -> (Option<i32>, String) {
    let output = env.run_admin(words);
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

fn hosts(env: &TestEnv) -> Vec<Value> {
    let body = Request::get("/-/admin/hosts").send(&env.primary_socket()).json();
    body["hosts"].as_array().unwrap().clone()
}

fn kill_primary(env: &mut TestEnv) {
    env.primary.as_mut().unwrap().kill();
}

fn restart_sidecar(env: &mut TestEnv) {
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    env.start_sidecar();
}

/// Lets the host answer for keys for 20 h, and starts it anew.
fn raise_bound_of_keys(env: &mut TestEnv, ttl: &str, before: &str) {
    let limits = |max_stale: &str| format!("keys = {{ ttl = \"{ttl}\", max_stale = \"{max_stale}\" }}");
    env.replace_in_file("sidegate.toml", &limits(before), &limits("20h"));
    restart_sidecar(env);
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn confirmed_bound(env: &TestEnv) -> Option<u64> {
    env.status()["follower"]["confirmed_max_stale_seconds"].as_u64()
}

#[test]
fn a_primary_that_is_killed_after_a_host_s_first_line_waits_for_that_host() {
    let (mut env, link) = prepared("", "");
    follow(&mut env);
    kill_primary(&mut env);
    link.cut();
    env.start_primary();
    let (code, text) = admin(&env, &["revoke-key", "3", "--wait=1"]);
    assert_eq!(look_up_key(&env, 3).status, 200, "it is cut off and does not know");
    assert_eq!(code, NOT_EVERYWHERE, "{text}");
    assert!(text.contains("not confirmed by ssh-1: it may accept the key until 20"), "{text}");
}

#[test]
fn a_bound_that_a_host_has_raised_is_known_after_the_primary_was_killed() {
    let (mut env, _link) = following_with_bound("ttl = \"5s\", max_stale = \"10s\"", "max_stale = \"10s\"", "max_stale = \"10s\"", 10);
    raise_bound_of_keys(&mut env, "5s", "10s");
    env.wait_for("the larger bound to be used", || env.status()["freshness"]["keys"]["max_stale_seconds"] == 72_000);
    kill_primary(&mut env);
    env.sidecar.as_mut().unwrap().kill();
    env.start_primary();
    let host = hosts(&env).remove(0);
    let until: Time = host["until"].as_str().unwrap().parse().unwrap();
    assert!(host["host"] == "ssh-1" && until > clock::wall_time().plus(Duration::from_secs(70_000)), "{host}");
    assert_eq!(host["max_stale"], 72_000);
}

#[test]
fn a_larger_bound_is_not_used_before_the_primary_has_it() {
    let bounds = "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"2s\" }\nreads = { ttl = \"1s\", max_stale = \"2s\" }\n\
                  push_precheck = { ttl = \"1s\", max_stale = \"2s\" }\n";
    let (mut env, _link) = prepared("", bounds);
    follow(&mut env);
    env.wait_for("the bound to be stored", || env.path().join("sidecar/confirmed-bound").exists());
    kill_primary(&mut env);
    raise_bound_of_keys(&mut env, "1s", "2s");
    assert_eq!((confirmed_bound(&env), &env.status()["follower"]["max_stale_seconds"]), (Some(2), &json!(72_000)));
    env.wait_for("the old bound to pass", || look_up_key(&env, 3).status == 424);
    let (status, code) = env.status_screen();
    assert!(status.contains("has not confirmed the largest max_stale of 20 h yet") && code == Some(2), "{status}");
    env.start_primary();
    env.wait_for("the larger bound to be confirmed", || confirmed_bound(&env) == Some(72_000));
    env.wait_until_fresh();
    assert_eq!(hosts(&env)[0]["max_stale"], 72_000);
}

#[test]
fn the_largest_bound_of_all_classes_counts_rounded_up() {
    let short = "ttl = \"1s\", max_stale = \"2s\"";
    let (env, link) = following_with_bound(short, "max_stale = \"90500ms\"", short, 91);
    link.cut();
    env.wait_for("the keys' bound to pass", || look_up_key(&env, 3).status == 424);
    let (code, text) = admin(&env, &["block-user", "person-1", "--wait=1"]);
    assert_eq!(code, NOT_EVERYWHERE, "it still answers reads: {text}");
}

#[test]
fn a_host_whose_bound_is_too_long_gets_no_feed_and_says_why() {
    let (mut env, _link) =
        prepared("[sync]\nlongest_max_stale = \"1h\"\n", "[freshness]\nkeys = { max_stale = \"2h\" }\nreads = { max_stale = \"1h\" }\n");
    env.start_sidecar();
    env.wait_for("the alarm", || env.status()["follower"]["alarms"].to_string().contains("sync.longest_max_stale"));
    let status = env.status();
    let message = status["follower"]["alarms"].to_string();
    assert!(message.contains("up to 7200 s") && message.contains("longer than the 3600 s"), "{message}");
    assert_eq!(status["follower"]["alarms"][0]["alarm"], "forbidden");
    assert!(env.logs().contains("refused the feed to host ssh-1"), "{}", env.logs());
    env.replace_in_file("sidegate.toml", "keys = { max_stale = \"2h\" }", "keys = { max_stale = \"1h\" }");
    restart_sidecar(&mut env);
    env.wait_until_fresh();
    assert_eq!(env.status()["follower"]["alarms"], json!([]));
}

/// Starts a second host under the name of the first, without the link.
fn start_namesake(env: &TestEnv) -> Daemon {
    let at = env.path().display().to_string();
    let text = fs::read_to_string(env.path().join("sidegate.toml")).unwrap();
    let text = text.replace(&format!("{at}/api.sock"), &format!("{at}/second.sock"));
    let text = text.replace(&format!("{at}/sidecar"), &format!("{at}/second")).replace("link.sock", "primary.sock");
    env.write("second.toml", &text);
    env.start_daemon("serve", "second.toml")
}

#[test]
fn a_second_host_that_takes_the_name_of_one_cut_off_says_nothing_for_it() {
    let (mut env, link) = prepared("", "");
    follow(&mut env);
    env.wait_for("the acknowledgement", || hosts(&env)[0]["acked"]["instance"].is_string());
    let first = hosts(&env)[0]["acked"]["instance"].as_str().unwrap().to_owned();
    link.cut();
    let _second = start_namesake(&env);
    let ask_second = || lookup_request(&key_blob(3)).send(&env.path().join("second.sock"));
    env.wait_for("the second to follow", || ask_second().header("x-sidegate-answer") == Some("local"));
    let (code, text) = admin(&env, &["revoke-key", "3", "--wait=5"]);
    assert_eq!((look_up_key(&env, 3).status, ask_second().status), (200, 404));
    assert_eq!(code, NOT_EVERYWHERE, "{text}");
    assert!(text.contains(&format!("instance {first}")) && !text.contains("in force on ssh-1"), "{text}");
    assert_eq!(env.status()["follower"]["instance"], first, "the host says itself which it is");
    let listed = hosts(&env);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed.iter().all(|host| host["alarm"].as_str().unwrap().starts_with("two hosts use this name")), "{listed:?}");
    let metrics = Request::get("/-/metrics").send(&env.primary_socket()).text();
    for name in ["sidegate_alarms", "sidegate_alarms_raised_total"] {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name}{{kind=\"shared_host_name\"}} ")));
        assert!(line.is_some_and(|value| value != "0"), "{name} in {metrics}");
    }
    let (code, text) = admin(&env, &["forget-host", "ssh-1", "--instance", &first]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = admin(&env, &["revoke-key", "4", "--wait=5"]);
    assert!(code == Some(0) && text.contains("in force on ssh-1"), "the operator says that the first is no more: {text}");
}

#[test]
fn a_host_whose_store_is_a_copy_answers_nothing_from_it_before_the_primary_knows_it() {
    let (mut env, _link) = prepared("", "");
    follow(&mut env);
    env.wait_for("the bound to be stored", || env.path().join("sidecar/confirmed-bound").exists());
    let first = hosts(&env)[0]["instance"].clone();
    let (store, backup) = (env.path().join("sidecar"), env.path().join("backup"));
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    copy(&store, &backup);
    env.start_sidecar();
    env.wait_until_fresh();
    assert_eq!(admin(&env, &["revoke-key", "3", "--wait"]).0, Some(0));
    kill_primary(&mut env);
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    copy(&backup, &store);
    env.start_sidecar();
    env.wait_for("the copy to be opened", || env.status()["follower"]["counts"]["key"] == 9);
    assert_eq!(look_up_key(&env, 3).status, 424, "the store that was copied has confirmed that this key is revoked");
    env.start_primary();
    env.wait_until_fresh();
    assert_eq!((look_up_key(&env, 3).status, look_up_key(&env, 4).status), (404, 200));
    let listed = hosts(&env);
    assert!(listed.len() == 2 && listed.iter().any(|host| host["instance"] == first), "{listed:?}");
}

#[test]
fn a_primary_restored_from_before_a_host_came_does_not_say_everywhere() {
    let (mut env, link) = prepared("", "");
    let (store, backup) = (env.path().join("primary"), env.path().join("backup"));
    assert!(env.primary.as_mut().unwrap().stop().success());
    copy(&store, &backup);
    env.start_primary();
    follow(&mut env);
    kill_primary(&mut env);
    link.cut();
    copy(&backup, &store);
    env.start_primary();
    let (code, text) = admin(&env, &["revoke-key", "3", "--wait=1"]);
    assert_eq!(look_up_key(&env, 3).status, 200, "it is cut off, and the primary has never heard of it");
    assert_eq!(code, NOT_EVERYWHERE, "{text}");
    assert!(text.contains("hosts that this primary does not know may answer without it until 20"), "{text}");
    // It is known after another kill as well.
    kill_primary(&mut env);
    env.start_primary();
    assert_eq!(admin(&env, &["revoke-key", "4", "--wait=1"]).0, NOT_EVERYWHERE);
}

#[test]
fn after_a_new_epoch_no_revocation_is_everywhere_before_the_longest_bound_has_passed() {
    let bounds = "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"2s\" }\nreads = { ttl = \"1s\", max_stale = \"2s\" }\n\
                  push_precheck = { ttl = \"1s\", max_stale = \"2s\" }\n";
    let (mut env, _link) = prepared("[sync]\nlongest_max_stale = \"12s\"\n", bounds);
    follow(&mut env);
    assert_eq!(admin(&env, &["revoke-key", "3", "--wait"]).0, Some(0));
    let (code, text) = admin(&env, &["new-epoch"]);
    assert!(code == Some(0) && text.contains("a new epoch was begun"), "{text}");
    env.wait_for("the host to follow the new epoch", || hosts(&env)[0]["connected"] == true && hosts(&env)[0]["lag"] == 0);
    assert!(env.primary_status()["missing_hosts"]["until"].is_string());
    let (code, text) = admin(&env, &["revoke-key", "4", "--wait=5"]);
    assert!(code == NOT_EVERYWHERE && text.contains("in force on ssh-1"), "{text}");
    kill_primary(&mut env);
    env.start_primary();
    assert!(env.primary_status()["missing_hosts"]["until"].is_string(), "it is on disk");
    env.wait_for("the longest bound to pass", || env.primary_status()["missing_hosts"].is_null());
    env.wait_until_fresh();
    let (code, text) = admin(&env, &["revoke-key", "5", "--wait"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_host_that_is_cut_off_counts_until_its_bound_has_passed_also_after_a_restart() {
    let bounds = "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"4s\" }\nreads = { ttl = \"1s\", max_stale = \"4s\" }\n\
                  push_precheck = { ttl = \"1s\", max_stale = \"4s\" }\n";
    let (mut env, link) = prepared("", bounds);
    follow(&mut env);
    link.cut();
    env.wait_for("the stream to end", || hosts(&env)[0]["connected"] == false);
    let (code, _) = admin(&env, &["revoke-key", "3", "--wait=1"]);
    assert_eq!(code, NOT_EVERYWHERE);
    assert!(env.primary.as_mut().unwrap().stop().success());
    env.start_primary();
    env.wait_for("the host to lapse", || hosts(&env)[0]["lapsed"] == true);
    assert_eq!(look_up_key(&env, 3).status, 424, "no earlier than the host itself refuses");
    let (code, text) = admin(&env, &["revoke-key", "4", "--wait=1"]);
    assert!(code == Some(0) && text.contains("in force on ssh-1"), "{text}");
}

/// Asks for changes in the name of a host that has not followed yet. Returns the status of the answer; the stream ends at once.
fn changes_status(env: &TestEnv, head: &Value, number: u32) -> u16 {
    let text = |name: &str| head[name].to_string().trim_matches('"').to_owned();
    let (epoch, seq, digest) = (text("epoch"), text("seq"), text("digest"));
    let target = format!("/api/v4/internal/sidegate/changes?epoch={epoch}&after={seq}&digest={digest}&instance=i{number}&max_stale=60");
    let token = env.sync_token(&format!("host-{number}"));
    let mut stream = UnixStream::connect(env.primary_socket()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: unix\r\nSidegate-Sync-Request: {token}\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn on_a_full_disk_no_host_gets_a_line_that_the_primary_would_forget() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("primary"), 16 << 10) else { return };
    env.start_primary();
    env.apply(&directory_of_keys(9));
    follow(&mut env);
    let head = env.primary_status()["head"].clone();
    disk.fill();
    let mut followed = vec!["ssh-1".to_owned()];
    let refused = (0..4000).find(|number| match changes_status(&env, &head, *number) {
        200 => {
            followed.push(format!("host-{number}"));
            false
        }
        other => {
            assert_eq!(other, 503, "host {number}\n{}", env.logs());
            true
        }
    });
    let refused = refused.expect("the disk is full, so at some time no host can be stored any more");
    assert_eq!(changes_status(&env, &head, refused), 503, "and not later either");
    kill_primary(&mut env);
    disk.free_space();
    env.start_primary();
    let known: BTreeSet<String> = hosts(&env).iter().map(|host| host["host"].as_str().unwrap().to_owned()).collect();
    let forgotten: Vec<&String> = followed.iter().filter(|host| !known.contains(*host)).collect();
    assert!(forgotten.is_empty(), "{} of {} are forgotten: {forgotten:?}", forgotten.len(), followed.len());
    eprintln!("{} hosts followed before the disk was full", followed.len());
    env.wait_until_fresh();
}
