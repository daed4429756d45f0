//! Tokens for large files: who gets one, for what, and what one is good for when it is shown. (server.md 2.2, 4, 8.1)
//!
//! A token is a JWT in the contract's form. Its key is made of the primary's seed and of what the actor is at that moment, so that a
//! token ends when its actor is blocked or the password runs out, without anybody keeping a list. Getting one says nothing of rights:
//! they are asked for when it is shown.

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
use crate::model::record::{Key, User};
use crate::model::time::Time;
use crate::rules::account;
use crate::rules::actor::resolve_actor;
use crate::rules::allowed::decide;
use crate::rules::repository::find_repository;

/// How long a token is good for.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(7200);
/// How far clocks may differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// How the login of a deploy key begins; its id follows.
const DEPLOY_KEY_LOGIN_PREFIX: &str = "lfs+deploy-key-";

/// What tokens are made from: random, made with the primary's store, never printed.
pub type TokenSeed = [u8; 32];

/// Whom a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LfsTokenHolder {
    /// A person.
    User(std::sync::Arc<User>),
    /// A deploy key.
    DeployKey(std::sync::Arc<Key>),
}

/// Whether there is a token for this question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TokenEligibility {
    /// Yes: for whom, and of what.
    Eligible(LfsTokenHolder, Repository),
    /// There is no such container, or it has no large files: `404 Not Found`.
    ContainerNotFound,
    /// There is no such actor: `404 Not found`.
    ActorNotFound,
}

/// What a token that is believed is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LfsAccess {
    /// Downloads.
    Read,
    /// Downloads and uploads.
    Write,
}

/// Decides whether there is a token. The container is looked at before the actor; snippets have no large files, wikis do.
pub fn check_eligibility(directory: &dyn Directory, question: &LfsAuthenticateRequest) -> Result<TokenEligibility, DirectoryError> {
    let Some(repository) = find_lfs_repository(directory, question.gl_repository.as_deref(), question.project.as_deref())? else {
        return Ok(TokenEligibility::ContainerNotFound);
    };
    Ok(match resolve_actor(directory, &question.claimed_actor)? {
        Actor::User(user, _) => TokenEligibility::Eligible(LfsTokenHolder::User(user), repository),
        Actor::DeployKey(key, _) => TokenEligibility::Eligible(LfsTokenHolder::DeployKey(key), repository),
        Actor::Unknown | Actor::OrphanedKey(_) => TokenEligibility::ActorNotFound,
    })
}

/// Makes a token for one container. `jti` is random.
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

/// Judges a token that is shown: who shows it, and what that one may do in the container now. `None`: nothing, and no more is said. An
/// upload needs the right to push.
pub fn verify_token(
    directory: &dyn Directory,
    seed: &TokenSeed,
    proof: &LfsVerifyRequest,
    now: Time,
) -> Result<Option<(LfsTokenHolder, LfsAccess)>, DirectoryError> {
    let Some(holder) = find_holder(directory, &proof.login)? else { return Ok(None) };
    let Some(repository) = find_lfs_repository(directory, proof.gl_repository.as_deref(), proof.project.as_deref())? else {
        return Ok(None);
    };
    if !is_token_valid(directory, seed, &holder, &proof.token, Some(&repository), now)? {
        return Ok(None);
    }
    let may = |action| -> Result<bool, DirectoryError> {
        let verdict = decide(directory, &holder.allowed_request(&repository, action), now)?.decision;
        Ok(matches!(verdict, AccessDecision::Granted(_)))
    };
    if may(Action::ReceivePack)? {
        return Ok(Some((holder, LfsAccess::Write)));
    }
    let reads = proof.operation != Some(LfsOperation::Upload) && may(Action::UploadPack)?;
    Ok(reads.then_some((holder, LfsAccess::Read)))
}

/// Where large files of a repository are spoken of, as `<web_url>/<path>.git`.
#[must_use]
pub fn repository_http_url(web_url: &str, repository: &Repository) -> String {
    format!("{}/{}.git", web_url.trim_end_matches('/'), repository.path())
}

/// A token could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningError;

impl LfsTokenHolder {
    /// The name that the token is shown with: the username, or `lfs+deploy-key-<id>`.
    #[must_use]
    pub fn login(&self) -> String {
        match self {
            Self::User(user) => user.username.to_string(),
            Self::DeployKey(key) => format!("{DEPLOY_KEY_LOGIN_PREFIX}{}", key.id),
        }
    }

