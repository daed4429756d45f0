//! Recovery codes, second factors and personal access tokens. (cases.md F, G)

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sidegate::model::clock;
use sidegate::model::day::Day;

use super::{TestPrimary, key, request, small_directory};
use crate::support::contract_directory::ADMIN_TOKEN;
use crate::support::http::Request;

const NO_KEY: &str = "Could not find the given key";
const NO_USER: &str = "Could not find the given user";

/// With Zoë's second factor, a deploy key 13 of hers, a key 15 of Zoë's that only signs, and Eve, blocked, with 16.
fn people() -> Vec<String> {
    let mut lines = small_directory();
    lines[1] = r#"{"kind":"user","id":1,"username":"zoe","name":"Z","two_factor":true}"#.to_owned();
    lines.push(r#"{"kind":"user","id":3,"username":"eve","name":"E","state":"blocked"}"#.to_owned());
    lines.push(key(13, 1).replace(r#""title""#, r#""deploy":true,"title""#));
    lines.push(key(15, 1).replace(r#""created_at""#, r#""usage":"signing","created_at""#));
    lines.push(key(16, 3));
    lines
}

impl TestPrimary {
    /// An answer whose status is 200, whatever was params.
    fn post_internal(&self, name: &str, body: Value) -> Value {
        let (status, body) = self.shell(Method::POST, &format!("internal/{name}"), body);
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// As the holder of a token asks; without one as nobody.
    pub fn with_token(&self, token: Option<&str>, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = request(method, &format!("/api/v4/{target}"));
        if let Some(token) = token {
            request = request.header("PRIVATE-TOKEN", token);
        }
        let (status, _, body) = self.send(request.body(body));
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// A new token of the owner of a key.
    pub fn create_token(&self, key: u32, scopes: &[&str]) -> String {
        let body = self.post_internal("personal_access_token", json!({"key_id": key.to_string(), "name": "t", "scopes": scopes}));
        body["token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    fn own(&self, token: &str) -> (StatusCode, Value) {
        self.with_token(Some(token), Method::GET, "personal_access_tokens/self", Value::Null)
    }
}

fn failure(text: &str) -> Value {
    json!({"success": false, "message": text})
}

#[test]
fn recovery_codes_are_ten_new_ones_each_time() {
    let primary = TestPrimary::with(&people());
    let send = || primary.post_internal("two_factor_recovery_codes", json!({"key_id": "11"}));
    let (first, second) = (send(), send());
    assert_eq!((&first["success"], &first["message"]), (&json!(true), &Value::Null));
    let codes = |body: &Value| serde_json::from_value::<Vec<String>>(body["recovery_codes"].clone()).unwrap();
    let (first, second) = (codes(&first), codes(&second));
    assert_eq!((first.len(), second.len()), (10, 10));
    assert!(first.iter().chain(&second).all(|code| code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_hexdigit())));
    assert!(first.iter().all(|code| !second.contains(code)));
}

#[test]
fn the_reasons_for_no_recovery_codes_are_checked_in_order() {
    let primary = TestPrimary::with(&people());
    for (params, text) in [
        (json!({"key_id": "99", "user_id": 99}), NO_USER),
        (json!({"user_id": 99}), NO_USER),
        (json!({"user_id": "0"}), NO_USER),
        (json!({"key_id": 99}), NO_KEY),
        (json!({"key_id": "nonsense"}), NO_KEY),
        (json!({"key_id": "15"}), NO_KEY),
        (json!({}), NO_KEY),
        (json!({"user_id": 1}), NO_KEY),
        (json!({"username": "zoe"}), NO_KEY),
        (json!({"key_id": "13"}), "Deploy keys cannot be used to retrieve recovery codes"),
        (json!({"key_id": "12"}), "Two-factor authentication is not enabled for this user"),
    ] {
        assert_eq!(primary.post_internal("two_factor_recovery_codes", params.clone()), failure(text), "{params}");
    }
    assert_eq!(primary.stored("recovery_codes"), 0);
}

#[test]
fn a_key_or_an_account_that_may_not_be_used_gets_neither_codes_nor_a_token() {
    let mut lines = people();
    let with = |line: String, more: &str| line.replace(r#""title""#, &format!(r#"{more},"title""#));
    lines.push(with(key(17, 1), r#""expires_at":"2020-01-01T00:00:00Z""#));
    lines.push(with(key(18, 1), r#""expires_at":"2999-01-01T00:00:00Z""#));
    for (id, name, state) in [(4, "pat", "deactivated"), (5, "rob", "blocked")] {
        lines.push(format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"P","two_factor":true,"state":"{state}"}}"#));
        lines.push(key(id + 20, id));
    }
    let primary = TestPrimary::with(&lines);
    let codes = |key: u32| primary.post_internal("two_factor_recovery_codes", json!({"key_id": key}));
    let token = |key: u32| primary.post_internal("personal_access_token", json!({"key_id": key, "name": "t", "scopes": ["api"]}));
    let expired = failure("Your SSH key has expired.");
    assert_eq!((codes(17), token(17)), (expired.clone(), expired.clone()));
    let nameless = primary.post_internal("personal_access_token", json!({"key_id": 17}));
    assert_eq!(nameless, expired, "before anything else of the request is judged");
    assert_eq!((codes(18)["success"].clone(), token(18)["success"].clone()), (json!(true), json!(true)));
    let not_permitted = failure("Failed to create token: Not permitted to create");
    let text = codes(24)["message"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Your account has been deactivated by your administrator."), "{text}");
    assert_eq!(codes(25), failure("Your account has been blocked."));
    assert_eq!((token(24), token(25)), (not_permitted.clone(), not_permitted));

    // What the instance asks of keys counts as well.
    primary.apply("", &[r#"{"kind":"settings","key_rules":{"ed25519":"forbidden"}}"#.to_owned()]);
    for refused in [codes(18), token(18)] {
        assert!(refused["success"] == json!(false) && refused["message"].as_str().unwrap().contains("type is forbidden"), "{refused}");
    }
    assert_eq!((primary.stored("recovery_codes"), primary.stored("personal_access_tokens")), (json!(1), json!(1)));
}

#[test]
fn whether_a_second_factor_is_required_depends_on_the_instance_first() {
    let primary = TestPrimary::with(&people());
    assert_eq!(primary.post_internal("two_factor_config", json!({"key_id": "11"})), json!({"success": false}));
    primary.apply("", &[r#"{"kind":"settings","two_factor_for_cli":true}"#.to_owned()]);
    for (key, required) in [("11", true), ("12", false), ("13", false)] {
        let body = primary.post_internal("two_factor_config", json!({"key_id": key}));
        assert_eq!(body, json!({"success": true, "two_factor_required": required}), "{key}");
    }
    assert_eq!(primary.post_internal("two_factor_config", json!({"key_id": "99"})), failure(NO_KEY));
    for check in ["two_factor_manual_otp_check", "two_factor_push_otp_check"] {
        for params in [json!({"key_id": "11", "otp_attempt": "123456"}), json!({"key_id": "13"}), json!({})] {
            assert_eq!(primary.post_internal(check, params), failure("Feature is not available"));
        }
    }
}

#[test]
fn the_reasons_for_no_token_are_checked_in_order() {
    let primary = TestPrimary::with(&people());
    let valid = r#"["api", "read_api", "read_registry", "read_repository", "read_user", "write_registry", "write_repository"]"#;
    let bad_scope = format!("Invalid scope: 'badscope'. Valid scopes are: {valid}");
    for (params, text) in [
        (json!({"key_id": "13", "user_id": 99}), "Deploy keys cannot be used to create personal access tokens"),
        (json!({"user_id": 99}), NO_USER),
        (json!({"key_id": "99"}), NO_KEY),
        (json!({}), NO_KEY),
        (json!({"key_id": "11", "scopes": ["badscope"]}), "No token name specified"),
        (json!({"key_id": "11", "name": "  ", "expires_at": "invalid-date"}), "No token name specified"),
        (json!({"key_id": "11", "name": "t", "expires_at": "invalid-date"}), "No token scopes specified"),
        (json!({"key_id": "11", "name": "t", "scopes": null}), "No token scopes specified"),
        (json!({"key_id": "11", "name": "t", "scopes": []}), "No token scopes specified"),
        (json!({"key_id": "11", "name": "t", "scopes": ["read_api", "badscope", "worse"], "expires_at": "x"}), &bad_scope),
        (
            json!({"key_id": "11", "name": "t", "scopes": ["api"], "expires_at": "invalid-date"}),
            "Invalid token expiry date: 'invalid-date'",
        ),
        (json!({"key_id": "16", "name": "t", "scopes": ["api"]}), "Failed to create token: Not permitted to create"),
    ] {
        assert_eq!(primary.post_internal("personal_access_token", params.clone()), failure(text), "{params}");
    }
    assert_eq!(primary.stored("personal_access_tokens"), 0);
}

#[test]
fn a_token_is_shown_with_its_scopes_and_its_expiry() {
    let primary = TestPrimary::with(&people());
    let params = json!({"key_id": "11", "name": "newtoken", "scopes": ["read_api", "read_repository"], "expires_at": "17 Nov 9001"});
    let body = primary.post_internal("personal_access_token", params);
    let token = body["token"].as_str().unwrap();
    assert_eq!(body, json!({"success": true, "token": token, "scopes": ["read_api", "read_repository"], "expires_at": "9001-11-17"}));
    let random = token.strip_prefix("glpat-").unwrap();
    assert!(random.len() == 20 && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    // By the number of the person, as a form, and with no end given.
    let form = "user_id=1&name=mytokenname&scopes[]=read_user&scopes[]=read_repository";
    let form = Request::post_form("/api/v4/internal/personal_access_token", form);
    let (_, body) = primary.send_for_json(form.header("gitlab-shared-secret", &STANDARD.encode(primary.0.shared_secret())));
    let year = Day::from_time(clock::wall_time()).plus(365).to_string();
    assert_eq!((&body["scopes"], &body["expires_at"]), (&json!(["read_user", "read_repository"]), &json!(year)), "{body}");
}

#[test]
fn without_a_token_lifetime_a_token_may_never_expire() {
    let mut lines = people();
    lines.push(r#"{"kind":"settings","token_lifetime_days":0}"#.to_owned());
    let primary = TestPrimary::with(&lines);
    let body = primary.post_internal("personal_access_token", json!({"user_id": 1, "name": "t", "scopes": ["api"], "expires_at": null}));
    assert_eq!(body.get("expires_at"), Some(&Value::Null));
    let (_, own) = primary.own(body["token"].as_str().unwrap());
    assert_eq!((own.get("expires_at"), &own["active"]), (Some(&Value::Null), &json!(true)));
}

#[test]
fn a_token_describes_itself_and_is_there_after_a_restart() {
    let primary = TestPrimary::with(&people());
    let tokens = [primary.create_token(11, &["read_user"]), primary.create_token(12, &["api"])];
    let primary = primary.restart();
    for (token, user, id) in [(&tokens[0], 1, 1), (&tokens[1], 2, 2)] {
        let (status, own) = primary.own(token);
        assert_eq!((status, &own["id"], &own["user_id"], &own["name"]), (StatusCode::OK, &json!(id), &json!(user), &json!("t")));
        assert_eq!((&own["revoked"], &own["active"]), (&json!(false), &json!(true)));
        assert!(own["created_at"].is_string() && own["last_used_at"].is_string(), "{own}");
        let fields: Vec<&str> = own.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["id", "name", "revoked", "created_at", "scopes", "user_id", "last_used_at", "active", "expires_at"]);
    }
    let third = primary.create_token(12, &["api"]);
    assert_eq!(primary.own(&third).1["id"], 3, "no number is given twice");
    assert_eq!(primary.stored("personal_access_tokens"), 3);
}

#[test]
fn an_invalid_token_is_401_without_a_reason() {
    let primary = TestPrimary::with(&people());
    let unauthorized = (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"}));
    let good = primary.create_token(12, &["api"]);
    let mut other = good.clone();
    other.pop();
    for wrong in ["", "glpat-", "nonsense", ADMIN_TOKEN, &other, &format!("{good}x")] {
        assert_eq!(primary.own(wrong), unauthorized, "{wrong}");
    }
    assert_eq!(primary.with_token(None, Method::GET, "personal_access_tokens/self", Value::Null), unauthorized);
    let by_other_name = |twice: bool| {
        let mut call = request(Method::GET, "/api/v4/personal_access_tokens/self").header("TOKEN", &good);
        if twice {
            call = call.header("PRIVATE-TOKEN", &good);
        }
        primary.send(call.body(""))
    };
    assert_eq!(by_other_name(false).0, StatusCode::OK);
    assert_eq!(by_other_name(true).0, StatusCode::UNAUTHORIZED);
    primary.admin(Method::POST, "block-user", json!({"username": "bob"}));
    assert_eq!(primary.own(&good), unauthorized);
}
