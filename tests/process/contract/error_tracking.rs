//! Group Q: may a client report errors? All rows are made; the flag of Q07 is the setting here.

use serde_json::{Value, json};

use crate::support::contract_case::{ContractCase, assert_cases, verbatim_case};
use crate::support::contract_directory::{self, ERROR_TRACKING_TOKEN};
use crate::support::http::Request;

fn allowed_request(project: u64, key: &str) -> Request {
    Request::post_form("/api/v4/internal/error_tracking/allowed", &format!("project_id={project}&public_key={key}"))
}

fn with_token(request: Request) -> Request {
    request.header("Gitlab-Error-Tracking-Token", ERROR_TRACKING_TOKEN)
}

fn enabled_case(id: &'static str, given: &str, request: Request, enabled: bool) -> ContractCase {
    verbatim_case(id, given, request, 200).body_equals(json!({"enabled": enabled}))
}

#[test]
fn a_client_key_counts_while_it_is_active() {
    let (env, refused) = (contract_directory::shared_env(), json!({"message": "401 Unauthorized"}));
    let form = format!("project_id=10&public_key=active&error_tracking_token={ERROR_TRACKING_TOKEN}");
    let shell = allowed_request(10, "active").header("Gitlab-Shell-Api-Request", &env.shell_token());
    let json = Request::post("/api/v4/internal/error_tracking/allowed", &json!({"project_id": 10, "public_key": "active"}));
    assert_cases(
        &env,
        vec![
            verbatim_case("Q01", "no token", allowed_request(10, "active"), 401).body_equals(refused.clone()),
            verbatim_case("Q01", "another token", allowed_request(10, "active").header("Gitlab-Error-Tracking-Token", "another"), 401)
                .body_equals(refused.clone()),
            verbatim_case("Q02", "gitlab-shell's token", shell, 401).body_equals(refused),
            enabled_case("Q02", "the token as a parameter", Request::post_form("/api/v4/internal/error_tracking/allowed", &form), true),
            verbatim_case("Q03", "no key", with_token(allowed_request(10, "")), 422)
                .body_contains(json!({"message": "422 Unprocessable Entity"})),
            verbatim_case("Q04", "no such project", with_token(allowed_request(9999, "active")), 404)
                .body_equals(json!({"message": "404 Not found"})),
            enabled_case("Q05", "a key that is switched off", with_token(allowed_request(10, "disabled")), false),
            enabled_case("Q05", "another project's key", with_token(allowed_request(13, "active")), false),
            enabled_case("Q06", "an active key", with_token(allowed_request(10, "active")), true),
            enabled_case("Q06", "the same in JSON", with_token(json), true),
        ],
    );
}

#[test]
fn no_key_counts_where_error_tracking_is_switched_off() {
    let env = contract_directory::fresh_env();
    contract_directory::apply_settings(&env, &json!({"error_tracking": Value::Bool(false)}));
    assert_cases(&env, vec![enabled_case("Q07", "an active key", with_token(allowed_request(10, "active")), false)]);
}
