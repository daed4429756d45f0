//! `allowed` on the wire: its parameters into a request, the decision into a body. (server.md 2.1; client.md 2.4)

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::access_decision::{AccessDenied, AccessGrant, Actor};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::wire::claimant;
use crate::wire::gitaly::GitalyServer;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// The parameters that the rules read, and the shared secret, which is checked before them.
pub const KNOWN_PARAMS: [&str; 15] = [
    "key_id",
    "user_id",
    "username",
    "identifier",
    "gl_repository",
    "project",
    "action",
    "protocol",
    "changes",
    "env",
    "check_ip",
    "namespace_path",
    "relative_path",
    "push_options",
    "secret_token",
];

/// A parameter that would change the actor and is not supported: refused, never ignored.
const UNSUPPORTED_PARAM: &str = "krb5principal";

const BYTES_PER_MIB: u64 = 1024 * 1024;

/// Returns whether the actor is named by a Kerberos principal, which no directory knows.
#[must_use]
pub fn names_kerberos_principal(params: &Params) -> bool {
    params.values.get(UNSUPPORTED_PARAM).is_some_and(|value| !value.is_null())
}

/// Reads a request that is decided here. Refuses `krb5principal`. `gitaly_client_context_bin` is read by
/// [`gitaly_client_context`](crate::wire::gitaly_client_context).
pub fn parse_request(params: &Params) -> Result<AllowedRequest, ParamsError> {
    if names_kerberos_principal(params) {
        return Err(ParamsError::invalid_value(UNSUPPORTED_PARAM, "not decided by this primary; leave it out"));
    }
    parse_forwardable_request(params)
}

/// Reads a request that may be forwarded instead: `unsupported_param` names a parameter that the rules do not read, also one that
/// [`parse_request`] refuses.
pub fn parse_forwardable_request(params: &Params) -> Result<AllowedRequest, ParamsError> {
    let text = |name| params.text(name);
    Ok(AllowedRequest {
        claimed_actor: claimant::parse_claimant(params)?,
        gl_repository: text("gl_repository")?.filter(|gl_repository| !gl_repository.is_empty()),
        project: text("project")?,
        action: parse_action(text("action")?.as_deref()),
        protocol: parse_protocol(text("protocol")?),
        changes: parse_changes(text("changes")?),
        env: text("env")?.filter(|env| !env.is_empty()),
        check_ip: text("check_ip")?,
        namespace_path: text("namespace_path")?,
        relative_path: text("relative_path")?,
        push_options: params.text_or_list("push_options")?,
        unsupported_param: params.first_unknown(&KNOWN_PARAMS).map(str::to_owned),
    })
}

/// Encodes a request as gitlab-shell would send it, in JSON, for asking a primary.
#[must_use]
pub fn encode_request(request: &AllowedRequest) -> String {
    let mut body = serde_json::Map::new();
    let mut put = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), Value::from(value));
        }
    };
    put("action", action_name(request.action));
    put("project", request.project.as_deref());
    put("gl_repository", request.gl_repository.as_deref());
    match &request.changes {
        RefChanges::Any => put("changes", Some("_any")),
        RefChanges::Absent => {}
        RefChanges::Listed(lines) => put("changes", Some(lines)),
    }
    match &request.protocol {
        Protocol::Ssh => put("protocol", Some("ssh")),
        Protocol::Http => put("protocol", Some("http")),
        Protocol::Web => put("protocol", Some("web")),
        Protocol::Other(gl_repository) => put("protocol", Some(gl_repository)),
    }
    let id_text = |id: &Option<_>| id.map_or_else(|| "0".to_owned(), |id: crate::model::id::Id| id.to_string());
    match &request.claimed_actor {
        ClaimedActor::Key(id) => put("key_id", Some(&id_text(id))),
        ClaimedActor::User(id) => put("user_id", Some(&id_text(id))),
        ClaimedActor::Username(name) => put("username", Some(name)),
        ClaimedActor::KeyOwner(id) => put("identifier", Some(&format!("key-{}", id_text(id)))),
        ClaimedActor::Unspecified => {}
    }
    put("env", request.env.as_deref());
    put("check_ip", request.check_ip.as_deref());
    put("namespace_path", request.namespace_path.as_deref());
    put("relative_path", request.relative_path.as_deref());
    if !request.push_options.is_empty() {
        body.insert("push_options".to_owned(), json!(request.push_options));
    }
    Value::Object(body).to_string()
}

