//! Limits how often an actor may do something: fixed windows of one minute for each (action, project as sent, actor). (server.md 2.1)
//!
//! The memory is fixed from the start. A count lives in one of a few places that its hash allows; where all are taken in this minute,
//! the lowest count gives way. So a flood of new names can make a count be forgotten, never one that is higher than its own, and
//! nobody is refused for what others did. The time is an argument, and one that goes back begins another window.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::time::Time;

/// Counts that are kept by default: 1 MiB.
pub const DEFAULT_CAPACITY: usize = 1 << 16;

const SHARD_COUNT: usize = 64;
const SLOTS_PER_SET: usize = 8;

/// Counts operations, in memory that is fixed from the start.
pub struct RateLimiter {
    shards: Vec<Mutex<Vec<CounterSet>>>,
    /// Seeded anew in each process: who sends names cannot aim at the count of another.
    hasher: RandomState,
}

/// Says whether one more operation is within the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RateDecision {
    /// It is within the limit.
    Allowed,
    /// It is one too many for this minute.
    Exceeded,
}

type CounterSet = [WindowCounter; SLOTS_PER_SET];

#[derive(Clone, Copy, Default)]
struct WindowCounter {
    key: u64,
    minute: i64,
    count: u32,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl RateLimiter {
    /// Keeps at least `counts` counts, rounded up to what its shards hold evenly.
    #[must_use]
    pub fn new(counts: usize) -> Self {
        let sets = counts.div_ceil(SHARD_COUNT * SLOTS_PER_SET).max(1);
        let shards = (0..SHARD_COUNT).map(|_| Mutex::new(vec![CounterSet::default(); sets])).collect();
        Self { shards, hasher: RandomState::new() }
    }

    /// Counts one more of what `scope` names (an action, a project, an actor): the first `limit` of a minute are allowed. A limit of 0
    /// is none, and counts nothing.
    pub fn check_and_count(&self, scope: impl Hash, limit: u32, now: Time) -> RateDecision {
        self.check_key(self.hasher.hash_one(scope), limit, now)
    }

    /// Forgets all counts: those who are named next are not those who were named before.
    pub fn clear(&self) {
        for shard in &self.shards {
            lock_shard(shard).fill(CounterSet::default());
        }
    }

    fn check_key(&self, key: u64, limit: u32, now: Time) -> RateDecision {
        if limit == 0 {
            return RateDecision::Allowed;
        }
        if self.increment(key, now.seconds().div_euclid(60)) > limit { RateDecision::Exceeded } else { RateDecision::Allowed }
    }

    fn increment(&self, key: u64, minute: i64) -> u32 {
        let (shard, rest) = (key % SHARD_COUNT as u64, key / SHARD_COUNT as u64);
        let Some(mut sets) = self.shards.get(usize::try_from(shard).unwrap_or(0)).map(lock_shard) else {
            return 0;
        };
        let set = usize::try_from(rest % sets.len() as u64).unwrap_or(0);
        sets.get_mut(set).map_or(0, |set| increment_in_set(set, key, minute))
    }
}

fn increment_in_set(set: &mut CounterSet, key: u64, minute: i64) -> u32 {
    if let Some(count) = set.iter_mut().find(|count| count.key == key && count.minute == minute && count.count > 0) {
        count.count = count.count.saturating_add(1);
        return count.count;
    }
    let worth = |count: &&mut WindowCounter| if count.minute == minute { count.count } else { 0 };
    if let Some(least) = set.iter_mut().min_by_key(worth) {
        *least = WindowCounter { key, minute, count: 1 };
    }
    1
}

fn lock_shard(shard: &Mutex<Vec<CounterSet>>) -> MutexGuard<'_, Vec<CounterSet>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{RateDecision, RateLimiter, SHARD_COUNT, SLOTS_PER_SET};
    use crate::model::time::Time;

