//! A GitLab that suddenly does not know most of the keys that it knew: nobody is logged out by it for `hold`, and the operator is told.

use serde_json::{Value, json};

use crate::explain::explain;
use crate::kept_answers::gitlab::{Mode, Site, discover, look_up, pull};
use crate::support::generated_directory::key_blob;
use crate::support::http::Request;

/// Every question is asked, and a no is not kept.
const STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";
/// A yes in place of GitLab's no.
const GIVEN: &str = "cached degraded";

/// A site where so many keys are known, with a user and access to a project each.
fn site_with(keys: u64, config: &str) -> Site {
    let site = Site::start(config);
    site.facts().keys = (1..=200).collect();
    for question in (1..=keys).flat_map(|key| [look_up(key), discover(key), pull(key, "g/p")]) {
        assert_eq!(site.ask(&question).status, 200);
    }
    site
}

/// Asks for each key; gives how many were let in.
fn let_in(site: &Site, keys: std::ops::RangeInclusive<u64>) -> usize {
    keys.filter(|key| site.ask(&look_up(*key)).status == 200).count()
}

/// A site where 30 keys are known, before a GitLab that knows none of them any more and was asked about all.
fn forgetful_site(config: &str) -> Site {
    let site = site_with(30, config);
    site.facts().keys.clear();
    assert_eq!(let_in(&site, 1..=30), 11, "from the twentieth on");
    site
}

fn guard(site: &Site) -> Value {
    site.env.status()["kept"]["mass_negative"].clone()
}

fn questions(key: u64) -> [Request; 3] {
    [look_up(key), discover(key), pull(key, "g/p")]
}

fn sources(site: &Site, key: u64) -> [String; 3] {
    questions(key).map(|question| site.source(&question))
}

const REFUSED: [&str; 3] = ["forwarded 404", "forwarded", "forwarded 404"];