fn parse_action(gl_repository: Option<&str>) -> Action {
    match gl_repository {
        Some("git-upload-pack") => Action::UploadPack,
        Some("git-upload-archive") => Action::UploadArchive,
        Some("git-receive-pack") => Action::ReceivePack,
        _ => Action::Unknown,
    }
}

const fn action_name(action: Action) -> Option<&'static str> {
    match action {
        Action::UploadPack => Some("git-upload-pack"),
        Action::UploadArchive => Some("git-upload-archive"),
        Action::ReceivePack => Some("git-receive-pack"),
        Action::Unknown => None,
    }
}

fn parse_protocol(gl_repository: Option<String>) -> Protocol {
    match gl_repository.as_deref() {
        Some("ssh") => Protocol::Ssh,
        Some("http") => Protocol::Http,
        Some("web") => Protocol::Web,
        _ => Protocol::Other(gl_repository.unwrap_or_default()),
    }
}

fn parse_changes(text: Option<String>) -> RefChanges {
    match text {
        Some(any) if any == "_any" => RefChanges::Any,
        Some(lines) if !lines.is_empty() => RefChanges::Listed(lines),
        _ => RefChanges::Absent,
    }
}

/// Returns the body of a grant. Names without a value are left out; types are as Go reads them.
#[must_use]
pub fn encode_granted(grant: &AccessGrant) -> String {
    let (gl_repository, project_path, relative_path) =
        (grant.repository.gl_repository(), grant.repository.path(), grant.repository.relative_path());
    let user = grant.actor.user();
    let key = grant.actor.key();
    let body = GrantedBody {
        status: true,
        gl_repository: &gl_repository,
        gl_project_path: &project_path,
        gl_id: user.map(|user| format!("user-{}", user.id)).unwrap_or_default(),
        gl_username: user.map(|user| user.username.as_str()),
        git_config_options: git_config_options(grant.settings.receive_max_input_size_mib),
        gitaly: GitalyBody {
            repository: RepositoryBody {
                storage_name: grant.repository.storage(),
                relative_path: &relative_path,
                git_object_directory: "",
                git_alternate_object_directories: [],
                gl_repository: &gl_repository,
                gl_project_path: &project_path,
            },
            server: GitalyServer::of_storage(grant.storage.as_deref()),
        },
        gl_console_messages: &grant.console_messages,
        gl_key_type: key.map(|_| if matches!(grant.actor, Actor::DeployKey(..)) { "deploy_key" } else { "key" }),
        gl_key_id: key.map(|key| key.id.number()),
        gl_project_id: grant.repository.project().map(|project| project.id.number()),
        gl_root_namespace_id: grant.root_namespace.map(|id| id.number()),
        need_audit: false,
    };
    // Texts, numbers and a map by text: JSON can express all of them.
    serde_json::to_string(&body).unwrap_or_default()
}

/// Returns the body of a refusal.
#[must_use]
pub fn encode_refused(refusal: &AccessDenied) -> String {
    json!({"status": false, "message": refusal.message}).to_string()
}

#[derive(Serialize)]
struct GrantedBody<'a> {
    status: bool,
    gl_repository: &'a str,
    gl_project_path: &'a str,
    gl_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_username: Option<&'a str>,
    git_config_options: Vec<String>,
    gitaly: GitalyBody<'a>,
    gl_console_messages: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_key_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_key_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_project_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_root_namespace_id: Option<u64>,
    need_audit: bool,
}

#[derive(Serialize)]
struct GitalyBody<'a> {
    repository: RepositoryBody<'a>,
    #[serde(flatten)]
    server: GitalyServer<'a>,
}

#[derive(Serialize)]
struct RepositoryBody<'a> {
    storage_name: &'a str,
    relative_path: &'a str,
    git_object_directory: &'static str,
    git_alternate_object_directories: [&'static str; 0],
    gl_repository: &'a str,
    gl_project_path: &'a str,
}

