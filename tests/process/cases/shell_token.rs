//! Group A: the token of gitlab-shell.
//!
//! Not made: A02 (there is no Redis; `redis` says that the store is open, without which nothing runs), A07 (Geo).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use sidegate::model::clock;

use super::table::{Ask, Row, bare, check, exactly};
use super::world;
use crate::house::House;
use crate::http::Request;

const HEADER: &str = "Gitlab-Shell-Api-Request";
const CHECK: &str = "/api/v4/internal/check";

/// A token of `issuer`, made so many seconds ago to be good for a minute.
fn token(secret: &str, issuer: &str, age: i64) -> String {
    let made = clock::wall().seconds() - age;
    let claims = json!({"iss": issuer, "jti": "1", "iat": made, "nbf": made - 5, "exp": made + 60});
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[test]
fn only_a_token_of_gitlab_shells_in_time_is_believed() {
    let house = world::plain();
    let secret = house.shared_secret();
    let with = |token: String| Request::get(CHECK).header(HEADER, &token);
    let refused = |row: Row| row.is(json!({"message": "401 Unauthorized"}));
    let good = json!({"api_version": "v4", "redis": true});
    check(
        &house,
        vec![
            exactly("A01", "a valid token", Request::get(CHECK), 200).has(good.clone()).from("forwarded"),
            bare("A03", "of 10 s in the future", with(token(secret, "gitlab-shell", -10)), 200).has(good),
            refused(bare("A04", "of 2 minutes ago", with(token(secret, "gitlab-shell", 121)), 401)),
            refused(bare("A05", "of another issuer", with(token(secret, "gitlab-workhorse", 0)), 401)),
            refused(bare("A07", "signed with another secret", with(token("another", "gitlab-shell", 0)), 401)),
            refused(bare("A", "no token", Request::get(CHECK), 401)),
            refused(bare("A", "no token, and parameters that are none", Request::post("/api/v4/internal/allowed", &json!([])), 401)),
            refused(bare("A", "no token for a question of access", Ask::post("/api/v4/internal/allowed").as_json(), 401)),
        ],
    );
}

#[test]
fn the_shared_secret_of_the_older_document_is_believed() {
    let house = world::plain();
    let secret = STANDARD.encode(house.shared_secret());
    let with = |secret: &str| Request::get(CHECK).header("Gitlab-Shared-Secret", secret);
    let in_form = |secret: &str| {
        let form =
            format!("secret_token={}&key_id=104&project=team/private&action=git-upload-pack&protocol=ssh", secret.replace('=', "%3D"));
        Request::form("/api/v4/internal/allowed", &form)
    };
    check(
        &house,
        vec![
            bare("A06", "the secret in the header", with(&secret), 200),
            bare("A06", "another secret in the header", with(&STANDARD.encode("another")), 401),
            bare("A06", "the secret in the form", in_form(&secret), 200),
            bare("A06", "another secret in the form", in_form(&STANDARD.encode("another")), 401),
        ],
    );
}

#[test]
fn the_shared_secret_is_refused_where_it_is_switched_off() {
    let mut house = House::new();
    for config in ["primary.toml", "sidegate.toml"] {
        let text = std::fs::read_to_string(house.path().join(config)).unwrap();
        house.write(config, &text.replace("[auth]\n", "[auth]\naccept_shared_secret = false\n"));
    }
    house.start_primary();
    house.start_sidecar();
    let request = Request::get(CHECK).header("Gitlab-Shared-Secret", &STANDARD.encode(house.shared_secret()));
    check(&house, vec![bare("A06", "the secret in the header", request, 401).is(json!({"message": "401 Unauthorized"}))]);
}
