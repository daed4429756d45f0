//! What a `kill -9` leaves of tokens, packs of minutes and audit events: all that was answered, each once.

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::json;

use super::child::{child_folder, kill_after, report_done};
use super::{OTHER_USER, apply, call, handle, json_request, open, small_directory};
use crate::model::clock;

#[tokio::test]
async fn child_issues_credentials_until_it_is_killed() {
    let Some(folder) = child_folder() else { return };
    let state = open(Path::new(&folder));
    let started = clock::wall_time().milliseconds();
    for number in 0.. {
        let xid = format!("{started}-{number}");
        let pack = json!({"number_of_minutes": 1, "expires_at": "2030-01-01", "purchase_xid": xid});
        let event = json!({"action": "git-upload-pack", "gl_repository": "project-1"});
        let token = json!({"key_id": "11", "name": xid, "scopes": ["api"]});
        let (status, token) = call(&state, "internal/personal_access_token", &token).await;
        assert!(status.is_success(), "{token}");
        for (target, body) in [("namespaces/1/minutes", json!({"packs": [pack]})), ("internal/shellhorse/git_audit_event", event)] {
            let (status, body) = call(&state, target, &body).await;
            assert!(status.is_success(), "{target}: {body}");
        }
        report_done(&format!("{} {xid}", token["token"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_kill_takes_back_nothing_that_was_answered_and_stores_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    apply(&open(folder.path()), "", &small_directory()).await;
    let mut issued: Vec<(String, String)> = Vec::new();
    for round in 1..=4 {
        let done = kill_after(round * 3, "crash_credentials::child_issues_credentials_until_it_is_killed", folder.path());
        issued.extend(done.iter().map(|step| step.split_once(' ').unwrap()).map(|(token, xid)| (token.to_owned(), xid.to_owned())));
        let state = open(folder.path());
        for (token, name) in &issued {
            let request = json_request(Method::GET, "/api/v4/personal_access_tokens/self").header("private-token", token);
            let (status, own) = handle(&state, OTHER_USER, request.body("").unwrap()).await;
            assert_eq!((status, own["name"].as_str()), (StatusCode::OK, Some(name.as_str())));
        }
        let private_store = state.store.private_store();
        let packs = private_store.scan_prefix(b"minutes/").unwrap();
        let with_xid = |xid: &str| packs.iter().filter(|(key, _)| key.ends_with(xid.as_bytes())).count();
        assert!(issued.iter().all(|(_, xid)| with_xid(xid) == 1));
        // In each round at most one of each was being stored and not answered.
        let most = issued.len() + round;
        for prefix in ["token/sha256/", "token/of/", "minutes/", "audit/event/"] {
            let stored = private_store.scan_prefix(prefix.as_bytes()).unwrap().len();
            assert!((issued.len()..=most).contains(&stored), "{prefix}: {stored} stored, {} answered in round {round}", issued.len());
        }
    }
    assert!(issued.len() >= 30);
}
