//! Tokens for Git LFS: who gets one, for which repository, and what it permits when it is presented. (server.md 2.2, 4, 8.1)
//!
//! A token is a JWT in the contract's form. Its signing key is derived from the primary's seed and the actor's present state, so that a
//! token becomes invalid when its actor is blocked or the password expires, without a list of tokens. Issuing a token checks no
//! permission: that is done when it is presented.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::model::access_decision::{AccessDecision, Actor, Repository};
use crate::model::access_request::{
    Action, AllowedRequest, ClaimedActor, LfsAuthenticateRequest, LfsOperation, LfsVerifyRequest, Protocol, RefChanges,
};
use crate::model::directory::{Directory, DirectoryError};
use crate::model::enums::UserState;
use crate::model::record::{Key, User};
use crate::model::time::Time;
use crate::rules::account;
use crate::rules::actor::resolve_actor;
use crate::rules::allowed::decide;
use crate::rules::repository::find_repository;

/// How long a token is valid.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(7200);
/// How far clocks may differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// What the login of a deploy key begins with, before its id.
const DEPLOY_KEY_LOGIN_PREFIX: &str = "lfs+deploy-key-";

/// The random bytes that signing keys are derived from: made with the primary's store, never printed.
pub type TokenSeed = [u8; 32];

/// The actor that a token is issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LfsTokenHolder {
    /// A person.
    User(std::sync::Arc<User>),
    /// A deploy key.
    DeployKey(std::sync::Arc<Key>),
}

/// Whether a token may be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TokenEligibility {
    /// Yes: to this holder, for this repository.
    Eligible(LfsTokenHolder, Repository),
    /// There is no such repository, or it has no large files: `404 Not Found`.
    ContainerNotFound,
    /// There is no such actor: `404 Not found`.
    ActorNotFound,
}

/// What a valid token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LfsAccess {
    /// Downloads.
    Read,
    /// Downloads and uploads.
    Write,
}

/// Decides whether a token may be issued. The repository is looked up before the actor; snippets have no large files, wikis do.
pub fn check_eligibility(directory: &dyn Directory, request: &LfsAuthenticateRequest) -> Result<TokenEligibility, DirectoryError> {
    let Some(repository) = find_lfs_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())? else {
        return Ok(TokenEligibility::ContainerNotFound);
    };
    Ok(match resolve_actor(directory, &request.claimed_actor)? {
        Actor::User(user, _) => TokenEligibility::Eligible(LfsTokenHolder::User(user), repository),
        Actor::DeployKey(key, _) => TokenEligibility::Eligible(LfsTokenHolder::DeployKey(key), repository),
        Actor::Unknown | Actor::OrphanedKey(_) => TokenEligibility::ActorNotFound,
    })
}

/// Issues a token for one repository. `jti` is random.
pub fn issue_token(
    seed: &TokenSeed,
    holder: &LfsTokenHolder,
    container: &Repository,
    jti: &str,
    now: Time,
) -> Result<String, SigningError> {
    let issued = now.seconds();
    let claims = LfsClaims {
        data: LfsClaimsData { actor: holder.login(), container_gid: Some(global_id(container)) },
        jti: jti.to_owned(),
        iat: issued,
        nbf: issued - 5,
        exp: now.plus(TOKEN_LIFETIME).seconds(),
    };
    let key = EncodingKey::from_secret(&holder.signing_key(seed));
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| SigningError)
}

/// Verifies a token and decides what its holder may do in the repository now. `None`: nothing, for whatever reason. An upload needs the
/// right to push.
pub fn verify_token(
    directory: &dyn Directory,
    seed: &TokenSeed,
    request: &LfsVerifyRequest,
    now: Time,
) -> Result<Option<(LfsTokenHolder, LfsAccess)>, DirectoryError> {
    let Some(holder) = find_holder(directory, &request.login)? else { return Ok(None) };
    let Some(repository) = find_lfs_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())? else {
        return Ok(None);
    };
    if !is_token_valid(directory, seed, &holder, &request.token, &repository, now)? {
        return Ok(None);
    }
    let may = |action| -> Result<bool, DirectoryError> {
        let decision = decide(directory, &holder.allowed_request(&repository, action), now)?.decision;
        Ok(matches!(decision, AccessDecision::Granted(_)))
    };
    if may(Action::ReceivePack)? {
        return Ok(Some((holder, LfsAccess::Write)));
    }
    let reads = request.operation != Some(LfsOperation::Upload) && may(Action::UploadPack)?;
    Ok(reads.then_some((holder, LfsAccess::Read)))
}

