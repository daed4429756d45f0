//! A key with neither an owner nor `deploy`: no file brings one any more, but a store of before may hold one.

use http::StatusCode;
use serde_json::json;

use super::{apply, call, get, open, small_directory};
use crate::api::error::ApiError;
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::memory_directory::ed25519_public_key;

/// C03, D05, F02: it is nobody's, and gets neither codes nor a token.
#[tokio::test]
async fn a_key_of_nobody_that_a_store_holds_is_kept_and_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    let key = ed25519_public_key(14);
    let line = format!(r#"{{"kind":"key","id":14,"title":"t","key":"{key}","created_at":"2026-01-31T12:00:00.000Z"}}"#);
    let entry = Entry::parse(&line).unwrap();
    state.writer.commit("test", move |_| Ok::<_, ApiError>((vec![Change::Put(entry)], ()))).await.unwrap();
    let refused = json!({"success": false, "message": "Could not find the given key"});
    for endpoint in ["two_factor_recovery_codes", "personal_access_token"] {
        let (status, body) = call(&state, &format!("internal/{endpoint}"), &json!({"key_id": 14, "name": "t", "scopes": ["api"]})).await;
        assert_eq!((status, body), (StatusCode::OK, refused.clone()), "{endpoint}");
    }
    let (status, _) = call(&state, "internal/lfs_authenticate", &json!({"key_id": 14, "project": "zoe/p"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let blob = key.split(' ').nth(1).unwrap().replace('+', "%2B");
    let (status, _) = get(&state, &format!("internal/authorized_keys?key={blob}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "sshd lets nobody in with it");
    apply(&state, "", &[super::user(3, "eve")]).await;
    assert!(state.store.directory().entries().any(|entry| entry.unwrap().text().contains(&line[..40])), "it is kept");
}
