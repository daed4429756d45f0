//! Tokens for LFS that the primary gave, by who asked for what, until half of their life is over. (server.md 2.2, 4)

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use crate::api::request::RequestTime;
use crate::model::access_decision::Actor;
use crate::model::access_request::LfsAuthenticateRequest;
use crate::model::id::Id;

/// How many tokens are kept.
const MAX_CACHED_TOKENS: usize = 4096;

/// Keeps tokens in memory.
pub struct LfsTokenCache {
    entries: Cache<LfsAuthenticateRequest, Arc<CachedToken>>,
    /// How often tokens were removed by an operator: one that is being asked for meanwhile is not kept.
    removals: AtomicU64,
}

struct CachedToken {
    body: Map<String, Value>,
    holder: TokenHolder,
    lifetime: Duration,
    received_at: RequestTime,
}

/// Whose a token is, and of what: the names in a request may stand for somebody else a moment later.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHolder {
    /// Who asked.
    pub actor: Actor,
    /// The `gl_repository`.
    pub repository: String,
    /// The project that the repository is of.
    pub project: Option<Id>,
}

/// Which tokens are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSelector {
    /// All of them.
    All,
    /// Those that a key was given, its user's or a deploy key's.
    Key(Id),
    /// Those that a user was given, by any key.
    User(Id),
    /// Those of a project's repositories.
    Project(Id),
}

/// A token's body with what is left of its life, and its age.
pub struct FoundToken {
    /// The JSON to answer with.
    pub body: String,
    /// The time since the primary gave it.
    pub age: Duration,
}

impl Default for LfsTokenCache {
    fn default() -> Self {
        Self { entries: Cache::new(MAX_CACHED_TOKENS), removals: AtomicU64::new(0) }
    }
}

impl LfsTokenCache {
    /// Returns a kept token, if it is this holder's and not half over. One that may not be given again is removed.
    pub fn find(&self, request: &LfsAuthenticateRequest, holder: Option<&TokenHolder>, now: RequestTime) -> Option<FoundToken> {
        let token = self.entries.get(request)?;
        let age = now.boot.since(token.received_at.boot);
        if age >= token.lifetime / 2 || holder != Some(&token.holder) {
            self.entries.remove(request);
            return None;
        }
        let mut body = token.body.clone();
        body.insert("expires_in".to_owned(), (token.lifetime - age).as_secs().into());
        Some(FoundToken { body: Value::Object(body).to_string(), age })
    }

    /// Keeps the token of a response, unless tokens were removed since `removals` was read.
    pub fn insert(&self, request: LfsAuthenticateRequest, holder: TokenHolder, body: &[u8], received_at: RequestTime, removals: u64) {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return };
        let Some(seconds) = body.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 1) else { return };
        if removals == self.removals() {
            let lifetime = Duration::from_secs(seconds);
            self.entries.insert(request, Arc::new(CachedToken { body, holder, lifetime, received_at }));
        }
    }

    /// Returns how often tokens were removed.
    pub fn removals(&self) -> u64 {
        self.removals.load(Ordering::SeqCst)
    }

    /// Removes the selected tokens, and whatever is being asked for; returns how many were kept.
    pub fn remove(&self, selector: TokenSelector) -> usize {
        self.removals.fetch_add(1, Ordering::SeqCst);
        let removed = AtomicUsize::new(0);
        self.entries.retain(|_, token| {
            let selected = selector.selects(&token.holder);
            removed.fetch_add(usize::from(selected), Ordering::Relaxed);
            !selected
        });
        removed.into_inner()
    }
}

impl TokenSelector {
    fn selects(self, holder: &TokenHolder) -> bool {
        let (user, key) = match &holder.actor {
            Actor::User(user, key) => (Some(user.id), key.as_ref().map(|key| key.id)),
            Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => (None, Some(key.id)),
            Actor::Unknown => (None, None),
        };
        match self {
            Self::All => true,
            Self::Key(id) => key == Some(id),
            Self::User(id) => user == Some(id),
            Self::Project(id) => holder.project == Some(id),
        }
    }
}
