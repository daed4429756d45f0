//! Alarms: what an operator must look at. Raised and cleared by kind, counted, and logged without flooding the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::model::time::Time;

/// An active alarm is logged again after this time.
const REPEAT_LOG_INTERVAL: Duration = Duration::from_secs(300);

/// The kinds of alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// The store does not equal what the primary says.
    Drift,
    /// The primary has another history than this host (409), or is behind it.
    PrimaryWentBack,
    /// A snapshot lacks too many keys.
    LossHeld,
    /// The store on disk was damaged.
    Damage,
    /// The store cannot be written.
    Store,
    /// Changes that restrict bind here, and the store could not take them.
    Unstored,
    /// The primary refuses this host: its token, or the bound that it may answer for.
    Forbidden,
    /// The feed cannot be understood.
    Garbled,
    /// Two records of the store lead to one repository.
    SharedRepositories,
    /// A replication task panicked.
    Ended,
}

impl Alarm {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Drift,
        Self::PrimaryWentBack,
        Self::LossHeld,
        Self::Damage,
        Self::Store,
        Self::Unstored,
        Self::Forbidden,
        Self::Garbled,
        Self::SharedRepositories,
        Self::Ended,
    ];

    /// Returns its name in logs and metrics, which is that in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::PrimaryWentBack => "primary_went_back",
            Self::LossHeld => "loss_held",
            Self::Damage => "damage",
            Self::Store => "store",
            Self::Unstored => "unstored",
            Self::Forbidden => "forbidden",
            Self::Garbled => "garbled",
            Self::SharedRepositories => "shared_repositories",
            Self::Ended => "ended",
        }
    }

    /// Returns what an operator should do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Drift => "wait for the snapshot; if the alarm stays for minutes, run `sidegate verify` and report what it says",
            Self::PrimaryWentBack => "if the primary was restored from a backup, run `sidegate admin new-epoch` there, once",
            Self::LossHeld => "look at the primary's directory; if those keys are meant to be gone, run `sidegate admin accept-loss` there",
            Self::Damage => "wait for the store to be built anew; look at the disk of `store.path` (`journalctl -k`)",
            Self::Store => "make room on the disk of `store.path`, or see why it takes no writes (`journalctl -k`)",
            Self::Unstored => "make room on the disk of `store.path`; what is missing is stored by itself",
            Self::Forbidden => {
                "compare `primary.sync_secret_file` (with a mirror `feed.sync_secret_file`) with the secret there, both clocks, and the largest `max_stale` with its `sync.longest_max_stale`"
            }
            Self::Garbled => {
                "look whether the URL leads to a sidegate primary or mirror, and whether a proxy changes its answers; else update this host"
            }
            Self::SharedRepositories => {
                "give each project of the directory a repository of its own; `sidegate admin export` has the records"
            }
            Self::Ended => "run `systemctl restart sidegate.service`, and report the log",
        }
    }

    /// Returns what is true again once it is over.
    #[must_use]
    pub const fn over(self) -> &'static str {
        match self {
            Self::Drift => "the store equals what the primary says",
            Self::PrimaryWentBack => "the primary and this host have one history again",
            Self::LossHeld => "no snapshot is held back for the keys that it lacks",
            Self::Damage => "the store on disk is whole again",
            Self::Store => "the store can be written again",
            Self::Unstored => "every change that restricts is in the store",
            Self::Forbidden => "the primary takes this host's token and its bound again",
            Self::Garbled => "the feed can be understood again",
            Self::SharedRepositories => "no two records of the store lead to one repository any more",
            Self::Ended => "all replication tasks run again",
        }
    }
}

/// How often an alarm of one kind was raised, and whether it is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmCount {
    /// Its name.
    pub kind: &'static str,
    /// Whether it is active.
    pub active: bool,
    /// How often it was raised since the start, repetitions not counted.
    pub raised: u64,
}

/// An alarm that was raised and not cleared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveAlarm {
    /// Its kind.
    pub alarm: Alarm,
    /// For a person: what happened, what goes on working, what to do.
    pub message: String,
    /// When it was raised first.
    pub since: Time,
    /// How often it was raised since then.
    pub times: u64,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The alarms of a replica.
#[derive(Debug, Default)]
pub struct Alarms {
    inner: Mutex<AlarmState>,
}

#[derive(Debug, Default)]
struct AlarmState {
    active: BTreeMap<Alarm, (ActiveAlarm, Time)>,
    raised: BTreeMap<Alarm, u64>,
}

impl Alarms {
    /// Raises an alarm, or repeats one that is active.
    pub fn raise(&self, alarm: Alarm, message: impl Into<String>, now: Time) {
        let message = message.into();
        if self.record(alarm, &message, now) {
            tracing::error!(alarm = alarm.as_str(), "{message}");
        }
    }

    /// Clears an alarm, if it is active.
    pub fn clear(&self, alarm: Alarm) {
        if self.lock().active.remove(&alarm).is_some() {
            let (kind, over) = (alarm.as_str(), alarm.over());
            tracing::info!(alarm = kind, "alarm cleared: {over}");
        }
    }

    /// Returns the active alarms.
    #[must_use]
    pub fn active(&self) -> Vec<ActiveAlarm> {
        self.lock().active.values().map(|(active, _)| active.clone()).collect()
    }

    /// Returns how many were raised since the start, repetitions not counted.
    #[must_use]
    pub fn raised_total(&self) -> u64 {
        self.lock().raised.values().sum()
    }

    /// Returns the same for each kind, with whether it is active.
    #[must_use]
    pub fn counts(&self) -> [AlarmCount; Alarm::ALL.len()] {
        let inner = self.lock();
        Alarm::ALL.map(|alarm| AlarmCount {
            kind: alarm.as_str(),
            active: inner.active.contains_key(&alarm),
            raised: inner.raised.get(&alarm).copied().unwrap_or_default(),
        })
    }

    /// Records an alarm; returns whether it is to be logged.
    fn record(&self, alarm: Alarm, message: &str, now: Time) -> bool {
        let mut inner = self.lock();
        if let Some((active, logged_at)) = inner.active.get_mut(&alarm) {
            active.times += 1;
            message.clone_into(&mut active.message);
            let is_due = now.since(*logged_at) >= REPEAT_LOG_INTERVAL;
            if is_due {
                *logged_at = now;
            }
            return is_due;
        }
        *inner.raised.entry(alarm).or_default() += 1;
        let active = ActiveAlarm { alarm, message: message.to_owned(), since: now, times: 1, remedy: alarm.remedy() };
        inner.active.insert(alarm, (active, now));
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
        let active = alarms.active();
        assert_eq!((active[0].message.as_str(), active[0].since, active[0].times), ("c", Time::EPOCH, 3));
        alarms.clear(Alarm::Drift);
        assert!(alarms.active().is_empty());
        assert!(alarms.record(Alarm::Drift, "d", at(REPEAT_LOG_INTERVAL)));
        assert_eq!(alarms.raised_total(), 2);
        let counted = |kind| alarms.counts().into_iter().find(|count| count.kind == kind).unwrap();
        assert_eq!((counted("drift").active, counted("drift").raised, counted("damage").raised), (true, 2, 0));
    }

    #[test]
    fn an_alarm_has_one_name_in_logs_metrics_and_the_status_and_its_end_is_said_in_words() {
        for alarm in Alarm::ALL {
            assert_eq!(serde_json::to_value(alarm).unwrap(), alarm.as_str());
            assert!(!alarm.over().contains(&format!("{alarm:?}")) && !alarm.over().contains('_'), "{}", alarm.over());
        }
    }
}
