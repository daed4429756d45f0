//! Group O: what the Enterprise edition adds to `allowed`.
//!
//! Not made: O03 and O04 (smartcards), O06 (project aliases), O07 (storage limits, which do not bind before the changes are known),
//! the yes of O10 (a service account that acts for a person: refused here), O12 (certificates that a group enforces: there are none).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::contract_case::{PROJECT_NOT_FOUND, assert_cases, case, denied_body};
use crate::support::contract_directory::{self, PUSH_DEPLOY_KEY, key_actor, pull, push};

const NAMESPACE: &str = "You are not allowed to access projects in this namespace.";

#[test]
fn addresses_and_certificates_of_a_group_are_limits() {
    let from = |call: crate::support::contract_case::ApiCall, address: &str| call.with("check_ip", address);
    let within = |call: crate::support::contract_case::ApiCall, group: &str| call.with("namespace_path", group);
    let context = |text: &str| pull("developer", "team/private").with("gitaly_client_context_bin", text);
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("O05", "no address", pull("developer", "fence/code"), 200).answered_from("local"),
            case("O05", "an address on the list", from(pull("developer", "fence/code"), "150.168.0.1"), 200).answered_from("local"),
            case("O05", "an address that is not", from(pull("developer", "fence/code"), "150.168.0.2"), 404)
                .body_equals(denied_body(PROJECT_NOT_FOUND)),
            case("O05", "an address that is none", from(pull("developer", "fence/code"), "x"), 404)
                .body_equals(denied_body(PROJECT_NOT_FOUND)),
            case("O09", "a context that is a list", context("W10="), 400).message_contains("gitaly_client_context_bin"),
            case("O09", "a context that is a zero byte", context("AA=="), 400).message_contains("gitaly_client_context_bin"),
            case("O09", "a context that says nothing", context("e30="), 200),
            case("O10", "a context that names nobody", context(&STANDARD.encode(r#"{"scoped-user-id":9999}"#)), 404),
            case("O10", "a context that names somebody", context(&STANDARD.encode(r#"{"scoped-user-id":1}"#)), 400)
                .message_contains("gitaly_client_context_bin"),
            case("O09", "a principal of Kerberos", pull("nobody", "team/private").with("krb5principal", "x@Y"), 400)
                .body_equals(denied_body("This Git server does not know Kerberos logins. Please log in with an SSH key.")),
            case("O11", "the root group", within(pull("user:developer", "team/sub/deep"), "team"), 200).answered_from("local"),
            case("O11", "the root group in other letters", within(pull("user:developer", "team/sub/deep"), "TEAM"), 200)
                .answered_from("local"),
            case("O11", "a subgroup", within(pull("user:developer", "team/sub/deep"), "team/sub"), 401).body_equals(denied_body(NAMESPACE)),
            case("O11", "a personal project", within(pull("user:developer", "developer/own"), "developer"), 401)
                .body_equals(denied_body(NAMESPACE)),
            case("O11", "another group's project", within(pull("user:outsider", "team/public"), "other"), 401)
                .body_equals(denied_body(NAMESPACE)),
        ],
    );
}

#[test]
fn nobody_pushes_during_maintenance() {
    let env = contract_directory::fresh_env();
    contract_directory::apply_settings(&env, &json!({"maintenance": true}));
    let text = "Git push is not allowed because this GitLab instance is currently in (read-only) maintenance mode.";
    assert_cases(
        &env,
        vec![
            case("O01", "a developer", push("developer", "team/private"), 401).body_equals(denied_body(text)),
            case("O01", "an admin", push("admin", "team/private"), 401).body_equals(denied_body(text)),
            case("O01", "a deploy key", push(&key_actor(PUSH_DEPLOY_KEY), "team/private"), 401).body_equals(denied_body(text)),
            case("O02", "a pull", pull("developer", "team/private"), 200).answered_from("local"),
        ],
    );
}
