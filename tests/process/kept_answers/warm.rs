//! `sidegate warm`: a new host is useful in an outage of GitLab from its first minute.

use std::process::Output;

use serde_json::{Value, json};

use crate::kept_answers::gitlab::{Site, discover, look_up, pull};
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;
use crate::support::http::Request;

const FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\n";

/// Runs `sidegate warm` with a file; gives how it ended.
fn warm(env: &TestEnv, file: &str, text: &str, words: &[&str]) -> Output {
    env.write(file, text);
    let (path, socket) = (env.path().join(file), env.sidecar_socket());
    let fixed = ["warm", path.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    env.run_sidegate(&[&fixed[..], words].concat())
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn managed_line(id: u64) -> String {
    format!(
        "command=\"/opt/gitlab/embedded/service/gitlab-shell/bin/gitlab-shell key-{id}\",no-port-forwarding,no-X11-forwarding,\
         no-agent-forwarding,no-pty ssh-ed25519 {}\n",
        key_blob(id)
    )
}

fn directory_file(ids: std::ops::RangeInclusive<u64>) -> String {
    let users = ids.clone().map(|id| json!({"kind": "user", "id": id, "username": format!("person-{id}"), "name": "Person"}));
    let keys = ids.map(|id| {
        json!({"kind": "key", "id": id, "user_id": id, "title": "key", "key": format!("ssh-ed25519 {}", key_blob(id)),
            "created_at": "2020-01-01T00:00:00.000Z"})
    });
    let settings = json!({"kind": "settings", "host": "git.example"});
    [settings].into_iter().chain(users).chain(keys).map(|record| format!("{record}\n")).collect()
}

#[test]
fn a_host_that_was_warmed_answers_in_an_outage_and_asks_first_while_there_is_none() {
    let mut site = Site::start(FRESH);
    let output = warm(&site.env, "directory.jsonl", &directory_file(7..=9), &["--age", "0s"]);
    assert_eq!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(printed(&output).contains("6 of 7 lines taken"), "{}", printed(&output));
    let status = site.env.status();
    assert_eq!((&status["kept"]["answers"], &status["kept"]["warmed"]), (&json!(12), &json!(12)), "{status}");
    assert_eq!((site.source(&look_up(8)), site.take_questions()), ("forwarded".to_owned(), 1), "never fresh");
    assert_eq!(site.env.status()["kept"]["warmed"], 11, "what GitLab has said takes its place");
    site.wait_until_flushed();
    site.kill_and_restart();
    site.fail();
    for question in [look_up(7), discover(7), Request::get("/api/v4/internal/discover?username=person-7")] {
        assert_eq!(site.source(&question), "cached degraded");
    }
    let expected = json!({"id": 7, "title": "key", "created_at": "2020-01-01T00:00:00.000Z", "expires_at": null,
        "key": format!("ssh-ed25519 {} Person (git.example)", key_blob(7)), "usage_type": "auth_and_signing"});
    assert_eq!(site.ask(&look_up(7)).json(), expected);
    assert_eq!(site.source(&look_up(8)), "cached", "GitLab's own");
    assert_eq!(site.source(&pull(7, "g/p")), "424", "a file of keys allows nothing");
    let metrics = site.ask(&Request::get("/-/metrics")).text();
    assert!(metrics.contains("sidegate_kept_warmed_answers 11"), "{metrics}");
}

#[test]
fn of_authorized_keys_each_line_is_accounted_for() {
    let site = Site::start(FRESH);
    let text = format!("{}######\n{}{}ssh-ed25519 {}\n", managed_line(7), managed_line(8), managed_line(7), key_blob(9));
    let output = warm(&site.env, "authorized_keys", &text, &["--age", "30m"]);
    assert_eq!(output.status.code(), Some(3), "a line was refused: {}", printed(&output));
    for line in [
        "line 4: duplicate of line 1",
        "line 5: refused: it does not begin with command=",
        "2 of 5 lines taken, 1 duplicates, 1 left out, 1 refused; 2 answers kept",
        "1800 s old and stale",
    ] {
        assert!(printed(&output).contains(line), "{line} is not in\n{}", printed(&output));
    }
    site.fail();
    let answer = site.ask(&look_up(7));
    let expected =
        json!({"id": 7, "title": "key-7", "created_at": null, "expires_at": null, "key": format!("ssh-ed25519 {}", key_blob(7))});
    assert_eq!(answer.json(), expected);
    assert!(answer.header("x-sidegate-age").unwrap().parse::<u64>().unwrap() >= 1800);
    assert_eq!(site.source(&look_up(9)), "424");
    let explained: Value = serde_json::from_str(&site.run(&["explain", "--key", &key_blob(7), "--json"])).unwrap();
    assert!(explained["facts"].to_string().contains("from a file that was loaded"), "{explained}");
}

#[test]
fn what_gitlab_said_here_is_not_overruled_by_a_file() {
    // Its no is forgotten at once as an answer, and still stands against a file.
    let site = Site::start(&format!("{FRESH}negative_ttl = \"0s\"\n"));
    assert_eq!(site.source(&look_up(7)), "forwarded");
    site.facts().keys.remove(&8);
    assert_eq!(site.source(&look_up(8)), "forwarded 404");
    let output = warm(&site.env, "authorized_keys", &[7, 8, 9].map(managed_line).concat(), &["--age", "30m"]);
    let said = "1 answers kept, 1 that are younger here left as they are, 1 not kept because the primary has said no";
    assert!(printed(&output).contains(said), "{}", printed(&output));
    assert_eq!(site.source(&look_up(7)), "cached", "its own age and body stay");
    site.fail();
    assert_eq!(site.source(&look_up(9)), "cached degraded");
}

#[test]
fn a_file_that_is_too_old_or_has_no_age_warms_nothing() {
    let site = Site::start(FRESH);
    let output = warm(&site.env, "authorized_keys", &managed_line(7), &["--age", "3h"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("`freshness.keys.max_stale` is 7200 s"), "{}", printed(&output));
    let output = warm(&site.env, "authorized_keys", &managed_line(7), &["--age", "soon"]);
    assert!(printed(&output).contains("is not a duration"), "{}", printed(&output));
    let socket = site.env.sidecar_socket();
    let output = site.env.run_sidegate(&["warm", "-", "--socket", socket.to_str().unwrap()]);
    assert!(printed(&output).contains("--age 2h"), "{}", printed(&output));
    assert_eq!(site.env.status()["kept"]["answers"], 0);
    let output = warm(&site.env, "authorized_keys", &managed_line(7), &[]);
    assert_eq!(output.status.code(), Some(0), "as old as the file: {}", printed(&output));
}

#[test]
fn a_host_that_follows_a_feed_is_not_warmed() {
    let mut env = TestEnv::new();
    env.start_sidecar();
    let output = warm(&env, "authorized_keys", &managed_line(7), &["--age", "1m"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("this host follows a feed"), "{}", printed(&output));
}