    fn signing_key(&self, seed: &TokenSeed) -> [u8; 32] {
        let what = match self {
            Self::User(user) => format!("user {} {:?} {:?}", user.id, user.state, user.password_expires_at),
            Self::DeployKey(key) => format!("deploy key {} {}", key.id, key.key.fingerprint()),
        };
        // HMAC fills a short key up with zeros; a whole block cannot be of a wrong length.
        let mut block = [0; 64];
        block[..seed.len()].copy_from_slice(seed);
        let mut hmac = Hmac::<Sha256>::new(&block.into());
        hmac.update(what.as_bytes());
        hmac.finalize().into_bytes().into()
    }

    fn allowed_request(&self, repository: &Repository, action: Action) -> AllowedRequest {
        let claimant = match self {
            Self::User(user) => ClaimedActor::User(Some(user.id)),
            Self::DeployKey(key) => ClaimedActor::Key(Some(key.id)),
        };
        AllowedRequest {
            gl_repository: Some(repository.gl_repository()),
            ..AllowedRequest::new(claimant, action, Protocol::Web, RefChanges::Absent)
        }
    }
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

fn find_holder(directory: &dyn Directory, login: &str) -> Result<Option<LfsTokenHolder>, DirectoryError> {
    let Some(id) = login.strip_prefix(DEPLOY_KEY_LOGIN_PREFIX) else {
        return Ok(directory.user_by_username(login)?.map(LfsTokenHolder::User));
    };
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(match resolve_actor(directory, &ClaimedActor::Key(Some(id)))? {
        Actor::DeployKey(key, _) => Some(LfsTokenHolder::DeployKey(key)),
        _ => None,
    })
}

/// Whether the token is the holder's, in time, of this container if both sides name one, and the account may still be used.
fn is_token_valid(
    directory: &dyn Directory,
    seed: &TokenSeed,
    holder: &LfsTokenHolder,
    token: &str,
    container: Option<&Repository>,
    now: Time,
) -> Result<bool, DirectoryError> {
    let Some(claims) = decode_claims(seed, holder, token) else { return Ok(false) };
    let in_time = claims.exp > now.seconds() - LEEWAY_SECONDS && claims.nbf <= now.seconds() + LEEWAY_SECONDS;
    let elsewhere = container.is_some_and(|container| claims.data.container_gid.is_some_and(|named| named != global_id(container)));
    if claims.data.actor != holder.login() || !in_time || elsewhere {
        return Ok(false);
    }
    Ok(match holder {
        LfsTokenHolder::User(user) => account::account_refusal(user, directory.settings()?.as_ref(), now).is_none(),
        LfsTokenHolder::DeployKey(_) => true,
    })
}

/// The claims, if the signature is good. Times are judged by the caller, who knows the time.
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
        let mut table = MemoryDirectory::from_lines([
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
        table = table.with_lines([deploy(8).as_str(), deploy(9).as_str()]);
        table
    }

    fn now() -> Time {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn later(seconds: i64) -> Time {
        Time::from_milliseconds(now().milliseconds() + seconds * 1000).unwrap()
    }

    fn authenticate_request(claimant: ClaimedActor, path: &str) -> LfsAuthenticateRequest {
        LfsAuthenticateRequest {
            claimed_actor: claimant,
            gl_repository: None,
            project: Some(path.to_owned()),
            operation: None,
            unsupported_param: None,
        }
    }

    fn user_claimant(id: u64) -> ClaimedActor {
        ClaimedActor::User(id.try_into().ok())
    }

    fn eligible_holder(table: &MemoryDirectory, claimant: ClaimedActor, path: &str) -> (LfsTokenHolder, Repository) {
        match check_eligibility(table, &authenticate_request(claimant, path)) {
            Ok(TokenEligibility::Eligible(holder, repository)) => (holder, repository),
            other => panic!("{other:?}"),
        }
    }

    fn issued_token(table: &MemoryDirectory, claimant: ClaimedActor, path: &str) -> (String, String) {
        let (holder, repository) = eligible_holder(table, claimant, path);
        (holder.login(), issue_token(&SEED, &holder, &repository, "j", now()).unwrap())
    }

    fn verified_access(
        table: &MemoryDirectory,
        (login, token): &(String, String),
        path: &str,
        operation: Option<LfsOperation>,
        now: Time,
    ) -> Option<LfsAccess> {
        let proof =
            LfsVerifyRequest { login: login.clone(), token: token.clone(), gl_repository: None, project: Some(path.to_owned()), operation };
        verify_token(table, &SEED, &proof, now).unwrap().map(|(_, access)| access)
    }

    /// D01 to D08, and server.md 8.1: which of the two is missing.
    #[test]
    fn a_token_needs_a_container_first_and_an_actor_then() {
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
        for claimant in [ClaimedActor::Unspecified, user_claimant(99), ClaimedActor::Key(None)] {
            assert_eq!(check_eligibility(&sample_directory(), &authenticate_request(claimant, "g/p")), Ok(TokenEligibility::ActorNotFound));
        }
    }

    /// E01 to E11.
    #[test]
    fn a_token_is_good_for_its_actor_and_container_only() {
        let house = sample_directory();
        let dev = issued_token(&house, user_claimant(1), "g/p");
        assert_eq!(dev.0, "dev");
        assert_eq!(verified_access(&house, &dev, "g/p", None, now()), Some(LfsAccess::Write));
        assert_eq!(verified_access(&house, &dev, "g/q", None, now()), None);
        assert_eq!(verified_access(&house, &("rep".to_owned(), dev.1.clone()), "g/p", None, now()), None);
        assert_eq!(verified_access(&house, &("dev".to_owned(), "junk".to_owned()), "g/p", None, now()), None);
        for index in 0..dev.1.len() {
            let mut changed = dev.1.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let last_bits_only = index + 1 == dev.1.len();
            assert!(last_bits_only || verified_access(&house, &("dev".to_owned(), changed), "g/p", None, now()).is_none(), "byte {index}");
        }
        let other_seed = issue_token(
            &[6; 32],
            &eligible_holder(&house, user_claimant(1), "g/p").0,
            &eligible_holder(&house, user_claimant(1), "g/p").1,
            "j",
            now(),
        )
        .unwrap();
        assert_eq!(verified_access(&house, &("dev".to_owned(), other_seed), "g/p", None, now()), None);
    }

    /// E10: a token that names no container is good for any.
    #[test]
    fn a_token_without_a_container_is_good_for_each() {
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
        let house = sample_directory();
        let dev = issued_token(&house, user_claimant(1), "g/p");
        assert_eq!(verified_access(&house, &dev, "g/p", None, later(7200 + 59)), Some(LfsAccess::Write));
        assert_eq!(verified_access(&house, &dev, "g/p", None, later(7200 + 60)), None);
        assert_eq!(verified_access(&house, &dev, "g/p", None, later(-65)), Some(LfsAccess::Write));
        assert_eq!(verified_access(&house, &dev, "g/p", None, later(-66)), None);
        let (holder, _) = eligible_holder(&house, user_claimant(1), "g/p");
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
            let table = with(fields);
            assert_eq!(verified_access(&table, &issued_token(&table, user_claimant(1), "g/p"), "g/p", None, now()), access, "{fields}");
        }
        let before = issued_token(&sample_directory(), user_claimant(1), "g/p");
        assert_eq!(verified_access(&with(r#","password_expires_at":"2030-01-01T00:00:00Z""#), &before, "g/p", None, now()), None);
    }

    #[test]
    fn a_token_gives_what_the_rules_give_when_it_is_shown() {
        let house = sample_directory();
        let key = |id: u64| ClaimedActor::Key(id.try_into().ok());
        for (claimant, login, access) in [
            (user_claimant(1), "dev", Some(LfsAccess::Write)),
            (user_claimant(2), "rep", Some(LfsAccess::Read)),
            (user_claimant(3), "out", None),
            (key(8), "lfs+deploy-key-8", Some(LfsAccess::Write)),
            (key(9), "lfs+deploy-key-9", Some(LfsAccess::Read)),
        ] {
            let held = issued_token(&house, claimant, "g/p");
            assert_eq!(held.0, login);
            assert_eq!(verified_access(&house, &held, "g/p", Some(LfsOperation::Download), now()), access);
            let uploads = access.filter(|access| *access == LfsAccess::Write);
            assert_eq!(verified_access(&house, &held, "g/p", Some(LfsOperation::Upload), now()), uploads);
        }
    }
}
