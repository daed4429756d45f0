//! Group R: the agents' server.
//!
//! Not made: R19 (what is licensed at GitLab's is simply there).

use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use crate::support::contract_case::{ContractCase, assert_cases, verbatim_case};
use crate::support::contract_directory::{self, AGENT_TOKENS, KAS_SECRET};
use crate::support::env::SendTo;
use crate::support::http::Request;

const MODULE: &str = "/api/v4/internal/kubernetes/modules/starboard_vulnerability";

fn with_kas_token(request: Request) -> Request {
    request.header("Gitlab-Kas-Api-Request", &issue_token(Issuer::Kas, None, &Secret::from_bytes(&KAS_SECRET).unwrap(), clock::wall_time()))
}

/// With the token of an agent, as it was shown before, and as it is now.
fn agent_requests(request: Request, token: &str) -> [Request; 2] {
    [
        with_kas_token(request.clone()).header("Authorization", &format!("Bearer {token}")),
        with_kas_token(request).header("Gitlab-Agent-Api-Request", token),
    ]
}

fn first_agent_request(request: Request) -> Request {
    let [first, _] = agent_requests(request, AGENT_TOKENS[0]);
    first
}

fn kas_get(path: &str) -> Request {
    Request::get(&format!("/api/v4/internal/kubernetes/{path}"))
}

fn kas_post(path: &str, body: &Value) -> Request {
    Request::post(&format!("/api/v4/internal/kubernetes/{path}"), body)
}

fn unauthorized_case(id: &'static str, given: &str, request: Request) -> ContractCase {
    verbatim_case(id, given, request, 401).body_equals(json!({"message": "401 Unauthorized"}))
}

#[test]
fn an_agent_is_told_of_itself_and_of_projects_that_anybody_may_read() {
    let env = contract_directory::shared_env();
    let shell = kas_get("agent_info").header("Gitlab-Shell-Api-Request", &env.shell_token());
    let place = |id: u64, path: &str| {
        json!({
            "project_id": id,
            "gitaly_info": {"address": "unix:/run/gitaly.sock", "token": "gitaly-token", "features": {"gitaly-feature-a": "true"}},
            "gitaly_repository": {"storage_name": "default", "relative_path": format!("{path}.git"), "gl_repository": format!("project-{id}"), "gl_project_path": path},
            "default_branch": "main"
        })
    };
    let mut itself = place(10, "team/private");
    (itself["agent_id"], itself["agent_name"]) = (json!(1), json!("agent-1"));
    let kas_refused = json!({"message": "KAS JWT authentication invalid"});
    let mut rows = vec![
        verbatim_case("R01", "no token of the agents' server", kas_get("agent_info").header("Authorization", "Bearer x"), 401)
            .body_equals(kas_refused.clone()),
        verbatim_case("R01", "gitlab-shell's token", shell, 401).body_equals(kas_refused),
        unauthorized_case("R02", "no agent's token", with_kas_token(kas_get("agent_info"))),
        unauthorized_case("R02", "no agent's token, a project", with_kas_token(kas_get("project_info?id=16"))),
    ];
    for request in agent_requests(kas_get("agent_info"), "unknown") {
        rows.push(unauthorized_case("R02", "an unknown token", request));
    }
    for request in agent_requests(kas_get("agent_info"), AGENT_TOKENS[0]) {
        rows.push(verbatim_case("R03", "itself", request, 200).body_equals(itself.clone()));
    }
    rows.push(
        verbatim_case("R03", "itself, at the newer path", first_agent_request(kas_get("agents/agentk/agent_info")), 200)
            .body_equals(itself),
    );
    for (id, given, sent_request, status) in [
        ("R04", "a public project", "16", 200),
        ("R04", "a public project by its path", "team%2Fpublic", 200),
        ("R05", "a public project for members", "17", 404),
        ("R06", "an internal project", "13", 404),
        ("R07", "another's private project", "24", 404),
        ("R07", "its own private project", "10", 200),
        ("R08", "no such project", "9999", 404),
    ] {
        let row = verbatim_case(id, given, first_agent_request(kas_get(&format!("project_info?id={sent_request}"))), status);
        rows.push(match sent_request {
            "16" | "team%2Fpublic" => row.body_equals(place(16, "team/public")),
            "10" => row.body_equals(place(10, "team/private")),
            _ => row.body_equals(json!({"message": "404 Not Found"})),
        });
        let access = if status == 200 { 204 } else { 404 };
        rows.push(verbatim_case("R13", given, first_agent_request(kas_get(&format!("verify_project_access?id={sent_request}"))), access));
    }
    assert_cases(&env, rows);
}

