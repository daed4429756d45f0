//! Group S: subscriptions, minutes and reconciliations. S10's time of change is in no answer; that it moves is shown where it is kept.

use serde_json::{Value, json};

use super::table::{Row, bare, check, holds};
use super::world::{self, ADMIN_TOKEN, person};
use crate::house::House;
use crate::http::{Answer, Request};

const RECONCILIATIONS: &str = "/api/v4/internal/upcoming_reconciliations";

type Way = fn(&House, Request) -> Answer;

const WAYS: [Way; 2] = [|house, request| request.to(&house.primary_socket()), |house, request| request.to(&house.sidecar_socket())];

fn send(method: &str, path: &str, token: &str, body: &Value) -> Request {
    let request = Request::new(method, path).header("Content-Type", "application/json").body(body.to_string());
    if token.is_empty() { request } else { request.header("PRIVATE-TOKEN", token) }
}

fn namespace(id: u64, rest: &str) -> String {
    format!("/api/v4/namespaces/{id}/{rest}")
}

fn subscription(id: u64) -> String {
    namespace(id, "gitlab_subscription")
}

/// A token for everything of a person.
fn token_of(house: &House, who: &str) -> String {
    let body = json!({"user_id": person(who), "name": "t", "scopes": ["api"]});
    let answer = house.ask_primary(Request::post("/api/v4/internal/personal_access_token", &body)).json();
    answer["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn refused(id: &'static str, given: &str, request: Request, status: u16, text: &str) -> Row {
    bare(id, given, request, status).is(json!({"message": text}))
}

fn unauthorized(id: &'static str, request: Request) -> Row {
    refused(id, "no token", request, 401, "401 Unauthorized")
}

#[test]
fn an_administrator_makes_and_changes_a_subscription_and_its_owner_reads_it() {
    let house = world::own();
    let [outsider, developer, owner, admin] = ["outsider", "developer", "owner", "admin"].map(|who| token_of(&house, who));
    let made = json!({"start_date": "2020-07-15", "plan_code": "premium", "seats": 20, "max_seats_used": 42});
    // One namespace for each way, since there is one subscription for each.
    for (way, (path, token)) in WAYS.iter().zip([(subscription(1), ADMIN_TOKEN), (subscription(7), &admin)]) {
        let answer = way(&house, send("POST", &path, token, &made));
        let expected = json!({
            "plan": {"code": "premium", "name": "premium", "trial": false},
            "usage": {"seats_in_subscription": 20, "max_seats_used": 42, "seats_owed": 22},
            "billing": {"subscription_start_date": "2020-07-15", "subscription_end_date": null}
        });
        assert!(answer.status == 201 && holds(&answer.json(), &expected), "S03: {} {}", answer.status, answer.text());
    }
    let with_null = |name: &str| json!({name: null});
    let complete = json!({"start_date": "2020-07-15", "seats": 1});
    let kept = json!({"usage": {"seats_in_subscription": 20, "max_seats_used": 42}});
    check(
        &house,
        vec![
            unauthorized("S01", send("POST", &subscription(2), "", &complete)),
            refused("S01", "a regular user makes one", send("POST", &subscription(2), &outsider, &complete), 403, "403 Forbidden"),
            refused("S01", "a regular user changes one", send("PUT", &subscription(1), &outsider, &complete), 403, "403 Forbidden"),
            bare("S02", "no start_date", send("POST", &subscription(2), ADMIN_TOKEN, &json!({"seats": 1})), 400)
                .has(json!({"error": "start_date is missing"})),
            bare("S02", "start_date null", send("POST", &subscription(2), ADMIN_TOKEN, &with_null("start_date")), 400),
            refused("S04", "no such namespace", send("POST", &subscription(9999), ADMIN_TOKEN, &complete), 404, "404 Namespace Not Found"),
            bare("S04", "there is one already", send("POST", &subscription(1), ADMIN_TOKEN, &complete), 400),
            refused("S05", "a developer reads", send("GET", &subscription(1), &developer, &json!({})), 403, "403 Forbidden"),
            bare("S05", "an owner reads", send("GET", &subscription(1), &owner, &json!({})), 200).has(kept.clone()),
            bare("S05", "an owner reads by the path", send("GET", "/api/v4/namespaces/team/gitlab_subscription", &owner, &json!({})), 200)
                .has(kept.clone()),
            bare("S06", "there is none", send("GET", &subscription(3), ADMIN_TOKEN, &json!({})), 200).has(json!({"plan": {"code": null}})),
            refused("S06", "a stranger reads", send("GET", &subscription(6), &outsider, &json!({})), 404, "404 Namespace Not Found"),
            refused(
                "S07",
                "there is none to change",
                send("PUT", &subscription(3), ADMIN_TOKEN, &json!({"seats": 5})),
                404,
                "404 GitlabSubscription Not Found",
            ),
            bare("S08", "seats null", send("PUT", &subscription(1), ADMIN_TOKEN, &with_null("seats")), 400),
            bare("S09", "seats left out", send("PUT", &subscription(1), ADMIN_TOKEN, &json!({"plan_code": "premium"})), 200)
                .has(kept.clone()),
            bare("S10", "nothing new", send("PUT", &subscription(1), ADMIN_TOKEN, &made), 200).has(kept),
        ],
    );
    let header = Request::get(&subscription(1)).header("TOKEN", ADMIN_TOKEN);
    check(&house, vec![bare("S11", "the header of the older document", header, 200)]);
}

#[test]
fn packs_of_minutes_enter_once_and_move_together() {
    let house = world::own();
    let outsider = token_of(&house, "outsider");
    let pack = |xid: &str, minutes: i64| json!({"number_of_minutes": minutes, "expires_at": "2099-01-01", "purchase_xid": xid});
    let packs = |list: Vec<Value>| json!({"packs": list});
    let minutes = |id: u64| namespace(id, "minutes");
    let kept = |id: u64, xid: &str, minutes: i64| json!([{"namespace_id": id, "expires_at": "2099-01-01", "number_of_minutes": minutes, "purchase_xid": xid}]);
    let moved = |from: u64, to: u64| namespace(from, &format!("minutes/move/{to}"));
    let nothing = json!({});
    check(
        &house,
        vec![
            unauthorized("S12", send("POST", &minutes(1), "", &packs(vec![pack("a", 1000)]))),
            refused("S12", "a regular user", send("POST", &minutes(1), &outsider, &packs(vec![pack("a", 1000)])), 403, "403 Forbidden"),
            bare("S13", "a pack", send("POST", &minutes(1), ADMIN_TOKEN, &packs(vec![pack("a", 1000)])), 201).is(kept(1, "a", 1000)),
            bare("S14", "the same purchase again", send("POST", &minutes(1), ADMIN_TOKEN, &packs(vec![pack("a", 2000)])), 201)
                .is(kept(1, "a", 1000)),
            bare("S15", "fields of one alone", send("POST", &minutes(1), ADMIN_TOKEN, &pack("a", 3000)), 201)
                .is(kept(1, "a", 1000)[0].clone()),
            bare("S16", "one that cannot be kept", send("POST", &minutes(1), ADMIN_TOKEN, &packs(vec![pack("b", 10), pack("c", 0)])), 400)
                .says_something_with("Unable to save additional pack"),
            refused("S17", "no such namespace", send("PATCH", &moved(9999, 7), ADMIN_TOKEN, &nothing), 404, "404 Namespace Not Found"),
            refused("S17", "no such target", send("PATCH", &moved(1, 9999), ADMIN_TOKEN, &nothing), 404, "404 Target namespace Not Found"),
            refused("S17", "a regular user", send("PATCH", &moved(1, 7), &outsider, &nothing), 403, "403 Forbidden"),
            refused(
                "S18",
                "a nested source",
                send("PATCH", &moved(2, 7), ADMIN_TOKEN, &nothing),
                400,
                "Namespace must be a top-level namespace",
            ),
            refused(
                "S18",
                "a nested target",
                send("PATCH", &moved(1, 2), ADMIN_TOKEN, &nothing),
                400,
                "Target namespace must be a top-level namespace",
            ),
        ],
    );
    // Where the pack is, it stays as it is when it is told again; elsewhere it would be new.
    for way in WAYS {
        let told =
            |id: u64, minutes_now: i64| way(&house, send("POST", &minutes(id), ADMIN_TOKEN, &packs(vec![pack("a", minutes_now)]))).json();
        assert_eq!(told(1, 5), kept(1, "a", 1000), "S19: before");
        let answer = way(&house, send("PATCH", &moved(1, 7), ADMIN_TOKEN, &nothing));
        assert_eq!((answer.status, answer.json()), (202, json!({"message": "202 Accepted"})), "S19");
        assert_eq!(told(7, 5), kept(7, "a", 1000), "S19: after");
        let back = way(&house, send("PATCH", &moved(7, 1), ADMIN_TOKEN, &nothing));
        assert_eq!(back.status, 202, "S19");
    }
}

#[test]
fn reconciliations_are_told_together_and_taken_back() {
    let house = world::own();
    let outsider = token_of(&house, "outsider");
    let one = |id: u64| json!({"namespace_id": id, "next_reconciliation_date": "13 Jun 2099", "display_alert_from": "06 Jun 2099"});
    let list = |list: Vec<Value>| json!({"upcoming_reconciliations": list});
    let put = |token: &str, body: &Value| send("PUT", RECONCILIATIONS, token, body);
    let delete = |token: &str, id: &str| {
        let request = Request::new("DELETE", &format!("{RECONCILIATIONS}?namespace_id={id}"));
        if token.is_empty() { request } else { request.header("PRIVATE-TOKEN", token) }
    };
    check(
        &house,
        vec![
            unauthorized("S20", put("", &list(vec![one(1)]))),
            refused("S20", "a regular user", put(&outsider, &list(vec![one(1)])), 403, "403 Forbidden"),
            bare("S20", "an administrator", put(ADMIN_TOKEN, &list(vec![one(1), one(7)])), 200),
            bare(
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
            .has(json!({"error": "upcoming_reconciliations[namespace_id] is empty"})),
            bare("S22", "of no namespace", put(ADMIN_TOKEN, &list(vec![one(9999)])), 400)
                .has(json!({"message": {"error": "[{\"namespace_id\":9999,\"errors\":[\"Namespace must exist\"]}]"}})),
            unauthorized("S24", delete("", "1")),
            refused("S24", "a regular user", delete(&outsider, "1"), 403, "403 Forbidden"),
            bare("S25", "no number", Request::new("DELETE", RECONCILIATIONS).header("PRIVATE-TOKEN", ADMIN_TOKEN), 400)
                .has(json!({"error": "namespace_id is missing"})),
        ],
    );
    for (way, id) in WAYS.iter().zip(["1", "7"]) {
        assert_eq!(way(&house, delete(ADMIN_TOKEN, id)).status, 204, "S24: nothing was removed by others, and now it is");
        assert_eq!(way(&house, delete(ADMIN_TOKEN, id)).status, 404, "S24: it is gone");
    }

    world::set(&house, &json!({"saas": false}));
    let only = "403 Forbidden - This API is gitlab.com only!";
    check(&house, vec![refused("S23", "no token", put("", &list(vec![one(1)])), 403, only)]);
}
