//! A push that creates a project, through a sidecar, a primary and a Gitaly that the test plays: the project has its repositories, also
//! after the primary was killed in between.

use serde_json::{Value, json};

use crate::support::env::{NO_REPOSITORIES, TestEnv};
use crate::support::fake_gitaly::{Behavior, FakeGitaly};
use crate::support::generated_directory::key_blob;
use crate::support::http::{Request, Response};

const TOKEN: &str = "a-token-of-gitaly";

/// A primary that creates repositories, and a sidecar that follows it.
fn running(gitaly: &FakeGitaly, more: &str) -> TestEnv {
    let mut env = TestEnv::new();
    env.replace_in_file("primary.toml", NO_REPOSITORIES, &format!("[creation]\n{more}"));
    env.start_primary();
    let lines = [
        json!({"kind": "storage", "name": "default", "address": gitaly.address, "token": TOKEN}),
        json!({"kind": "user", "id": 1, "username": "zoe", "name": "Zoe"}),
        json!({"kind": "namespace", "id": 1, "type": "user", "path": "zoe", "name": "zoe", "owner_id": 1}),
        json!({"kind": "key", "id": 11, "user_id": 1, "title": "t", "key": format!("ssh-ed25519 {}", key_blob(11)), "created_at": "2026-01-31T12:00:00.000Z"}),
    ];
    env.apply(&lines.map(|line| line.to_string()).join("\n"));
    env.start_sidecar();
    env.wait_until_fresh();
    env
}

fn push_request(env: &TestEnv) -> Request {
    let body = json!({"key_id": 11, "project": "zoe/fresh.git", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    Request::post("/api/v4/internal/allowed", &body).header("gitlab-shell-api-request", &env.shell_token())
}

fn push(env: &TestEnv) -> Response {
    push_request(env).send(&env.sidecar_socket())
}

fn relative_path(body: &Value) -> String {
    body["gitaly"]["repository"]["relative_path"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

#[test]
fn a_push_through_a_sidecar_creates_a_project_with_its_repositories_and_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("ca.pem");
    let gitaly = FakeGitaly::on_tls(&certificate, TOKEN);
    let env = running(&gitaly, &format!("ca_file = \"{}\"\n", certificate.display()));
    gitaly.set(Behavior::Status(14, "restarting"));
    let refused = push(&env);
    assert_eq!((refused.status, &refused.json()["status"]), (422, &json!(false)), "{}", refused.json());
    assert!(refused.json()["message"].as_str().unwrap().starts_with("Could not create project: Gitaly is not available."));
    let status = env.primary_status();
    assert!(status["records"].get("project").is_none(), "{status}");
    assert!(status["creation"]["last_failure"]["reason"].as_str().unwrap().contains("UNAVAILABLE: restarting"), "{status}");

    gitaly.set(Behavior::Create);
    let granted = push(&env);
    assert_eq!(granted.status, 200, "{}", granted.json());
    let path = relative_path(&granted.json());
    assert_eq!(gitaly.repositories(), [path.clone(), path.replace(".git", ".wiki.git")].into());
    assert_eq!(gitaly.calls()[0].relative_path, path, "a retry creates what was reserved");
    let metrics = String::from_utf8(Request::get("/-/metrics").send(&env.primary_socket()).body).unwrap();
    for line in [r#"creations_total{outcome="created"} 1"#, r#"creations_total{outcome="unavailable"} 1"#] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let log = std::fs::read_to_string(env.path().join("primary.toml.log")).unwrap();
    assert!(log.contains("a push created project zoe/fresh") && log.contains("restarting") && !log.contains(TOKEN), "{log}");
    let check = env.run_sidegate(&["check", "--primary", env.path().join("primary.toml").to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&check.stdout).contains("Gitaly is asked for its repositories"), "{check:?}");
}

#[test]
fn a_primary_that_is_killed_while_gitaly_creates_goes_on_with_the_same_repository() {
    let folder = tempfile::tempdir().unwrap();
    let gitaly = FakeGitaly::on_unix(folder.path(), TOKEN);
    let mut env = running(&gitaly, "");
    gitaly.set(Behavior::Wait);
    let attempted = std::thread::scope(|scope| {
        let request = push_request(&env);
        let socket = env.primary_socket();
        let pushing = scope.spawn(move || request.try_send(&socket));
        let call = gitaly.wait_for_calls(1)[0].clone();
        env.primary.as_mut().unwrap().kill();
        gitaly.set(Behavior::Create);
        drop(pushing.join().unwrap());
        call
    });
    env.start_primary();
    assert!(env.primary_status()["records"].get("project").is_none(), "nothing was recorded");
    let granted = push_request(&env).send(&env.primary_socket());
    assert_eq!(granted.status, 200, "{}", granted.json());
    assert_eq!(relative_path(&granted.json()), attempted.relative_path);
    assert_eq!(granted.json()["gl_repository"], attempted.gl_repository.as_str());
    assert_eq!(gitaly.repositories().len(), 2, "none is left over");
}

#[test]
fn a_primary_whose_certificates_cannot_be_read_does_not_start() {
    let env = TestEnv::new();
    env.replace_in_file("primary.toml", NO_REPOSITORIES, "[creation]\nca_file = \"/nowhere/ca.pem\"\n");
    let said = env.start_expecting_failure("primary", "primary.toml");
    assert!(said.contains("creation.ca_file: ") && said.contains("/nowhere/ca.pem"), "{said}");
}
