//! Notices that GitLab changes without telling: that its hooks are off, go elsewhere, or carry a wrong token.
//!
//! A change of which GitLab sends a hook, and which something else has found, should have been told within a minute before or after. Some
//! hooks are lost; three within an hour that were not told are an alarm.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::mirror::directory::subject::Subject;
use crate::model::time::BootTime;

/// How long before or after it was found a change may be told.
const GRACE: Duration = Duration::from_secs(60);
/// For how long a change that was not told counts.
const PERIOD: Duration = Duration::from_secs(3600);
/// So many of these within [`PERIOD`] are an alarm.
const ALARM_AT: usize = 3;
/// The most changes and hooks that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// What was found without a hook, and what was told, lately.
#[derive(Debug, Default)]
pub struct UntoldChanges {
    told: HashMap<Subject, BootTime>,
    waiting: VecDeque<(BootTime, Subject)>,
    untold: VecDeque<BootTime>,
}

impl UntoldChanges {
    /// Notes that a hook has told something of a subject.
    pub fn told(&mut self, subject: Subject, now: BootTime) {
        self.waiting.retain(|(_, waiting)| *waiting != subject);
        if self.told.len() >= MAX_REMEMBERED {
            self.told.retain(|_, at| now.since(*at) < GRACE);
        }
        if self.told.len() < MAX_REMEMBERED {
            self.told.insert(subject, now);
        }
    }

    /// Notes that something else has found a change of which a hook should tell.
    pub fn found(&mut self, subject: Subject, now: BootTime) {
        let was_told = self.told.get(&subject).is_some_and(|at| now.since(*at) < GRACE);
        if !was_told && self.waiting.len() < MAX_REMEMBERED {
            self.waiting.push_back((now, subject));
        }
    }

    /// Returns how many changes of the last hour were not told, if these are enough for an alarm.
    pub fn alarm(&mut self, now: BootTime) -> Option<usize> {
        while let Some((at, _)) = self.waiting.front().filter(|(at, _)| now.since(*at) >= GRACE) {
            self.untold.push_back(*at);
            self.waiting.pop_front();
        }
        while self.untold.front().is_some_and(|at| now.since(*at) >= PERIOD) {
            self.untold.pop_front();
        }
        (self.untold.len() >= ALARM_AT).then_some(self.untold.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::UntoldChanges;
    use crate::mirror::directory::subject::Subject;
    use crate::model::time::BootTime;

    fn user(id: u64) -> Subject {
        Subject::User(id.try_into().unwrap())
    }

    fn at(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    #[test]
    fn three_changes_within_an_hour_that_no_hook_told_are_an_alarm() {
        let mut changes = UntoldChanges::default();
        changes.told(user(9), at(90));
        for (id, when) in [(1, 100), (2, 100), (9, 100), (3, 200), (4, 210)] {
            changes.found(user(id), at(when));
        }
        changes.told(user(3), at(230));
        assert_eq!(changes.alarm(at(269)), None, "1 and 2 were not told, 9 and 3 were, and 4 may be yet");
        assert_eq!(changes.alarm(at(270)), Some(3));
        assert_eq!(changes.alarm(at(3699)), Some(3));
        assert_eq!(changes.alarm(at(3700)), None, "an hour later they are forgotten");
    }
}
