//! Group H: what a yes of `allowed` looks like.
//!
//! Not made: H02 (an audit event that GitLab streams), H03 (flags of Gitaly are for a storage here, not for one project).

use serde_json::{Value, json};

use crate::support::contract_case::{ApiCall, assert_cases, case};
use crate::support::contract_directory::{
    self, EXPIRED_KEY, EXPIRING_KEY, PUSH_DEPLOY_KEY, READ_DEPLOY_KEY, allowed, key_actor, pull, push,
};
use crate::support::env::{SendTo, TestEnv};

const EXPIRES_SOON: &str = "INFO: Your SSH key expires soon. Please generate a new key.";

/// The whole yes to the developer's question for `team/private`.
fn granted_body() -> Value {
    json!({
        "status": true,
        "gl_repository": "project-10",
        "gl_project_path": "team/private",
        "gl_id": "user-4",
        "gl_username": "developer",
        "git_config_options": ["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"],
        "gitaly": {
            "repository": {
                "storage_name": "default",
                "relative_path": "team/private.git",
                "git_object_directory": "",
                "git_alternate_object_directories": [],
                "gl_repository": "project-10",
                "gl_project_path": "team/private"
            },
            "address": "unix:/run/gitaly.sock",
            "token": "gitaly-token",
            "features": {"gitaly-feature-a": "true"}
        },
        "gl_console_messages": [],
        "gl_key_type": "key",
        "gl_key_id": 104,
        "gl_project_id": 10,
        "gl_root_namespace_id": 1,
        "need_audit": false
    })
}

fn as_protocol(call: ApiCall, word: &str) -> ApiCall {
    call.without("project").with("gl_repository", word)
}

#[test]
fn an_allowed_response_names_the_repository_the_user_and_the_gitaly_server() {
    let named = |word: &str, path: &str| json!({"status": true, "gl_repository": word, "gl_project_path": path});
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("H01", "a pull", pull("developer", "team/private"), 200).body_equals(granted_body()).answered_from("local"),
            case("H01", "a pull by number", as_protocol(pull("developer", ""), "project-10"), 200)
                .body_equals(granted_body())
                .answered_from("local"),
            case("H01", "both: the number counts", pull("developer", "team/none").with("gl_repository", "project-10"), 200)
                .body_equals(granted_body()),
            case("H01", "other letters, slash and suffix", pull("developer", "/Team/PRIVATE.git"), 200)
                .body_equals(granted_body())
                .answered_from("local"),
            case("H01", "by name: no key is spoken of", pull("name:developer", "team/private"), 200)
                .body_contains(json!({"gl_id": "user-4", "gl_username": "developer"}))
                .body_lacks("gl_key_type")
                .body_lacks("gl_key_id"),
            case("H07", "a push", push("developer", "team/private"), 200).body_equals(granted_body()).answered_from("local"),
            case("H08", "pull of a wiki", pull("developer", "team/private.wiki"), 200)
                .body_contains(named("wiki-10", "team/private.wiki"))
                .body_contains(json!({"gl_project_id": 10, "gitaly": {"repository": {"relative_path": "team/private.wiki.git"}}}))
                .answered_from("local"),
            case("H08", "push of a wiki", push("developer", "team/private.wiki.git"), 200)
                .body_contains(named("wiki-10", "team/private.wiki")),
            case("H09", "pull of one's own snippet", pull("developer", "snippets/1"), 200)
                .body_contains(json!({"gl_repository": "snippet-1"}))
                .body_lacks("gl_project_id")
                .body_lacks("gl_root_namespace_id"),
            case("H09", "push of one's own snippet", push("developer", "snippets/1"), 200)
                .body_contains(json!({"gl_repository": "snippet-1"}))
                .body_lacks("gl_project_id"),
            case("H10", "pull of a project's snippet", pull("reporter", "team/private/snippets/3"), 200)
                .body_contains(json!({"gl_repository": "snippet-3", "gl_project_id": 10})),
            case("H10", "push of a project's snippet", push("reporter", "team/private/snippets/3"), 200)
                .body_contains(json!({"gl_repository": "snippet-3", "gl_project_id": 10})),
            case("H11", "an archive for a deploy key", allowed(&key_actor(READ_DEPLOY_KEY), "git-upload-archive", "team/private"), 200)
                .body_contains(
                    json!({"gl_key_type": "deploy_key", "gl_key_id": READ_DEPLOY_KEY, "gitaly": {"address": "unix:/run/gitaly.sock"}}),
                ),
            case("H12", "a deploy key is spoken of as its creator", push(&key_actor(PUSH_DEPLOY_KEY), "team/private"), 200)
                .body_contains(json!({"gl_id": "user-4", "gl_username": "developer", "gl_key_type": "deploy_key"})),
            case("H13", "nobody known, a public project", pull("key:9999", "team/public"), 200)
                .body_contains(json!({"gl_id": "", "gl_repository": "project-16"}))
                .body_lacks("gl_username")
                .body_lacks("gl_key_id"),
            case("H14", "a key that ends in two days", pull(&key_actor(EXPIRING_KEY), "team/private"), 200)
                .body_contains(json!({"gl_console_messages": [EXPIRES_SOON], "gl_key_id": EXPIRING_KEY}))
                .answered_from("local"),
            case("H14", "an expired key says so instead", pull(&key_actor(EXPIRED_KEY), "team/private"), 401),
            case("H15", "by a former path", pull("developer", "Former/place.git"), 200)
                .body_equals(granted_body())
                .answered_from("forwarded"),
            case("H15", "a member by a share", pull("friend", "other/lent"), 200)
                .body_contains(json!({"gl_username": "friend"}))
                .answered_from("local"),
            case("H16", "over SSH", pull("developer", "team/private"), 200).header("enable-workhorse-circuit-breaker", Some("true")),
            case("H16", "over HTTP", pull("developer", "team/private").with("protocol", "http"), 200)
                .header("enable-workhorse-circuit-breaker", None),
            case("H16", "over SSH, refused", push("reporter", "team/private"), 401)
                .header("enable-workhorse-circuit-breaker", Some("true")),
        ],
    );
}

