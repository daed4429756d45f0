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

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `authorized_keys` and `authorized_certs` without a token.
    Keys,
    /// The internal API, with a token.
    Shell,
    /// The metrics.
    Metrics,
    /// The operator's commands.
    Admin,
}

/// One rule: who has which scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who.
    pub who: Who,
    /// What they may ask.
    pub scopes: Vec<Scope>,
}

/// Whom a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user by number.
    User(u32),
    /// Members of a group, primary or supplementary.
    Group(u32),
}

/// How long a look-up of somebody's groups counts before it is made again, in the background.
pub const GROUPS_TIME: Duration = Duration::from_secs(60);
/// Of how many users the groups are kept.
pub const GROUPS_KEPT: usize = 1024;

/// The rules of one socket.
pub struct Scopes {
    own_uid: u32,
    rules: Vec<Rule>,
    groups: Arc<Groups>,
}

impl Scopes {
    /// Root and `own_uid` have every scope, always. Without rules everybody who can open the socket has `keys` and `shell`; with rules
    /// everybody else has none.
    #[must_use]
    pub fn new(own_uid: u32, rules: Vec<Rule>) -> Self {
        Self::with(own_uid, rules, groups_of)
    }

    fn with(own_uid: u32, rules: Vec<Rule>, look_up: impl Fn(u32) -> Vec<u32> + Send + Sync + 'static) -> Self {
        Self { own_uid, rules, groups: Arc::new(Groups { look_up: Box::new(look_up), kept: Mutex::default() }) }
    }

    /// Whether this peer has this scope. A peer over TCP has `shell` only.
    ///
    /// Blocks only when a rule names a group, the peer's primary group is not it, and this uid was not looked up before (or not kept).
    /// After [`GROUPS_TIME`] the groups are looked up again on a thread of its own, and what was known counts until that ends.
    #[must_use]
    pub fn allow(&self, peer: &Peer, scope: Scope) -> bool {
        self.allow_at(peer, scope, clock::boot())
    }

    fn allow_at(&self, peer: &Peer, scope: Scope, now: BootTime) -> bool {
        let Peer::Unix { uid, gid } = *peer else {
            return scope == Scope::Shell;
        };
        if uid == 0 || uid == self.own_uid {
            return true;
        }
        if self.rules.is_empty() {
            return matches!(scope, Scope::Keys | Scope::Shell);
        }
        let whom: Vec<Who> = self.rules.iter().filter(|rule| rule.scopes.contains(&scope)).map(|rule| rule.who).collect();
        whom.iter().any(|who| *who == Who::User(uid) || *who == Who::Group(gid)) || self.in_one_of(&whom, uid, now)
    }

    fn in_one_of(&self, whom: &[Who], uid: u32, now: BootTime) -> bool {
        if !whom.iter().any(|who| matches!(who, Who::Group(_))) {
            return false;
        }
        let groups = self.groups.of(uid, now);
        whom.iter().any(|who| matches!(who, Who::Group(group) if groups.contains(group)))
    }
}

/// Who is in which groups, as it was looked up. The system's databases may be on another host, so a look-up may take its time.
struct Groups {
    look_up: Box<dyn Fn(u32) -> Vec<u32> + Send + Sync>,
    kept: Mutex<HashMap<u32, Kept>>,
}

struct Kept {
    groups: Arc<[u32]>,
    at: BootTime,
    /// Somebody is looking it up again.
    renewing: bool,
}

impl Groups {
    fn of(self: &Arc<Self>, uid: u32, now: BootTime) -> Arc<[u32]> {
        if let Some(kept) = self.kept().get_mut(&uid) {
            if now.since(kept.at) >= GROUPS_TIME && !kept.renewing {
                kept.renewing = self.renew(uid, now);
            }
            return Arc::clone(&kept.groups);
        }
        self.look_up(uid, now)
    }

    fn look_up(&self, uid: u32, now: BootTime) -> Arc<[u32]> {
        let groups: Arc<[u32]> = (self.look_up)(uid).into();
        let mut kept = self.kept();
        if kept.len() >= GROUPS_KEPT && !kept.contains_key(&uid) {
            kept.retain(|_, kept| now.since(kept.at) < GROUPS_TIME);
            if kept.len() >= GROUPS_KEPT {
                kept.clear();
            }
        }
        kept.insert(uid, Kept { groups: Arc::clone(&groups), at: now, renewing: false });
        groups
    }

