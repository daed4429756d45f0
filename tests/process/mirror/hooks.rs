//! What each system hook does.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::{HOOK_TOKEN, MirrorEnv, WALKS_ONCE};
use crate::support::TIMEOUT;
use crate::support::env::SHELL_SECRET;
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::delivery::{Delivery, post};
use crate::support::gitlab_api::faults::{Failure, Fault, Scope};
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::http::Request;
use crate::support::loop_disk::LoopDisk;

fn mirror() -> MirrorEnv {
    MirrorEnv::start(generated::instance(1, 20, 30), WALKS_ONCE)
}

#[test]
fn every_change_that_a_hook_tells_is_published() {
    let mirror = mirror();
    let key = mirror.gitlab.add_key(3, &key_line(100));
    mirror.wait_until_equal();
    mirror.gitlab.delete_key(key);
    mirror.wait_until_equal();
    let user = mirror.gitlab.add_user("new-one");
    mirror.wait_until_equal();
    mirror.gitlab.add_key(user, &key_line(101));
    mirror.gitlab.add_key(user, &key_line(102));
    mirror.gitlab.rename_user(user, "other-name");
    mirror.wait_until_equal();
    mirror.gitlab.set_state(user, "blocked");
    mirror.gitlab.sign_in(user);
    mirror.wait_until_equal();
    mirror.gitlab.delete_user(user);
    mirror.wait_until_equal();
    let deploy = mirror.gitlab.add_deploy_key(4, &key_line(103));
    mirror.wait_until_equal();
    assert_eq!(mirror.published().keys[&deploy].0, None, "a deploy key is nobody's, whoever created it");
    mirror.gitlab.delete_key(deploy);
    mirror.wait_until_equal();
    mirror.gitlab.hooks().flush();
    assert!(mirror.gitlab.hooks().delivered().iter().all(|delivered| delivered.status == Some(200)));
}

#[test]
fn a_destroyed_key_is_gone_when_the_hook_is_answered_also_without_gitlab() {
    let mut mirror = mirror();
    let (first, second) = (mirror.gitlab.add_key(3, &key_line(100)), mirror.gitlab.add_key(3, &key_line(101)));
    mirror.wait_until_equal();
    mirror.gitlab.delete_key(first);
    mirror.gitlab.hooks().flush();
    assert!(!mirror.published().keys.contains_key(&first));
    mirror.gitlab.stop_listening();
    mirror.gitlab.delete_key(second);
    mirror.gitlab.hooks().flush();
    assert!(!mirror.published().keys.contains_key(&second));
    mirror.crash_mirror();
    assert!(!mirror.published().keys.contains_key(&second), "what was answered is on disk");
    mirror.gitlab.listen();
    mirror.wait_until_equal();
}

#[test]
fn whoever_shows_no_token_is_refused_before_the_body_has_come() {
    let mirror = mirror();
    let mut stream = TcpStream::connect(mirror.delivery().address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT / 4)).unwrap();
    let head =
        "POST /hooks/gitlab HTTP/1.1\r\nHost: mirror\r\nX-Gitlab-Event: System Hook\r\nX-Gitlab-Token: another\r\nContent-Length: 1000";
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line).expect("an answer without the body");
    assert_eq!(&status_line, b"HTTP/1.1 401");
    mirror.wait_for("the alarm", || mirror.has_alarm("hook_token"));
}

#[test]
fn hooks_are_taken_at_their_own_address_only_whatever_the_path() {
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, generated::instance(1, 20, 30));
    let feed_at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut mirror = MirrorEnv::prepare(gitlab, WALKS_ONCE, &format!("[listen]\naddress = \"{feed_at}\"\n"));
    mirror.start_mirror();
    mirror.wait_for_first_walk();
    let key = *mirror.published().keys.keys().next().unwrap();
    let hook = json!({"event_name": "key_destroy", "id": key});
    for path in ["/hooks/gitlab", "/api/v4/hooks/gitlab", "/gitlab/api/v4/hooks/gitlab", "/hooks//gitlab", "/api/v4//hooks/gitlab"] {
        let elsewhere = Delivery { address: feed_at, path: path.to_owned(), ..mirror.delivery() };
        assert!(post(&elsewhere, &hook).is_some_and(|status| [400, 404].contains(&status)), "{path}");
        let at_socket = Request::post(path, &hook).header("X-Gitlab-Token", HOOK_TOKEN).send(&mirror.socket());
        assert!([400, 404].contains(&at_socket.status), "{path}: {}", at_socket.text());
        let without_token = Delivery { path: path.to_owned(), token: String::new(), ..mirror.delivery() };
        assert!(post(&without_token, &hook).is_some_and(|status| [400, 401, 404].contains(&status)), "{path}");
    }
    assert!(mirror.published().keys.contains_key(&key));
    assert_eq!(post(&mirror.delivery(), &hook), Some(200));
    assert!(!mirror.published().keys.contains_key(&key));
}

