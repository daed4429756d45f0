//! How often somebody may do something: fixed windows of one minute for each (action, project as sent, actor). (server.md 2.1)
//!
//! The memory is fixed from the start. A count lives in one of a few places that its hash allows; where all are taken in this minute,
//! the lowest count gives way. So a flood of new names can make a count be forgotten, never one that is higher than its own, and
//! nobody is refused for what others did. The time is an argument, and one that goes back begins another window.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::time::Time;

/// Counts that are kept by default: 1 MiB.
pub const COUNTS: usize = 1 << 16;

const SHARDS: usize = 64;
const PLACES: usize = 8;

/// The counts of all.
pub struct Rates {
    shards: Vec<Mutex<Vec<Set>>>,
    /// Seeded anew in each process: who sends names cannot aim at the count of another.
    hash: RandomState,
}

/// Whether one more is within the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rate {
    /// It is.
    Within,
    /// It is one too many for this minute.
    Over,
}

type Set = [Count; PLACES];

#[derive(Clone, Copy, Default)]
struct Count {
    key: u64,
    minute: i64,
    times: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self::new(COUNTS)
    }
}

impl Rates {
    /// Keeps at least `counts` counts, rounded up to what its shards hold evenly.
    #[must_use]
    pub fn new(counts: usize) -> Self {
        let sets = counts.div_ceil(SHARDS * PLACES).max(1);
        let shards = (0..SHARDS).map(|_| Mutex::new(vec![Set::default(); sets])).collect();
        Self { shards, hash: RandomState::new() }
    }

    /// The key that something is counted by. `actor` says of which sort it is, as `key-7` and `user-7`.
    #[must_use]
    pub fn key(&self, action: &str, project: &str, actor: &str) -> u64 {
        self.hash.hash_one((action, project, actor))
    }

    /// Counts once more, and judges it: the first `limit` of a minute are within. A limit of 0 is none, and counts nothing.
    pub fn count(&self, key: u64, limit: u32, now: Time) -> Rate {
        if limit == 0 {
            return Rate::Within;
        }
        if self.once_more(key, now.seconds().div_euclid(60)) > limit { Rate::Over } else { Rate::Within }
    }

    fn once_more(&self, key: u64, minute: i64) -> u32 {
        let (shard, rest) = (key % SHARDS as u64, key / SHARDS as u64);
        let Some(mut sets) = self.shards.get(usize::try_from(shard).unwrap_or(0)).map(locked) else {
            return 0;
        };
        let set = usize::try_from(rest % sets.len() as u64).unwrap_or(0);
        sets.get_mut(set).map_or(0, |set| count_in(set, key, minute))
    }
}

fn count_in(set: &mut Set, key: u64, minute: i64) -> u32 {
    if let Some(count) = set.iter_mut().find(|count| count.key == key && count.minute == minute && count.times > 0) {
        count.times = count.times.saturating_add(1);
        return count.times;
    }
    let worth = |count: &&mut Count| if count.minute == minute { count.times } else { 0 };
    if let Some(least) = set.iter_mut().min_by_key(worth) {
        *least = Count { key, minute, times: 1 };
    }
    1
}

fn locked(shard: &Mutex<Vec<Set>>) -> MutexGuard<'_, Vec<Set>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{PLACES, Rate, Rates, SHARDS};
    use crate::model::time::Time;

    fn noon() -> Time {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn as_many_as_the_limit_are_within_and_the_next_minute_begins_anew() {
        let rates = Rates::default();
        let key = rates.key("git-upload-pack", "group/project.git", "key-7");
        let last = noon().plus(Duration::from_millis(59_999));
        for _ in 0..600 {
            assert_eq!(rates.count(key, 600, noon()), Rate::Within);
        }
        assert_eq!(rates.count(key, 600, last), Rate::Over);
        assert_eq!(rates.count(key, 600, noon().plus(Duration::from_secs(60))), Rate::Within);
    }

    #[test]
    fn action_project_and_actor_count_apart_and_do_not_run_together() {
        let rates = Rates::default();
        let asked = [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("a", "b", "C"), ("a", "B", "c")];
        for (action, project, actor) in asked {
            assert_eq!(rates.count(rates.key(action, project, actor), 1, noon()), Rate::Within, "{action} {project} {actor}");
        }
        assert_eq!(rates.count(rates.key("a", "b", "c"), 1, noon()), Rate::Over);
    }

    #[test]
    fn no_limit_counts_nothing() {
        let rates = Rates::default();
        for _ in 0..10 {
            assert_eq!(rates.count(7, 0, noon()), Rate::Within);
        }
        assert_eq!(rates.count(7, 1, noon()), Rate::Within);
    }

    #[test]
    fn a_flood_of_names_does_not_free_the_one_who_is_over_the_limit_nor_refuse_another() {
        let rates = Rates::new(1);
        let key = rates.key("git-upload-pack", "group/project.git", "key-7");
        for _ in 0..50 {
            let _counted = rates.count(key, 10, noon());
        }
        for flood in 0..20_000 {
            let name = rates.key("git-upload-pack", &format!("no/{flood}"), "key-8");
            assert_eq!(rates.count(name, 10, noon()), Rate::Within);
        }
        assert_eq!(rates.count(key, 10, noon()), Rate::Over);
        assert_eq!(rates.shards.iter().map(|shard| shard.lock().unwrap().len() * PLACES).sum::<usize>(), SHARDS * PLACES);
    }

    #[test]
    fn counts_of_another_minute_give_way_first() {
        let rates = Rates::new(1);
        let key = |n: u64| n * SHARDS as u64;
        for old in 1..=PLACES as u64 {
            for _ in 0..5 {
                let _counted = rates.count(key(old), 9, noon());
            }
        }
        let later = noon().plus(Duration::from_secs(60));
        for new in 100..100 + PLACES as u64 {
            assert_eq!(rates.count(key(new), 1, later), Rate::Within);
        }
        for new in 100..100 + PLACES as u64 {
            assert_eq!(rates.count(key(new), 1, later), Rate::Over);
        }
    }

    proptest! {
        #[test]
        fn with_room_for_all_it_counts_as_a_map_would(steps in prop::collection::vec((0..5_u64, 0..4_u64), 0..80)) {
            let rates = Rates::default();
            let mut counts = HashMap::new();
            for (key, minute) in steps {
                let now = noon().plus(Duration::from_secs(60 * minute));
                let latest = counts.entry(key).or_insert((minute, 0));
                if latest.0 != minute {
                    *latest = (minute, 0);
                }
                latest.1 += 1;
                let expected = if latest.1 > 3 { Rate::Over } else { Rate::Within };
                prop_assert_eq!(rates.count(key, 3, now), expected);
            }
        }
    }
}
