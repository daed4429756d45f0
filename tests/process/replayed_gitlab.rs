//! The GitLab that the tests of the mirror replay, tested itself: it says what the contract says, and fails as it is told to.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::Value;

use crate::support::fake_primary::{RecordedRequest, json_response};
use crate::support::gitlab_api::delivery::Delivery;
use crate::support::gitlab_api::faults::{Failure, Fault, Scope};
use crate::support::gitlab_api::instance::generated::{self, key_line};
use crate::support::gitlab_api::instance::records::Instance;
use crate::support::gitlab_api::instance::rest::{ApiVersion, Caller};
use crate::support::gitlab_api::{ADMIN_TOKEN, GitlabApi, OTHER_TOKEN, most_within};
use crate::support::http::{Request, Response};

const SECRET: &str = "a-shell-secret-of-thirty-two-hex";

fn gitlab(version: ApiVersion, instance: Instance) -> GitlabApi {
    GitlabApi::on_tcp("/gitlab", version, SECRET, instance)
}

fn address(gitlab: &GitlabApi) -> SocketAddr {
    gitlab.url().strip_prefix("http://").unwrap().strip_suffix("/gitlab").unwrap().parse().unwrap()
}

fn ask_as(gitlab: &GitlabApi, token: &str, target: &str) -> Response {
    Request::get(&format!("/gitlab/api/v4/{target}")).header("PRIVATE-TOKEN", token).send_tcp(address(gitlab))
}

fn ask(gitlab: &GitlabApi, target: &str) -> Response {
    ask_as(gitlab, ADMIN_TOKEN, target)
}

/// What stands in the link to the next page, below `/api/v4/`.
fn next(response: &Response) -> Option<String> {
    let link = response.header("link")?;
    let link = link.split(", ").find(|link| link.ends_with("rel=\"next\""))?;
    let url = link.strip_prefix("<https://gitlab.example.com/gitlab/api/v4/").expect("the external URL, whatever was asked");
    Some(url.split('>').next().unwrap().to_owned())
}

