//! The examples of GitLab's document of the internal API, as their curl lines say with only host and tokens changed: each is run by curl
//! itself at the primary and through the sidecar, and must give the status and the shape that the document shows.

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use crate::support::contract_directory::{
    ADMIN_TOKEN, AGENT_TOKENS, ERROR_TRACKING_TOKEN, KAS_SECRET, agent_record, contract_key_blob, contract_public_key,
    env_with_all_credentials,
};
use crate::support::env::TestEnv;

/// One example: what it is of, its curl line after `curl`, its status and its body. In the line `<…>` stands for what is changed; in the body
/// `<text>`, `<number>` and `<list>` stand for any, and more names may be there than the document shows.
struct Example {
    title: &'static str,
    arguments: Vec<String>,
    status: u16,
    body: Value,
}

impl Example {
    fn new(of: &'static str, line: &str, status: u16, body: Value) -> Self {
        // Two spaces part the words, since a word of curl's may have one.
        Self { title: of, arguments: line.split("  ").map(str::to_owned).collect(), status, body }
    }

    /// With a body, which may have any letters.
    fn data(mut self, data: &str) -> Self {
        self.arguments.extend(["--data".to_owned(), data.to_owned()]);
        self
    }
}

const SHELL: &str = "--header  Gitlab-Shared-Secret: <secret>";
const KAS: &str = "--header  Gitlab-Kas-Api-Request: <kas>  --header  Authorization: Bearer <agent>";
const JSON: &str = "--header  Content-Type: application/json";

#[rustfmt::skip]
fn git_examples() -> Vec<Example> {
    vec![
        Example::new("Git authentication", &format!("--request  POST  {SHELL}  --data  key_id=11&project=gnuwget/wget2&action=git-upload-pack&protocol=ssh  <api>/internal/allowed"), 200, json!({
            "status": true, "gl_repository": "project-3", "gl_project_path": "gnuwget/wget2", "gl_id": "user-1", "gl_username": "root", "git_config_options": "<list>",
            "gitaly": {
                "repository": {
                    "storage_name": "default", "relative_path": "@hashed/4e/07/4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce.git",
                    "git_object_directory": "", "git_alternate_object_directories": [], "gl_repository": "project-3", "gl_project_path": "gnuwget/wget2"
                },
                "address": "unix:/Users/bvl/repos/gitlab/gitaly.socket", "token": null
            },
            "gl_console_messages": []
        })),
        Example::new("LFS authentication", &format!("--request  POST  {SHELL}  --data  key_id=11&project=gnuwget/wget2  <api>/internal/lfs_authenticate"), 200, json!({
            "username": "root", "lfs_token": "<text>", "repository_http_path": "http://localhost:3001/gnuwget/wget2.git", "expires_in": "<number>"
        })),
        Example::new("Authorized keys", &format!("--request  GET  {SHELL}  <api>/internal/authorized_keys?key=<key>"), 200, json!({
            "id": 11, "title": "admin@example.com", "key": "<text>", "created_at": "2019-06-27T15:29:02.219Z"
        })),
        Example::new("Discover", &format!("--request  GET  {SHELL}  <api>/internal/discover?key_id=7"), 200, json!({"id": 7, "name": "Dede Eichmann", "username": "rubi"})),
        Example::new("Instance information", &format!("--request  GET  {SHELL}  <api>/internal/check"), 200, json!({
            "api_version": "v4", "gitlab_version": "<text>", "gitlab_rev": "<text>", "redis": true
        })),
        Example::new("Recovery codes", &format!("--request  POST  {SHELL}  --data  key_id=7  <api>/internal/two_factor_recovery_codes"), 200, json!({
            "success": true, "recovery_codes": vec!["<text>"; 10]
        })),
        // The document's date has passed; no token may end before it begins.
        Example::new("Personal access token", &format!("--request  POST  {SHELL}  --data  user_id=29&name=mytokenname&scopes[]=read_user&scopes[]=read_repository&expires_at=2099-07-24  <api>/internal/personal_access_token"), 200, json!({
            "success": true, "token": "<text>", "scopes": ["read_user", "read_repository"], "expires_at": "2099-07-24"
        })),
        Example::new("Error tracking", "--request  POST  --header  Gitlab-Error-Tracking-Token: <error-tracking>  --data  project_id=111&public_key=generated-error-tracking-key  <api>/internal/error_tracking/allowed", 200, json!({"enabled": true})),
        Example::new("Pre-receive", &format!("--request  POST  {SHELL}  --data  gl_repository=project-7  <api>/internal/pre_receive"), 200, json!({"reference_counter_increased": true})),
        Example::new("Post-receive", &format!("--request  POST  {SHELL}  --data  gl_repository=project-7  --data  identifier=user-1  --data  changes=0000000000000000000000000000000000000000 fd9e76b9136bdd9fe217061b497745792fe5a5ee gh-pages\\n  <api>/internal/post_receive"), 200, json!({
            "messages": [{"message": "Hello from post-receive", "type": "alert"}], "reference_counter_decreased": true
        })),
    ]
}

