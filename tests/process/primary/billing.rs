//! Subscriptions, packs of minutes and reconciliations, with the examples of the base document. (cases.md S)

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, key, request, small_directory, user};
use crate::support::contract_directory::ADMIN_TOKEN;

const FORBIDDEN: &str = "403 Forbidden";
const SUBSCRIPTION: &str = "namespaces/10/gitlab_subscription";

/// The group `g` (10) with `g/sub` (11) and `g/sub/p`, private; `h.x` (20), public; Zoë owns `g`, Bob develops in it, Amy is an admin,
/// Eve is in `g/sub` and blocked, Ute is in the project, Kim and Zoë are in the group `friends` (30) that the project is shared with,
/// Max waits to be let in, and Tom is nobody.
fn company() -> Vec<String> {
    let member = |field: &str, place: u32, who: u32, level: u32, more: &str| {
        format!(r#"{{"kind":"member","{field}":{place},"user_id":{who},"access_level":{level}{more}}}"#)
    };
    let group =
        |id: u32, path: &str, more: &str| format!(r#"{{"kind":"namespace","id":{id},"type":"group","path":"{path}","name":"n"{more}}}"#);
    let mut lines = small_directory();
    lines.push(r#"{"kind":"user","id":3,"username":"amy","name":"A","admin":true}"#.to_owned());
    lines.push(r#"{"kind":"user","id":4,"username":"eve","name":"E","state":"blocked"}"#.to_owned());
    lines.push(r#"{"kind":"user","id":5,"username":"robot","name":"R","bot":true}"#.to_owned());
    lines.extend([user(6, "ute"), user(7, "kim"), user(8, "max"), user(9, "tom")]);
    lines.extend([key(13, 3), key(19, 9)]);
    lines.extend([group(10, "g", ""), group(11, "g/sub", r#","parent_id":10"#), group(20, "h.x", r#","visibility":"public""#)]);
    lines.push(group(30, "friends", ""));
    lines.push(super::project(5, 11, "g/sub/p"));
    lines.extend([member("namespace_id", 10, 1, 50, ""), member("namespace_id", 10, 2, 30, "")]);
    lines.extend([member("namespace_id", 11, 4, 30, ""), member("namespace_id", 11, 5, 30, ""), member("namespace_id", 11, 2, 40, "")]);
    lines.extend([member("project_id", 5, 6, 30, ""), member("project_id", 5, 8, 30, r#","pending":true"#)]);
    lines.extend([member("namespace_id", 30, 7, 30, ""), member("namespace_id", 30, 1, 30, "")]);
    lines.push(r#"{"kind":"share","project_id":5,"with_namespace_id":30,"access_level":30}"#.to_owned());
    lines
}

impl TestPrimary {
    fn operator(&self, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        self.with_token(Some(ADMIN_TOKEN), method, target, body)
    }
}

#[test]
fn only_administrators_may_change_billing_data() {
    let primary = TestPrimary::with(&company());
    let (regular, admin, reads) =
        (primary.create_token(12, &["api"]), primary.create_token(13, &["api"]), primary.create_token(13, &["read_api"]));
    let start = json!({"start_date": "2020-07-15"});
    for (method, target) in [
        (Method::POST, SUBSCRIPTION),
        (Method::PUT, SUBSCRIPTION),
        (Method::POST, "namespaces/10/minutes"),
        (Method::PATCH, "namespaces/10/minutes/move/20"),
        (Method::PUT, "internal/upcoming_reconciliations"),
        (Method::DELETE, "internal/upcoming_reconciliations"),
        (Method::POST, "internal/gitlab_subscriptions/namespaces/10/gitlab_subscription"),
        (Method::PUT, "internal/gitlab_subscriptions/namespaces/10/upcoming_reconciliations"),
        (Method::DELETE, "internal/gitlab_subscriptions/namespaces/10/upcoming_reconciliations"),
    ] {
        let send = |token| primary.with_token(token, method.clone(), target, start.clone());
        assert_eq!(send(None), (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"})), "{method} {target}");
        assert_eq!(send(Some("nonsense")).0, StatusCode::UNAUTHORIZED, "{method} {target}");
        assert_eq!(send(Some(&regular)), (StatusCode::FORBIDDEN, json!({"message": FORBIDDEN})), "{method} {target}");
        let (status, body) = send(Some(&reads));
        assert_eq!((status, &body["error"]), (StatusCode::FORBIDDEN, &json!("insufficient_scope")), "{method} {target}");
    }
    assert_eq!(primary.stored("subscriptions"), 0);
    assert_eq!(primary.with_token(Some(&admin), Method::POST, SUBSCRIPTION, start).0, StatusCode::CREATED);
}

#[test]
fn a_subscription_is_created_as_in_the_base_document() {
    let primary = TestPrimary::with(&company());
    let call = request(Method::POST, &format!("/api/v4/{SUBSCRIPTION}?start_date=2020-07-15&plan=premium&seats=10"));
    let (status, _, body) = primary.send(call.header("TOKEN", ADMIN_TOKEN).body(""));
    let body: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({
        "plan": {"code": "premium", "name": "premium", "trial": false, "auto_renew": null, "upgradable": false},
        "usage": {"seats_in_subscription": 10, "seats_in_use": 4, "max_seats_used": 0, "seats_owed": 0},
        "billing": {"subscription_start_date": "2020-07-15", "subscription_end_date": null, "trial_ends_on": null},
    });
    assert_eq!((status, body), (StatusCode::CREATED, expected));
    let again = json!({"start_date": "2020-07-15"});
    let taken = json!({"message": {"namespace_id": ["has already been taken"]}});
    assert_eq!(primary.operator(Method::POST, SUBSCRIPTION, again), (StatusCode::BAD_REQUEST, taken));
    // By path, with a dot and with an encoded slash; below the newer root.
    for (target, seats) in [
        ("namespaces/h.x/gitlab_subscription", 0),
        ("namespaces/g%2Fsub/gitlab_subscription", 4),
        ("internal/gitlab_subscriptions/namespaces/1/gitlab_subscription", 1),
    ] {
        let trialing =
            json!({"start_date": "15 Jul 2020", "plan_code": "ultimate", "plan": "x", "trial": true, "trial_ends_on": "2020-08-15"});
        let (status, body) = primary.operator(Method::POST, target, trialing);
        assert_eq!((status, &body["plan"]["code"]), (StatusCode::CREATED, &json!("ultimate")), "{target}: {body}");
        assert_eq!((&body["plan"]["trial"], &body["billing"]["trial_ends_on"]), (&json!(true), &json!("2020-08-15")));
        assert_eq!(body["usage"]["seats_in_use"], seats, "{target}");
    }
}

#[test]
fn an_invalid_subscription_is_400_and_an_unknown_namespace_404() {
    let primary = TestPrimary::with(&company());
    for (params, body) in [
        (json!({}), json!({"error": "start_date is missing", "message": "start_date is missing"})),
        (json!({"start_date": null}), json!({"message": {"start_date": ["can't be blank"]}})),
        (
            json!({"start_date": "soon", "seats": "many"}),
            json!({"error": "start_date is invalid, seats is invalid", "message": "start_date is invalid, seats is invalid"}),
        ),
        (json!({"start_date": "2020-07-15", "seats": null}), json!({"message": {"seats": ["can't be blank"]}})),
        (json!({"start_date": "2020-07-15", "seats": -1}), json!({"message": {"seats": ["must be greater than or equal to 0"]}})),
    ] {
        assert_eq!(primary.operator(Method::POST, SUBSCRIPTION, params.clone()), (StatusCode::BAD_REQUEST, body), "{params}");
    }
    let not_found = |thing: &str| (StatusCode::NOT_FOUND, json!({"message": format!("404 {thing} Not Found")}));
    for target in ["namespaces/99/gitlab_subscription", "namespaces/none%2Fsuch/gitlab_subscription", "namespaces/0/gitlab_subscription"] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            assert_eq!(primary.operator(method, target, json!({"start_date": "2020-07-15"})), not_found("Namespace"), "{target}");
        }
    }
    assert_eq!(primary.operator(Method::PUT, SUBSCRIPTION, json!({"seats": 1})), not_found("GitlabSubscription"));
    assert_eq!(primary.stored("subscriptions"), 0);
}

#[test]
fn an_update_keeps_the_fields_that_it_does_not_name() {
    let primary = TestPrimary::with(&company());
    let made = json!({"start_date": "2020-07-15", "seats": 20, "max_seats_used": 42, "plan_code": "premium", "auto_renew": true});
    primary.operator(Method::POST, SUBSCRIPTION, made);
    let (status, body) = primary.operator(Method::PUT, SUBSCRIPTION, json!({"end_date": "2021-07-15"}));
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["usage"], json!({"seats_in_subscription": 20, "seats_in_use": 4, "max_seats_used": 42, "seats_owed": 22}));
    assert_eq!((&body["billing"]["subscription_end_date"], &body["plan"]["auto_renew"]), (&json!("2021-07-15"), &json!(true)));
    assert_eq!(primary.operator(Method::PUT, SUBSCRIPTION, json!({"end_date": "2021-07-15"})).0, StatusCode::OK);
    for (wrong, field) in
        [(json!({"seats": null}), "seats"), (json!({"start_date": null}), "start_date"), (json!({"trial": true}), "trial_starts_on")]
    {
        let expected = json!({"message": {field: ["can't be blank"]}});
        assert_eq!(primary.operator(Method::PUT, SUBSCRIPTION, wrong), (StatusCode::BAD_REQUEST, expected));
    }
    let (_, body) = primary.operator(Method::PUT, SUBSCRIPTION, json!({"end_date": null, "max_seats_used": 0, "seats": 3}));
    assert_eq!((&body["billing"]["subscription_end_date"], &body["usage"]["seats_owed"]), (&Value::Null, &json!(1)));
    let reopened = primary.restart();
    let (_, same) = reopened.operator(Method::GET, SUBSCRIPTION, Value::Null);
    assert_eq!(same["usage"], body["usage"]);
}

#[test]
fn owners_and_administrators_read_a_subscription_others_get_403_or_404() {
    let primary = TestPrimary::with(&company());
    let null = json!({
        "plan": {"code": null, "name": null, "trial": null, "auto_renew": null, "upgradable": null, "exclude_guests": null},
        "usage": {"seats_in_subscription": null, "seats_in_use": null, "max_seats_used": null, "seats_owed": null},
        "billing": {"subscription_start_date": null, "subscription_end_date": null, "trial_ends_on": null},
    });
    let owner = primary.create_token(11, &["read_api"]);
    let send = |token, target| primary.with_token(token, Method::GET, target, Value::Null);
    assert_eq!(send(Some(&owner), SUBSCRIPTION), (StatusCode::OK, null));
    primary.operator(Method::POST, SUBSCRIPTION, json!({"start_date": "2020-07-15", "plan_code": "premium", "seats": 10}));
    let admin = primary.create_token(13, &["api"]);
    for token in [owner.as_str(), admin.as_str(), ADMIN_TOKEN] {
        let (status, body) = send(Some(token), SUBSCRIPTION);
        assert_eq!((status, &body["plan"]["exclude_guests"], &body["plan"]["code"]), (StatusCode::OK, &json!(false), &json!("premium")));
    }
    let (developer, outsider) = (primary.create_token(12, &["api"]), primary.create_token(19, &["api"]));
    assert_eq!(send(Some(&developer), SUBSCRIPTION), (StatusCode::FORBIDDEN, json!({"message": FORBIDDEN})));
    assert_eq!(send(Some(&outsider), SUBSCRIPTION), (StatusCode::NOT_FOUND, json!({"message": "404 Namespace Not Found"})));
    assert_eq!(send(Some(&outsider), "namespaces/20/gitlab_subscription").0, StatusCode::FORBIDDEN, "a public group is seen");
    assert_eq!(send(Some(&outsider), "namespaces/zoe/gitlab_subscription").0, StatusCode::FORBIDDEN, "a person's is seen");
    assert_eq!(send(Some(&owner), "namespaces/zoe/gitlab_subscription").0, StatusCode::OK, "it is hers");
    assert_eq!(send(None, SUBSCRIPTION).0, StatusCode::UNAUTHORIZED);
    let repository = primary.create_token(11, &["read_repository"]);
    assert_eq!(send(Some(&repository), SUBSCRIPTION).0, StatusCode::FORBIDDEN);
}

fn pack(minutes: u32, xid: &str) -> Value {
    json!({"number_of_minutes": minutes, "expires_at": "2022-01-01", "purchase_xid": xid})
}

#[test]
fn a_purchase_is_stored_once_and_a_request_wholly_or_not_at_all() {
    let primary = TestPrimary::with(&company());
    let add = |body| primary.operator(Method::POST, "namespaces/10/minutes", body);
    let stored = |minutes: u32, xid: &str| json!({"namespace_id": 10, "expires_at": "2022-01-01", "number_of_minutes": minutes, "purchase_xid": xid});
    assert_eq!(add(json!({"packs": [pack(10_000, "a")]})), (StatusCode::CREATED, json!([stored(10_000, "a")])));
    let (status, body) = add(json!({"packs": [pack(5, "a"), pack(7, "b"), pack(8, "b")]}));
    assert_eq!((status, body), (StatusCode::CREATED, json!([stored(10_000, "a"), stored(7, "b"), stored(7, "b")])));
    assert_eq!(add(pack(9, "c")), (StatusCode::CREATED, stored(9, "c")), "the earlier form, one alone");
    assert_eq!(primary.stored("packs_of_minutes"), 3);
    let unsaved = |word: &str| (StatusCode::BAD_REQUEST, json!({"message": format!("400 Bad request - Unable to save additional {word}")}));
    for bad in
        [pack(0, "e"), pack(1, ""), pack(1, &"x".repeat(51)), json!({"number_of_minutes": 1, "expires_at": null, "purchase_xid": "e"})]
    {
        assert_eq!(add(json!({"packs": [pack(1, "d"), bad]})), unsaved("packs"));
    }
    assert_eq!(add(pack(0, "e")), unsaved("pack"));
    for (body, text) in [
        (json!({}), "packs is missing"),
        (json!({"packs": []}), "packs is empty"),
        (json!({"packs": "x"}), "packs is invalid"),
        (
            json!({"packs": [{"number_of_minutes": "x", "expires_at": "soon"}, {}]}),
            "packs[purchase_xid] is missing, packs[expires_at] is invalid, packs[number_of_minutes] is invalid, packs[number_of_minutes] is missing, packs[expires_at] is missing",
        ),
        (json!({"number_of_minutes": 1}), "expires_at is missing, purchase_xid is missing"),
    ] {
        assert_eq!(add(body), (StatusCode::BAD_REQUEST, json!({"error": text, "message": text})));
    }
    assert_eq!(primary.stored("packs_of_minutes"), 3);
    let (status, body) = primary.operator(Method::POST, "namespaces/99/minutes", json!({"packs": [pack(1, "z")]}));
    assert_eq!((status, &body["message"]), (StatusCode::NOT_FOUND, &json!("404 Namespace Not Found")));
    let primary = primary.restart();
    assert_eq!(primary.stored("packs_of_minutes"), 3);
}

#[test]
fn packs_move_between_top_level_namespaces_and_no_purchase_is_stored_twice() {
    let primary = TestPrimary::with(&company());
    let go = |target: &'static str| primary.operator(Method::PATCH, target, Value::Null);
    let refused = |text: &str| (StatusCode::BAD_REQUEST, json!({"message": text}));
    assert_eq!(go("namespaces/11/minutes/move/10"), refused("Namespace must be a top-level namespace"));
    assert_eq!(go("namespaces/10/minutes/move/g%2Fsub"), refused("Target namespace must be a top-level namespace"));
    assert_eq!(go("namespaces/10/minutes/move/G"), refused("Namespace and target must be different"));
    assert_eq!(go("namespaces/99/minutes/move/10"), (StatusCode::NOT_FOUND, json!({"message": "404 Namespace Not Found"})));
    assert_eq!(go("namespaces/10/minutes/move/99"), (StatusCode::NOT_FOUND, json!({"message": "404 Target namespace Not Found"})));
    let accepted = (StatusCode::ACCEPTED, json!({"message": "202 Accepted"}));
    assert_eq!(go("namespaces/10/minutes/move/20"), accepted, "there are none yet");
    primary.operator(Method::POST, "namespaces/10/minutes", json!({"packs": [pack(1, "a"), pack(2, "b")]}));
    primary.operator(Method::POST, "namespaces/h.x/minutes", json!({"packs": [pack(3, "b")]}));
    assert_eq!(go("internal/gitlab_subscriptions/namespaces/g/minutes/move/h.x"), accepted);
    assert_eq!(primary.stored("packs_of_minutes"), 2, "one of the three was in both");
}

#[test]
fn the_valid_ones_among_the_reconciliations_of_a_request_are_stored() {
    let primary = TestPrimary::with(&company());
    let row = |id: Value| json!({"namespace_id": id, "next_reconciliation_date": "13 Jun 2021", "display_alert_from": "06 Jun 2021"});
    let tell =
        |rows: Vec<Value>| primary.operator(Method::PUT, "internal/upcoming_reconciliations", json!({"upcoming_reconciliations": rows}));
    assert_eq!(tell(vec![row(json!(10)), row(json!("20"))]), (StatusCode::OK, json!(200)));
    assert_eq!(primary.stored("reconciliations"), 2);
    let blank = json!({"namespace_id": 20, "next_reconciliation_date": null, "display_alert_from": "2021-06-06"});
    let (status, body) = tell(vec![row(json!(1)), row(json!(99)), blank]);
    let errors = concat!(
        r#"[{"namespace_id":99,"errors":["Namespace must exist"]},"#,
        r#"{"namespace_id":20,"errors":["Next reconciliation date can't be blank"]}]"#
    );
    assert_eq!((status, body), (StatusCode::BAD_REQUEST, json!({"message": {"error": errors}})));
    assert_eq!(primary.stored("reconciliations"), 3, "the good one is kept");
    for (rows, text) in [
        (json!({"upcoming_reconciliations": [row(json!(""))]}), "upcoming_reconciliations[namespace_id] is empty"),
        (json!({"upcoming_reconciliations": [row(json!(30)), row(Value::Null)]}), "upcoming_reconciliations[namespace_id] is empty"),
        (
            json!({"upcoming_reconciliations": [{"namespace_id": 30, "next_reconciliation_date": "soon"}]}),
            "upcoming_reconciliations[display_alert_from] is missing, upcoming_reconciliations[next_reconciliation_date] is invalid",
        ),
        (json!({"upcoming_reconciliations": 7}), "upcoming_reconciliations is invalid"),
        (json!({}), "upcoming_reconciliations is missing"),
    ] {
        let expected = (StatusCode::BAD_REQUEST, json!({"error": text, "message": text}));
        assert_eq!(primary.operator(Method::PUT, "internal/upcoming_reconciliations", rows), expected);
    }
    assert_eq!(primary.stored("reconciliations"), 3);
}

#[test]
fn a_reconciliation_is_removed_once() {
    let primary = TestPrimary::with(&company());
    let dates = json!({"next_reconciliation_date": "2021-06-13", "display_alert_from": "2021-06-06"});
    let one = "internal/gitlab_subscriptions/namespaces/g/upcoming_reconciliations";
    assert_eq!(primary.operator(Method::PUT, one, dates.clone()), (StatusCode::OK, json!(200)));
    let regular = primary.create_token(12, &["api"]);
    let target = "internal/upcoming_reconciliations?namespace_id=10";
    assert_eq!(primary.with_token(None, Method::DELETE, target, Value::Null).0, StatusCode::UNAUTHORIZED);
    assert_eq!(primary.with_token(Some(&regular), Method::DELETE, target, Value::Null).0, StatusCode::FORBIDDEN);
    assert_eq!(primary.stored("reconciliations"), 1);
    let (status, body) = primary.operator(Method::DELETE, "internal/upcoming_reconciliations", Value::Null);
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &json!("namespace_id is missing")));
    let primary = primary.restart();
    assert_eq!(primary.operator(Method::DELETE, target, Value::Null), (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(primary.operator(Method::DELETE, target, Value::Null), (StatusCode::NOT_FOUND, json!({"message": "404 Not Found"})));
    assert_eq!(primary.operator(Method::PUT, one, dates).0, StatusCode::OK);
    assert_eq!(primary.operator(Method::DELETE, one, Value::Null).0, StatusCode::NO_CONTENT);
    assert_eq!(primary.operator(Method::DELETE, one, Value::Null).0, StatusCode::NOT_FOUND);
}

#[test]
fn an_instance_without_billing_refuses_before_it_authenticates() {
    let mut lines = company();
    lines.push(r#"{"kind":"settings","saas":false}"#.to_owned());
    let primary = TestPrimary::with(&lines);
    let only = (StatusCode::FORBIDDEN, json!({"message": "403 Forbidden - This API is gitlab.com only!"}));
    for token in [None, Some("nonsense"), Some(ADMIN_TOKEN)] {
        for method in [Method::PUT, Method::DELETE] {
            assert_eq!(primary.with_token(token, method, "internal/upcoming_reconciliations", json!({})), only);
        }
    }
}

#[test]
fn a_caller_is_authorized_before_the_body_is_parsed() {
    const TARGETS: [(&str, &str); 3] =
        [("PUT", SUBSCRIPTION), ("POST", "namespaces/10/minutes"), ("PUT", "internal/upcoming_reconciliations")];
    let broken = |method: &str, target: &str, token: Option<&str>| {
        let mut request = request(method.parse().unwrap(), &format!("/api/v4/{target}"));
        if let Some(token) = token {
            request = request.header("private-token", token);
        }
        request.body("{\"start_date\":")
    };
    let primary = TestPrimary::with(&company());
    let regular = primary.create_token(12, &["api"]);
    for (method, target) in TARGETS {
        for (token, expected) in [(None, 401), (Some("junk"), 401), (Some(regular.as_str()), 403), (Some(ADMIN_TOKEN), 400)] {
            assert_eq!(primary.send(broken(method, target, token)).0, expected, "{target}: {token:?}");
        }
    }
    let sells_nothing = TestPrimary::with(&[company(), vec![r#"{"kind":"settings","saas":false}"#.to_owned()]].concat());
    assert_eq!(sells_nothing.send(broken("PUT", TARGETS[2].1, None)).0, 403);
}
