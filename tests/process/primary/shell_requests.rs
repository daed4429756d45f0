//! What gitlab-shell asks: authorized_keys, discover, allowed, lfs_authenticate.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, public_key, small_directory};

fn blob(number: u32) -> String {
    public_key(number).split(' ').nth(1).unwrap().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn pull(key: u32, project: &str) -> Value {
    json!({"key_id": key.to_string(), "project": project, "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"})
}

fn push(key: u32, project: &str) -> Value {
    json!({"key_id": key.to_string(), "project": project, "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"})
}

#[test]
fn a_key_is_found_by_its_blob_and_carries_its_owners_name_as_comment() {
    let primary = TestPrimary::with(&small_directory());
    let (status, body) = primary.shell(Method::GET, &format!("internal/authorized_keys?key={}", blob(11)), Value::Null);
    assert_eq!((status, &body["id"]), (StatusCode::OK, &json!(11)));
    assert_eq!(body["key"], format!("{} The zoe (localhost)", public_key(11)));
    let unpadded = blob(11).replace("%3D", "");
    assert_eq!(primary.shell(Method::GET, &format!("internal/authorized_keys?key={unpadded}"), Value::Null).0, StatusCode::OK);
}

#[test]
fn a_key_that_is_unknown_cut_short_or_for_signing_is_404_and_none_at_all_is_400() {
    let mut lines = small_directory();
    lines.push(super::key(13, 1).replace(r#""created_at""#, r#""usage":"signing","created_at""#));
    let primary = TestPrimary::with(&lines);
    for params in [blob(99), blob(13), blob(11)[..20].to_owned(), "%21%21".to_owned()] {
        let (status, body) = primary.shell(Method::GET, &format!("internal/authorized_keys?key={params}"), Value::Null);
        assert_eq!((status, &body), (StatusCode::NOT_FOUND, &json!({"message": "404 Key Not Found"})), "{params}");
    }
    let (status, body) = primary.shell(Method::GET, "internal/authorized_keys", Value::Null);
    assert_eq!((status, &body), (StatusCode::BAD_REQUEST, &json!({"message": "400 Bad request - key is missing"})));
}

#[test]
fn a_user_is_discovered_by_key_id_or_name_and_nobody_is_null() {
    let primary = TestPrimary::with(&small_directory());
    for params in ["key_id=11", "user_id=1", "username=ZOE"] {
        let (_, body) = primary.shell(Method::GET, &format!("internal/discover?{params}"), Value::Null);
        assert_eq!(body, json!({"id": 1, "username": "zoe", "name": "The zoe"}), "{params}");
    }
    let (status, _, body) = primary.send(primary.shell_request(Method::GET, "internal/discover?key_id=99", Value::Null));
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"null"[..]));
}

#[test]
fn the_owner_may_pull_and_push_and_another_user_sees_nothing() {
    let primary = TestPrimary::with(&small_directory());
    let (status, headers, body) = primary.send(primary.shell_request(Method::POST, "internal/allowed", pull(11, "zoe/p.git")));
    assert_eq!((status, headers["enable-workhorse-circuit-breaker"].to_str().unwrap()), (StatusCode::OK, "true"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["status"], &body["gl_id"], &body["gl_repository"]), (&json!(true), &json!("user-1"), &json!("project-1")));
    assert_eq!(body["gitaly"]["address"], "unix:/run/gitaly.sock");
    assert_eq!(primary.shell(Method::POST, "internal/allowed", push(11, "zoe/p")).0, StatusCode::OK);
    let (status, body) = primary.shell(Method::POST, "internal/allowed", pull(12, "zoe/p"));
    assert_eq!((status, &body["status"]), (StatusCode::NOT_FOUND, &json!(false)));
}

#[test]
fn a_request_beyond_the_rate_limit_is_429_without_a_retry_after() {
    let mut lines = small_directory();
    lines.push(r#"{"kind":"settings","operations_per_minute":1}"#.to_owned());
    let primary = TestPrimary::with(&lines);
    let mut refused = None;
    // Two within one minute: at most one turn of the minute can come between three.
    for _ in 0..3 {
        let (status, headers, body) = primary.send(primary.shell_request(Method::POST, "internal/allowed", pull(11, "zoe/p")));
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused = Some((headers, body));
        }
    }
    let (headers, body) = refused.unwrap();
    assert!(!headers.contains_key("retry-after"));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["message"]["error"], "This endpoint has been requested too many times. Try again later.");
    assert_eq!(primary.shell(Method::POST, "internal/allowed", push(11, "zoe/p")).0, StatusCode::OK, "another action has its own count");
}

#[test]
fn a_push_creates_the_project_once_and_the_creation_is_published() {
    let primary = TestPrimary::with(&small_directory());
    let before = primary.head();
    let (status, body) = primary.shell(Method::POST, "internal/allowed", push(11, "zoe/fresh.git"));
    assert_eq!((status, &body["gl_repository"], &body["gl_project_path"]), (StatusCode::OK, &json!("project-2"), &json!("zoe/fresh")));
    assert_eq!(primary.head().seq, before.seq + 1);
    assert_eq!(primary.shell(Method::POST, "internal/allowed", push(11, "zoe/fresh.git")).0, StatusCode::OK);
    assert_eq!(primary.head().seq, before.seq + 1);
    assert!(primary.export().contains(r#""path":"zoe/fresh","name":"fresh""#));
    assert_eq!(primary.shell(Method::POST, "internal/allowed", push(12, "zoe/other")).0, StatusCode::NOT_FOUND);
    assert_eq!(primary.head().seq, before.seq + 1, "nothing is made in another's namespace");
}

#[test]
fn an_lfs_token_is_verified_until_its_user_is_blocked() {
    let primary = TestPrimary::with(&small_directory());
    let call = json!({"key_id": "11", "project": "zoe/p", "operation": "upload"});
    let (status, body) = primary.shell(Method::POST, "internal/lfs_authenticate", call);
    assert_eq!((status, &body["username"], &body["expires_in"]), (StatusCode::OK, &json!("zoe"), &json!(7200)));
    assert_eq!(body["repository_http_path"], "http://localhost/zoe/p.git");
    let proof = json!({"login": "zoe", "token": body["lfs_token"], "project": "zoe/p", "operation": "upload"});
    let verify = || primary.shell(Method::POST, "internal/sidegate/lfs_verify", proof.clone());
    assert_eq!(verify(), (StatusCode::OK, json!({"username": "zoe", "access": "write"})));
    primary.admin(Method::POST, "block-user", json!({"username": "zoe"}));
    assert_eq!(verify(), (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"})));
    let nowhere = json!({"key_id": "11", "project": "zoe/none"});
    assert_eq!(
        primary.shell(Method::POST, "internal/lfs_authenticate", nowhere),
        (StatusCode::NOT_FOUND, json!({"message": "404 Not Found"}))
    );
    let nobody = json!({"key_id": "99", "project": "zoe/p"});
    assert_eq!(
        primary.shell(Method::POST, "internal/lfs_authenticate", nobody),
        (StatusCode::NOT_FOUND, json!({"message": "404 Not found"}))
    );
}
