//! Whose a key is and who a user is, with each state of the GitLab and of the feed, and after a restart in each.

use crate::mirror_feed::{EXPIRED, FRESH, STALE, Site, source_of};
use crate::support::generated_directory::{generated_key_line, user_line};
use crate::support::gitlab::outage::Outage;
use crate::support::link::Delivery;

/// A key that both have; keys that only the GitLab has, one for each step; a key that nobody has.
const KNOWN: u64 = 1;
const ADDED: [u64; 2] = [11, 12];
const STRANGER: u64 = 900;

/// How the GitLab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gitlab {
    Answers,
    Fails(Outage),
}

/// What is said of the known key, of `added`, and of a stranger's.
fn sources(site: &Site, added: u64) -> [String; 3] {
    [KNOWN, added, STRANGER].map(|key| source_of(&site.look_up(key)))
}

fn site_with_added_keys(freshness: &str) -> Site {
    let site = Site::start(3, freshness);
    for added in ADDED {
        site.gitlab.directory().add_user(added);
        site.gitlab.directory().add_key(added, added);
    }
    site
}

fn assert_table(freshness: &str, answering: [&str; 3], failing: [&str; 3], restarted: [&str; 3]) {
    for gitlab in [Gitlab::Answers, Gitlab::Fails(Outage::Hung), Gitlab::Fails(Outage::ErrorPage(502)), Gitlab::Fails(Outage::Refused)] {
        let mut site = site_with_added_keys(freshness);
        if let Gitlab::Fails(outage) = gitlab {
            site.gitlab.fail(outage);
            site.wait_until_failing();
        }
        let expected = if gitlab == Gitlab::Answers { answering } else { failing };
        assert_eq!(sources(&site, ADDED[0]), expected, "{gitlab:?}\n{}", site.env.logs());
        site.cut_feed();
        assert_eq!(sources(&site, ADDED[1]), expected, "{gitlab:?}, without the mirror\n{}", site.env.logs());
        site.restart();
        let expected = if gitlab == Gitlab::Answers { answering } else { restarted };
        if gitlab != Gitlab::Answers {
            site.wait_until_failing();
            assert_eq!(sources(&site, ADDED[1]), expected, "{gitlab:?}, after a restart without the mirror\n{}", site.env.logs());
        } else {
            assert_eq!(source_of(&site.look_up(KNOWN)), expected[0], "{gitlab:?}, after a restart without the mirror");
        }
    }
}

#[test]
fn a_known_key_is_given_while_it_is_fresh_however_the_gitlab_is_and_a_miss_is_asked() {
    let outage = ["200 local", "424", "424"];
    assert_table(FRESH, ["200 local", "200 forwarded", "404 forwarded"], outage, outage);
}

#[test]
fn a_stale_key_is_asked_about_first_and_given_while_the_gitlab_fails() {
    let outage = ["200 local degraded", "424", "424"];
    assert_table(STALE, ["200 forwarded", "200 forwarded", "404 forwarded"], outage, outage);
}

#[test]
fn who_is_known_waits_no_longer_than_a_question_may_take_for_a_gitlab_that_has_just_hung() {
    let mut site = Site::start(3, STALE);
    site.gitlab.fail(Outage::Hung);
    for key in 1..=3 {
        assert_eq!(source_of(&site.look_up(key)), "200 local degraded");
        assert_eq!(source_of(&site.discover(&format!("key_id={key}"))), "200 local degraded");
    }
}

#[test]
fn expired_keys_are_asked_about_as_without_a_mirror() {
    assert_table(EXPIRED, ["200 forwarded", "200 forwarded", "404 forwarded"], ["424"; 3], ["424"; 3]);
}

#[test]
fn a_hung_mirror_changes_nothing_for_who_logs_in() {
    let site = Site::start(3, FRESH);
    site.link().deliver_all(Delivery::Held);
    for _ in 0..50 {
        assert_eq!(source_of(&site.look_up(KNOWN)), "200 local");
    }
    assert_eq!(source_of(&site.look_up(STRANGER)), "404 forwarded");
}