#[test]
fn only_a_token_makes_the_circuit_breaker_count() {
    use crate::support::contract_case::verbatim_case;
    use base64::Engine as _;
    let env = contract_directory::shared_env();
    let secret = base64::engine::general_purpose::STANDARD.encode(env.shared_secret());
    let request = |call: ApiCall| call.to_json_request().header("Gitlab-Shared-Secret", &secret);
    assert_cases(
        &env,
        vec![
            verbatim_case("H16", "the shared secret and no token", request(pull("developer", "team/private")), 200)
                .body_equals(granted_body())
                .header("enable-workhorse-circuit-breaker", None),
            verbatim_case("H16", "the same, refused", request(push("reporter", "team/private")), 401)
                .header("enable-workhorse-circuit-breaker", None),
        ],
    );
}

#[test]
fn the_size_of_a_push_is_an_option_where_it_is_limited() {
    let env = contract_directory::fresh_env();
    contract_directory::apply_settings(&env, &json!({"receive_max_input_size_mib": 10}));
    let options = json!(["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true", "receive.maxInputSize=10485760"]);
    assert_cases(
        &env,
        vec![
            case("H06", "10 MiB", push("developer", "team/private"), 200)
                .body_contains(json!({"git_config_options": options}))
                .answered_from("local"),
        ],
    );
    contract_directory::apply_settings(&env, &json!({"operations_per_minute": 1}));
    assert_rate_limited(&env);
}

/// H17: one a minute, so the second, or (if a minute began between) the third, is one too many, wherever it is counted. At the sidecar it is a
/// refusal whose sentence gitlab-shell shows at once.
fn assert_rate_limited(env: &TestEnv) {
    let request = |who: &str| pull(who, "team/public").to_json_request();
    for (place, who, send_to) in
        [("primary", "reporter", TestEnv::request_primary as SendTo), ("sidecar", "guest", TestEnv::request_sidecar as SendTo)]
    {
        assert_eq!(send_to(env, request(who)).status, 200, "the first at the {place}");
        let mut second = send_to(env, request(who));
        if second.status == 200 {
            second = send_to(env, request(who));
        }
        let sentence = "This endpoint has been requested too many times. Try again later.";
        let expected = match place {
            "primary" => (429, json!({"message": {"error": sentence}, "status": false})),
            _ => (401, json!({"status": false, "message": sentence})),
        };
        assert_eq!((second.status, second.json()), expected, "H17 at the {place}");
        assert_eq!(second.header("retry-after"), None);
        assert_eq!(send_to(env, pull(who, "team/internal").to_json_request()).status, 200, "another project at the {place}");
    }
}