#[test]
fn a_gitlab_that_does_not_know_most_keys_logs_nobody_out_until_an_operator_says_so() {
    let site = forgetful_site(STALE);
    for key in 1..=30 {
        assert_eq!(sources(&site, key), [GIVEN; 3], "key {key}");
    }
    let answer = site.ask(&look_up(7));
    assert_eq!(answer.header("x-sidegate-degraded"), Some("mass-negative"));
    let status = guard(&site);
    assert_eq!((&status["keys"], &status["unknown_at_start"], &status["holds"]), (&json!(30), &json!(20), &json!(1)), "{status}");
    let (printed, code) = site.env.status_screen();
    assert!(
        code == Some(1) && printed.contains("ALARM mass_negative since 20") && printed.contains("30 such keys are let in"),
        "{printed}"
    );
    assert!(printed.contains("and for 10 min after its no while it does not know most keys"), "{printed}");
    let metrics = site.ask(&Request::get("/-/metrics")).text();
    for line in ["sidegate_mass_negative_holding 1.0", "sidegate_mass_negative_keys 30.0", "sidegate_mass_negative_holds_total 1"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(site.env.logs().contains("the primary does not know 20 of the 20 keys"), "{}", site.env.logs());
    let explained = explain(&site.env, "guard holding", &["--key", &key_blob(7)]);
    let facts = explained.json["facts"].to_string();
    assert!(explained.code == 0 && facts.contains("the primary does not know most keys that it knew"), "{}", explained.screen);
    assert_eq!(explained.json["steps"][0]["degraded"], "mass_negative", "{}", explained.screen);
    assert_eq!(site.source(&look_up(999)), "forwarded 404", "a stranger is a stranger");
    let printed = site.run(&["invalidate", "all"]);
    assert!(printed.starts_with("removed 90 kept answers"), "{printed}");
    assert_eq!((sources(&site, 7), guard(&site)["since"].clone()), (REFUSED.map(str::to_owned), Value::Null));
}

#[test]
fn one_person_who_removes_two_dozen_keys_of_their_own_begins_no_hold() {
    let site = Site::start(STALE);
    site.facts().owner = |_| 1;
    for key in 1..=30 {
        assert_eq!(site.ask(&look_up(key)).status, 200);
    }
    // Of some it is known by their use whose they are, of others by their line.
    (1..=15).for_each(|key| assert_eq!(site.ask(&pull(key, "g/p")).status, 200));
    site.facts().keys.clear();
    assert_eq!(let_in(&site, 1..=30), 0);
    let status = guard(&site);
    assert_eq!((&status["holds"], &status["asked"], &status["unknown"]), (&json!(0), &json!(6), &json!(6)), "{status}");
}

#[test]
fn the_keys_that_it_knows_again_are_its_own_again_and_the_last_of_them_ends_it() {
    let site = forgetful_site(STALE);
    site.facts().keys.extend(1..=29);
    for key in 1..=29 {
        assert_eq!(site.source(&look_up(key)), "forwarded", "key {key}");
    }
    site.facts().hidden.insert("g/p".to_owned());
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 404", "a no about access counts again");
    assert_eq!((site.source(&look_up(30)).as_str(), &guard(&site)["keys"]), (GIVEN, &json!(1)));
    site.facts().keys.insert(30);
    assert_eq!((site.source(&look_up(30)).as_str(), &guard(&site)["since"]), ("forwarded", &Value::Null));
}

#[test]
fn removals_up_to_the_share_are_removals_and_a_key_counts_once() {
    let site = site_with(40, STALE);
    site.facts().keys.retain(|key| *key > 20);
    assert_eq!(let_in(&site, 21..=40), 20);
    assert_eq!(let_in(&site, 1..=20), 0, "half is not more than half");
    (0..10).for_each(|_| assert_eq!(let_in(&site, 1..=3), 0));
    let status = guard(&site);
    assert_eq!((&status["asked"], &status["unknown"], &status["since"]), (&json!(40), &json!(20), &Value::Null), "{status}");
    site.facts().keys.remove(&21);
    assert_eq!((let_in(&site, 21..=21), let_in(&site, 1..=20)), (1, 20), "one more is");
}

#[test]
fn a_hundred_real_removals_are_held_back_for_the_hold_and_not_longer() {
    let config = format!("{STALE}mass_negative = {{ at_least = 60, hold = \"3s\" }}\n");
    let site = site_with(100, &config);
    site.facts().keys.clear();
    site.env.wait_for("the removals to be noticed", || let_in(&site, 1..=100) > 0 || guard(&site)["holds"] == 1);
    site.env.wait_for("the hold to end", || guard(&site)["since"].is_null());
    assert_eq!(let_in(&site, 1..=100), 0);
    assert_eq!(guard(&site)["holds"], 1, "what is refused begins no other");
    assert!(site.env.logs().contains("they are refused from now on"), "{}", site.env.logs());
}

#[test]
fn a_refusal_of_the_account_counts_and_so_does_what_an_operator_removes() {
    let site = forgetful_site(STALE);
    site.facts().blocked.insert(7);
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 401");
    assert_eq!(site.source(&look_up(7)), "forwarded 404");
    site.run(&["invalidate", "key", "8"]);
    site.run(&["invalidate", "user", "person-9"]);
    site.run(&["invalidate", "key", &key_blob(10)]);
    for key in [8, 9, 10] {
        assert_eq!(sources(&site, key), REFUSED, "key {key}");
    }
    assert_eq!(sources(&site, 11), [GIVEN; 3]);
}

#[test]
fn a_no_about_access_that_comes_before_the_no_about_its_key_takes_nothing_away_for_good() {
    let site = site_with(30, STALE);
    site.facts().keys.clear();
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 404");
    assert_eq!(site.source(&discover(8)), "forwarded", "nobody");
    let_in(&site, 1..=30);
    assert_eq!((sources(&site, 7), sources(&site, 8)), ([GIVEN; 3].map(str::to_owned), [GIVEN; 3].map(str::to_owned)));
}

#[test]
fn a_no_about_access_while_it_knew_the_key_stays_a_no() {
    let site = site_with(30, STALE);
    site.facts().hidden.insert("g/p".to_owned());
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 404");
    assert_eq!(site.source(&look_up(7)), "forwarded");
    site.facts().keys.clear();
    let_in(&site, 1..=30);
    assert_eq!(sources(&site, 7), [GIVEN, GIVEN, "forwarded 404"]);
}

#[test]
fn while_it_fails_too_the_keys_are_let_in_and_after_a_restart_they_are_gone() {
    let mut site = forgetful_site(STALE);
    site.fail();
    assert_eq!(sources(&site, 7), [GIVEN; 3]);
    site.kill_and_restart();
    site.fail();
    assert_eq!(sources(&site, 7), ["424"; 3], "what it took back is not on disk");
    site.facts().mode = Mode::Answers;
}

#[test]
fn a_key_that_it_did_not_know_a_moment_ago_is_let_in_without_asking_again() {
    let site = forgetful_site(&STALE.replace("negative_ttl = \"0s\"", "negative_ttl = \"60s\""));
    site.take_questions();
    assert_eq!((let_in(&site, 1..=30), site.take_questions()), (30, 0));
}
