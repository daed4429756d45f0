//! Group A: the token of gitlab-shell.
//!
//! Not made: A02 (there is no Redis; `redis` says that the store is open, without which nothing runs), A07 (Geo).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use sidegate::model::clock;

use crate::support::contract_case::{ApiCall, ContractCase, assert_cases, authenticated_case, verbatim_case};
use crate::support::contract_directory;
use crate::support::env::TestEnv;
use crate::support::http::Request;

const HEADER: &str = "Gitlab-Shell-Api-Request";
const CHECK: &str = "/api/v4/internal/check";

/// A token of `issuer`, made so many seconds ago to be good for a minute.
fn token(secret: &str, issuer: &str, age: i64) -> String {
    let made = clock::wall_time().seconds() - age;
    let claims = json!({"iss": issuer, "jti": "1", "iat": made, "nbf": made - 5, "exp": made + 60});
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[test]
fn only_a_gitlab_shell_token_that_has_not_expired_is_accepted() {
    let env = contract_directory::shared_env();
    let secret = env.shared_secret();
    let with = |token: String| Request::get(CHECK).header(HEADER, &token);
    let refused = |row: ContractCase| row.body_equals(json!({"message": "401 Unauthorized"}));
    let good = json!({"api_version": "v4", "redis": true});
    assert_cases(
        &env,
        vec![
            authenticated_case("A01", "a valid token", Request::get(CHECK), 200).body_contains(good.clone()).answered_from("forwarded"),
            verbatim_case("A03", "of 10 s in the future", with(token(secret, "gitlab-shell", -10)), 200).body_contains(good),
            refused(verbatim_case("A04", "of 2 minutes ago", with(token(secret, "gitlab-shell", 121)), 401)),
            refused(verbatim_case("A05", "of another issuer", with(token(secret, "gitlab-workhorse", 0)), 401)),
            refused(verbatim_case("A07", "signed with another secret", with(token("another", "gitlab-shell", 0)), 401)),
            refused(verbatim_case("A", "no token", Request::get(CHECK), 401)),
            refused(verbatim_case(
                "A",
                "no token, and parameters that are none",
                Request::post("/api/v4/internal/allowed", &json!([])),
                401,
            )),
            refused(verbatim_case(
                "A",
                "no token for a question of access",
                ApiCall::post("/api/v4/internal/allowed").to_json_request(),
                401,
            )),
        ],
    );
}

#[test]
fn the_shared_secret_of_the_older_document_is_accepted() {
    let env = contract_directory::shared_env();
    let secret = STANDARD.encode(env.shared_secret());
    let with = |secret: &str| Request::get(CHECK).header("Gitlab-Shared-Secret", secret);
    let in_form = |secret: &str| {
        let form =
            format!("secret_token={}&key_id=104&project=team/private&action=git-upload-pack&protocol=ssh", secret.replace('=', "%3D"));
        Request::post_form("/api/v4/internal/allowed", &form)
    };
    assert_cases(
        &env,
        vec![
            verbatim_case("A06", "the secret in the header", with(&secret), 200),
            verbatim_case("A06", "another secret in the header", with(&STANDARD.encode("another")), 401),
            verbatim_case("A06", "the secret in the form", in_form(&secret), 200),
            verbatim_case("A06", "another secret in the form", in_form(&STANDARD.encode("another")), 401),
        ],
    );
}

#[test]
fn the_shared_secret_is_refused_where_it_is_switched_off() {
    let mut env = TestEnv::new();
    for config in ["primary.toml", "sidegate.toml"] {
        let text = std::fs::read_to_string(env.path().join(config)).unwrap();
        env.write(config, &text.replace("[auth]\n", "[auth]\naccept_shared_secret = false\n"));
    }
    env.start_primary();
    env.start_sidecar();
    let request = Request::get(CHECK).header("Gitlab-Shared-Secret", &STANDARD.encode(env.shared_secret()));
    assert_cases(
        &env,
        vec![verbatim_case("A06", "the secret in the header", request, 401).body_equals(json!({"message": "401 Unauthorized"}))],
    );
}