    fn noon() -> Time {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn as_many_as_the_limit_are_allowed_and_the_next_minute_begins_anew() {
        let rates = RateLimiter::default();
        let key = ("git-upload-pack", "group/project.git", "key-7");
        let last = noon().plus(Duration::from_millis(59_999));
        for _ in 0..600 {
            assert_eq!(rates.check_and_count(key, 600, noon()), RateDecision::Allowed);
        }
        assert_eq!(rates.check_and_count(key, 600, last), RateDecision::Exceeded);
        assert_eq!(rates.check_and_count(key, 600, noon().plus(Duration::from_secs(60))), RateDecision::Allowed);
    }

    #[test]
    fn action_project_and_actor_count_apart_and_do_not_run_together() {
        let rates = RateLimiter::default();
        let asked = [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a", "b", "C"), ("a", "B", "c")];
        for (action, project, actor) in asked {
            assert_eq!(rates.check_and_count((action, project, actor), 1, noon()), RateDecision::Allowed, "{action} {project} {actor}");
        }
        assert_eq!(rates.check_and_count(("a", "b", "c"), 1, noon()), RateDecision::Exceeded);
    }

    #[test]
    fn no_limit_counts_nothing() {
        let rates = RateLimiter::default();
        for _ in 0..10 {
            assert_eq!(rates.check_and_count(7, 0, noon()), RateDecision::Allowed);
        }
        assert_eq!(rates.check_and_count(7, 1, noon()), RateDecision::Allowed);
    }

    #[test]
    fn a_flood_of_names_does_not_free_the_one_who_is_over_the_limit_nor_refuse_another() {
        let rates = RateLimiter::new(1);
        let key = ("git-upload-pack", "group/project.git", "key-7");
        for _ in 0..50 {
            let _counted = rates.check_and_count(key, 10, noon());
        }
        for flood in 0..20_000 {
            let name = ("git-upload-pack", &format!("no/{flood}"), "key-8");
            assert_eq!(rates.check_and_count(name, 10, noon()), RateDecision::Allowed);
        }
        assert_eq!(rates.check_and_count(key, 10, noon()), RateDecision::Exceeded);
        assert_eq!(
            rates.shards.iter().map(|shard| shard.lock().unwrap().len() * SLOTS_PER_SET).sum::<usize>(),
            SHARD_COUNT * SLOTS_PER_SET
        );
    }

    #[test]
    fn counts_of_another_minute_give_way_first() {
        let rates = RateLimiter::new(1);
        let key = |n: u64| n * SHARD_COUNT as u64;
        for old in 1..=SLOTS_PER_SET as u64 {
            for _ in 0..5 {
                let _counted = rates.check_key(key(old), 9, noon());
            }
        }
        let later = noon().plus(Duration::from_secs(60));
        for new in 100..100 + SLOTS_PER_SET as u64 {
            assert_eq!(rates.check_key(key(new), 1, later), RateDecision::Allowed);
        }
        for new in 100..100 + SLOTS_PER_SET as u64 {
            assert_eq!(rates.check_key(key(new), 1, later), RateDecision::Exceeded);
        }
    }

    proptest! {
        #[test]
        fn with_room_for_all_it_counts_as_a_map_would(steps in prop::collection::vec((0..5_u64, 0..4_u64), 0..80)) {
            let rates = RateLimiter::default();
            let mut counts = HashMap::new();
            let mut minute = 0;
            for (key, step) in steps {
                // Now and then the next minute: what it does when time goes back is promised to nobody.
                minute += u64::from(step == 3);
                let now = noon().plus(Duration::from_secs(60 * minute));
                let latest = counts.entry(key).or_insert((minute, 0));
                if latest.0 != minute {
                    *latest = (minute, 0);
                }
                latest.1 += 1;
                let expected = if latest.1 > 3 { RateDecision::Exceeded } else { RateDecision::Allowed };
                prop_assert_eq!(rates.check_and_count(key, 3, now), expected);
            }
        }
    }
}
