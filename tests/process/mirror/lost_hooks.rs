//! Changes that no hook tells: found by verification where hosts use the key, by the walks otherwise.

use super::{MirrorEnv, VERIFIES, WALKS_FULLY, WALKS_ONCE, WALKS_RECENT};
use crate::support::gitlab_api::delivery::Delivery;
use crate::support::gitlab_api::faults::{Failure, Fault, Scope};
use crate::support::gitlab_api::instance::generated::{self, key_line};

#[test]
fn a_removed_key_that_hosts_use_is_found_by_verification() {
    let mirror = MirrorEnv::start(generated::instance(1, 20, 60), VERIFIES);
    mirror.gitlab.instance().delete_key(7);
    mirror.report_use(7);
    mirror.wait_until_equal();
    mirror.report_use(8);
    mirror.wait_for("the other one to be verified", || mirror.status()["verification"]["asked"].as_u64() >= Some(2));
    assert_eq!((mirror.published(), mirror.alarms()), (mirror.expected(), vec![]));
}

#[test]
fn a_key_that_is_used_all_the_time_is_verified_once_in_its_interval() {
    let mirror = MirrorEnv::start(generated::instance(1, 20, 60), WALKS_ONCE);
    let before = mirror.gitlab.requests("authorized_keys");
    for _ in 0..50 {
        mirror.report_use(7);
    }
    mirror.report_use(8);
    mirror.wait_for("both to be verified", || mirror.status()["verification"]["asked"] == 2);
    // Beside both, GitLab may have been asked something because nobody else did.
    let asked = mirror.gitlab.requests("authorized_keys") - before;
    assert!((2..=3).contains(&asked), "{asked} questions");
}

#[test]
fn whatever_a_lost_hook_would_have_told_is_found_by_the_full_walk() {
    let mirror = MirrorEnv::start(generated::instance(1, 150, 200), WALKS_FULLY);
    mirror.gitlab.hooks().set_delivery(Some(Delivery { lost: 100, ..mirror.delivery() }));
    mirror.gitlab.delete_key(7);
    mirror.gitlab.delete_user(20);
    mirror.gitlab.add_key(30, &key_line(1000));
    mirror.gitlab.add_deploy_key(31, &key_line(1001));
    mirror.gitlab.rename_user(40, "another-name");
    // Two users who have taken each other's name.
    mirror.gitlab.change(|instance| {
        instance.change_user(50, |user| user.username = "person-51".to_owned());
        instance.change_user(51, |user| user.username = "person-50".to_owned());
        Vec::new()
    });
    let user = mirror.gitlab.add_user("nobody-told");
    mirror.gitlab.add_key(user, &key_line(1002));
    mirror.wait_until_equal();
    assert!(mirror.gitlab.hooks().delivered().is_empty());
}

#[test]
fn a_user_who_is_new_is_found_by_the_short_walk_with_all_keys() {
    let mirror = MirrorEnv::start(generated::instance(1, 150, 20), WALKS_RECENT);
    mirror.gitlab.hooks().set_delivery(None);
    let user = mirror.gitlab.instance().add_user("new-one").0;
    mirror.gitlab.instance().add_key(user, &key_line(1000));
    mirror.gitlab.instance().set_state(30, "banned");
    mirror.wait_until_equal();
}

#[test]
fn what_changes_between_two_pages_is_there_after_the_walk_or_the_next() {
    let mut mirror = MirrorEnv::start(generated::instance(1, 350, 100), WALKS_FULLY);
    mirror.gitlab.hooks().set_delivery(None);
    mirror.gitlab.before_answer(|endpoint, before, instance| {
        if endpoint == "users" && before % 4 == 2 && instance.users().count() > 330 {
            let first = instance.users().nth(1).unwrap().id;
            instance.delete_user(first);
        }
        Vec::new()
    });
    mirror.wait_for("users to be deleted", || mirror.gitlab.instance().users().count() == 330);
    mirror.wait_until_equal();
    mirror.crash_mirror();
    assert_eq!(mirror.published(), mirror.expected());
}

#[test]
fn half_a_walk_removes_nothing() {
    let mirror = MirrorEnv::start(generated::instance(1, 350, 100), WALKS_FULLY);
    mirror.wait_for_full_walks(1);
    mirror.gitlab.hooks().set_delivery(None);
    mirror.gitlab.fail(Failure::of(Scope::Endpoint("deploy_keys"), Fault::ErrorPage(500)));
    mirror.gitlab.instance().delete_user(20);
    mirror.gitlab.instance().delete_key(7);
    let walked = mirror.gitlab.requests("deploy_keys");
    mirror.gitlab.wait_for_requests("deploy_keys", walked + 3);
    assert!(mirror.published().users.contains_key(&20) && mirror.published().keys.contains_key(&7));
    mirror.gitlab.recover();
    mirror.wait_until_equal();
}
