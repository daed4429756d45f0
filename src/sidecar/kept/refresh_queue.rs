//! Which kept answers are asked for again before they are too old: those that were given again since they were proven, from half of their `ttl`
//! on, at moments that differ. Bounded. Pure: time and chance are arguments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::freshness::ProofTime;
use crate::model::time::BootTime;
use crate::sidecar::kept::question::KeptQuestion;

/// How many questions wait for their moment; what was used beyond that is asked when it is too old.
const MAX_WAITING: usize = 16_384;
/// A use before this part of `ttl` has passed is taken to be of the occasion on which the answer was asked for: it says nothing of another
/// one, for which to ask ahead of time.
pub const SAME_OCCASION_SHARE: f64 = 0.1;
/// The part of `ttl` from which on an answer is asked for again.
const FROM_SHARE: f64 = 0.5;
/// The part of `ttl` at which all that was used has been asked for again.
pub const TO_SHARE: f64 = 0.9;

/// An answer to be asked for again.
#[derive(Clone)]
pub struct Refresh {
    /// The question.
    pub question: Arc<KeptQuestion>,
    /// The proof of the answer that was given: if it has another meanwhile, there is nothing to do.
    pub proven_at: ProofTime,
}

/// The questions that wait for their moment.
#[derive(Default)]
pub struct RefreshQueue {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    by_due: BTreeMap<(i64, u64), Refresh>,
}

impl RefreshQueue {
    /// Has an answer asked for again at a moment between half and nine tenths of its `ttl`, by `chance` from 0 to 1.
    pub fn schedule(&self, refresh: Refresh, ttl: Duration, chance: f64) {
        let wait = ttl.mul_f64(FROM_SHARE + (TO_SHARE - FROM_SHARE) * chance.clamp(0.0, 1.0));
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let due = refresh.proven_at.boot_milliseconds().saturating_add(wait);
        let mut waiting = self.lock();
        if waiting.by_due.len() < MAX_WAITING {
            let number = waiting.next;
            waiting.next += 1;
            waiting.by_due.insert((due, number), refresh);
        }
    }

    /// Takes at most so many whose moment has come.
    pub fn take_due(&self, now: BootTime, most: usize) -> Vec<Refresh> {
        let now = ProofTime::at(now).boot_milliseconds();
        let mut waiting = self.lock();
        let mut due = Vec::new();
        while due.len() < most
            && let Some(entry) = waiting.by_due.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        due
    }

    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.lock().by_due.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{MAX_WAITING, Refresh, RefreshQueue};
    use crate::model::freshness::ProofTime;
    use crate::model::time::BootTime;
    use crate::sidecar::kept::question::tests::{allowed, request};

    const TTL: Duration = Duration::from_secs(10);

    fn refresh() -> Refresh {
        Refresh { question: Arc::new(allowed(&request()).unwrap()), proven_at: ProofTime::at(second(100)) }
    }

    fn second(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    #[test]
    fn an_answer_is_due_between_half_and_nine_tenths_of_its_ttl() {
        for (chance, due) in [(0.0, 105), (0.5, 107), (1.0, 109)] {
            let queue = RefreshQueue::default();
            queue.schedule(refresh(), TTL, chance);
            assert_eq!(queue.take_due(second(due - 1), 1).len(), 0, "{chance}");
            assert_eq!((queue.take_due(second(due), 0).len(), queue.take_due(second(due), 9).len(), queue.len()), (0, 1, 0));
        }
    }

    #[test]
    fn one_more_than_may_wait_does_not() {
        let queue = RefreshQueue::default();
        (0..=MAX_WAITING).for_each(|_| queue.schedule(refresh(), TTL, 0.5));
        assert_eq!(queue.len(), MAX_WAITING);
    }
}