#[test]
fn findings_and_usage_of_agents_are_stored_once() {
    let env = contract_directory::fresh_env();
    let usage = |body: &Value| with_kas_token(kas_post("usage_metrics", body));
    let invalid =
        |id: &'static str, body: &Value, text: &str| verbatim_case(id, body, usage(body), 400).body_contains(json!({"error": text}));
    let config = json!({"ci_access": {"projects": [{"id": "team/public"}], "groups": [{"id": "team/sub"}]}});
    assert_cases(
        &env,
        vec![
            verbatim_case("R09", "counters", usage(&json!({"counters": {"gitops_sync": 1, "k8s_api_proxy_request": 2}})), 204),
            verbatim_case("R09", "counters as they were", usage(&json!({"gitops_sync_count": 1})), 204),
            verbatim_case("R09", "a set", usage(&json!({"unique_counters": {"agent_users_using_ci_tunnel": [1, 2]}})), 204),
            verbatim_case(
                "R09",
                "nothing",
                usage(&json!({"counters": {"gitops_sync": 0}, "unique_counters": {"agent_users_using_ci_tunnel": []}})),
                204,
            ),
            invalid("R10", &json!({"counters": {"k8s_api_proxy_request": "text"}}), "counters[k8s_api_proxy_request] is invalid"),
            invalid(
                "R10",
                &json!({"unique_counters": {"agent_users_using_ci_tunnel": 1}}),
                "unique_counters[agent_users_using_ci_tunnel] is invalid",
            ),
            verbatim_case("R10", "below zero", usage(&json!({"counters": {"gitops_sync": -1}})), 400),
            verbatim_case(
                "R11",
                "a configuration",
                with_kas_token(kas_post("agent_configuration", &json!({"agent_id": 1, "agent_config": config}))),
                204,
            ),
            verbatim_case(
                "R12",
                "of no agent",
                with_kas_token(kas_post("agent_configuration", &json!({"agent_id": 99, "agent_config": config}))),
                404,
            ),
            verbatim_case(
                "R12",
                "without its agent",
                with_kas_token(kas_post("agent_configuration", &json!({"agent_config": config}))),
                400,
            )
            .body_contains(json!({"error": "agent_id is missing"})),
        ],
    );
    let response_body = Request::get("/-/admin/kubernetes").send(&env.primary_socket()).json();
    assert_eq!(response_body["configurations"][0]["ci_access"], json!({"projects": [16], "groups": [2]}), "R11: {response_body}");
    // Each of the two was asked once at the primary and once through the sidecar.
    let counted = json!({"gitops_sync": 4, "k8s_api_proxy_request": 4, "agent_users_using_ci_tunnel": 2});
    assert_eq!(response_body["usage"], counted, "R09");
}

fn vulnerability_body(name: &str) -> Value {
    json!({
        "vulnerability": {
            "name": format!("{name} in libc"), "severity": "high", "confidence": "unknown",
            "location": {"kubernetes_resource": {"namespace": "production", "kind": "deployment", "name": "nginx", "container": "nginx"}},
            "identifiers": [{"type": "cve", "name": name, "value": name}]
        },
        "scanner": {"id": "starboard_trivy", "name": "Trivy (via Starboard Operator)", "vendor": "GitLab"}
    })
}

#[test]
fn a_finding_keeps_its_number_and_is_resolved_when_it_is_not_found_again() {
    let env = contract_directory::fresh_env();
    let report = |send_to: SendTo, name: &str, token: &str| {
        let request = Request::new("PUT", MODULE).header("Content-Type", "application/json").body(vulnerability_body(name).to_string());
        let [request, _] = agent_requests(request, token);
        let answer = send_to(&env, request);
        assert_eq!(answer.status, 200, "R17: {}", answer.text());
        answer.json()["uuid"].as_str().unwrap().to_owned()
    };
    let [own, other] = [0, 1].map(|agent| AGENT_TOKENS[agent]);
    let primary: SendTo = |env, request| request.send(&env.primary_socket());
    let sidecar: SendTo = |env, request| request.send(&env.sidecar_socket());
    let uuids: Vec<String> = ["CVE-1", "CVE-2", "CVE-3", "CVE-4"].map(|name| report(primary, name, own)).into();
    assert_eq!(report(sidecar, "CVE-1", own), uuids[0], "R17: the same finding");
    let elsewhere = report(sidecar, "CVE-1", other);
    assert_ne!(elsewhere, uuids[0], "R17: of another project");

    for send_to in [primary, sidecar] {
        let request = first_agent_request(Request::post(&format!("{MODULE}/scan_result"), &json!({"uuids": uuids[..2]})));
        assert_eq!(send_to(&env, request).status, 200, "R20");
    }
    let body = Request::get("/-/admin/kubernetes").send(&env.primary_socket()).json();
    let expected: serde_json::Map<String, Value> =
        uuids.iter().cloned().zip(["detected", "detected", "resolved", "resolved"].map(Value::from)).collect();
    assert_eq!(body["findings"]["10"], Value::Object(expected), "R17, R20: each once");
    assert_eq!(body["findings"]["24"], json!({elsewhere: "detected"}), "R20: another project's");

    assert_cases(
        &env,
        vec![
            verbatim_case("R18", "no vulnerability", first_agent_request(Request::new("PUT", MODULE)), 400),
            unauthorized_case("R18", "no agent", with_kas_token(Request::post(&format!("{MODULE}/scan_result"), &json!({"uuids": []})))),
            verbatim_case("R21", "no list", first_agent_request(Request::post(&format!("{MODULE}/scan_result"), &json!({}))), 400),
            verbatim_case("R22", "policies", first_agent_request(Request::get(&format!("{MODULE}/scan_execution_policies"))), 200).body_equals(json!({"policies": [
                {"name": "Policy", "description": "Policy description", "enabled": true, "yaml": "---\nname: Policy\n", "updated_at": "2022-06-02T05:36:26.000Z"}
            ]})),
            verbatim_case("R22", "configurations", first_agent_request(Request::get(&format!("{MODULE}/policies_configuration"))), 200).body_equals(json!({"configurations": [
                {"cadence": "30 2 * * *", "namespaces": ["namespace-a", "namespace-b"], "updated_at": "2022-06-02T05:36:26.000Z"}
            ]})),
        ],
    );
}
