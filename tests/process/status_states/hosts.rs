//! What the primary and the mirror say of themselves and their hosts.

use serde_json::json;

use crate::mirror::{MirrorEnv, WALKS_ONCE};
use crate::status_states::json::{assert_documented, assert_metrics_agree};
use crate::status_states::{LONG_FRESH, Printed};
use crate::support::env::TestEnv;
use crate::support::generated_directory::directory_of_keys;
use crate::support::gitlab_api::instance::generated;
use crate::support::http::Request;
use crate::support::small_disk::SmallDisk;

fn admin_status(env: &TestEnv, state: &str) -> Printed {
    Printed::of_admin(env, &["status"], &env.primary_socket(), state)
}

#[test]
fn a_primary_says_whether_its_hosts_follow_and_for_whom_a_revocation_waits() {
    let mut env = TestEnv::with_config("", LONG_FRESH);
    env.start_primary();
    env.apply(&directory_of_keys(8));
    admin_status(&env, "primary without hosts").assert(
        "serving: commit 1, 0 of 0 hosts following, no revocation waits, disk ",
        " free, 0 alarms",
        &["directory: 11 records at commit 1: "],
        0,
    );
    env.start_sidecar();
    env.wait_until_caught_up();
    admin_status(&env, "primary, a host follows").assert(
        "serving: commit 1, 1 of 1 host following, no revocation waits, disk ",
        ", 0 alarms",
        &["store: writable, "],
        0,
    );
    assert_documented(&env.primary_status(), "primary", &[]);
    env.sidecar.as_mut().unwrap().kill();
    assert!(env.run_admin(&["revoke-key", "3"]).status.success());
    env.wait_for("the host to be away", || env.primary_status()["hosts_away"] == 1);
    admin_status(&env, "primary, a host is away").assert(
        "serving: commit 2, 0 of 1 host following, revocations may wait for 1 host, disk ",
        ", 0 alarms",
        &[
            "host ssh-1 is away, last seen 20",
            ": it may let in what is revoked meanwhile for ",
            "to do: run `sidegate status` there; if it is gone for good, `sidegate admin forget-host ssh-1`",
        ],
        1,
    );
    assert_documented(&env.primary_status(), "primary", &["away[].may_answer_seconds"]);
    let json = Printed::of_admin(&env, &["status", "--json"], &env.primary_socket(), "primary, --json");
    let status: serde_json::Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!(
        (json.code, &status["hosts_away"], &status["revocations"]["keys"]),
        (Some(1), &json!(1), &json!(1)),
        "exit status as the screen's"
    );
    assert!(env.run_admin(&["new-epoch"]).status.success());
    let screen = admin_status(&env, "primary, a new epoch");
    assert!(screen.text.contains("ALARM hosts_missing since 20") && screen.first_line().ends_with(", 1 alarms"), "{}", screen.text);
    assert_documented(&env.primary_status(), "primary", &["missing_hosts.until"]);
    assert_metrics_agree(&env.primary_status(), &env.primary_socket());
}

#[test]
fn a_primary_whose_disk_is_full_says_so_first() {
    let mut env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path().join("primary"), 32 << 10) else { return };
    env.start_primary();
    env.apply(&directory_of_keys(40));
    disk.fill();
    env.wait_for("the disk to be found full", || env.primary_status()["store"]["state"] == "disk_full");
    admin_status(&env, "primary, disk full").assert(
        "serving: commit 1, 0 of 0 hosts following, no revocation waits, disk disk full, ",
        ", 1 alarms",
        &["ALARM disk_full since 20", "to do: make room on the disk of `store.path`"],
        1,
    );
    assert_documented(&env.primary_status(), "primary", &["store.reason"]);
    assert_metrics_agree(&env.primary_status(), &env.primary_socket());
    disk.free_space();
    env.wait_for("it to be found to have room", || Request::get("/-/readiness").send(&env.primary_socket()).status == 200);
    assert_eq!(admin_status(&env, "primary, room again").code, Some(0));
}

#[test]
fn a_mirror_says_what_it_has_of_gitlab_and_how_its_hooks_walks_and_verification_do() {
    let mirror = MirrorEnv::start(generated::instance(1, 20, 10), WALKS_ONCE);
    let printed = Printed::of(&mirror.env, &["status"], &mirror.socket(), "mirror");
    printed.assert(
        "serving: ",
        " 0 of 0 hosts following, no revocation waits, 0 alarms",
        &[
            "GitLab http",
            ": heard ",
            "full walk, every 1 h: the last ended 20",
            "hooks: taken, none waits",
            "verification of used keys, every 1 h: ",
        ],
        0,
    );
    assert_documented(&mirror.status(), "mirror", &["full_walk.last.ended"]);
}
