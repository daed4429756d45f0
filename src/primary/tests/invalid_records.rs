//! Records with a field that breaks its grammar, as a store of an earlier version may hold them: kept, counted, and never answered from.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{admin, admin_get, apply, call, get, open, push, small_directory, try_apply, user};
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::memory_directory::ed25519_public_key;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

const BOB: u32 = 12;

/// Groups and projects in which Bob may do everything, beside [`small_directory`].
fn bobs() -> Vec<String> {
    let group =
        |id: u32, path: &str, more: &str| format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"n"{more}}}"#);
    let owner = |id: u32| format!(r#"{{"kind":"member","namespace_id":{id},"user_id":2,"access_level":50}}"#);
    vec![
        group(3, "team", ""),
        group(4, "team/sub", r#","parent_id":3"#),
        owner(3),
        owner(4),
        project(10, 3, "team/p", "10.git"),
        project(11, 4, "team/sub/q", "11.git"),
    ]
}

fn project(id: u64, namespace: u64, path: &str, relative_path: &str) -> String {
    format!(r#"{{"kind":"project","id":{id},"namespace_id":{namespace},"path":"{path}","name":"n","relative_path":"{relative_path}"}}"#)
}

/// Writes records past the checks of a file, as an earlier version did.
fn put(state: &PrimaryState, lines: &[&str]) {
    let changes: Vec<Change> = lines.iter().map(|line| Change::Put(Entry::parse(line).unwrap())).collect();
    state.store.commit(|_| Ok::<_, StoreError>((changes, ()))).unwrap();
}

async fn opened() -> (tempfile::TempDir, Arc<PrimaryState>) {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &[small_directory(), bobs()].concat()).await;
    (folder, state)
}

async fn count(state: &Arc<PrimaryState>) -> Value {
    admin_get(state, "status").await.1["invalid_records"].clone()
}

#[tokio::test]
async fn a_project_whose_repository_lies_outside_its_storage_is_not_answered() {
    let (folder, mut state) = opened().await;
    assert_eq!(push(&state, BOB, "team/p").await.0, StatusCode::OK);
    assert_eq!(count(&state).await, 0);
    put(&state, &[&project(10, 3, "team/p", "../1.git")]);
    for _ in 0..2 {
        for path in ["team/p", "team/p.wiki"] {
            let (status, body) = push(&state, BOB, path).await;
            assert_ne!(status, StatusCode::OK, "{path}: {body}");
        }
        let body = json!({"key_id": BOB, "gl_repository": "project-10", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
        assert_eq!(call(&state, "internal/allowed", &body).await.0, StatusCode::NOT_FOUND);
        assert_eq!(push(&state, BOB, "team/sub/q").await.0, StatusCode::OK, "another is");
        assert_eq!(count(&state).await, 1);
        let records = state.store.directory().record_lines().filter(|line| line.as_ref().unwrap().contains(r#""path":"team/p""#)).count();
        assert_eq!(records, 1, "it is kept, and a push created none in its place");
        drop(state);
        state = open(folder.path());
    }
    apply(&state, "", &[user(3, "eve")]).await;
    let (status, body) = try_apply(&state, "", &[project(20, 3, "TEAM/P", "20.git")]).await;
    assert_eq!(
        (status, &body["message"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("line 1: the path `team/p` stands in the directory already"))
    );
    apply(&state, "", &[project(10, 3, "team/p", "10.git")]).await;
    assert_eq!((push(&state, BOB, "team/p").await.0, count(&state).await), (StatusCode::OK, json!(0)), "once it is corrected");
}

#[tokio::test]
async fn nothing_below_a_group_whose_addresses_are_not_understood_is_answered_to_anybody() {
    let (_folder, state) = opened().await;
    put(&state, &[r#"{"kind":"namespace","id":3,"type":"group","path":"team","name":"n","allowed_ips":["10.0.0.1,10.0.0.2"]}"#]);
    for path in ["team/p", "team/sub/q", "team/fresh", "team/sub/fresh"] {
        let (status, body) = push(&state, BOB, path).await;
        assert_ne!(status, StatusCode::OK, "{path}: {body}");
    }
    assert_eq!(count(&state).await, 1);
    apply(&state, "", &[r#"{"kind":"namespace","id":3,"type":"group","path":"team","name":"n"}"#.to_owned()]).await;
    for path in ["team/p", "team/sub/q", "team/fresh"] {
        let (status, body) = push(&state, BOB, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
    }
}

#[tokio::test]
async fn an_odd_user_and_a_key_of_nobody_are_nobody_and_can_be_revoked() {
    let (_folder, state) = opened().await;
    let key = format!(r#"{{"kind":"key","id":14,"title":"t","key":"{}","created_at":"2026-01-31T12:00:00.000Z"}}"#, ed25519_public_key(14));
    put(&state, &[r#"{"kind":"user","id":2,"username":"","name":"Nobody"}"#, &key]);
    for target in
        ["internal/discover?user_id=2", "internal/discover?username=", "internal/discover?key_id=12", "internal/discover?key_id=14"]
    {
        assert_eq!(get(&state, target).await.1, Value::Null, "{target}");
    }
    assert_ne!(push(&state, BOB, "team/p").await.0, StatusCode::OK);
    assert_eq!(count(&state).await, 2);
    let (status, body) = admin(&state, "revoke-key", json!({"id": 14}).to_string()).await;
    assert_eq!((status, count(&state).await), (StatusCode::OK, json!(1)), "{body}");
}

#[tokio::test]
async fn settings_with_an_odd_url_still_restrict() {
    let (_folder, state) = opened().await;
    put(&state, &[r#"{"kind":"settings","web_url":"example","ssh_enabled":false}"#]);
    assert_ne!(push(&state, BOB, "team/p").await.0, StatusCode::OK, "SSH is switched off");
    assert_eq!(count(&state).await, 1);
}

#[tokio::test]
async fn what_a_directory_that_is_built_anew_keeps_is_counted_too() {
    let (folder, state) = opened().await;
    put(&state, &[&project(10, 3, "team/p", "../1.git")]);
    let crowd: Vec<String> = (1_000..2_100).map(|id| user(id, &format!("u{id}"))).collect();
    apply(&state, "", &crowd).await;
    assert_eq!(count(&state).await, 1);
    assert_ne!(push(&state, BOB, "team/p").await.0, StatusCode::OK);
    drop(state);
    assert_eq!(count(&open(folder.path())).await, 1);
}
