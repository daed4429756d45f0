//! What takes a kept answer back: a no of GitLab's, whoever's question brings it, and also if it comes late or the daemon is killed.

use crate::kept_answers::gitlab::{Mode, Site, discover, look_up, pull, push};
use crate::support::http::Request;

/// Every question is asked, and a kept yes is given where GitLab fails.
const STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";

fn questions(key: u64) -> [Request; 4] {
    [look_up(key), discover(key), pull(key, "g/p"), push(key, "g/p")]
}

fn sources(site: &Site, key: u64) -> [String; 4] {
    questions(key).map(|question| site.source(&question))
}

const GIVEN: [&str; 4] = ["cached degraded"; 4];
const GONE: [&str; 4] = ["424"; 4];

/// A site where all is kept about keys 7 and 8, on disk too.
fn site() -> Site {
    let site = Site::start(STALE);
    for question in [7, 8].into_iter().flat_map(questions) {
        assert_eq!(site.ask(&question).status, 200);
    }
    site.wait_until_flushed();
    site
}

#[test]
fn a_removed_key_takes_everything_of_it_along_and_the_no_is_on_disk_before_it_is_answered() {
    let mut site = site();
    site.facts().keys.remove(&7);
    site.env.wait_for("it to be asked", || site.source(&look_up(7)) == "forwarded 404");
    site.env.sidecar.as_mut().unwrap().kill();
    site.facts().mode = Mode::BadGateway;
    site.env.start_sidecar();
    site.fail();
    assert_eq!(sources(&site, 7), GONE, "the key is gone");
    assert_eq!(sources(&site, 8), GIVEN, "others are not");
}

#[test]
fn a_blocked_user_loses_what_is_kept_of_them() {
    let site = site();
    site.facts().blocked.insert(7);
    site.env.wait_for("it to be asked", || site.source(&pull(7, "g/p")) == "forwarded 401");
    site.fail();
    assert_eq!(sources(&site, 7), GONE);
    assert_eq!(sources(&site, 8), GIVEN);
    site.recover();
    assert_eq!(site.source(&pull(7, "g/p")), "forwarded 401");
}

#[test]
fn a_project_that_became_private_costs_its_own_question_and_no_other() {
    let site = site();
    site.facts().hidden.insert("g/p".to_owned());
    site.env.wait_for("it to be asked", || site.source(&pull(7, "g/p")) == "forwarded 404");
    site.fail();
    assert_eq!(sources(&site, 7), ["cached degraded", "cached degraded", "424", "cached degraded"]);
}

#[test]
fn a_no_that_comes_after_the_kept_yes_was_given_counts() {
    // It is hedged from one to ten times its `ttl`.
    let site = Site::start(&format!("{STALE}hedge = \"1ms\"\n").replacen("1ms", "500ms", 1));
    site.ask(&look_up(7));
    let gate = std::sync::Arc::clone(&site.facts().gate);
    let held = gate.lock().unwrap();
    site.facts().keys.remove(&7);
    site.env.wait_for("the kept yes to be given meanwhile", || site.source(&look_up(7)) == "cached degraded");
    drop(held);
    site.env.wait_for("the no to arrive", || site.env.status()["primary"]["late_denials"] == 1);
    assert_eq!(site.env.status()["kept"]["answers"], 0);
    site.fail();
    assert_eq!(site.source(&look_up(7)), "424");
}

#[test]
fn a_yes_that_was_decided_before_a_revocation_is_not_given_after_it() {
    let site = Site::start(STALE);
    let gate = std::sync::Arc::clone(&site.facts().gate);
    let held = gate.lock().unwrap();
    let env = &site.env;
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| site.source(&look_up(7)));
        env.wait_for("the question to be decided", || site.facts().decided == 1);
        site.facts().keys.remove(&7);
        site.run(&["invalidate", "key", &crate::support::generated_directory::key_blob(7)]);
        drop(held);
        assert_eq!(asking.join().unwrap(), "forwarded 404", "it was asked again");
    });
    assert_eq!(site.env.status()["kept"]["overtaken"], 1);
}
