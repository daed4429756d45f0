//! States in front of a GitLab: it is asked, most keys are unknown to it, it fails, nothing but what it says is given.

use crate::kept_answers::gitlab::{Site, look_up, pull};
use crate::status_states::json::{assert_documented, assert_metrics_agree};
use crate::status_states::status;

const FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1h\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";
/// Every question is asked.
const STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2h\" }\nreads = { ttl = \"1ms\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\nnegative_ttl = \"0s\"\n";

#[test]
fn asking_gitlab() {
    let site = Site::start(FRESH);
    assert_eq!(site.ask(&look_up(7)).status, 200);
    status(&site.env, "asking GitLab").assert(
        "serving: fresh, asking GitLab, 0 alarms",
        "0 alarms",
        &["keys: kept, each answer by its own age; ", "GitLab: answers, its last answer came ", "kept: 1 of 1000000 answers, "],
        0,
    );
    assert_documented(&site.env.status(), "sidecar", &["kept.questions.*.hit_rate", "kept.store.state"]);
    site.fail();
    status(&site.env, "GitLab fails").assert(
        "serving: fresh, GitLab has given no usable answer since 20",
        " UTC, 0 alarms",
        &["to do: look at what answers there, ", "GitLab: gives no usable answer, its last answer came "],
        1,
    );
    site.recover();
    assert_eq!(status(&site.env, "GitLab is back").first_line(), "serving: fresh, asking GitLab, 0 alarms");
}

/// What is kept is expired a moment after it was asked.
const SHORT: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"1s\" }\nreads = { ttl = \"1ms\", max_stale = \"1s\" }\n\
                     push_precheck = { ttl = \"1ms\", max_stale = \"1s\" }\nnegative_ttl = \"0s\"\n";
const NOTHING_GIVEN: &str =
    ": keys, reads, push_precheck: nothing is answered from here, GitLab is asked, and while it fails people are told of an outage";

#[test]
fn an_outage_that_finds_nothing_kept_has_expired_keys() {
    let site = Site::start(FRESH);
    site.fail();
    assert_eq!(site.ask(&look_up(7)).status, 424);
    let printed = status(&site.env, "GitLab fails a host that keeps nothing");
    printed.assert("serving: expired since 20", " UTC, 0 alarms", &[", GitLab has given no usable answer since 20", NOTHING_GIVEN], 2);
    assert!(!printed.text.contains("what is held is given"), "{}", printed.text);
    assert_documented(&site.env.status(), "sidecar", &[]);
    site.recover();
    assert_eq!(status(&site.env, "GitLab is back for it").first_line(), "serving: fresh, asking GitLab, 0 alarms");
}

#[test]
fn a_restart_in_an_outage_longer_than_max_stale_has_expired_keys_at_once() {
    let mut site = Site::start(SHORT);
    assert_eq!(site.ask(&look_up(7)).status, 200);
    site.wait_until_flushed();
    site.fail();
    site.env.wait_for("what is kept to expire", || site.ask(&look_up(7)).status == 424);
    site.restart();
    site.fail();
    let printed = status(&site.env, "restarted in an outage longer than max_stale");
    printed.assert("serving: expired since 20", " UTC, 0 alarms", &[NOTHING_GIVEN], 2);
}

#[test]
fn after_a_restart_fetches_have_expired_by_what_is_kept_of_them_while_keys_are_given() {
    let mut site =
        Site::start(&FRESH.replacen("reads = { ttl = \"1h\", max_stale = \"2h\" }", "reads = { ttl = \"1ms\", max_stale = \"1s\" }", 1));
    assert_eq!(site.ask(&look_up(7)).status, 200);
    assert_eq!(site.ask(&pull(7, "group/project")).status, 200);
    site.wait_until_flushed();
    site.fail();
    site.env.wait_for("what is kept of fetches to expire", || site.ask(&pull(7, "group/project")).status == 424);
    site.restart();
    site.fail();
    assert_eq!(site.ask(&look_up(7)).status, 200);
    let printed = status(&site.env, "restarted while keys are given and fetches are not");
    printed.assert("serving: expired since 20", " UTC, 0 alarms", &[": reads: nothing is answered from here, GitLab is asked"], 2);
    let verdicts = &site.env.status()["freshness"];
    assert_eq!([&verdicts["keys"]["verdict"], &verdicts["push_precheck"]["verdict"]], ["fresh", "fresh"]);
}

#[test]
fn guard_holding() {
    let site = Site::start(STALE);
    for key in 1..=30 {
        assert_eq!(site.ask(&look_up(key)).status, 200);
    }
    site.facts().keys.clear();
    let let_in = (1..=30).filter(|key| site.ask(&look_up(*key)).status == 200).count();
    assert_eq!(let_in, 11, "from the twentieth on");
    status(&site.env, "guard holding").assert(
        "serving: fresh, asking GitLab, 1 alarms",
        "1 alarms",
        &[
            "ALARM mass_negative since 20",
            "the GitLab did not know 20 of the 20 keys that it was asked about within a minute and knew before; 30 such keys are let in for ",
            "to do: look whether it is the right instance",
            "if the keys are meant to be gone: `sidegate invalidate all`",
        ],
        1,
    );
    assert_metrics_agree(&site.env.status(), &site.env.sidecar_socket());
    site.run(&["invalidate", "all"]);
    assert_eq!(status(&site.env, "the hold was ended").first_line(), "serving: fresh, asking GitLab, 0 alarms");
}

#[test]
fn shadow_mode() {
    let mut site = Site::start(FRESH);
    site.env.replace_in_file("sidegate.toml", "feed = \"none\"", "feed = \"none\"\nshadow = true");
    site.restart();
    site.ask(&look_up(7));
    status(&site.env, "shadow mode").assert(
        "serving: fresh, asking GitLab for everything (shadow mode), 0 alarms",
        "0 alarms",
        &[
            "shadow mode: the primary is asked for everything, and nothing that is kept is given",
            "keys: shadow, each answer by its own age",
        ],
        0,
    );
    assert_documented(&site.env.status(), "sidecar", &["kept.shadow.*.agreement"]);
    site.fail();
    assert_eq!(site.ask(&look_up(7)).status, 424);
    let printed = status(&site.env, "shadow mode, GitLab fails");
    printed.assert("serving: expired since 20", " UTC, 0 alarms", &[NOTHING_GIVEN], 2);
    assert!(!printed.text.contains("what is held is given"), "{}", printed.text);
}
