//! Agents of clusters and KAS, their server. (cases.md R)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use super::unpublished_records::{configuration, policy};
use super::{TestPrimary, request, small_directory};
use crate::support::contract_directory::KAS_SECRET;

const MODULE: &str = "modules/starboard_vulnerability";

fn agent(id: u32, project: u32, token: &str) -> String {
    let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"{{"kind":"agent","id":{id},"name":"agent {id}","project_id":{project},"token_sha256":"{hash}"}}"#)
}

fn project(id: u32, path: &str, more: &str) -> String {
    format!(r#"{{"kind":"project","id":{id},"namespace_id":1,"path":"{path}","name":"p"{more},"relative_path":"{id}.git"}}"#)
}

/// Two agents: one of Zoë's private project, one of a public one in the same namespace.
fn lines() -> Vec<String> {
    let more = [
        r#"{"kind":"storage","name":"default","address":"unix:/run/gitaly.sock","token":"t","features":{"x_y":true}}"#.to_owned(),
        agent(5, 1, "first"),
        agent(6, 2, "second"),
        project(2, "zoe/open", r#","visibility":"public","default_branch":"trunk""#),
        project(3, "zoe/inside", r#","visibility":"internal""#),
        project(4, "zoe/half", r#","visibility":"public","repository_access":"private""#),
        r#"{"kind":"namespace","id":7,"type":"group","path":"far","name":"far"}"#.to_owned(),
        r#"{"kind":"project","id":8,"namespace_id":7,"path":"far/p","name":"p","visibility":"public","relative_path":"8.git"}"#.to_owned(),
    ];
    [small_directory()[1..].to_vec(), more.to_vec()].concat()
}

fn kas_token(issuer: Issuer, secret: &[u8]) -> String {
    issue_token(issuer, None, &Secret::from_bytes(secret).unwrap(), clock::wall_time())
}

fn kas() -> String {
    kas_token(Issuer::Kas, &KAS_SECRET)
}

/// As KAS asks, with these headers besides its own.
fn call(primary: &TestPrimary, method: Method, target: &str, headers: &[(&str, &str)], body: Value) -> (StatusCode, Value) {
    let request = request(method, &format!("/api/v4/internal/kubernetes/{target}")).header("gitlab-kas-api-request", &kas());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, _, body) = primary.send(request.body(body));
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn of_agent(primary: &TestPrimary, token: &str, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
    call(primary, method, target, &[("authorization", &format!("Bearer {token}"))], body)
}

fn get(primary: &TestPrimary, token: &str, target: &str) -> (StatusCode, Value) {
    of_agent(primary, token, Method::GET, target, Value::Null)
}

fn stored_by_agents(primary: &TestPrimary) -> Value {
    primary.admin(Method::GET, "kubernetes", Value::Null).1
}

fn invalid(text: &str) -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({"error": text, "message": text}))
}

#[test]
fn only_kas_is_answered_and_nobody_without_a_configured_secret() {
    let primary = TestPrimary::with(&lines());
    let refused = (StatusCode::UNAUTHORIZED, json!({"message": "KAS JWT authentication invalid"}));
    let shell = kas_token(Issuer::GitlabShell, &KAS_SECRET);
    let plain = kas_token(Issuer::Kas, STANDARD.encode(KAS_SECRET).as_bytes());
    for (method, path) in [(Method::GET, "agent_info"), (Method::POST, "usage_metrics"), (Method::PUT, MODULE)] {
        for token in [None, Some("nonsense"), Some(shell.as_str()), Some(plain.as_str())] {
            let request = request(method.clone(), &format!("/api/v4/internal/kubernetes/{path}"));
            let request = token.into_iter().fold(request, |request, token| request.header("gitlab-kas-api-request", token));
            let (status, _, body) = primary.send(request.body("{not even JSON"));
            assert_eq!((status, serde_json::from_slice(&body).unwrap()), refused, "{path}");
        }
    }
    let primary = primary.restart_without("kas_secret_file");
    assert_eq!(get(&primary, "first", "agent_info"), refused);
}

#[test]
fn r02_an_agent_sends_its_token_in_one_of_three_headers() {
    let primary = TestPrimary::with(&lines());
    for good in [
        &[("authorization", "Bearer first")][..],
        &[("authorization", "bearer first")],
        &[("gitlab-agent-api-request", "first")],
        &[("gitlab-agentk-api-request", "first"), ("authorization", "Bearer unknown")],
    ] {
        assert_eq!(call(&primary, Method::GET, "agent_info", good, Value::Null).0, StatusCode::OK, "{good:?}");
    }
    let unauthorized = (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"}));
    for bad in [
        &[][..],
        &[("authorization", "Bearer unknown")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic first")],
        &[("authorization", "first")],
        &[("gitlab-agent-api-request", "")],
        &[("gitlab-agent-api-request", "first"), ("gitlab-agent-api-request", "first")],
    ] {
        for path in ["agent_info", "project_info?id=2", "verify_project_access?id=2"] {
            assert_eq!(call(&primary, Method::GET, path, bad, Value::Null), unauthorized, "{path} {bad:?}");
        }
        assert_eq!(call(&primary, Method::PUT, MODULE, bad, json!({})), unauthorized, "{bad:?}");
    }
}

#[test]
fn an_agent_gets_its_own_info_and_that_of_its_project() {
    let primary = TestPrimary::with(&lines());
    let expected = json!({
        "project_id": 1,
        "agent_id": 5,
        "agent_name": "agent 5",
        "gitaly_info": {"address": "unix:/run/gitaly.sock", "token": "t", "features": {"gitaly-feature-x-y": "true"}},
        "gitaly_repository": {"storage_name": "default", "relative_path": "1.git", "gl_repository": "project-1", "gl_project_path": "zoe/p"},
        "default_branch": "main",
    });
    for path in ["agent_info", "agents/agentk/agent_info"] {
        assert_eq!(get(&primary, "first", path), (StatusCode::OK, expected.clone()));
    }
}

#[test]
fn r04_to_r13_an_agent_sees_its_own_project_and_public_ones() {
    let primary = TestPrimary::with(&lines());
    let (status, body) = get(&primary, "first", "project_info?id=2");
    assert_eq!((status, &body["project_id"], &body["default_branch"]), (StatusCode::OK, &json!(2), &json!("trunk")));
    assert_eq!((&body["gitaly_repository"]["gl_project_path"], &body["agent_id"]), (&json!("zoe/open"), &Value::Null));
    let missing = (StatusCode::NOT_FOUND, json!({"message": "404 Not Found"}));
    for (id, token, seen) in [
        ("zoe%2Fopen", "first", true),
        ("1", "first", true),
        ("1", "second", false),
        ("3", "first", false),
        ("4", "first", false),
        ("99", "first", false),
        ("zoe%2Fnone", "first", false),
        ("8", "first", true),
    ] {
        let info = get(&primary, token, &format!("project_info?id={id}"));
        let verified = get(&primary, token, &format!("verify_project_access?id={id}"));
        if seen {
            assert_eq!((info.0, verified), (StatusCode::OK, (StatusCode::NO_CONTENT, Value::Null)), "{id}");
        } else {
            assert_eq!((info, verified), (missing.clone(), missing.clone()), "{id}");
        }
    }
    assert_eq!(get(&primary, "first", "project_info"), invalid("id is missing"));
}

#[test]
fn r09_usage_is_counted_and_r10_an_invalid_count_is_refused_and_counts_nothing() {
    let primary = TestPrimary::with(&lines());
    let done = (StatusCode::NO_CONTENT, Value::Null);
    let post = |body: Value| call(&primary, Method::POST, "usage_metrics", &[], body);
    assert_eq!(post(json!({"gitops_sync_count": 1})), done);
    let nested = json!({"counters": {"gitops_sync": 2, "k8s_api_proxy_request": 3}, "unique_counters": {"agent_users_using_ci_tunnel": [1, 2, 99, 1]}});
    assert_eq!(post(nested.clone()), done);
    assert_eq!(post(nested), done);
    assert_eq!(post(json!({"counters": {"gitops_sync": 0}, "unique_counters": {"agent_users_using_ci_tunnel": []}})), done);
    assert_eq!(post(json!({})), done);
    for (body, error) in [
        (json!({"gitops_sync_count": 9, "k8s_api_proxy_request_count": "x"}), "k8s_api_proxy_request_count is invalid"),
        (json!({"counters": {"gitops_sync": 9, "k8s_api_proxy_request": "x"}}), "counters[k8s_api_proxy_request] is invalid"),
        (json!({"unique_counters": {"agent_users_using_ci_tunnel": 1}}), "unique_counters[agent_users_using_ci_tunnel] is invalid"),
        (json!({"gitops_sync_count": 9, "counters": {"gitops_sync": 9}}), "counters, gitops_sync_count are mutually exclusive"),
    ] {
        assert_eq!(post(body), invalid(error));
    }
    let (status, body) = post(json!({"counters": {"gitops_sync": 9, "k8s_api_proxy_request": -1}}));
    let error = "400 Bad request - k8s_api_proxy_request count must be greater than or equal to zero";
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!(error)));
    let counted = json!({"agent_users_using_ci_tunnel": 2, "gitops_sync": 5, "k8s_api_proxy_request": 6});
    assert_eq!(stored_by_agents(&primary)["usage"], counted);
    assert_eq!(stored_by_agents(&primary.restart())["usage"], counted);
}

#[test]
fn r11_a_configuration_authorizes_only_projects_and_groups_of_its_own_root() {
    let primary = TestPrimary::with(&lines());
    let post = |primary: &TestPrimary, body: Value| call(primary, Method::POST, "agent_configuration", &[], body);
    let config = json!({
        "ci_access": {"projects": [{"id": "zoe/open"}, {"id": "far/p"}, {"id": "zoe/none"}, {"id": "ZOE/open"}], "groups": [{"id": "far"}, {"id": "zoe"}]},
        "user_access": {"projects": [{"id": "zoe/p"}]},
    });
    assert_eq!(post(&primary, json!({"agent_id": 5, "agent_config": config})), (StatusCode::NO_CONTENT, Value::Null));
    let primary = primary.restart();
    let all = stored_by_agents(&primary);
    let one = &all["configurations"][0];
    assert_eq!((&one["agent_id"], &one["config"]), (&json!(5), &config));
    assert_eq!(one["ci_access"], json!({"projects": [2], "groups": [1]}));
    assert_eq!(one["user_access"], json!({"projects": [1], "groups": []}));
    assert_eq!(get(&primary, "first", "project_info?id=3").0, StatusCode::NOT_FOUND);
    post(&primary, json!({"agent_id": "5", "agent_config": {}}));
    assert_eq!(stored_by_agents(&primary)["configurations"][0]["ci_access"], json!({"projects": [], "groups": []}));
    for unknown in [json!(99), json!(0), json!(-1)] {
        let answer = post(&primary, json!({"agent_id": unknown, "agent_config": {}}));
        assert_eq!(answer, (StatusCode::NOT_FOUND, json!({"message": "404 Not found"})));
    }
    assert_eq!(post(&primary, json!({})), invalid("agent_id is missing, agent_config is missing"));
    assert_eq!(post(&primary, json!({"agent_id": 5, "agent_config": "x"})), invalid("agent_config is invalid"));
}

fn report(cve: &str) -> Value {
    json!({
        "vulnerability": {
            "name": format!("{cve} in libc"),
            "severity": "high",
            "confidence": "unknown",
            "location": {"kubernetes_resource": {"namespace": "production", "kind": "deployment", "name": "nginx", "container": "nginx"}},
            "identifiers": [{"type": "cve", "name": cve, "value": cve}],
        },
        "scanner": {"id": "starboard_trivy", "name": "Trivy (via Starboard Operator)", "vendor": "GitLab"},
    })
}

fn report_finding(primary: &TestPrimary, token: &str, cve: &str) -> String {
    let (status, body) = of_agent(primary, token, Method::PUT, MODULE, report(cve));
    assert_eq!(status, StatusCode::OK, "{body}");
    body["uuid"].as_str().unwrap().to_owned()
}

#[test]
fn r17_a_finding_that_is_reported_again_is_the_same_one() {
    let primary = TestPrimary::with(&lines());
    let uuid = report_finding(&primary, "first", "CVE-1");
    assert_eq!(report_finding(&primary, "first", "CVE-1"), uuid);
    let primary = primary.restart();
    assert_eq!(report_finding(&primary, "first", "CVE-1"), uuid);
    assert_ne!(report_finding(&primary, "second", "CVE-1"), uuid, "another project has findings of its own");
    assert_eq!(stored_by_agents(&primary)["findings"]["1"], json!({uuid: "detected"}));
    let mut wrong = report("CVE-1");
    wrong["vulnerability"]["severity"] = json!("awful");
    wrong["scanner"] = json!({"id": "x", "vendor": "y"});
    let answer = of_agent(&primary, "first", Method::PUT, MODULE, wrong);
    assert_eq!(answer, invalid("vulnerability[severity] does not have a valid value, scanner[name] is missing"));
    let answer = of_agent(&primary, "first", Method::PUT, MODULE, json!({}));
    assert_eq!(answer, invalid("vulnerability is missing, scanner is missing"));
}

#[test]
fn r20_a_scan_resolves_the_missing_findings_of_its_own_project_only() {
    let primary = TestPrimary::with(&lines());
    let mut uuids = Vec::new();
    for number in 1..=4 {
        uuids.push(report_finding(&primary, "first", &format!("CVE-{number}")));
    }
    let elsewhere = report_finding(&primary, "second", "CVE-1");
    let scan = format!("{MODULE}/scan_result");
    let body = json!({"uuids": [uuids[0], uuids[2], elsewhere, "nonsense"]});
    assert_eq!(of_agent(&primary, "first", Method::POST, &scan, body.clone()).0, StatusCode::OK);
    let states = |kept: &Value| uuids.iter().map(|uuid| kept["findings"]["1"][uuid].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let primary = primary.restart();
    let now = stored_by_agents(&primary);
    assert_eq!(states(&now), ["detected", "resolved", "detected", "resolved"]);
    assert_eq!(now["findings"]["2"], json!({elsewhere: "detected"}));
    assert_eq!(of_agent(&primary, "first", Method::POST, &scan, body).0, StatusCode::OK);
    assert_eq!(stored_by_agents(&primary), now, "error again it changes nothing");
    assert_eq!(report_finding(&primary, "first", "CVE-2"), uuids[1]);
    assert_eq!(states(&stored_by_agents(&primary)), ["detected", "detected", "detected", "resolved"], "it is back");
    assert_eq!(of_agent(&primary, "first", Method::POST, &scan, json!({"uuids": []})).0, StatusCode::OK);
    assert_eq!(states(&stored_by_agents(&primary)), ["resolved"; 4]);
    assert_eq!(of_agent(&primary, "first", Method::POST, &scan, json!({})), invalid("uuids is missing"));
}

#[test]
fn an_agent_gets_the_policies_of_its_own_project() {
    let primary = TestPrimary::with(&lines());
    primary.apply("", &[policy(1, "p"), policy(2, "q"), configuration(1, "30 2 * * *")]);
    let policies = json!({"policies": [{"name": "p", "description": "d", "enabled": true, "yaml": "---\nname: x\n", "updated_at": "2022-06-02T05:36:26.000Z"}]});
    assert_eq!(get(&primary, "first", &format!("{MODULE}/scan_execution_policies")), (StatusCode::OK, policies));
    let configurations =
        json!({"configurations": [{"cadence": "30 2 * * *", "namespaces": ["a", "b"], "updated_at": "2022-06-02T05:36:26.000Z"}]});
    assert_eq!(get(&primary, "first", &format!("{MODULE}/policies_configuration")), (StatusCode::OK, configurations));
    let (_, none) = get(&primary, "second", &format!("{MODULE}/policies_configuration"));
    assert_eq!(none, json!({"configurations": []}));
}
