//! What an operator sees of kept answers and does with them; bounds, refreshing, and a database that is damaged.

use std::fs;

use serde_json::{Value, json};

use crate::explain::explain;
use crate::kept_answers::gitlab::{Site, discover, look_up, pull, push};
use crate::support::generated_directory::key_blob;
use crate::support::small_disk::SmallDisk;

const FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1h\", max_stale = \"2h\" }\n";

fn kept(site: &Site) -> Value {
    site.env.status()["kept"].clone()
}

#[test]
fn invalidate_removes_what_is_kept_of_a_key_a_user_a_project_or_all() {
    let site = Site::start(FRESH);
    let blob = key_blob(7);
    for (words, removed) in [
        (&["key", "7"][..], 4),
        (&["key", &blob], 4),
        (&["user", "7"], 4),
        (&["user", "Person-7"], 4),
        (&["project", "9"], 4),
        (&["project", "/G/p.git"], 4),
        (&["project", "g/other"], 0),
        (&["all"], 8),
    ] {
        for key in [7, 8] {
            for question in [look_up(key), discover(key), pull(key, "g/p"), push(key, "g/p")] {
                assert_eq!(site.ask(&question).status, 200);
            }
        }
        let printed = site.run(&[&["invalidate"], words].concat());
        assert!(printed.starts_with(&format!("removed {removed} kept answers")), "{words:?}: {printed}");
        assert_eq!(kept(&site)["answers"], 8 - removed, "{words:?}");
    }
    assert_eq!(kept(&site)["evictions"]["operator"], 32);
}

