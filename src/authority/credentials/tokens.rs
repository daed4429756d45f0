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

use crate::authority::credentials::random;
use crate::authority::credentials::scope::Scope;
use crate::authority::refusal::Refusal;
use crate::model::day::Day;
use crate::model::digest::Digest;
use crate::model::id::Id;
use crate::model::text::Text;
use crate::model::time::Time;
use crate::store::generation::Damage;
use crate::store::ledger::{Ledger, Writes};

/// What every token begins with.
pub const PREFIX: &str = "glpat-";
/// Most tokens that one person may have.
pub const TOKENS: usize = 1_000;
/// For how many days after its end a token is still kept.
pub const KEPT_DAYS: u32 = 30;
/// How often it is written that a token was used.
pub const USED_EVERY: Duration = Duration::from_secs(600);

/// 15 bytes are 20 characters.
const RANDOM_BYTES: usize = 15;
const BY_HASH: &[u8] = b"token/sha256/";
const BY_USER: &[u8] = b"token/of/";
const LAST_ID: &[u8] = b"last/token";

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its number.
    pub id: Id,
    /// Whose it is.
    pub user_id: Id,
    /// What that person called it.
    pub name: Text,
    /// What it is for.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Time,
    /// The first day on which it is no longer good; `None`: good for ever.
    pub expires_at: Option<Day>,
    /// When it was last used, to ten minutes.
    pub last_used_at: Option<Time>,
}

/// What is asked for; the fields are those of a token.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub user_id: Id,
    pub name: Text,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Day>,
}

impl Token {
    /// Whether it is still good.
    #[must_use]
    pub fn active(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|end| end > Day::of(now))
    }

    /// Whether it is for one of these.
    #[must_use]
    pub fn is_for(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// Makes a token, on disk when it returns; gives what is shown once. `None` if the person has too many. Blocks.
pub fn make(ledger: &Ledger, wanted: Wanted, now: Time) -> Result<Option<String>, Refusal> {
    let shown = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::bytes::<RANDOM_BYTES>()?));
    let hash = Digest::of(shown.as_bytes());
    let made = ledger.update::<_, Refusal>(|ledger| {
        let (kept, mut writes) = outlived(ledger, wanted.user_id, now)?;
        if kept >= TOKENS {
            return Ok((writes, false));
        }
        let id = next_id(ledger)?;
        let Wanted { user_id, name, scopes, expires_at } = wanted;
        let token = Token { id, user_id, name, scopes, created_at: now, expires_at, last_used_at: None };
        writes.entries.push((LAST_ID.to_vec(), Some(id.bytes().to_vec())));
        writes.entries.push((by_hash(hash), Some(serde_json::to_vec(&token)?)));
        writes.entries.push((by_user(user_id, id), Some(hash.bytes().to_vec())));
        Ok((writes, true))
    })?;
    Ok(made.then_some(shown))
}

/// The token of which this is shown, good or not. Blocks.
pub fn find(ledger: &Ledger, shown: &str) -> Result<Option<Token>, Damage> {
    if !shown.starts_with(PREFIX) {
        return Ok(None);
    }
    read(ledger, Digest::of(shown.as_bytes()))
}

/// Notes that this token was used; gives it as it is kept then. Blocks.
pub fn note_use(ledger: &Ledger, shown: &str, now: Time) -> Result<Option<Token>, Refusal> {
    let hash = Digest::of(shown.as_bytes());
    let due = |token: &Token| token.last_used_at.is_none_or(|last| now.since(last) >= USED_EVERY);
    match read(ledger, hash)? {
        Some(token) if due(&token) => {}
        known => return Ok(known),
    }
    ledger.update::<_, Refusal>(|ledger| {
        let Some(token) = read(ledger, hash)? else { return Ok((Writes::default(), None)) };
        let token = Token { last_used_at: token.last_used_at.max(Some(now)), ..token };
        Ok((Writes { entries: vec![(by_hash(hash), Some(serde_json::to_vec(&token)?))] }, Some(token)))
    })
}

/// How many are kept.
pub fn count(ledger: &Ledger) -> Result<usize, Damage> {
    Ok(ledger.scan(BY_HASH)?.len())
}

/// How many of a person's tokens stay, and what takes away those that ended long ago.
fn outlived(ledger: &Ledger, user: Id, now: Time) -> Result<(usize, Writes), Damage> {
    let mut kept = 0;
    let mut gone = Writes::default();
    for (place, hash) in ledger.scan(&[BY_USER, &user.bytes()].concat())? {
        let hash =
            <[u8; 32]>::try_from(hash).map(|hash| Digest::from_bytes(&hash)).map_err(|_| Damage("a token's hash is not one".to_owned()))?;
        let ended = read(ledger, hash)?.is_none_or(|token| token.expires_at.is_some_and(|end| end.plus(KEPT_DAYS) <= Day::of(now)));
        if ended {
            gone.entries.extend([(place, None), (by_hash(hash), None)]);
        } else {
            kept += 1;
        }
    }
    Ok((kept, gone))
}

fn next_id(ledger: &Ledger) -> Result<Id, Refusal> {
    let last = ledger.read(LAST_ID)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map_or(0, u64::from_be_bytes);
    Id::try_from(last + 1).map_err(Refusal::fault)
}

fn read(ledger: &Ledger, hash: Digest) -> Result<Option<Token>, Damage> {
    let unread = |error: serde_json::Error| Damage(format!("a token that cannot be read: {error}"));
    ledger.read(&by_hash(hash))?.map(|bytes| serde_json::from_slice(&bytes).map_err(unread)).transpose()
}

fn by_hash(hash: Digest) -> Vec<u8> {
    [BY_HASH, &hash.bytes()].concat()
}

fn by_user(user: Id, id: Id) -> Vec<u8> {
    [BY_USER, &user.bytes(), &id.bytes()].concat()
}
