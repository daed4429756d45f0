//! The hooks of a push: what is counted, and what its author is told. (cases.md P)

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::withheld::broadcast;
use super::{Trial, key, project, small, user};
use crate::model::clock;
use crate::primary::pushes::reference_counter::{COUNTER_LIFETIME, Decrement, active_pushes, increment, prepare_decrement};
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;

const NEW: &str = "0000000000000000000000000000000000000000 fd9e76b9136bdd9fe217061b497745792fe5a5ee refs/heads/feature\n";

async fn pre(trial: &Trial, gl_repository: &str) -> (StatusCode, Value) {
    trial.shell(Method::POST, "internal/pre_receive", json!({"gl_repository": gl_repository})).await
}

async fn post(trial: &Trial, gl_repository: &str, identifier: &str, changes: &str) -> Value {
    let body = json!({"gl_repository": gl_repository, "identifier": identifier, "changes": changes});
    let (status, body) = trial.shell(Method::POST, "internal/post_receive", body).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

fn link() -> Value {
    let url = "http://localhost/zoe/p/-/merge_requests/new?merge_request%5Bsource_branch%5D=feature";
    json!({"message": format!("To create a merge request for feature, visit:\n  {url}"), "type": "basic"})
}

/// Zoë asks by a path that her project had before, and is let in.
async fn pull_by_former_path(trial: &Trial) {
    let pull = json!({"key_id": "11", "project": "zoe/old", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let (status, body) = trial.shell(Method::POST, "internal/allowed", pull).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

fn moved() -> Vec<String> {
    [small(), vec![r#"{"kind":"redirect","from":"zoe/old","project_id":1}"#.to_owned()]].concat()
}

#[tokio::test]
async fn p01_a_push_is_counted_and_p02_its_new_branch_has_a_link() {
    let trial = Trial::with(&small()).await;
    assert_eq!(pre(&trial, "project-1").await, (StatusCode::OK, json!({"reference_counter_increased": true})));
    assert_eq!(active_pushes(trial.house.store.private_store(), clock::wall_time()).unwrap(), [("project-1".to_owned(), 1)]);
    let body = post(&trial, "project-1", "user-1", NEW).await;
    assert_eq!(body, json!({"messages": [link()], "reference_counter_decreased": true}));
    assert_eq!(active_pushes(trial.house.store.private_store(), clock::wall_time()).unwrap(), []);
}

#[tokio::test]
async fn p03_to_p05_wikis_snippets_strangers_and_repositories_that_are_not_there_are_answered_all_the_same() {
    let snippet = r#"{"kind":"snippet","id":4,"author_id":1,"storage":"default","relative_path":"s.git"}"#.to_owned();
    let orphan = key(13, 1).replace(r#""user_id":1,"#, r#""deploy":true,"#);
    let trial = Trial::with(&[small(), vec![snippet, orphan]].concat()).await;
    let nothing = json!({"messages": [], "reference_counter_decreased": true});
    for repository in ["wiki-1", "snippet-4", "project-foo", "project-99", "house-1", "x"] {
        assert_eq!(post(&trial, repository, "user-1", NEW).await, nothing, "{repository}");
    }
    for nobody in ["key-13", "key-99", "user-99", "user-x", "", "nobody"] {
        assert_eq!(post(&trial, "project-1", nobody, NEW).await["messages"], json!([link()]), "{nobody}");
    }
    let (status, body) = trial.shell(Method::POST, "internal/post_receive", json!({"identifier": "user-1"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn p07_a_project_may_print_no_links() {
    let silent = project(1, 1, "zoe/p").replace(r#""name""#, r#""print_merge_request_link":false,"name""#);
    let trial = Trial::with(&small()).await;
    trial.apply("", &[silent]).await;
    assert_eq!(post(&trial, "project-1", "user-1", NEW).await["messages"], json!([]));
}

#[tokio::test]
async fn p09_to_p12_alerts_stand_in_front_the_banner_first_and_a_notification_is_not_said() {
    let lines =
        [small(), vec![broadcast(1, "Down at noon", ""), broadcast(2, "Buy a hat", r#","broadcast_type":"notification""#)]].concat();
    let trial = Trial::with(&lines).await;
    let body =
        json!({"gl_repository": "project-1", "identifier": "key-11", "changes": NEW, "push_options": ["merge_request.create", "ci.skip"]});
    let (_, body) = trial.shell(Method::POST, "internal/post_receive", body).await;
    let warning = "WARNINGS:\nError encountered with push options 'merge_request.create' 'ci.skip': \
                   Merge requests are not enabled for project zoe/p";
    let alert = |text: &str| json!({"message": text, "type": "alert"});
    assert_eq!(body["messages"], json!([alert("Down at noon"), alert(warning), link()]));
    trial.apply("", &[broadcast(1, "Down at noon", r#","target_path":"bob/*""#)]).await;
    assert_eq!(post(&trial, "project-1", "user-1", NEW).await["messages"], json!([link()]));
}

#[tokio::test]
async fn p14_what_waits_for_a_push_is_said_once_to_its_person_first_the_move_then_the_making() {
    let trial = Trial::with(&moved()).await;
    pull_by_former_path(&trial).await;
    assert_eq!(post(&trial, "project-1", "user-2", "").await["messages"], json!([]), "it waits for somebody else");
    let trial = trial.again();
    let body = post(&trial, "project-1", "key-11", NEW).await;
    assert_eq!(body["messages"][0], link());
    let text = body["messages"][1]["message"].as_str().unwrap();
    assert!(text.starts_with("Project 'zoe/old' was moved to 'zoe/p'.") && body["messages"][1]["type"] == "basic", "{text}");
    let trial = trial.again();
    assert_eq!(post(&trial, "project-1", "key-11", NEW).await["messages"], json!([link()]), "once is enough");

    let push = json!({"key_id": "11", "project": "zoe/fresh", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    let (status, made) = trial.shell(Method::POST, "internal/allowed", push).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let word = made["gl_repository"].as_str().unwrap().to_owned();
    let trial = trial.again();
    let body = post(&trial, &word, "user-1", "").await;
    let text = body["messages"][0]["message"].as_str().unwrap();
    assert!(text.starts_with("The private project zoe/fresh was successfully created."), "{text}");
    assert_eq!(post(&trial, &word, "user-1", "").await["messages"], json!([]));
}

#[tokio::test]
async fn many_that_push_at_once_are_all_counted_and_what_waits_is_said_to_one_of_them() {
    let trial = Trial::with(&moved()).await;
    pull_by_former_path(&trial).await;
    let beginning = (0..20).map(|_| pre(&trial, "project-1"));
    for (_, body) in futures_util::future::join_all(beginning).await {
        assert_eq!(body["reference_counter_increased"], true);
    }
    assert_eq!(active_pushes(trial.house.store.private_store(), clock::wall_time()).unwrap(), [("project-1".to_owned(), 20)]);
    let ending = (0..19).map(|_| post(&trial, "project-1", "user-1", ""));
    let said: usize = futures_util::future::join_all(ending).await.iter().map(|body| body["messages"].as_array().unwrap().len()).sum();
    assert_eq!(
        (said, active_pushes(trial.house.store.private_store(), clock::wall_time()).unwrap()),
        (1, vec![("project-1".to_owned(), 1)])
    );
    let trial = trial.again();
    assert_eq!(active_pushes(trial.house.store.private_store(), clock::wall_time()).unwrap(), [("project-1".to_owned(), 1)]);
    let (_, status) = trial.admin(Method::GET, "status", Value::Null).await;
    assert_eq!(status["kept"]["pushes_under_way"], json!({"project-1": 1}));
}

#[tokio::test]
async fn a_counter_ends_ten_minutes_after_its_last_push_began_and_never_stands_below_zero() {
    let trial = Trial::empty();
    let (ledger, begun) = (trial.house.store.private_store(), clock::wall_time());
    let later = begun.plus(Duration::from_secs(300));
    let decrease = |ledger: &PrivateStore, word: &str, now| ledger.update::<_, StoreError>(|ledger| prepare_decrement(ledger, word, now));
    assert_eq!(increment(ledger, "project-1", begun), Ok(1));
    assert_eq!(increment(ledger, "project-1", later), Ok(2));
    assert_eq!(increment(ledger, "project-2", begun), Ok(1));
    assert_eq!(active_pushes(ledger, begun.plus(COUNTER_LIFETIME)).unwrap(), [("project-1".to_owned(), 2)]);
    assert_eq!(decrease(ledger, "project-1", later.plus(COUNTER_LIFETIME)), Ok(Decrement::BelowZero));
    assert_eq!(increment(ledger, "project-3", begun.plus(COUNTER_LIFETIME)), Ok(1));
    assert_eq!(active_pushes(ledger, begun).unwrap(), [("project-3".to_owned(), 1)], "those that have ended are gone");
    assert_eq!(decrease(ledger, "project-3", begun), Ok(Decrement::Remaining(0)));
    assert_eq!(decrease(ledger, "project-3", begun), Ok(Decrement::BelowZero));
    assert_eq!(increment(ledger, "project-3", begun), Ok(1), "it counts from zero again");
}

#[tokio::test]
async fn hooks_are_for_who_holds_the_secret_of_the_shell() {
    let trial = Trial::with(&[user(1, "zoe")]).await;
    for path in ["pre_receive", "post_receive"] {
        let request = super::request(Method::POST, &format!("/api/v4/internal/{path}"));
        let request = request.body(crate::net::body::OutgoingBody::from_bytes(r#"{"gl_repository":"project-1"}"#)).unwrap();
        assert_eq!(trial.send(request).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(active_pushes(trial.house.store.private_store(), clock::wall_time()).unwrap(), []);
}
