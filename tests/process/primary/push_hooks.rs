//! The hooks of a push: what is counted, and what its author is told. (cases.md P)

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::unpublished_records::broadcast;
use super::{TestPrimary, key, project, request, small_directory, user};

const NEW: &str = "0000000000000000000000000000000000000000 fd9e76b9136bdd9fe217061b497745792fe5a5ee refs/heads/feature\n";

fn pre(primary: &TestPrimary, gl_repository: &str) -> (StatusCode, Value) {
    primary.shell(Method::POST, "internal/pre_receive", json!({"gl_repository": gl_repository}))
}

fn post(primary: &TestPrimary, gl_repository: &str, identifier: &str, changes: &str) -> Value {
    let body = json!({"gl_repository": gl_repository, "identifier": identifier, "changes": changes});
    let (status, body) = primary.shell(Method::POST, "internal/post_receive", body);
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn link() -> Value {
    let url = "http://localhost/zoe/p/-/merge_requests/new?merge_request%5Bsource_branch%5D=feature";
    json!({"message": format!("To create a merge request for feature, visit:\n  {url}"), "type": "basic"})
}

/// Zoë asks by a path that her project had before, and is let in.
fn pull_by_former_path(primary: &TestPrimary) {
    let pull = json!({"key_id": "11", "project": "zoe/old", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let (status, body) = primary.shell(Method::POST, "internal/allowed", pull);
    assert_eq!(status, StatusCode::OK, "{body}");
}

fn moved() -> Vec<String> {
    [small_directory(), vec![r#"{"kind":"redirect","from":"zoe/old","project_id":1}"#.to_owned()]].concat()
}

/// Does the same from many threads at once.
fn at_once<T: Send>(times: usize, act: impl Fn() -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..times).map(|_| scope.spawn(&act)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn p01_a_push_is_counted_and_p02_its_new_branch_has_a_link() {
    let primary = TestPrimary::with(&small_directory());
    assert_eq!(pre(&primary, "project-1"), (StatusCode::OK, json!({"reference_counter_increased": true})));
    assert_eq!(primary.stored("pushes_under_way"), json!({"project-1": 1}));
    let body = post(&primary, "project-1", "user-1", NEW);
    assert_eq!(body, json!({"messages": [link()], "reference_counter_decreased": true}));
    assert_eq!(primary.stored("pushes_under_way"), json!({}));
}

#[test]
fn p03_to_p05_wikis_snippets_unknown_users_and_missing_repositories_are_answered_all_the_same() {
    let snippet = r#"{"kind":"snippet","id":4,"author_id":1,"storage":"default","relative_path":"s.git"}"#.to_owned();
    let orphan = key(13, 1).replace(r#""user_id":1,"#, r#""deploy":true,"#);
    let primary = TestPrimary::with(&[small_directory(), vec![snippet, orphan]].concat());
    let nothing = json!({"messages": [], "reference_counter_decreased": true});
    for repository in ["wiki-1", "snippet-4", "project-foo", "project-99", "thing-1", "x"] {
        assert_eq!(post(&primary, repository, "user-1", NEW), nothing, "{repository}");
    }
    for nobody in ["key-13", "key-99", "user-99", "user-x", "", "nobody"] {
        assert_eq!(post(&primary, "project-1", nobody, NEW)["messages"], json!([link()]), "{nobody}");
    }
    let (status, body) = primary.shell(Method::POST, "internal/post_receive", json!({"identifier": "user-1"}));
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[test]
fn p07_a_project_may_print_no_links() {
    let silent = project(1, 1, "zoe/p").replace(r#""name""#, r#""print_merge_request_link":false,"name""#);
    let primary = TestPrimary::with(&small_directory());
    primary.apply("", &[silent]);
    assert_eq!(post(&primary, "project-1", "user-1", NEW)["messages"], json!([]));
}

#[test]
fn p09_to_p12_alerts_come_first_the_banner_before_all_and_a_notification_is_not_shown() {
    let lines =
        [small_directory(), vec![broadcast(1, "Down at noon", ""), broadcast(2, "Buy a hat", r#","broadcast_type":"notification""#)]]
            .concat();
    let primary = TestPrimary::with(&lines);
    let body =
        json!({"gl_repository": "project-1", "identifier": "key-11", "changes": NEW, "push_options": ["merge_request.create", "ci.skip"]});
    let (_, body) = primary.shell(Method::POST, "internal/post_receive", body);
    let warning = "WARNINGS:\nError encountered with push options 'merge_request.create' 'ci.skip': \
                   Merge requests are not enabled for project zoe/p";
    let alert = |text: &str| json!({"message": text, "type": "alert"});
    assert_eq!(body["messages"], json!([alert("Down at noon"), alert(warning), link()]));
    primary.apply("", &[broadcast(1, "Down at noon", r#","target_path":"bob/*""#)]);
    assert_eq!(post(&primary, "project-1", "user-1", NEW)["messages"], json!([link()]));
}

#[test]
fn p14_queued_messages_are_shown_once_to_their_user_the_move_before_the_creation() {
    let primary = TestPrimary::with(&moved());
    pull_by_former_path(&primary);
    assert_eq!(post(&primary, "project-1", "user-2", "")["messages"], json!([]), "it waits for somebody else");
    let primary = primary.restart();
    let body = post(&primary, "project-1", "key-11", NEW);
    assert_eq!(body["messages"][0], link());
    let text = body["messages"][1]["message"].as_str().unwrap();
    assert!(text.starts_with("Project 'zoe/old' was moved to 'zoe/p'.") && body["messages"][1]["type"] == "basic", "{text}");
    let primary = primary.restart();
    assert_eq!(post(&primary, "project-1", "key-11", NEW)["messages"], json!([link()]), "once is enough");

    let push = json!({"key_id": "11", "project": "zoe/fresh", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    let (status, made) = primary.shell(Method::POST, "internal/allowed", push);
    assert_eq!(status, StatusCode::OK, "{made}");
    let word = made["gl_repository"].as_str().unwrap().to_owned();
    let primary = primary.restart();
    let body = post(&primary, &word, "user-1", "");
    let text = body["messages"][0]["message"].as_str().unwrap();
    assert!(text.starts_with("The private project zoe/fresh was successfully created."), "{text}");
    assert_eq!(post(&primary, &word, "user-1", "")["messages"], json!([]));
}

#[test]
fn concurrent_pushes_are_all_counted_and_a_queued_message_is_shown_to_one_of_them() {
    let primary = TestPrimary::with(&moved());
    pull_by_former_path(&primary);
    for (_, body) in at_once(20, || pre(&primary, "project-1")) {
        assert_eq!(body["reference_counter_increased"], true);
    }
    assert_eq!(primary.stored("pushes_under_way"), json!({"project-1": 20}));
    let ended = at_once(19, || post(&primary, "project-1", "user-1", ""));
    let messages: usize = ended.iter().map(|body| body["messages"].as_array().unwrap().len()).sum();
    assert_eq!((messages, primary.stored("pushes_under_way")), (1, json!({"project-1": 1})));
    let primary = primary.restart();
    assert_eq!(primary.stored("pushes_under_way"), json!({"project-1": 1}));
}

#[test]
fn hooks_need_the_secret_of_gitlab_shell() {
    let primary = TestPrimary::with(&[user(1, "zoe")]);
    for path in ["pre_receive", "post_receive"] {
        let request = request(Method::POST, &format!("/api/v4/internal/{path}"));
        let request = request.body(r#"{"gl_repository":"project-1"}"#);
        assert_eq!(primary.send(request).0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(primary.stored("pushes_under_way"), json!({}));
}
