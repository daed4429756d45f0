//! The token for Git LFS itself: a JWT in the contract's form, signed for its holder. (server.md 4)
//!
//! Its signing key is derived from the primary's seed and the holder's present state, so that a token becomes invalid when its holder is
//! blocked or the password expires, without a list of tokens.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::model::access_decision::Repository;
use crate::model::enums::UserState;
use crate::model::record::{Key, User};
use crate::model::time::Time;

/// How long a token is valid.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(7200);
/// How far clocks may differ, in seconds.
const LEEWAY_SECONDS: i64 = 60;
/// What the login of a deploy key begins with, before its id.
pub(super) const DEPLOY_KEY_LOGIN_PREFIX: &str = "lfs+deploy-key-";

/// The random bytes that signing keys are derived from: made with the primary's store, never printed.
pub type TokenSeed = [u8; 32];

/// The actor that a token is issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LfsTokenHolder {
    /// A person.
    User(Arc<User>),
    /// A deploy key.
    DeployKey(Arc<Key>),
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

    pub(super) fn signing_key(&self, seed: &TokenSeed) -> [u8; 32] {
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
}

/// Returns whether the token is the holder's, in time, and for this repository or for any.
pub(super) fn is_token_of(seed: &TokenSeed, holder: &LfsTokenHolder, token: &str, container: &Repository, now: Time) -> bool {
    let Some(claims) = decode_claims(seed, holder, token) else { return false };
    let in_time = claims.exp > now.seconds() - LEEWAY_SECONDS && claims.nbf <= now.seconds() + LEEWAY_SECONDS;
    let of_another_container = claims.data.container_gid.is_some_and(|named| named != global_id(container));
    claims.data.actor == holder.login() && in_time && !of_another_container
}

/// Returns the claims if the signature is good. Times are checked by the caller, who knows the time.
pub(super) fn decode_claims(seed: &TokenSeed, holder: &LfsTokenHolder, token: &str) -> Option<LfsClaims> {
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
pub(super) struct LfsClaims {
    pub(super) data: LfsClaimsData,
    pub(super) jti: String,
    pub(super) iat: i64,
    pub(super) nbf: i64,
    pub(super) exp: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LfsClaimsData {
    pub(super) actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) container_gid: Option<String>,
}
