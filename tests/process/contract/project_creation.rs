//! Group L: a push to where nothing is.

use serde_json::json;

use crate::support::contract_case::{ContractCase, PROJECT_NOT_FOUND, assert_cases, case, denied_body};
use crate::support::contract_directory::{self, PUSH_DEPLOY_KEY, key_actor, pull, push};
use crate::support::env::TestEnv;

/// How many projects and snippets there are.
fn created_counts(env: &TestEnv) -> (u64, u64) {
    let records = &env.primary_status()["records"];
    (records["project"].as_u64().unwrap(), records["snippet"].as_u64().unwrap())
}

fn not_found_case(id: &'static str, given: &str, call: crate::support::contract_case::ApiCall) -> ContractCase {
    case(id, given, call, 404).body_equals(denied_body(PROJECT_NOT_FOUND))
}

#[test]
fn a_push_makes_a_project_only_where_its_person_may() {
    let env = contract_directory::fresh_env();
    let before = created_counts(&env);
    assert_cases(
        &env,
        vec![
            case("L03", "a snippet", push("developer", "snippets/notexist.git"), 404),
            case("L04", "a snippet of no project", push("developer", "developer/notexist/snippets/notexist.git"), 404),
            case("L05", "a snippet below a project", push("developer", "developer/own/notexist/snippets/notexist.git"), 404),
            not_found_case("L06", "a pull in one's own namespace", pull("developer", "developer/fresh")),
            not_found_case("L07", "a push in another's namespace", push("developer", "outsider/fresh")),
            not_found_case("L07", "a pull in another's namespace", pull("developer", "outsider/fresh")),
            not_found_case("L08", "a push of a reporter in the group", push("reporter", "team/fresh")),
            not_found_case("L08", "a push where nobody makes projects", push("developer", "closed/fresh")),
            not_found_case("L08", "a push beyond the number of projects", push("limited", "limited/fresh")),
            not_found_case("L09", "a push of a deploy key", push(&key_actor(PUSH_DEPLOY_KEY), "developer/fresh")),
            not_found_case("L09", "a push without changes", push("developer", "developer/fresh").without("changes")),
            case("L10", "a project that is there", push("developer", "developer/own"), 200),
            case("L11", "a name that none can have", push("developer", "developer/-fresh"), 422)
                .message_contains("Could not create project: "),
        ],
    );
    assert_eq!(created_counts(&env), before, "nothing was made");

    let fresh = |path: &str| json!({"status": true, "gl_project_path": path, "gl_username": "developer"});
    assert_cases(
        &env,
        vec![
            case("L01", "a push in one's own namespace", push("developer", "developer/fresh.git"), 200)
                .body_contains(fresh("developer/fresh"))
                .sent_once(),
            case("L02", "a push of a developer in the group", push("developer", "team/fresh"), 200)
                .body_contains(fresh("team/fresh"))
                .sent_once(),
        ],
    );
    assert_eq!(created_counts(&env), (before.0 + 2, before.1));
    env.wait_until_fresh();
    assert_cases(
        &env,
        vec![
            case("L01", "it is there, at the sidecar too", pull("developer", "developer/fresh"), 200)
                .body_contains(fresh("developer/fresh"))
                .answered_from("local"),
            not_found_case("L01", "it is private", pull("outsider", "developer/fresh")),
        ],
    );
}
