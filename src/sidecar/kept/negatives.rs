//! Keys that the primary did not know a moment ago, in memory, for `freshness.negative_ttl`.
//!
//! Bounded by a number of its own, the oldest first: whoever offers strangers' keys in bulk pushes out nothing but other strangers' keys.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::model::freshness::ProofTime;
use crate::model::kept_answer::QuestionKey;
use crate::model::time::BootTime;

/// How many are kept.
pub const MAX_NEGATIVES: usize = 65_536;
/// Tables for more than so many are given back when nothing is in them any more.
const MIN_CAPACITY: usize = 1024;

/// The questions that were answered with 404, and when they were asked.
pub struct Negatives {
    ttl: Duration,
    asked_at: HashMap<QuestionKey, ProofTime>,
    /// In the order in which they came; what was removed or renewed meanwhile stays until its turn.
    order: VecDeque<(QuestionKey, ProofTime)>,
}

impl Negatives {
    /// Creates an empty table whose entries count for `ttl`.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, asked_at: HashMap::new(), order: VecDeque::new() }
    }

    /// Keeps a 404. What is over goes, and of what is not, the oldest if there is no room.
    pub fn insert(&mut self, key: QuestionKey, asked_at: ProofTime, now: BootTime) {
        if self.ttl.is_zero() {
            return;
        }
        while let Some((_, oldest)) = self.order.front()
            && (oldest.age(now) > self.ttl || self.order.len() >= MAX_NEGATIVES)
        {
            self.remove_oldest();
        }
        self.asked_at.insert(key, asked_at);
        self.order.push_back((key, asked_at));
    }

    /// Forgets what is over.
    pub fn purge(&mut self, now: BootTime) {
        while self.order.front().is_some_and(|(_, oldest)| oldest.age(now) > self.ttl) {
            self.remove_oldest();
        }
        if self.order.is_empty() && self.order.capacity() > MIN_CAPACITY {
            (self.asked_at, self.order) = (HashMap::new(), VecDeque::new());
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((key, asked_at)) = self.order.pop_front()
            && self.asked_at.get(&key) == Some(&asked_at)
        {
            self.asked_at.remove(&key);
        }
    }

    /// Returns the age of a 404 that still counts.
    #[must_use]
    pub fn find(&self, key: QuestionKey, now: BootTime) -> Option<Duration> {
        let age = self.asked_at.get(&key)?.age(now);
        (age <= self.ttl).then_some(age)
    }

    /// Forgets one.
    pub fn remove(&mut self, key: QuestionKey) {
        self.asked_at.remove(&key);
    }

    /// Forgets all; returns how many there were.
    pub fn clear(&mut self) -> usize {
        self.order.clear();
        let removed = self.asked_at.len();
        self.asked_at.clear();
        removed
    }

    /// Returns how many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.asked_at.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_NEGATIVES, Negatives};
    use crate::model::digest::Digest;
    use crate::model::freshness::ProofTime;
    use crate::model::kept_answer::QuestionKey;
    use crate::model::time::BootTime;

    const TTL: Duration = Duration::from_secs(5);

    fn key(number: usize) -> QuestionKey {
        QuestionKey(Digest::of(&number.to_be_bytes()))
    }

    fn second(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    #[test]
    fn a_404_counts_until_it_is_over_or_removed() {
        let mut negatives = Negatives::new(TTL);
        negatives.insert(key(1), ProofTime::at(second(10)), second(11));
        assert_eq!(negatives.find(key(1), second(15)), Some(TTL));
        assert_eq!((negatives.find(key(1), second(16)), negatives.find(key(2), second(10))), (None, None));
        negatives.insert(key(2), ProofTime::at(second(16)), second(16));
        assert_eq!(negatives.len(), 1, "what is over is gone");
        negatives.remove(key(2));
        assert_eq!(negatives.find(key(2), second(16)), None);
        negatives.insert(key(3), ProofTime::at(second(20)), second(20));
        negatives.purge(second(25));
        assert_eq!(negatives.len(), 1);
        negatives.purge(second(26));
        assert_eq!(negatives.len(), 0);
    }

    #[test]
    fn one_more_than_are_kept_costs_the_oldest() {
        let mut negatives = Negatives::new(TTL);
        for number in 0..=MAX_NEGATIVES {
            negatives.insert(key(number), ProofTime::at(second(10)), second(10));
        }
        assert_eq!(negatives.len(), MAX_NEGATIVES);
        assert_eq!((negatives.find(key(0), second(10)), negatives.find(key(1), second(10))), (None, Some(Duration::ZERO)));
        assert_eq!(negatives.clear(), MAX_NEGATIVES);
    }

    #[test]
    fn without_a_ttl_none_is_kept() {
        let mut negatives = Negatives::new(Duration::ZERO);
        negatives.insert(key(1), ProofTime::at(second(10)), second(10));
        assert_eq!(negatives.len(), 0);
    }
}
