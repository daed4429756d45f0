//! Group S: subscriptions, minutes and reconciliations. S10's time of change is in no answer; that it moves is shown where it is kept.

use serde_json::{Value, json};

use crate::support::contract_case::{ContractCase, assert_cases, json_contains, verbatim_case};
use crate::support::contract_directory::{self, ADMIN_TOKEN, user_id};
use crate::support::env::{SendTo, TestEnv};
use crate::support::http::Request;

const RECONCILIATIONS: &str = "/api/v4/internal/upcoming_reconciliations";

const SEND_TO_BOTH: [SendTo; 2] = [|env, request| request.send(&env.primary_socket()), |env, request| request.send(&env.sidecar_socket())];

fn admin_request(method: &str, path: &str, token: &str, body: &Value) -> Request {
    let request = Request::new(method, path).header("Content-Type", "application/json").body(body.to_string());
    if token.is_empty() { request } else { request.header("PRIVATE-TOKEN", token) }
}

fn namespace_path(id: u64, rest: &str) -> String {
    format!("/api/v4/namespaces/{id}/{rest}")
}

fn subscription_path(id: u64) -> String {
    namespace_path(id, "gitlab_subscription")
}

/// A token for everything of a person.
fn personal_token(env: &TestEnv, who: &str) -> String {
    let body = json!({"user_id": user_id(who), "name": "t", "scopes": ["api"]});
    let answer = env.request_primary(Request::post("/api/v4/internal/personal_access_token", &body)).json();
    answer["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn refused_case(id: &'static str, given: &str, request: Request, status: u16, text: &str) -> ContractCase {
    verbatim_case(id, given, request, status).body_equals(json!({"message": text}))
}

fn unauthorized_case(id: &'static str, request: Request) -> ContractCase {
    refused_case(id, "no token", request, 401, "401 Unauthorized")
}

#[test]
fn an_administrator_makes_and_changes_a_subscription_and_its_owner_reads_it() {
    let env = contract_directory::fresh_env();
    let [outsider, developer, owner, admin] = ["outsider", "developer", "owner", "admin"].map(|who| personal_token(&env, who));
    let made = json!({"start_date": "2020-07-15", "plan_code": "premium", "seats": 20, "max_seats_used": 42});
    // One namespace for each of the two, since there is one subscription for each.
    for (send_to, (path, token)) in SEND_TO_BOTH.iter().zip([(subscription_path(1), ADMIN_TOKEN), (subscription_path(7), &admin)]) {
        let answer = send_to(&env, admin_request("POST", &path, token, &made));
        let expected = json!({
            "plan": {"code": "premium", "name": "premium", "trial": false},
            "usage": {"seats_in_subscription": 20, "max_seats_used": 42, "seats_owed": 22},
            "billing": {"subscription_start_date": "2020-07-15", "subscription_end_date": null}
        });
        assert!(answer.status == 201 && json_contains(&answer.json(), &expected), "S03: {} {}", answer.status, answer.text());
    }
    let with_null = |name: &str| json!({name: null});
    let complete = json!({"start_date": "2020-07-15", "seats": 1});
    let kept = json!({"usage": {"seats_in_subscription": 20, "max_seats_used": 42}});
    assert_cases(
        &env,
        vec![
            unauthorized_case("S01", admin_request("POST", &subscription_path(2), "", &complete)),
            refused_case(
                "S01",
                "a regular user makes one",
                admin_request("POST", &subscription_path(2), &outsider, &complete),
                403,
                "403 Forbidden",
            ),
            refused_case(
                "S01",
                "a regular user changes one",
                admin_request("PUT", &subscription_path(1), &outsider, &complete),
                403,
                "403 Forbidden",
            ),
            verbatim_case("S02", "no start_date", admin_request("POST", &subscription_path(2), ADMIN_TOKEN, &json!({"seats": 1})), 400)
                .body_contains(json!({"error": "start_date is missing"})),
            verbatim_case(
                "S02",
                "start_date null",
                admin_request("POST", &subscription_path(2), ADMIN_TOKEN, &with_null("start_date")),
                400,
            ),
            refused_case(
                "S04",
                "no such namespace",
                admin_request("POST", &subscription_path(9999), ADMIN_TOKEN, &complete),
                404,
                "404 Namespace Not Found",
            ),
            verbatim_case("S04", "there is one already", admin_request("POST", &subscription_path(1), ADMIN_TOKEN, &complete), 400),
            refused_case(
                "S05",
                "a developer reads",
                admin_request("GET", &subscription_path(1), &developer, &json!({})),
                403,
                "403 Forbidden",
            ),
            verbatim_case("S05", "an owner reads", admin_request("GET", &subscription_path(1), &owner, &json!({})), 200)
                .body_contains(kept.clone()),
            verbatim_case(
                "S05",
                "an owner reads by the path",
                admin_request("GET", "/api/v4/namespaces/team/gitlab_subscription", &owner, &json!({})),
                200,
            )
            .body_contains(kept.clone()),
            verbatim_case("S06", "there is none", admin_request("GET", &subscription_path(3), ADMIN_TOKEN, &json!({})), 200)
                .body_contains(json!({"plan": {"code": null}})),
            refused_case(
                "S06",
                "a stranger reads",
                admin_request("GET", &subscription_path(6), &outsider, &json!({})),
                404,
                "404 Namespace Not Found",
            ),
            refused_case(
                "S07",
                "there is none to change",
                admin_request("PUT", &subscription_path(3), ADMIN_TOKEN, &json!({"seats": 5})),
                404,
                "404 GitlabSubscription Not Found",
            ),
            verbatim_case("S08", "seats null", admin_request("PUT", &subscription_path(1), ADMIN_TOKEN, &with_null("seats")), 400),
            verbatim_case(
                "S09",
                "seats left out",
                admin_request("PUT", &subscription_path(1), ADMIN_TOKEN, &json!({"plan_code": "premium"})),
                200,
            )
            .body_contains(kept.clone()),
            verbatim_case("S10", "nothing new", admin_request("PUT", &subscription_path(1), ADMIN_TOKEN, &made), 200).body_contains(kept),
        ],
    );
    let header = Request::get(&subscription_path(1)).header("TOKEN", ADMIN_TOKEN);
    assert_cases(&env, vec![verbatim_case("S11", "the header of the older document", header, 200)]);
}

#[test]
fn packs_of_minutes_enter_once_and_move_together() {
    let env = contract_directory::fresh_env();
    let outsider = personal_token(&env, "outsider");
    let pack = |xid: &str, minutes: i64| json!({"number_of_minutes": minutes, "expires_at": "2099-01-01", "purchase_xid": xid});
    let packs = |list: Vec<Value>| json!({"packs": list});
    let minutes = |id: u64| namespace_path(id, "minutes");
    let kept = |id: u64, xid: &str, minutes: i64| json!([{"namespace_id": id, "expires_at": "2099-01-01", "number_of_minutes": minutes, "purchase_xid": xid}]);
    let moved = |from: u64, to: u64| namespace_path(from, &format!("minutes/move/{to}"));
    let nothing = json!({});
    assert_cases(
        &env,
        vec![
            unauthorized_case("S12", admin_request("POST", &minutes(1), "", &packs(vec![pack("a", 1000)]))),
            refused_case(
                "S12",
                "a regular user",
                admin_request("POST", &minutes(1), &outsider, &packs(vec![pack("a", 1000)])),
                403,
                "403 Forbidden",
            ),
            verbatim_case("S13", "a pack", admin_request("POST", &minutes(1), ADMIN_TOKEN, &packs(vec![pack("a", 1000)])), 201)
                .body_equals(kept(1, "a", 1000)),
            verbatim_case(
                "S14",
                "the same purchase again",
                admin_request("POST", &minutes(1), ADMIN_TOKEN, &packs(vec![pack("a", 2000)])),
                201,
            )
            .body_equals(kept(1, "a", 1000)),
            verbatim_case("S15", "fields of one alone", admin_request("POST", &minutes(1), ADMIN_TOKEN, &pack("a", 3000)), 201)
                .body_equals(kept(1, "a", 1000)[0].clone()),
            verbatim_case(
                "S16",
                "one that cannot be kept",
                admin_request("POST", &minutes(1), ADMIN_TOKEN, &packs(vec![pack("b", 10), pack("c", 0)])),
                400,
            )
            .message_contains("Unable to save additional pack"),
            refused_case(
                "S17",
                "no such namespace",
                admin_request("PATCH", &moved(9999, 7), ADMIN_TOKEN, &nothing),
                404,
                "404 Namespace Not Found",
            ),
            refused_case(
                "S17",
                "no such target",
                admin_request("PATCH", &moved(1, 9999), ADMIN_TOKEN, &nothing),
                404,
                "404 Target namespace Not Found",
            ),
            refused_case("S17", "a regular user", admin_request("PATCH", &moved(1, 7), &outsider, &nothing), 403, "403 Forbidden"),
            refused_case(
                "S18",
                "a nested source",
                admin_request("PATCH", &moved(2, 7), ADMIN_TOKEN, &nothing),
                400,
                "Namespace must be a top-level namespace",
            ),
            refused_case(
                "S18",
                "a nested target",
                admin_request("PATCH", &moved(1, 2), ADMIN_TOKEN, &nothing),
                400,
                "Target namespace must be a top-level namespace",
            ),
        ],
    );
    // Where the pack is, it stays as it is when it is told again; elsewhere it would be new.
    for send_to in SEND_TO_BOTH {
        let fetch = |id: u64, minutes_now: i64| {
            send_to(&env, admin_request("POST", &minutes(id), ADMIN_TOKEN, &packs(vec![pack("a", minutes_now)]))).json()
        };
        assert_eq!(fetch(1, 5), kept(1, "a", 1000), "S19: before");
        let answer = send_to(&env, admin_request("PATCH", &moved(1, 7), ADMIN_TOKEN, &nothing));
        assert_eq!((answer.status, answer.json()), (202, json!({"message": "202 Accepted"})), "S19");
        assert_eq!(fetch(7, 5), kept(7, "a", 1000), "S19: after");
        let back = send_to(&env, admin_request("PATCH", &moved(7, 1), ADMIN_TOKEN, &nothing));
        assert_eq!(back.status, 202, "S19");
    }
}

#[test]
fn reconciliations_are_told_together_and_taken_back() {
    let env = contract_directory::fresh_env();
    let outsider = personal_token(&env, "outsider");
    let one = |id: u64| json!({"namespace_id": id, "next_reconciliation_date": "13 Jun 2099", "display_alert_from": "06 Jun 2099"});
    let list = |list: Vec<Value>| json!({"upcoming_reconciliations": list});
    let put = |token: &str, body: &Value| admin_request("PUT", RECONCILIATIONS, token, body);
    let delete = |token: &str, id: &str| {
        let request = Request::new("DELETE", &format!("{RECONCILIATIONS}?namespace_id={id}"));
        if token.is_empty() { request } else { request.header("PRIVATE-TOKEN", token) }
    };
    assert_cases(
        &env,
        vec![
            unauthorized_case("S20", put("", &list(vec![one(1)]))),
            refused_case("S20", "a regular user", put(&outsider, &list(vec![one(1)])), 403, "403 Forbidden"),
            verbatim_case("S20", "an administrator", put(ADMIN_TOKEN, &list(vec![one(1), one(7)])), 200),
            verbatim_case(
                "S21",
                "an empty number",
                put(
                    ADMIN_TOKEN,
                    &list(vec![
                        json!({"namespace_id": "", "next_reconciliation_date": "13 Jun 2099", "display_alert_from": "06 Jun 2099"}),
                    ]),
                ),
                400,
            )
            .body_contains(json!({"error": "upcoming_reconciliations[namespace_id] is empty"})),
            verbatim_case("S22", "of no namespace", put(ADMIN_TOKEN, &list(vec![one(9999)])), 400)
                .body_contains(json!({"message": {"error": "[{\"namespace_id\":9999,\"errors\":[\"Namespace must exist\"]}]"}})),
            unauthorized_case("S24", delete("", "1")),
            refused_case("S24", "a regular user", delete(&outsider, "1"), 403, "403 Forbidden"),
            verbatim_case("S25", "no number", Request::new("DELETE", RECONCILIATIONS).header("PRIVATE-TOKEN", ADMIN_TOKEN), 400)
                .body_contains(json!({"error": "namespace_id is missing"})),
        ],
    );
    for (send_to, id) in SEND_TO_BOTH.iter().zip(["1", "7"]) {
        assert_eq!(send_to(&env, delete(ADMIN_TOKEN, id)).status, 204, "S24: nothing was removed by others, and now it is");
        assert_eq!(send_to(&env, delete(ADMIN_TOKEN, id)).status, 404, "S24: it is gone");
    }

    contract_directory::apply_settings(&env, &json!({"saas": false}));
    let only = "403 Forbidden - This API is gitlab.com only!";
    assert_cases(&env, vec![refused_case("S23", "no token", put("", &list(vec![one(1)])), 403, only)]);
}
