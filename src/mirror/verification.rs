//! Verification: the keys that hosts report as used are asked of GitLab now and then, so that a removal whose hook was lost is found where it
//! matters.
//!
//! A database that was restored, or is the wrong one, denies many keys. So a key that is denied goes only if GitLab still knows the others: a
//! sample of them is asked before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::mirror::alarms::AlarmReason;
use crate::mirror::directory::finding::Source;
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::questions::Unanswered;
use crate::mirror::settle::Settler;
use crate::model::id::Id;
use crate::model::time::BootTime;

/// The most keys that are remembered.
const MAX_REMEMBERED: usize = 1_000_000;
/// How long is waited after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The keys to verify.
pub struct Verification {
    settler: Arc<Settler>,
    every: Duration,
    keys: Mutex<UsedKeys>,
    reported: Notify,
}

#[derive(Default)]
struct UsedKeys {
    /// When each was verified last, or reported; those that wait are in the queue too.
    verified: HashMap<Id, Option<BootTime>>,
    /// Those that wait, and when each was reported.
    queue: VecDeque<(Id, BootTime)>,
    asked: u64,
    removed: u64,
}

/// What came of one verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verified {
    /// GitLab has the key, or nobody holds it any more.
    Known,
    /// GitLab does not have it, and it was removed.
    Removed,
    /// GitLab denies it, and many others as well.
    Doubted,
}

/// What is known of verifications, for the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationStatus {
    /// How many keys wait.
    pub waiting: usize,
    /// How many were asked since the start.
    pub asked: u64,
    /// How many of these GitLab did not have any more.
    pub removed: u64,
}

impl Verification {
    /// Returns no keys to verify, each at most once in `every`.
    #[must_use]
    pub fn new(settler: Arc<Settler>, every: Duration) -> Self {
        Self { settler, every, keys: Mutex::default(), reported: Notify::new() }
    }

    /// Returns how often a key is verified.
    #[must_use]
    pub const fn every(&self) -> Duration {
        self.every
    }

    /// Notes that a host has used some keys.
    pub fn report(&self, ids: impl IntoIterator<Item = Id>) {
        let now = self.settler.questions.clock().boot_time();
        let mut keys = self.keys();
        for id in ids {
            let is_due = match keys.verified.get(&id) {
                Some(Some(verified)) => now.since(*verified) >= self.every,
                Some(None) => false,
                None => true,
            };
            if is_due && keys.make_room(now, self.every) {
                keys.verified.insert(id, None);
                keys.queue.push_back((id, now));
            }
        }
        drop(keys);
        self.reported.notify_one();
    }

    /// Returns what is known of verifications.
    #[must_use]
    pub fn status(&self) -> VerificationStatus {
        let keys = self.keys();
        VerificationStatus { waiting: keys.queue.len(), asked: keys.asked, removed: keys.removed }
    }

    /// Verifies the keys that were reported, one after the other, for ever.
    pub async fn run(&self) {
        loop {
            let next = self.keys().queue.pop_front();
            let Some((id, reported)) = next else {
                self.reported.notified().await;
                continue;
            };
            match self.verify(id).await {
                Ok(verified) => {
                    let mut keys = self.keys();
                    keys.asked += 1;
                    keys.removed += u64::from(verified == Verified::Removed);
                    match verified {
                        // The next report of it is asked again.
                        Verified::Doubted => drop(keys.verified.remove(&id)),
                        // It counts from the report, or the next one would come a moment too early.
                        Verified::Known | Verified::Removed => drop(keys.verified.insert(id, Some(reported))),
                    }
                }
                Err(Unanswered(reason)) => {
                    tracing::debug!(%reason, "key {id} could not be verified: {reason}");
                    tokio::time::sleep(RETRY_DELAY).await;
                    self.keys().queue.push_back((id, reported));
                }
            }
        }
    }

    /// Asks for one key.
    async fn verify(&self, id: Id) -> Result<Verified, Unanswered> {
        let Settler { directory, questions, alarms, .. } = &*self.settler;
        let Some(held) = directory.key(id).map_err(|error| Unanswered(error.to_string()))? else { return Ok(Verified::Known) };
        let (found, asked_at) = questions.login_key(Priority::Verification, &held.key).await?;
        if found == Some(id) {
            questions.prove(asked_at);
            if alarms.stands(AlarmReason::KeysDenied) {
                self.settler.are_others_known(held.id).await?;
            }
            return Ok(Verified::Known);
        }
        if !self.settler.are_others_known(held.id).await? {
            return Ok(Verified::Doubted);
        }
        self.settler.key(&held.key, Source::Verification, Priority::Verification).await?;
        let is_held = directory.key(id).map_err(|error| Unanswered(error.to_string()))?.is_some();
        Ok(if is_held { Verified::Known } else { Verified::Removed })
    }

    fn keys(&self) -> MutexGuard<'_, UsedKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UsedKeys {
    /// Forgets what may be verified again anyway, if too much is remembered. False: there is no room.
    fn make_room(&mut self, now: BootTime, every: Duration) -> bool {
        if self.verified.len() >= MAX_REMEMBERED {
            self.verified.retain(|_, verified| verified.is_none_or(|at| now.since(at) < every));
        }
        self.verified.len() < MAX_REMEMBERED
    }
}
