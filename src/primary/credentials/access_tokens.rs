//! Personal access tokens: `glpat-` and 20 characters, shown once, stored by their hash. (server.md 2.7)
//!
//! ```text
//! token/sha256/<hash>     the token, without its secret
//! token/of/<user><id>     its hash
//! last/token              the id of the last one that was created
//! ```

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::api::error::ApiError;
use crate::model::day::Day;
use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::text::Text;
use crate::model::time::Time;
use crate::primary::credentials::random;
use crate::primary::credentials::token_scope::TokenScope;
use crate::primary::user_data::{TOKEN_HASH_PREFIX, TOKEN_OWNER_PREFIX};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// What every token starts with.
const TOKEN_PREFIX: &str = "glpat-";
/// Most tokens that one user may have.
pub const MAX_TOKENS_PER_USER: usize = 1_000;
/// For how many days after its expiry a token is still stored.
const RETENTION_DAYS: u32 = 30;
/// How often the use of a token is stored.
const LAST_USED_INTERVAL: Duration = Duration::from_secs(600);

/// 15 bytes are 20 characters.
const RANDOM_BYTES: usize = 15;
const LAST_TOKEN_ID_KEY: &[u8] = b"last/token";

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Its id.
    pub id: Id,
    /// Its owner.
    pub user_id: Id,
    /// The name that its owner gave it.
    pub name: Text,
    /// What it permits.
    pub scopes: Vec<TokenScope>,
    /// When it was created.
    pub created_at: Time,
    /// The first day on which it is expired; `None`: it never expires.
    pub expires_at: Option<Day>,
    /// When it was last used, within ten minutes.
    pub last_used_at: Option<Time>,
}

/// What a new token is to be; the fields are those of [`AccessToken`].
#[derive(Clone, Debug)]
pub struct NewToken {
    pub user_id: Id,
    pub name: Text,
    pub scopes: Vec<TokenScope>,
    pub expires_at: Option<Day>,
}

impl AccessToken {
    /// Returns whether it has not expired.
    #[must_use]
    pub fn is_active(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|end| end > Day::from_time(now))
    }

    /// Returns whether it has one of these scopes.
    #[must_use]
    pub fn has_scope(&self, scopes: &[TokenScope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// What became of a token that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TokenCreation {
    /// It is created; its secret, which is shown once.
    Created(String),
    /// The user has too many.
    TooMany,
    /// Who asked for it may not have it any more: revoked, blocked or removed meanwhile.
    NotEntitled,
}

/// Creates a token; on disk when it returns. `is_entitled` says whether the directory still has who asked, at the moment of the write.
/// Blocks.
pub fn create_token(
    store: &PrimaryStore,
    new_token: NewToken,
    now: Time,
    is_entitled: impl FnOnce(&Generation) -> Result<bool, ApiError>,
) -> Result<TokenCreation, ApiError> {
    let secret = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::random_bytes::<RANDOM_BYTES>()?));
    let hash = Digest::of(secret.as_bytes());
    store.private_store().update::<_, ApiError>(|private_store| {
        if !is_entitled(&store.directory())? {
            return Ok((PrivateWrites::default(), TokenCreation::NotEntitled));
        }
        let (remaining, mut writes) = prepare_cleanup(private_store, new_token.user_id, now)?;
        if remaining >= MAX_TOKENS_PER_USER {
            return Ok((writes, TokenCreation::TooMany));
        }
        let id = next_token_id(private_store)?;
        let NewToken { user_id, name, scopes, expires_at } = new_token;
        let token = AccessToken { id, user_id, name, scopes, created_at: now, expires_at, last_used_at: None };
        writes.entries.push((LAST_TOKEN_ID_KEY.to_vec(), Some(id.bytes().to_vec())));
        writes.entries.push((hash_key(hash), Some(serde_json::to_vec(&token)?)));
        writes.entries.push((user_key(user_id, id), Some(hash.bytes().to_vec())));
        Ok((writes, TokenCreation::Created(secret)))
    })
}

/// Returns the token with this secret, expired or not. Blocks.
pub fn find_token(private_store: &PrivateStore, secret: &str) -> Result<Option<AccessToken>, StoreError> {
    if !secret.starts_with(TOKEN_PREFIX) {
        return Ok(None);
    }
    load(private_store, Digest::of(secret.as_bytes()))
}

