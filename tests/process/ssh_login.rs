//! Logins through a real sshd: who gets in and who does not, with the primary alive, with it dead, and with nothing at all.

use crate::support::env::TestEnv;
use crate::support::generated_directory::{directory_of_keys, key_line, security_key_blob, user_line};
use crate::support::http::Request;
use crate::support::lookup::lookup_request;
use crate::support::scaled;
use crate::support::sshd::{KeyPair, Sshd};

const SHORT_KEYS_TTL: &str = "[freshness]\nkeys = { ttl = \"1s\", max_stale = \"1h\" }\n";

#[test]
fn keys_of_every_type_log_in_among_ten_thousand_and_a_foreign_one_does_not() {
    let env = TestEnv::running(&directory_of_keys(scaled(2_000, 10_000)));
    let Some(sshd) = Sshd::start(&env) else { return };
    let pairs =
        [("ed25519", 20_001), ("ecdsa -b 256", 20_002), ("ecdsa -b 384", 20_003), ("ecdsa -b 521", 20_004), ("rsa -b 4096", 20_005)]
            .map(|(kind, id)| (KeyPair::generate(&env, &format!("key-{id}"), kind), id));
    let foreign = KeyPair::generate(&env, "foreign", "ed25519");
    let mut more: String = pairs.iter().map(|(pair, id)| key_line(*id, 1, &pair.public_line)).collect();
    more.push_str(&key_line(20_006, 1, &format!("sk-ssh-ed25519@openssh.com {}", security_key_blob(6))));
    env.apply(&more);
    env.wait_until_fresh();
    for (pair, id) in &pairs {
        assert_eq!(sshd.login(&[pair]).as_deref(), Some(&*format!("forced: key-{id}")), "{}", sshd.log());
    }
    let found = env.run_helper(&security_key_blob(6));
    assert!(found.starts_with("command=\"") && found.contains(" key-20006\","), "{found}");
    assert_eq!(sshd.login(&[&foreign]), None);
    let others: Vec<KeyPair> = (0..4).map(|number| KeyPair::generate(&env, &format!("other-{number}"), "ed25519")).collect();
    let offered: Vec<&KeyPair> = others.iter().chain([&pairs[0].0]).collect();
    assert_eq!(sshd.login(&offered).as_deref(), Some("forced: key-20001"), "the fifth key offered is the right one");
}

#[test]
fn a_revoked_key_is_refused_at_the_very_next_try() {
    let rounds = scaled(4, 100);
    let env = TestEnv::running(&directory_of_keys(scaled(100, 10_000)));
    let Some(sshd) = Sshd::start(&env) else { return };
    let mut refused = 0;
    for round in 0..rounds {
        let (id, pair) = (30_000 + round, KeyPair::generate(&env, "revoked", "ed25519"));
        env.apply(&key_line(id, 1, &pair.public_line));
        env.wait_until_fresh();
        assert_eq!(sshd.login(&[&pair]), Some(format!("forced: key-{id}")), "{}", env.logs());
        let output = env.run_admin(&["revoke-key", &id.to_string(), "--wait"]);
        let message = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && message.contains("in force on ssh-1"), "{message}");
        assert_eq!(sshd.login(&[&pair]), None, "round {round}");
        refused += 1;
    }
    eprintln!("revoke-key --wait, then the next login: refused {refused} times of {rounds}");
}

#[test]
fn a_blocked_user_s_key_still_logs_in_so_that_they_read_why_they_may_not() {
    let env = TestEnv::running(&user_line(1));
    let Some(sshd) = Sshd::start(&env) else { return };
    let pair = KeyPair::generate(&env, "zoe", "ed25519");
    env.apply(&key_line(7, 1, &pair.public_line));
    let output = env.run_admin(&["block-user", "person-1", "--wait=30"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(sshd.login(&[&pair]).as_deref(), Some("forced: key-7"));
    let request = Request::post_form("/api/v4/internal/allowed", "key_id=7&project=a/b&action=git-upload-pack&protocol=ssh&changes=_any");
    let answer = env.request_sidecar(request);
    assert_eq!((answer.status, answer.json()["status"].as_bool()), (401, Some(false)), "{}", answer.text());
}

#[test]
fn with_the_primary_dead_known_keys_log_in_foreign_ones_do_not_and_the_status_states_the_bound() {
    let mut env = TestEnv::with_config("", SHORT_KEYS_TTL);
    env.start_primary();
    env.apply(&directory_of_keys(50));
    env.start_sidecar();
    env.wait_until_fresh();
    let Some(sshd) = Sshd::start(&env) else { return };
    let (known, foreign) = (KeyPair::generate(&env, "known", "ed25519"), KeyPair::generate(&env, "foreign", "ed25519"));
    env.apply(&key_line(777, 1, &known.public_line));
    env.wait_until_fresh();
    env.primary.as_mut().unwrap().kill();
    env.wait_for("the keys to be stale", || env.status()["freshness"]["keys"]["state"] == "stale");
    assert_eq!(sshd.login(&[&known]).as_deref(), Some("forced: key-777"));
    assert_eq!(sshd.login(&[&foreign]), None);
    let message = env.run_helper(foreign.blob());
    assert!(message.starts_with("# sidegate: the key could not be looked up (outage): "), "it may have been added since: {message}");
    let unknown = lookup_request(foreign.blob()).send(&env.sidecar_socket());
    assert_eq!((unknown.status, unknown.header("x-sidegate-degraded")), (424, Some("primary-unreachable")), "{}", unknown.text());
    let (status, code) = env.status_screen();
    assert_eq!(code, Some(1), "{status}");
    let keys = status.lines().find(|line| line.starts_with("keys: ")).unwrap_or_else(|| panic!("{status}"));
    assert!(keys.starts_with("keys: stale, ") && keys.contains("while it fails up to 1 h"), "{status}");
    assert!(status.contains("the primary has not answered since "), "{status}");
    assert!(env.sidecar.as_ref().unwrap().log().contains("primary stopped answering: "), "{}", env.logs());
}

#[test]
fn without_a_sidecar_it_is_an_outage_and_never_an_unknown_key() {
    let mut env = TestEnv::running(&directory_of_keys(20));
    let Some(sshd) = Sshd::start(&env) else { return };
    let pair = KeyPair::generate(&env, "known", "ed25519");
    env.apply(&key_line(777, 1, &pair.public_line));
    env.wait_until_fresh();
    assert!(env.sidecar.as_mut().unwrap().stop().success());
    let message = env.run_helper(pair.blob());
    assert!(message.starts_with("# sidegate: the key could not be looked up (outage): ") && message.lines().count() == 1, "{message}");
    assert_eq!(sshd.login(&[&pair]), None);
    assert!(env.logs().contains("sidecar stopped"), "{}", env.logs());
    env.start_sidecar();
    env.wait_until_fresh();
    assert_eq!(sshd.login(&[&pair]).as_deref(), Some("forced: key-777"));
}

#[test]
fn a_sidecar_that_never_followed_says_outage_and_its_log_and_metrics_say_so_too() {
    let mut env = TestEnv::new();
    env.start_sidecar();
    let blob = crate::support::generated_directory::key_blob(1);
    let message = env.run_helper(&blob);
    assert!(message.starts_with("# sidegate: the key could not be looked up (outage): sidegate answered 424"), "{message}");
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    let counted = |line: &str| line.starts_with("sidegate_answers_total{") && line.contains("authorized_keys") && line.contains("outage");
    assert!(metrics.lines().any(|line| counted(line) && line.ends_with(" 1")), "{metrics}");
    env.wait_for("the probe has failed too", || env.logs().contains("primary stopped answering: "));
}
