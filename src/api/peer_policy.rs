//! What a process at the other end of a Unix socket may ask, by its kernel credentials.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::unistd::{Gid, Uid, User, getgrouplist};

use crate::model::clock;
use crate::model::time::BootTime;
use crate::net::peer::Peer;

/// What a peer may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerScope {
    /// `authorized_keys` and `authorized_certs` without a token.
    Keys,
    /// The internal API, with a token.
    Shell,
    /// The metrics.
    Metrics,
    /// The operator's commands.
    Admin,
}

impl PeerScope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Keys, Self::Shell, Self::Metrics, Self::Admin];
    /// What whoever can open the socket may ask, where nothing else is configured.
    pub const DEFAULT: [Self; 2] = [Self::Keys, Self::Shell];
}

/// One rule: who has which scopes, beside the default ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRule {
    /// Whom it is for.
    pub matcher: PeerMatcher,
    /// What they may ask.
    pub scopes: Vec<PeerScope>,
}

/// Whom a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMatcher {
    /// A user by number.
    User(u32),
    /// Members of a group, primary or supplementary.
    Group(u32),
}

/// How long a look-up of a user's groups counts before it is repeated, in the background.
pub const GROUP_CACHE_TTL: Duration = Duration::from_secs(60);
/// How many users' groups are cached.
pub const GROUP_CACHE_USERS: usize = 1024;

/// The rules of one socket.
#[derive(Clone)]
pub struct PeerPolicy {
    own_uid: u32,
    default_scopes: Vec<PeerScope>,
    rules: Vec<PeerRule>,
    group_cache: Arc<GroupCache>,
}

impl PeerPolicy {
    /// Returns a policy. Root and `own_uid` have every scope, always. Everybody who can open the socket has `default_scopes`; a rule adds
    /// scopes to one user or group and takes none from anybody.
    #[must_use]
    pub fn new(own_uid: u32, default_scopes: Vec<PeerScope>, rules: Vec<PeerRule>) -> Self {
        Self::with_lookup(own_uid, default_scopes, rules, lookup_groups)
    }

    fn with_lookup(
        own_uid: u32,
        default_scopes: Vec<PeerScope>,
        rules: Vec<PeerRule>,
        lookup: impl Fn(u32) -> Vec<u32> + Send + Sync + 'static,
    ) -> Self {
        let group_cache = Arc::new(GroupCache { lookup: Box::new(lookup), entries: Mutex::default() });
        Self { own_uid, default_scopes, rules, group_cache }
    }

    /// Returns whether this peer has this scope. A peer over TCP has `shell` only.
    ///
    /// Blocks only when a rule names a group, the peer's primary group is not it, and this uid was not looked up before (or is no longer cached).
    /// After [`GROUP_CACHE_TTL`] the groups are looked up again on a thread of its own, and the old ones count until that ends.
    #[must_use]
    pub fn allows(&self, peer: &Peer, scope: PeerScope) -> bool {
        self.allows_at(peer, scope, clock::boot_time())
    }

    fn allows_at(&self, peer: &Peer, scope: PeerScope, now: BootTime) -> bool {
        let Peer::Unix { uid, gid } = *peer else {
            return scope == PeerScope::Shell;
        };
        if uid == 0 || uid == self.own_uid || self.default_scopes.contains(&scope) {
            return true;
        }
        let matchers: Vec<PeerMatcher> = self.rules.iter().filter(|rule| rule.scopes.contains(&scope)).map(|rule| rule.matcher).collect();
        matchers.iter().any(|matcher| *matcher == PeerMatcher::User(uid) || *matcher == PeerMatcher::Group(gid))
            || self.is_group_member(&matchers, uid, now)
    }

    fn is_group_member(&self, matchers: &[PeerMatcher], uid: u32, now: BootTime) -> bool {
        if !matchers.iter().any(|matcher| matches!(matcher, PeerMatcher::Group(_))) {
            return false;
        }
        let groups = self.group_cache.groups_of_user(uid, now);
        matchers.iter().any(|matcher| matches!(matcher, PeerMatcher::Group(group) if groups.contains(group)))
    }
}

/// Caches which groups users are in. The system's user database may be on another host, so a look-up may be slow.
struct GroupCache {
    lookup: Box<dyn Fn(u32) -> Vec<u32> + Send + Sync>,
    entries: Mutex<HashMap<u32, CachedGroups>>,
}

