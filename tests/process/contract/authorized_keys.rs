//! Group B: whose key is this? All rows are made.

use serde_json::json;

use crate::support::contract_case::{ApiCall, assert_cases, authenticated_case, case};
use crate::support::contract_directory::{
    self, AUTH_ONLY_KEY, EXPIRED_KEY, PUSH_DEPLOY_KEY, RSA_KEY, SIGNING_KEY, contract_key_blob, contract_public_key,
};
use crate::support::http::Request;

const PATH: &str = "/api/v4/internal/authorized_keys";

fn lookup(key: &str) -> ApiCall {
    ApiCall::get(PATH).with("key", key)
}

#[test]
fn a_key_that_logs_in_is_found_by_its_blob() {
    let missing = json!({"message": "404 Key Not Found"});
    let found =
        |id: u64, owner: &str| json!({"id": id, "key": format!("{} {owner}", contract_public_key(id)), "title": format!("key {id}")});
    let short = contract_key_blob(104);
    let short = &short[..short.len() - 3];
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("B02", "the comment is the owner's name and the host", lookup(&contract_key_blob(104)), 200)
                .body_contains(found(104, "Developer (git.example.com)"))
                .body_contains(json!({"created_at": "2026-01-31T12:00:00.000Z", "expires_at": null, "usage_type": "auth_and_signing"}))
                .answered_from("local"),
            case("B02", "an RSA key", lookup(&contract_key_blob(RSA_KEY)), 200)
                .body_contains(found(RSA_KEY, "Maintainer (git.example.com)")),
            case("B03", "a key that only signs", lookup(&contract_key_blob(SIGNING_KEY)), 404)
                .body_equals(missing.clone())
                .body_lacks("id"),
            case("B04", "a key that only logs in", lookup(&contract_key_blob(AUTH_ONLY_KEY)), 200)
                .body_contains(json!({"id": AUTH_ONLY_KEY, "usage_type": "auth"})),
            case("B05", "a blob without its end", lookup(short), 404).body_equals(missing.clone()),
            case("B05", "not Base64", lookup("***"), 404).body_equals(missing.clone()),
            case("B05", "an unknown key", lookup(&contract_key_blob(9999)), 404).body_equals(missing),
            case("B06", "a deploy key", lookup(&contract_key_blob(PUSH_DEPLOY_KEY)), 200).body_contains(json!({"id": PUSH_DEPLOY_KEY})),
            case("B06", "an expired key", lookup(&contract_key_blob(EXPIRED_KEY)), 200).body_contains(json!({"id": EXPIRED_KEY})),
            case("B06", "of a blocked owner", lookup(&contract_key_blob(109)), 200).body_contains(json!({"id": 109})),
            authenticated_case("B07", "no key asked", Request::get(PATH), 400).message_contains("key"),
        ],
    );
}
