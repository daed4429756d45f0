//! Tokens for Git LFS: who gets one, for what it is valid, and when it ends.

use crate::model::access_decision::Repository;
use crate::model::access_request::{ClaimedActor, LfsAuthenticateRequest, LfsOperation, LfsVerifyRequest};
use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
use crate::model::time::Time;
use crate::rules::lfs::{LfsAccess, TokenEligibility, check_eligibility, repository_http_url, verify_token};
use crate::rules::lfs_token::{LfsClaims, LfsClaimsData, LfsTokenHolder, TokenSeed, decode_claims, issue_token};
use crate::rules::repository::normalize_path;

const SEED: TokenSeed = [5; 32];

fn sample_directory() -> MemoryDirectory {
    let deploy = |id: u64| {
        let key = ed25519_public_key(id);
        format!(r#"{{"kind":"key","id":{id},"title":"d","key":"{key}","deploy":true,"created_at":"2026-01-01T00:00:00Z"}}"#)
    };
    let mut directory = MemoryDirectory::from_lines([
        r#"{"kind":"storage","name":"default","address":"unix:/g"}"#,
        r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#,
        r#"{"kind":"project","id":2,"namespace_id":1,"path":"g/p","name":"p","relative_path":"p.git"}"#,
        r#"{"kind":"project","id":3,"namespace_id":1,"path":"g/q","name":"q","relative_path":"q.git"}"#,
        r#"{"kind":"project","id":4,"namespace_id":1,"path":"g/off","name":"o","lfs_enabled":false,"relative_path":"o.git"}"#,
        r#"{"kind":"snippet","id":5,"project_id":2,"author_id":1,"storage":"default","relative_path":"s.git"}"#,
        r#"{"kind":"user","id":1,"username":"dev","name":"D"}"#,
        r#"{"kind":"user","id":2,"username":"rep","name":"R"}"#,
        r#"{"kind":"user","id":3,"username":"out","name":"O"}"#,
        r#"{"kind":"member","namespace_id":1,"user_id":1,"access_level":30}"#,
        r#"{"kind":"member","namespace_id":1,"user_id":2,"access_level":20}"#,
        r#"{"kind":"deploy_grant","key_id":8,"project_id":2,"can_push":true}"#,
        r#"{"kind":"deploy_grant","key_id":9,"project_id":2}"#,
    ]);
    directory = directory.with_lines([deploy(8).as_str(), deploy(9).as_str()]);
    directory
}

fn now() -> Time {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Time {
    Time::from_milliseconds(now().milliseconds() + seconds * 1000).unwrap()
}

fn authenticate_request(claimed_actor: ClaimedActor, path: &str) -> LfsAuthenticateRequest {
    LfsAuthenticateRequest { claimed_actor, gl_repository: None, project: Some(path.to_owned()), operation: None, unsupported_param: None }
}

fn user_claimant(id: u64) -> ClaimedActor {
    ClaimedActor::User(id.try_into().ok())
}

fn eligible_holder(directory: &MemoryDirectory, claimed_actor: ClaimedActor, path: &str) -> (LfsTokenHolder, Repository) {
    match check_eligibility(directory, &authenticate_request(claimed_actor, path)) {
        Ok(TokenEligibility::Eligible(holder, repository)) => (holder, repository),
        other => panic!("{other:?}"),
    }
}

fn issued_token(directory: &MemoryDirectory, claimed_actor: ClaimedActor, path: &str) -> (String, String) {
    let (holder, repository) = eligible_holder(directory, claimed_actor, path);
    (holder.login(), issue_token(&SEED, &holder, &repository, "j", now()).unwrap())
}

fn verified_access(
    directory: &MemoryDirectory,
    (login, token): &(String, String),
    path: &str,
    operation: Option<LfsOperation>,
    now: Time,
) -> Option<LfsAccess> {
    let request =
        LfsVerifyRequest { login: login.clone(), token: token.clone(), gl_repository: None, project: Some(path.to_owned()), operation };
    verify_token(directory, &SEED, &request, now).unwrap().map(|(_, access)| access)
}

fn hex_signing_key(directory: &MemoryDirectory, claimed_actor: ClaimedActor) -> String {
    let (holder, _) = eligible_holder(directory, claimed_actor, "g/p");
    holder.signing_key(&SEED).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token is good for two hours, also over an upgrade: these are the keys of the first version.
#[test]
fn the_signing_key_of_a_seed_and_holder_is_the_same_in_every_version() {
    for (state, expected) in [
        ("active", "54a66cd7b9d6e4f3dc6f4bf518ef050db7267f4f9bf886c61fdd93827b68f411"),
        ("blocked", "4d2df0d28843349a3042d21a2ac48376ee66e80d80454558b8a6180d7764b80d"),
        ("pending_approval", "c6b5a5702402c06803a9071e3e47c9f3b7de6cf5b040003872221ddbe79ccbbe"),
        ("deactivated", "e9f721d3f7ff10fe73884856bb55fce09e29bb14060559a2defccc62e0a41743"),
        ("banned", "14efafec6a0f73eaa0ac508e1246bcae4d5237d5c8c8eda1cfe3f281ee36bbcd"),
        ("unconfirmed", "813189947cb2b008e4ee600511e20bf3a1f332cbe6ad10c1a7b9dcf2c5dfa53e"),
        ("internal", "f137edb7e92053ac830747d48cfbee9a04c347c7dc251d2e044c57340bc63608"),
    ] {
        let user = format!(r#"{{"kind":"user","id":2,"username":"rep","name":"R","state":"{state}"}}"#);
        assert_eq!(hex_signing_key(&sample_directory().with_lines([user.as_str()]), user_claimant(2)), expected, "{state}");
    }
    let expiring = r#"{"kind":"user","id":1,"username":"dev","name":"D","password_expires_at":"2030-01-01T00:00:00Z"}"#;
    let directory = sample_directory().with_lines([expiring]);
    assert_eq!(hex_signing_key(&directory, user_claimant(1)), "f564c508e9992d68d9ca6814842eccb61a245dc3987ad52e0c1c0050a5c53576");
    let deploy_key = ClaimedActor::Key(8.try_into().ok());
    assert_eq!(hex_signing_key(&directory, deploy_key), "7c3657cc91456b61373789006e002dbc79d4edc858fe246356d51c68e8ff0951");
    let (holder, repository) = eligible_holder(&directory, user_claimant(1), "g/p");
    let expected = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJkYXRhIjp7ImFjdG9yIjoiZGV2IiwiY29udGFpbmVyX2dpZCI6ImdpZDovL2dpdGxhYi9Qcm9qZWN0LzIifSwi\
                    anRpIjoiaiIsImlhdCI6MTc4MDI3MjAwMCwibmJmIjoxNzgwMjcxOTk1LCJleHAiOjE3ODAyNzkyMDB9.G7J-hlmIn05IDQBMdp_AJmWyTi6tdWAXEukJXxpXP2g";
    assert_eq!(issue_token(&SEED, &holder, &repository, "j", now()).as_deref(), Ok(expected));
}

/// D01 to D08, and server.md 8.1: which of the two is missing.
#[test]
fn a_token_needs_a_repository_first_and_then_an_actor() {
    for path in ["g/p", "/g/p.git", "g/p.wiki"] {
        let (_, repository) = eligible_holder(&sample_directory(), user_claimant(3), path);
        assert_eq!(repository_http_url("http://h/", &repository), format!("http://h/{}.git", normalize_path(path)));
    }
    for path in ["g/none", "g/off", "g/p/snippets/5", ""] {
        assert_eq!(
            check_eligibility(&sample_directory(), &authenticate_request(ClaimedActor::Unspecified, path)),
            Ok(TokenEligibility::ContainerNotFound),
            "{path}"
        );
    }
    for claimed_actor in [ClaimedActor::Unspecified, user_claimant(99), ClaimedActor::Key(None)] {
        assert_eq!(
            check_eligibility(&sample_directory(), &authenticate_request(claimed_actor, "g/p")),
            Ok(TokenEligibility::ActorNotFound)
        );
    }
}

/// E01 to E11.
#[test]
fn a_token_is_valid_for_its_actor_and_repository_only() {
    let directory = sample_directory();
    let dev = issued_token(&directory, user_claimant(1), "g/p");
    assert_eq!(dev.0, "dev");
    assert_eq!(verified_access(&directory, &dev, "g/p", None, now()), Some(LfsAccess::Write));
    assert_eq!(verified_access(&directory, &dev, "g/q", None, now()), None);
    assert_eq!(verified_access(&directory, &("rep".to_owned(), dev.1.clone()), "g/p", None, now()), None);
    assert_eq!(verified_access(&directory, &("dev".to_owned(), "junk".to_owned()), "g/p", None, now()), None);
    for index in 0..dev.1.len() {
        let mut changed = dev.1.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let last_bits_only = index + 1 == dev.1.len();
        assert!(last_bits_only || verified_access(&directory, &("dev".to_owned(), changed), "g/p", None, now()).is_none(), "byte {index}");
    }
    let other_seed = issue_token(
        &[6; 32],
        &eligible_holder(&directory, user_claimant(1), "g/p").0,
        &eligible_holder(&directory, user_claimant(1), "g/p").1,
        "j",
        now(),
    )
    .unwrap();
    assert_eq!(verified_access(&directory, &("dev".to_owned(), other_seed), "g/p", None, now()), None);
}

/// E10: a token that names no container is good for any.
#[test]
fn a_token_without_a_container_is_valid_for_each_repository() {
    let (holder, _) = eligible_holder(&sample_directory(), user_claimant(1), "g/p");
    let data = LfsClaimsData { actor: "dev".to_owned(), container_gid: None };
    let claims = LfsClaims { data, jti: String::new(), iat: now().seconds(), nbf: now().seconds(), exp: now().seconds() + 10 };
    let key = jsonwebtoken::EncodingKey::from_secret(&holder.signing_key(&SEED));
    let bare = ("dev".to_owned(), jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap());
    assert_eq!(verified_access(&sample_directory(), &bare, "g/q", None, now()), Some(LfsAccess::Write));
}

/// server.md 4: dead at exp + 60 s exactly.
#[test]
fn a_token_lives_two_hours_and_a_minute() {
    let directory = sample_directory();
    let dev = issued_token(&directory, user_claimant(1), "g/p");
    assert_eq!(verified_access(&directory, &dev, "g/p", None, later(7200 + 59)), Some(LfsAccess::Write));
    assert_eq!(verified_access(&directory, &dev, "g/p", None, later(7200 + 60)), None);
    assert_eq!(verified_access(&directory, &dev, "g/p", None, later(-65)), Some(LfsAccess::Write));
    assert_eq!(verified_access(&directory, &dev, "g/p", None, later(-66)), None);
    let (holder, _) = eligible_holder(&directory, user_claimant(1), "g/p");
    let claims = decode_claims(&SEED, &holder, &dev.1).unwrap();
    assert_eq!((claims.exp - claims.iat, claims.iat - claims.nbf), (7200, 5));
}

/// E13 to E15, and that a token ends with what its actor was.
#[test]
fn a_token_ends_with_the_account() {
    let with =
        |fields: &str| sample_directory().with_lines([format!(r#"{{"kind":"user","id":1,"username":"dev","name":"D"{fields}}}"#).as_str()]);
    for (fields, access) in [
        (r#","password_expires_at":"2020-01-01T00:00:00Z""#, None),
        (r#","password_expires_at":"2020-01-01T00:00:00Z","ldap":true"#, Some(LfsAccess::Write)),
        (r#","ldap":true,"state":"blocked""#, None),
        (r#","state":"blocked""#, None),
        ("", Some(LfsAccess::Write)),
    ] {
        let directory = with(fields);
        assert_eq!(verified_access(&directory, &issued_token(&directory, user_claimant(1), "g/p"), "g/p", None, now()), access, "{fields}");
    }
    let before = issued_token(&sample_directory(), user_claimant(1), "g/p");
    assert_eq!(verified_access(&with(r#","password_expires_at":"2030-01-01T00:00:00Z""#), &before, "g/p", None, now()), None);
}

#[test]
fn a_token_permits_what_the_rules_grant_when_it_is_presented() {
    let directory = sample_directory();
    let key = |id: u64| ClaimedActor::Key(id.try_into().ok());
    for (claimed_actor, login, access) in [
        (user_claimant(1), "dev", Some(LfsAccess::Write)),
        (user_claimant(2), "rep", Some(LfsAccess::Read)),
        (user_claimant(3), "out", None),
        (key(8), "lfs+deploy-key-8", Some(LfsAccess::Write)),
        (key(9), "lfs+deploy-key-9", Some(LfsAccess::Read)),
    ] {
        let token = issued_token(&directory, claimed_actor, "g/p");
        assert_eq!(token.0, login);
        assert_eq!(verified_access(&directory, &token, "g/p", Some(LfsOperation::Download), now()), access);
        let uploads = access.filter(|access| *access == LfsAccess::Write);
        assert_eq!(verified_access(&directory, &token, "g/p", Some(LfsOperation::Upload), now()), uploads);
    }
}
