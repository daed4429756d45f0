//! What has been taken back since a question was asked: nothing that was asked before a revocation is kept or given after it.
//!
//! Whoever asks notes how many revocations there have been. When the answer is here, it counts only if none of what it is about was
//! revoked since. Subjects share a fixed number of slots, so memory is bounded; two in one slot cost a question more, never a wrong yes.

use std::hash::{BuildHasher as _, Hash, RandomState};

/// The number of slots.
const SLOTS: usize = 1 << 15;

/// How many revocations there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationCount(u64);

/// The revocations of one run.
pub struct Invalidations {
    count: u64,
    /// Of everything at once.
    last_of_all: u64,
    /// Of whatever was being asked, where it is not known what was taken back; what is kept already stays.
    last_of_all_asked: u64,
    /// The number of the last revocation of whatever falls into a slot.
    last: Box<[u64]>,
    hasher: RandomState,
}

impl Default for Invalidations {
    fn default() -> Self {
        Self { count: 0, last_of_all: 0, last_of_all_asked: 0, last: vec![0; SLOTS].into(), hasher: RandomState::new() }
    }
}

impl Invalidations {
    /// Returns how many there have been: to be noted before something is asked.
    #[must_use]
    pub const fn count(&self) -> RevocationCount {
        RevocationCount(self.count)
    }

    /// Notes that everything about a subject was taken back.
    pub fn revoke<T: Hash>(&mut self, subject: &T) {
        self.count += 1;
        let slot = self.slot(subject);
        self.last[slot] = self.count;
    }

    /// Notes that everything was taken back.
    pub const fn revoke_all(&mut self) {
        self.count += 1;
        self.last_of_all = self.count;
    }

    /// Notes that anything may have been taken back of what is being asked.
    pub const fn overtake_all(&mut self) {
        self.count += 1;
        self.last_of_all_asked = self.count;
    }

    /// Returns the last revocation of a subject: who asks after it joins no question from before it.
    #[must_use]
    pub fn last<T: Hash>(&self, subject: &T) -> RevocationCount {
        RevocationCount(self.last_named(subject).max(self.last_of_all_asked))
    }

    /// Returns whether a subject was revoked after `since`, or may have been.
    #[must_use]
    pub fn is_revoked_since<T: Hash>(&self, subject: &T, since: RevocationCount) -> bool {
        self.last(subject) > since
    }

    /// Returns whether a subject was revoked since the start, by its name or with everything: nothing of before the start comes back then.
    #[must_use]
    pub fn is_revoked<T: Hash>(&self, subject: &T) -> bool {
        self.last_named(subject) > 0
    }

    fn last_named<T: Hash>(&self, subject: &T) -> u64 {
        self.last[self.slot(subject)].max(self.last_of_all)
    }

    fn slot<T: Hash>(&self, subject: &T) -> usize {
        usize::try_from(self.hasher.hash_one(subject)).unwrap_or_default() % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::Invalidations;

    #[test]
    fn what_was_asked_before_a_revocation_of_its_subject_is_recognised() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.count();
        assert!(!invalidations.is_revoked_since(&"a", before));
        invalidations.revoke(&"a");
        assert!(invalidations.is_revoked_since(&"a", before));
        assert!(!invalidations.is_revoked_since(&"a", invalidations.count()));
        let others = (0..1000).filter(|number| invalidations.is_revoked_since(number, before)).count();
        assert!(others < 10, "{others} of 1000 others share its slot");
    }

    #[test]
    fn what_is_being_asked_is_overtaken_and_what_is_kept_stays() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.count();
        invalidations.overtake_all();
        assert!(invalidations.is_revoked_since(&"a", before) && !invalidations.is_revoked(&"a"));
        assert!(!invalidations.is_revoked_since(&"a", invalidations.count()));
        invalidations.revoke(&"a");
        assert!(invalidations.is_revoked(&"a"));
    }

    #[test]
    fn a_revocation_of_everything_is_one_of_each() {
        let mut invalidations = Invalidations::default();
        let before = invalidations.count();
        invalidations.revoke_all();
        assert!(invalidations.is_revoked_since(&"a", before) && invalidations.is_revoked_since(&"b", before));
        assert!(!invalidations.is_revoked_since(&"a", invalidations.count()));
    }
}
