//! From an empty store to all users and keys, at every kind of GitLab, and over restarts.

use std::time::Duration;

use super::{MirrorEnv, WALKS_FULLY, WALKS_ONCE, WALKS_RECENT};
use crate::support::env::SHELL_SECRET;
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::faults::{Failure, Fault, Scope};
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::http::Request;

#[test]
fn all_users_in_every_state_and_all_keys_but_those_for_signing_are_published() {
    let mut instance = generated::instance(1, 250, 375);
    let (deploy, _) = instance.add_deploy_key(2, &key_line(1000), &[(1, true)]);
    let (signing, _) = instance.add_key(3, &key_line(1001));
    instance.change_key(signing, |key| key.usage = "signing".to_owned());
    let (ended, _) = instance.add_key(4, &key_line(1002));
    instance.change_key(ended, |key| key.expires_at = Some("2020-01-01T00:00:00.000Z".to_owned()));
    instance.change_user(5, |user| user.name = "a\nb".to_owned());
    let mirror = MirrorEnv::start(instance, WALKS_ONCE);
    let published = mirror.published();
    let mut expected = mirror.expected();
    expected.users.remove(&5);
    expected.keys.retain(|_, (user, _)| *user != Some(5));
    assert_eq!(published, expected);
    assert!(published.keys.contains_key(&deploy) && !published.keys.contains_key(&signing));
    let status = mirror.status();
    assert_eq!(status["covers"], serde_json::json!(["settings", "user", "key"]));
    assert_eq!((status["skipped"]["count"].as_u64(), status["skipped"]["named"][0]["what"].as_str()), (Some(1), Some("user 5")));
    assert_eq!(mirror.alarms(), [""; 0]);
}

#[test]
fn a_gitlab_without_cursors_or_on_a_socket_is_mirrored_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for version in [ApiVersion::V15, ApiVersion::V17] {
        let instance = generated::instance(1, 230, 100);
        let gitlab = GitlabApi::on_unix(&folder.path().join(format!("{version:?}.sock")), version, SHELL_SECRET, instance);
        let mut mirror = MirrorEnv::prepare(gitlab, WALKS_ONCE, "");
        mirror.start_mirror();
        mirror.wait_for_first_walk();
        assert_eq!(mirror.published(), mirror.expected(), "{version:?}");
    }
}

#[test]
fn a_full_walk_that_finds_nothing_new_publishes_nothing() {
    let mirror = MirrorEnv::start(generated::instance(1, 150, 200), WALKS_FULLY);
    let before = mirror.seq();
    mirror.wait_for_full_walks(3);
    assert_eq!(mirror.seq(), before);
}

#[test]
fn there_is_no_feed_before_the_first_walk_has_ended_and_one_without_gitlab_afterwards() {
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, generated::instance(1, 150, 100));
    gitlab.fail(Failure::of(Scope::Endpoint("deploy_keys"), Fault::Hung));
    let mut mirror = MirrorEnv::prepare(gitlab, WALKS_ONCE, "");
    mirror.start_mirror();
    mirror.gitlab.wait_for_requests("deploy_keys", 1);
    let feed = |mirror: &MirrorEnv| {
        let request = Request::get("/api/v4/internal/sidegate/snapshot");
        request.header("Sidegate-Sync-Request", &mirror.env.sync_token("ssh-1")).send(&mirror.socket()).status
    };
    assert_eq!(feed(&mirror), 503, "what is not there yet would be denied");
    mirror.gitlab.recover();
    mirror.wait_for_first_walk();
    assert_eq!(feed(&mirror), 200);
    mirror.gitlab.stop_listening();
    mirror.crash_mirror();
    assert_eq!(feed(&mirror), 200);
    assert_eq!(mirror.published(), mirror.expected());
}

#[test]
fn a_walk_that_was_cut_off_goes_on_where_it_was() {
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, generated::instance(1, 330, 50));
    // The page of users behind the first two, and the keys of nobody after it.
    gitlab.fail(Failure::of(Scope::Endpoint("user_keys"), Fault::Hung).after(205));
    let mut mirror = MirrorEnv::prepare(gitlab, WALKS_ONCE, "");
    mirror.start_mirror();
    mirror.wait_for("two pages to be walked", || mirror.status()["full_walk"]["under_way"]["users"] == 200);
    mirror.gitlab.wait_for_requests("user_keys", 206);
    mirror.mirror.as_mut().unwrap().kill();
    mirror.gitlab.take_arrivals();
    mirror.gitlab.recover();
    mirror.start_mirror();
    mirror.wait_for_first_walk();
    assert_eq!(mirror.published(), mirror.expected());
    let arrivals = mirror.gitlab.take_arrivals();
    let pages: Vec<_> = arrivals.iter().filter(|arrival| arrival.target.contains("order_by=id")).collect();
    assert!(
        pages.len() == 2 && pages.iter().all(|page| page.target.contains("cursor=")),
        "the first two pages were walked before: {pages:?}"
    );
}

#[test]
fn a_block_is_found_by_the_short_walk_among_users_who_only_signed_in() {
    let mirror = MirrorEnv::start(generated::instance(1, 400, 50), WALKS_RECENT);
    mirror.gitlab.set_state(7, "blocked");
    for id in 100..350 {
        mirror.gitlab.change(|instance| instance.sign_in(id).into_iter().collect());
    }
    mirror.wait_for("the block to be published", || mirror.published().users[&7].1 == "blocked");
    let keys_asked = mirror.gitlab.requests("user_keys");
    mirror.gitlab.set_state(7, "active");
    mirror.gitlab.set_state(8, "deactivated");
    mirror.wait_until_equal();
    assert_eq!(mirror.gitlab.requests("user_keys"), keys_asked, "a state costs no question about keys");
}

#[test]
fn a_limit_is_obeyed_and_the_configured_rate_is_kept() {
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, generated::instance(1, 60, 20));
    gitlab.fail(Failure::of(Scope::Endpoint("user_keys"), Fault::TooManyRequests(Some(2))).after(20).times(1));
    let mut mirror = MirrorEnv::prepare(gitlab, WALKS_ONCE, "");
    mirror.env.replace_in_file("mirror.toml", "requests_per_second = 2000", "requests_per_second = 40");
    mirror.start_mirror();
    mirror.wait_for_first_walk();
    assert_eq!(mirror.published(), mirror.expected());
    let arrivals = mirror.gitlab.take_arrivals();
    let span = arrivals.last().unwrap().at - arrivals[0].at;
    let (interval, asked) = (Duration::from_secs(1) / 40, u32::try_from(arrivals.len()).unwrap());
    // They arrive no sooner than they are sent; only the first may have been late.
    assert!(span + 4 * interval > interval * (asked - 1) + Duration::from_secs(2), "{asked} requests and a limit of 2 s in {span:?}");
    let longest = arrivals.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap();
    assert!(longest + 4 * interval > Duration::from_secs(2), "nobody asks within the limit: {longest:?}");
}