/// Returns the URL of a repository over HTTP, `<web_url>/<path>.git`.
#[must_use]
pub fn repository_http_url(web_url: &str, repository: &Repository) -> String {
    format!("{}/{}.git", web_url.trim_end_matches('/'), repository.path())
}

/// Signing a token failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningError;

impl LfsTokenHolder {
    /// Returns the login that the token is presented with: the username, or `lfs+deploy-key-<id>`.
    #[must_use]
    pub fn login(&self) -> String {
        match self {
            Self::User(user) => user.username.to_string(),
            Self::DeployKey(key) => format!("{DEPLOY_KEY_LOGIN_PREFIX}{}", key.id),
        }
    }

    fn signing_key(&self, seed: &TokenSeed) -> [u8; 32] {
        let holder = match self {
            Self::User(user) => format!("user {} {} {}", user.id, state_label(user.state), expiry_label(user.password_expires_at)),
            Self::DeployKey(key) => format!("deploy key {} {}", key.id, key.key.fingerprint()),
        };
        // HMAC fills a short key up with zeros; a whole block cannot be of a wrong length.
        let mut block = [0; 64];
        block[..seed.len()].copy_from_slice(seed);
        let mut hmac = Hmac::<Sha256>::new(&block.into());
        hmac.update(holder.as_bytes());
        hmac.finalize().into_bytes().into()
    }

    fn allowed_request(&self, repository: &Repository, action: Action) -> AllowedRequest {
        let claimed_actor = match self {
            Self::User(user) => ClaimedActor::User(Some(user.id)),
            Self::DeployKey(key) => ClaimedActor::Key(Some(key.id)),
        };
        AllowedRequest {
            gl_repository: Some(repository.gl_repository()),
            ..AllowedRequest::new(claimed_actor, action, Protocol::Web, RefChanges::Absent)
        }
    }
}

/// The name of a state in a signing key. Fixed for good: another name would end every token of such users.
const fn state_label(state: UserState) -> &'static str {
    match state {
        UserState::Active => "Active",
        UserState::Blocked => "Blocked",
        UserState::PendingApproval => "PendingApproval",
        UserState::Deactivated => "Deactivated",
        UserState::Banned => "Banned",
        UserState::Unconfirmed => "Unconfirmed",
        UserState::Internal => "Internal",
    }
}

/// The end of a password in a signing key, in milliseconds since 1970. Fixed for good, as [`state_label`] is.
fn expiry_label(password_expires_at: Option<Time>) -> String {
    password_expires_at.map_or_else(|| "None".to_owned(), |end| format!("Some(Time({}))", end.milliseconds()))
}

