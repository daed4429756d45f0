//! From GitLab over its mirror to the hosts: who gets in, who does not any more, and what GitLab is asked for it.

use crate::mirror::host::{FRESH, Host, source_of};
use crate::mirror::{MirrorEnv, WALKS_ONCE, WALKS_RECENT};
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::sshd::{KeyPair, Sshd};

const KEYS: u64 = 30;

fn mirror(walk: &str) -> MirrorEnv {
    MirrorEnv::start(generated::instance(1, 20, KEYS), walk)
}

fn host(mirror: &MirrorEnv, name: &str) -> Host {
    let host = Host::start(mirror, name, FRESH);
    host.wait_until_followed(mirror);
    host
}

#[test]
fn somebody_logs_in_through_sshd_from_the_hook_on_until_the_key_is_destroyed_and_without_gitlab() {
    let mut mirror = mirror(WALKS_ONCE);
    let host = host(&mirror, "ssh-1");
    let Some(sshd) = Sshd::start(&mirror.env) else { return };
    let [pair, other] = ["one", "other"].map(|name| KeyPair::generate(&mirror.env, name, "ed25519"));
    assert_eq!(sshd.login(&[&pair]), None);
    let key = mirror.gitlab.add_key(3, &pair.public_line);
    assert_eq!(sshd.login(&[&pair]), Some(format!("forced: key-{key}")), "at once, whether the hook is here or not");
    mirror.wait_until_equal();
    host.wait_until_followed(&mirror);
    mirror.gitlab.stop_listening();
    assert_eq!(sshd.login(&[&pair]), Some(format!("forced: key-{key}")), "without GitLab");
    assert_eq!(source_of(&host.look_up(&pair.public_line)), "200 local");
    // A destroyed key binds also while GitLab cannot be asked.
    mirror.gitlab.delete_key(key);
    mirror.gitlab.hooks().flush();
    host.wait_until_followed(&mirror);
    assert_eq!(sshd.login(&[&pair, &other]), None, "{}", host.log());
}

#[test]
fn a_host_says_from_the_feed_whose_a_key_is_word_for_word_as_gitlab_does() {
    let mirror = mirror(WALKS_ONCE);
    let host = host(&mirror, "ssh-1");
    let settings = mirror.status()["settings"].clone();
    assert_eq!(settings, serde_json::json!({"host": "gitlab.example.com", "web_url": "https://gitlab.example.com"}));
    let key = mirror.gitlab.instance().keys().next().unwrap().clone();
    let local = host.look_up(&key.line);
    mirror.mirror.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGSTOP);
    let asking = Host::start(&mirror, "ssh-2", FRESH);
    let asked = asking.look_up(&key.line);
    mirror.mirror.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!([source_of(&local), source_of(&asked)], ["200 local", "200 forwarded"]);
    assert_eq!(local.json(), asked.json());
}

#[test]
fn a_key_that_gitlab_destroys_is_refused_on_every_host_and_costs_no_question_of_a_host() {
    let mirror = mirror(WALKS_ONCE);
    let hosts: Vec<Host> = (1..=3).map(|number| host(&mirror, &format!("ssh-{number}"))).collect();
    for host in &hosts {
        assert_eq!(host.pull(&mirror, 7).status, 200);
        assert_eq!(source_of(&host.pull(&mirror, 7)), "200 cached");
    }
    mirror.gitlab.delete_key(7);
    mirror.gitlab.hooks().flush();
    for host in &hosts {
        host.wait_until_followed(&mirror);
        assert_eq!(host.look_up(&key_line(7)).status, 404);
        assert_eq!(host.pull(&mirror, 7).status, 404, "what was kept for it is gone too");
    }
}

#[test]
fn a_user_whom_gitlab_blocks_is_given_nothing_that_was_kept() {
    let mirror = mirror(WALKS_RECENT);
    let host = host(&mirror, "ssh-1");
    let key = mirror.gitlab.instance().keys().next().unwrap().clone();
    assert_eq!([host.pull(&mirror, key.id).status, host.pull(&mirror, key.id).status], [200, 200]);
    mirror.gitlab.set_state(key.user.unwrap(), "blocked");
    mirror.wait_until_equal();
    host.wait_until_followed(&mirror);
    let refused = host.pull(&mirror, key.id);
    assert_eq!((source_of(&refused), refused.message().as_str()), ("401 forwarded".to_owned(), "Your account has been blocked."));
    assert_eq!(source_of(&host.look_up(&key.line)), "200 local", "so that the user reads why");
}

#[test]
fn a_key_in_use_whose_removal_nobody_told_is_found_because_the_host_reports_its_use() {
    let mirror = mirror("full = \"1h\"\nrecent = \"1h\"\nverify_every = \"1s\"\n");
    mirror.gitlab.hooks().set_delivery(None);
    let host = host(&mirror, "ssh-1");
    assert_eq!(source_of(&host.look_up(&key_line(7))), "200 local");
    mirror.wait_for("the key to be verified", || mirror.status()["verification"]["asked"].as_u64() >= Some(1));
    mirror.gitlab.delete_key(7);
    mirror.wait_for("the key to be refused", || host.look_up(&key_line(7)).status == 404);
    assert_eq!(mirror.published(), mirror.expected());
}

#[test]
fn gitlab_is_asked_no_more_by_five_hosts_than_by_one() {
    let mirror = mirror(WALKS_ONCE);
    let ask_for_all = |hosts: &[Host]| {
        let before = mirror.status()["verification"]["asked"].as_u64().unwrap();
        mirror.gitlab.take_arrivals();
        for host in hosts {
            for number in 1..=KEYS {
                assert_eq!(source_of(&host.look_up(&key_line(number))), "200 local");
            }
            mirror.wait_for("its uses to be reported", || host.status()["usage"]["reported"].as_u64() >= Some(KEYS));
        }
        let verified = || mirror.status()["verification"].clone();
        mirror.wait_for("all to be verified", || verified()["asked"].as_u64() >= Some(KEYS) && verified()["waiting"] == 0);
        let arrivals = mirror.gitlab.take_arrivals();
        let questions = arrivals.iter().filter(|arrival| KEYS_ASKED.contains(&arrival.endpoint)).count();
        (questions, mirror.status()["verification"]["asked"].as_u64().unwrap() - before)
    };
    let one = ask_for_all(&[host(&mirror, "ssh-1")]);
    assert_eq!(one.1, KEYS);
    let others: Vec<Host> = (2..=6).map(|number| host(&mirror, &format!("ssh-{number}"))).collect();
    let five = ask_for_all(&others);
    assert_eq!(five.1, 0, "each key was verified before, and is so once in `verify_every`");
    assert!(five.0 <= one.0, "{five:?} {one:?}");
}

/// What hosts and verification ask about keys.
const KEYS_ASKED: [&str; 3] = ["authorized_keys", "discover", "key_by_fingerprint"];

#[test]
fn a_new_host_is_served_by_a_restarted_mirror_while_gitlab_is_away() {
    let mut mirror = mirror(WALKS_ONCE);
    mirror.gitlab.stop_listening();
    mirror.crash_mirror();
    let host = host(&mirror, "ssh-1");
    let instance = mirror.gitlab.instance().clone();
    for key in instance.keys() {
        assert_eq!(source_of(&host.look_up(&key.line)), "200 local");
    }
    assert_eq!(host.look_up(&key_line(999)).status, 424, "a key that is not known may have been added: an outage, never a no");
}