/// Notes that the token with this secret was used, and returns it. Blocks.
pub fn record_use(private_store: &PrivateStore, secret: &str, now: Time) -> Result<Option<AccessToken>, ApiError> {
    let hash = Digest::of(secret.as_bytes());
    let is_due = |token: &AccessToken| token.last_used_at.is_none_or(|last| now.since(last) >= LAST_USED_INTERVAL);
    match load(private_store, hash)? {
        Some(token) if is_due(&token) => {}
        other => return Ok(other),
    }
    private_store.update::<_, ApiError>(|private_store| {
        let Some(token) = load(private_store, hash)? else { return Ok((PrivateWrites::default(), None)) };
        let token = AccessToken { last_used_at: token.last_used_at.max(Some(now)), ..token };
        Ok((PrivateWrites { entries: vec![(hash_key(hash), Some(serde_json::to_vec(&token)?))] }, Some(token)))
    })
}

/// Returns how many tokens are stored.
pub fn count_tokens(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(TOKEN_HASH_PREFIX)?.len())
}

/// Returns how many of a user's tokens stay, and the writes that remove those which expired long ago.
fn prepare_cleanup(private_store: &PrivateStore, user: Id, now: Time) -> Result<(usize, PrivateWrites), StoreError> {
    let mut remaining = 0;
    let mut removals = PrivateWrites::default();
    for (key, hash) in private_store.scan_prefix(&[TOKEN_OWNER_PREFIX, &user.bytes()].concat())? {
        let hash = <[u8; 32]>::try_from(hash)
            .map(|hash| Digest::from_bytes(&hash))
            .map_err(|_| StoreError("a token's hash is not one".to_owned()))?;
        let expired = load(private_store, hash)?
            .is_none_or(|token| token.expires_at.is_some_and(|end| end.plus(RETENTION_DAYS) <= Day::from_time(now)));
        if expired {
            removals.entries.extend([(key, None), (hash_key(hash), None)]);
        } else {
            remaining += 1;
        }
    }
    Ok((remaining, removals))
}

fn next_token_id(private_store: &PrivateStore) -> Result<Id, ApiError> {
    let last = private_store.read(LAST_TOKEN_ID_KEY)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map_or(0, u64::from_be_bytes);
    Id::try_from(last + 1).map_err(ApiError::internal)
}

fn load(private_store: &PrivateStore, hash: Digest) -> Result<Option<AccessToken>, StoreError> {
    let invalid = |error: serde_json::Error| StoreError(format!("a token that cannot be read: {error}"));
    private_store.read(&hash_key(hash))?.map(|bytes| serde_json::from_slice(&bytes).map_err(invalid)).transpose()
}

fn hash_key(hash: Digest) -> Vec<u8> {
    [TOKEN_HASH_PREFIX, &hash.bytes()].concat()
}

fn user_key(user: Id, id: Id) -> Vec<u8> {
    [TOKEN_OWNER_PREFIX, &user.bytes(), &id.bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{NewToken, TOKEN_PREFIX, TokenCreation, create_token};
    use crate::model::time::Time;
    use crate::primary::credentials::token_scope::TokenScope;
    use crate::store::generations::generation::StoreOptions;
    use crate::store::primary::primary_store::PrimaryStore;

    #[test]
    fn the_secret_of_a_token_is_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrimaryStore::open(folder.path(), StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 16 }).unwrap();
        let user_id = 1.try_into().unwrap();
        let new_token = NewToken { user_id, name: "t".try_into().unwrap(), scopes: vec![TokenScope::Api], expires_at: None };
        let TokenCreation::Created(secret) = create_token(&store, new_token, Time::EPOCH, |_| Ok(true)).unwrap() else { panic!() };
        let random = secret.strip_prefix(TOKEN_PREFIX).unwrap().as_bytes();
        let entries = store.private_store().scan_prefix(b"").unwrap();
        assert!(entries.iter().any(|(key, _)| key.starts_with(b"token/sha256/")));
        let contains = |bytes: &[u8]| bytes.windows(random.len()).any(|part| part == random);
        assert!(!entries.iter().any(|(key, value)| contains(key) || contains(value)));
    }
}
