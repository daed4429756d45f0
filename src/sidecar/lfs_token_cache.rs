//! Tokens for LFS that the primary gave, by who asked for what: given again until half of their life is over, and while the primary fails
//! until its end. (server.md 2.2, 4)
//!
//! They go with the primary's epoch: none is given in another, nor in the same one again after another.

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
    /// How often the primary's epoch had changed: in another epoch the same ids may be other people and other projects.
    pub epoch_changes: u64,
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

/// Until when a token is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// Until half of its life is over: the primary can be asked for another.
    Normal,
    /// Until its end: the primary does not answer.
    Outage,
}

/// Whether the rules, as they are known at this moment, say yes to somebody.
#[derive(Clone, PartialEq, Eq)]
pub enum HolderCheck {
    /// They do.
    Granted(TokenHolder),
    /// They say no.
    Denied,
    /// Nothing can be said: what is held is too old, or may not decide.
    Unknown,
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
    /// Returns a kept token, if it is this holder's and not too old for this use. One that is over, or that may not be given again, is
    /// removed.
    pub fn find(&self, request: &LfsAuthenticateRequest, holder: &HolderCheck, now: RequestTime, usage: TokenUse) -> Option<FoundToken> {
        let token = self.entries.get(request)?;
        let age = now.boot.since(token.received_at.boot);
        let left = (token.lifetime.saturating_sub(age)).as_secs();
        match holder {
            HolderCheck::Unknown => return None,
            HolderCheck::Granted(holder) if *holder == token.holder && left > 0 => {}
            HolderCheck::Granted(_) | HolderCheck::Denied => {
                self.entries.remove(request);
                return None;
            }
        }
        if usage == TokenUse::Normal && age >= token.lifetime / 2 {
            return None;
        }
        let mut body = token.body.clone();
        body.insert("expires_in".to_owned(), left.into());
        Some(FoundToken { body: Value::Object(body).to_string(), age })
    }

    /// Removes the token of a request that the primary has refused.
    pub fn remove_refused(&self, request: &LfsAuthenticateRequest) {
        self.removals.fetch_add(1, Ordering::SeqCst);
        self.entries.remove(request);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FoundToken, HolderCheck, LfsTokenCache, TokenHolder, TokenSelector, TokenUse};
    use crate::api::request::RequestTime;
    use crate::model::access_request::{ClaimedActor, LfsAuthenticateRequest};
    use crate::model::id::Id;
    use crate::model::memory_directory::{MemoryDirectory, ed25519_public_key};
    use crate::model::time::{BootTime, Time};
    use crate::rules::actor::resolve_actor;

    const BODY: &[u8] = br#"{"username":"zoe","lfs_token":"t","expires_in":100}"#;

    fn id(number: u64) -> Id {
        number.try_into().unwrap()
    }

    fn at(seconds: u64) -> RequestTime {
        RequestTime { wall: Time::EPOCH, boot: BootTime(Duration::from_secs(seconds)) }
    }

    /// A request by key 11, whose user is 7, or key 12, whose user is 8.
    fn request(key: u64, project: u64) -> LfsAuthenticateRequest {
        LfsAuthenticateRequest {
            claimed_actor: ClaimedActor::Key(Some(id(key))),
            gl_repository: Some(format!("project-{project}")),
            project: None,
            operation: None,
            unsupported_param: None,
        }
    }

