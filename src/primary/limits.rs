//! How often one actor may do one thing to one project: so many a minute. (server.md 2.1)

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};
use std::sync::{Mutex, PoisonError};

use crate::model::time::Time;

/// Counters that are kept at once; beyond that the ones of past minutes go, and then no more are counted.
const MAX_COUNTERS: usize = 200_000;

/// The counters of the present minute.
#[derive(Default)]
pub struct OperationLimiter {
    hasher: foldhash::quality::RandomState,
    counters: Mutex<HashMap<u64, (i64, u32)>>,
}

impl OperationLimiter {
    /// Counts one more of what `scope` names; false if that is more than `per_minute` in this minute. 0 is no limit.
    #[must_use]
    pub fn allow(&self, scope: impl Hash, per_minute: u32, now: Time) -> bool {
        if per_minute == 0 {
            return true;
        }
        let minute = now.seconds().div_euclid(60);
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if counters.len() >= MAX_COUNTERS {
            counters.retain(|_, (counted_in, _)| *counted_in == minute);
        }
        if counters.len() >= MAX_COUNTERS {
            return true;
        }
        let (counted_in, count) = counters.entry(self.hasher.hash_one(scope)).or_insert((minute, 0));
        if *counted_in != minute {
            (*counted_in, *count) = (minute, 0);
        }
        *count = count.saturating_add(1);
        *count <= per_minute
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::OperationLimiter;
    use crate::model::time::Time;

    #[test]
    fn the_one_beyond_the_limit_is_refused_until_the_next_minute() {
        let limits = OperationLimiter::default();
        assert!(limits.allow(("pull", "g/p", 1), 1, Time::EPOCH));
        assert!(!limits.allow(("pull", "g/p", 1), 1, Time::EPOCH));
        assert!(limits.allow(("pull", "g/p", 2), 1, Time::EPOCH), "another actor has a count of its own");
        assert!(limits.allow(("pull", "g/p", 1), 1, Time::EPOCH.plus(Duration::from_secs(60))));
        assert!(limits.allow(("pull", "g/p", 1), 0, Time::EPOCH), "0 is no limit");
    }
}
