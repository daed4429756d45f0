//! What cannot be read is refused in the same words by whoever reads it: a sidecar that decides, or a primary. (server.md 1.2)

use serde_json::json;

use crate::support::contract_case::{ContractCase, assert_cases, authenticated_case};
use crate::support::contract_directory;
use crate::support::http::Request;

#[test]
fn malformed_requests_are_refused_alike_by_primary_and_sidecar() {
    let refused = |given: &str, request: Request| authenticated_case("1.2", given, request, 400).message_contains("400 Bad request - ");
    let send_request = |given: &str, body: serde_json::Value| refused(given, Request::post("/api/v4/internal/allowed", &body));
    let got = |target: &str| refused(target, Request::get(&format!("/api/v4/internal/{target}")));
    let broken = Request::new("POST", "/api/v4/internal/allowed").header("Content-Type", "application/json").body("{\"key_id\":");
    let mut rows: Vec<ContractCase> = vec![
        send_request("an id that is an object", json!({"key_id": {"a": 1}})),
        send_request("a list for a text", json!({"key_id": 104, "action": ["git-upload-pack"]})),
        refused("broken JSON", broken),
        refused("a name twice", Request::post_form("/api/v4/internal/allowed", "key_id=104&key_id=105")),
        refused("a name in query and body", Request::post("/api/v4/internal/allowed?key_id=104", &json!({"key_id": 104}))),
        refused("an id that is a list", Request::post("/api/v4/internal/lfs_authenticate", &json!({"user_id": [1]}))),
        refused("no UTF-8", Request::post_form("/api/v4/internal/lfs_authenticate", "project=%ff")),
    ];
    rows.extend(
        ["discover?key_id[a]=1", "discover?key_id=1&key_id=2", "authorized_keys", "check?x=1&x=2", "authorized_keys?key=%zz"].map(got),
    );
    for path in ["internal/../check", "internal/%2e%2e/check", "internal//check", "internal/check%00"] {
        rows.push(refused(path, Request::get(&format!("/api/v4/{path}"))));
    }
    assert_cases(&contract_directory::shared_env(), rows);
}

/// The community edition has no certificates to look up, and says so whatever is missing. (server.md 2.11)
#[test]
fn certificates_are_not_looked_up_whatever_is_asked() {
    let rows = ["", "?key=AAAA", "?user_identifier=a", "?key=AAAA&user_identifier=a"].map(|query| {
        authenticated_case("2.11", query, Request::get(&format!("/api/v4/internal/authorized_certs{query}")), 403)
            .body_equals(json!({"message": "Feature is not available"}))
    });
    assert_cases(&contract_directory::shared_env(), rows.into());
}