fn ids(response: &Response) -> Vec<u64> {
    response.json().as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

/// Follows the links to the end.
fn all(gitlab: &GitlabApi, first: &str) -> Vec<u64> {
    let (mut found, mut target) = (Vec::new(), Some(first.to_owned()));
    while let Some(asked) = target {
        let response = ask(gitlab, &asked);
        found.extend(ids(&response));
        target = next(&response);
    }
    found
}

#[test]
fn pages_by_cursor_and_by_number_lead_through_all_users() {
    let instance = generated::instance(1, 230, 0);
    let new = gitlab(ApiVersion::V17, instance.clone());
    let keyset = "users?pagination=keyset&order_by=id&sort=asc&per_page=100";
    let first = ask(&new, keyset);
    assert!(next(&first).unwrap().contains("cursor=") && !first.header("link").unwrap().contains("rel=\"last\""));
    assert_eq!(all(&new, keyset), (1..=230).collect::<Vec<_>>());
    assert_eq!(all(&new, "users?per_page=1000"), (1..=230).rev().collect::<Vec<_>>(), "the default order");
    assert_eq!(ask(&new, "users?pagination=keyset").status, 405);

    let old = gitlab(ApiVersion::V15, instance);
    let first = ask(&old, keyset);
    assert!(next(&first).unwrap().contains("page=2") && first.header("x-total") == Some("230"));
    assert_eq!(all(&old, keyset), (1..=230).collect::<Vec<_>>());
    assert_eq!(new.requests("users"), 3 + 1 + 3 + 1);
}

#[test]
fn an_update_sorts_users_but_is_not_shown_and_a_key_is_none() {
    let gitlab = gitlab(ApiVersion::V17, generated::instance(1, 10, 0));
    let newest = || ids(&ask(&gitlab, "users?pagination=keyset&order_by=updated_at&sort=desc"))[0];
    gitlab.set_state(4, "blocked");
    assert_eq!(newest(), 4);
    gitlab.add_key(6, &key_line(1));
    assert_eq!(newest(), 4);
    gitlab.sign_in(5);
    assert_eq!(newest(), 5);
    let user = ask(&gitlab, "users/4").json();
    assert_eq!((user["state"].as_str(), user.get("updated_at")), (Some("blocked"), None));
}

#[test]
fn only_the_answer_by_fingerprint_tells_a_deploy_key() {
    let gitlab = gitlab(ApiVersion::V17, generated::instance(1, 3, 0));
    let (own, deploy) = (gitlab.add_key(2, &key_line(1)), gitlab.add_deploy_key(2, &key_line(2)));
    assert_eq!(ids(&ask(&gitlab, "users/2/keys")), [own]);
    assert_eq!(ids(&ask(&gitlab, "deploy_keys")), [deploy]);
    let fields = |id| ask(&gitlab, &format!("keys/{id}")).json().as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(fields(own), fields(deploy));
    assert_eq!(ask(&gitlab, &format!("keys/{deploy}")).json()["user"]["id"], 2);
    let by_fingerprint = |line: &str| {
        let fingerprint = line.parse::<sidegate::model::key::PublicKey>().unwrap().fingerprint().to_string();
        ask(&gitlab, &format!("keys?fingerprint={}", crate::support::generated_directory::query_encode(&fingerprint)))
    };
    assert!(by_fingerprint(&key_line(2)).json()["deploy_keys_projects"].is_array());
    assert!(by_fingerprint(&key_line(1)).json().get("deploy_keys_projects").is_none());
    assert_eq!(by_fingerprint(&key_line(3)).message(), "404 Key Not Found");
    assert_eq!(ask(&gitlab, "keys/99").message(), "404 Not found");
    assert_eq!(ask(&gitlab, "keys?fingerprint=x").message(), "Failed to return the key");
    assert_eq!(ask(&gitlab, "users/99/keys").message(), "404 User Not Found");
}

#[test]
fn somebody_else_sees_less_and_nobody_nothing() {
    let gitlab = gitlab(ApiVersion::V17, generated::instance(1, 30, 0));
    assert_eq!(ask_as(&gitlab, "none", "users").status, 401);
    let shown = ask_as(&gitlab, OTHER_TOKEN, "users?order_by=id&sort=asc&per_page=30");
    assert_eq!(ids(&shown)[0], 30, "the order is dropped in silence");
    assert!(shown.json()[0].get("is_admin").is_none());
    assert_eq!(ask_as(&gitlab, OTHER_TOKEN, "deploy_keys").status, 403);
    gitlab.set_token_role(Caller::SomebodyElse);
    assert_eq!(ask(&gitlab, "keys/1").status, 403);
}

#[test]
fn it_fails_as_it_is_told_and_as_often() {
    let gitlab = gitlab(ApiVersion::V17, generated::instance(1, 3, 0));
    gitlab.fail(Failure::of(Scope::Rest, Fault::TooManyRequests(Some(7))).after(1).times(1));
    assert_eq!(ask(&gitlab, "users").status, 200);
    let limited = ask(&gitlab, "users");
    assert_eq!((limited.status, limited.header("retry-after"), limited.text().as_str()), (429, Some("7"), "Retry later\n"));
    assert_eq!(ask(&gitlab, "users").status, 200);
    gitlab.fail(Failure::of(Scope::Endpoint("users"), Fault::EmptyList).times(1));
    assert_eq!(ask(&gitlab, "users").text(), "[]");
    gitlab.fail(Failure::of(Scope::All, Fault::HtmlWith200));
    assert!(ask(&gitlab, "users").text().starts_with("<html>"));
    gitlab.recover();
    gitlab.fail(Failure::of(Scope::Internal, Fault::ErrorPage(502)));
    assert_eq!(ask(&gitlab, "users").status, 200);
    assert_eq!(ask(&gitlab, "internal/check").status, 502);
    gitlab.recover();
    gitlab.fail(Failure::of(Scope::All, Fault::Slow(Duration::from_secs(3600))));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| ask(&gitlab, "users").status);
        gitlab.wait_for_requests("users", 6);
        gitlab.recover();
        assert_eq!(late.join().unwrap(), 200, "what waits is answered when it recovers");
    });
    let arrivals = gitlab.take_arrivals();
    assert_eq!(most_within(&arrivals, Duration::from_secs(3600)), arrivals.len());
}

