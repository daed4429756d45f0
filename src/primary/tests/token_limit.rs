//! How many personal access tokens a user may have, and for how long one is good.

use http::{Method, StatusCode};
use serde_json::json;

use super::{OTHER_USER, apply, call, handle, json_request, open, small_directory};
use crate::model::clock;
use crate::model::day::Day;
use crate::model::digest::Digest;
use crate::primary::credentials::access_tokens::{MAX_TOKENS_PER_USER, NewToken, TokenCreation, create_token};
use crate::primary::credentials::token_scope::TokenScope;
use crate::store::primary::private_store::PrivateWrites;

#[tokio::test]
async fn a_user_has_at_most_a_thousand_tokens_and_those_that_expired_long_ago_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    let (private_store, now) = (state.store.private_store(), clock::wall_time());
    let new_token = |expires_at: Day| NewToken {
        user_id: 2.try_into().unwrap(),
        name: "t".try_into().unwrap(),
        scopes: vec![TokenScope::Api],
        expires_at: Some(expires_at),
    };
    let created = create_token(&state.store, new_token("2020-07-24".parse().unwrap()), now, |_| Ok(true)).unwrap();
    assert!(matches!(created, TokenCreation::Created(_)));
    // The rest is written as it would be stored: creating a thousand would only take time.
    let first = String::from_utf8(private_store.scan_prefix(b"token/sha256/").unwrap().remove(0).1).unwrap();
    let mut entries = vec![(b"last/token".to_vec(), Some((MAX_TOKENS_PER_USER as u64).to_be_bytes().to_vec()))];
    for number in 2..=MAX_TOKENS_PER_USER as u64 {
        let token = first.replace("2020-07-24", "2999-01-01").replace("\"id\":1,", &format!("\"id\":{number},"));
        let hash = Digest::of(&number.to_be_bytes()).bytes();
        entries.push(([&b"token/sha256/"[..], &hash].concat(), Some(token.into_bytes())));
        entries.push(([&b"token/of/"[..], &2_u64.to_be_bytes(), &number.to_be_bytes()].concat(), Some(hash.to_vec())));
    }
    private_store.write(PrivateWrites { entries }).unwrap();
    let another = new_token("2999-01-01".parse().unwrap());
    let created = create_token(&state.store, another, now, |_| Ok(true)).unwrap();
    assert!(matches!(created, TokenCreation::Created(_)), "one of a thousand expired long ago");
    let token_for = async |key: &str| {
        let params = json!({"key_id": key, "name": "t", "scopes": "api"});
        call(&state, "internal/personal_access_token", &params).await.1
    };
    assert_eq!(token_for("12").await, json!({"success": false, "message": "Failed to create token: There are 1000 already"}));
    assert!(token_for("11").await["token"].as_str().unwrap().starts_with("glpat-"), "another user has room");
}

#[tokio::test]
async fn an_expired_token_is_401_without_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    for (end, expected) in [("2020-07-24", StatusCode::UNAUTHORIZED), ("2999-01-01", StatusCode::OK)] {
        let token = NewToken {
            user_id: "1".parse().unwrap(),
            name: "t".try_into().unwrap(),
            scopes: vec![TokenScope::Api],
            expires_at: Some(end.parse().unwrap()),
        };
        let created = create_token(&state.store, token, clock::wall_time(), |_| Ok(true)).unwrap();
        let TokenCreation::Created(secret) = created else { panic!("{created:?}") };
        let request = json_request(Method::GET, "/api/v4/personal_access_tokens/self").header("private-token", secret);
        let (status, body) = handle(&state, OTHER_USER, request.body("").unwrap()).await;
        assert_eq!(status, expected, "{end}: {body}");
    }
}
