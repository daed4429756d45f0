//! How much was removed lately, by whatever source: the measure that the loss guard judges.
//!
//! A GitLab that was restored from a backup, or that has the wrong database, denies what it knew, one answer after the other. So removals
//! add up over a day, over restarts too, and whether one more is too many is asked before it is made.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::request::RequestTime;
use crate::model::loss_guard::{Loss, LossGuard};
use crate::model::time::{BootTime, Time};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const STORE_KEY: &[u8] = b"mirror/removals";

/// For how long a removal counts.
const PERIOD: Duration = Duration::from_secs(24 * 3600);
/// Removals of one such piece of time are counted together.
const BUCKET: Duration = Duration::from_secs(900);

/// So many records, and more than this share of all, are too many also where the guard lets so small a number through.
const FEW: u64 = 5;
const MOST: f64 = 0.5;

/// A kind of record of which removals are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemovedKind {
    /// Users.
    User,
    /// Keys, whoever's.
    Key,
}

impl RemovedKind {
    /// Returns the kind's name in a sentence, in the plural.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Key => "keys",
        }
    }
}

/// The removals of the last day.
#[derive(Debug, Default)]
pub struct RecentRemovals {
    buckets: VecDeque<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    since: BootTime,
    /// How old it was at `since` already: it was counted by a process before.
    age_before: Duration,
    users: u64,
    keys: u64,
}

/// A bucket as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredBucket {
    since: Time,
    users: u64,
    keys: u64,
}

impl Bucket {
    fn age(&self, now: BootTime) -> Duration {
        self.age_before + now.since(self.since)
    }
}

impl RecentRemovals {
    /// Reads what the last process has counted; their ages are by the wall clock. What another version wrote is forgotten. Blocks.
    pub fn load(store: &PrivateStore, now: RequestTime) -> Result<Self, StoreError> {
        let stored = store.read(STORE_KEY)?;
        let stored: Vec<StoredBucket> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let read = |StoredBucket { since, users, keys }| Bucket { since: now.boot, age_before: now.wall.since(since), users, keys };
        Ok(Self { buckets: stored.into_iter().map(read).collect() })
    }

    /// Stores what is counted. On disk when it returns. Blocks.
    pub fn store(&self, store: &PrivateStore, now: RequestTime) -> Result<(), StoreError> {
        let stored = self.buckets.iter().map(|bucket| StoredBucket {
            since: now.wall.minus(bucket.age(now.boot)),
            users: bucket.users,
            keys: bucket.keys,
        });
        let value = serde_json::to_vec(&stored.collect::<Vec<_>>()).map_err(|error| StoreError(error.to_string()))?;
        store.write(PrivateWrites { entries: vec![(STORE_KEY.to_vec(), Some(value))] })
    }

    /// Counts removals that were made.
    pub fn record(&mut self, users: u64, keys: u64, now: BootTime) {
        if users == 0 && keys == 0 {
            return;
        }
        self.forget_old(now);
        match self.buckets.back_mut().filter(|bucket| bucket.age(now) < BUCKET) {
            Some(bucket) => {
                bucket.users += users;
                bucket.keys += keys;
            }
            None => self.buckets.push_back(Bucket { since: now, age_before: Duration::ZERO, users, keys }),
        }
    }

    /// Forgets what an operator has accepted.
    pub fn clear(&mut self) {
        self.buckets.clear();
    }

    /// Returns how many were removed within the last day.
    pub fn count(&mut self, kind: RemovedKind, now: BootTime) -> u64 {
        self.forget_old(now);
        let of = |bucket: &Bucket| match kind {
            RemovedKind::User => bucket.users,
            RemovedKind::Key => bucket.keys,
        };
        self.buckets.iter().map(of).sum()
    }

    /// Returns the loss that the guard wants confirmed, if `more` of the `held` records of a kind are removed too.
    pub fn excessive_loss(&mut self, guard: LossGuard, kind: RemovedKind, more: u64, held: u64, now: BootTime) -> Option<Loss> {
        let before = self.count(kind, now);
        let loss = Loss { lost: before + more, total: held + before };
        (more > 0 && (guard.requires_confirmation(loss) || is_most_of_few(guard, loss))).then_some(loss)
    }

    fn forget_old(&mut self, now: BootTime) {
        while self.buckets.front().is_some_and(|bucket| bucket.age(now) >= PERIOD + BUCKET) {
            self.buckets.pop_front();
        }
    }
}

/// Returns whether most of a small GitLab's records would go: its whole directory is below the number that the guard lets through.
#[expect(clippy::cast_precision_loss, reason = "a share of a count need not be exact beyond 2^52")]
fn is_most_of_few(guard: LossGuard, loss: Loss) -> bool {
    loss.lost >= FEW && loss.lost as f64 > guard.share.max(MOST) * loss.total as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RecentRemovals, RemovedKind};
    use crate::model::loss_guard::{Loss, LossGuard};
    use crate::model::time::BootTime;

    fn hours(hours: u64) -> BootTime {
        BootTime(Duration::from_secs(hours * 3600))
    }

    #[test]
    fn removals_one_by_one_add_up_and_a_day_later_they_do_not() {
        let (guard, mut removals) = (LossGuard { share: 0.2, more_than: 10 }, RecentRemovals::default());
        for lost in 1..=20 {
            assert_eq!(removals.excessive_loss(guard, RemovedKind::Key, 1, 101 - lost, hours(1)), None, "{lost}");
            removals.record(0, 1, hours(1));
        }
        assert_eq!(removals.excessive_loss(guard, RemovedKind::Key, 1, 80, hours(2)), Some(Loss { lost: 21, total: 100 }));
        assert_eq!(removals.excessive_loss(guard, RemovedKind::Key, 0, 80, hours(2)), None, "nothing more is removed");
        assert_eq!(removals.excessive_loss(guard, RemovedKind::User, 1, 80, hours(2)), None);
        assert_eq!(removals.excessive_loss(guard, RemovedKind::Key, 1, 80, hours(27)), None);
        assert_eq!(removals.count(RemovedKind::Key, hours(27)), 0);
    }

    #[test]
    fn most_of_a_small_gitlab_does_not_go_unasked() {
        let loss = |guard, lost, total| RecentRemovals::default().excessive_loss(guard, RemovedKind::User, lost, total, hours(1)).is_some();
        assert!(loss(LossGuard::default(), 6, 10) && loss(LossGuard::default(), 5, 9));
        assert!(!loss(LossGuard::default(), 4, 4), "four of four may go");
        assert!(!loss(LossGuard::default(), 50, 100), "half may go");
        assert!(!loss(LossGuard { share: 1.0, more_than: 0 }, 10, 10), "a guard that lets all through lets few through");
    }
}
