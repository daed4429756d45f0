//! Which key was used and which user was active, until it is reported: each again only when its schedule says so, lossy under pressure and
//! counted. (server.md 1.5)
//!
//! A primary is told once a day. The mirror of a GitLab looks whether a used key is still there, so it is told at the first use and then as
//! often as it looks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::api::request::RequestTime;
use crate::model::id::Id;
use crate::model::time::BootTime;

/// How many are noted before more are dropped until others are due again.
const MAX_PENDING: usize = 200_000;
/// The most of one batch.
const MAX_BATCH_ITEMS: usize = 5_000;
/// How often a mirror looks that has not said it.
const VERIFY_EVERY: Duration = Duration::from_secs(600);
const SECONDS_PER_DAY: i64 = 86_400;

/// How often the use of one key or user is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportSchedule {
    /// Once on each day.
    Daily,
    /// At most once in so much time.
    Every(Duration),
}

impl ReportSchedule {
    /// What a mirror is told before it has said how often it looks.
    pub const OF_MIRROR: Self = Self::Every(VERIFY_EVERY);
}

/// What was used, and whether it has been reported.
pub struct UsageBuffer {
    pending: Mutex<PendingUsage>,
    noted: Notify,
    dropped: AtomicU64,
    reported: AtomicU64,
}

struct PendingUsage {
    schedule: ReportSchedule,
    day: i64,
    /// What is to be reported.
    waiting: HashSet<UsedItem>,
    /// When the rest was.
    reported_at: HashMap<UsedItem, BootTime>,
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
    /// Creates an empty buffer.
    #[must_use]
    pub fn new(schedule: ReportSchedule) -> Self {
        let pending = PendingUsage { schedule, day: 0, waiting: HashSet::new(), reported_at: HashMap::new() };
        Self { pending: Mutex::new(pending), noted: Notify::new(), dropped: AtomicU64::new(0), reported: AtomicU64::new(0) }
    }

