//! What a GitLab says reaches the caller to the byte, whatever its version and however it is reached.

use serde_json::json;

use crate::gitlab::{GitlabEnv, Reach};
use crate::support::generated_directory::key_blob;
use crate::support::gitlab::GitlabVersion;
use crate::support::gitlab::directory::GitlabDirectory;
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

fn answers(version: GitlabVersion, reach: Reach) -> Vec<(u16, String)> {
    let it = GitlabEnv::start(version, reach, "", "");
    *it.gitlab.directory() = GitlabDirectory::of_size(2);
    it.gitlab.directory().users.get_mut(&2).unwrap().blocked = true;
    let discover = it.shell(Request::get("/api/v4/internal/discover?key_id=1"));
    let nobody = it.shell(Request::get("/api/v4/internal/discover?username=nobody"));
    let lfs = json!({"key_id": "1", "project": "group/project-1.git", "operation": "download"});
    let lfs = it.shell(Request::post("/api/v4/internal/lfs_authenticate", &lfs));
    let requests = [
        lookup_request(&key_blob(1)),
        lookup_request(&key_blob(77)),
        discover,
        nobody,
        it.pull(1, "group/project-1.git"),
        it.pull(1, "group/project-2.git"),
        it.pull(2, "group/project-2.git"),
        lfs,
    ];
    requests.into_iter().map(|request| it.ask(request)).map(|response| (response.status, response.text())).collect()
}

const NOT_FOUND: &str =
    r#"{"status":false,"message":"The project you were looking for could not be found or you don't have permission to view it."}"#;

fn expected(version: GitlabVersion) -> Vec<(u16, String)> {
    let new = version == GitlabVersion::V18;
    let usage = if new { r#","usage_type":"auth_and_signing""# } else { "" };
    let more = if new { r#","gl_project_id":1,"gl_root_namespace_id":1,"need_audit":false"# } else { "" };
    let key = format!(
        r#"{{"id":1,"title":"key 1","created_at":"2026-01-31T12:00:00.000Z","expires_at":null,"key":"ssh-ed25519 {} person-1 (gitlab.example.com)"{usage}}}"#,
        key_blob(1)
    );
    let granted = format!(
        "{}{more}}}",
        r#"{"status":true,"gl_repository":"project-1","gl_project_path":"group/project-1","gl_id":"user-1","gl_username":"person-1","git_config_options":["uploadpack.allowFilter=true","uploadpack.allowAnySHA1InWant=true"],"gitaly":{"repository":{"storage_name":"default","relative_path":"@hashed/1.git","git_object_directory":"","git_alternate_object_directories":[],"gl_repository":"project-1","gl_project_path":"group/project-1"},"address":"tcp://gitaly:8075","token":"gitaly-token","features":{}},"gl_console_messages":[],"gl_key_type":"key","gl_key_id":1"#
    );
    vec![
        (200, key),
        (404, r#"{"message":"404 Key Not Found"}"#.to_owned()),
        (200, r#"{"id":1,"username":"person-1","name":"Person 1"}"#.to_owned()),
        (200, "null".to_owned()),
        (200, granted),
        (404, NOT_FOUND.to_owned()),
        (401, r#"{"status":false,"message":"Your account has been blocked."}"#.to_owned()),
        (
            200,
            r#"{"username":"person-1","lfs_token":"token-of-person-1","repository_http_path":"https://gitlab.example.com/group/project-1.git","expires_in":7200}"#
                .to_owned(),
        ),
    ]
}

#[test]
fn the_answers_of_a_15_reach_the_caller_to_the_byte_over_a_unix_socket() {
    assert_eq!(answers(GitlabVersion::V15, Reach::Unix), expected(GitlabVersion::V15));
}

#[test]
fn the_answers_of_an_18_reach_the_caller_to_the_byte_over_http() {
    assert_eq!(answers(GitlabVersion::V18, Reach::Http), expected(GitlabVersion::V18));
}

#[test]
fn the_answers_of_an_18_reach_the_caller_to_the_byte_over_tls_below_a_relative_root() {
    assert_eq!(answers(GitlabVersion::V18, Reach::Tls), expected(GitlabVersion::V18));
}
