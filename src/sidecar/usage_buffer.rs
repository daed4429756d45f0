//! Which key was used and which user was active, by day, until it is reported: each at most once a day, lossy under pressure and counted.
//! (server.md 1.5)

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::model::id::Id;
use crate::model::time::Time;

/// How many are noted before more are dropped until the day changes.
const MAX_PENDING: usize = 200_000;
/// The most of one batch.
const MAX_BATCH_ITEMS: usize = 5_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// What was used today, and whether it has been reported.
#[derive(Default)]
pub struct UsageBuffer {
    pending: Mutex<PendingUsage>,
    dropped: AtomicU64,
    reported: AtomicU64,
}

#[derive(Default)]
struct PendingUsage {
    day: i64,
    reported_by_item: HashMap<UsedItem, bool>,
}

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsedItem {
    /// A key.
    Key(Id),
    /// A user.
    User(Id),
}

impl UsageBuffer {
    /// Notes that a key was used and a user was active, for today's report.
    pub fn record(&self, key: Option<Id>, user: Option<Id>, now: Time) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.seconds().div_euclid(SECONDS_PER_DAY);
        if pending.day != day {
            pending.reported_by_item.retain(|_, reported| !*reported);
            pending.reported_by_item.values_mut().for_each(|reported| *reported = false);
            pending.day = day;
        }
        for used in [key.map(UsedItem::Key), user.map(UsedItem::User)].into_iter().flatten() {
            if pending.reported_by_item.contains_key(&used) {
                continue;
            }
            if pending.reported_by_item.len() >= MAX_PENDING {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                pending.reported_by_item.insert(used, false);
            }
        }
    }

    /// Returns how many were reported, and how many were dropped for want of room.
    pub fn totals(&self) -> (u64, u64) {
        (self.reported.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    /// Counts items that the primary has taken.
    pub fn count_reported(&self, items: usize) {
        self.reported.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Takes what is to be reported next.
    pub fn take_batch(&self) -> Vec<UsedItem> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let batch: Vec<UsedItem> =
            pending.reported_by_item.iter().filter(|(_, reported)| !**reported).map(|(used, _)| *used).take(MAX_BATCH_ITEMS).collect();
        for used in &batch {
            pending.reported_by_item.insert(*used, true);
        }
        batch
    }

    /// Keeps a batch that could not be reported for the next time.
    pub fn restore_batch(&self, batch: &[UsedItem]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for used in batch {
            pending.reported_by_item.insert(*used, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{UsageBuffer, UsedItem};
    use crate::model::time::Time;

    fn at(seconds: i64) -> Time {
        Time::from_milliseconds(seconds * 1000).unwrap()
    }

    #[test]
    fn a_key_is_reported_once_a_day() {
        let usage = UsageBuffer::default();
        let key = "7".parse().ok();
        usage.record(key, None, at(10));
        assert_eq!(usage.take_batch(), [UsedItem::Key("7".parse().unwrap())]);
        usage.record(key, None, at(20));
        assert!(usage.take_batch().is_empty());
        usage.record(key, None, at(86_400));
        assert_eq!(usage.take_batch().len(), 1);
    }

    #[test]
    fn a_batch_that_failed_is_sent_again() {
        let usage = UsageBuffer::default();
        usage.record("7".parse().ok(), "8".parse().ok(), at(10));
        let batch = usage.take_batch();
        usage.restore_batch(&batch);
        assert_eq!(usage.take_batch().len(), 2);
    }
}
