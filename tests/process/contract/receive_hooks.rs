//! Group P: before and after a push.
//!
//! Not made: P06 (merge requests that are there already), P15 (Geo). The text after the options of P09 is ours: there are no merge requests.

use serde_json::{Value, json};

use crate::support::contract_case::{ApiCall, assert_cases, authenticated_case, case};
use crate::support::contract_directory::{self, PUSH_DEPLOY_KEY, pull, push};
use crate::support::env::{SendTo, TestEnv};
use crate::support::http::Request;

const NEW_BRANCH: &str = "0000000000000000000000000000000000000000 fd9e76b9136bdd9fe217061b497745792fe5a5ee refs/heads/feature\n";

fn post_receive_call(word: &str, who: &str) -> ApiCall {
    let call = ApiCall::post("/api/v4/internal/post_receive").with("gl_repository", word).with("identifier", who);
    call.with("changes", NEW_BRANCH)
}

fn messages_body(messages: &[(&str, &str)]) -> Value {
    let messages: Vec<Value> = messages.iter().map(|(kind, text)| json!({"message": text, "type": kind})).collect();
    json!({"messages": messages, "reference_counter_decreased": true})
}

fn merge_request_message(project: &str) -> String {
    format!(
        "To create a merge request for feature, visit:\n  https://git.example.com/{project}/-/merge_requests/new?merge_request%5Bsource_branch%5D=feature"
    )
}

fn post_receive_with_options(word: &str, options: &[&str]) -> Request {
    let body = json!({"gl_repository": word, "identifier": "user-4", "changes": "", "push_options": options});
    Request::post("/api/v4/internal/post_receive", &body)
}

#[test]
fn a_push_is_counted_and_its_author_is_told_what_follows() {
    let env = contract_directory::fresh_env();
    let deploy = format!("key-{PUSH_DEPLOY_KEY}");
    let own = merge_request_message("team/private");
    let warning = |option: &str, why: &str| format!("WARNINGS:\nError encountered with push options '{option}': {why}");
    let no_merges = warning("merge_request.create", "Merge requests are not enabled for project team/private");
    let only_projects = warning("mr.create", "Push options are only supported for projects");
    assert_cases(
        &env,
        vec![
            case("P01", "a project", ApiCall::post("/api/v4/internal/pre_receive").with("gl_repository", "project-10"), 200)
                .body_equals(json!({"reference_counter_increased": true})),
            case("P02", "a new branch", post_receive_call("project-10", "user-4"), 200).body_equals(messages_body(&[("basic", &own)])),
            case("P03", "a wiki", post_receive_call("wiki-10", "user-4"), 200).body_equals(messages_body(&[])),
            case("P03", "a snippet", post_receive_call("snippet-3", "user-4"), 200).body_equals(messages_body(&[])),
            case("P04", "nobody", post_receive_call("project-10", "key-9999"), 200).body_equals(messages_body(&[("basic", &own)])),
            case("P04", "a deploy key", post_receive_call("project-10", &deploy), 200).body_equals(messages_body(&[("basic", &own)])),
            case("P05", "a word that names none", post_receive_call("project-foo", "user-4"), 200).body_equals(messages_body(&[])),
            case("P07", "links are switched off", post_receive_call("project-32", "user-4"), 200).body_equals(messages_body(&[])),
            authenticated_case("P09", "an option", post_receive_with_options("project-10", &["merge_request.create"]), 200)
                .body_equals(messages_body(&[("alert", &no_merges)])),
            authenticated_case("P10", "an option for a wiki", post_receive_with_options("wiki-10", &["mr.create"]), 200)
                .body_equals(messages_body(&[("alert", &only_projects)])),
            authenticated_case("P10", "an option of Git's own", post_receive_with_options("project-10", &["ci.skip"]), 200)
                .body_equals(messages_body(&[])),
        ],
    );

    let broadcast = |id: u64, more: &str| {
        format!(
            "{{\"kind\":\"broadcast\",\"id\":{id},\"message\":\"word {id}\",\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2999-01-01T00:00:00Z\"{more}}}\n"
        )
    };
    env.apply(&broadcast(1, r#","broadcast_type":"notification""#));
    assert_cases(
        &env,
        vec![
            case("P12", "a notification only", post_receive_call("project-10", "user-4"), 200)
                .body_equals(messages_body(&[("basic", &own)])),
        ],
    );
    env.apply(&(broadcast(2, "") + &broadcast(3, r#","target_path":"/team/guarded""#)));
    assert_cases(
        &env,
        vec![
            case("P11", "a banner", post_receive_call("project-10", "user-4"), 200)
                .body_equals(messages_body(&[("alert", "word 2"), ("basic", &own)])),
            case("P11", "a banner of its own", post_receive_call("project-29", "user-4"), 200)
                .body_equals(messages_body(&[("alert", "word 3"), ("basic", &merge_request_message("team/guarded"))])),
        ],
    );
}

/// P14: by a former path, and by a push that made the project; each is said once, to the next push of that person.
#[test]
fn a_waiting_message_is_shown_once_after_the_next_push() {
    let env = contract_directory::fresh_env();
    for (send_to, made) in [(TestEnv::request_primary as SendTo, "developer/made-there"), (TestEnv::request_sidecar, "developer/made-here")]
    {
        let after = |word: &str, who: u64| {
            let body = json!({"gl_repository": word, "identifier": format!("user-{who}"), "changes": ""});
            send_to(&env, Request::post("/api/v4/internal/post_receive", &body)).json()
        };
        for project in ["former/place", "Former/Place.git"] {
            assert_eq!(send_to(&env, pull("developer", project).to_json_request()).status, 200);
        }
        assert_eq!(after("project-10", 5), messages_body(&[]), "it waits for who asked by the former path");
        let moved = after("project-10", 4);
        let text = moved["messages"][0]["message"].as_str().unwrap_or_default();
        assert!(text.contains("was moved to 'team/private'") && text.contains("git@git.example.com:team/private.git"), "{moved}");
        assert_eq!(moved["messages"].as_array().map(Vec::len), Some(1), "{moved}");
        assert_eq!(after("project-10", 4), messages_body(&[]), "it is told once");

        let yes = send_to(&env, push("developer", made).to_json_request()).json();
        let word = yes["gl_repository"].as_str().unwrap_or_else(|| panic!("{yes}")).to_owned();
        let text = after(&word, 4)["messages"][0]["message"].as_str().unwrap_or_default().to_owned();
        assert!(text.starts_with(&format!("The private project {made} was successfully created.")), "{text}");
        assert_eq!(after(&word, 4), messages_body(&[]), "it is told once");
    }
}