#[rustfmt::skip]
fn agent_examples() -> Vec<Example> {
    const MODULE: &str = "<api>/internal/kubernetes/modules/starboard_vulnerability";
    let place = |path: &str| json!({
        "project_id": 7, "gitaly_info": {"address": "<text>", "token": null, "features": {}}, "default_branch": "main",
        "gitaly_repository": {"storage_name": "default", "relative_path": "<text>", "gl_repository": "project-7", "gl_project_path": path}
    });
    let mut itself = place("gnuwget/seven");
    (itself["agent_id"], itself["agent_name"]) = (json!(1), json!("agent-1"));
    let updated_at = "<text>";
    let yaml = "---\nname: Policy\ndescription: 'Policy description'\nenabled: true\nactions:\n- scan: container_scanning\nrules:\n- type: pipeline\n branches:\n - main\n";
    vec![
        Example::new("Agent information", &format!("--request  GET  {KAS}  <api>/internal/kubernetes/agent_info"), 200, itself),
        Example::new("Agent project information", &format!("--request  GET  {KAS}  <api>/internal/kubernetes/project_info?id=7"), 200, place("gnuwget/seven")),
        Example::new("Agent usage metrics", &format!("--request  POST  --header  Gitlab-Kas-Api-Request: <kas>  {JSON}  <api>/internal/kubernetes/usage_metrics"), 204, Value::Null)
            .data(r#"{"gitops_sync_count":1}"#),
        Example::new("Create a vulnerability", &format!("--request  PUT  {KAS}  {JSON}  --url  {MODULE}"), 200, json!({"uuid": "<text>"})).data(VULNERABILITY),
        Example::new("Resolve vulnerabilities", &format!("--request  POST  {KAS}  {JSON}  --url  {MODULE}/scan_result"), 200, Value::Null)
            .data(r#"{ "uuids": ["102e8a0a-fe29-59bd-b46c-57c3e9bc6411", "5eb12985-0ed5-51f4-b545-fd8871dc2870"] }"#),
        Example::new("Scan execution policies", &format!("--request  GET  {KAS}  {MODULE}/scan_execution_policies"), 200, json!({
            "policies": [{"name": "Policy", "description": "Policy description", "enabled": true, "yaml": yaml, "updated_at": updated_at}]
        })),
        Example::new("Policy configuration", &format!("--request  GET  {KAS}  {MODULE}/policies_configuration"), 200, json!({
            "configurations": [{"cadence": "30 2 * * *", "namespaces": ["namespace-a", "namespace-b"], "updated_at": updated_at}]
        })),
    ]
}

#[rustfmt::skip]
fn subscription_examples() -> Vec<Example> {
    let subscription = |seats: Value, used: Value| json!({
        "plan": {"code": "premium", "name": "premium", "trial": false, "auto_renew": null, "upgradable": false},
        "usage": {"seats_in_subscription": seats, "seats_in_use": "<number>", "max_seats_used": used, "seats_owed": 0},
        "billing": {"subscription_start_date": "2020-07-15", "subscription_end_date": null, "trial_ends_on": null}
    });
    let mut read = subscription(json!(10), json!(0));
    read["plan"]["exclude_guests"] = json!(false);
    vec![
        Example::new("Create a subscription", "--request  POST  --header  TOKEN: <admin>  <api>/namespaces/1234/gitlab_subscription?start_date=2020-07-15&plan=premium&seats=10", 201, subscription(json!(10), json!(0))),
        Example::new("Update a subscription", "--request  PUT  --header  TOKEN: <admin>  <api>/namespaces/1234/gitlab_subscription?max_seats_used=0", 200, subscription(json!(10), json!(0))),
        Example::new("Retrieve a subscription", "--header  TOKEN: <admin>  <api>/namespaces/1234/gitlab_subscription", 200, read),
        Example::new("Create an additional pack", &format!("--request  POST  --url  <api>/namespaces/123/minutes  {JSON}  --header  PRIVATE-TOKEN: <admin>"), 201, json!([
            {"namespace_id": 123, "expires_at": "2022-01-01", "number_of_minutes": 10000, "purchase_xid": "46952fe69bebc1a4de10b2b4ff439d0c"}
        ])).data(PACKS),
        Example::new("Move additional packs", "--request  PATCH  --url  <api>/namespaces/123/minutes/move/321  --header  PRIVATE-TOKEN: <admin>", 202, json!({"message": "202 Accepted"})),
        Example::new("Upcoming reconciliations", &format!("--request  PUT  --header  PRIVATE-TOKEN: <admin>  {JSON}  <api>/internal/upcoming_reconciliations"), 200, Value::Null)
            .data(RECONCILIATIONS),
        Example::new("Delete an upcoming reconciliation", "--request  DELETE  --url  <api>/internal/upcoming_reconciliations?namespace_id=22  --header  PRIVATE-TOKEN: <admin>", 204, Value::Null),
    ]
}

const VULNERABILITY: &str = r#"{
"vulnerability": {
"name": "CVE-123-4567 in libc",
"severity": "high",
"confidence": "unknown",
"location": {
"kubernetes_resource": {
"namespace": "production",
"kind": "deployment",
"name": "nginx",
"container": "nginx"
}
},
"identifiers": [
{
"type": "cve",
"name": "CVE-123-4567",
"value": "CVE-123-4567"
}
]
},
"scanner": {
"id": "starboard_trivy",
"name": "Trivy (via Starboard Operator)",
"vendor": "GitLab"
}
}"#;
const PACKS: &str = r#"{
"packs": [
{
"number_of_minutes": 10000,
"expires_at": "2022-01-01",
"purchase_xid": "46952fe69bebc1a4de10b2b4ff439d0c"
}
]
}"#;
const RECONCILIATIONS: &str = r#"{"upcoming_reconciliations": [{"namespace_id": 127, "next_reconciliation_date": "13 Jun 2021", "display_alert_from": "06 Jun 2021"}, {"namespace_id": 129, "next_reconciliation_date": "12 Jun 2021", "display_alert_from": "05 Jun 2021"}]}"#;

