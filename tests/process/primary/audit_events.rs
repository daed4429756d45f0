//! Audit events of what was done over SSH; and certificates of groups, which there are none of.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, small_directory};

const EVENT: &str = "internal/shellhorse/git_audit_event";

#[test]
fn an_event_is_stored_as_gitlab_shell_sends_it_and_is_there_after_a_restart() {
    let primary = TestPrimary::with(&small_directory());
    let sent = json!({
        "action": "git-upload-pack", "protocol": "ssh", "gl_repository": "project-1", "username": "zoe", "key_id": 11,
        "packfile_stats": {"wants": 2, "caps": ["side-band"], "secret": "x"}, "check_ip": "10.0.0.1", "changes": "_any",
    });
    let (status, body) = primary.shell(Method::POST, EVENT, sent);
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!(true)), "{body}");
    primary.shell(Method::POST, EVENT, json!({"action": "git-receive-pack", "gl_repository": "wiki-1"}));
    let primary = primary.restart();
    let (_, kept) = primary.admin(Method::GET, "audit", Value::Null);
    assert_eq!((&kept["first"], &kept["next"]), (&json!(0), &json!(2)), "{kept}");
    let event = &kept["events"][0]["event"];
    assert_eq!((&event["username"], &event["key_id"], &event["check_ip"]), (&json!("zoe"), &json!("11"), &json!("10.0.0.1")));
    assert_eq!(event["packfile_stats"], json!({"wants": 2, "caps": ["side-band"]}));
    let (_, later) = primary.admin(Method::GET, "audit?from=1", Value::Null);
    assert_eq!((later["events"].as_array().unwrap().len(), &later["events"][0]["number"]), (1, &json!(1)));
    let (_, status) = primary.admin(Method::GET, "status", Value::Null);
    assert_eq!(status["kept"]["audit_events"], 2);
}

#[test]
fn an_invalid_event_is_refused_and_not_stored() {
    let primary = TestPrimary::with(&small_directory());
    for action in [json!({}), json!({"action": "discover", "gl_repository": "project-1"})] {
        let (status, body) = primary.shell(Method::POST, EVENT, action);
        assert_eq!((status, body), (StatusCode::BAD_REQUEST, json!({"status": false, "message": "No valid action specified"})));
    }
    let nowhere = json!({"action": "git-upload-pack", "gl_repository": "project-99"});
    let (status, body) = primary.shell(Method::POST, EVENT, nowhere);
    assert_eq!((status, body), (StatusCode::OK, json!({"status": false, "message": "No git audit event needed"})));
    let long = json!({"action": "git-upload-pack", "gl_repository": "project-1", "changes": "x".repeat(20_000)});
    assert_eq!(primary.shell(Method::POST, EVENT, long).0, StatusCode::PAYLOAD_TOO_LARGE);
    for stat in [json!({"a": 1}), json!([["deep"]]), json!([1]), json!(true)] {
        let odd = json!({"action": "git-upload-pack", "gl_repository": "project-1", "packfile_stats": {"caps": stat}});
        let (status, body) = primary.shell(Method::POST, EVENT, odd);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(body["message"].as_str().unwrap().contains("`packfile_stats[caps]`"), "{body}");
    }
    assert_eq!(primary.stored("audit_events"), 0);
}

#[test]
fn there_are_no_certificates_of_groups() {
    let primary = TestPrimary::with(&small_directory());
    let answer = primary.shell(Method::GET, "internal/authorized_certs?key=abc&user_identifier=zoe", Value::Null);
    assert_eq!(answer, (StatusCode::FORBIDDEN, json!({"message": "Feature is not available"})));
}
