//! Recovery codes, second factors and personal access tokens: rows F and G of the cases, and what a token is good for.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ADMIN_TOKEN, Trial, key, request, small};
use crate::model::clock;
use crate::model::day::Day;
use crate::net::body::OutgoingBody;

const NO_KEY: &str = "Could not find the given key";
const NO_USER: &str = "Could not find the given user";
const NO_OWNER: &str = "Could not find a user for the given key";

/// With Zoë's second factor, a deploy key 13 of hers, a key 14 of nobody, a key 15 of Zoë's that only signs, and Eve, blocked, with 16.
fn people() -> Vec<String> {
    let mut lines = small();
    lines[1] = r#"{"kind":"user","id":1,"username":"zoe","name":"Z","two_factor":true}"#.to_owned();
    lines.push(r#"{"kind":"user","id":3,"username":"eve","name":"E","state":"blocked"}"#.to_owned());
    lines.push(key(13, 1).replace(r#""title""#, r#""deploy":true,"title""#));
    lines.push(key(14, 1).replace(r#""user_id":1,"#, ""));
    lines.push(key(15, 1).replace(r#""created_at""#, r#""usage":"signing","created_at""#));
    lines.push(key(16, 3));
    lines
}

impl Trial {
    /// An answer whose status is 200, whatever was asked.
    async fn told(&self, name: &str, body: Value) -> Value {
        let (status, body) = self.shell(Method::POST, &format!("internal/{name}"), body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// As the holder of a token asks; without one as nobody.
    pub(super) async fn holding(&self, token: Option<&str>, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = request(method, &format!("/api/v4/{target}"));
        if let Some(token) = token {
            request = request.header("PRIVATE-TOKEN", token);
        }
        let (status, _, body) = self.send(request.body(OutgoingBody::from_bytes(body)).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// A new token of the owner of a key.
    pub(super) async fn token_of(&self, key: u32, scopes: &[&str]) -> String {
        let body = self.told("personal_access_token", json!({"key_id": key.to_string(), "name": "t", "scopes": scopes})).await;
        body["token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    async fn own(&self, token: &str) -> (StatusCode, Value) {
        self.holding(Some(token), Method::GET, "personal_access_tokens/self", Value::Null).await
    }
}

fn failure(text: &str) -> Value {
    json!({"success": false, "message": text})
}

#[tokio::test]
async fn recovery_codes_are_ten_new_ones_each_time_and_only_their_hashes_are_kept() {
    let trial = Trial::with(&people()).await;
    let ask = || trial.told("two_factor_recovery_codes", json!({"key_id": "11"}));
    let (first, second) = (ask().await, ask().await);
    assert_eq!((&first["success"], &first["message"]), (&json!(true), &Value::Null));
    let codes = |body: &Value| serde_json::from_value::<Vec<String>>(body["recovery_codes"].clone()).unwrap();
    let (first, second) = (codes(&first), codes(&second));
    assert_eq!((first.len(), second.len()), (10, 10));
    assert!(first.iter().chain(&second).all(|code| code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_hexdigit())));
    assert!(first.iter().all(|code| !second.contains(code)));
    let kept = trial.house.store.private_store().scan_prefix(b"").unwrap();
    let kept: Vec<String> = kept.iter().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
    let hash = |code: &String| crate::model::digest::Digest::of(code.as_bytes()).to_string();
    assert!(second.iter().all(|code| kept.iter().any(|value| value.contains(&hash(code)))), "the hashes are kept");
    assert!(first.iter().all(|code| !kept.iter().any(|value| value.contains(&hash(code)))), "the old ones are gone");
    assert!(first.iter().chain(&second).all(|code| !kept.iter().any(|value| value.contains(code.as_str()))), "no code is kept");
}

#[tokio::test]
async fn why_there_are_no_recovery_codes_is_said_in_order() {
    let trial = Trial::with(&people()).await;
    for (asked, text) in [
        (json!({"key_id": "99", "user_id": 99}), NO_USER),
        (json!({"user_id": 99}), NO_USER),
        (json!({"user_id": "0"}), NO_USER),
        (json!({"key_id": 99}), NO_KEY),
        (json!({"key_id": "nonsense"}), NO_KEY),
        (json!({"key_id": "15"}), NO_KEY),
        (json!({}), NO_KEY),
        (json!({"user_id": 1}), NO_KEY),
        (json!({"username": "zoe"}), NO_KEY),
        (json!({"key_id": "14"}), NO_OWNER),
        (json!({"key_id": "13"}), "Deploy keys cannot be used to retrieve recovery codes"),
        (json!({"key_id": "12"}), "Two-factor authentication is not enabled for this user"),
    ] {
        assert_eq!(trial.told("two_factor_recovery_codes", asked.clone()).await, failure(text), "{asked}");
    }
    assert!(trial.house.store.private_store().scan_prefix(b"codes/").unwrap().is_empty());
}

#[tokio::test]
async fn a_key_or_an_account_that_may_not_be_used_gets_neither_codes_nor_a_token() {
    let mut lines = people();
    let with = |line: String, more: &str| line.replace(r#""title""#, &format!(r#"{more},"title""#));
    lines.push(with(key(17, 1), r#""expires_at":"2020-01-01T00:00:00Z""#));
    lines.push(with(key(18, 1), r#""expires_at":"2999-01-01T00:00:00Z""#));
    for (id, name, state) in [(4, "pat", "deactivated"), (5, "rob", "blocked")] {
        lines.push(format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"P","two_factor":true,"state":"{state}"}}"#));
        lines.push(key(id + 20, id));
    }
    let trial = Trial::with(&lines).await;
    let codes = |key: u32| trial.told("two_factor_recovery_codes", json!({"key_id": key}));
    let token = |key: u32| trial.told("personal_access_token", json!({"key_id": key, "name": "t", "scopes": ["api"]}));
    let expired = failure("Your SSH key has expired.");
    assert_eq!((codes(17).await, token(17).await), (expired.clone(), expired.clone()));
    let nameless = trial.told("personal_access_token", json!({"key_id": 17})).await;
    assert_eq!(nameless, expired, "before anything else of the request is judged");
    assert_eq!((codes(18).await["success"].clone(), token(18).await["success"].clone()), (json!(true), json!(true)));
    let not_permitted = failure("Failed to create token: Not permitted to create");
    let text = codes(24).await["message"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Your account has been deactivated by your administrator."), "{text}");
    assert_eq!(codes(25).await, failure("Your account has been blocked."));
    assert_eq!((token(24).await, token(25).await), (not_permitted.clone(), not_permitted));

    // What the instance asks of keys counts as well.
    trial.apply("", &[r#"{"kind":"settings","key_rules":{"ed25519":"forbidden"}}"#.to_owned()]).await;
    for refused in [codes(18).await, token(18).await] {
        assert!(refused["success"] == json!(false) && refused["message"].as_str().unwrap().contains("type is forbidden"), "{refused}");
    }
    let ledger = trial.house.store.private_store();
    assert_eq!(
        (
            ledger.scan_prefix(b"codes/").unwrap().len(),
            trial.admin(Method::GET, "status", Value::Null).await.1["kept"]["personal_access_tokens"].clone()
        ),
        (1, json!(1))
    );
}

#[tokio::test]
async fn whether_a_second_factor_is_asked_for_depends_on_the_instance_first() {
    let trial = Trial::with(&people()).await;
    assert_eq!(trial.told("two_factor_config", json!({"key_id": "11"})).await, json!({"success": false}));
    trial.apply("", &[r#"{"kind":"settings","two_factor_for_cli":true}"#.to_owned()]).await;
    for (key, required) in [("11", true), ("12", false), ("13", false)] {
        let body = trial.told("two_factor_config", json!({"key_id": key})).await;
        assert_eq!(body, json!({"success": true, "two_factor_required": required}), "{key}");
    }
    assert_eq!(trial.told("two_factor_config", json!({"key_id": "14"})).await, failure(NO_OWNER));
    assert_eq!(trial.told("two_factor_config", json!({"key_id": "99"})).await, failure(NO_KEY));
    for check in ["two_factor_manual_otp_check", "two_factor_push_otp_check"] {
        for asked in [json!({"key_id": "11", "otp_attempt": "123456"}), json!({"key_id": "13"}), json!({})] {
            assert_eq!(trial.told(check, asked).await, failure("Feature is not available"));
        }
    }
}

#[tokio::test]
async fn why_there_is_no_token_is_said_in_order() {
    let trial = Trial::with(&people()).await;
    let valid = r#"["api", "read_api", "read_registry", "read_repository", "read_user", "write_registry", "write_repository"]"#;
    let bad_scope = format!("Invalid scope: 'badscope'. Valid scopes are: {valid}");
    for (asked, text) in [
        (json!({"key_id": "13", "user_id": 99}), "Deploy keys cannot be used to create personal access tokens"),
        (json!({"user_id": 99}), NO_USER),
        (json!({"key_id": "99"}), NO_KEY),
        (json!({}), NO_KEY),
        (json!({"key_id": "14"}), NO_OWNER),
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
        assert_eq!(trial.told("personal_access_token", asked.clone()).await, failure(text), "{asked}");
    }
    assert!(trial.house.store.private_store().scan_prefix(b"token/").unwrap().is_empty());
}

#[tokio::test]
async fn a_token_is_shown_once_with_its_scopes_and_its_end() {
    let trial = Trial::with(&people()).await;
    let asked = json!({"key_id": "11", "name": "newtoken", "scopes": ["read_api", "read_repository"], "expires_at": "17 Nov 9001"});
    let body = trial.told("personal_access_token", asked).await;
    let token = body["token"].as_str().unwrap();
    assert_eq!(body, json!({"success": true, "token": token, "scopes": ["read_api", "read_repository"], "expires_at": "9001-11-17"}));
    let random = token.strip_prefix("glpat-").unwrap();
    assert!(random.len() == 20 && random.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    let leaks = |(name, value): &(Vec<u8>, Vec<u8>)| [name, value].iter().any(|bytes| String::from_utf8_lossy(bytes).contains(random));
    assert!(!trial.house.store.private_store().scan_prefix(b"").unwrap().iter().any(leaks));
    // By the number of the person, as a form, and with no end given.
    let form = request(Method::POST, "/api/v4/internal/personal_access_token").header("gitlab-shared-secret", base64(super::SHELL));
    let mut form = form.body(OutgoingBody::from_bytes("user_id=1&name=mytokenname&scopes[]=read_user&scopes[]=read_repository")).unwrap();
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let (_, _, body) = trial.send(form).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    let year = Day::from_time(clock::wall_time()).plus(365).to_string();
    assert_eq!((&body["scopes"], &body["expires_at"]), (&json!(["read_user", "read_repository"]), &json!(year)), "{body}");
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn without_a_lifetime_of_tokens_one_may_have_no_end_and_says_null() {
    let mut lines = people();
    lines.push(r#"{"kind":"settings","token_lifetime_days":0}"#.to_owned());
    let trial = Trial::with(&lines).await;
    let body = trial.told("personal_access_token", json!({"user_id": 1, "name": "t", "scopes": ["api"], "expires_at": null})).await;
    assert_eq!(body.get("expires_at"), Some(&Value::Null));
    let (_, own) = trial.own(body["token"].as_str().unwrap()).await;
    assert_eq!((own.get("expires_at"), &own["active"]), (Some(&Value::Null), &json!(true)));
}

#[tokio::test]
async fn a_token_tells_of_itself_and_is_there_after_a_restart() {
    let trial = Trial::with(&people()).await;
    let tokens = [trial.token_of(11, &["read_user"]).await, trial.token_of(12, &["api"]).await];
    let trial = trial.again();
    for (token, user, id) in [(&tokens[0], 1, 1), (&tokens[1], 2, 2)] {
        let (status, own) = trial.own(token).await;
        assert_eq!((status, &own["id"], &own["user_id"], &own["name"]), (StatusCode::OK, &json!(id), &json!(user), &json!("t")));
        assert_eq!((&own["revoked"], &own["active"]), (&json!(false), &json!(true)));
        assert!(own["created_at"].is_string() && own["last_used_at"].is_string(), "{own}");
        let fields: Vec<&str> = own.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["id", "name", "revoked", "created_at", "scopes", "user_id", "last_used_at", "active", "expires_at"]);
    }
    let third = trial.token_of(12, &["api"]).await;
    assert_eq!(trial.own(&third).await.1["id"], 3, "no number is given twice");
    let (_, status) = trial.admin(Method::GET, "status", Value::Null).await;
    assert_eq!(status["kept"]["personal_access_tokens"], 3);
}

#[tokio::test]
async fn what_is_no_token_or_no_longer_one_is_401_and_says_no_more() {
    let trial = Trial::with(&people()).await;
    let unauthorized = (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"}));
    let good = trial.token_of(12, &["api"]).await;
    let gone = json!({"key_id": "12", "name": "t", "scopes": ["api"], "expires_at": Day::from_time(clock::wall_time()).to_string()});
    let gone = trial.told("personal_access_token", gone).await["token"].as_str().unwrap().to_owned();
    let mut other = good.clone();
    other.pop();
    for wrong in ["", "glpat-", "nonsense", ADMIN_TOKEN, &gone, &other, &format!("{good}x")] {
        assert_eq!(trial.own(wrong).await, unauthorized, "{wrong}");
    }
    assert_eq!(trial.holding(None, Method::GET, "personal_access_tokens/self", Value::Null).await, unauthorized);
    let by_other_name = |twice: bool| {
        let mut ask = request(Method::GET, "/api/v4/personal_access_tokens/self").header("TOKEN", &good);
        if twice {
            ask = ask.header("PRIVATE-TOKEN", &good);
        }
        trial.send(ask.body(OutgoingBody::from_bytes("")).unwrap())
    };
    assert_eq!(by_other_name(false).await.0, StatusCode::OK);
    assert_eq!(by_other_name(true).await.0, StatusCode::UNAUTHORIZED);
    trial.admin(Method::POST, "block-user", json!({"username": "bob"})).await;
    assert_eq!(trial.own(&good).await, unauthorized);
}

#[tokio::test]
async fn a_person_has_a_thousand_tokens_and_those_that_ended_long_ago_make_room() {
    use crate::primary::credentials::access_tokens::{MAX_TOKENS_PER_USER, NewToken, create_token};
    use crate::primary::credentials::token_scope::TokenScope;
    let trial = Trial::with(&people()).await;
    let ledger = trial.house.store.private_store();
    let now = clock::wall_time();
    let want = |expires_at: Day| NewToken {
        user_id: 2.try_into().unwrap(),
        name: "t".try_into().unwrap(),
        scopes: vec![TokenScope::Api],
        expires_at: Some(expires_at),
    };
    let long_ago: Day = "2020-07-24".parse().unwrap();
    create_token(ledger, want(long_ago), now).unwrap().unwrap();
    // The rest is put there as it would be kept: a thousand syncs would only take time.
    let one = ledger.scan_prefix(b"token/sha256/").unwrap().remove(0).1;
    let mut entries = vec![(b"last/token".to_vec(), Some((MAX_TOKENS_PER_USER as u64).to_be_bytes().to_vec()))];
    for number in 2..=MAX_TOKENS_PER_USER as u64 {
        let token =
            String::from_utf8(one.clone()).unwrap().replace("2020-07-24", "2999-01-01").replace("\"id\":1,", &format!("\"id\":{number},"));
        let hash = crate::model::digest::Digest::of(&number.to_be_bytes()).bytes();
        entries.push(([&b"token/sha256/"[..], &hash].concat(), Some(token.into_bytes())));
        let place = [&b"token/of/"[..], &2_u64.to_be_bytes(), &number.to_be_bytes()].concat();
        entries.push((place, Some(hash.to_vec())));
    }
    ledger.write(crate::store::primary::private_store::PrivateWrites { entries }).unwrap();
    assert!(create_token(ledger, want("2999-01-01".parse().unwrap()), now).unwrap().is_some(), "one of a thousand ended");
    let asked = json!({"key_id": "12", "name": "t", "scopes": "api"});
    assert_eq!(trial.told("personal_access_token", asked).await, failure("Failed to create token: There are 1000 already"));
    assert!(trial.token_of(11, &["api"]).await.starts_with("glpat-"), "another has room");
}
