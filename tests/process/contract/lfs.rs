//! Groups D and E: tokens for large files, and what they are good for.
//!
//! Not made: D10 (Geo); E10 and E11 (a token of ours always names its container, and one is always judged for a container). E04 is an
//! error of a constructor; over HTTP the same is the 404 of D05.

use serde_json::{Value, json};

use crate::support::contract_case::{ApiCall, assert_cases, case};
use crate::support::contract_directory::{self, OTHER_PROJECT_DEPLOY_KEY, PUSH_DEPLOY_KEY, READ_DEPLOY_KEY, SIGNING_KEY, key_actor, lfs};
use crate::support::env::TestEnv;

#[test]
fn any_known_actor_gets_a_token_for_what_has_large_files() {
    let missing = json!({"message": "404 Not Found"});
    let unknown = json!({"message": "404 Not found"});
    let path = |path: &str| json!({"repository_http_path": format!("https://git.example.com/{path}.git")});
    let anew = &["lfs_token", "expires_in"];
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("D01", "by key", lfs("developer", "team/private"), 200)
                .body_contains(json!({"username": "developer"}))
                .body_contains(path("team/private"))
                .sent_once()
                .ignoring_fields(anew),
            case("D01", "by name", lfs("name:developer", "/team/private.git"), 200)
                .body_contains(json!({"username": "developer"}))
                .ignoring_fields(anew),
            case("D01", "by number", lfs("user:developer", "team/private"), 200)
                .body_contains(json!({"username": "developer"}))
                .ignoring_fields(anew),
            case("D01", "by a deploy key", lfs(&key_actor(PUSH_DEPLOY_KEY), "team/private"), 200)
                .body_contains(json!({"username": "lfs+deploy-key-302"}))
                .ignoring_fields(anew),
            case("D02", "who may not read it", lfs("outsider", "team/private"), 200)
                .body_contains(json!({"username": "outsider"}))
                .ignoring_fields(anew),
            case("D03", "nobody", lfs("nobody", "team/private"), 404).body_equals(unknown.clone()),
            case("D04", "no large files there", lfs("developer", "team/without-lfs"), 404).body_equals(missing.clone()),
            case("D05", "a user who is not there", lfs("nobody", "team/private").with("user_id", 9999), 404).body_equals(unknown.clone()),
            case("D05", "a key that only signs", lfs(&key_actor(SIGNING_KEY), "team/private"), 404).body_equals(unknown),
            case("D06", "no project", lfs("developer", "team/none"), 404).body_equals(missing.clone()),
            case("D06", "neither", lfs("nobody", "team/none"), 404).body_equals(missing.clone()),
            case("D07", "a wiki", lfs("user:developer", "team/private.wiki"), 200)
                .body_contains(path("team/private.wiki"))
                .ignoring_fields(anew),
            case("D08", "a snippet", lfs("user:developer", "snippets/1"), 404).body_equals(missing.clone()),
            case("D08", "a project's snippet", lfs("user:developer", "team/private/snippets/3"), 404).body_equals(missing),
        ],
    );
}

/// A token, asked through the sidecar.
fn mint(env: &TestEnv, who: &str, project: &str) -> (String, String) {
    let body = env.request_sidecar(lfs(who, project).to_json_request()).json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{who}: {body}")).to_owned();
    (text("username"), text("lfs_token"))
}

/// What it is good for, as the server of large files asks the primary.
fn verify(env: &TestEnv, login: &str, token: &str, project: &str) -> (u16, Value) {
    let call = ApiCall::post("/api/v4/internal/sidegate/lfs_verify").with("login", login).with("token", token).with("project", project);
    let answer = env.request_primary(call.to_json_request());
    (answer.status, answer.json()["access"].clone())
}

