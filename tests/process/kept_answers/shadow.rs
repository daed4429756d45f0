//! Shadow mode: GitLab is asked for everything and its answer is given; what is kept is only compared with it.

use serde_json::{Value, json};

use crate::kept_answers::gitlab::{Site, certificate, discover, look_up, pull, push};
use crate::support::http::Request;

const FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1h\", max_stale = \"2h\" }\nnegative_ttl = \"60s\"\n";
const STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";

/// A site in shadow mode.
fn shadow_site(config: &str) -> Site {
    let mut site = Site::start(config);
    site.env.replace_in_file("sidegate.toml", "feed = \"none\"", "feed = \"none\"\nshadow = true");
    site.restart();
    site
}

fn shadow(site: &Site, question: &str) -> Value {
    site.env.status()["kept"]["shadow"][question].clone()
}

fn questions() -> [(&'static str, Request); 5] {
    [
        ("authorized_keys", look_up(7)),
        ("discover", discover(7)),
        ("pull", pull(7, "g/p")),
        ("push", push(7, "g/p")),
        ("authorized_certs", certificate()),
    ]
}

#[test]
fn gitlab_is_asked_each_time_and_the_status_says_what_a_switch_would_save() {
    let site = shadow_site(FRESH);
    for (name, question) in questions() {
        for round in 0..4 {
            assert_eq!((site.source(&question), site.take_questions()), ("forwarded".to_owned(), 1), "{name}, {round}");
        }
        let counts = shadow(&site, name);
        if name == "authorized_certs" {
            assert_eq!((&counts["answered"], &counts["asked"]), (&json!(0), &json!(4)), "{counts}");
            assert_eq!(counts["ages"]["hedged"], json!({"agrees": 3, "differs": 0}), "{counts}");
        } else {
            assert_eq!((&counts["answered"], &counts["asked"], &counts["hit_rate"]), (&json!(3), &json!(1), &json!(0.75)), "{name}");
            assert_eq!(counts["ages"]["fresh"], json!({"agrees": 3, "differs": 0}), "{name}: {counts}");
        }
        assert_eq!((&counts["agreement"], &counts["differs"]), (&json!(1.0), &json!(0)), "{name}");
    }
    let printed = site.run(&["status"]);
    for line in [
        "shadow mode: the primary is asked for everything",
        "pull: 75.00 % of 4 questions would have been answered without asking; 100.00 % agree with the primary (fresh 3 of 3)",
        "keys: shadow, each answer by its own age; after a switch given without asking up to 1 h",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    let explained = site.run(&["explain", "--key-id", "7", "--project", "g/p"]);
    assert!(explained.contains("kept and not given: this host runs in shadow mode"), "{explained}");
    let metrics = site.ask(&Request::get("/-/metrics")).text();
    for line in [
        "sidegate_shadow_questions_total{question=\"pull\",choice=\"answered\"} 3",
        "sidegate_shadow_comparisons_total{question=\"pull\",age=\"fresh\",outcome=\"agrees\"} 3",
        "sidegate_kept_lookups_total{question=\"pull\",outcome=\"fresh\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn an_answer_that_would_have_been_another_is_counted_and_logged_without_secrets() {
    let site = shadow_site(FRESH);
    for (_, question) in questions() {
        site.ask(&question);
    }
    site.ask(&look_up(999));
    site.facts().expires_at = json!("2099-01-01T00:00:00Z");
    assert_eq!(site.source(&look_up(7)), "forwarded");
    site.facts().hidden.insert("g/p".to_owned());
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 404");
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 404", "a no took back what was kept");
    site.facts().keys.insert(999);
    assert_eq!(site.source(&look_up(999)), "forwarded");
    let (keys, pulls) = (shadow(&site, "authorized_keys"), shadow(&site, "pull"));
    assert_eq!(keys["ages"]["fresh"], json!({"agrees": 0, "differs": 1}), "another end: {keys}");
    assert_eq!(keys["ages"]["unknown"], json!({"agrees": 0, "differs": 1}), "a key that was added: {keys}");
    assert_eq!(pulls["ages"]["fresh"], json!({"agrees": 0, "differs": 1}), "{pulls}");
    site.env.wait_for("the log", || site.env.logs().contains("what is kept says no after"));
    let log = site.env.logs();
    for line in [
        "the primary says another `expires_at`",
        "pull of key 7 for \\\"g/p\\\": what is kept says yes after ",
        "the primary says status 404",
        "authorized_keys of SHA256:",
    ] {
        assert!(log.contains(line), "{line} is not in\n{log}");
    }
    assert!(!log.contains("secret-of-gitaly") && !log.contains("AAAAC3"), "{log}");
}

#[test]
fn in_an_outage_nothing_that_is_kept_is_given_and_it_is_counted_what_would_have_been() {
    let mut site = shadow_site(STALE);
    for (_, question) in questions() {
        site.ask(&question);
    }
    site.ask(&Request::get("/api/v4/internal/check"));
    site.wait_until_flushed();
    site.fail();
    for (name, question) in questions() {
        assert_eq!((site.source(&question), site.take_questions()), ("424".to_owned(), 0), "{name}");
        assert_eq!(shadow(&site, name)["outage_answered"], 1, "{name}");
        let message = site.ask(&question).message();
        assert!(message.contains("neither logins nor reads work on this host"), "nothing that is kept is promised: {name}: {message}");
    }
    assert_eq!(site.source(&look_up(8)), "424");
    assert_eq!(shadow(&site, "authorized_keys")["outage_refused"], 1);
    assert_eq!(site.source(&Request::get("/api/v4/internal/check")), "424");
    assert_eq!(site.ask(&Request::get("/-/readiness")).status, 503);
    site.env.replace_in_file("sidegate.toml", "shadow = true", "shadow = false");
    site.restart();
    site.fail();
    for (name, question) in questions() {
        assert_eq!(site.source(&question), "cached degraded", "what was kept in shadow mode is given after the switch: {name}");
    }
}

#[test]
fn shadow_mode_is_refused_where_a_feed_is_followed() {
    let site = Site::start(FRESH);
    let config = std::fs::read_to_string(site.env.path().join("sidegate.toml")).unwrap();
    site.env.write("second.toml", &config.replace("feed = \"none\"", "feed = \"sidegate\"\nshadow = true"));
    let said = site.env.start_expecting_failure("serve", "second.toml");
    assert!(said.contains("`primary.shadow`: compares a GitLab's answers"), "{said}");
}