    fn holder(key: u64, project: u64) -> TokenHolder {
        let user = |id: u64| format!(r#"{{"kind":"user","id":{id},"username":"user-{id}","name":"User"}}"#);
        let key_line = |id: u64, user: u64| {
            let key = ed25519_public_key(id);
            format!(r#"{{"kind":"key","id":{id},"user_id":{user},"title":"t","key":"{key}","created_at":"2026-01-01T00:00:00Z"}}"#)
        };
        let lines = [user(7), user(8), key_line(11, 7), key_line(12, 8)];
        let directory = MemoryDirectory::from_lines(lines.iter().map(String::as_str));
        let actor = resolve_actor(&directory, &ClaimedActor::Key(Some(id(key)))).unwrap();
        TokenHolder { actor, repository: format!("project-{project}"), project: Some(id(project)), epoch_changes: 1 }
    }

    fn cache() -> LfsTokenCache {
        let cache = LfsTokenCache::default();
        for (key, project) in [(11, 1), (11, 2), (12, 1)] {
            cache.insert(request(key, project), holder(key, project), BODY, at(0), cache.removals());
        }
        cache
    }

    fn find(cache: &LfsTokenCache, key: u64, holder: TokenHolder, seconds: u64, usage: TokenUse) -> Option<FoundToken> {
        cache.find(&request(key, 1), &HolderCheck::Granted(holder), at(seconds), usage)
    }

    fn is_cached(cache: &LfsTokenCache, key: u64, project: u64, seconds: u64) -> bool {
        cache.find(&request(key, project), &HolderCheck::Granted(holder(key, project)), at(seconds), TokenUse::Normal).is_some()
    }

    #[test]
    fn a_token_is_given_to_its_holder_until_half_of_its_life_is_over() {
        let cache = cache();
        let token = find(&cache, 11, holder(11, 1), 40, TokenUse::Normal).unwrap();
        assert!(token.body.contains(r#""expires_in":60"#), "{}", token.body);
        assert_eq!(token.age, Duration::from_secs(40));
        assert!(!is_cached(&cache, 11, 1, 50));
        assert!(find(&cache, 12, holder(11, 1), 1, TokenUse::Outage).is_none(), "a token is nobody else's");
        assert!(!is_cached(&cache, 12, 1, 1), "a token that may not be given is removed");
    }

    #[test]
    fn while_the_primary_fails_a_token_is_given_until_its_end() {
        let cache = cache();
        assert!(!is_cached(&cache, 11, 1, 60));
        let token = find(&cache, 11, holder(11, 1), 99, TokenUse::Outage).unwrap();
        assert!(token.body.contains(r#""expires_in":1"#), "{}", token.body);
        assert!(find(&cache, 11, holder(11, 1), 100, TokenUse::Outage).is_none());
    }

    #[test]
    fn a_token_waits_for_the_rules_to_be_known_and_goes_when_they_say_no() {
        let cache = cache();
        for (check, is_kept) in [(HolderCheck::Unknown, true), (HolderCheck::Denied, false)] {
            assert!(cache.find(&request(11, 1), &check, at(1), TokenUse::Outage).is_none());
            assert_eq!(is_cached(&cache, 11, 1, 1), is_kept);
        }
    }

    #[test]
    fn a_token_ends_with_the_epoch_in_which_it_was_given() {
        let cache = cache();
        let later = TokenHolder { epoch_changes: 2, ..holder(11, 1) };
        assert!(find(&cache, 11, later, 1, TokenUse::Normal).is_none());
        assert!(!is_cached(&cache, 11, 1, 1), "it is removed");
    }

    #[test]
    fn an_operator_removes_the_tokens_of_one_key_user_or_project_or_all_and_is_told_how_many() {
        let cases = [
            (TokenSelector::Key(id(11)), 2, [false, false, true]),
            (TokenSelector::User(id(8)), 1, [true, true, false]),
            (TokenSelector::Project(id(1)), 2, [false, true, false]),
            (TokenSelector::Project(id(3)), 0, [true, true, true]),
            (TokenSelector::All, 3, [false, false, false]),
        ];
        for (selector, removed, left) in cases {
            let cache = cache();
            assert_eq!(cache.remove(selector), removed, "{selector:?}");
            assert_eq!([(11, 1), (11, 2), (12, 1)].map(|(key, project)| is_cached(&cache, key, project, 1)), left, "{selector:?}");
        }
    }

    #[test]
    fn a_token_that_was_asked_for_before_a_removal_is_not_kept() {
        let cache = LfsTokenCache::default();
        let removals = cache.removals();
        assert_eq!(cache.remove(TokenSelector::Key(id(12))), 0);
        cache.insert(request(11, 1), holder(11, 1), BODY, at(0), removals);
        assert!(!is_cached(&cache, 11, 1, 1));
    }
}