#[test]
fn every_way_to_fail_is_something_else_than_an_answer() {
    let mut gitlab = gitlab(ApiVersion::V17, generated::instance(1, 150, 0));
    let fail_with = |fault| {
        gitlab.recover();
        gitlab.fail(Failure::of(Scope::All, fault));
        ask(&gitlab, "users?per_page=100")
    };
    assert_eq!(fail_with(Fault::Unauthorized).message(), "401 Unauthorized");
    assert_eq!(fail_with(Fault::Redirect).status, 302);
    assert_eq!(fail_with(Fault::TooManyRequests(None)).header("retry-after"), None);
    let unlinked = fail_with(Fault::NoLinks);
    assert_eq!((ids(&unlinked).len(), unlinked.header("link"), unlinked.header("x-next-page")), (100, None, None));
    let cut = fail_with(Fault::CutShort);
    assert!(cut.header("content-length").unwrap().parse::<usize>().unwrap() > cut.body.len());
    gitlab.recover();
    gitlab.fail(Failure::of(Scope::All, Fault::Hung));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&gitlab, "users").status);
        gitlab.wait_for_requests("users", 6);
        gitlab.recover();
        assert_eq!(waits.join().unwrap(), 200);
    });
    let at = address(&gitlab);
    gitlab.stop_listening();
    assert!(std::net::TcpStream::connect(at).is_err());
    gitlab.listen();
    assert_eq!((address(&gitlab), ask(&gitlab, "users").status), (at, 200));
}

#[test]
fn something_can_happen_between_two_pages() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("gitlab.sock");
    let gitlab = GitlabApi::on_unix(&socket, ApiVersion::V15, SECRET, generated::instance(1, 250, 0));
    assert_eq!(gitlab.url(), format!("http+unix://{}", socket.display()));
    gitlab.before_answer(|endpoint, before, instance| match (endpoint, before) {
        ("users", 1) => instance.delete_user(50),
        _ => Vec::new(),
    });
    let page = |number| {
        let target = format!("/api/v4/users?order_by=id&sort=asc&per_page=100&page={number}");
        Request::get(&target).header("PRIVATE-TOKEN", ADMIN_TOKEN).send(&socket)
    };
    assert_eq!(ids(&page(1)), (1..=100).collect::<Vec<_>>());
    assert_eq!(ids(&page(2))[0], 102, "what was on the second page has moved to the first");
    assert!(gitlab.take_arrivals().iter().all(|arrival| arrival.endpoint == "users" && arrival.target.contains("page=")));
}

#[test]
fn a_backup_that_is_put_back_gives_ids_again() {
    let gitlab = gitlab(ApiVersion::V17, generated::instance(1, 3, 0));
    let backup = gitlab.instance().clone();
    let first = gitlab.add_key(2, &key_line(1));
    *gitlab.instance() = backup;
    assert_eq!(ids(&ask(&gitlab, "users/2/keys")), [0_u64; 0]);
    assert_eq!(gitlab.add_key(3, &key_line(2)), first);
}

/// Receives hooks until so many have come; returns their bodies in the order in which they came.
fn receive(listener: &TcpListener, count: usize) -> Vec<Value> {
    let take = |_| {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = std::io::BufReader::new(stream);
        let request = RecordedRequest::read_from(&mut stream).unwrap();
        assert_eq!(request.header("x-gitlab-event"), Some("System Hook"));
        assert_eq!(request.header("x-gitlab-token"), Some("hook-token"));
        std::io::Write::write_all(stream.get_mut(), &json_response(200, "")).unwrap();
        stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        serde_json::from_str(&request.body).unwrap()
    };
    (0..count).map(take).collect()
}

