//! What the feed takes back, this host does not give: not from the feed, not from what it keeps of the GitLab, and not from what it has just
//! asked.

use crate::mirror_feed::{FRESH, STALE, Site, source_of};
use crate::support::generated_directory::{generated_key_line, user_line};
use crate::support::gitlab::outage::Outage;
use crate::support::link::Delivery;

fn blocked(user: u64) -> String {
    user_line(user).replace("\"name\"", "\"state\":\"blocked\",\"name\"")
}

/// The mirror publishes that a key is gone.
fn publish_removal(site: &Site, key: u64) {
    let output = site.env.run_admin(&["revoke-key", &key.to_string(), "--wait"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_key_that_the_feed_removes_takes_its_kept_answers_along_also_over_a_crash() {
    let mut site = Site::start(3, FRESH);
    assert_eq!([site.pull(1).status, site.pull(2).status], [200, 200]);
    assert_eq!(source_of(&site.pull(1)), "200 cached");
    site.env.wait_for("the kept answers to be on disk", || site.env.status()["kept"]["store"]["pending"] == 0);
    publish_removal(&site, 1);
    site.env.sidecar.as_mut().unwrap().kill();
    site.env.start_sidecar();
    site.gitlab.fail(Outage::Refused);
    site.wait_until_failing();
    assert_eq!([source_of(&site.pull(1)), source_of(&site.look_up(1))], ["424", "424"], "{}", site.env.logs());
    assert_eq!([source_of(&site.pull(2)), source_of(&site.look_up(2))], ["200 cached", "200 local"], "nobody else loses anything");
}

#[test]
fn a_user_that_the_feed_blocks_gets_no_kept_answer_and_the_gitlabs_own_as_soon_as_it_says_yes() {
    let mut site = Site::start(3, FRESH);
    assert_eq!(site.pull(1).status, 200);
    site.gitlab.directory().users.get_mut(&1).unwrap().blocked = true;
    site.publish(&blocked(1));
    let refused = site.pull(1);
    assert_eq!((source_of(&refused), refused.message().as_str()), ("401 forwarded".to_owned(), "Your account has been blocked."));
    // The GitLab has lifted the block, and its mirror does not know it yet.
    site.gitlab.directory().users.get_mut(&1).unwrap().blocked = false;
    assert_eq!([source_of(&site.pull(1)), source_of(&site.pull(1))], ["200 forwarded", "200 forwarded"], "asked each time");
    site.gitlab.fail(Outage::Refused);
    site.wait_until_failing();
    assert_eq!(source_of(&site.pull(1)), "424", "what this host knows of may be over, and is no answer of the GitLab's");
    assert!(site.feed_status()["kept_answers_not_given"].as_u64() >= Some(1));
    site.gitlab.recover();
    site.wait_until_answering();
    site.publish(&user_line(1));
    assert_eq!(site.pull(1).status, 200);
    assert_eq!(source_of(&site.pull(1)), "200 cached");
}

#[test]
fn a_key_that_expires_by_the_feed_gets_no_kept_answer() {
    let site = Site::start(3, FRESH);
    assert_eq!([site.pull(1).status, site.pull(1).status], [200, 200]);
    let line = generated_key_line(1, 1).replace("\"created_at\"", "\"expires_at\":\"2026-02-01T00:00:00Z\",\"created_at\"");
    site.publish(&line);
    assert_eq!([source_of(&site.pull(1)), source_of(&site.pull(1))], ["200 forwarded", "200 forwarded"], "asked each time");
}

#[test]
fn what_was_asked_before_a_removal_is_not_given_after_it() {
    // The key is stale, so that the GitLab is asked whose it is.
    for freshness in [FRESH, STALE] {
        let site = Site::start(3, freshness);
        site.gitlab.set_delay(std::time::Duration::from_millis(250));
        std::thread::scope(|scope| {
            let pull = scope.spawn(|| site.pull(1));
            let look_up = scope.spawn(|| site.look_up(1));
            site.gitlab.wait_for_questions("allowed", 1);
            // The GitLab decided before the removal, and its answer comes after it.
            publish_removal(&site, 1);
            let (pull, look_up) = (pull.join().unwrap(), look_up.join().unwrap());
            assert!([200, 424].contains(&pull.status), "{}", pull.text());
            drop(look_up);
        });
        let overtaken = site.env.status()["kept"]["overtaken"].as_u64();
        assert!(overtaken >= Some(1), "{overtaken:?}\n{}", site.env.logs());
    }
}

#[test]
fn a_whole_directory_in_place_of_another_takes_back_what_it_does_not_have() {
    let mut site = Site::start(3, FRESH);
    assert_eq!([site.pull(1).status, site.pull(2).status], [200, 200]);
    site.env.sidecar.as_mut().unwrap().stop();
    // While the host is off the mirror is made anew, without key 1: no line of its feed will say that the key was removed.
    site.env.primary.as_mut().unwrap().stop();
    std::fs::remove_dir_all(site.env.path().join("primary")).unwrap();
    site.env.start_primary();
    let lines: String = (2..=3).map(|id| user_line(id) + &generated_key_line(id, id)).collect();
    site.env.apply(&lines);
    site.env.start_sidecar();
    site.wait_until_followed();
    site.gitlab.fail(Outage::Refused);
    site.wait_until_failing();
    assert_eq!([source_of(&site.pull(1)), source_of(&site.pull(2))], ["424", "200 cached"], "{}", site.env.logs());
}

#[test]
fn a_no_of_the_gitlab_about_a_key_that_its_mirror_still_has_counts_until_it_says_yes() {
    let site = Site::start(3, &STALE.replacen("1ms", "1500ms", 1));
    site.cut_feed();
    site.gitlab.directory().keys.remove(&1);
    site.env.wait_for("the key to be stale", || site.look_up(1).status == 404);
    site.link().deliver_all(Delivery::Prompt);
    site.env.wait_for("the feed to be fresh", || site.env.status()["freshness"]["keys"]["state"] == "fresh");
    assert_eq!(source_of(&site.look_up(1)), "404 forwarded", "the mirror has not heard of the removal");
    assert_eq!(source_of(&site.look_up(2)), "200 local");
    site.gitlab.directory().add_key(1, 1);
    assert_eq!(source_of(&site.look_up(1)), "200 forwarded");
    site.env.wait_for("the key to be given again", || source_of(&site.look_up(1)) == "200 local");
}
