//! Keys that the mirror does not have: one that was added a moment ago works at once, and strangers cost the GitLab little.

use crate::mirror_feed::{FRESH, STALE, Site, source_of};

#[test]
fn a_key_that_was_added_a_moment_ago_works_at_once_and_no_longer_than_it_is_there() {
    let site = Site::start(3, &FRESH.replace("1h", "1ms"));
    assert_eq!(site.look_up(11).status, 404);
    site.gitlab.directory().add_user(11);
    site.gitlab.directory().add_key(11, 11);
    assert_eq!(source_of(&site.look_up(11)), "200 forwarded");
    site.gitlab.directory().keys.remove(&11);
    site.env.wait_for("its answer to be too old", || source_of(&site.look_up(11)) == "404 forwarded");
}

#[test]
fn a_flood_of_unknown_keys_costs_the_gitlab_no_more_than_the_budget_and_known_keys_nothing() {
    let site = Site::start(3, &format!("{FRESH}misses_per_second = 5\n"));
    site.gitlab.count_only();
    let begun = std::time::Instant::now();
    let asked_before = site.gitlab.questions("authorized_keys");
    let mut refused = 0;
    for stranger in 0..1000 {
        let answer = site.look_up(10_000 + stranger);
        assert_eq!(answer.status, 404, "fresh keys have no such key");
        refused += usize::from(answer.header("x-sidegate-answer") == Some("local"));
        if stranger % 10 == 0 {
            assert_eq!(source_of(&site.look_up(1)), "200 local");
        }
    }
    // By the time that this took, and a second's worth that may be saved up.
    let most = 5 * (begun.elapsed().as_secs() + 2);
    let asked = site.gitlab.questions("authorized_keys") - asked_before;
    assert!(asked >= 5 && asked <= most, "{asked} questions, at most {most}");
    let status = site.feed_status();
    assert_eq!((status["misses_asked"].as_u64(), status["misses_refused"].as_u64()), (Some(asked), Some(1000 - asked)));
    assert_eq!(refused as u64, 1000 - asked);
}

#[test]
fn beyond_the_budget_an_unknown_key_is_an_outage_unless_keys_are_fresh() {
    let site = Site::start(3, &format!("{STALE}misses_per_second = 1\n"));
    let statuses: Vec<u16> = (0..20).map(|stranger| site.look_up(10_000 + stranger).status).collect();
    assert_eq!(statuses[0], 404, "the first is asked");
    assert!(statuses.contains(&424), "{statuses:?}");
    assert!(statuses.iter().all(|status| [404, 424].contains(status)), "{statuses:?}");
    let message = (0..20).map(|stranger| site.look_up(20_000 + stranger)).find(|answer| answer.status == 424).unwrap().message();
    assert!(message.contains("too many unknown keys"), "{message}");
}

#[test]
fn many_who_offer_one_unknown_key_are_one_question() {
    let site = Site::start(3, &format!("{FRESH}misses_per_second = 1\n"));
    site.gitlab.set_delay(std::time::Duration::from_millis(200));
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_eq!(source_of(&site.look_up(77)), "404 forwarded"));
        }
        site.gitlab.wait_for_questions("authorized_keys", 1);
    });
    assert_eq!(site.feed_status()["misses_refused"], 0);
}