#[derive(Serialize, Deserialize)]
struct LfsClaims {
    data: LfsClaimsData,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

#[derive(Serialize, Deserialize)]
struct LfsClaimsData {
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container_gid: Option<String>,
}

fn find_lfs_repository(
    directory: &dyn Directory,
    gl_repository: Option<&str>,
    project: Option<&str>,
) -> Result<Option<Repository>, DirectoryError> {
    let repository = find_repository(directory, gl_repository, project)?.repository;
    Ok(repository.filter(|repository| match repository {
        Repository::Project(project) | Repository::Wiki(project) | Repository::Design(project) => project.lfs_enabled,
        Repository::Snippet(..) => false,
    }))
}

/// Finds who presents a token with this login.
pub fn find_holder(directory: &dyn Directory, login: &str) -> Result<Option<LfsTokenHolder>, DirectoryError> {
    let Some(id) = login.strip_prefix(DEPLOY_KEY_LOGIN_PREFIX) else {
        return Ok(directory.user_by_username(login)?.map(LfsTokenHolder::User));
    };
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(match resolve_actor(directory, &ClaimedActor::Key(Some(id)))? {
        Actor::DeployKey(key, _) => Some(LfsTokenHolder::DeployKey(key)),
        _ => None,
    })
}

/// Returns whether the token is the holder's, in time, for this repository or for any, and the account may still use Git.
fn is_token_valid(
    directory: &dyn Directory,
    seed: &TokenSeed,
    holder: &LfsTokenHolder,
    token: &str,
    container: &Repository,
    now: Time,
) -> Result<bool, DirectoryError> {
    let Some(claims) = decode_claims(seed, holder, token) else { return Ok(false) };
    let in_time = claims.exp > now.seconds() - LEEWAY_SECONDS && claims.nbf <= now.seconds() + LEEWAY_SECONDS;
    let of_another_container = claims.data.container_gid.is_some_and(|named| named != global_id(container));
    if claims.data.actor != holder.login() || !in_time || of_another_container {
        return Ok(false);
    }
    Ok(match holder {
        LfsTokenHolder::User(user) => account::account_refusal(user, directory.settings()?.as_ref(), now).is_none(),
        LfsTokenHolder::DeployKey(_) => true,
    })
}

/// Returns the claims if the signature is good. Times are checked by the caller, who knows the time.
fn decode_claims(seed: &TokenSeed, holder: &LfsTokenHolder, token: &str) -> Option<LfsClaims> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let key = DecodingKey::from_secret(&holder.signing_key(seed));
    jsonwebtoken::decode::<LfsClaims>(token, &key, &validation).ok().map(|token| token.claims)
}

fn global_id(repository: &Repository) -> String {
    match repository {
        Repository::Project(project) => format!("gid://gitlab/Project/{}", project.id),
        Repository::Wiki(project) => format!("gid://gitlab/ProjectWiki/{}", project.id),
        Repository::Design(project) => format!("gid://gitlab/DesignManagement::Repository/{}", project.id),
        Repository::Snippet(snippet, _) => format!("gid://gitlab/Snippet/{}", snippet.id),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        LfsAccess, LfsClaims, LfsClaimsData, LfsTokenHolder, TokenEligibility, TokenSeed, check_eligibility, decode_claims, issue_token,
        repository_http_url, verify_token,
    };
    use crate::model::access_decision::Repository;
    use crate::model::access_request::{ClaimedActor, LfsAuthenticateRequest, LfsOperation, LfsVerifyRequest};
    use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
    use crate::model::time::Time;

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
        LfsAuthenticateRequest {
            claimed_actor,
            gl_repository: None,
            project: Some(path.to_owned()),
            operation: None,
            unsupported_param: None,
        }
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
            assert_eq!(
                repository_http_url("http://h/", &repository),
                format!("http://h/{}.git", super::super::repository::normalize_path(path))
            );
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
            assert!(
                last_bits_only || verified_access(&directory, &("dev".to_owned(), changed), "g/p", None, now()).is_none(),
                "byte {index}"
            );
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
        let with = |fields: &str| {
            sample_directory().with_lines([format!(r#"{{"kind":"user","id":1,"username":"dev","name":"D"{fields}}}"#).as_str()])
        };
        for (fields, access) in [
            (r#","password_expires_at":"2020-01-01T00:00:00Z""#, None),
            (r#","password_expires_at":"2020-01-01T00:00:00Z","ldap":true"#, Some(LfsAccess::Write)),
            (r#","ldap":true,"state":"blocked""#, None),
            (r#","state":"blocked""#, None),
            ("", Some(LfsAccess::Write)),
        ] {
            let directory = with(fields);
            assert_eq!(
                verified_access(&directory, &issued_token(&directory, user_claimant(1), "g/p"), "g/p", None, now()),
                access,
                "{fields}"
            );
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
}