fn git_config_options(max_input_size_mib: u32) -> Vec<String> {
    let mut options = vec!["uploadpack.allowFilter=true".to_owned(), "uploadpack.allowAnySHA1InWant=true".to_owned()];
    if max_input_size_mib > 0 {
        options.push(format!("receive.maxInputSize={}", u64::from(max_input_size_mib) * BYTES_PER_MIB));
    }
    options
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{encode_granted, encode_refused, encode_request, parse_forwardable_request, parse_request};
    use crate::model::access_decision::{AccessDenied, AccessGrant, Actor, Repository};
    use crate::model::access_request::{Action, ClaimedActor, Protocol, RefChanges};
    use crate::model::memory_directory::ed25519_public_key;
    use crate::model::record::{Key, Project, Record, Settings, Snippet, Storage, User};
    use crate::wire::http::params::Params;

    fn to_params(values: Value) -> Params {
        Params { values: values.as_object().cloned().unwrap_or_default() }
    }

    macro_rules! record {
        ($kind:ident, $line:expr) => {
            match Record::parse($line) {
                Ok(Record::$kind(record)) => Arc::new(record) as Arc<$kind>,
                other => panic!("{other:?}"),
            }
        };
    }

    fn grant(repository: Repository, actor: Actor, settings: &str) -> AccessGrant {
        let storage = r#"{"kind":"storage","name":"default","address":"unix:/g","features":{"gitaly-feature-a":true,"b_c":false}}"#;
        AccessGrant {
            actor,
            repository,
            storage: Some(record!(Storage, storage)),
            settings: record!(Settings, settings),
            root_namespace: "1".parse().ok(),
            console_messages: vec!["x".to_owned()],
        }
    }

    fn project() -> Arc<Project> {
        record!(Project, r#"{"kind":"project","id":9,"namespace_id":2,"path":"g/s/p","name":"p","relative_path":"@hashed/p.git"}"#)
    }

    fn user() -> Arc<User> {
        record!(User, r#"{"kind":"user","id":7,"username":"zoe","name":"Z"}"#)
    }

    fn key(deploy: bool) -> Arc<Key> {
        let line = format!(
            r#"{{"kind":"key","id":11,"title":"t","key":"{}","deploy":{deploy},"created_at":"2026-01-01T00:00:00Z"}}"#,
            ed25519_public_key(1)
        );
        record!(Key, &line)
    }

    fn granted_body(grant: &AccessGrant) -> Value {
        serde_json::from_str(&encode_granted(grant)).unwrap()
    }

    #[test]
    fn a_request_is_read_as_gitlab_shell_and_gitaly_send_it() {
        let shell = json!({"action": "git-upload-pack", "project": "/g/p.git", "changes": "_any", "protocol": "ssh", "key_id": "12", "check_ip": "::1"});
        let request = parse_request(&to_params(shell)).unwrap();
        assert_eq!(request.claimed_actor, ClaimedActor::Key("12".parse().ok()));
        assert_eq!((request.action, request.protocol, request.changes), (Action::UploadPack, Protocol::Ssh, RefChanges::Any));
        assert_eq!(
            (request.project.as_deref(), request.check_ip.as_deref(), request.unsupported_param),
            (Some("/g/p.git"), Some("::1"), None)
        );
        let gitaly = json!({"action": "git-receive-pack", "gl_repository": "project-1", "changes": "a b c\n", "env": "{broken", "user_id": 3,
            "push_options": ["ci.skip"], "relative_path": "r.git"});
        let request = parse_request(&to_params(gitaly)).unwrap();
        assert_eq!(request.changes, RefChanges::Listed("a b c\n".to_owned()));
        assert_eq!((request.env.as_deref(), request.protocol), (Some("{broken"), Protocol::Other(String::new())));
        assert_eq!(request.push_options, ["ci.skip"]);
    }

    #[test]
    fn a_request_without_parameters_is_still_a_request() {
        let request =
            parse_request(&to_params(json!({"changes": "", "env": "", "gl_repository": "", "action": "rm -rf", "project": null}))).unwrap();
        assert_eq!(
            (request.claimed_actor, request.action, request.changes),
            (ClaimedActor::Unspecified, Action::Unknown, RefChanges::Absent)
        );
        assert_eq!((request.env, request.gl_repository, request.project), (None, None, None));
    }

    #[test]
    fn an_unsupported_parameter_is_noted_and_one_that_changes_the_actor_is_refused() {
        assert_eq!(
            parse_request(&to_params(json!({"key_id": "1", "colour": "red"}))).unwrap().unsupported_param.as_deref(),
            Some("colour")
        );
        assert_eq!(parse_request(&to_params(json!({"key_id": "1", "secret_token": "s"}))).unwrap().unsupported_param, None);
        for name in ["krb5principal", "gitaly_client_context_bin"] {
            let params = to_params(json!({"key_id": "1", name: "x"}));
            assert_eq!(parse_request(&params).is_err(), name == "krb5principal");
            assert_eq!(parse_forwardable_request(&params).unwrap().unsupported_param.as_deref(), Some(name));
            assert!(parse_request(&to_params(json!({name: null}))).is_ok());
        }
    }

    #[test]
    fn a_value_of_another_form_is_an_error_with_its_name() {
        for name in ["project", "env", "changes", "push_options", "check_ip", "key_id"] {
            let error = parse_request(&to_params(json!({name: {"a": ["b"]}}))).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(parse_request(&to_params(json!({"push_options": [["a"]]}))).is_err());
    }

    #[test]
    fn an_encoded_request_is_parsed_as_the_same_request() {
        for values in [
            json!({"action": "git-upload-pack", "project": "g/p", "changes": "_any", "protocol": "ssh", "key_id": "12", "check_ip": "::1"}),
            json!({"action": "git-receive-pack", "gl_repository": "wiki-1", "protocol": "web", "username": "Zoë", "namespace_path": "g"}),
            json!({"identifier": "key-4", "protocol": "ssh_certificates", "changes": "a b c\nd e f", "env": "{}", "push_options": ["a", "b"]}),
            json!({"user_id": "0", "relative_path": "r"}),
        ] {
            let request = parse_request(&to_params(values)).unwrap();
            let again = serde_json::from_str(&encode_request(&request)).unwrap();
            assert_eq!(parse_request(&to_params(again)).unwrap(), request);
        }
    }

    /// H01 to H11: every field, and those that are left out.
    #[test]
    fn a_grant_has_the_types_that_go_reads() {
        let sized = r#"{"kind":"settings","receive_max_input_size_mib":5000}"#;
        let body = granted_body(&grant(Repository::Project(project()), Actor::User(user(), Some(key(false))), sized));
        let expected = json!({
            "status": true, "gl_repository": "project-9", "gl_project_path": "g/s/p", "gl_id": "user-7", "gl_username": "zoe",
            "git_config_options": ["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true", "receive.maxInputSize=5242880000"],
            "gitaly": {
                "repository": {"storage_name": "default", "relative_path": "@hashed/p.git", "git_object_directory": "",
                    "git_alternate_object_directories": [], "gl_repository": "project-9", "gl_project_path": "g/s/p"},
                "address": "unix:/g", "token": null, "features": {"gitaly-feature-a": "true", "gitaly-feature-b-c": "false"}},
            "gl_console_messages": ["x"], "gl_key_type": "key", "gl_key_id": 11, "gl_project_id": 9, "gl_root_namespace_id": 1, "need_audit": false
        });
        assert_eq!(body, expected);
        let nobody = granted_body(&grant(Repository::Project(project()), Actor::Unknown, r#"{"kind":"settings"}"#));
        assert_eq!((nobody["gl_id"].as_str(), nobody.get("gl_username"), nobody.get("gl_key_id")), (Some(""), None, None));
        assert_eq!(nobody["git_config_options"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn wikis_designs_snippets_and_deploy_keys_are_named_as_what_they_are() {
        let settings = r#"{"kind":"settings"}"#;
        let deploy = Actor::DeployKey(key(true), Some(user()));
        let wiki = granted_body(&grant(Repository::Wiki(project()), deploy, settings));
        assert_eq!((&wiki["gl_repository"], &wiki["gl_project_path"]), (&json!("wiki-9"), &json!("g/s/p.wiki")));
        assert_eq!(wiki["gitaly"]["repository"]["relative_path"], "@hashed/p.wiki.git");
        assert_eq!((&wiki["gl_key_type"], &wiki["gl_id"], &wiki["gl_project_id"]), (&json!("deploy_key"), &json!("user-7"), &json!(9)));
        let design = granted_body(&grant(Repository::Design(project()), Actor::Unknown, settings));
        assert_eq!(design["gitaly"]["repository"]["relative_path"], "@hashed/p.design.git");
        let own: Arc<Snippet> = record!(Snippet, r#"{"kind":"snippet","id":5,"author_id":7,"storage":"ssd","relative_path":"s.git"}"#);
        let mut grant = grant(Repository::Snippet(own, None), Actor::User(user(), None), settings);
        grant.root_namespace = None;
        let snippet = granted_body(&grant);
        assert_eq!((&snippet["gl_repository"], &snippet["gl_project_path"]), (&json!("snippet-5"), &json!("snippets/5")));
        assert_eq!((snippet.get("gl_project_id"), snippet.get("gl_root_namespace_id")), (None, None));
        assert_eq!(snippet["gitaly"]["repository"]["storage_name"], "ssd");
    }

    #[test]
    fn a_refusal_has_status_false_and_the_message() {
        let body = encode_refused(&AccessDenied { status: 401, reason: "push", message: "No \"x\".".to_owned() });
        assert_eq!(serde_json::from_str::<Value>(&body).ok(), Some(json!({"status": false, "message": "No \"x\"."})));
    }
}
