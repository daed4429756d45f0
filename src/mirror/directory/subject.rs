//! What a finding is about, and which findings are too old to count.
//!
//! GitLab is asked by several at the same time, and its answers arrive in any order. A finding counts only against what the mirror held when
//! the question was sent: what was told of the same subject since then wins, and so does what a later question has found.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::id::Id;
use crate::model::key::Fingerprint;

/// A user, or a key by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The user with this id.
    User(Id),
    /// The key with this fingerprint.
    Key(Fingerprint),
}

/// Numbers questions and what is told, and remembers the last number that something was learnt at of each subject, for as long as a question
/// is under way that was sent before.
#[derive(Default)]
pub struct SubjectClock {
    inner: Arc<Mutex<Numbers>>,
}

#[derive(Default)]
struct Numbers {
    last: u64,
    /// The number that the last known of each subject dates from.
    known: HashMap<Subject, u64>,
    /// The numbers of the questions that are under way.
    asked: BTreeSet<u64>,
}

/// A question that is under way. While it is held, what happens to any subject is remembered.
pub struct Question {
    number: u64,
    numbers: Arc<Mutex<Numbers>>,
}

impl SubjectClock {
    /// Notes that a question is sent now.
    #[must_use]
    pub fn ask(&self) -> Question {
        let mut numbers = lock(&self.inner);
        numbers.last += 1;
        let number = numbers.last;
        numbers.asked.insert(number);
        Question { number, numbers: Arc::clone(&self.inner) }
    }

    /// Notes that something is told of a subject now: findings of questions that are under way do not count for it any more.
    pub fn told(&self, subject: Subject) {
        let mut numbers = lock(&self.inner);
        numbers.last += 1;
        let number = numbers.last;
        numbers.learn(subject, number);
    }

    /// Notes that a question has found something about a subject: findings of earlier questions do not count for it any more.
    pub fn found(&self, subject: Subject, asked: &Question) {
        lock(&self.inner).learn(subject, asked.number);
    }

    /// Returns how many subjects are remembered.
    #[cfg(test)]
    #[must_use]
    pub fn remembered(&self) -> usize {
        lock(&self.inner).known.len()
    }
}

impl Numbers {
    fn learn(&mut self, subject: Subject, number: u64) {
        if self.asked.first().is_some_and(|oldest| *oldest < number) {
            let known = self.known.entry(subject).or_default();
            *known = number.max(*known);
        }
    }
}

impl Question {
    /// Returns whether nothing is known of a subject that is newer than this question.
    #[must_use]
    pub fn counts_for(&self, subject: Subject) -> bool {
        lock(&self.numbers).known.get(&subject).is_none_or(|known| *known <= self.number)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut numbers = lock(&self.numbers);
        numbers.asked.remove(&self.number);
        match numbers.asked.first().copied() {
            None => numbers.known = HashMap::new(),
            Some(oldest) if oldest > self.number => numbers.known.retain(|_, known| *known > oldest),
            Some(_) => {}
        }
    }
}

fn lock(numbers: &Mutex<Numbers>) -> MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{Question, Subject, SubjectClock};

    fn user(id: u64) -> Subject {
        Subject::User(id.try_into().unwrap())
    }

    #[test]
    fn a_finding_does_not_count_once_something_newer_is_told_or_found() {
        let clock = SubjectClock::default();
        let (first, second) = (clock.ask(), clock.ask());
        clock.told(user(1));
        let third = clock.ask();
        assert!(!first.counts_for(user(1)) && first.counts_for(user(2)));
        assert!(third.counts_for(user(1)));
        clock.found(user(2), &second);
        assert!(!first.counts_for(user(2)), "a later question has found something");
        assert!(second.counts_for(user(2)) && third.counts_for(user(2)), "an earlier one has found something");
    }

    proptest! {
        /// Compared with a map from which nothing is ever forgotten.
        #[test]
        fn what_is_forgotten_was_of_no_use(steps in proptest::collection::vec((0_u8..4, 1_u64..5, any::<prop::sample::Index>()), 0..60)) {
            let clock = SubjectClock::default();
            let (mut last, mut known): (u64, HashMap<Subject, u64>) = (0, HashMap::new());
            let mut asked: Vec<(u64, Question)> = Vec::new();
            for (step, id, which) in steps {
                let which = (!asked.is_empty()).then(|| which.index(asked.len()));
                match (step, which) {
                    (0, _) => {
                        last += 1;
                        asked.push((last, clock.ask()));
                    }
                    (1, _) => {
                        last += 1;
                        clock.told(user(id));
                        known.insert(user(id), last);
                    }
                    (2, Some(which)) => {
                        let (number, question) = &asked[which];
                        clock.found(user(id), question);
                        let entry = known.entry(user(id)).or_default();
                        *entry = (*entry).max(*number);
                    }
                    (_, Some(which)) => drop(asked.remove(which)),
                    (_, None) => {}
                }
                for (number, question) in &asked {
                    for id in 1..5 {
                        prop_assert_eq!(question.counts_for(user(id)), known.get(&user(id)).is_none_or(|known| known <= number));
                    }
                }
                prop_assert!(!asked.is_empty() || clock.remembered() == 0, "nothing is remembered for nobody");
            }
        }
    }
}