/// The directory that the examples speak of.
#[rustfmt::skip]
fn directory() -> String {
    let key = |id: u64, user: u64, title: &str, made: &str| json!({"kind": "key", "id": id, "user_id": user, "title": title, "key": contract_public_key(id), "created_at": made});
    let project = |id: u64, name: &str, relative_path: &str| json!({
        "kind": "project", "id": id, "namespace_id": 1, "path": format!("gnuwget/{name}"), "name": name, "visibility": "public", "relative_path": relative_path
    });
    let mut lines = vec![
        json!({"kind": "settings", "host": "localhost", "web_url": "http://localhost:3001"}),
        json!({"kind": "storage", "name": "default", "address": "unix:/Users/bvl/repos/gitlab/gitaly.socket"}),
        json!({"kind": "user", "id": 1, "username": "root", "name": "Administrator"}),
        json!({"kind": "user", "id": 7, "username": "rubi", "name": "Dede Eichmann", "two_factor": true}),
        json!({"kind": "user", "id": 29, "username": "mytoken", "name": "T"}),
        project(3, "wget2", "@hashed/4e/07/4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce.git"),
        project(7, "seven", "seven.git"),
        project(111, "errors", "errors.git"),
        agent_record(1, AGENT_TOKENS[0], 7),
        json!({"kind": "error_tracking_key", "project_id": 111, "public_key": "generated-error-tracking-key"}),
        json!({"kind": "scan_execution_policy", "project_id": 7, "name": "Policy", "description": "Policy description", "enabled": true, "updated_at": "2022-06-02T05:36:26Z",
            "yaml": "---\nname: Policy\ndescription: 'Policy description'\nenabled: true\nactions:\n- scan: container_scanning\nrules:\n- type: pipeline\n branches:\n - main\n"}),
        json!({"kind": "policy_configuration", "project_id": 7, "cadence": "30 2 * * *", "namespaces": ["namespace-a", "namespace-b"], "updated_at": "2022-06-02T05:36:26Z"}),
        json!({"kind": "broadcast", "id": 1, "message": "Hello from post-receive", "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2999-01-01T00:00:00Z"}),
        key(11, 1, "admin@example.com", "2019-06-27T15:29:02.219Z"),
        key(7, 7, "rubi", "2019-06-27T15:29:02.219Z"),
    ];
    for id in [1, 22, 123, 127, 129, 321, 1234] {
        let path = if id == 1 { "gnuwget".to_owned() } else { format!("group-{id}") };
        lines.push(json!({"kind": "namespace", "id": id, "type": "group", "path": path, "name": path}));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn every_example_of_the_document_is_answered_as_it_shows() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("no curl here: the examples of the document are not tried");
        return;
    }
    let mut table: Vec<(&str, u16, u16)> = Vec::new();
    for place in ["primary", "sidecar"] {
        // An environment for each: what one example makes, the same example cannot make again.
        let env = env_with_all_credentials(&directory());
        let socket = if place == "primary" { env.primary_socket() } else { env.sidecar_socket() };
        create_reconciliation(&env);
        for example in git_examples().into_iter().chain(agent_examples()).chain(subscription_examples()) {
            let (status, body) = run_curl(&env, &socket, &example.arguments);
            let good = status == example.status && matches_shape(&body, &example.body);
            assert!(good, "{} at the {place}: {status} {body}, not {} {}", example.title, example.status, example.body);
            match table.iter_mut().find(|(of, ..)| *of == example.title) {
                None => table.push((example.title, status, 0)),
                Some((.., through)) => *through = status,
            }
        }
    }
    for (of, primary, sidecar) in table {
        eprintln!("example: {of:<36} primary {primary}  sidecar {sidecar}");
    }
}