#[test]
fn a_gitlab_that_hangs_up_while_the_disk_hangs_has_told_all_the_same_that_a_key_is_destroyed() {
    let gitlab = GitlabApi::on_tcp("/gitlab", ApiVersion::V17, SHELL_SECRET, generated::instance(1, 20, 30));
    let mut mirror = MirrorEnv::prepare(gitlab, WALKS_ONCE, "");
    let store = mirror.env.path().join("mirror");
    let Some(disk) = LoopDisk::mount(&mirror.env.path().join("disk.image"), &store, 48) else { return };
    let _never_used = std::fs::remove_dir(store.join("lost+found"));
    mirror.start_mirror();
    mirror.wait_for_first_walk();
    mirror.gitlab.hooks().set_delivery(Some(mirror.delivery()));
    let key = mirror.gitlab.add_key(3, &key_line(100));
    mirror.wait_until_equal();
    mirror.gitlab.hooks().flush();
    let hook = mirror.gitlab.instance().delete_key(key).unwrap();
    let again = mirror.gitlab.instance().add_key(3, &key_line(100)).0;
    disk.freeze();
    post_and_hang_up(&mirror.delivery(), &hook);
    mirror.wait_for("the mirror to see that nobody waits", || {
        let metrics = Request::get("/-/metrics").send(&mirror.socket()).text();
        metrics.lines().any(|line| line.contains("hooks/gitlab") && line.contains("abandoned") && !line.ends_with(" 0"))
    });
    disk.thaw();
    mirror.wait_until_equal();
    assert!(mirror.published().keys.contains_key(&again), "it was asked about after it was removed");
    assert!(mirror.mirror.as_mut().unwrap().stop().success());
}

/// Sends a hook and does not wait for the answer.
fn post_and_hang_up(delivery: &Delivery, hook: &serde_json::Value) {
    let body = hook.to_string();
    let mut stream = TcpStream::connect(delivery.address).unwrap();
    let head =
        format!("POST {} HTTP/1.1\r\nHost: mirror\r\nX-Gitlab-Event: System Hook\r\nX-Gitlab-Token: {}", delivery.path, delivery.token);
    write!(stream, "{head}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
}

#[test]
fn a_hook_that_contradicts_gitlab_is_settled_by_asking() {
    let mirror = mirror();
    let key = mirror.gitlab.add_key(3, &key_line(100));
    let hook = mirror.gitlab.instance().delete_key(key).unwrap();
    let again = mirror.gitlab.instance().add_key(3, &key_line(100)).0;
    let delivery = mirror.delivery();
    assert_eq!(post(&delivery, &hook), Some(200));
    mirror.wait_until_equal();
    assert!(mirror.published().keys.contains_key(&again), "the key was added again before its removal was told");

    let created = json!({"event_name": "key_create", "username": "person-4", "key": format!("{} x", key_line(200)), "id": 4000});
    let renamed = json!({"event_name": "user_rename", "user_id": 5, "username": "somebody", "old_username": "person-5"});
    let destroyed = json!({"event_name": "user_destroy", "user_id": 6, "username": "person-6"});
    let unknown = json!({"event_name": "user_create", "user_id": 4000, "username": "nobody"});
    let strange = json!({"event_name": "key_destroy", "key": format!("{} x", key_line(201)), "id": 4001});
    for hook in [created, renamed, destroyed, unknown, strange] {
        assert_eq!(post(&delivery, &hook), Some(200), "{hook}");
    }
    mirror.wait_for("all to be asked", || mirror.status()["hooks"]["waiting"] == 0);
    assert_eq!(mirror.published(), mirror.expected());
}

#[test]
fn a_new_key_is_published_only_once_gitlab_confirms_it() {
    let mirror = mirror();
    mirror.gitlab.fail(Failure::of(Scope::All, Fault::ErrorPage(502)));
    let before = mirror.seq();
    let key = mirror.gitlab.add_key(3, &key_line(100));
    mirror.gitlab.hooks().flush();
    mirror.wait_for("an alarm", || mirror.has_alarm("internal_api_unusable"));
    assert_eq!(mirror.seq(), before);
    mirror.gitlab.recover();
    mirror.wait_until_equal();
    assert!(mirror.published().keys.contains_key(&key));
    mirror.wait_for("the alarm to be over", || mirror.alarms().is_empty());
}

#[test]
fn hooks_in_any_order_doubled_and_while_the_mirror_is_killed_lead_to_what_gitlab_holds() {
    let mut mirror = mirror();
    let doubled = Delivery { seed: 3, doubled: 30, held_back: 50, ..mirror.delivery() };
    mirror.gitlab.hooks().set_delivery(Some(doubled));
    for round in 0..4_u64 {
        for number in 0..15 {
            let key = mirror.gitlab.add_key(1 + number, &key_line(1000 + 100 * round + number));
            if number % 2 == 0 {
                mirror.gitlab.delete_key(key);
            }
            mirror.gitlab.rename_user(2 + number % 5, &format!("name-{round}-{number}"));
        }
        mirror.gitlab.hooks().flush();
        mirror.crash_mirror();
    }
    mirror.wait_until_equal();
}

#[test]
fn a_wrong_token_is_refused_with_an_alarm_and_what_is_not_understood_is_counted() {
    let mirror = mirror();
    let delivery = mirror.delivery();
    let before = (mirror.seq(), mirror.published());
    let hook = json!({"event_name": "key_destroy", "id": 1, "key": format!("{} x", key_line(1))});
    for token in ["", "wrong", &HOOK_TOKEN[1..]] {
        assert_eq!(post(&Delivery { token: token.to_owned(), ..delivery.clone() }, &hook), Some(401), "{token}");
    }
    assert!(mirror.has_alarm("hook_token"));
    assert_eq!(post(&delivery, &json!({"event_name": "project_create", "project_id": 1})), Some(200));
    assert!(!mirror.has_alarm("hook_token"), "the right token ends it");
    assert_eq!(post(&delivery, &json!({"event_name": "key_destroy"})), Some(200), "a hook that fails is switched off");
    assert_eq!(post(&delivery, &json!([1])), Some(400));
    assert_eq!((mirror.seq(), mirror.published()), before);
}
