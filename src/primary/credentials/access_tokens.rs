//! Personal access tokens: `glpat-` and 20 characters, given to a person once, kept by their hash. (server.md 2.7)
//!
//! ```text
//! token/sha256/<hash>     the token, without what is shown
//! token/of/<user><id>     its hash
//! last/token              the number of the last one that was made
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
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// What every token begins with.
pub const TOKEN_PREFIX: &str = "glpat-";
/// Most tokens that one person may have.
pub const MAX_TOKENS_PER_USER: usize = 1_000;
/// For how many days after its end a token is still kept.
pub const RETENTION_DAYS: u32 = 30;
/// How often it is written that a token was used.
pub const LAST_USED_INTERVAL: Duration = Duration::from_secs(600);

/// 15 bytes are 20 characters.
const RANDOM_BYTES: usize = 15;
const HASH_KEY_PREFIX: &[u8] = b"token/sha256/";
const USER_KEY_PREFIX: &[u8] = b"token/of/";
const LAST_TOKEN_ID_KEY: &[u8] = b"last/token";

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Its number.
    pub id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// What that person called it.
    pub name: Text,
    /// What it is for.
    pub scopes: Vec<TokenScope>,
    /// When it was made.
    pub created_at: Time,
    /// The first day on which it is no longer good; `None`: good for ever.
    pub expires_at: Option<Day>,
    /// When it was last used, to ten minutes.
    pub last_used_at: Option<Time>,
}

/// What is asked for; the fields are those of a token.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub user_id: Id,
    pub name: Text,
    pub scopes: Vec<TokenScope>,
    pub expires_at: Option<Day>,
}

impl AccessToken {
    /// Whether it is still good.
    #[must_use]
    pub fn is_active(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|end| end > Day::from_time(now))
    }

    /// Whether it is for one of these.
    #[must_use]
    pub fn has_scope(&self, scopes: &[TokenScope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// Makes a token, on disk when it returns; gives what is shown once. `None` if the person has too many. Blocks.
pub fn create_token(private_store: &PrivateStore, wanted: NewToken, now: Time) -> Result<Option<String>, ApiError> {
    let shown = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::random_bytes::<RANDOM_BYTES>()?));
    let hash = Digest::of(shown.as_bytes());
    let made = private_store.update::<_, ApiError>(|private_store| {
        let (kept, mut writes) = prepare_cleanup(private_store, wanted.user_id, now)?;
        if kept >= MAX_TOKENS_PER_USER {
            return Ok((writes, false));
        }
        let id = next_token_id(private_store)?;
        let NewToken { user_id, name, scopes, expires_at } = wanted;
        let token = AccessToken { id, user_id, name, scopes, created_at: now, expires_at, last_used_at: None };
        writes.entries.push((LAST_TOKEN_ID_KEY.to_vec(), Some(id.bytes().to_vec())));
        writes.entries.push((hash_key(hash), Some(serde_json::to_vec(&token)?)));
        writes.entries.push((user_key(user_id, id), Some(hash.bytes().to_vec())));
        Ok((writes, true))
    })?;
    Ok(made.then_some(shown))
}

/// The token of which this is shown, good or not. Blocks.
pub fn find_token(private_store: &PrivateStore, shown: &str) -> Result<Option<AccessToken>, StoreError> {
    if !shown.starts_with(TOKEN_PREFIX) {
        return Ok(None);
    }
    load(private_store, Digest::of(shown.as_bytes()))
}

/// Notes that this token was used; gives it as it is kept then. Blocks.
pub fn record_use(private_store: &PrivateStore, shown: &str, now: Time) -> Result<Option<AccessToken>, ApiError> {
    let hash = Digest::of(shown.as_bytes());
    let due = |token: &AccessToken| token.last_used_at.is_none_or(|last| now.since(last) >= LAST_USED_INTERVAL);
    match load(private_store, hash)? {
        Some(token) if due(&token) => {}
        known => return Ok(known),
    }
    private_store.update::<_, ApiError>(|private_store| {
        let Some(token) = load(private_store, hash)? else { return Ok((PrivateWrites::default(), None)) };
        let token = AccessToken { last_used_at: token.last_used_at.max(Some(now)), ..token };
        Ok((PrivateWrites { entries: vec![(hash_key(hash), Some(serde_json::to_vec(&token)?))] }, Some(token)))
    })
}

/// How many are kept.
pub fn count_tokens(private_store: &PrivateStore) -> Result<usize, StoreError> {
    Ok(private_store.scan_prefix(HASH_KEY_PREFIX)?.len())
}

/// How many of a person's tokens stay, and what takes away those that ended long ago.
fn prepare_cleanup(private_store: &PrivateStore, user: Id, now: Time) -> Result<(usize, PrivateWrites), StoreError> {
    let mut kept = 0;
    let mut gone = PrivateWrites::default();
    for (place, hash) in private_store.scan_prefix(&[USER_KEY_PREFIX, &user.bytes()].concat())? {
        let hash = <[u8; 32]>::try_from(hash)
            .map(|hash| Digest::from_bytes(&hash))
            .map_err(|_| StoreError("a token's hash is not one".to_owned()))?;
        let ended = load(private_store, hash)?
            .is_none_or(|token| token.expires_at.is_some_and(|end| end.plus(RETENTION_DAYS) <= Day::from_time(now)));
        if ended {
            gone.entries.extend([(place, None), (hash_key(hash), None)]);
        } else {
            kept += 1;
        }
    }
    Ok((kept, gone))
}

fn next_token_id(private_store: &PrivateStore) -> Result<Id, ApiError> {
    let last = private_store.read(LAST_TOKEN_ID_KEY)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map_or(0, u64::from_be_bytes);
    Id::try_from(last + 1).map_err(ApiError::internal)
}

fn load(private_store: &PrivateStore, hash: Digest) -> Result<Option<AccessToken>, StoreError> {
    let unread = |error: serde_json::Error| StoreError(format!("a token that cannot be read: {error}"));
    private_store.read(&hash_key(hash))?.map(|bytes| serde_json::from_slice(&bytes).map_err(unread)).transpose()
}

fn hash_key(hash: Digest) -> Vec<u8> {
    [HASH_KEY_PREFIX, &hash.bytes()].concat()
}

fn user_key(user: Id, id: Id) -> Vec<u8> {
    [USER_KEY_PREFIX, &user.bytes(), &id.bytes()].concat()
}
