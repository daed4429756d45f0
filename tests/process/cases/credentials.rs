//! Groups F and G: recovery codes, tokens of people, the second factor. All answers have status 200; what is wrong is in them.
//!
//! Not made: F02 as of a key whose user was deleted at GitLab's (here such a key has no user at all); G06 and G09 (one-time passwords of the
//! Enterprise edition: without its licence both checks are the refusal of G10).

use serde_json::{Value, json};

use super::table::{Ask, check, row};
use super::world::{self, ORPHAN, PUSHING, key};
use crate::house::House;
use crate::http::{Answer, Request};

const CODES: &str = "/api/v4/internal/two_factor_recovery_codes";
const TOKEN: &str = "/api/v4/internal/personal_access_token";
const CONFIG: &str = "/api/v4/internal/two_factor_config";
const OTP: [&str; 2] = ["/api/v4/internal/two_factor_manual_otp_check", "/api/v4/internal/two_factor_push_otp_check"];

fn failure(text: &str) -> Value {
    json!({"success": false, "message": text})
}

fn of(path: &'static str, who: &str) -> Ask {
    world::asker(Ask::post(path), who)
}

/// A request for a token with these scopes besides.
fn token(who: &str, more: &Value) -> Request {
    let mut body = json!({"key_id": (100 + world::person(who)).to_string(), "name": "laptop", "scopes": ["read_api"]});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    Request::post(TOKEN, &body)
}

#[test]
fn who_gets_no_codes_and_no_token_is_told_why() {
    use super::table::exactly;
    let scopes =
        r#"Valid scopes are: ["api", "read_api", "read_registry", "read_repository", "read_user", "write_registry", "write_repository"]"#;
    let scopes_fail = |more: Value, text: &str| exactly("F12", format!("{more}"), token("developer", &more), 200).is(failure(text));
    check(
        &world::plain(),
        vec![
            row("F01", "no such user", of(CODES, "nobody").with("user_id", 9999), 200).is(failure("Could not find the given user")),
            row("F01", "no such key", of(CODES, "key:9999"), 200).is(failure("Could not find the given key")),
            row("F01", "a user without a key", of(CODES, "user:twofactor"), 200).is(failure("Could not find the given key")),
            row("F02", "a key of nobody, codes", of(CODES, &key(ORPHAN)), 200).is(failure("Could not find a user for the given key")),
            row("F02", "a key of nobody, a token", of(TOKEN, &key(ORPHAN)), 200).is(failure("Could not find a user for the given key")),
            row("F04", "a deploy key, codes", of(CODES, &key(PUSHING)), 200)
                .is(failure("Deploy keys cannot be used to retrieve recovery codes")),
            row("F05", "a deploy key, a token", of(TOKEN, &key(PUSHING)), 200)
                .is(failure("Deploy keys cannot be used to create personal access tokens")),
            row("F06", "no second factor", of(CODES, "developer"), 200)
                .is(failure("Two-factor authentication is not enabled for this user"))
                .lacks("recovery_codes"),
            row("F08", "no such user, a token", of(TOKEN, "nobody").with("user_id", 9999), 200)
                .is(failure("Could not find the given user")),
            row("F09", "no name", of(TOKEN, "developer"), 200).is(failure("No token name specified")),
            row("F10", "no scopes", of(TOKEN, "developer").with("name", "laptop"), 200).is(failure("No token scopes specified")),
            exactly("F11", "a date that is none", token("developer", &json!({"expires_at": "invalid-date"})), 200)
                .is(failure("Invalid token expiry date: 'invalid-date'")),
            scopes_fail(json!({"scopes": ["read_api", "badscope", "read_repository"]}), &format!("Invalid scope: 'badscope'. {scopes}")),
            exactly("F13", "blocked", token("blocked", &json!({})), 200).is(failure("Failed to create token: Not permitted to create")),
        ],
    );
}

#[test]
fn codes_and_tokens_are_new_each_time_and_tokens_are_good() {
    let house = world::plain();
    type Way = fn(&House, Request) -> Answer;
    let mut seen = std::collections::BTreeSet::new();
    for way in [House::ask_primary as Way, House::ask] {
        let codes = way(&house, of(CODES, "twofactor").as_json()).json();
        let list: Vec<String> = serde_json::from_value(codes["recovery_codes"].clone()).unwrap_or_else(|_| panic!("F07: {codes}"));
        assert!(codes["success"] == true && list.len() == 10, "F07: {codes}");
        for code in list {
            assert!(code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "F07: {code}");
            assert!(seen.insert(code), "F07: given twice");
        }

        let asked = token("developer", &json!({"scopes": ["read_user", "read_repository"], "expires_at": "2099-07-24"}));
        let made = way(&house, asked).json();
        let expected = json!({"success": true, "scopes": ["read_user", "read_repository"], "expires_at": "2099-07-24"});
        assert!(super::table::holds(&made, &expected), "F14: {made}");
        let text = made["token"].as_str().unwrap().to_owned();
        let own = Request::get("/api/v4/personal_access_tokens/self").header("PRIVATE-TOKEN", &text);
        for socket in [house.primary_socket(), house.sidecar_socket()] {
            let own = own.to(&socket);
            assert_eq!((own.status, own.json()["user_id"].as_u64(), own.json()["active"].as_bool()), (200, Some(4), Some(true)), "F14");
        }
        assert!(seen.insert(text), "F14: given twice");
    }
    let unknown = Request::get("/api/v4/personal_access_tokens/self").header("PRIVATE-TOKEN", "glpat-unknown");
    check(&house, vec![super::table::bare("F14", "an unknown token", unknown, 401)]);
}

#[test]
fn the_second_factor_is_asked_for_as_the_instance_is_set() {
    let unavailable = failure("Feature is not available");
    let otp = |path| of(path, "twofactor").with("otp_attempt", "123456");
    let mut rows = vec![row("G01", "switched off", of(CONFIG, "twofactor"), 200).is(json!({"success": false}))];
    rows.extend(OTP.map(|path| row("G10", path, otp(path), 200).is(unavailable.clone())));
    check(&world::plain(), rows);

    let house = world::own();
    world::set(&house, &json!({"two_factor_for_cli": true}));
    let required = |required: bool| json!({"success": true, "two_factor_required": required});
    let mut rows = vec![
        row("G02", "a deploy key", of(CONFIG, &key(PUSHING)), 200).is(required(false)),
        row("G03", "with a second factor", of(CONFIG, "twofactor"), 200).is(required(true)),
        row("G04", "without one", of(CONFIG, "developer"), 200).is(required(false)),
        row("G05", "an unknown key", of(CONFIG, "key:9999"), 200).is(failure("Could not find the given key")),
    ];
    rows.extend(OTP.map(|path| row("G10", path, otp(path), 200).is(unavailable.clone())));
    check(&house, rows);
}
