//! Groups F and G: recovery codes, tokens of people, the second factor. All answers have status 200; what is wrong is in them.
//!
//! Not made: F02 as of a key whose user was deleted at GitLab's (here such a key has no user at all); G06 and G09 (one-time passwords of the
//! Enterprise edition: without its licence both checks are the refusal of G10).

use serde_json::{Value, json};

use crate::support::contract_case::{ApiCall, assert_cases, case};
use crate::support::contract_directory::{self, PUSH_DEPLOY_KEY, key_actor};
use crate::support::env::{SendTo, TestEnv};
use crate::support::http::Request;

const CODES: &str = "/api/v4/internal/two_factor_recovery_codes";
const TOKEN: &str = "/api/v4/internal/personal_access_token";
const CONFIG: &str = "/api/v4/internal/two_factor_config";
const OTP: [&str; 2] = ["/api/v4/internal/two_factor_manual_otp_check", "/api/v4/internal/two_factor_push_otp_check"];

fn failure_body(text: &str) -> Value {
    json!({"success": false, "message": text})
}

fn call_as(path: &'static str, who: &str) -> ApiCall {
    contract_directory::with_actor(ApiCall::post(path), who)
}

/// A request for a token with these scopes besides.
fn token_request(who: &str, more: &Value) -> Request {
    let mut body = json!({"key_id": (100 + contract_directory::user_id(who)).to_string(), "name": "laptop", "scopes": ["read_api"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    Request::post(TOKEN, &body)
}

#[test]
fn refused_recovery_codes_and_tokens_come_with_a_reason() {
    use crate::support::contract_case::authenticated_case;
    let scopes =
        r#"Valid scopes are: ["api", "read_api", "read_registry", "read_repository", "read_user", "write_registry", "write_repository"]"#;
    let scopes_fail = |more: Value, text: &str| {
        authenticated_case("F12", format!("{more}"), token_request("developer", &more), 200).body_equals(failure_body(text))
    };
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("F01", "no such user", call_as(CODES, "nobody").with("user_id", 9999), 200)
                .body_equals(failure_body("Could not find the given user")),
            case("F01", "no such key", call_as(CODES, "key:9999"), 200).body_equals(failure_body("Could not find the given key")),
            case("F01", "a user without a key", call_as(CODES, "user:twofactor"), 200)
                .body_equals(failure_body("Could not find the given key")),
            case("F04", "a deploy key, codes", call_as(CODES, &key_actor(PUSH_DEPLOY_KEY)), 200)
                .body_equals(failure_body("Deploy keys cannot be used to retrieve recovery codes")),
            case("F05", "a deploy key, a token", call_as(TOKEN, &key_actor(PUSH_DEPLOY_KEY)), 200)
                .body_equals(failure_body("Deploy keys cannot be used to create personal access tokens")),
            case("F06", "no second factor", call_as(CODES, "developer"), 200)
                .body_equals(failure_body("Two-factor authentication is not enabled for this user"))
                .body_lacks("recovery_codes"),
            case("F08", "no such user, a token", call_as(TOKEN, "nobody").with("user_id", 9999), 200)
                .body_equals(failure_body("Could not find the given user")),
            case("F09", "no name", call_as(TOKEN, "developer"), 200).body_equals(failure_body("No token name specified")),
            case("F10", "no scopes", call_as(TOKEN, "developer").with("name", "laptop"), 200)
                .body_equals(failure_body("No token scopes specified")),
            authenticated_case("F11", "a date that is none", token_request("developer", &json!({"expires_at": "invalid-date"})), 200)
                .body_equals(failure_body("Invalid token expiry date: 'invalid-date'")),
            scopes_fail(json!({"scopes": ["read_api", "badscope", "read_repository"]}), &format!("Invalid scope: 'badscope'. {scopes}")),
            authenticated_case("F13", "blocked", token_request("blocked", &json!({})), 200)
                .body_equals(failure_body("Failed to create token: Not permitted to create")),
        ],
    );
}

#[test]
fn recovery_codes_and_tokens_are_new_each_time_and_the_tokens_are_valid() {
    let env = contract_directory::shared_env();
    let mut seen = std::collections::BTreeSet::new();
    for send_to in [TestEnv::request_primary as SendTo, TestEnv::request_sidecar] {
        let codes = send_to(&env, call_as(CODES, "twofactor").to_json_request()).json();
        let list: Vec<String> = serde_json::from_value(codes["recovery_codes"].clone()).unwrap_or_else(|_| panic!("F07: {codes}"));
        assert!(codes["success"] == true && list.len() == 10, "F07: {codes}");
        for code in list {
            assert!(code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "F07: {code}");
            assert!(seen.insert(code), "F07: given twice");
        }

        let request = token_request("developer", &json!({"scopes": ["read_user", "read_repository"], "expires_at": "2099-07-24"}));
        let made = send_to(&env, request).json();
        let expected = json!({"success": true, "scopes": ["read_user", "read_repository"], "expires_at": "2099-07-24"});
        assert!(crate::support::contract_case::json_contains(&made, &expected), "F14: {made}");
        let text = made["token"].as_str().unwrap().to_owned();
        let own = Request::get("/api/v4/personal_access_tokens/self").header("PRIVATE-TOKEN", &text);
        for socket in [env.primary_socket(), env.sidecar_socket()] {
            let own = own.send(&socket);
            assert_eq!((own.status, own.json()["user_id"].as_u64(), own.json()["active"].as_bool()), (200, Some(4), Some(true)), "F14");
        }
        assert!(seen.insert(text), "F14: given twice");
    }
    let unknown = Request::get("/api/v4/personal_access_tokens/self").header("PRIVATE-TOKEN", "glpat-unknown");
    assert_cases(&env, vec![crate::support::contract_case::verbatim_case("F14", "an unknown token", unknown, 401)]);
}

#[test]
fn the_second_factor_is_asked_for_as_the_instance_is_set() {
    let unavailable = failure_body("Feature is not available");
    let otp = |path| call_as(path, "twofactor").with("otp_attempt", "123456");
    let mut rows = vec![case("G01", "switched off", call_as(CONFIG, "twofactor"), 200).body_equals(json!({"success": false}))];
    rows.extend(OTP.map(|path| case("G10", path, otp(path), 200).body_equals(unavailable.clone())));
    assert_cases(&contract_directory::shared_env(), rows);

    let env = contract_directory::fresh_env();
    contract_directory::apply_settings(&env, &json!({"two_factor_for_cli": true}));
    let required = |required: bool| json!({"success": true, "two_factor_required": required});
    let mut rows = vec![
        case("G02", "a deploy key", call_as(CONFIG, &key_actor(PUSH_DEPLOY_KEY)), 200).body_equals(required(false)),
        case("G03", "with a second factor", call_as(CONFIG, "twofactor"), 200).body_equals(required(true)),
        case("G04", "without one", call_as(CONFIG, "developer"), 200).body_equals(required(false)),
        case("G05", "an unknown key", call_as(CONFIG, "key:9999"), 200).body_equals(failure_body("Could not find the given key")),
    ];
    rows.extend(OTP.map(|path| case("G10", path, otp(path), 200).body_equals(unavailable.clone())));
    assert_cases(&env, rows);
}
