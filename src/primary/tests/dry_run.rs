//! A dry run says what an apply then does, and writes nothing.

use std::sync::Arc;

use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{admin, apply, open, small_directory, try_apply, user};
use crate::primary::state::PrimaryState;
use crate::store::primary::private_store::KeyValue;

/// The counts and revocations of an answer.
fn counts(answer: &Value) -> Vec<Value> {
    ["added", "changed", "unchanged", "removed", "redirects", "kinds", "revocations"].map(|name| answer[name].clone()).to_vec()
}

/// All that the store has.
fn content(state: &PrimaryState) -> (Vec<String>, Vec<KeyValue>, u64) {
    let records = state.store.directory().record_lines().map(|line| line.unwrap().into()).collect();
    (records, state.store.private_store().scan_prefix(b"").unwrap(), state.store.head().seq)
}

async fn dry_run(state: &Arc<PrimaryState>, query: &str, lines: &[String]) -> (StatusCode, Value) {
    let before = content(state);
    let answer = try_apply(state, &format!("?dry_run{query}"), lines).await;
    assert_eq!(content(state), before, "a dry run writes nothing");
    answer
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_refused_and_held() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    admin(&state, "revoke-key", json!({"id": 12}).to_string()).await;
    let (status, said) = dry_run(&state, "&prune", &small_directory()[..2]).await;
    assert_eq!((status, &said["how"], &said["removed"]), (StatusCode::OK, &json!("dry_run"), &json!(4)), "{said}");
    assert!(said["refusal"].as_str().unwrap().starts_with("This file has no keys, and with --prune it would remove all 1"), "{said}");
    let (_, said) = dry_run(&state, "", &small_directory()).await;
    assert_eq!((&said["refusal"], &said["revocations"]["held"][0]["id"]), (&Value::Null, &json!(12)), "{said}");
    let (status, said) = dry_run(&state, "", &["{}".to_owned()]).await;
    assert_eq!((status, &said["errors"][0]["line"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(1)), "{said}");
}

#[tokio::test]
async fn an_empty_whole_directory_is_refused_unless_the_loss_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    for lines in [&[][..], &[String::new()], &small_directory()[..1], &small_directory()[..3]] {
        let before = content(&state);
        let (status, said) = try_apply(&state, "?prune", lines).await;
        assert_eq!((status, content(&state) == before), (StatusCode::CONFLICT, true), "{said}");
        assert!(said["message"].as_str().unwrap().contains("say --accept-loss"), "{said}");
        let (status, _) = try_apply(&state, "", lines).await;
        assert_eq!(status, StatusCode::OK, "without prune it removes nothing");
    }
    let (status, said) = try_apply(&state, "?prune&accept_loss", &[]).await;
    assert_eq!((status, &said["removed"]), (StatusCode::OK, &json!(7)), "{said}");
}

#[tokio::test]
async fn all_that_a_file_refers_to_and_that_is_not_there_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let member = |user: u32| format!(r#"{{"kind":"member","project_id":1,"user_id":{user},"access_level":30}}"#);
    let lines = [member(7), member(1), member(8), user(5, "ZOE")];
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    for query in ["", "?prune&accept_loss"] {
        let lines = if query.is_empty() { lines.to_vec() } else { [small_directory(), lines[..3].to_vec()].concat() };
        let (status, said) = try_apply(&state, query, &lines).await;
        let wrong: Vec<u64> = said["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(wrong, if query.is_empty() { vec![1, 3, 4] } else { vec![8, 10] }, "{said}");
        assert!(said["message"].as_str().unwrap().contains("user_id names user 7, which is not in the directory"), "{said}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn an_apply_does_what_its_dry_run_said(
        before in prop::collection::btree_map(10_u32..30, "[a-z]{3}", 0..12),
        after in prop::collection::btree_map(10_u32..30, "[a-z]{3}", 0..12),
        prune in any::<bool>(),
        undo in any::<bool>(),
        revoke in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let state = open(folder.path());
            let lines = |users: &std::collections::BTreeMap<u32, String>| {
                let users = users.iter().flat_map(|(id, name)| [user(*id, &format!("{name}{id}")), super::broadcast(*id, name)]);
                [small_directory(), users.collect()].concat()
            };
            apply(&state, "", &lines(&before)).await;
            if revoke {
                admin(&state, "revoke-key", json!({"id": 12}).to_string()).await;
                admin(&state, "block-user", json!({"username": "zoe"}).to_string()).await;
            }
            let query = format!("&prune={prune}&undo_revocations={undo}");
            let (status, said) = dry_run(&state, &query, &lines(&after)).await;
            assert_eq!(status, StatusCode::OK, "{said}");
            let (status, done) = try_apply(&state, &format!("?{}", &query[1..]), &lines(&after)).await;
            assert_eq!(status, StatusCode::OK, "{done}");
            assert_eq!(counts(&said), counts(&done));
        });
    }
}
