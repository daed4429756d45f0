//! States of a host whose primary does not answer, or not as it should: dead, hung, slow, refusing, and nothing left that may be given.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::status_states::json::assert_documented;
use crate::status_states::{LONG_FRESH, Printed, SOON_EXPIRED, linked, look_up, status, verdict_of_keys, wait_for_status};
use crate::support::env::TestEnv;
use crate::support::generated_directory::directory_of_keys;
use crate::support::link::{Delivery, Traffic};

/// Bounds with which a host soon asks first, and still counts its proof as young for half a minute.
const SLOW: &str = "[freshness]\nkeys = { ttl = \"3s\", max_stale = \"1h\" }\nreads = { ttl = \"3s\", max_stale = \"1h\" }\n\
                    push_precheck = { ttl = \"3s\", max_stale = \"1h\" }\n";

fn running(freshness: &str) -> TestEnv {
    let mut env = TestEnv::with_config("", freshness);
    env.start_primary();
    env.apply(&directory_of_keys(8));
    env.start_sidecar();
    env.wait_until_caught_up();
    env
}

#[test]
fn expired() {
    let mut env = running(SOON_EXPIRED);
    env.primary.as_mut().unwrap().kill();
    wait_for_status(&env, "all to be expired", |status| {
        let all_expired = ["keys", "reads", "push_precheck"].iter().all(|class| status["freshness"][class]["verdict"] == "expired");
        all_expired && status["primary"]["state"] == "silent"
    });
    status(&env, "expired").assert(
        "serving: expired since 20",
        ", 0 alarms",
        &[
            " UTC, not following since 20",
            ": keys, reads, push_precheck: nothing is answered from here, the primary is asked, and while it fails people are told of an outage",
            "keys: expired, ",
        ],
        2,
    );
}

#[test]
fn nothing_loaded_yet() {
    let mut env = TestEnv::new();
    env.start_sidecar();
    wait_for_status(&env, "the probe to fail", |status| status["primary"]["state"] == "silent");
    wait_for_status(&env, "the snapshot to fail", |status| status["follower"]["last_error"].to_string().contains("answer from"));
    let printed = status(&env, "nothing loaded yet");
    printed.assert(
        "serving: expired (nothing has been loaded yet), not following since 20",
        ", 0 alarms",
        &[
            "keys: expired, never proven current; ",
            "; there is nothing here to answer from yet\n",
            "to do: make the primary answer from here, ",
        ],
        2,
    );
    assert!(!printed.text.contains("from what is here"), "{}", printed.text);
}

#[test]
fn primary_dead() {
    let mut env = running(LONG_FRESH);
    env.primary.as_mut().unwrap().kill();
    wait_for_status(&env, "the probe to fail", |status| status["primary"]["state"] == "silent");
    status(&env, "primary dead").assert(
        "serving: fresh, not following since 20",
        ", 0 alarms",
        &[
            ", the primary has not answered since 20",
            "; it is asked again every second\n  to do: look whether it runs and can be reached from here, ",
            "primary: does not answer, it",
        ],
        1,
    );
    assert_documented(&env.status(), "sidecar", &[]);
    env.start_primary();
    wait_for_status(&env, "it to be back", |status| {
        status["follower"]["connected_since"].is_string() && status["primary"]["breaker"] == "closed"
    });
    assert_eq!(status(&env, "primary back").first_line(), "serving: fresh, following, 0 alarms");
}

#[test]
fn primary_hung() {
    let env = running(LONG_FRESH);
    env.primary.as_ref().unwrap().signal(Signal::SIGSTOP);
    wait_for_status(&env, "the probe to fail", |status| status["primary"]["state"] == "silent");
    let at_first = status(&env, "primary hung, at first");
    assert!(at_first.first_line().contains(", the primary has not answered since 20") && at_first.code == Some(1), "{}", at_first.text);
    wait_for_status(&env, "the feed to be given up", |status| status["follower"]["lost_since"].is_string());
    status(&env, "primary hung").assert(
        "serving: fresh, not following since 20",
        ", 0 alarms",
        &[
            ": no answer",
            " within 2s; it is asked again every second",
            "the feed of the primary is not connected since 20",
            "to do: make the primary answer from here",
        ],
        1,
    );
    env.primary.as_ref().unwrap().signal(Signal::SIGCONT);
    wait_for_status(&env, "it to be back", |status| {
        status["follower"]["connected_since"].is_string() && status["primary"]["breaker"] == "closed"
    });
    let text = status(&env, "primary goes on").text;
    assert!(text.starts_with("serving: fresh, following, 0 alarms\n") && !text.contains("does not answer"), "{text}");
}

