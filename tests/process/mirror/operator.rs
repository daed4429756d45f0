//! What an operator of a mirror runs: `check`, `status` and `admin`, and what each says when something is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use super::{MirrorEnv, WALKS_ONCE};
use crate::support::env::SHELL_SECRET;
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::faults::{Failure, Fault, Scope};
use crate::support::gitlab_api::instance::generated;
use crate::support::gitlab_api::instance::rest::{ApiVersion, Caller};

fn prepared() -> MirrorEnv {
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, generated::instance(1, 150, 200));
    MirrorEnv::prepare(gitlab, WALKS_ONCE, "")
}

fn check(mirror: &MirrorEnv, more: &[&str]) -> Output {
    let file = mirror.env.path().join("mirror.toml");
    mirror.env.run_sidegate(&[&["check", "--mirror", file.to_str().unwrap()], more].concat())
}

fn report(mirror: &MirrorEnv) -> (Option<i32>, String) {
    let output = check(mirror, &[]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn admin(mirror: &MirrorEnv, words: &[&str]) -> Output {
    let socket = mirror.socket();
    mirror.env.run_sidegate(&[&["admin", "--socket", socket.to_str().unwrap()], words].concat())
}

fn status(mirror: &MirrorEnv) -> String {
    let output = mirror.env.run_sidegate(&["status", "--socket", mirror.socket().to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    format!("{} {}", output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn check_asks_both_apis_of_gitlab_and_says_the_bounds() {
    let mirror = prepared();
    let (code, report) = report(&mirror);
    assert_eq!(code, Some(1), "it does not run yet: {report}");
    for line in [
        "public API: users is reached, and takes the token as an administrator's\n",
        "public API: deploy keys are shown to the token\n",
        "internal API is reached, and takes the shell secret\n",
        "is free; the daemon will listen there\n",
        "a key that is removed at GitLab is removed as its hook comes; if the hook is lost, within 1 h where it is used",
    ] {
        assert!(report.contains(line), "{line}: {report}");
    }
    let warnings: Vec<&str> = report.lines().filter(|line| line.starts_with("WARNING") || line.starts_with("ERROR")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("the daemon does not run"), "{report}");
}

#[test]
fn check_says_what_is_wrong_with_the_token_the_secret_or_gitlab_and_what_to_do() {
    let mirror = prepared();
    mirror.gitlab.set_token_role(Caller::SomebodyElse);
    let (code, said) = report(&mirror);
    assert!(
        code == Some(2)
            && said.contains("ERROR: public API: users: GitLab gives the users as it does to a token that is not an administrator's"),
        "{said}"
    );
    mirror.env.write("gitlab_token", "glpat-another-token-of-nobody");
    let (_, said) = report(&mirror);
    assert!(said.contains("ERROR: public API: users: ") && said.contains("with the scope read_api, and not expired or revoked?"), "{said}");
    mirror.env.write("shell_secret", "another-secret-of-thirty-two-hex");
    let (code, said) = report(&mirror);
    assert!(code == Some(2) && said.contains("ERROR: internal API: ") && said.contains("is the shell secret the one of GitLab?"), "{said}");
    mirror.gitlab.fail(Failure::of(Scope::All, Fault::ErrorPage(502)));
    let (code, said) = report(&mirror);
    assert!(code == Some(1) && said.contains("502") && said.contains("is gitlab.url right, and does GitLab run?"), "{said}");
}

#[test]
fn check_offline_asks_nobody_and_refuses_a_secret_or_a_store_that_others_may_read() {
    let mut mirror = prepared();
    mirror.gitlab.stop_listening();
    let output = check(&mirror, &["--offline"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.code() == Some(1) && said.ends_with("check: 1 warning\n") && !said.contains("public API"),
        "it does not run: {said}"
    );
    let store = mirror.env.path().join("mirror");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(mirror.env.path().join("hook_token"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = check(&mirror, &["--offline"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for says in ["ERROR: store.path: ", "chmod 0700", "ERROR: hooks.token_file: "] {
        assert!(said.contains(says), "both are named, and {says} is not in\n{said}");
    }
}

#[test]
fn status_says_first_whether_the_mirror_serves_and_then_its_alarms() {
    let mut mirror = prepared();
    mirror.gitlab.fail(Failure::of(Scope::Endpoint("deploy_keys"), Fault::Unauthorized));
    mirror.start_mirror();
    mirror.wait_for("the alarm", || mirror.has_alarm("token_refused"));
    let said = status(&mirror);
    assert!(said.starts_with("2 serving: not yet, first walk at 150 users") && said.contains(" users/s"), "{said}");
    assert!(said.lines().nth(1).unwrap().starts_with("ALARM token_refused since 20") && said.contains(": GitLab refuses"), "{said}");
    mirror.gitlab.recover();
    mirror.wait_for_first_walk();
    mirror.wait_for("the alarm to be over", || mirror.alarms().is_empty());
    let said = status(&mirror);
    assert!(said.starts_with("0 serving: 150 users and 200 keys, 0 of 0 hosts following, no revocation waits, 0 alarms\n"), "{said}");
    mirror.mirror.as_mut().unwrap().wait_for_notification("STATUS=serving: 150 users and 200 keys, 0 alarms");
}

#[test]
fn what_only_a_primary_does_is_refused_with_where_to_do_it() {
    let mut mirror = prepared();
    mirror.start_mirror();
    mirror.wait_for_first_walk();
    let file = mirror.env.write("directory.jsonl", "{\"kind\":\"settings\"}\n");
    for (words, remedy) in [
        (&["revoke-key", "1"][..], "remove the key there; its hook"),
        (&["block-user", "root"], "block the user there; the next short walk"),
        (&["apply", file.to_str().unwrap()], "change users and keys there"),
        (&["revocations"], "only a primary remembers"),
    ] {
        let output = admin(&mirror, words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(said.contains("a mirror's directory is GitLab's: ") && said.contains(remedy), "{said}");
    }
    for words in [&["hosts"][..], &["export"], &["accept-loss"], &["new-epoch"]] {
        let output = admin(&mirror, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(status(&mirror).contains("\na loss is accepted until 20"));
}