    /// Begins to look up again; whether it could.
    fn renew(self: &Arc<Self>, uid: u32, now: BootTime) -> bool {
        let groups = Arc::clone(self);
        thread::Builder::new().name("groups".to_owned()).spawn(move || drop(groups.look_up(uid, now))).is_ok()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<u32, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All groups of a user by the system's databases; none for a user that they do not know.
fn groups_of(uid: u32) -> Vec<u32> {
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

    use super::{GROUPS_KEPT, GROUPS_TIME, Rule, Scope, Scopes, Who, groups_of};
    use crate::model::time::BootTime;
    use crate::net::peer::Peer;

    const ALL: [Scope; 4] = [Scope::Keys, Scope::Shell, Scope::Metrics, Scope::Admin];
    const NONE: [Scope; 0] = [];
    const OWN: u32 = 500;
    const NOW: BootTime = BootTime(Duration::from_secs(1000));

    fn unix(uid: u32, gid: u32) -> Peer {
        Peer::Unix { uid, gid }
    }

    fn rules() -> Vec<Rule> {
        vec![
            Rule { who: Who::User(998), scopes: vec![Scope::Keys, Scope::Shell] },
            Rule { who: Who::Group(70), scopes: vec![Scope::Metrics] },
        ]
    }

    /// Whoever has the uid n is in the group n + 1 too.
    fn scopes(rules: Vec<Rule>) -> Scopes {
        Scopes::with(OWN, rules, |uid| vec![uid + 1])
    }

    fn has(scopes: &Scopes, peer: &Peer) -> Vec<Scope> {
        ALL.into_iter().filter(|scope| scopes.allow_at(peer, *scope, NOW)).collect()
    }

    #[test]
    fn root_and_we_ourselves_have_everything_always() {
        for scopes in [scopes(Vec::new()), scopes(rules())] {
            for uid in [0, OWN] {
                assert_eq!(has(&scopes, &unix(uid, 9)), ALL);
            }
        }
    }

    #[test]
    fn without_rules_everybody_has_keys_and_shell_and_with_rules_nobody_else_has_anything() {
        assert_eq!(has(&scopes(Vec::new()), &unix(1000, 1000)), [Scope::Keys, Scope::Shell]);
        assert_eq!(has(&scopes(rules()), &unix(1000, 1000)), NONE);
        assert_eq!(has(&scopes(rules()), &unix(998, 1000)), [Scope::Keys, Scope::Shell]);
    }

    #[test]
    fn a_group_counts_as_primary_and_as_supplementary_and_scopes_add_up() {
        assert_eq!(has(&scopes(rules()), &unix(1000, 70)), [Scope::Metrics]);
        assert_eq!(has(&scopes(rules()), &unix(69, 1000)), [Scope::Metrics]);
        assert_eq!(has(&scopes(rules()), &unix(998, 70)), [Scope::Keys, Scope::Shell, Scope::Metrics]);
        assert_eq!(has(&scopes(rules()), &unix(70, 1000)), NONE, "a uid is not a gid");
    }

    #[test]
    fn over_tcp_there_is_only_the_shell() {
        let peer = Peer::Tcp(([127, 0, 0, 1], 9).into());
        for scopes in [scopes(Vec::new()), scopes(rules())] {
            assert_eq!(has(&scopes, &peer), [Scope::Shell]);
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
        let scopes = Scopes::with(OWN, rules(), look_up);
        let asks = |now| scopes.allow_at(&unix(1000, 1000), Scope::Metrics, now);
        release.send(vec![70]).unwrap();
        assert!(asks(NOW) && asks(NOW));
        assert_eq!((enters.recv(), enters.try_recv()), (Ok(1000), Err(mpsc::TryRecvError::Empty)));
        let old = BootTime(NOW.0 + GROUPS_TIME);
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
        let scopes = Scopes::with(OWN, rules(), look_up);
        assert!(!scopes.allow_at(&unix(1000, 1000), Scope::Keys, NOW));
        assert_eq!(looked_up.load(Ordering::Relaxed), 0);
        for uid in 0..u32::try_from(3 * GROUPS_KEPT).unwrap() {
            scopes.allow_at(&unix(10_000 + uid, 1), Scope::Metrics, NOW);
            assert!(scopes.groups.kept().len() <= GROUPS_KEPT);
        }
    }

    #[test]
    fn the_system_knows_the_groups_of_root_and_nothing_of_a_stranger() {
        assert!(groups_of(0).contains(&0));
        assert!(groups_of(u32::MAX - 7).is_empty());
    }
}
