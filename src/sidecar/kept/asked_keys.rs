//! The keys that this host knew and that the primary was asked about within the last minute: how many, and how many of them it does not
//! know any more.
//!
//! Each key counts once, by its last answer, however often it is asked about, and of one owner the three keys that were asked about last: who
//! removes two dozen keys of their own on a host with few logins looks like no GitLab that has lost its keys. Bounded, the oldest first.
//! Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::model::kept_answer::{KeptSubject, QuestionKey};
use crate::model::time::BootTime;

/// For how long an answer of the primary counts.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How many keys count at once.
pub const MAX_ASKED_KEYS: usize = 65_536;

/// How many keys of one owner count at once: people have one to three, for their machines. With the default of 20 keys it takes seven owners.
pub const MAX_KEYS_PER_OWNER: usize = 3;

/// Whose a key is, as far as this host knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyOwner {
    /// A user, or for a deploy key its project.
    Subject(KeptSubject),
    /// Whoever the line of the key names.
    Named(Box<str>),
    /// Not known: nobody else's.
    Unknown(QuestionKey),
}

/// What the primary said of a key that this host knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// It knows the key.
    Known,
    /// It answered 404.
    Unknown,
}

/// How many keys that this host knew the primary was asked about within [`WINDOW`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AskedCounts {
    /// All of them.
    pub asked: usize,
    /// Of these, those that it does not know any more.
    pub unknown: usize,
}

/// The keys, by their last answer.
#[derive(Default)]
pub struct AskedKeys {
    next: u64,
    last: HashMap<QuestionKey, (u64, KeyAnswer, KeyOwner)>,
    /// The keys of each owner, the one that was asked about longest ago first.
    by_owner: HashMap<KeyOwner, Vec<QuestionKey>>,
    /// By the number of the answer, which grows with its time.
    order: BTreeMap<u64, (BootTime, QuestionKey)>,
    unknown: usize,
}

impl AskedKeys {
    /// Counts an answer in place of the one before.
    pub fn record(&mut self, key: QuestionKey, owner: KeyOwner, answer: KeyAnswer, now: BootTime) {
        self.forget(key);
        while let Some(keys) = self.by_owner.get(&owner)
            && keys.len() >= MAX_KEYS_PER_OWNER
        {
            self.forget(keys[0]);
        }
        self.by_owner.entry(owner.clone()).or_default().push(key);
        while self.last.len() >= MAX_ASKED_KEYS {
            self.forget_oldest();
        }
        self.last.insert(key, (self.next, answer, owner));
        self.order.insert(self.next, (now, key));
        self.next += 1;
        self.unknown += usize::from(answer == KeyAnswer::Unknown);
    }

    /// Returns how many keys count now.
    pub fn counts(&mut self, now: BootTime) -> AskedCounts {
        while self.order.first_key_value().is_some_and(|(_, (at, _))| now.since(*at) > WINDOW) {
            self.forget_oldest();
        }
        AskedCounts { asked: self.last.len(), unknown: self.unknown }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, (_, key))) = self.order.first_key_value() {
            self.forget(*key);
        }
    }

    /// Counts a key no more.
    pub fn forget(&mut self, key: QuestionKey) {
        if let Some((number, answer, owner)) = self.last.remove(&key) {
            self.order.remove(&number);
            if let Some(keys) = self.by_owner.get_mut(&owner) {
                keys.retain(|other| *other != key);
                if keys.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
            self.unknown -= usize::from(answer == KeyAnswer::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AskedCounts, AskedKeys, KeyAnswer, KeyOwner, MAX_ASKED_KEYS, WINDOW};
    use crate::model::digest::Digest;
    use crate::model::kept_answer::QuestionKey;
    use crate::model::time::BootTime;

    fn key(number: usize) -> QuestionKey {
        QuestionKey(Digest::of(&number.to_be_bytes()))
    }

    fn record(asked: &mut AskedKeys, number: usize, answer: KeyAnswer, now: BootTime) {
        asked.record(key(number), KeyOwner::Unknown(key(number)), answer, now);
    }

    #[test]
    fn of_one_owner_the_three_keys_count_that_were_asked_about_last() {
        let mut asked = AskedKeys::default();
        let owner = |name: &str| KeyOwner::Named(name.into());
        (0..25).for_each(|number| asked.record(key(number), owner("zoe"), KeyAnswer::Unknown, START));
        assert_eq!(asked.counts(START), AskedCounts { asked: 3, unknown: 3 });
        (22..25).for_each(|number| asked.record(key(number), owner("zoe"), KeyAnswer::Known, START));
        assert_eq!(asked.counts(START), AskedCounts { asked: 3, unknown: 0 });
        asked.record(key(0), owner("zoe"), KeyAnswer::Unknown, START);
        asked.record(key(100), owner("max"), KeyAnswer::Unknown, START);
        assert_eq!(asked.counts(START), AskedCounts { asked: 4, unknown: 2 });
        let end = BootTime(START.0 + WINDOW + Duration::from_millis(1));
        assert_eq!((asked.counts(end), asked.by_owner.len()), (AskedCounts::default(), 0));
    }

    const START: BootTime = BootTime(Duration::from_secs(1000));

    #[test]
    fn a_key_counts_once_by_its_last_answer_however_often_it_is_asked() {
        let mut asked = AskedKeys::default();
        (0..10).for_each(|_| record(&mut asked, 1, KeyAnswer::Unknown, START));
        record(&mut asked, 2, KeyAnswer::Unknown, START);
        record(&mut asked, 2, KeyAnswer::Known, START);
        assert_eq!(asked.counts(START), AskedCounts { asked: 2, unknown: 1 });
    }

    #[test]
    fn an_answer_counts_for_a_minute_and_not_a_millisecond_longer() {
        let mut asked = AskedKeys::default();
        record(&mut asked, 1, KeyAnswer::Unknown, START);
        let end = BootTime(START.0 + WINDOW);
        assert_eq!(asked.counts(end), AskedCounts { asked: 1, unknown: 1 });
        assert_eq!(asked.counts(BootTime(end.0 + Duration::from_millis(1))), AskedCounts::default());
    }

    #[test]
    fn one_key_more_than_count_at_once_costs_the_oldest() {
        let mut asked = AskedKeys::default();
        record(&mut asked, 0, KeyAnswer::Unknown, START);
        (1..=MAX_ASKED_KEYS).for_each(|number| record(&mut asked, number, KeyAnswer::Known, START));
        assert_eq!(asked.counts(START), AskedCounts { asked: MAX_ASKED_KEYS, unknown: 0 });
    }
}