/// The reconciliation that the last example deletes.
fn create_reconciliation(env: &TestEnv) {
    let row = json!({"namespace_id": 22, "next_reconciliation_date": "13 Jun 2021", "display_alert_from": "06 Jun 2021"});
    let line = ["--request", "PUT", "--header", "PRIVATE-TOKEN: <admin>", "--header", "Content-Type: application/json", "--data"];
    let mut line: Vec<String> = line.map(str::to_owned).into();
    line.extend([json!({"upcoming_reconciliations": [row]}).to_string(), "<api>/internal/upcoming_reconciliations".to_owned()]);
    assert_eq!(run_curl(env, &env.primary_socket(), &line).0, 200);
}

/// Runs curl; a body that is no JSON is `null`, as is none.
fn run_curl(env: &TestEnv, socket: &Path, line: &[String]) -> (u16, Value) {
    let kas = issue_token(Issuer::Kas, None, &Secret::from_bytes(&KAS_SECRET).unwrap(), clock::wall_time());
    let words = line.iter().map(|word| {
        word.replace("<secret>", &STANDARD.encode(env.shared_secret()))
            .replace("<kas>", &kas)
            .replace("<agent>", AGENT_TOKENS[0])
            .replace("<admin>", ADMIN_TOKEN)
            .replace("<error-tracking>", ERROR_TRACKING_TOKEN)
            .replace("<key>", &crate::support::generated_directory::query_encode(&contract_key_blob(11)))
            .replace("<api>", "http://localhost/api/v4")
    });
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--unix-socket"])
        .arg(socket)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let message = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line:?}: {message}{}", String::from_utf8_lossy(&output.stderr));
    let (body, status) = message.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Whether a body has the shape that the document shows; of `null` nothing is asked.
fn matches_shape(body: &Value, shown: &Value) -> bool {
    match (body, shown) {
        (Value::String(text), Value::String(shown)) if shown == "<text>" => !text.is_empty(),
        (Value::Number(_), Value::String(shown)) if shown == "<number>" => true,
        (Value::Array(_), Value::String(shown)) if shown == "<list>" => true,
        (Value::Object(body), Value::Object(shown)) => shown.iter().all(|(name, shown)| {
            body.get(name).is_some_and(|value| *shown == Value::Null && value.is_null() || matches_shape(value, shown))
        }),
        (Value::Array(body), Value::Array(shown)) => {
            body.len() == shown.len() && body.iter().zip(shown).all(|(body, shown)| matches_shape(body, shown))
        }
        (_, Value::Null) => true,
        (body, shown) => body == shown,
    }
}