#[test]
fn status_metrics_and_explain_show_what_is_kept() {
    let site = Site::start(FRESH);
    for question in [look_up(7), look_up(7), look_up(7), look_up(999), look_up(999), pull(7, "g/p")] {
        site.ask(&question);
    }
    let status = kept(&site);
    assert_eq!((&status["answers"], &status["unknown_keys"], &status["store"]["state"]), (&json!(2), &json!(1), &json!("open")));
    let keys = json!({"answers": 1, "fresh": 2, "stale": 0, "unknown": 1, "asked": 2, "hit_rate": 0.6});
    assert_eq!(status["questions"]["authorized_keys"], keys);
    let printed = site.run(&["status"]);
    assert!(
        printed.contains("kept: 2 of 1000000 answers") && printed.contains("authorized_keys: 1 kept, 60.0 % of 5 look-ups"),
        "{printed}"
    );
    for part in [
        "serving: fresh, asking GitLab, 0 alarms\n",
        "GitLab: answers, its last answer came ",
        "  on disk: open; ",
        "; 0 answers were not written",
    ] {
        assert!(printed.contains(part), "{part} is not in\n{printed}");
    }
    for part in ["following", " from now", "feed"] {
        assert!(!printed.contains(part), "no directory is followed: {part} is in\n{printed}");
    }
    let metrics = site.ask(&crate::support::http::Request::get("/-/metrics")).text();
    for line in [
        "sidegate_kept_answers 2.0",
        "sidegate_kept_lookups_total{question=\"authorized_keys\",outcome=\"fresh\"} 2",
        "sidegate_kept_lookups_total{question=\"authorized_keys\",outcome=\"unknown\"} 1",
        "sidegate_kept_evictions_total{reason=\"room\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let explained = site.run(&["explain", "--key-id", "7", "--project", "g/p", "--json"]);
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert_eq!((&explained["verdict"], &explained["steps"][1]["decided_by"]), (&json!("yes"), &json!("kept_answer")), "{explained}");
    assert_eq!(explained["key"]["id"], 7, "{explained}");
    let explained = site.run(&["explain", "--key", &key_blob(8)]);
    assert!(explained.contains("no answer about who this is is kept that may be given") && explained.contains("asked now"), "{explained}");
    site.ask(&look_up(998));
    let explained = explain(&site.env, "feed none: a key that GitLab did not know a moment ago", &["--key", &key_blob(998)]);
    assert_eq!((explained.code, &explained.json["steps"][0]["decided_by"]), (1, &json!("kept_answer")), "{}", explained.screen);
    let fingerprint = explain(&site.env, "feed none: kept", &["--key", &key_blob(7), "--project", "g/p"]);
    assert!(fingerprint.code == 0 && fingerprint.screen.contains("the primary answers `allowed` with yes (200)"), "{}", fingerprint.screen);
    let fingerprint = fingerprint.json["key"]["fingerprint"].as_str().unwrap().to_owned();
    let by_logs = explain(&site.env, "feed none: by the fingerprint of the logs", &["--fingerprint", &fingerprint, "--project", "g/p"]);
    assert_eq!((by_logs.code, &by_logs.json["key"]["id"]), (0, &json!(7)), "{}", by_logs.screen);
    for (command, code) in [("verify", 2), ("resync", 1)] {
        let output = site.env.run_sidegate(&[command, "--socket", site.env.sidecar_socket().to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && error.contains("follows no feed"), "{command}: {error}");
    }
    let removed = site.run(&["invalidate", "key", &fingerprint]);
    assert!(removed.starts_with("removed 2 kept answers") && removed.contains("the primary is asked at the next question"), "{removed}");
    let stranger = explain(&site.env, "feed none: a fingerprint that is not kept", &["--fingerprint", &"A".repeat(43)]);
    assert_eq!(stranger.code, 2, "{}", stranger.screen);
    assert!(!site.env.logs().contains("secret-of-gitaly"));
}

#[test]
fn one_answer_more_than_there_are_places_costs_the_one_that_was_used_longest_ago_also_on_disk() {
    let mut site = Site::start(FRESH);
    site.env.replace_in_file("sidegate.toml", "[store]\n", "[store]\nkept_answers = 200\n");
    site.restart();
    (1..=50).for_each(|key| drop(site.ask(&look_up(key))));
    for key in 1..=40 {
        for project in 0..4 {
            site.ask(&pull(key, &format!("g/p{project}")));
        }
    }
    let status = kept(&site);
    assert_eq!((&status["answers"], &status["evictions"]["room"]), (&json!(130), &json!(0)), "{status}");
    assert_eq!(status["evictions"]["share"], 80, "one actor holds a hundredth: {status}");
    site.restart();
    assert_eq!(kept(&site)["answers"], 130);
}

#[test]
fn what_was_used_is_asked_for_again_before_it_is_too_old_and_what_was_not_is_not() {
    let site = Site::start("[freshness]\nkeys = { ttl = \"2s\", max_stale = \"2h\" }\n");
    [look_up(7), look_up(8), look_up(8)].iter().for_each(|question| drop(site.ask(question)));
    site.env.wait_for("the answer that is used on another occasion to be asked for again", || {
        let is_old = kept(&site)["oldest_seconds"].as_f64().is_some_and(|age| age > 0.3);
        if is_old && kept(&site)["refreshes"] == 0 {
            site.ask(&look_up(7));
        }
        kept(&site)["refreshes"] == 1
    });
    site.env.wait_for("that question", || site.fake.as_ref().unwrap().count() == 3);
    let asked = site.fake.as_ref().unwrap().take_requests();
    let about = |key: u64| {
        asked.iter().filter(|asked| asked.request_line.contains(&crate::support::generated_directory::query_encode(&key_blob(key)))).count()
    };
    assert_eq!((about(7), about(8)), (2, 1));
}

#[test]
fn a_push_is_not_asked_for_again_by_itself_since_the_question_may_create_its_project() {
    let class = "{ ttl = \"2s\", max_stale = \"2h\" }";
    let site = Site::start(&format!("[freshness]\nreads = {class}\npush_precheck = {class}\n"));
    [push(7, "g/p"), pull(7, "g/p")].iter().for_each(|question| drop(site.ask(question)));
    site.env.wait_for("both to be old enough for another occasion", || kept(&site)["oldest_seconds"].as_f64().is_some_and(|age| age > 0.4));
    [push(7, "g/p"), pull(7, "g/p")].iter().for_each(|question| drop(site.ask(question)));
    site.env.wait_for("the pull to be asked for again", || kept(&site)["refreshes"] == 1);
    site.env.wait_for("the push to be too old", || kept(&site)["oldest_seconds"].as_f64().is_some_and(|age| age > 2.0));
    let asked = site.fake.as_ref().unwrap().take_requests();
    let of = |action: &str| asked.iter().filter(|asked| asked.body.contains(action)).count();
    assert_eq!((of("git-receive-pack"), of("git-upload-pack")), (1, 2));
}

#[test]
fn a_damaged_database_is_put_aside_and_nobody_is_refused() {
    let mut site = Site::start(FRESH);
    site.ask(&look_up(7));
    site.wait_until_flushed();
    site.env.sidecar.as_mut().unwrap().stop();
    let database = site.env.path().join("sidecar/kept/database");
    for file in fs::read_dir(&database).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file()) {
        let length = fs::metadata(&file).unwrap().len();
        fs::write(&file, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    }
    site.env.start_sidecar();
    assert_eq!(site.source(&look_up(7)), "forwarded");
    site.env.wait_for("the store", || kept(&site)["store"]["state"] == "open");
    assert_eq!(kept(&site)["store"]["quarantined"], 1);
    assert!(site.env.path().join("sidecar/kept/quarantine").exists());
    site.wait_until_flushed();
    site.restart();
    assert_eq!(site.source(&look_up(7)), "cached", "keeping goes on");
}

#[test]
fn a_second_daemon_is_refused_the_folder() {
    let site = Site::start(FRESH);
    let config = fs::read_to_string(site.env.path().join("sidegate.toml")).unwrap();
    site.env.write("second.toml", &config.replace("api.sock", "second.sock"));
    let said = site.env.start_expecting_failure("serve", "second.toml");
    assert!(said.contains("uses this store") && said.contains("LOCK"), "{said}");
}

#[test]
fn on_a_full_disk_nothing_that_was_taken_back_returns_after_a_restart_and_keeping_goes_on_in_memory() {
    let always_asked = format!("{}negative_ttl = \"0s\"\n", FRESH.replacen("1h", "1ms", 1));
    let started = Site::start_in(&always_asked, |env| SmallDisk::mount(&env.path().join("sidecar"), 8 << 10));
    let Some((mut site, disk)) = started else { return };
    (1..=50).for_each(|key| drop(site.ask(&look_up(key))));
    site.wait_until_flushed();
    disk.fill();
    let is_in_memory = |site: &Site| kept(site)["store"]["state"].as_str().unwrap().starts_with("in memory only");
    let mut project = 0;
    while !is_in_memory(&site) {
        assert!(project < 20_000, "the disk never fills: {}", kept(&site));
        (0..50).for_each(|key| drop(site.ask(&pull(1 + key, &format!("g/p{project}-{key}")))));
        (project, _) = (project + 50, site.wait_until_flushed());
    }
    site.facts().keys.remove(&7);
    site.env.wait_for("the no", || site.source(&look_up(7)) == "forwarded 404");
    assert_eq!(site.source(&look_up(8)), "forwarded");
    site.fail();
    assert_eq!((site.source(&look_up(7)), site.source(&look_up(8))), ("424".to_owned(), "cached degraded".to_owned()));
    site.env.sidecar.as_mut().unwrap().kill();
    disk.free_space();
    site.env.start_sidecar();
    site.fail();
    assert_eq!(site.source(&look_up(7)), "424");
    site.recover();
    site.ask(&look_up(8));
    site.env.wait_for("it to be on disk", || kept(&site)["store"]["state"] == "open" && kept(&site)["store"]["pending"] == 0);
    site.kill_and_restart();
    assert_eq!(kept(&site)["answers"], 1);
}

#[test]
fn kept_answers_about_access_are_counted_and_beyond_the_limit_of_a_minute_refused_with_gitlabs_sentence() {
    let mut site = Site::start("[freshness]\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n");
    site.env.replace_in_file("sidegate.toml", "feed = \"none\"", "feed = \"none\"\noperations_per_minute = 3");
    site.restart();
    let asked = pull(7, "g/p");
    assert_eq!(site.source(&asked), "forwarded");
    let answers: Vec<_> = (0..9).map(|_| site.ask(&asked)).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    // A minute may end in between, and another begin.
    assert!((3..=6).contains(&refused.len()), "{answers:?}");
    for answer in refused {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json(), json!({"status": false, "message": "This endpoint has been requested too many times. Try again later."}));
    }
    for other in [pull(8, "g/p"), pull(7, "g/other"), look_up(7)] {
        assert_eq!([site.source(&other), site.source(&other)], ["forwarded", "cached"], "others are not refused");
    }
    assert_eq!(site.take_questions(), 4, "beyond the limit the GitLab is not asked either");
}
