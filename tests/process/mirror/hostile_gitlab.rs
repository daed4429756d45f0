//! A GitLab that answers something else than it ought to: nothing is removed, and an alarm says so.

use super::{MirrorEnv, VERIFIES, WALKS_FULLY};
use crate::support::env::SHELL_SECRET;
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::faults::{Failure, Fault, Scope};
use crate::support::gitlab_api::instance::generated;
use crate::support::gitlab_api::instance::records::Instance;
use crate::support::gitlab_api::instance::rest::{ApiVersion, Caller};

/// Few keys and users are lost without being asked about; the guard of the tests is smaller than the default, whose least is 100.
const GUARD: &str = "[sync]\nloss_guard = { share = 0.2, more_than = 10 }\n";

fn mirror(walk: &str) -> MirrorEnv {
    let instance = generated::instance(1, 230, 300);
    let mut mirror = MirrorEnv::prepare(GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, instance), walk, GUARD);
    mirror.start_mirror();
    mirror.wait_for_first_walk();
    mirror.gitlab.hooks().set_delivery(Some(mirror.delivery()));
    mirror
}

/// Lets it fail so until the alarm stands and it was asked more; nothing may have changed. Then all must be well again.
fn holds_against(failure: Failure, alarm: &str) {
    let mirror = mirror(WALKS_FULLY);
    let before = (mirror.seq(), mirror.published());
    mirror.gitlab.fail(failure);
    mirror.wait_for(alarm, || mirror.has_alarm(alarm));
    let asked = mirror.gitlab.take_arrivals().len();
    mirror.wait_for("more questions", || mirror.status()["gitlab"]["requests"]["public"].as_u64() > Some(asked as u64));
    assert_eq!((mirror.seq(), mirror.published()), before);
    mirror.gitlab.recover();
    mirror.gitlab.add_user("afterwards");
    mirror.wait_until_equal();
    mirror.wait_for("the alarm to be over", || mirror.alarms().is_empty());
}

#[test]
fn an_empty_first_page_removes_nobody() {
    holds_against(Failure::of(Scope::Endpoint("users"), Fault::EmptyList), "public_api_unusable");
}

#[test]
fn a_token_that_is_refused_half_way_removes_nobody() {
    holds_against(Failure::of(Scope::Rest, Fault::Unauthorized).after(150), "token_refused");
}

#[test]
fn a_page_for_people_with_status_200_removes_nobody() {
    holds_against(Failure::of(Scope::All, Fault::HtmlWith200), "public_api_unusable");
}

#[test]
fn a_redirect_removes_nobody() {
    holds_against(Failure::of(Scope::All, Fault::Redirect), "public_api_unusable");
}

#[test]
fn a_404_of_a_proxy_removes_nobody() {
    holds_against(Failure::of(Scope::All, Fault::ErrorPage(404)), "public_api_unusable");
}

#[test]
fn a_body_that_is_cut_short_removes_nobody() {
    holds_against(Failure::of(Scope::Rest, Fault::CutShort).after(40), "public_api_unusable");
}

#[test]
fn a_token_that_is_no_administrators_any_more_removes_nobody() {
    let mirror = mirror(WALKS_FULLY);
    let before = (mirror.seq(), mirror.published());
    for role in [Caller::SomebodyElse, Caller::Nobody] {
        mirror.gitlab.set_token_role(role);
        mirror.wait_for("an alarm", || mirror.has_alarm("token_refused"));
        assert_eq!((mirror.seq(), mirror.published()), before);
        mirror.gitlab.set_token_role(Caller::Administrator);
        mirror.wait_for("the alarm to be over", || mirror.alarms().is_empty());
    }
}

#[test]
fn a_gitlab_that_was_restored_from_an_old_backup_removes_nobody() {
    let mirror = mirror(WALKS_FULLY);
    let backup = mirror.gitlab.instance().clone();
    // All of one user, and on one page: a walk that is under way when the backup is put back finds all of them or none.
    for number in 0..95 {
        mirror.gitlab.add_key(2, &generated::key_line(1000 + number));
    }
    // Whatever a hook has told is asked before: what is asked after the backup is put back is denied.
    mirror.gitlab.hooks().flush();
    mirror.wait_for("all hooks to be settled", || mirror.status()["hooks"]["waiting"] == 0);
    mirror.wait_until_equal();
    let before = mirror.published();
    let newest = mirror.gitlab.instance().clone();
    *mirror.gitlab.instance() = backup;
    mirror.wait_for("an alarm", || mirror.has_alarm("loss_guard"));
    mirror.wait_for_full_walks(1);
    assert_eq!(mirror.published(), before);
    *mirror.gitlab.instance() = newest;
    mirror.wait_for("the alarm to be over", || mirror.alarms().is_empty());
    assert_eq!(mirror.published(), mirror.expected());
}

#[test]
fn an_operator_can_accept_what_was_lost() {
    let mirror = mirror(WALKS_FULLY);
    mirror.gitlab.hooks().set_delivery(None);
    for id in 1..=120 {
        mirror.gitlab.instance().delete_key(id);
    }
    mirror.wait_for("an alarm", || mirror.has_alarm("loss_guard"));
    let socket = mirror.socket();
    let accepted = mirror.env.run_sidegate(&["admin", "--socket", socket.to_str().unwrap(), "accept-loss"]);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    mirror.wait_until_equal();
    mirror.wait_for("the alarm to be over", || mirror.alarms().is_empty());
}

#[test]
fn a_wrong_database_that_denies_all_used_keys_removes_none() {
    let mirror = mirror(VERIFIES);
    let before = (mirror.seq(), mirror.published());
    let right = mirror.gitlab.instance().clone();
    *mirror.gitlab.instance() = Instance::new();
    for key in 1..=40 {
        mirror.report_use(key);
    }
    mirror.wait_for("all to be asked", || mirror.status()["verification"]["asked"].as_u64() >= Some(40));
    assert!(mirror.has_alarm("keys_denied"), "{:?}", mirror.alarms());
    assert_eq!((mirror.seq(), mirror.published()), before);
    *mirror.gitlab.instance() = right;
}