#[test]
fn a_token_is_good_for_whom_and_what_it_was_made() {
    let env = contract_directory::shared_env();
    let no = (401, Value::Null);
    let access = |word: &str| (200, json!(word));

    let (login, token) = mint(&env, "developer", "team/private");
    let (deploy_login, deploy_token) = mint(&env, &key_actor(PUSH_DEPLOY_KEY), "team/private");
    let (reading_login, reading_token) = mint(&env, &key_actor(READ_DEPLOY_KEY), "team/private");
    let changed = format!("{}{}", if token.starts_with('e') { 'f' } else { 'e' }, &token[1..]);
    let (_, of_another) = mint(&env, "reporter", "team/private");
    let rows = [
        ("D01, E01", verify(&env, &login, &token, "team/private"), access("write")),
        ("E02: what a reporter may", verify(&env, "reporter", &of_another, "team/private"), access("read")),
        ("E03", verify(&env, &deploy_login, &deploy_token, "team/private"), access("write")),
        ("E03: a key that only reads", verify(&env, &reading_login, &reading_token, "team/private"), access("read")),
        ("E05", verify(&env, &login, "junk", "team/private"), no.clone()),
        ("E06", verify(&env, &login, &changed, "team/private"), no.clone()),
        ("E07", verify(&env, &login, &of_another, "team/private"), no.clone()),
        ("E07: another login", verify(&env, "maintainer", &token, "team/private"), no.clone()),
        ("E09", verify(&env, &login, &token, "team/internal"), no.clone()),
        ("E09: its wiki", verify(&env, &login, &token, "team/private.wiki"), no.clone()),
    ];
    for (id, found, expected) in rows {
        assert_eq!(found, expected, "{id}");
    }
    assert_eq!(deploy_login, "lfs+deploy-key-302", "E03");

    for (id, who, project, expected) in [
        ("E08: who may nothing there", "outsider", "team/private", no.clone()),
        ("E13", "passworded", "team/private", no.clone()),
        ("E14", "ldap", "team/private", access("write")),
        ("E15", "ldapblocked", "team/private", no.clone()),
        ("E15: blocked without LDAP", "blocked", "team/private", no),
    ] {
        let (login, token) = mint(&env, who, project);
        assert_eq!(verify(&env, &login, &token, project), expected, "{id}");
    }
    let (login, token) = mint(&env, &key_actor(OTHER_PROJECT_DEPLOY_KEY), "team/private");
    assert_eq!(verify(&env, &login, &token, "team/private").0, 401, "E08: a deploy key of another project");
}

#[test]
fn a_cached_lfs_token_is_given_again_with_its_remaining_lifetime() {
    let env = contract_directory::shared_env();
    let call = lfs("owner", "team/private").with("operation", "download");
    let first = env.request_sidecar(call.to_json_request());
    assert_eq!((first.status, first.header("x-sidegate-answer")), (200, Some("forwarded")));
    assert_eq!(first.json()["expires_in"], 7200, "D01");
    let again = env.request_sidecar(call.to_json_request());
    assert_eq!(again.header("x-sidegate-answer"), Some("cached"));
    assert_eq!(again.json()["lfs_token"], first.json()["lfs_token"]);
    let left = again.json()["expires_in"].as_u64().unwrap();
    assert!((3600..=7200).contains(&left), "{left}");
}

/// The words of a question may name somebody else, nobody, or another project a moment later: then the primary is asked again.
#[test]
fn a_cached_lfs_token_is_given_to_its_own_actor_only() {
    let env = contract_directory::fresh_env();
    let number = contract_directory::user_id("developer");
    let send = |who: &str| env.request_sidecar(lfs(who, "team/public").to_json_request());
    let keep = |who: &str| {
        assert_eq!((send(who).status, send(who).header("x-sidegate-answer")), (200, Some("cached")), "{who}");
        send(who).json()["lfs_token"].clone()
    };
    let change = |line: Value| {
        env.apply(&format!("{line}\n"));
        let seq = env.primary_status()["head"]["seq"].clone();
        env.wait_for("the change to bind", || env.status()["follower"]["cursor"]["seq"] == seq);
    };
    let by_key = key_actor(100 + number);

    let before = keep(&by_key);
    change(
        json!({"kind": "user", "id": number, "username": "developer", "name": "Developer", "password_expires_at": "2999-01-01T00:00:00Z"}),
    );
    assert_ne!(send(&by_key).json()["lfs_token"], before, "it died with the password");

    keep(&by_key);
    let (user, public) = (contract_directory::user_id("reporter"), contract_directory::contract_public_key(100 + number));
    change(json!({"kind": "key", "id": 100 + number, "user_id": user, "title": "t", "key": public, "created_at": "2026-01-31T12:00:00Z"}));
    let given = send(&by_key);
    assert_eq!((given.header("x-sidegate-answer"), &given.json()["username"]), (Some("forwarded"), &json!("reporter")));

    keep(&by_key);
    let revoked = env.run_admin(&["revoke-key", &(100 + number).to_string(), "--wait=20"]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    assert_eq!(send(&by_key).status, 404, "nobody may pull a public project, and holds no token");
}
