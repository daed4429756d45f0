//! A circuit breaker that only the probe opens, and that any answer of the primary closes. Pure: time is an argument.
//!
//! What fails for a caller says little: its question may be what the primary fails at. The probe's question is always the same one. A
//! probe that fails after somebody else was answered says nothing either, so answers are dated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::time::{BootTime, Time};

/// The time for which the primary has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the first probe that failed was sent.
    pub since: Time,
    /// The same moment on the boot clock.
    pub started_at: BootTime,
    /// What the last probe got.
    pub kind: OutageKind,
    /// Why the last probe failed, in a few words.
    pub reason: Arc<str>,
}

/// What a probe got that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutageKind {
    /// No response at all.
    Silence,
    /// A response that refuses what this host signs: 401 or 403, as when the secrets differ.
    Refusal,
    /// Another response that decides nothing, as a proxy's.
    NoDecision,
}

impl Outage {
    /// Returns whether the last probe got no response at all.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.kind == OutageKind::Silence
    }
}

/// A probe that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedProbe {
    /// When it was sent, on the boot clock.
    pub sent_at: BootTime,
    /// The same moment on the wall clock.
    pub sent_at_wall: Time,
    /// What it got.
    pub kind: OutageKind,
    /// Why it failed, in a few words.
    pub reason: Arc<str>,
}

/// What a failed probe meant for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// The breaker is open now, and was not before.
    Opened,
    /// It was open before.
    StillOpen,
    /// Nothing: somebody was answered since the probe was sent.
    Overtaken,
}

/// The breaker of one upstream. Starts closed.
#[derive(Default)]
pub struct CircuitBreaker {
    state: Mutex<BreakerState>,
}

#[derive(Default)]
struct BreakerState {
    outage: Option<Outage>,
    last_answer: Option<BootTime>,
}

impl CircuitBreaker {
    /// Records that the primary answered, and closes the breaker. Returns the outage that ended, if there was one.
    pub fn record_answer(&self, now: BootTime) -> Option<Outage> {
        let mut state = self.state();
        state.last_answer = state.last_answer.max(Some(now));
        state.outage.take()
    }

    /// Records that a probe failed, and opens the breaker unless somebody was answered after the probe was sent.
    pub fn record_failed_probe(&self, probe: FailedProbe) -> ProbeVerdict {
        let mut state = self.state();
        if state.last_answer >= Some(probe.sent_at) {
            return ProbeVerdict::Overtaken;
        }
        let FailedProbe { sent_at, sent_at_wall, kind, reason } = probe;
        match &mut state.outage {
            Some(outage) => {
                (outage.kind, outage.reason) = (kind, reason);
                ProbeVerdict::StillOpen
            }
            closed @ None => {
                *closed = Some(Outage { since: sent_at_wall, started_at: sent_at, kind, reason });
                ProbeVerdict::Opened
            }
        }
    }

    /// Returns the present outage; `None` while the breaker is closed.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.state().outage.clone()
    }

    /// Returns when the primary answered last; `None` if it has not yet.
    #[must_use]
    pub fn last_answer(&self) -> Option<BootTime> {
        self.state().last_answer
    }

    fn state(&self) -> MutexGuard<'_, BreakerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{CircuitBreaker, FailedProbe, OutageKind, ProbeVerdict};
    use crate::model::time::{BootTime, Time};

    const fn second(seconds: u64) -> BootTime {
        BootTime(Duration::from_secs(seconds))
    }

    fn failed_probe(sent_at: BootTime) -> FailedProbe {
        let sent_at_wall = Time::EPOCH.plus(sent_at.0);
        FailedProbe { sent_at, sent_at_wall, kind: OutageKind::Silence, reason: "it did not answer in time".into() }
    }

    #[test]
    fn one_failed_probe_opens_it_and_one_answer_closes_it() {
        let breaker = CircuitBreaker::default();
        assert_eq!(breaker.record_failed_probe(failed_probe(second(10))), ProbeVerdict::Opened);
        assert_eq!(breaker.record_failed_probe(failed_probe(second(11))), ProbeVerdict::StillOpen);
        assert_eq!(breaker.outage().unwrap().started_at, second(10), "since the first that failed");
        assert_eq!(breaker.record_answer(second(12)).unwrap().started_at, second(10));
        assert_eq!((breaker.outage(), breaker.record_answer(second(13))), (None, None));
    }

    #[test]
    fn an_outage_begins_anew_after_each_answer() {
        let breaker = CircuitBreaker::default();
        for start in [10, 500] {
            breaker.record_failed_probe(failed_probe(second(start)));
            assert_eq!(breaker.outage().unwrap().since, Time::EPOCH.plus(Duration::from_secs(start)));
            breaker.record_answer(second(start + 5));
        }
    }

    #[test]
    fn a_probe_that_fails_after_somebody_else_was_answered_says_nothing() {
        let breaker = CircuitBreaker::default();
        breaker.record_answer(second(11));
        assert_eq!(breaker.record_failed_probe(failed_probe(second(10))), ProbeVerdict::Overtaken);
        assert_eq!(breaker.outage(), None);
        assert_eq!(breaker.record_failed_probe(failed_probe(second(12))), ProbeVerdict::Opened);
    }

    #[test]
    fn the_reason_is_that_of_the_last_probe() {
        let breaker = CircuitBreaker::default();
        breaker.record_failed_probe(failed_probe(second(10)));
        breaker.record_failed_probe(FailedProbe {
            kind: OutageKind::Refusal,
            reason: "it refused our token".into(),
            ..failed_probe(second(11))
        });
        let outage = breaker.outage().unwrap();
        assert_eq!((outage.kind, &*outage.reason), (OutageKind::Refusal, "it refused our token"));
    }

    proptest! {
        #[test]
        fn it_is_open_exactly_if_a_probe_failed_that_was_sent_after_the_last_answer(
            steps in prop::collection::vec((any::<bool>(), 0..50_u64, 0..100_u64), 0..60),
        ) {
            let breaker = CircuitBreaker::default();
            let (mut now, mut last_answer, mut open) = (100, None, false);
            for (answered, passed, under_way) in steps {
                now += passed;
                if answered {
                    breaker.record_answer(second(now));
                    (last_answer, open) = (Some(now), false);
                } else {
                    let sent_at = now - under_way.min(now);
                    breaker.record_failed_probe(failed_probe(second(sent_at)));
                    open |= last_answer.is_none_or(|answer| sent_at > answer);
                }
                prop_assert_eq!(breaker.outage().is_some(), open);
            }
        }
    }
}
