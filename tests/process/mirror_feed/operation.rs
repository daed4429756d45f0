//! What an operator sees and does of a followed mirror.

use crate::mirror_feed::{FRESH, Site, source_of};
use crate::support::generated_directory::user_line;
use crate::support::http::Request;

fn run(site: &Site, words: &[&str]) -> String {
    let socket = site.env.sidecar_socket();
    let output = site.env.run_sidegate(&[words, &["--socket", socket.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn status_names_the_feed_what_it_covers_where_it_stands_and_what_was_asked_beside_it() {
    let site = Site::start(3, FRESH);
    assert_eq!([site.look_up(1).status, site.look_up(900).status, site.pull(1).status], [200, 404, 200]);
    let status = site.env.status();
    let feed = &status["feed"];
    assert!(feed["url"].as_str().unwrap().contains("link.sock"), "{feed}");
    assert_eq!(feed["covers"], serde_json::json!(["settings", "user", "key"]), "as a mirror counts that does not say it");
    assert_eq!((feed["misses_asked"].as_u64(), feed["misses_refused"].as_u64()), (Some(1), Some(0)));
    assert!(status["cursor"]["epoch"].is_string() && status["cursor"]["seq"].is_u64(), "{}", status["cursor"]);
    let states = ["keys", "reads", "push_precheck"].map(|class| status["freshness"][class]["state"].clone());
    assert_eq!(states, ["fresh", "kept", "kept"]);
    let text = run(&site, &["status"]);
    let metrics = site.ask(Request::get("/-/metrics")).text();
    for line in [
        "sidegate_feed_misses_total{outcome=\"asked\"} 1",
        "sidegate_feed_misses_total{outcome=\"refused\"} 0",
        "sidegate_kept_not_given_total 0",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    for line in [
        "keys: fresh, ",
        "reads: kept, each answer by its own age",
        "feed: ",
        "link.sock",
        "settings, user, key",
        "1 unknown keys and users asked",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn verify_resync_and_invalidate_work_beside_the_gitlab() {
    let site = Site::start(3, FRESH);
    assert!(run(&site, &["verify"]).contains("equal"));
    let snapshots = site.env.status()["follower"]["counted"]["resyncs"].as_u64().unwrap();
    run(&site, &["resync"]);
    site.env.wait_for("a new generation", || site.env.status()["follower"]["counted"]["resyncs"].as_u64().unwrap() > snapshots);
    assert_eq!(source_of(&site.look_up(1)), "200 local");
    assert_eq!([source_of(&site.pull(1)), source_of(&site.pull(1))], ["200 forwarded", "200 cached"]);
    run(&site, &["invalidate", "key", "1"]);
    assert_eq!(source_of(&site.pull(1)), "200 forwarded");
    let (socket, file) = (site.env.sidecar_socket(), site.env.path().join("directory.jsonl"));
    let refused = site.env.run_sidegate(&["warm", "--socket", socket.to_str().unwrap(), file.to_str().unwrap()]);
    let reason = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && reason.contains("this host follows a feed"), "{reason}");
}

#[test]
fn explain_says_which_side_decides() {
    let site = Site::start(3, FRESH);
    for (words, decides) in
        [(vec!["explain", "--key-id", "1"], "directory"), (vec!["explain", "--key-id", "1", "--project", "group/project-1"], "primary")]
    {
        let text = run(&site, &[&words[..], &["--json"]].concat());
        let explained: serde_json::Value = serde_json::from_str(&text).unwrap();
        let steps = explained["steps"].as_array().unwrap();
        assert_eq!(steps.last().unwrap()["decided_by"], decides, "{words:?}: {text}");
    }
    assert_eq!(site.pull(1).status, 200);
    let text = run(&site, &["explain", "--key-id", "1", "--project", "group/project-1", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["steps"][1]["decided_by"], "kept_answer");
    let unknown = crate::explain::explain(&site.env, "mirror: a key id that nobody has", &["--key-id", "77"]);
    assert_eq!((unknown.code, &unknown.json["steps"][0]["decided_by"]), (1, &serde_json::json!("primary")), "{}", unknown.screen);
}

#[test]
fn check_asks_the_mirror_too() {
    let site = Site::start(3, FRESH);
    let config = site.env.path().join("sidegate.toml");
    let checked = |site: &Site| {
        let output = site.env.run_sidegate(&["check", "--without-sshd", "--config", config.to_str().unwrap()]);
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = checked(&site);
    assert!(code == Some(0) && text.contains("feed: answers, and takes our token") && text.contains("primary: answers"), "{text}");
    site.env.write("sync_secret", "another-sync-secret-of-thirty-2x");
    let (code, text) = checked(&site);
    assert!(code == Some(2) && text.contains("ERROR: feed: refuses our token"), "{text}");
}

#[test]
fn a_rotated_secret_of_the_feed_is_read_again() {
    let mut site = Site::prepare(3, FRESH);
    let feed_secret = site.env.path().join("feed_secret");
    std::fs::copy(site.env.path().join("sync_secret"), &feed_secret).unwrap();
    site.env.replace_in_file("sidegate.toml", "[feed]\n", &format!("[feed]\nsync_secret_file = \"{}\"\n", feed_secret.display()));
    site.start_mirror(3);
    site.env.start_sidecar();
    site.wait_until_followed();
    let other = "another-sync-secret-of-thirty-2x";
    site.env.write("sync_secret", other);
    site.env.primary.as_mut().unwrap().stop();
    site.env.start_primary();
    site.env.wait_for("the mirror to refuse the host", || site.env.status()["follower"]["alarms"][0]["alarm"].is_string());
    site.env.write("feed_secret", other);
    site.publish(&user_line(9));
    let alarms = &site.env.status()["follower"]["alarms"];
    assert_eq!(alarms.as_array().map(Vec::len), Some(0), "{alarms}");
}