#[test]
fn before_the_mirror_was_ever_heard_the_gitlab_is_asked_and_its_answers_are_kept() {
    let mut site = Site::prepare(3, FRESH);
    site.env.start_sidecar();
    assert_eq!(source_of(&site.look_up(KNOWN)), "200 forwarded");
    assert_eq!(source_of(&site.discover("key_id=1")), "200 forwarded");
    assert_eq!(
        (source_of(&site.look_up(KNOWN)), source_of(&site.discover("key_id=1"))),
        ("200 cached".to_owned(), "200 cached".to_owned())
    );
    site.gitlab.fail(Outage::Refused);
    site.wait_until_failing();
    assert_eq!([source_of(&site.look_up(KNOWN)), source_of(&site.look_up(2))], ["200 cached", "424"]);
    site.restart();
    assert_eq!(source_of(&site.look_up(KNOWN)), "200 cached", "also after a restart\n{}", site.env.logs());
    site.gitlab.recover();
    site.start_mirror(3);
    site.wait_until_followed();
    assert_eq!(source_of(&site.look_up(2)), "200 local");
}

#[test]
fn the_answers_of_the_feed_are_those_of_the_gitlab() {
    let mut site = Site::prepare(3, FRESH);
    site.env.start_sidecar();
    let (key, person) = (site.look_up(2).json(), site.discover("key_id=2").json());
    site.start_mirror(3);
    site.wait_until_followed();
    let followed = site.look_up(2);
    assert_eq!(source_of(&followed), "200 local");
    assert_eq!([&followed.json()["id"], &followed.json()["expires_at"]], [&key["id"], &key["expires_at"]]);
    let asked_before = site.gitlab.questions("discover");
    assert_eq!(site.discover("key_id=2").json()["username"], person["username"]);
    for query in ["key_id=2", "user_id=2", "username=person-2", "username=Person-2", "identifier=key-2"] {
        let answer = site.discover(query);
        assert_eq!((source_of(&answer), answer.json()["id"].as_u64()), ("200 local".to_owned(), Some(2)), "{query}");
    }
    assert_eq!(site.gitlab.questions("discover"), asked_before);
    let nobody = site.discover("user_id=77");
    assert_eq!(
        (source_of(&nobody), nobody.text()),
        ("200 forwarded".to_owned(), "null".to_owned()),
        "what the mirror does not have is asked"
    );
}

#[test]
fn who_is_behind_a_deploy_key_is_asked() {
    let site = Site::start(3, FRESH);
    site.gitlab.directory().add_deploy_key(50, 2, false);
    let deploy_key = generated_key_line(50, 3).replace("\"user_id\":3,", "").replace("\"created_at\"", "\"deploy\":true,\"created_at\"");
    site.publish(&deploy_key);
    assert_eq!(source_of(&site.look_up(50)), "200 local");
    assert_eq!(source_of(&site.discover("key_id=50")), "200 forwarded");
    assert_eq!(site.gitlab.questions("discover"), 1);
}

#[test]
fn access_is_the_gitlabs_to_give_and_its_answer_is_kept() {
    let mut site = Site::start(3, FRESH);
    assert_eq!([source_of(&site.pull(1)), source_of(&site.pull(1))], ["200 forwarded", "200 cached"]);
    site.gitlab.fail(Outage::Refused);
    site.wait_until_failing();
    assert_eq!(
        [source_of(&site.pull(1)), source_of(&site.pull(2))],
        ["200 cached", "424"],
        "a project that was not asked for is not known"
    );
}

#[test]
fn a_feed_neither_opens_nor_closes_the_breaker_of_the_gitlab() {
    let mut site = Site::start(3, FRESH);
    site.cut_feed();
    assert_eq!(source_of(&site.look_up(STRANGER)), "404 forwarded");
    assert_eq!(site.env.status()["primary"]["breaker"], "closed", "the mirror is away, and the GitLab answers");
    let probes = site.gitlab.questions("probe");
    site.link().deliver_all(Delivery::Prompt);
    site.gitlab.fail(Outage::Refused);
    site.wait_until_failing();
    site.publish(&user_line(9));
    site.publish(&user_line(10));
    assert_eq!(site.env.status()["primary"]["breaker"], "open", "the mirror speaks, and the GitLab is away");
    assert_eq!(source_of(&site.look_up(STRANGER)), "424");
    assert_eq!(site.gitlab.questions("probe"), probes, "nobody listened");
}