    /// Notes that a key was used and a user was active.
    pub fn record(&self, key: Option<Id>, user: Option<Id>, now: RequestTime) {
        let mut pending = self.lock();
        pending.begin_day(now);
        for used in [key.map(UsedItem::Key), user.map(UsedItem::User)].into_iter().flatten() {
            if !pending.is_due(used, now.boot) {
                continue;
            }
            if pending.has_room(used, now.boot) {
                pending.wait(used);
                self.noted.notify_one();
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Notes that a key was used.
    pub fn record_key(&self, key: Option<Id>, now: RequestTime) {
        self.record(key, None, now);
    }

    /// Notes that a key was used that is not known any more where the report goes to: it is reported also if it was a moment ago.
    pub fn record_denied_key(&self, key: Option<Id>, now: RequestTime) {
        let Some(used) = key.map(UsedItem::Key) else { return };
        self.lock().reported_at.remove(&used);
        self.record_key(key, now);
    }

    /// Reports by another schedule from now on.
    pub fn set_schedule(&self, schedule: ReportSchedule) {
        self.lock().schedule = schedule;
    }

    /// Returns the schedule.
    pub fn schedule(&self) -> ReportSchedule {
        self.lock().schedule
    }

    /// Waits until something is to be reported. Only one task may wait.
    pub async fn wait_for_use(&self) {
        while self.lock().waiting.is_empty() {
            self.noted.notified().await;
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
    pub fn take_batch(&self, now: BootTime) -> Vec<UsedItem> {
        let mut pending = self.lock();
        let batch: Vec<UsedItem> = pending.waiting.iter().copied().take(MAX_BATCH_ITEMS).collect();
        for used in &batch {
            pending.waiting.remove(used);
            pending.reported_at.insert(*used, now);
        }
        batch
    }

    /// Keeps a batch that could not be reported for the next time.
    pub fn restore_batch(&self, batch: &[UsedItem]) {
        let mut pending = self.lock();
        for used in batch {
            pending.wait(*used);
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingUsage> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingUsage {
    /// Forgets on a new day what was reported before, if each day counts anew.
    fn begin_day(&mut self, now: RequestTime) {
        let day = now.wall.seconds().div_euclid(SECONDS_PER_DAY);
        if self.schedule == ReportSchedule::Daily && self.day != day {
            self.reported_at.clear();
        }
        self.day = day;
    }

    /// Returns whether a use is to be reported, and does not wait for that already.
    fn is_due(&self, used: UsedItem, now: BootTime) -> bool {
        match (self.reported_at.get(&used), self.schedule) {
            _ if self.waiting.contains(&used) => false,
            (None, _) => true,
            (Some(_), ReportSchedule::Daily) => false,
            (Some(reported_at), ReportSchedule::Every(interval)) => now.since(*reported_at) >= interval,
        }
    }

    fn wait(&mut self, used: UsedItem) {
        self.reported_at.remove(&used);
        self.waiting.insert(used);
    }

    /// Returns whether there is room for one more; what would be due again makes some.
    fn has_room(&mut self, used: UsedItem, now: BootTime) -> bool {
        if self.len() < MAX_PENDING || self.reported_at.contains_key(&used) {
            return true;
        }
        if let ReportSchedule::Every(interval) = self.schedule {
            self.reported_at.retain(|_, reported_at| now.since(*reported_at) < interval);
        }
        self.len() < MAX_PENDING
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.reported_at.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_PENDING, ReportSchedule, UsageBuffer, UsedItem};
    use crate::api::request::RequestTime;
    use crate::model::id::Id;
    use crate::model::time::{BootTime, Time};

    fn at(seconds: u64) -> RequestTime {
        let wall = Time::from_milliseconds(i64::try_from(seconds).unwrap() * 1000).unwrap();
        RequestTime { wall, boot: BootTime(Duration::from_secs(seconds)) }
    }

    fn key(number: u64) -> Option<Id> {
        Some(number.try_into().unwrap())
    }

    #[test]
    fn a_key_is_reported_once_a_day() {
        let usage = UsageBuffer::new(ReportSchedule::Daily);
        usage.record_key(key(7), at(10));
        assert_eq!(usage.take_batch(at(10).boot), [UsedItem::Key("7".parse().unwrap())]);
        usage.record_key(key(7), at(20));
        assert!(usage.take_batch(at(20).boot).is_empty());
        usage.record_key(key(7), at(86_400));
        assert_eq!(usage.take_batch(at(86_400).boot).len(), 1);
    }

    #[test]
    fn by_an_interval_a_key_is_reported_at_its_first_use_and_then_at_most_once_in_it() {
        let usage = UsageBuffer::new(ReportSchedule::Every(Duration::from_secs(600)));
        let reported = |seconds| {
            usage.record_key(key(7), at(seconds));
            usage.record_key(key(7), at(seconds));
            usage.take_batch(at(seconds).boot).len()
        };
        assert_eq!([10, 11, 609, 610, 611, 86_400].map(reported), [1, 0, 0, 1, 0, 1]);
        usage.set_schedule(ReportSchedule::Every(Duration::from_secs(5)));
        assert_eq!([86_404, 86_405].map(reported), [0, 1], "the mirror says how often it looks");
        usage.record_denied_key(key(7), at(86_405));
        assert_eq!(usage.take_batch(at(86_405).boot).len(), 1, "a key that GitLab does not know is looked at now");
    }

    #[test]
    fn a_batch_that_failed_is_sent_again() {
        let usage = UsageBuffer::new(ReportSchedule::Daily);
        usage.record(key(7), key(8), at(10));
        let batch = usage.take_batch(at(10).boot);
        usage.restore_batch(&batch);
        assert_eq!(usage.take_batch(at(11).boot).len(), 2);
    }

    #[test]
    fn one_more_than_there_is_room_for_is_dropped_and_counted_until_others_are_due_again() {
        let usage = UsageBuffer::new(ReportSchedule::Every(Duration::from_secs(600)));
        let most = MAX_PENDING as u64;
        (1..=most).for_each(|number| usage.record_key(key(number), at(10)));
        usage.record_key(key(most + 1), at(10));
        assert_eq!(usage.totals().1, 1);
        while !usage.take_batch(at(10).boot).is_empty() {}
        usage.record_key(key(most + 1), at(609));
        assert_eq!(usage.totals().1, 2);
        usage.record_key(key(most + 1), at(610));
        assert_eq!((usage.totals().1, usage.take_batch(at(610).boot).len()), (2, 1));
    }
}