#[test]
fn each_change_sends_the_hook_of_the_contract_or_none() {
    let gitlab = gitlab(ApiVersion::V17, Instance::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    gitlab.hooks().set_delivery(Some(Delivery::faithful(listener.local_addr().unwrap(), "hook-token")));
    let user = gitlab.add_user("zoe");
    let key = gitlab.add_key(user, &key_line(1));
    gitlab.rename_user(user, "zoe2");
    gitlab.set_state(user, "blocked");
    gitlab.sign_in(user);
    gitlab.delete_key(key);
    let deploy = gitlab.add_deploy_key(user, &key_line(2));
    gitlab.delete_user(user);
    gitlab.delete_key(deploy);
    let hooks = receive(&listener, 8);
    gitlab.hooks().flush();
    let named: Vec<_> = hooks.iter().map(|hook| hook["event_name"].as_str().unwrap()).collect();
    let expected =
        ["user_create", "key_create", "user_rename", "user_failed_login", "key_destroy", "key_create", "user_destroy", "key_destroy"];
    assert_eq!(named, expected);
    let fields = |hook: &Value| hook.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&hooks[0]), ["event_name", "created_at", "updated_at", "name", "email", "user_id", "username"]);
    assert_eq!(fields(&hooks[1]), ["event_name", "created_at", "updated_at", "username", "key", "id"]);
    assert_eq!((&hooks[2]["old_username"], &hooks[2]["username"]), (&"zoe".into(), &"zoe2".into()));
    assert_eq!(hooks[3]["state"], "blocked");
    assert_eq!(hooks[5]["username"], "zoe2", "a deploy key's hook names whoever created it");
    assert!(hooks[7].get("username").is_none(), "whose creator is gone");
    let delivered = gitlab.hooks().delivered();
    assert!(delivered.iter().all(|delivered| delivered.status == Some(200)));
    assert!(delivered.iter().map(|delivered| &delivered.hook).eq(&hooks) && delivered.is_sorted_by_key(|delivered| delivered.at));
}

#[test]
fn by_a_seed_hooks_are_lost_doubled_and_out_of_order() {
    let gitlab = gitlab(ApiVersion::V17, generated::instance(1, 200, 0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let faithful = Delivery::faithful(listener.local_addr().unwrap(), "hook-token");
    gitlab.hooks().set_delivery(Some(Delivery { seed: 7, lost: 10, doubled: 10, held_back: 20, ..faithful }));
    let received = std::thread::scope(|scope| {
        for number in 1..=200 {
            gitlab.add_key(number, &key_line(number));
        }
        let lost = gitlab.hooks().lost().len();
        let mut received = receive(&listener, 100);
        let flushed = scope.spawn(|| gitlab.hooks().flush());
        received.extend(receive(&listener, 100 - lost));
        // What comes beyond that are the doubles; they are all there once the sender has nothing left.
        listener.set_nonblocking(true).unwrap();
        while !flushed.is_finished() {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                let mut stream = std::io::BufReader::new(stream);
                received.push(serde_json::from_str(&RecordedRequest::read_from(&mut stream).unwrap().body).unwrap());
                std::io::Write::write_all(stream.get_mut(), &json_response(200, "")).unwrap();
            }
            std::thread::yield_now();
        }
        received
    });
    let ids: Vec<u64> = received.iter().map(|hook| hook["id"].as_u64().unwrap()).collect();
    let different: BTreeSet<u64> = ids.iter().copied().collect();
    let lost = gitlab.hooks().lost().len();
    assert_eq!(different.len() + lost, 200);
    assert!(lost > 0 && ids.len() > different.len() && !ids.is_sorted(), "{lost} lost, {} sent", ids.len());
}
