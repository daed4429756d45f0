//! What the primary has denied although the local directory grants it, until the directory is proven to be of later than that.
//!
//! The feed may be late where a question is not: a no of the primary counts at once, also where it came after the local yes was given.
//! Nothing of it is written to the store. Bounded: while it is full, [`Denials::is_full`] says so, and nobody gets a local yes without
//! having waited for the primary.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::access_decision::Actor;
use crate::model::digest::Digest;
use crate::model::freshness::ProofTime;
use crate::model::id::Id;
use crate::model::time::BootTime;

/// How many denials are kept.
const MAX_DENIALS: usize = 8192;

/// What is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeniedSubject {
    /// One question.
    Question(Digest),
    /// Everything of a key.
    Key(Id),
    /// Everything of a user.
    User(Id),
}

/// Whom a local yes is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The key, if there is one.
    pub key: Option<Id>,
    /// The user, if there is one.
    pub user: Option<Id>,
}

impl Holder {
    /// Returns the holder that an actor is. The creator of a deploy key has no part in what it may do.
    pub fn of(actor: &Actor) -> Self {
        let key = actor.key().map(|key| key.id);
        let user = if let Actor::User(user, _) = actor { Some(user.id) } else { None };
        Self { key, user }
    }

    fn subjects(self) -> impl Iterator<Item = DeniedSubject> {
        self.key.map(DeniedSubject::Key).into_iter().chain(self.user.map(DeniedSubject::User))
    }
}

/// Keeps what the primary has denied, in memory.
#[derive(Default)]
pub struct Denials {
    denied_at: Mutex<HashMap<DeniedSubject, BootTime>>,
    /// The number of entries, so that nobody waits for the lock while there are none.
    count: AtomicUsize,
}

impl Denials {
    /// Keeps a denial that arrived at `now`. Those that `proven_at` is later than make room for it.
    pub fn record(&self, subjects: impl IntoIterator<Item = DeniedSubject>, now: BootTime, proven_at: Option<ProofTime>) {
        let mut denied_at = self.lock();
        for subject in subjects {
            if denied_at.len() >= MAX_DENIALS {
                denied_at.retain(|_, denied| binds(*denied, proven_at));
            }
            if denied_at.len() < MAX_DENIALS || denied_at.contains_key(&subject) {
                denied_at.insert(subject, now);
            }
        }
        self.count.store(denied_at.len(), Ordering::SeqCst);
    }

    /// Forgets denials: the primary says yes again.
    pub fn lift(&self, subjects: impl IntoIterator<Item = DeniedSubject>) {
        if self.len() == 0 {
            return;
        }
        let mut denied_at = self.lock();
        for subject in subjects {
            denied_at.remove(&subject);
        }
        self.count.store(denied_at.len(), Ordering::SeqCst);
    }

    /// Returns whether a local yes to `question` about `holder` is denied, where the directory was last proven current at `proven_at` by an
    /// exchange.
    pub fn denies(&self, question: impl FnOnce() -> Digest, holder: Holder, proven_at: Option<ProofTime>) -> bool {
        if self.len() == 0 {
            return false;
        }
        let denied_at = self.lock();
        holder
            .subjects()
            .chain([DeniedSubject::Question(question())])
            .any(|subject| denied_at.get(&subject).is_some_and(|denied| binds(*denied, proven_at)))
    }

    /// Returns whether the next denial finds no room.
    pub fn is_full(&self, proven_at: Option<ProofTime>) -> bool {
        self.len() >= MAX_DENIALS && self.lock().values().all(|denied| binds(*denied, proven_at))
    }

    /// Returns how many are kept.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Forgets all; returns how many were kept.
    pub fn clear(&self) -> usize {
        let mut denied_at = self.lock();
        self.count.store(0, Ordering::SeqCst);
        let removed = denied_at.len();
        denied_at.clear();
        removed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeniedSubject, BootTime>> {
        self.denied_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a denial still binds: no proof is later than its arrival, and so none may be from before the primary decided it.
fn binds(denied_at: BootTime, proven_at: Option<ProofTime>) -> bool {
    proven_at <= Some(ProofTime::at(denied_at))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Denials, DeniedSubject, Holder, MAX_DENIALS};
    use crate::model::digest::Digest;
    use crate::model::freshness::ProofTime;
    use crate::model::id::Id;
    use crate::model::time::BootTime;

    const fn second(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    fn proof(seconds: u64) -> Option<ProofTime> {
        Some(ProofTime::at(second(seconds)))
    }

    fn id(number: u64) -> Id {
        number.try_into().unwrap()
    }

    fn question(number: u64) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn a_denial_binds_its_subject_until_a_proof_of_later() {
        let denials = Denials::default();
        let holder = Holder { key: Some(id(1)), user: Some(id(7)) };
        denials.record([DeniedSubject::Question(question(1)), DeniedSubject::Key(id(2))], second(10), proof(5));
        for (question_number, holder, denied) in [
            (1, holder, true),
            (2, holder, false),
            (2, Holder { key: Some(id(2)), user: Some(id(7)) }, true),
            (2, Holder { key: None, user: Some(id(2)) }, false),
        ] {
            assert_eq!(denials.denies(|| question(question_number), holder, proof(10)), denied, "{question_number} {holder:?}");
            assert_eq!(denials.denies(|| question(question_number), holder, None), denied);
            assert!(!denials.denies(|| question(question_number), holder, proof(11)));
        }
        denials.lift([DeniedSubject::Key(id(2)), DeniedSubject::Key(id(9))]);
        assert!(!denials.denies(|| question(2), Holder { key: Some(id(2)), user: None }, None));
        assert_eq!(denials.clear(), 1);
        assert!(!denials.denies(|| question(1), holder, None));
    }

    #[test]
    fn one_more_than_are_kept_is_said_and_a_proof_makes_room() {
        let denials = Denials::default();
        denials.record((0..MAX_DENIALS as u64).map(|number| DeniedSubject::Question(question(number))), second(10), None);
        assert!(denials.is_full(proof(10)) && !denials.is_full(proof(11)));
        denials.record([DeniedSubject::User(id(1))], second(10), proof(10));
        assert_eq!(denials.len(), MAX_DENIALS);
        denials.record([DeniedSubject::User(id(1))], second(12), proof(11));
        assert_eq!(denials.len(), 1);
    }
}
