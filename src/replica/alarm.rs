//! Alarms: what an operator must look at. Raised and cleared by name, counted, and logged without flooding the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::model::time::Time;

/// A standing alarm is logged again after this time.
const REPEAT_LOG_INTERVAL: Duration = Duration::from_secs(300);

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// The store did not equal what the primary said.
    Drift,
    /// The primary knows another past than this host (409), or is behind it.
    PrimaryWentBack,
    /// A snapshot lacks too many keys.
    LossHeld,
    /// The store on disk was damaged.
    Damage,
    /// The store cannot be written.
    Store,
    /// The primary refuses our token.
    Forbidden,
    /// The feed cannot be understood.
    Garbled,
    /// A part of the following has ended by a fault of this program.
    Ended,
}

/// A standing alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveAlarm {
    /// What.
    pub alarm: Alarm,
    /// For a person: what happened, what goes on working, what to do.
    pub message: String,
    /// Since when.
    pub since: Time,
    /// How often it was raised since.
    pub times: u64,
}

/// All alarms of a replica.
#[derive(Debug, Default)]
pub struct Alarms {
    inner: Mutex<AlarmState>,
}

#[derive(Debug, Default)]
struct AlarmState {
    active: BTreeMap<Alarm, (ActiveAlarm, Time)>,
    raised_total: u64,
}

impl Alarms {
    /// Something is wrong, or still is.
    pub fn raise(&self, alarm: Alarm, message: impl Into<String>, now: Time) {
        let message = message.into();
        if self.record(alarm, &message, now) {
            tracing::error!(?alarm, "{message}");
        }
    }

    /// It is well again.
    pub fn clear(&self, alarm: Alarm) {
        if self.lock().active.remove(&alarm).is_some() {
            tracing::info!(?alarm, "the alarm is over");
        }
    }

    /// What stands now.
    #[must_use]
    pub fn active(&self) -> Vec<ActiveAlarm> {
        self.lock().active.values().map(|(standing, _)| standing.clone()).collect()
    }

    /// How many were raised since the start, repetitions not counted.
    #[must_use]
    pub fn raised_total(&self) -> u64 {
        self.lock().raised_total
    }

    /// Whether it is to be logged.
    fn record(&self, alarm: Alarm, message: &str, now: Time) -> bool {
        let mut inner = self.lock();
        if let Some((standing, logged)) = inner.active.get_mut(&alarm) {
            standing.times += 1;
            message.clone_into(&mut standing.message);
            let again = now.since(*logged) >= REPEAT_LOG_INTERVAL;
            if again {
                *logged = now;
            }
            return again;
        }
        inner.raised_total += 1;
        let standing = ActiveAlarm { alarm, message: message.to_owned(), since: now, times: 1 };
        inner.active.insert(alarm, (standing, now));
        true
    }

    fn lock(&self) -> MutexGuard<'_, AlarmState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Alarm, Alarms, REPEAT_LOG_INTERVAL};
    use crate::model::time::Time;

    #[test]
    fn an_active_alarm_is_logged_once_and_then_every_five_minutes() {
        let alarms = Alarms::default();
        let at = |time| Time::EPOCH.plus(time);
        assert!(alarms.record(Alarm::Drift, "a", at(Duration::ZERO)));
        assert!(!alarms.record(Alarm::Drift, "b", at(REPEAT_LOG_INTERVAL - Duration::from_millis(1))));
        assert!(alarms.record(Alarm::Drift, "c", at(REPEAT_LOG_INTERVAL)));
        let standing = alarms.active();
        assert_eq!((standing[0].message.as_str(), standing[0].since, standing[0].times), ("c", Time::EPOCH, 3));
        alarms.clear(Alarm::Drift);
        assert!(alarms.active().is_empty());
        assert!(alarms.record(Alarm::Drift, "d", at(REPEAT_LOG_INTERVAL)));
        assert_eq!(alarms.raised_total(), 2);
    }
}