struct CachedGroups {
    groups: Arc<[u32]>,
    looked_up_at: BootTime,
    /// They are being looked up again.
    refreshing: bool,
}

impl GroupCache {
    fn groups_of_user(self: &Arc<Self>, uid: u32, now: BootTime) -> Arc<[u32]> {
        if let Some(cached) = self.entries().get_mut(&uid) {
            if now.since(cached.looked_up_at) >= GROUP_CACHE_TTL && !cached.refreshing {
                cached.refreshing = self.refresh(uid, now);
            }
            return Arc::clone(&cached.groups);
        }
        self.lookup(uid, now)
    }

    fn lookup(&self, uid: u32, now: BootTime) -> Arc<[u32]> {
        let groups: Arc<[u32]> = (self.lookup)(uid).into();
        let mut entries = self.entries();
        if entries.len() >= GROUP_CACHE_USERS && !entries.contains_key(&uid) {
            entries.retain(|_, cached| now.since(cached.looked_up_at) < GROUP_CACHE_TTL);
            if entries.len() >= GROUP_CACHE_USERS {
                entries.clear();
            }
        }
        entries.insert(uid, CachedGroups { groups: Arc::clone(&groups), looked_up_at: now, refreshing: false });
        groups
    }

    /// Starts a look-up in the background; returns whether that was possible.
    fn refresh(self: &Arc<Self>, uid: u32, now: BootTime) -> bool {
        let groups = Arc::clone(self);
        thread::Builder::new().name("groups".to_owned()).spawn(move || drop(groups.lookup(uid, now))).is_ok()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<u32, CachedGroups>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns all groups of a user by the system's user database; none for a user that it does not have.
fn lookup_groups(uid: u32) -> Vec<u32> {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else {
        return Vec::new();
    };
    let Ok(name) = CString::new(user.name) else {
        return Vec::new();
    };
    getgrouplist(&name, user.gid).map(|groups| groups.into_iter().map(Gid::as_raw).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::{GROUP_CACHE_TTL, GROUP_CACHE_USERS, PeerMatcher, PeerPolicy, PeerRule, PeerScope, lookup_groups};
    use crate::model::time::BootTime;
    use crate::net::peer::Peer;

    const ALL: [PeerScope; 4] = PeerScope::ALL;
    const DEFAULT: [PeerScope; 2] = PeerScope::DEFAULT;
    const NONE: [PeerScope; 0] = [];
    const OWN: u32 = 500;
    const NOW: BootTime = BootTime(Duration::from_secs(1000));

    fn unix_peer(uid: u32, gid: u32) -> Peer {
        Peer::Unix { uid, gid }
    }

    fn rules() -> Vec<PeerRule> {
        vec![
            PeerRule { matcher: PeerMatcher::User(998), scopes: vec![PeerScope::Keys, PeerScope::Shell] },
            PeerRule { matcher: PeerMatcher::Group(70), scopes: vec![PeerScope::Metrics] },
        ]
    }

    /// Whoever has the uid n is in the group n + 1 too.
    fn policy(default_scopes: &[PeerScope], rules: Vec<PeerRule>) -> PeerPolicy {
        PeerPolicy::with_lookup(OWN, default_scopes.to_vec(), rules, |uid| vec![uid + 1])
    }

    fn allowed_scopes(scopes: &PeerPolicy, peer: &Peer) -> Vec<PeerScope> {
        ALL.into_iter().filter(|scope| scopes.allows_at(peer, *scope, NOW)).collect()
    }

    #[test]
    fn root_and_we_ourselves_have_everything_always() {
        for scopes in [policy(&DEFAULT, Vec::new()), policy(&NONE, Vec::new()), policy(&NONE, rules())] {
            for uid in [0, OWN] {
                assert_eq!(allowed_scopes(&scopes, &unix_peer(uid, 9)), ALL);
            }
        }
    }

    #[test]
    fn a_rule_adds_to_the_default_and_takes_nothing_from_anybody() {
        let metrics = || vec![PeerRule { matcher: PeerMatcher::User(998), scopes: vec![PeerScope::Metrics] }];
        assert_eq!(allowed_scopes(&policy(&DEFAULT, Vec::new()), &unix_peer(1000, 1000)), DEFAULT);
        assert_eq!(allowed_scopes(&policy(&DEFAULT, metrics()), &unix_peer(1000, 1000)), DEFAULT);
        assert_eq!(
            allowed_scopes(&policy(&DEFAULT, metrics()), &unix_peer(998, 1000)),
            [PeerScope::Keys, PeerScope::Shell, PeerScope::Metrics]
        );
    }

    #[test]
    fn without_a_default_only_those_who_are_named_have_anything() {
        assert_eq!(allowed_scopes(&policy(&NONE, Vec::new()), &unix_peer(1000, 1000)), NONE);
        assert_eq!(allowed_scopes(&policy(&NONE, rules()), &unix_peer(1000, 1000)), NONE);
        assert_eq!(allowed_scopes(&policy(&NONE, rules()), &unix_peer(998, 1000)), [PeerScope::Keys, PeerScope::Shell]);
        assert_eq!(allowed_scopes(&policy(&[PeerScope::Shell], rules()), &unix_peer(1000, 1000)), [PeerScope::Shell]);
    }

    #[test]
    fn a_group_counts_as_primary_and_as_supplementary_and_scopes_add_up() {
        let scopes = policy(&NONE, rules());
        assert_eq!(allowed_scopes(&scopes, &unix_peer(1000, 70)), [PeerScope::Metrics]);
        assert_eq!(allowed_scopes(&scopes, &unix_peer(69, 1000)), [PeerScope::Metrics]);
        assert_eq!(allowed_scopes(&scopes, &unix_peer(998, 70)), [PeerScope::Keys, PeerScope::Shell, PeerScope::Metrics]);
        assert_eq!(allowed_scopes(&scopes, &unix_peer(70, 1000)), NONE, "a uid is not a gid");
    }

    #[test]
    fn over_tcp_there_is_only_the_shell() {
        let peer = Peer::Tcp(([127, 0, 0, 1], 9).into());
        for scopes in [policy(&DEFAULT, Vec::new()), policy(&NONE, rules())] {
            assert_eq!(allowed_scopes(&scopes, &peer), [PeerScope::Shell]);
        }
    }

    #[test]
    fn groups_are_looked_up_once_and_again_in_the_background_when_they_are_old() {
        let (entered, enters) = mpsc::channel();
        let (release, wait) = mpsc::channel::<Vec<u32>>();
        let wait = std::sync::Mutex::new(wait);
        let look_up = move |uid: u32| {
            entered.send(uid).unwrap();
            wait.lock().unwrap().recv().unwrap()
        };
        let scopes = PeerPolicy::with_lookup(OWN, Vec::new(), rules(), look_up);
        let asks = |now| scopes.allows_at(&unix_peer(1000, 1000), PeerScope::Metrics, now);
        release.send(vec![70]).unwrap();
        assert!(asks(NOW) && asks(NOW));
        assert_eq!((enters.recv(), enters.try_recv()), (Ok(1000), Err(mpsc::TryRecvError::Empty)));
        let old = BootTime(NOW.0 + GROUP_CACHE_TTL);
        assert!(asks(old) && asks(old), "what was known counts while it is looked up again");
        assert_eq!(enters.recv(), Ok(1000));
        release.send(vec![71]).unwrap();
        while asks(old) {
            std::thread::yield_now();
        }
        assert!(enters.try_recv().is_err(), "one renewal, not one an asker");
    }

    #[test]
    fn without_a_rule_on_groups_nobody_is_looked_up_and_with_one_not_more_than_are_kept() {
        let looked_up = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looked_up);
        let look_up = move |uid: u32| {
            counted.fetch_add(1, Ordering::Relaxed);
            vec![uid]
        };
        let scopes = PeerPolicy::with_lookup(OWN, Vec::new(), rules(), look_up);
        assert!(!scopes.allows_at(&unix_peer(1000, 1000), PeerScope::Keys, NOW));
        assert_eq!(looked_up.load(Ordering::Relaxed), 0);
        for uid in 0..u32::try_from(3 * GROUP_CACHE_USERS).unwrap() {
            scopes.allows_at(&unix_peer(10_000 + uid, 1), PeerScope::Metrics, NOW);
            assert!(scopes.group_cache.entries().len() <= GROUP_CACHE_USERS);
        }
    }

    #[test]
    fn the_system_knows_the_groups_of_root_and_nothing_of_a_stranger() {
        assert!(lookup_groups(0).contains(&0));
        assert!(lookup_groups(u32::MAX - 7).is_empty());
    }
}
