//! When GitLab was last heard: what the lines of the feed are dated by. The mirror proves GitLab, not itself.
//!
//! Each good answer counts from when its question was sent. While the short walk fails, which finds blocked users, nothing later than its
//! last good beginning counts, and while the internal API fails, without which no removal is confirmed, nothing later than its last answer:
//! hosts then grow stale and ask GitLab themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::clock;
use crate::model::clock_reading::ClockReading;
use crate::model::time::{BootTime, Time};
use crate::primary::replication::feed_clock::own_boot_id;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const STORE_KEY: &[u8] = b"mirror/proof";
/// The short walk may be late by so many of its intervals before it counts as failing.
const LATE_INTERVALS: u32 = 3;
/// It is given at least so long.
const MIN_LATENESS: Duration = Duration::from_secs(60);

/// When GitLab was last heard.
pub struct GitlabProof {
    private_store: PrivateStore,
    longest_walk_gap: Duration,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// When the last question with a good answer was sent.
    answered: Option<BootTime>,
    /// When the last good short walk began.
    walked: Option<BootTime>,
    /// When the last question with a good answer of the internal API was sent.
    internal: Option<BootTime>,
    /// What a process before this one has left.
    before: Option<ClockReading>,
    persisted: Option<ClockReading>,
}

impl GitlabProof {
    /// Returns the proof of a GitLab that was never heard. `recent` is how often short walks are made.
    #[must_use]
    pub fn unheard(private_store: &PrivateStore, recent: Duration) -> Self {
        let longest_walk_gap = recent.saturating_mul(LATE_INTERVALS).max(MIN_LATENESS);
        Self { private_store: private_store.clone(), longest_walk_gap, heard: Mutex::default() }
    }

    /// Reads what the last process has left. Blocks.
    pub fn load_last(&self) -> Result<(), StoreError> {
        let stored = self.private_store.read(STORE_KEY)?;
        self.heard().before = stored.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse().ok());
        Ok(())
    }

    /// Notes that a question which was sent at `asked` had a good answer, and that what follows from it is published.
    pub fn answered(&self, asked: BootTime) {
        let mut heard = self.heard();
        heard.answered = heard.answered.max(Some(asked));
    }

    /// Notes that a short walk which began at `began` came to its end.
    pub fn walked(&self, began: BootTime) {
        let mut heard = self.heard();
        heard.walked = heard.walked.max(Some(began));
    }

    /// Notes that a question to the internal API which was sent at `asked` had a good answer.
    pub fn internal_answered(&self, asked: BootTime) {
        let mut heard = self.heard();
        heard.internal = heard.internal.max(Some(asked));
    }

    /// Returns how long ago the internal API was last heard; `None`, if not by this process.
    #[must_use]
    pub fn internal_age(&self, now: BootTime) -> Option<Duration> {
        self.heard().internal.map(|internal| now.since(internal))
    }

    /// Returns when the last good short walk began, in ages; `None`: none has ended in this process.
    #[must_use]
    pub fn walk_age(&self, now: BootTime) -> Option<Duration> {
        self.heard().walked.map(|walked| now.since(walked))
    }

    /// Returns how old the last good short walk may be before what is answered proves nothing more.
    #[must_use]
    pub const fn longest_walk_gap(&self) -> Duration {
        self.longest_walk_gap
    }

    /// Returns how long ago GitLab was last heard; `None`, if not by this process.
    #[must_use]
    pub fn age(&self, now: BootTime) -> Option<Duration> {
        self.heard().answered.map(|answered| now.since(answered))
    }

    /// Returns the reading of our clock that the directory is proven for; `None`: GitLab was never heard.
    #[must_use]
    pub fn reading(&self) -> Option<ClockReading> {
        let now = clock::boot_time();
        let heard = self.heard();
        let Some(proven) = heard.proven(now, self.longest_walk_gap) else { return heard.before.clone() };
        let boot_id = own_boot_id()?.clone();
        Some(ClockReading { boot_id, boot_time: proven, wall_time: earlier(clock::wall_time(), now.since(proven)) })
    }

    /// Stores the reading for the next process, if it is another one. Blocks.
    pub fn persist(&self) -> Result<(), StoreError> {
        let Some(reading) = self.reading() else { return Ok(()) };
        if self.heard().persisted.as_ref() == Some(&reading) {
            return Ok(());
        }
        let value = reading.to_string().into_bytes();
        self.private_store.write(PrivateWrites { entries: vec![(STORE_KEY.to_vec(), Some(value))] })?;
        self.heard().persisted = Some(reading);
        Ok(())
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn proven(&self, now: BootTime, longest_walk_gap: Duration) -> Option<BootTime> {
        let (answered, walked, internal) = (self.answered?, self.walked?, self.internal?);
        let walk_bound = if now.since(walked) > longest_walk_gap { walked } else { answered };
        let internal_bound = if now.since(internal) > MIN_LATENESS { internal } else { answered };
        Some(answered.min(walk_bound).min(internal_bound))
    }
}

fn earlier(time: Time, by: Duration) -> Time {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Time::from_milliseconds(time.milliseconds().saturating_sub(by)).unwrap_or(Time::EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Heard;
    use crate::model::time::BootTime;

    fn at(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    #[test]
    fn the_last_answer_dates_the_feed_for_as_long_as_short_walks_come_to_their_end() {
        let gap = Duration::from_secs(90);
        let heard = |answered, walked, internal| Heard {
            answered: Some(at(answered)),
            walked: Some(at(walked)),
            internal: Some(at(internal)),
            ..Heard::default()
        };
        assert_eq!(heard(200, 120, 199).proven(at(210), gap), Some(at(200)));
        assert_eq!(heard(500, 120, 500).proven(at(510), gap), Some(at(120)), "the walk fails while questions are answered");
        assert_eq!(heard(500, 490, 400).proven(at(510), gap), Some(at(400)), "the internal API fails");
        assert_eq!(Heard { walked: None, ..heard(1, 1, 1) }.proven(at(2), gap), None, "blocks were never looked for");
        assert_eq!(Heard { internal: None, ..heard(1, 1, 1) }.proven(at(2), gap), None, "no removal could be confirmed");
    }
}
