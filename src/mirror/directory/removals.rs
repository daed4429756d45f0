//! How much was removed lately, by whatever source: the measure that the loss guard judges.
//!
//! A GitLab that was restored from a backup, or that has the wrong database, denies what it knew, one answer after the other. So removals
//! add up over a day, and whether one more is too many is asked before it is made.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::loss_guard::{Loss, LossGuard};
use crate::model::time::BootTime;

/// For how long a removal counts.
const PERIOD: Duration = Duration::from_secs(24 * 3600);
/// Removals of one such piece of time are counted together.
const BUCKET: Duration = Duration::from_secs(900);

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
    users: u64,
    keys: u64,
}

impl RecentRemovals {
    /// Counts removals that were made.
    pub fn record(&mut self, users: u64, keys: u64, now: BootTime) {
        if users == 0 && keys == 0 {
            return;
        }
        self.forget_old(now);
        match self.buckets.back_mut().filter(|bucket| now.since(bucket.since) < BUCKET) {
            Some(bucket) => {
                bucket.users += users;
                bucket.keys += keys;
            }
            None => self.buckets.push_back(Bucket { since: now, users, keys }),
        }
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
        (more > 0 && guard.requires_confirmation(loss)).then_some(loss)
    }

    fn forget_old(&mut self, now: BootTime) {
        while self.buckets.front().is_some_and(|bucket| now.since(bucket.since) >= PERIOD + BUCKET) {
            self.buckets.pop_front();
        }
    }
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
}
