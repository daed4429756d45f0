//! What gitlab-shell asks: whose key, who is this, may they.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Trial, public_key, small};

fn blob(number: u32) -> String {
    public_key(number).split(' ').nth(1).unwrap().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn pull(key: u32, project: &str) -> Value {
    json!({"key_id": key.to_string(), "project": project, "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"})
}

fn push(key: u32, project: &str) -> Value {
    json!({"key_id": key.to_string(), "project": project, "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"})
}

#[tokio::test]
async fn a_key_is_found_by_its_blob_and_carries_its_owners_name_as_comment() {
    let trial = Trial::with(&small()).await;
    let (status, body) = trial.shell(Method::GET, &format!("internal/authorized_keys?key={}", blob(11)), Value::Null).await;
    assert_eq!((status, &body["id"]), (StatusCode::OK, &json!(11)));
    assert_eq!(body["key"], format!("{} The zoe (localhost)", public_key(11)));
    let unpadded = blob(11).replace("%3D", "");
    assert_eq!(trial.shell(Method::GET, &format!("internal/authorized_keys?key={unpadded}"), Value::Null).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_is_unknown_cut_short_or_for_signing_is_404_and_none_at_all_is_400() {
    let mut lines = small();
    lines.push(super::key(13, 1).replace(r#""created_at""#, r#""usage":"signing","created_at""#));
    let trial = Trial::with(&lines).await;
    for asked in [blob(99), blob(13), blob(11)[..20].to_owned(), "%21%21".to_owned()] {
        let (status, body) = trial.shell(Method::GET, &format!("internal/authorized_keys?key={asked}"), Value::Null).await;
        assert_eq!((status, &body), (StatusCode::NOT_FOUND, &json!({"message": "404 Key Not Found"})), "{asked}");
    }
    let (status, body) = trial.shell(Method::GET, "internal/authorized_keys", Value::Null).await;
    assert_eq!((status, &body), (StatusCode::BAD_REQUEST, &json!({"message": "400 Bad request - key is missing"})));
}

#[tokio::test]
async fn somebody_is_discovered_by_key_id_or_name_and_nobody_is_null() {
    let trial = Trial::with(&small()).await;
    for asked in ["key_id=11", "user_id=1", "username=ZOE"] {
        let (_, body) = trial.shell(Method::GET, &format!("internal/discover?{asked}"), Value::Null).await;
        assert_eq!(body, json!({"id": 1, "username": "zoe", "name": "The zoe"}), "{asked}");
    }
    let (status, _, body) = trial.send(trial.shell_request(Method::GET, "internal/discover?key_id=99", Value::Null)).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"null"[..]));
}

#[tokio::test]
async fn the_owner_may_pull_and_push_and_a_stranger_sees_nothing() {
    let trial = Trial::with(&small()).await;
    let (status, headers, body) = trial.send(trial.shell_request(Method::POST, "internal/allowed", pull(11, "zoe/p.git"))).await;
    assert_eq!((status, headers["enable-workhorse-circuit-breaker"].to_str().unwrap()), (StatusCode::OK, "true"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["status"], &body["gl_id"], &body["gl_repository"]), (&json!(true), &json!("user-1"), &json!("project-1")));
    assert_eq!(body["gitaly"]["address"], "unix:/run/gitaly.sock");
    assert_eq!(trial.shell(Method::POST, "internal/allowed", push(11, "zoe/p")).await.0, StatusCode::OK);
    let (status, body) = trial.shell(Method::POST, "internal/allowed", pull(12, "zoe/p")).await;
    assert_eq!((status, &body["status"]), (StatusCode::NOT_FOUND, &json!(false)));
}

#[tokio::test]
async fn the_question_that_comes_too_often_is_429_without_a_retry_after() {
    let mut lines = small();
    lines.push(r#"{"kind":"settings","operations_per_minute":1}"#.to_owned());
    let trial = Trial::with(&lines).await;
    let mut refused = None;
    // Two within one minute: at most one turn of the minute can come between three.
    for _ in 0..3 {
        let (status, headers, body) = trial.send(trial.shell_request(Method::POST, "internal/allowed", pull(11, "zoe/p"))).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((headers, body));
        }
    }
    let (headers, body) = refused.unwrap();
    assert!(!headers.contains_key("retry-after"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["message"]["error"], "This endpoint has been requested too many times. Try again later.");
    assert_eq!(
        trial.shell(Method::POST, "internal/allowed", push(11, "zoe/p")).await.0,
        StatusCode::OK,
        "another action has its own count"
    );
}

#[tokio::test]
async fn a_push_makes_the_project_once_and_everybody_who_follows_hears_of_it() {
    let trial = Trial::with(&small()).await;
    let before = trial.house.store.head();
    let (status, body) = trial.shell(Method::POST, "internal/allowed", push(11, "zoe/fresh.git")).await;
    assert_eq!((status, &body["gl_repository"], &body["gl_project_path"]), (StatusCode::OK, &json!("project-2"), &json!("zoe/fresh")));
    assert_eq!(trial.house.store.head().seq, before.seq + 1);
    assert_eq!(trial.shell(Method::POST, "internal/allowed", push(11, "zoe/fresh.git")).await.0, StatusCode::OK);
    assert_eq!(trial.house.store.head().seq, before.seq + 1);
    assert!(trial.export().await.contains(r#""path":"zoe/fresh","name":"fresh""#));
    assert_eq!(trial.shell(Method::POST, "internal/allowed", push(12, "zoe/other")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(trial.house.store.head().seq, before.seq + 1, "nothing is made in another's namespace");
}

#[tokio::test]
async fn a_token_for_large_files_says_what_its_holder_may_do_and_nothing_once_blocked() {
    let trial = Trial::with(&small()).await;
    let ask = json!({"key_id": "11", "project": "zoe/p", "operation": "upload"});
    let (status, body) = trial.shell(Method::POST, "internal/lfs_authenticate", ask).await;
    assert_eq!((status, &body["username"], &body["expires_in"]), (StatusCode::OK, &json!("zoe"), &json!(7200)));
    assert_eq!(body["repository_http_path"], "http://localhost/zoe/p.git");
    let proof = json!({"login": "zoe", "token": body["lfs_token"], "project": "zoe/p", "operation": "upload"});
    let verify = || trial.shell(Method::POST, "internal/sidegate/lfs_verify", proof.clone());
    assert_eq!(verify().await, (StatusCode::OK, json!({"username": "zoe", "access": "write"})));
    trial.admin(Method::POST, "block-user", json!({"username": "zoe"})).await;
    assert_eq!(verify().await, (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"})));
    let nowhere = json!({"key_id": "11", "project": "zoe/none"});
    assert_eq!(
        trial.shell(Method::POST, "internal/lfs_authenticate", nowhere).await,
        (StatusCode::NOT_FOUND, json!({"message": "404 Not Found"}))
    );
    let nobody = json!({"key_id": "99", "project": "zoe/p"});
    assert_eq!(
        trial.shell(Method::POST, "internal/lfs_authenticate", nobody).await,
        (StatusCode::NOT_FOUND, json!({"message": "404 Not found"}))
    );
}