#[test]
fn primary_slow() {
    let (env, link) = linked(SLOW);
    link.deliver(Traffic::Feed, Delivery::Held);
    wait_for_status(&env, "the keys to be stale", |status| verdict_of_keys(status) == "stale");
    link.hold_answers("/internal/authorized_keys", 1);
    assert_eq!(look_up(&env, 104).status, 200);
    link.wait_held(1);
    status(&env, "primary slow").assert(
        "serving: stale since 20",
        ", following, 0 alarms",
        &[
            "the primary is slow: 1 time it had not answered within 150 ms and what is held was given, the last 20",
            "to do: look at its load; nobody whom this host knows waits for it",
            "primary: answers slowly, ",
            "; 1 questions under way, 0 waiting; 1 answers given while it was slow",
        ],
        1,
    );
    link.release_held();
    wait_for_status(&env, "the answer to arrive", |status| status["primary"]["questions_under_way"] == 0);
}

#[test]
fn primary_refuses_this_host() {
    let mut env = running(LONG_FRESH);
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    for name in ["shell_secret", "sync_secret"] {
        env.write(&format!("other_{name}"), "another-secret-of-thirty-two-hex");
        env.replace_in_file("sidegate.toml", &format!("/{name}\""), &format!("/other_{name}\""));
    }
    env.start_sidecar();
    wait_for_status(&env, "both refusals", |status| {
        status["primary"]["state"] == "refuses" && status["alarms"].to_string().contains("\"forbidden\"")
    });
    status(&env, "primary refuses this host").assert(
        "serving: ",
        ", 1 alarms",
        &[
            "not following since 20",
            ", the primary refuses this host since 20",
            "ALARM forbidden since 20",
            "to do: compare `primary.sync_secret_file`",
            "to do: compare `auth.shell_secret_file` (or `primary.shell_secret_file`) with the secret there, and both clocks",
            "to do: as for the alarm `forbidden` above",
            "primary: refuses this host, ",
        ],
        1,
    );
}

#[test]
fn the_daemon_is_away() {
    let env = TestEnv::new();
    let printed = Printed::of(&env, &["status"], &env.sidecar_socket(), "the daemon is away");
    printed.assert(
        "sidegate: away: ",
        "is --socket its socket?",
        &["api.sock", "to do: run as root; see `systemctl status sidegate.socket"],
        2,
    );
    let printed = Printed::of(&env, &["status", "--json"], &env.sidecar_socket(), "the daemon is away, --json");
    assert_eq!(printed.code, Some(2), "{}", printed.text);
    let printed = Printed::of_admin(&env, &["status"], &env.primary_socket(), "the primary is away");
    printed.assert("sidegate: away: ", "", &["see `systemctl status sidegate-primary.service`"], 2);
}

/// Prints the status of the sidecar as a user without any right.
fn status_as_nobody(env: &TestEnv) -> (String, Option<i32>) {
    let program = env.path().join("sidegate");
    std::fs::copy(env!("CARGO_BIN_EXE_sidegate"), &program).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "nobody", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(["status", "--socket"])
        .arg(env.sidecar_socket());
    let output = command.stdin(Stdio::null()).output().unwrap();
    (String::from_utf8([output.stdout, output.stderr].concat()).unwrap(), output.status.code())
}

#[test]
fn who_may_not_ask_the_daemon_is_not_told_that_it_is_away() {
    if !nix::unistd::Uid::effective().is_root() {
        return eprintln!("SKIPPED: only root can ask as another user");
    }
    let mut env = running(LONG_FRESH);
    let assert_not_told = |(text, code): (String, Option<i32>), reason: &str| {
        assert!(text.starts_with("sidegate: not permitted: ") && text.contains(reason), "{text}");
        assert!(
            text.contains("to do: run it as root, or give this user `admin` in a [[peer]]") && !text.contains("Until it is back"),
            "{text}"
        );
        assert_eq!(code, Some(2), "{text}");
    };
    assert_not_told(status_as_nobody(&env), "Permission denied");
    env.replace_in_file("sidegate.toml", "[auth]\n", "mode = \"0666\"\n[auth]\n");
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    env.start_sidecar();
    assert_not_told(status_as_nobody(&env), "may not ask this here");
}
